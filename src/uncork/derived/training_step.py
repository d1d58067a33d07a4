"""What is read off the times of one training step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.speed import times_faster
from uncork.schema.finding import Estimate
from uncork.schema.training_step import BATCH_OF, COMPILED, HELD, LOADED, TrainingStepData

if TYPE_CHECKING:
    from jaxtyping import Float


def faster_than(data: TrainingStepData, way: str, base: str = HELD, rounds: slice = slice(None)) -> Estimate:
    """Rows a second by `way` over those by `base`, of these rounds."""
    return times_faster(_per_row(data, base)[rounds], _per_row(data, way)[rounds])


def best_way(data: TrainingStepData) -> tuple[str, Estimate]:
    """(the fastest way that learns the same, how many times as many rows a second it takes as training as it is).

    The batch held ready, and torch.compile. It is picked by the median of even rounds, and measured on odd ones, which
    took no part in that.
    """
    best = _fastest(data, [way for way in (HELD, COMPILED) if way in data.ways])
    return best, faster_than(data, best, LOADED, slice(1, None, 2))


def best_batch(data: TrainingStepData) -> tuple[int, Estimate] | None:
    """(the other batch size of most rows a second, how many times those of the recipe's); None where none was timed.

    Of batches that are held ready; picked and measured as in `best_way`.
    """
    others = [way for way in data.ways if way.startswith(BATCH_OF)]
    if not others:
        return None
    best = _fastest(data, others)
    return int(data.rows[data.ways.index(best)]), faster_than(data, best, HELD, slice(1, None, 2))


def stall(data: TrainingStepData) -> Estimate:
    """Share of a step spent on reading and preparing rows: 1 − t(batch held) / t(as it is)."""
    return _one_less_inverse(faster_than(data, HELD, LOADED))


def utilisation(data: TrainingStepData) -> Estimate | None:
    """Operations a second of a step whose batch is held over those of a matrix product; None where none are counted."""
    if not data.flops:
        return None
    ratio = times_faster(data.peak_seconds, data.seconds[:, data.ways.index(HELD)])
    return ratio.scaled(data.flops / data.peak_flops, "share of the peak")


def _fastest(data: TrainingStepData, ways: list[str]) -> str:
    return min(ways, key=lambda way: float(np.median(_per_row(data, way)[::2])))


def _one_less_inverse(factor: Estimate) -> Estimate:
    value, low, high = (None if x is None else 1 - 1 / x for x in (factor.value, factor.low, factor.high))
    return replace(factor, value=value, low=low, high=high, unit="share of the step")


def _per_row(data: TrainingStepData, way: str) -> Float[np.ndarray, " r"]:
    at = data.ways.index(way)
    seconds: Float[np.ndarray, " r"] = data.seconds[:, at] / data.rows[at]
    return seconds
