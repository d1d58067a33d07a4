"""Works timed side by side: what changes on the machine meanwhile changes for all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Float


def side_by_side(
    works: Sequence[Callable[[], Any]], rounds: int, *, warm_up: int = 2, seed: int = 0
) -> Float[np.ndarray, "rounds m"]:
    """(rounds, m) wall seconds of each of m works, each once a round, in another seeded order every round.

    `warm_up` rounds are run first and not counted. Work that a GPU has still to do counts.
    """
    order = generator(seed, "clock")
    seconds = np.empty((rounds, len(works)))
    for i in range(-warm_up, rounds):
        for j in order.permutation(len(works)):
            wait_for_device()
            start = time.perf_counter()
            works[j]()
            wait_for_device()
            if i >= 0:
                seconds[i, j] = time.perf_counter() - start
    return seconds


def wait_for_device() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """torch, and onnxruntime after it, work on n threads inside, where torch is there."""
    torch = sys.modules.get("torch")
    before = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def in_turn(run: Callable[[Any], Any], batches: Sequence[Any]) -> Callable[[], Any]:
    """Work that runs the batches one by one, one a call, and begins again."""
    left = cycle(batches)
    return lambda: run(next(left))
