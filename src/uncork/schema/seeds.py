"""Randomness: one root seed, and a stream of its own for each thing drawn."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(root: int, *key: str | int) -> np.random.Generator:
    """A NumPy generator keyed by what is drawn, so that adding one consumer changes no other's numbers.

    `root` is the run's seed; `key` names the consumer, such as `("probe", "miscalibration")`.
    """
    words = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    spawn_key = tuple(int.from_bytes(words[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.default_rng(np.random.SeedSequence(root, spawn_key=spawn_key))


def integer_seed(root: int, *key: str | int) -> int:
    """A 31-bit seed from the same stream, for libraries that take an int (torch, scikit-learn)."""
    return int(generator(root, *key).integers(2**31 - 1))
