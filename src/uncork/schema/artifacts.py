"""What is gathered once and shared: requests (what a probe asks for) and data (what it gets).

A request is a small frozen dataclass; a gatherer answers it with the data class beside it.
Data hold NumPy arrays and JSON values only, so that a probe's test needs neither model nor training.
They compare by identity, which lets derived quantities be memoised on them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

    Rows = Int[np.ndarray, "n"]


@dataclass(frozen=True)
class Request:
    """Asks for one artifact. Subclasses add the parameters.

    `trains`: whether models beside the pool's are trained for it, so that a training has to be timed.
    """

    kind: ClassVar[str]
    trains: ClassVar[bool] = False

    def key(self) -> str:
        """Canonical text of the request: what the store's address is made from."""
        return json.dumps({"kind": self.kind, **dataclasses.asdict(self)}, sort_keys=True)

    def digest(self) -> str:
        return hashlib.blake2b(self.key().encode(), digest_size=8).hexdigest()

    def covers(self, other: Request) -> bool:
        """Whether this request's artifact also answers `other`."""
        return self == other

    def label(self) -> str:
        """A few words for progress lines."""
        return self.kind


@dataclass(frozen=True)
class Facts(Request):
    """What is known without measuring: task, metric, class names, requirements, sizes."""

    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Pass(Request):
    """The model's outputs on a split: train or validation. (Test belongs to `run/verify.py`.)

    `rows`: at most so many rows, a seeded sample. `features`: the penultimate features too.
    `transform` and `variant` name a change of the input or of the model.
    """

    split: str = "validation"
    transform: str | None = None
    variant: str | None = None
    rows: int | None = None
    features: bool = False
    kind: ClassVar[str] = "pass"

    def covers(self, other: Request) -> bool:
        return (
            isinstance(other, Pass)
            and dataclasses.replace(self, features=other.features) == other
            and self.features >= other.features
        )

    def label(self) -> str:
        return f"outputs on {self.split}"


@dataclass(frozen=True)
class Fingerprints(Request):
    """Hashes of the raw rows of every split, and near duplicates between train and the other two."""

    kind: ClassVar[str] = "fingerprints"

    def label(self) -> str:
        return "fingerprints of the rows"


@dataclass(frozen=True)
class Profile(Request):
    """Size and speed of the model on one row and on a batch."""

    kind: ClassVar[str] = "profile"

    def label(self) -> str:
        return "size and speed"


@dataclass(frozen=True)
class Trial(Request):
    """Rival families, and the recipe, by a few settings each: screened inside train, the best scored on validation.

    `trials`: at most so many settings of each; how many they are is decided by the size of train.
    """

    families: tuple[str, ...] = ("linear", "knn", "gbdt", "xgboost", "lightgbm")
    trials: int = 4
    kind: ClassVar[str] = "trial"
    trains: ClassVar[bool] = True

    def label(self) -> str:
        return "rivals: " + ", ".join(self.families)


@dataclass(frozen=True)
class CodeLength(Request):
    """Bits in which families simpler than the model write train's labels, each row by fits on others."""

    kind: ClassVar[str] = "code-length"

    def label(self) -> str:
        return "description lengths of simpler families"


@dataclass(frozen=True)
class Relabelled(Request):
    """Rows of train that were labelled anew, and random ones to label anew."""

    kind: ClassVar[str] = "relabelled"

    def label(self) -> str:
        return "rows labelled anew"


@dataclass(frozen=True)
class TwoSample(Request):
    """How well rows of validation can be told from rows of train by their inputs alone."""

    kind: ClassVar[str] = "two-sample"

    def label(self) -> str:
        return "train against validation"


@dataclass(frozen=True, eq=False)
class FactsData:
    """Answer to `Facts`. `class_counts`: rows of train per class, empty for regression or no train."""

    task: str
    metric: Any
    classes: tuple[str, ...]
    require: dict[str, float]
    sizes: dict[str, int]
    class_counts: tuple[int, ...]
    has_recipe: bool
    has_inputs: bool


