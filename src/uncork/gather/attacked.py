"""The worst case of each row within the declared threat.

What it gathers
---------------
For a seeded sample of validation's rows: whether the model is right as they are, which attack of AutoAttack's standard
set fools it within the threat of `require`, and the smallest change that was found to do so. Attacks move x as the user
gives it, before `preprocess`; whole numbers are moved to what lies between them. They stay between the smallest and
the largest value of validation and at most 20,000 rows of train: of each column where rows are flat, else of all of x.
A linear model's smallest change is worked out in closed form instead, without that box; of votes over noise their
certified radius stands for it. Where no gradient reaches x
(trees, preprocessing that leaves torch), Square attacks alone.

How it streams
--------------
The sampled rows are held in memory several times over, and attacked 128 at a time. The rest is read once for the box.

What it costs
-------------
Rows that are fooled leave at once, often after twenty gradients. A row that holds out takes about 900 gradients, each
as dear as three forward passes, and 1,000 forward passes; 5,000 where Square is alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.base import frame_matrix, is_frame
from uncork.models.smoothed import Smoothed
from uncork.models.wrapped import Wrapped
from uncork.schema.attacks import Attacked, AttackedData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import THREATS
from uncork.stress import linear
from uncork.stress.ball import Ball
from uncork.stress.standard import attacked
from uncork.stress.target import target_of

PASSES = 2_500  # forward passes' worth of a row, between one that is fooled at once and one that holds out
BOX_ROWS = 20_000
CERTIFYING = 1_000  # noisy copies of a row
DECLARE = (
    "no threat is declared: give Subject(require={'linf': ...}) or 'l2', how far an attacker may move x, in its units"
)


def price(request: Attacked, context: Context) -> float:
    norm, _ = _threat(context)
    rows, votes = min(request.rows, len(context.split("validation"))), _votes(context, norm)
    # A pass of the model is one of all its copies already.
    passes = PASSES if votes is None else 1 + CERTIFYING / votes.copies
    return passes * rows * context.seconds_per_row


@gatherer(Attacked, price=price)
def gather(request: Attacked, context: Context) -> AttackedData:
    norm, eps = _threat(context)
    split = context.split("validation")
    known = _Numbers.of(split)
    chosen = sample(split, request.rows, context.seed, "attacked")
    values = known.read(split, chosen)
    whole = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not whole.any():
        raise Unavailable("every row of validation lacks a value: attacks need rows without NaN")
    chosen, values = chosen[whole], values[whole]
    notes = [] if whole.all() else [f"{int((~whole).sum())} sampled rows lack a value and were left out."]
    y = np.asarray(split.y)[chosen].astype(np.int64)
    clusters = chosen if split.groups is None else np.unique(split.groups, return_inverse=True)[1][chosen]
    about = {"norm": norm, "eps": eps, "rows": chosen, "y": y, "clusters": clusters}

    votes = _votes(context, norm)
    if votes is not None:
        return _certified(votes, values, about, notes)
    flat = values.reshape(len(values), -1)
    affine = linear.affine(context.model, flat, values.shape[1:])
    if affine is not None:
        return _exact(affine, flat, about, notes)
    if known.whole:
        notes.append("x holds whole numbers: attacks also moved it to what lies between them.")
    x, label = torch.from_numpy(values), torch.from_numpy(y)
    try:
        target = target_of(context.model, x, known.back)
        clean, _ = target.right(x, label)
    except BadInput as error:
        raise Unavailable(f"the model takes no numbers but those it was given, so x can't be moved: {error}") from None
    ball = Ball(norm, eps, *_box(context, known))
    worst = attacked(
        target, x[clean], label[clean], ball, seed=integer_seed(context.seed, "attacks"), queries=request.queries
    )
    by, distance = np.full(len(y), -1, np.int8), np.zeros(len(y), np.float32)
    by[clean], distance[clean] = worst.by.numpy(), worst.distance.numpy()
    return AttackedData(
        **about,
        access={"own": "white-box", "inner": "inner", "none": "black-box"}[target.gradients],
        clean=clean.numpy(),
        by=by,
        distance=distance,
        attacks=worst.attacks,
        tried=worst.tried,
        seconds=worst.seconds,
        checks={name: list(counts) for name, counts in worst.checks.items()},
        notes=tuple(notes),
    )


def _threat(context: Context) -> tuple[str, float]:
    """The declared norm and ε. Raises Unavailable where there is none, or nothing to attack."""
    declared = [(norm, context.facts.require[norm]) for norm in THREATS if norm in context.facts.require]
    if not declared:
        raise Unavailable(DECLARE)
    if context.facts.task != "classification":
        raise Unavailable("an attack changes a decision: a regression makes none")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: an attack needs the model, to ask it about moved rows")
    return declared[0]


def _votes(context: Context, norm: str) -> Smoothed | None:
    """The votes over noise that the model is, loaded from a folder or not, where their radius is of this norm."""
    model = context.model
    model = model if isinstance(model, Wrapped) else getattr(model, "inner", model)
    return model if isinstance(model, Smoothed) and norm == "l2" else None


@dataclass(frozen=True)
class _Numbers:
    """How rows become an array of floats and again what the model takes. `whole`: they are no floats as given."""

    columns: tuple[str, ...] | None
    frame: type | None
    dtype: Any
    whole: bool

    @staticmethod
    def of(split: Split) -> _Numbers:
        """Raises Unavailable where rows are no numbers."""
        one = split.take(np.arange(1))
        if is_frame(one):
            return _Numbers(tuple(one.columns), type(one), np.float64, False)
        if not isinstance(one, np.ndarray) or one.dtype.kind not in "iufb":
            raise Unavailable("rows are no numbers, or several arrays: attacks move one by so much in a norm")
        return _Numbers(None, None, np.float64 if one.dtype == np.float64 else np.float32, one.dtype.kind != "f")

    def read(self, split: Split, rows: np.ndarray) -> np.ndarray:
        batch = split.take(rows)
        if self.frame is None:
            return np.asarray(batch).astype(self.dtype)
        try:
            return frame_matrix(batch, self.dtype)
        except BadInput as error:
            raise Unavailable(f"attacks need numbers: {error}") from None

    @property
    def back(self) -> Callable[[torch.Tensor], Any]:
        """Floats → a batch as the model takes it."""
        frame, columns = self.frame, self.columns
        if frame is None or columns is None:
            return lambda x: x.detach().numpy()
        return lambda x: frame(dict(zip(columns, x.detach().numpy().T, strict=True)))


def _box(context: Context, known: _Numbers) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest value: of each column where rows are flat, else of all of x."""
    ends: list[np.ndarray] = []
    for name in ("validation", "train"):
        split: Split | None = getattr(context.subject, name)
        if split is None:
            continue
        rows = np.arange(len(split)) if name == "validation" else sample(split, BOX_ROWS, context.seed, "box")
        for batch in np.array_split(rows, -(-len(rows) // context.batch_size)):
            values = known.read(split, batch)
            axes = 0 if values.ndim == 2 else None
            values = np.where(np.isfinite(values), values, np.nan)
            ends += [np.fmin.reduce(values, axis=axes), np.fmax.reduce(values, axis=axes)]
    both = np.stack(ends)  # NaN of a column that lacks all values of a batch
    return torch.from_numpy(np.asarray(np.fmin.reduce(both))), torch.from_numpy(np.asarray(np.fmax.reduce(both)))


def _certified(model: Smoothed, x: np.ndarray, about: dict[str, Any], notes: list[str]) -> AttackedData:
    """What votes over noise guarantee: an attack on them would take hundreds of passes for each of its own."""
    start = time.perf_counter()
    decided, radius = model.certify(x, CERTIFYING)
    clean = decided == about["y"]
    held = clean & (radius > about["eps"])
    return AttackedData(
        **about,
        access="certified",
        clean=clean,
        by=np.where(clean & ~held, 0, -1).astype(np.int8),
        distance=np.where(clean, radius, 0.0).astype(np.float32),
        attacks=("no certificate",),
        tried=(int(clean.sum()),),
        seconds=(time.perf_counter() - start,),
        checks={},
        notes=(*notes, "No attack was run: of rows without a certificate some may hold all the same."),
    )


def _exact(
    affine: tuple[np.ndarray, np.ndarray], x: np.ndarray, about: dict[str, Any], notes: list[str]
) -> AttackedData:
    wide = x.astype(np.float64)
    clean = (wide @ affine[0].T + affine[1]).argmax(axis=1) == about["y"]
    distance = linear.distances(*affine, wide, about["y"], about["norm"])
    fooled = clean & (distance <= about["eps"])
    return AttackedData(
        **about,
        access="exact",
        clean=clean,
        by=np.where(fooled, 0, -1).astype(np.int8),
        distance=np.where(clean, distance, 0.0).astype(np.float32),
        attacks=("closed form",),
        tried=(int(clean.sum()),),
        seconds=(0.0,),
        checks={},
        notes=(*notes, "The model is linear: its smallest changes are exact, and not kept within x's own range."),
    )
