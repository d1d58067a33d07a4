"""What one decision hangs on: maps of it, and the smallest change that turns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from uncork.data.split import Split
from uncork.gather._contract import Context
from uncork.gather._matrix import sample
from uncork.gather._saliency import Face, Parts, face_of, parts_of, ranks, rate, replaced, require_captum
from uncork.gather.attribution import CHANCES, baseline_of
from uncork.models.base import is_frame
from uncork.models.torch_model import evaluating
from uncork.run.nearby import as_pixels, picture, scale_of
from uncork.schema.artifacts import PassData
from uncork.schema.attribution import METHODS
from uncork.schema.case import Attack, Map, Picture, Shown
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.schema.report import Report
from uncork.schema.seeds import generator
from uncork.schema.subject import THREATS
from uncork.stress.ball import Ball
from uncork.stress.fab import approach
from uncork.stress.found import likeliest

SHARE = 0.2
BARS = 12
FOR, AGAINST = np.array([213.0, 94.0, 0.0]), np.array([0.0, 114.0, 178.0])  # of the decision; told apart by most eyes
_BOX_ROWS = 1_000


@dataclass(frozen=True)
class Account:
    """What parts are replaced by, in words, and each method's map."""

    baseline: str
    maps: tuple[Map, ...]


def account(context: Context, report: Report, split: Split, here: np.ndarray, own: PassData) -> Account:
    """Each method's map of one row. Raises Unavailable (MissingExtra) where there can be none."""
    require_captum()
    face = face_of(context.model, split, here)
    parts = parts_of(face.shape)
    x = face.rows(split, here)
    decides = context.facts.task == "classification"
    decided = own.predicted.astype(np.int64) if decides else np.zeros(1, np.int64)
    baseline, what = baseline_of(face, context)
    rated = rate(face, parts, x, baseline, decided)
    if not rated.maps:
        raise Unavailable("; ".join(dict.fromkeys(rated.left_out.values())))
    count = np.array([max(1, round(SHARE * parts.count))])
    rng = generator(context.seed, "explain", "ranks")

    def left(values: np.ndarray) -> float:
        return float(replaced(face, parts, x, baseline, decided, ranks(values, rng), count)[0, 0])

    kept = float(face.probability(x, decided)[0]) if decides else None
    chance = float(np.mean([left(np.zeros((1, parts.count))) for _ in range(CHANCES)])) if decides else None
    maps = []
    for name, values in rated.maps.items():
        summed = parts.summed(values)
        image, bars = _drawn(parts, values, split, here)
        by_method = left(summed) if decides else None
        share = float(count[0] / parts.count)
        maps.append(Map(METHODS[name], image, bars, share, kept, by_method, chance, _standing(report, name)))
    return Account(what, tuple(maps))


def _standing(report: Report, method: str) -> Estimate | None:
    """How far the method's ranks beat random ones in this run."""
    for finding in report.findings:
        if finding.id == "opaque-decisions":
            return finding.estimates.get(f"{method}_over_chance")
    return None


def _drawn(
    parts: Parts, values: np.ndarray, split: Split, here: np.ndarray
) -> tuple[Picture | None, tuple[tuple[str, float], ...]]:
    """A picture of a map over a picture; of columns the largest, by name where the model reads them as given."""
    if parts.axes:
        arrays = split.kind in ("array", "dataset")
        below = as_pixels(np.asarray(split.take(here))[0], scale_of(split)) if arrays else None
        return picture(_coloured(parts.pixels(values)[0], below)), ()
    own = values[0] / max(float(np.abs(values[0]).max()), 1e-30)
    batch = split.take(here)
    named = [str(c) for c in batch.columns] if is_frame(batch) and len(batch.columns) == len(own) else None
    first = np.argsort(-np.abs(own), kind="stable")[:BARS]
    return None, tuple((named[i] if named else f"column {i}", float(own[i])) for i in first)