@dataclass(frozen=True, eq=False)
class PassData:
    """Answer to `Pass`. Loss, margin and the decision come from 32-bit logits; the rest is stored in 16.

    logits: (n, K) float16, shifted so that each row's largest is 0 (softmax is unchanged); (n, 0) for regression.
    predicted: (n,) the decision (argmax), or the predicted value. y: (n,) class index or target.
    loss: (n,) float32, cross-entropy in nats, or squared error. margin: (n,) float32, logit of the label
    minus the largest other logit (0 for regression). features: (n, d) float16, or (n, 0).
    rows: (n,) positions in the split. clusters: (n,) group of each row; the row itself where none is given.
    answered: (n,) False where the model hands the row over instead of deciding it.
    """

    task: str
    logits: Float[np.ndarray, "n k"]
    predicted: np.ndarray
    y: np.ndarray
    loss: Float[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    features: Float[np.ndarray, "n d"]
    rows: Int[np.ndarray, " n"]
    clusters: Int[np.ndarray, " n"]
    answered: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.y)

    @staticmethod
    def of_logits(
        logits: Float[np.ndarray, "n k"],
        y: np.ndarray,
        *,
        features: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        clusters: np.ndarray | None = None,
        answered: np.ndarray | None = None,
    ) -> PassData:
        """From (n, K) logits and class indices. Loss, margin and decision are computed before rounding to 16 bits."""
        wide = np.asarray(logits, dtype=np.float32)
        at = np.arange(len(wide))
        shifted = wide - wide.max(axis=1, keepdims=True)
        label = shifted[at, y]
        loss = np.log(np.exp(shifted).sum(axis=1)) - label
        others = shifted.copy()
        others[at, y] = -np.inf
        rows = at if rows is None else rows
        return PassData(
            task="classification",
            logits=np.maximum(shifted, -6e4).astype(np.float16),
            predicted=wide.argmax(axis=1).astype(np.int64),
            y=np.asarray(y, dtype=np.int64),
            loss=loss.astype(np.float32),
            margin=(label - others.max(axis=1)).astype(np.float32),
            features=_half(features, len(wide)),
            rows=rows,
            clusters=rows if clusters is None else clusters,
            answered=np.ones(len(rows), bool) if answered is None else answered,
        )

    @staticmethod
    def of_values(
        predicted: np.ndarray,
        y: np.ndarray,
        *,
        features: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        clusters: np.ndarray | None = None,
        answered: np.ndarray | None = None,
    ) -> PassData:
        """From (n,) predicted values and targets of a regression."""
        predicted, y = np.asarray(predicted, dtype=np.float64), np.asarray(y, dtype=np.float64)
        n = len(y)
        rows = np.arange(n) if rows is None else rows
        return PassData(
            task="regression",
            logits=np.zeros((n, 0), np.float16),
            predicted=predicted,
            y=y,
            loss=((predicted - y) ** 2).astype(np.float32),
            margin=np.zeros(n, np.float32),
            features=_half(features, n),
            rows=rows,
            clusters=rows if clusters is None else clusters,
            answered=np.ones(len(rows), bool) if answered is None else answered,
        )

    @staticmethod
    def concatenate(parts: list[PassData]) -> PassData:
        """Batches of one pass, in order."""
        arrays = {
            f.name: np.concatenate([getattr(p, f.name) for p in parts])
            for f in dataclasses.fields(PassData)
            if f.name != "task"
        }
        return PassData(task=parts[0].task, **arrays)

    def take(self, rows: np.ndarray) -> PassData:
        """The same for some of the rows (positions in this artifact, or a mask)."""
        arrays = {
            f.name: getattr(self, f.name)[rows]
            for f in dataclasses.fields(self)
            if isinstance(getattr(self, f.name), np.ndarray)
        }
        return dataclasses.replace(self, **arrays)


def _half(features: np.ndarray | None, n: int) -> np.ndarray:
    if features is None:
        return np.zeros((n, 0), np.float16)
    halved: np.ndarray = np.clip(features, -6e4, 6e4).astype(np.float16)
    return halved


