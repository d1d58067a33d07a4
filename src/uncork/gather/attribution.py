"""What decisions depend on, and whether that is so.

What it gathers
---------------
For a seeded sample of 48 rows of validation that the model answers: what each part of a row adds to the logit of the
class decided, by integrated gradients (32 steps from the baseline), Grad-CAM (last Conv2d that runs) and occlusion
(single columns, or windows a quarter of a picture wide). Parts are columns, or 16 × 16 patches of a picture at most.
They are the numbers that the model itself reads, after `preprocess`; the baseline is their mean over train. Where there
is no torch module (scikit-learn, ensembles) there are no gradients, and occlusion is left.
Tests of each: the probability of the decided class with the top-ranked parts replaced by the baseline, beside nine
random ranks and, in pictures, a rank by edges (Sobel); the sum of integrated gradients against the change of the logit;
and how alike maps stay when the last layer is initialised anew, five times on eight rows.
Wrappers that only move logits (a temperature, an offset, a guard) are in every probability; gradients are those of the
logits they move.

How it streams
--------------
It holds 48 rows and at most 256 changed ones; the baseline is a mean over at most 1,000 rows of train.

What it costs
-------------
A few hundred forward passes of each of the 48 rows: seconds for a small net, a minute for a ResNet on one core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.gather._saliency import (
    STEPS,
    Face,
    Parts,
    edges,
    face_of,
    parts_of,
    ranks,
    rate,
    replaced,
    require_captum,
    windows,
)
from uncork.schema.attribution import Attribution, AttributionData
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator, integer_seed

if TYPE_CHECKING:
    from jaxtyping import Float

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
CHANCES = 9  # random ranks, so that chance alone beats them all on a tenth of the rows
DRAWS, CHECKED, FEWER_STEPS = 5, 8, 8
BASELINE_ROWS = 1_000
_IMPORT = 1.0  # seconds


def price(request: Attribution, context: Context) -> float:
    """A backward pass counts as two forward ones."""
    require_captum()
    rows = min(request.rows, len(context.split("validation")))
    face, parts = _of(context, np.arange(min(rows, 2)))
    each = float(windows(parts) + len(SHARES) * (CHANCES + 4))
    if face.core is not None:
        each += 3 * STEPS + DRAWS * CHECKED / rows * (3 * FEWER_STEPS + windows(parts))
    return _IMPORT + context.seconds_per_row * (rows * each + BASELINE_ROWS)


@gatherer(Attribution, price=price)
def gather(request: Attribution, context: Context) -> AttributionData:
    require_captum()
    if context.facts.task != "classification":
        raise Unavailable("a regression decides for no class, whose probability could be seen to fall")
    validation = context.split("validation")
    rows = sample(validation, request.rows, context.seed, "attribution")
    answered = context.model.outputs(validation.take(rows)).answered
    rows = rows if answered is None else rows[answered]
    if len(rows) < 2:
        raise Unavailable("the model answers fewer than two of the rows that were drawn")
    face, parts = _of(context, rows)
    x = face.rows(validation, rows)
    decided = face.logits(x).argmax(axis=1)
    baseline, what = baseline_of(face, context)
    rated = rate(face, parts, x, baseline, decided)
    if not rated.maps:
        raise Unavailable("; ".join(dict.fromkeys(rated.left_out.values())))
    maps = {name: parts.summed(found) for name, found in rated.maps.items()}

    counts = np.unique([max(1, round(share * parts.count)) for share in SHARES])
    rng = generator(context.seed, "attribution", "ranks")

    def curve(values: np.ndarray) -> np.ndarray:
        return replaced(face, parts, x, baseline, decided, ranks(values, rng), counts)

    assert validation.y is not None
    groups = validation.groups
    gap, change = _gap(face, rated.maps, x, baseline, decided)
    return AttributionData(
        methods=tuple(maps),
        left_out=rated.left_out,
        baseline=what,
        grid=parts.grid,
        rows=rows,
        clusters=rows if groups is None else np.unique(groups, return_inverse=True)[1][rows],
        decided=decided,
        right=decided == validation.y[rows],
        maps=np.stack([_scaled(found) for found in maps.values()]).astype(np.float16),
        shares=counts / parts.count,
        kept=face.probability(x, decided),
        by_method=np.stack([curve(found) for found in maps.values()]),
        by_chance=np.stack([curve(np.zeros((len(x), parts.count))) for _ in range(CHANCES)]),
        by_edges=curve(edges(parts, x)) if parts.axes else np.zeros((0, len(counts)), np.float32),
        gap=gap,
        change=change,
        similarity=_similarity(face, parts, x[:CHECKED], baseline, decided[:CHECKED], maps, context.seed),
    )


def _of(context: Context, rows: np.ndarray) -> tuple[Face, Parts]:
    face = face_of(context.model, context.split("validation"), rows)
    return face, parts_of(face.shape)


def baseline_of(face: Face, context: Context) -> tuple[np.ndarray, str]:
    """((1, *shape) mean of rows, what they are)."""
    name = "validation" if context.subject.train is None else "train"
    split = context.split(name)
    rows = sample(split, BASELINE_ROWS, context.seed, "attribution", "baseline")
    total = sum(
        face.rows(split, part).sum(axis=0, dtype=np.float64) for part in np.array_split(rows, -(-len(rows) // 100))
    )
    return (np.asarray(total) / len(rows)).astype(np.float32)[None], f"mean of {name}"


def _scaled(maps: Float[np.ndarray, "n u"]) -> Float[np.ndarray, "n u"]:
    largest = np.abs(maps).max(axis=1, keepdims=True)
    scaled: np.ndarray = maps / np.where(largest > 0, largest, 1)
    return scaled


def _gap(
    face: Face, maps: dict[str, np.ndarray], x: np.ndarray, baseline: np.ndarray, decided: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(how far integrated gradients add up to something else, how much the logit changes), each row's."""
    if "integrated_gradients" not in maps:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    import torch

    from uncork.models.torch_model import evaluating

    assert face.core is not None
    with evaluating(face.core.module), torch.inference_mode():
        here, there = (face.scores(torch.from_numpy(rows)).float().cpu().numpy() for rows in (x, baseline))
    change = here[np.arange(len(x)), decided] - there[0, decided]
    added = maps["integrated_gradients"].reshape(len(x), -1).sum(axis=1)
    return np.abs(added - change), change


