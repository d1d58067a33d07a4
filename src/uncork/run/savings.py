"""What a remedy that is kept for its savings really saves: measured, or counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.speed import BLOCKS, times_faster_on_average
from uncork.gather._contract import Context
from uncork.models.clock import in_turn, on_threads, side_by_side
from uncork.schema.contract import Remedy
from uncork.schema.finding import Estimate
from uncork.schema.report import SideEffect, TreatmentVerdict
from uncork.schema.seeds import generator

if TYPE_CHECKING:
    from jaxtyping import Int

#: Runs of each row, of which the middle one counts; most rows in each of ten stretches of time; seconds in all.
REPEATS, ROWS, SECONDS = 3, 20, 5.0

FACTOR = {"latency": "times faster", "bytes": "times fewer bytes"}


def saving(remedy: Remedy, before: Context, after: Context, rows: Int[np.ndarray, " n"]) -> SideEffect | None:
    """The factor by which `after` is faster or smaller; None of a remedy that says nothing of savings.

    `rows`: positions in validation that are timed. Undetermined where a size is not known.
    """
    if not remedy.saves:
        return None
    factor = _faster(before, after, rows) if remedy.saves == "latency" else _smaller(before, after)
    said = replace(factor, unit="")  # its name says it
    return SideEffect(FACTOR[remedy.saves], Estimate(1.0, 1.0, 1.0, "", factor.n, "the model before"), said)


def with_saving(verdict: TreatmentVerdict, saved: SideEffect | None) -> tuple[TreatmentVerdict, str]:
    """(verdict, why not more) of a remedy that may lose what is tolerated: it helps only where it surely saves."""
    if saved is None or verdict != "helps" or (saved.after.low is not None and saved.after.low > 1):
        return verdict, ""
    unknown = f": {saved.after.method}" if saved.after.value is None else ""
    reason = f"it loses no more than is tolerated, but does not surely save anything ({saved.name}{unknown})"
    return "hurts" if saved.after.high is not None and saved.after.high < 1 else "undetermined", reason


def _faster(before: Context, after: Context, rows: Int[np.ndarray, " n"]) -> Estimate:
    """One row at a time, the same for both; many rows, since a model may take longer over some of them.

    On one thread: on more, one row gains little, and waits for whatever else the machine does.
    """
    split = before.split("validation")
    order = rows[generator(before.seed, "savings").permutation(len(rows))[: BLOCKS * ROWS]]
    batches = [split.take(order[i : i + 1]) for i in range(len(order))]
    models = [before.model, after.model]
    with on_threads(1):
        once = side_by_side([in_turn(model.outputs, batches[:1]) for model in models], 3).min(axis=0).sum()
        many = int(np.clip(SECONDS / (REPEATS * BLOCKS * once), 2, ROWS))
        turns = [batches[i % len(batches)] for i in range(BLOCKS * many) for _ in range(REPEATS)]
        works = [in_turn(model.outputs, turns) for model in models]
        seconds = side_by_side(works, len(turns), warm_up=REPEATS, seed=before.seed)
    by_row = np.median(seconds.reshape(-1, REPEATS, len(models)), axis=1)
    return times_faster_on_average(by_row[:, 0], by_row[:, 1])


def _smaller(before: Context, after: Context) -> Estimate:
    """Counted: of the weights, or of the file."""
    unit = FACTOR["bytes"]
    large, small = (context.model.describe().get("bytes") for context in (before, after))
    if not large or not small:
        return Estimate(None, None, None, unit, 0, "the model's bytes are not known")
    factor = large / small
    return Estimate(factor, factor, factor, unit, int(large), "bytes, counted")
