"""Mistakes that are corrected, and what becomes of their near copies and of other rows.

What it gathers
---------------
Validation is cut in two. Up to 100 mistakes of one half, in a random order, are corrected as `uncork patch` would:
balls around them in the model's features (its logits where it has none), whose radii are calibrated on rows of that
half that are right. Then each is tried: its own row, four near copies of it (noise of a twentieth of a standard
deviation; images and series moved by one pixel or step; texts without one word), and all rows of the other half; with
the first of the corrections alone, and with three, ten, thirty, and all of them at once.

How it streams
--------------
At most 1,000 rows of each half, a seeded sample, read in batches; their features stay in memory while it runs.

What it costs
-------------
One forward pass over at most 2,000 rows of validation and 400 more.
"""

from __future__ import annotations

import numpy as np

from uncork.data.carve import halve
from uncork.data.near import COPIES, near_copies
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.patched import Places, places, remembered
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.patches import Patches, PatchesData
from uncork.schema.seeds import generator, integer_seed

MOST_ROWS = 1_000
COUNTS = (1, 3, 10, 30)


def price(request: Patches, context: Context) -> float:
    rows = min(len(context.split("validation")), 2 * MOST_ROWS)
    return (rows + COPIES * request.most) * context.seconds_per_row + 1e-5 * rows


@gatherer(Patches, price=price)
def gather(request: Patches, context: Context) -> PatchesData:
    if context.facts.task != "classification":
        raise Unavailable("a correction names a class: a regression decides none")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: near copies of rows need the model")
    split, seed = context.split("validation"), context.seed
    assert split.y is not None
    try:
        halves = halve(split, integer_seed(seed, "patches"))
    except BadInput as why:
        raise Unavailable(str(why)) from None
    groups = np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    mended, judged = (half[sample(split.subset(half), MOST_ROWS, seed, "patches")] for half in halves)
    here, there = (_places(context, split, rows) for rows in (mended, judged))
    right = here.decided == split.y[mended]

    # Rows are looked at in a random order, up to the first mistake that is one too many.
    order = generator(seed, "patches", "order").permutation(len(mended))
    wrong = order[~right[order]]
    looked_at = order if len(wrong) <= request.most else order[: np.flatnonzero(order == wrong[request.most])[0]]
    wrong = wrong[: request.most]
    if not len(wrong):
        raise Unavailable(f"the model decides all {len(mended)} rows of half of validation right: nothing to patch")
    near = near_copies(split, mended[wrong], generator(seed, "patches", "near"))
    tried = [_places(context, batch) for batch in (split.subset(mended[wrong]), *map(Split, near.copies))]

    labels, known = split.y[mended[wrong]], Places(here.points[right], here.logits[right], here.space)
    beside = split.y[mended[right]], groups[mended[right]]
    counts = [count for count in COUNTS if count < len(wrong)] + [len(wrong)]
    decided = []
    for count in counts:
        chosen = wrong[:count]
        memory = remembered(chosen, here.points[chosen], labels[:count], known, *beside)
        decided.append([memory.decided(rows) for rows in (there, *tried)])
    mends = np.array([[rows == labels for rows in each[1:]] for each in decided]).transpose(0, 2, 1)
    return PatchesData(
        counts=np.array(counts, np.int64),
        mends=mends[:, :, 0],
        counted=near.changed,
        near_before=np.array([rows.decided == labels for rows in tried[1:]]).T,
        near=mends[:, :, 1:],
        y=split.y[judged],
        before=there.decided,
        after=np.array([each[0] for each in decided]),
        clusters=groups[judged],
        looked_at=groups[mended[np.concatenate([wrong, looked_at[right[looked_at]]])]],
        inseparable=len(wrong) - len(memory),
        space=here.space,
    )


def _places(context: Context, split: Split, rows: np.ndarray | None = None) -> Places:
    return places(context.model, split, np.arange(len(split)) if rows is None else rows, context.batch_size)
