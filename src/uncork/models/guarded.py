"""A model that answers where it may, says which classes are left where it may not, or hands the row over."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from uncork.models.base import Model, Output, is_frame
from uncork.models.wrapped import Wrapped
from uncork.schema.certificate import Certificate
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Decision:
    """What is said of one row.

    `answer`: a class (its name where the model knows it, else its position), a value in a regression, or None where the
    row is handed over. `among`: of a row that is handed over, the classes that are left; () where that rules nothing
    out. `interval`: (low, high) about a value. `by_fallback`: whether the fallback answered.
    """

    answer: Any
    among: tuple[Any, ...] = ()
    interval: tuple[float, float] | None = None
    by_fallback: bool = False

    @property
    def kind(self) -> str:
        """ "answer", "set" where classes are ruled out but more than an answer is left, or "handed over"."""
        return "answer" if self.answer is not None else "set" if self.among else "handed over"


def sure_of(logits: Float[np.ndarray, "b k"]) -> Float[np.ndarray, " b"]:
    """Each row's largest probability, in 64 bits."""
    largest: Float[np.ndarray, " b"] = softmax(logits.astype(np.float64), axis=1).max(axis=1)
    return largest


class Guarded(Wrapped):
    """`inner`, which answers where its confidence reaches the certificate's threshold: no other decision is changed.

    `fallback`: a model with the same outputs that is asked about the other rows alone, and answers where its own
    confidence reaches the same threshold; the certificate is then of the answers of both. What neither answers is
    handed over, with the logits of `inner`: `Output.answered` is False. `left`: the conformal quantile of 1 − the
    label's probability, over rows handed over: classes at or below it are what is left there (infinite: nothing is
    ruled out), which holds the truth for a share `coverage` of such rows.
    Raises BadInput where there is no threshold, or the fallback has other outputs.
    """

    called = "a guard"

    def __init__(
        self,
        inner: Model,
        certificate: Certificate,
        *,
        left: float = math.inf,
        coverage: float | None = None,
        fallback: Model | None = None,
    ) -> None:
        super().__init__(inner)
        if certificate.threshold is None:
            raise BadInput(
                "the certificate has no threshold: nothing could be guaranteed, so there is nothing to guard"
            )
        if fallback is not None:
            sizes = [m.n_outputs or None for m in (inner, fallback)]  # 0 of a torch module that hasn't run yet
            if fallback.task != self.task or (None not in sizes and sizes[0] != sizes[1]):
                raise BadInput(
                    f"the fallback has {sizes[1]} outputs for {fallback.task}, the model {sizes[0]}: give one for the "
                    "same classes"
                )
        self.certificate, self.left, self.coverage, self.fallback = certificate, float(left), coverage, fallback
        self.threshold = certificate.threshold
        # Of the day nothing is told: the same rows make the same model on any.
        told = {k: v for k, v in dataclasses.asdict(certificate).items() if k != "date"}
        told["left"] = None if math.isinf(left) else self.left
        self.told = {"guard": told}
        if fallback is not None:
            told["fallback"] = fallback.fingerprint()

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits of whoever answers, of `inner` where nobody does; `answered` (b,)."""
        out, answered, _ = self._asked(batch, features)
        return dataclasses.replace(out, answered=answered)

    def decide(self, batch: Any, names: Sequence[Any] | None = None) -> list[Decision]:
        """One Decision for each row of a batch; classes by `names`, else by the model's own or their positions."""
        named = _named(self, names)
        out, answered, by_fallback = self._asked(batch)
        left = 1 - softmax(out.logits.astype(np.float64), axis=1) <= self.left
        left[left.all(axis=1)] = False
        return [
            Decision(named[row.argmax()], by_fallback=bool(by_fallback[i]))
            if answered[i]
            else Decision(None, tuple(named[left[i]]))
            for i, row in enumerate(out.logits)
        ]

    def _asked(
        self, batch: Any, features: bool = False
    ) -> tuple[Output, Bool[np.ndarray, " b"], Bool[np.ndarray, " b"]]:
        """(the outputs, which rows are answered, which of them by the fallback)."""
        out = self.inner.outputs(batch, features)
        answered = reaches(out, self.threshold)
        by_fallback = np.zeros(len(answered), bool)
        rest = np.flatnonzero(~answered)
        if self.fallback is None or not len(rest):
            return out, answered, by_fallback
        second = self.fallback.outputs(rows_of(batch, rest))
        taken = reaches(second, self.threshold)
        logits = out.logits.copy()
        logits[rest[taken]] = second.logits[taken]
        by_fallback[rest[taken]] = True
        return dataclasses.replace(out, logits=logits), answered | by_fallback, by_fallback