def _similarity(
    face: Face,
    parts: Parts,
    x: np.ndarray,
    baseline: np.ndarray,
    decided: np.ndarray,
    maps: dict[str, np.ndarray],
    seed: int,
) -> Float[np.ndarray, "m d k"]:
    """Rank correlation of the maps with those of the same model, its last layer initialised anew."""
    if face.core is None:
        return np.zeros((len(maps), 0, 0), np.float32)
    found = np.zeros((len(maps), DRAWS, len(x)), np.float32)
    for draw in range(DRAWS):
        other = face.reinitialised(integer_seed(seed, "attribution", "reinitialised", draw))
        if other is None:
            return np.zeros((len(maps), 0, 0), np.float32)
        again = rate(other, parts, x, baseline, decided, steps=FEWER_STEPS).maps
        for m, (name, before) in enumerate(maps.items()):
            found[m, draw] = rank_correlation(before[: len(x)], parts.summed(again[name]))
    return found


def rank_correlation(before: Float[np.ndarray, "k u"], after: Float[np.ndarray, "k u"]) -> Float[np.ndarray, " k"]:
    """Spearman's, each row's. A map that rates all parts alike says nothing of the model: 1 where it did before
    already, 0 where it does so only now."""
    a, b = (rankdata(maps, axis=1) for maps in (before, after))
    a, b = (r - r.mean(axis=1, keepdims=True) for r in (a, b))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    flat: np.ndarray = np.where((a == 0).all(axis=1), 1.0, 0.0)
    return np.where(size > 0, (a * b).sum(axis=1) / np.where(size > 0, size, 1), flat)
