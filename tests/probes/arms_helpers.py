"""Pools whose arms change nothing but the luck of training."""

from __future__ import annotations

import dataclasses

import numpy as np

from uncork.schema.pool import PoolData
from uncork.testing.pools import a_pool

HALVES, FULL = 4, 3


def null_pool(seed: int, arms: tuple[str, ...], *, n: int = 1000, error: float = 0.1, gain: float = 0.0) -> PoolData:
    """Plain models and, under the name of each arm, further models of an error `gain` lower, with luck of their own."""
    halves, full = (count * (len(arms) + 1) for count in (HALVES, FULL))
    pools = {
        e: a_pool(n, n, halves=halves, full=full, error=e, memorised=False, seed=seed) for e in (error, error - gain)
    }
    parts, names = [], []
    for k, arm in enumerate(("", *arms)):
        pool = pools[error - gain if arm else error]
        chosen = (pool.members(size)[count * k : count * (k + 1)] for size, count in ((2, HALVES), (1, FULL)))
        parts.append(pool.take(np.concatenate(list(chosen))))
        names += [arm] * (HALVES + FULL)
    plain = parts[0]
    arrays = ("on_train", "on_validation", "steps", "seconds")
    stacked = {name: np.concatenate([getattr(p, name) for p in parts]) for name in arrays}
    # An arm's models stand for the same subsets and seeds as the plain ones: outputs don't depend on them.
    design = ("size", "permutation", "part", "included")
    same = {name: np.concatenate([getattr(plain, name)] * len(parts)) for name in design}
    return dataclasses.replace(plain, arm=tuple(names), **stacked, **same)
