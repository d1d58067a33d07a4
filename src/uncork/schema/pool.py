"""The Pool: models retrained on designed subsets of train, stored once and read by many probes.

Train is cut into 2 halves, 4 quarters and 8 eighths, nested, by a permutation of its own, and so on with further
permutations: every row is then in and out of equally many models of each size. Beside them models of all of train, and
arms: the same models with one thing changed, so that differences are paired.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from uncork.schema.artifacts import PassData, Request
from uncork.schema.errors import BadInput
from uncork.schema.given_pool import FoldTable, GivenPool, of_checkpoints, of_predictions, of_table

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

#: What the arms of "tuning" multiply the learning rate by.
RATES: Mapping[str, float] = {"lr-over-8": 1 / 8, "lr-x8": 8.0, "lr-over-64": 1 / 64, "lr-x64": 64.0}

#: What can be asked by changing one thing, and the arms that answer it; of several, the one screened best is confirmed.
#: In the order in which they are trained; where the budget is short they are left out from the end.
QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "labels": ("drop-flagged",),
    "tuning": tuple(RATES),
    "regularisation": ("decay-x30",),
    "steps": ("steps-x4",),
    "capacity": ("width-x4",),
    "balance": ("balanced",),
    "excess": ("width-over-4",),
}

#: Arms that are tried only where the nearer one gains in the screen: a search goes on where it gets better.
FURTHER: Mapping[str, str] = {"lr-over-64": "lr-over-8", "lr-x64": "lr-x8"}

#: Models of all of train, by the recipe and by each confirmed arm, that a probe asks for. Fewer prove little: where
#: seeds are all there is to vary, three give a t interval twice as wide as five, and a bound 2.6 times as far below the
#: estimate once it is corrected for seven questions.
SEEDS = 5
FEWEST_SEEDS = 3

_FIRST = ("labels", "tuning")  # the questions that are left out last

#: Plain members by size: (field of the request, one part in so many of train), in the order of training.
SIZES = (("full", 1), ("halves", 2), ("quarters", 4), ("eighths", 8))

#: Size of the members that were brought as out-of-fold predictions: trained on all of train but a fold.
FOLD = 0


@dataclass(frozen=True)
class Pool(Request):
    """Asks for so many models of each size, in whole permutations, and for arms.

    `full`: models of all of train, by the recipe and by each confirmed arm, from other seeds each.
    """

    halves: int = 0
    quarters: int = 0
    eighths: int = 0
    full: int = 0
    questions: tuple[str, ...] = ()
    kind: ClassVar[str] = "pool"

    def __post_init__(self) -> None:
        unknown = [q for q in self.questions if q not in QUESTIONS]
        counts = {size: getattr(self, name) for name, size in SIZES}
        if unknown or any(count < 0 or count % size for size, count in counts.items()):
            raise ValueError(
                f"{self}: give whole permutations (halves by 2, quarters by 4, eighths by 8) and {QUESTIONS}"
            )
        object.__setattr__(self, "questions", tuple(q for q in QUESTIONS if q in self.questions))

    def covers(self, other: Request) -> bool:
        return (
            isinstance(other, Pool)
            and all(getattr(self, name) >= getattr(other, name) for name, _ in SIZES)
            and set(self.questions) >= set(other.questions)
        )

    def merged(self, other: Pool) -> Pool:
        """The smallest pool that covers both."""
        most = {name: max(getattr(self, name), getattr(other, name)) for name, _ in SIZES}
        return Pool(**most, questions=(*self.questions, *other.questions))

    def within(self, limit: Pool) -> Pool:
        """What of this is also asked for by `limit`."""
        least = {name: min(getattr(self, name), getattr(limit, name)) for name, _ in SIZES}
        return Pool(**least, questions=tuple(q for q in self.questions if q in limit.questions))

    def smaller(self) -> Pool | None:
        """The next smaller pool where this one is too dear, what matters least left out; None where nothing is left."""
        if self.full > FEWEST_SEEDS:
            return dataclasses.replace(self, full=FEWEST_SEEDS)
        first, rest = (tuple(q for q in self.questions if (q in _FIRST) == first) for first in (True, False))
        if rest:
            return dataclasses.replace(self, questions=(*first, *rest[:-1]))
        for name, least in (("halves", 8), ("eighths", 0), ("quarters", 0), ("halves", 4)):
            if getattr(self, name) > least:
                counts = {other: getattr(self, other) for other, _ in SIZES}
                return Pool(**{**counts, name: least}, questions=self.questions)
        if first:
            return dataclasses.replace(self, questions=first[:-1])
        if self.halves and self.full:
            return Pool(full=self.full)
        return Pool() if self != Pool() else None

    def without(self, smaller: Pool) -> list[str]:
        """The sizes, questions and arms that `smaller` has fewer of; "pool" where nothing is left."""
        names = [name for name, _ in SIZES if getattr(self, name) > getattr(smaller, name)]
        if "full" in names and smaller.full:
            names[names.index("full")] = "seeds"  # fewer are there, and nothing is missing for want of them
        for question in set(self.questions) - set(smaller.questions):
            names += [question, *QUESTIONS[question]]
        return [*names, "pool"] if smaller == Pool() else names

    def label(self) -> str:
        parts = [f"{getattr(self, name)} {name}" for name, _ in SIZES if getattr(self, name)]
        return "retrained models: " + ", ".join([*parts, *self.questions])

    @staticmethod
    def from_predictions(
        probabilities: Any,
        folds: Any = None,
        *,
        ids: Any = None,
        repeat: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> GivenPool:
        """Out-of-fold predictions that are there already, for `audit(subject, pool=...)`: nothing is retrained.

        `probabilities`: (n, K) of the rows of train, or of several repeats a sequence of such arrays; of two classes
        also (n,), of the second; in a regression the predicted values (n,). `folds`: (n,) ints, or one such array for
        each repeat: the fold whose model did not see the row. `ids`: (n,) ids of train; without, the rows stand in the
        order of train's. Or `probabilities` is a path to a CSV or Parquet table, and `folds` (default "fold"), `ids`,
        `repeat` (default "repeat", where there is such a column) and `columns` (of probabilities) name columns of it.
        Raises BadInput where a shape doesn't fit, a fold is missing, or a row is no distribution.
        """
        if isinstance(probabilities, str | PathLike):
            chosen = None if columns is None else tuple(columns)
            return of_table(FoldTable(str(probabilities), "fold" if folds is None else folds, repeat, ids, chosen))
        if repeat is not None or columns is not None:
            raise BadInput(
                "repeat and columns name columns of a table: give arrays in the order of repeats and classes"
            )
        return of_predictions(probabilities, folds, ids)

    @staticmethod
    def from_checkpoints(models: Sequence[Any]) -> GivenPool:
        """Models that were trained on all of train from several seeds, for `audit(subject, pool=...)`.

        Whatever `Subject` takes as model, or paths to weights for what its recipe builds. 3 or more answer most.
        Raises BadInput where there are fewer than 2, or one is given twice.
        """
        return of_checkpoints(models)


@dataclass(frozen=True, eq=False)
class PoolData:
    """Answer to `Pool`: m models of train's n rows, and their outputs on all of train and on the v rows of validation.

    size (m,): trained on one part in so many of train (1, 2, 4, 8); permutation, part (m,): which part of which
    permutation (of full members permutation counts the seeds, and part is 0). brought: the user's own models; those of
    size `FOLD` saw all but fold `part` of repeat `permutation`, and have outputs on the rows of that fold alone: zeros
    on the others, and no rows of validation. arm: what was changed, "" for nothing;
    an arm's member has the rows and the seed of the plain member of the same size, permutation and part, but for the
    rows that the arm itself drops or repeats. steps (m,): optimiser steps taken, 0 where unknown; seconds (m,): wall
    time. included (m, ⌈n/8⌉): the rows trained on, packed bits (`trained_on`).
    on_train (m, n, K), on_validation (m, v, K): logits as in `PassData`, in regression (m, ·, 1) float32 values.
    y (n,), clusters (n,): labels of train, and which rows are kept together (groups and exact copies).
    validation_y, validation_clusters (v,): the same of validation. flagged (n,): rows that `drop-flagged` left out;
    no rows where it was not asked. left_out: what was asked for and is not there (sizes, questions, arms, or "pool" for
    all of it), with the reason; no models at all where the subject can't be retrained. matched: whether models of all
    sizes took the same number of steps. parameters: of the plain net ("") and of the width arms, by arm.
    repeated: share of the rows of validation that are copies of rows of train, which unseen rows of train never are.
    seed_variances: by confirmed arm, how much the metric on validation varies between its models of all of train, with
    degrees of freedom (`derived.arms`): of all arms of the plan, in a part of the pool too, as they inform each other.
    """

    task: str
    size: Int[np.ndarray, " m"]
    permutation: Int[np.ndarray, " m"]
    part: Int[np.ndarray, " m"]
    arm: tuple[str, ...]
    steps: Int[np.ndarray, " m"]
    seconds: Float[np.ndarray, " m"]
    included: UInt8[np.ndarray, "m b"]
    on_train: Float[np.ndarray, "m n k"]
    on_validation: Float[np.ndarray, "m v k"]
    y: np.ndarray
    clusters: Int[np.ndarray, " n"]
    validation_y: np.ndarray
    validation_clusters: Int[np.ndarray, " v"]
    flagged: Bool[np.ndarray, " n"]
    left_out: dict[str, str]
    matched: bool
    parameters: dict[str, int]
    brought: bool = False
    repeated: float = 0.0
    seed_variances: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.size)

    @property
    def trained_on(self) -> Bool[np.ndarray, "m n"]:
        """Which rows of train each model was trained on."""
        return np.unpackbits(self.included, axis=1, count=len(self.y)).astype(bool)

    def members(self, size: int, arm: str = "") -> Int[np.ndarray, " k"]:
        """Positions of the models of one size and arm, by permutation and part."""
        chosen = np.flatnonzero((self.size == size) & (np.array(self.arm, dtype=object) == arm))
        return chosen[np.lexsort((self.part[chosen], self.permutation[chosen]))]

    def pairs(self, size: int, arm: str) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
        """(plain, changed): the models of an arm, and the plain ones of the same rows and seed, in the same order."""
        plain = {(self.permutation[i], self.part[i]): i for i in self.members(size)}
        changed = [i for i in self.members(size, arm) if (self.permutation[i], self.part[i]) in plain]
        return (
            np.array([plain[self.permutation[i], self.part[i]] for i in changed], dtype=np.int64),
            np.array(changed, dtype=np.int64),
        )

    def train_pass(self, member: int) -> PassData:
        """A model's outputs on all of train, seen and unseen rows."""
        return self._pass(self.on_train[member], self.y, self.clusters)

    def validation_pass(self, member: int) -> PassData:
        """A model's outputs on validation."""
        return self._pass(self.on_validation[member], self.validation_y, self.validation_clusters)

    def _pass(self, outputs: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> PassData:
        if self.task == "classification":
            return PassData.of_logits(outputs, y, clusters=clusters)
        return PassData.of_values(outputs[:, 0], y, clusters=clusters)

    def prefix(self, request: Pool) -> PoolData:
        """What a smaller request would have been answered: the same, whatever else was asked for; but that members with
        dropout, where they are trained in a stack, draw other masks in another stack.

        Of models that were brought all of the sizes asked for; folds stand in for halves.
        """
        arms = {"", *(arm for question in request.questions for arm in QUESTIONS[question])}
        counts = {size: getattr(request, name) for name, size in SIZES}
        counts[FOLD] = request.halves
        if self.brought:
            counts = {size: len(self) * (asked > 0) for size, asked in counts.items()}
        index = self.permutation * self.size + self.part
        kept = np.array([a in arms for a in self.arm], dtype=bool)
        kept &= index < np.array([counts[int(s)] for s in self.size], dtype=np.int64)
        chosen = self.take(np.flatnonzero(kept))
        names = {*arms, *request.questions, *(name for name, _ in SIZES), "pool"}
        left_out = {name: why for name, why in self.left_out.items() if name in names}
        parameters = {arm: count for arm, count in self.parameters.items() if arm in arms}
        flagged = self.flagged if "labels" in request.questions else np.zeros(len(self.y), bool)
        return dataclasses.replace(chosen, left_out=left_out, parameters=parameters, flagged=flagged)

    def take(self, members: Sequence[int] | np.ndarray) -> PoolData:
        """The same with some of the models."""
        chosen = np.asarray(members, dtype=np.int64)
        names = ("size", "permutation", "part", "steps", "seconds", "included", "on_train", "on_validation")
        arrays = {name: getattr(self, name)[chosen] for name in names}
        return dataclasses.replace(self, arm=tuple(self.arm[i] for i in chosen), **arrays)
