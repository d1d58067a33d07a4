"""Size and speed of the model.

What it gathers
---------------
Parameters, bytes, and wall times of one row and of one batch, repeated. Times are this machine's, under its present
load: order statistics of them are reported, never compared with another run's.

How it streams
--------------
It reads one batch.

What it costs
-------------
Thirty forward passes of one row, seven of a batch.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from uncork.gather._contract import Context, gatherer
from uncork.schema.artifacts import Profile, ProfileData

SINGLES, BATCHES = 30, 7


def price(request: Profile, context: Context) -> float:
    return context.seconds_per_row * (BATCHES * context.batch_size + 4 * SINGLES)


@gatherer(Profile, price=price)
def gather(request: Profile, context: Context) -> ProfileData:
    split = context.split("validation")
    rows = np.arange(min(context.batch_size, len(split)))
    known = context.model.describe()
    return ProfileData(
        parameters=known.get("parameters"),
        bytes=known.get("bytes"),
        batch_size=len(rows),
        single_seconds=_timed(context, split.take(rows[:1]), SINGLES),
        batch_seconds=_timed(context, split.take(rows), BATCHES),
        device=str(known.get("device", "cpu")),
    )


def _timed(context: Context, batch: Any, runs: int) -> np.ndarray:
    context.model.outputs(batch)
    seconds = np.empty(runs)
    for i in range(runs):
        start = time.perf_counter()
        context.model.outputs(batch)
        seconds[i] = time.perf_counter() - start
    return seconds
