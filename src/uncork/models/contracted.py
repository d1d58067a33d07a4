"""A model that knows what its inputs look like, and hands over rows that look otherwise."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import Model, Output, is_frame
from uncork.models.guarded import rows_of
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

MARGINS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
REFUSED = 1e-3  # of rows like those learnt from
MOST_WORDS = 100  # different values of a column that count as its categories
_WHOLE = ("least", "largest", "mean", "spread")


@dataclass(frozen=True)
class InputContract:
    """What rows have to look like.

    `kind`: "array", "frame" or "text". `shape`: of a row, or the names of a frame's columns. `dtype`: NumPy's letter
    for the kind of number. `names` (s): what is worked out of each row: of arrays least, largest, mean and spread by
    channel, of two-dimensional ones and frames each column too, of texts length and shares of characters. low, high
    (s,): where each must lie. `missing`, `whole` (s): whether NaN was seen, and whether all was whole numbers.
    `words`: the values of columns that hold categories; of texts the characters seen. `rows`: learnt from so many.
    """

    kind: str
    shape: tuple[Any, ...]
    dtype: str
    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    missing: tuple[bool, ...]
    whole: tuple[bool, ...]
    words: dict[str, tuple[str, ...]]
    margin: float
    rows: int

    @staticmethod
    def of_json(spec: Mapping[str, Any]) -> InputContract:
        """From what `dataclasses.asdict` and JSON made of one."""
        parts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in spec.items()
        }
        parts["words"] = {name: tuple(values) for name, values in spec["words"].items()}
        return InputContract(**parts)

    def refusal(self, batch: Any) -> str:
        """Why no row of the batch can be looked at: another kind, shape or type of numbers; "" where they can."""
        kind, shape, dtype = _form(batch)
        if kind != self.kind:
            return f"rows are {kind}s, not {self.kind}s as in training"
        if shape != self.shape:
            what = "columns" if kind == "frame" else "shape"
            return f"rows have {what} {shape}, not {self.shape} as in training"
        return f"rows hold numbers of type {dtype!r}, not {self.dtype!r} as in training" if dtype != self.dtype else ""

    def broken(self, batch: Any) -> Bool[np.ndarray, "b s"]:
        """Which of the statistics of which rows lie outside. The batch must not be refused."""
        return self._outside(statistics(batch, self.words)[1])

    def _outside(self, values: Float[np.ndarray, "b s"]) -> Bool[np.ndarray, "b s"]:
        low, high, missing, whole = (np.array(part) for part in (self.low, self.high, self.missing, self.whole))
        absent = np.isnan(values)
        fraction = whole & ~absent & (values != np.rint(values))
        outside: np.ndarray = (values < low) | (values > high) | (absent & ~missing) | fraction
        return outside

    def check(self, batch: Any) -> tuple[str, ...]:
        """What is wrong with a batch, in words, what most rows break first; () where nothing is."""
        refusal = self.refusal(batch)
        if refusal:
            return (refusal,)
        _, values = statistics(batch, self.words)
        outside = self._outside(values)
        said = []
        for s in np.argsort(-outside.sum(axis=0), kind="stable"):
            rows = np.flatnonzero(outside[:, s])
            if len(rows):
                allowed = f"{self.low[s]:.4g} to {self.high[s]:.4g}{', whole' * self.whole[s]}"
                value = f"{values[rows[0], s]:.4g}" if np.isfinite(values[rows[0], s]) else "missing or unknown"
                said.append(f"{self.names[s]}: {value} in row {rows[0]}, not {allowed}; {len(rows)} such rows")
        return tuple(said)


def learn(batches: Sequence[Any]) -> InputContract:
    """The contract that rows in these batches keep: the range of each statistic, and a margin on both sides.

    The margin is a part of the range: the least of `MARGINS` at which ranges of every other row hold for all but
    1 in 1,000 of the rest.
    """
    words = _words(batches)
    names, _ = statistics(batches[0], words)
    values = np.concatenate([statistics(batch, words)[1] for batch in batches])
    kind, shape, dtype = _form(batches[0])
    missing = np.isnan(values).any(axis=0)
    counted = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    known = np.where(np.isnan(values), np.nansum(values, axis=0) / counted, values)  # the mean for what is missing
    columns = np.array([not name.startswith(_WHOLE) and kind != "text" for name in names])
    whole = columns & (known == np.rint(known)).all(axis=0) & ~missing

    def within(rows: np.ndarray, margin: float) -> InputContract:
        low, high = known[rows].min(axis=0), known[rows].max(axis=0)
        room = margin * np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
        ends = tuple((low - room).tolist()), tuple((high + room).tolist())
        flags = tuple(missing.tolist()), tuple(whole.tolist())
        return InputContract(kind, shape, dtype, names, *ends, *flags, words, margin, len(values))

    margin = MARGINS[-1]
    for tried in MARGINS:
        contract = within(np.arange(0, len(values), 2), tried)
        if contract._outside(values[1::2]).any(axis=1).mean() <= REFUSED:
            margin = tried
            break
    return within(np.arange(len(values)), margin)


def statistics(batch: Any, words: dict[str, tuple[str, ...]]) -> tuple[tuple[str, ...], Float[np.ndarray, "b s"]]:
    """(their names, what is worked out of each row); infinite where a category is unknown."""
    if isinstance(batch, list):
        return _of_texts(batch, set(words[""]))
    if is_frame(batch):
        columns = [_column(batch[name].to_numpy(), words.get(name)) for name in batch.columns]
        return tuple(f"column {name}" for name in batch.columns), np.stack(columns, axis=1)
    values = batch.astype(np.float64) if batch.ndim <= 2 else batch
    axis = next((a for a in (1, 3) if batch.ndim == 4 and batch.shape[a] in (1, 3, 4)), None)
    channels = [values] if axis is None else np.moveaxis(values, axis, 0)
    names: list[str] = []
    parts: list[np.ndarray] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of NaN alone have no least value
        for c, part in enumerate(channels):
            flat = part.reshape(len(part), -1)
            gaps = batch.ndim == 2 and np.isnan(flat).any()
            least, largest, mean, spread = (
                (np.nanmin, np.nanmax, np.nanmean, np.nanstd) if gaps else (np.min, np.max, np.mean, np.std)
            )
            of = "" if axis is None else f" of channel {c}"
            names += [f"{name}{of}" for name in _WHOLE]
            parts += [f(flat, axis=1).astype(np.float64) for f in (least, largest, mean, spread)]
    if batch.ndim == 2:
        names += [f"column {i}" for i in range(batch.shape[1])]
        parts += list(values.T)
    return tuple(names), np.stack(parts, axis=1)


def _of_texts(texts: list[str], seen: set[str]) -> tuple[tuple[str, ...], np.ndarray]:
    rows = [
        (len(t), sum(c not in seen for c in t) / max(len(t), 1), sum(c.isupper() for c in t) / max(len(t), 1))
        for t in texts
    ]
    return ("characters", "share of unknown characters", "share of capitals"), np.array(rows, np.float64).reshape(-1, 3)


def _column(values: np.ndarray, words: tuple[str, ...] | None) -> np.ndarray:
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    if words is None:
        return np.zeros(len(values))
    return np.where(np.isin(values.astype(str), words), 0.0, np.inf)


def _words(batches: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    if isinstance(batches[0], list):
        return {"": tuple(sorted({c for batch in batches for text in batch for c in text}))}
    found: dict[str, tuple[str, ...]] = {}
    if is_frame(batches[0]):
        for name in batches[0].columns:
            columns = [batch[name].to_numpy() for batch in batches]
            if columns[0].dtype.kind not in "iufb":
                values = sorted({str(v) for column in columns for v in column})
                if len(values) <= MOST_WORDS:
                    found[str(name)] = tuple(values)
    return found


def _form(batch: Any) -> tuple[str, tuple[Any, ...], str]:
    if isinstance(batch, list):
        return "text", (), ""
    if is_frame(batch):
        return "frame", tuple(str(name) for name in batch.columns), ""
    return "array", tuple(batch.shape[1:]), batch.dtype.kind


class Contracted(Wrapped):
    """`inner` behind a contract: rows that break it are handed over, `Output.answered` False; no decision is changed.

    A batch of another kind, shape or type of numbers raises BadInput. Logits that are not finite are 0 where the row is
    handed over; all of them where `inner` refuses the batch for such rows, and is asked about the others alone.
    """

    called = "an input contract"

    def __init__(self, inner: Model, contract: InputContract) -> None:
        self.inner, self.contract, self.task = inner, contract, inner.task
        self.has_inputs, self.classes = inner.has_inputs, inner.classes
        self.accepts_nan = True  # a row with a value missing where there was none is handed over
        text = json.dumps(dataclasses.asdict(contract), sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.told = {"contract": {"statistics": len(contract.names), "rows": contract.rows, "hash": digest}}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def check(self, batch: Any) -> tuple[str, ...]:
        """What is wrong with a batch, in words; see `InputContract.check`."""
        return self.contract.check(batch)

    def outputs(self, batch: Any, features: bool = False) -> Output:
        refusal = self.contract.refusal(batch)
        if refusal:
            raise BadInput(f"x: {refusal}")
        kept = np.asarray(~self.contract.broken(batch).any(axis=1))
        out = self._answers(batch, kept, features)
        lost = ~kept & ~np.isfinite(out.logits).all(axis=1)
        logits = np.where(lost[:, None], np.zeros_like(out.logits), out.logits)
        answered = np.asarray(kept if out.answered is None else kept & out.answered)
        return dataclasses.replace(out, logits=logits, answered=answered)

    def _answers(self, batch: Any, kept: Bool[np.ndarray, " b"], features: bool) -> Output:
        try:
            return self.inner.outputs(batch, features)
        except BadInput:
            if kept.all():
                raise
        if not kept.any():
            return Output(np.zeros((len(kept), self.n_outputs), np.float32))
        some = self.inner.outputs(rows_of(batch, np.flatnonzero(kept)), features)

        def spread(values: np.ndarray | None) -> np.ndarray | None:
            if values is None:
                return None
            out = np.zeros((len(kept), *values.shape[1:]), values.dtype)
            out[kept] = values
            return out

        logits = spread(some.logits)
        assert logits is not None
        return Output(logits, spread(some.features), spread(some.answered))