def _coloured(map_: np.ndarray, below: np.ndarray | None) -> np.ndarray:
    """(h, w, 3) bytes: what speaks for the decision in orange, against it in blue, over a pale copy of the picture."""
    strength = map_ / max(float(np.quantile(np.abs(map_), 0.99)), float(np.abs(map_).max()) / 10, 1e-30)
    strength = np.clip(strength, -1, 1)[:, :, None]
    ground = np.full((*map_.shape, 3), 245.0)
    if below is not None and below.shape[:2] == map_.shape:
        ground = 255 - 0.25 * (255 - below.mean(axis=2, keepdims=True).repeat(3, axis=2))
    colour = np.where(strength > 0, FOR, AGAINST)
    drawn: np.ndarray = np.round(ground + np.abs(strength) * (colour - ground)).astype(np.uint8)
    return drawn


def attack(context: Context, split: Split, here: np.ndarray, own: PassData) -> Attack:
    """The smallest change that turns the decision, by targeted FAB towards the nine likeliest other classes.

    Raises Unavailable where no threat was declared, or gradients of x can't be had.
    """
    declared = {norm: context.facts.require[norm] for norm in THREATS if norm in context.facts.require}
    if not declared:
        raise Unavailable("no threat was declared: give Subject(require={'linf': ...}), in the units of x")
    norm, most = next(iter(declared.items()))
    if context.facts.task != "classification":
        raise Unavailable("a regression has no decision that could be turned")
    face = face_of(context.model, split, here)
    rows = split.take(here)
    if face.core is None or not isinstance(rows, np.ndarray):
        raise Unavailable(
            "the smallest change is looked for along gradients: it needs a torch module that reads arrays"
        )
    x = torch.from_numpy(rows.astype(np.float32))
    y = torch.from_numpy(own.predicted.astype(np.int64))
    low, high = _box(context, x.numpy())
    ball = Ball(norm, most, torch.from_numpy(low), torch.from_numpy(high))
    try:
        with evaluating(face.core.module):
            nearest, size = _turned(face, x, y, ball)
    except RuntimeError as error:
        raise Unavailable(f"x can't be differentiated through ({str(error).splitlines()[0]})") from None
    if not np.isfinite(size):
        return Attack(norm, None, most, "")
    changed = nearest.numpy()
    became = int(context.model.outputs(changed).logits.argmax(axis=1)[0])
    if became == own.predicted[0]:  # a wrapper has moved the boundary that was looked for
        raise Unavailable("what turns the decision of the torch module does not turn the complete model's")
    return Attack(norm, size, most, context.facts.classes[became], _like(split, changed[0]))


def _like(split: Split, row: np.ndarray) -> Shown | None:
    """The changed row as the rows of its split are shown, where they are pictures."""
    pixels = as_pixels(row, scale_of(split))
    return None if pixels is None else Shown(picture=picture(pixels))


def _turned(face: Face, x: torch.Tensor, y: torch.Tensor, ball: Ball) -> tuple[torch.Tensor, float]:
    core: Any = face.core

    def logits(z: torch.Tensor) -> torch.Tensor:
        return face.scores(z if core.preprocess is None else core.preprocess(z))

    with torch.no_grad():
        targets = likeliest(logits(x), y)
    best, least = x, float("inf")
    for target in targets.T:
        z, size = approach(logits, x, y, target, ball)
        if float(size[0]) < least:
            best, least = z, float(size[0])
    return best.detach(), least


def _box(context: Context, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which values x lies: 0 to 255 of bytes, else what validation shows, of columns each its own."""
    validation = context.split("validation")
    seen = np.asarray(validation.take(sample(validation, _BOX_ROWS, context.seed, "explain", "box")))
    if seen.dtype == np.uint8:
        return np.zeros(1, np.float32), np.full(1, 255, np.float32)
    both = np.concatenate([seen.astype(np.float32), x])
    axis = 0 if both.ndim == 2 else None
    return np.atleast_1d(np.fmin.reduce(both, axis=axis)), np.atleast_1d(np.fmax.reduce(both, axis=axis))