@dataclass(frozen=True, eq=False)
class FingerprintsData:
    """Answer to `Fingerprints`.

    train, validation, test: (n, 16) uint8 hashes of the raw rows; 0 rows where the split is absent, or where test is
    described as validation.
    near_pairs: (m, 2) int64, (row of train, row of `near_split`), exact copies left out; near_split: (m,) 1 for
    validation, 2 for test. near_distance: (m,) raw distance over the usual distance to the nearest row of train.
    near_queried: rows of (validation, test) whose nearest train row was looked up.
    spiked, spiked_found: planted near duplicates, and how many of them the search found.
    """

    train: UInt8[np.ndarray, "n 16"]
    validation: UInt8[np.ndarray, "v 16"]
    test: UInt8[np.ndarray, "t 16"]
    near_pairs: Int[np.ndarray, "m 2"]
    near_split: Int[np.ndarray, " m"]
    near_distance: Float[np.ndarray, " m"]
    near_queried: tuple[int, int]
    spiked: int
    spiked_found: int


@dataclass(frozen=True, eq=False)
class ProfileData:
    """Answer to `Profile`. Times in seconds on this machine; bytes of the parameters; None where unknown."""

    parameters: int | None
    bytes: int | None
    batch_size: int
    single_seconds: Float[np.ndarray, " runs"]
    batch_seconds: Float[np.ndarray, " runs"]
    device: str


@dataclass(frozen=True, eq=False)
class TrialData:
    """Answer to `Trial`. `screened`: each family's metric (display unit) by its best setting, on the rows of train held
    out for screening, `screen_rows` of them; `seconds`: wall time of its fits; `passed`: the winner on validation.

    trials: settings tried of each. settings: the best of each family, in words. setting: the winner's, by position.
    numbers: fitted ones of the winner, 0 where they aren't counted; model_numbers: the model's, likewise. left_out:
    families that weren't tried, and why. tuned: None where the recipe wasn't tuned, for the reason in `untuned`.
    """

    families: tuple[str, ...]
    screened: tuple[float, ...]
    seconds: tuple[float, ...]
    screen_rows: int
    fitted_rows: int
    winner: str
    passed: PassData
    trials: int = 1
    settings: tuple[str, ...] = ()
    setting: int = 0
    numbers: int = 0
    model_numbers: int = 0
    left_out: tuple[str, ...] = ()
    tuned: TunedData | None = None
    untuned: str = ""


@dataclass(frozen=True, eq=False)
class TunedData:
    """The recipe by the best of as many settings as a rival gets: `setting`, `screened`, `seconds` as of a rival.

    passed: trained anew by it on all of train, on the rows of validation that the rival is scored on.
    """

    setting: str
    screened: float
    seconds: float
    passed: PassData


@dataclass(frozen=True, eq=False)
class CodeLengthData:
    """Answer to `CodeLength`. families: those that were fitted. bits (f, 3, n): what each row of train costs by fits on
    an eighth, a quarter and a half of train that did not see it, mean over them. seconds: wall time of the fits of each
    family. reason: why there is none, or not every family; "" where there is.
    """

    families: tuple[str, ...]
    bits: Float[np.ndarray, "f 3 n"]
    seconds: tuple[float, ...]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class RelabelledData:
    """Answer to `Relabelled`. rows, labels (k,): rows of train that were labelled anew, by position, and the classes
    they were given; none where nothing was brought.
    asked: ids of random rows of train, in a random order, so that the first of them are a random subset too.
    """

    rows: Int[np.ndarray, " k"]
    labels: Int[np.ndarray, " k"]
    asked: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TwoSampleData:
    """Answer to `TwoSample`: m rows of train and validation, and what classifiers that did not see them say.

    score (m,): larger where a row looks more like validation's; of the classifier fitted on the other fold, so that
    only scores of one fold can be compared. new (m,): whether the row is validation's. fold (m,): 0 or 1. y (m,): class
    index or target. clusters (m,): rows kept together in one fold (groups and exact copies, of either split).
    seconds: wall time of the fits. reason: why there are no rows; "" where there are.
    """

    score: Float[np.ndarray, " m"]
    new: Bool[np.ndarray, " m"]
    fold: Int[np.ndarray, " m"]
    y: np.ndarray
    clusters: Int[np.ndarray, " m"]
    seconds: float
    reason: str = ""

    def __len__(self) -> int:
        return len(self.score)

    def of_fold(self, fold: int) -> TwoSampleData:
        """The rows of one fold."""
        arrays = {name: getattr(self, name)[self.fold == fold] for name in ("score", "new", "fold", "y", "clusters")}
        return dataclasses.replace(self, **arrays)