def reaches(out: Output, threshold: float) -> Bool[np.ndarray, " b"]:
    """Which rows are answered at a threshold, of those that the model does not hand over itself."""
    sure = sure_of(out.logits) >= threshold
    return sure if out.answered is None else sure & out.answered


def rows_of(batch: Any, rows: np.ndarray) -> Any:
    """Some rows of a batch as `Split.take` gives it."""
    if is_frame(batch):
        return batch.iloc[rows] if hasattr(batch, "iloc") else batch[rows]
    if isinstance(batch, Mapping):
        return {name: part[rows] for name, part in batch.items()}
    return [batch[i] for i in rows] if isinstance(batch, list) else batch[rows]


class HandedOver(Wrapped):
    """`inner` that hands a `share` of what it answers over at random: what a guard has to beat.

    Which ones follows from the batch's logits and the seed, so that the same batch is answered alike each time.
    """

    called = "rows handed over at random"

    def __init__(self, inner: Model, share: float, seed: int) -> None:
        super().__init__(inner)
        self.share, self.seed = float(share), int(seed)
        self.told = {"handed_over_at_random": self.share, "seed": self.seed}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        out = self.inner.outputs(batch, features)
        digest = hashlib.blake2b(out.logits.tobytes(), digest_size=8).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(digest, "little")])
        kept = rng.random(len(out.logits)) >= self.share
        return dataclasses.replace(out, answered=kept if out.answered is None else kept & out.answered)


class Bounded:
    """A regression model that says how far off it may be: value ± `widths`, which holds a share `coverage` of truths.

    `edges` (w − 1,), rising, cut the predicted values into as many parts as there are `widths` (w,); a value at an edge
    belongs to the part above. An infinite width bounds nothing. `n`: rows they were calibrated on; `date`: the day.
    Raises BadInput where `inner` does classification, or edges and widths don't fit.
    """

    task, called = "regression", "intervals"
    classes: tuple[str, ...] | None = None

    def __init__(
        self,
        inner: Model,
        edges: Sequence[float] | np.ndarray,
        widths: Sequence[float] | np.ndarray,
        *,
        coverage: float,
        n: int,
        date: str = "",
    ) -> None:
        if inner.task != "regression":
            raise BadInput("intervals are about values: this model does classification, which Guarded is for")
        self.edges, self.widths = np.asarray(edges, np.float64), np.asarray(widths, np.float64)
        if len(self.widths) != len(self.edges) + 1 or (np.diff(self.edges) <= 0).any() or not (self.widths >= 0).all():
            raise BadInput("intervals need rising edges and one width of 0 or more for each part between them")
        self.inner, self.coverage, self.n, self.date = inner, float(coverage), int(n), date
        self.has_inputs, self.accepts_nan = inner.has_inputs, inner.accepts_nan
        self.told = {"edges": self.edges.tolist(), "widths": [_finite(w) for w in self.widths], "coverage": coverage}

    @property
    def n_outputs(self) -> int:
        return self.inner.n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return self.inner.outputs(batch, features)

    def decide(self, batch: Any) -> list[Decision]:
        """One Decision for each row of a batch: its value and the interval about it."""
        values = self.outputs(batch).logits[:, 0]
        widths = self.widths[np.searchsorted(self.edges, values, side="right")]
        return [
            Decision(float(value), interval=(float(value - width), float(value + width)))
            for value, width in zip(values, widths, strict=True)
        ]

    def fingerprint(self) -> str:
        return f"{self.inner.fingerprint()}-{self.told}"

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), "intervals": self.told}


def decide(model: Model, batch: Any, names: Sequence[Any] | None = None) -> list[Decision]:
    """What any model says of each row of a batch; classes by `names`, else by the model's own or their positions."""
    if isinstance(model, Guarded):
        return model.decide(batch, names)
    if isinstance(model, Bounded):
        return model.decide(batch)
    out = model.outputs(batch)
    if model.task == "regression":
        return [Decision(value) for value in out.logits[:, 0].tolist()]
    answers = _named(model, names)[out.logits.argmax(axis=1)]
    answered = np.ones(len(answers), bool) if out.answered is None else out.answered
    return [Decision(answer if given else None) for answer, given in zip(answers, answered, strict=True)]


def _named(model: Model, names: Sequence[Any] | None) -> np.ndarray:
    return np.array(names or model.classes or range(model.n_outputs), dtype=object)


def _finite(width: float) -> float | None:
    return None if math.isinf(width) else float(width)
