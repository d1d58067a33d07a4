"""The same rows as somebody else might send them: on another scale, in another order or type, incomplete.

A format is called with a batch as `Split.take` gives it and one number in [0, 1) a row, by which columns and places are
chosen, so that it says the same of a row whatever the batch. It returns a new batch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import is_frame

if TYPE_CHECKING:
    from jaxtyping import Float

Format = Callable[[Any, "Float[np.ndarray, ' b']"], Any]

FACTORS = (4.0, 16.0, 255.0)
UNIT = 1000.0
#: Ranges that values are commonly given in; a row's own is the first that holds all of the sample.
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
MISSING = "one value missing"


def formats_of(sample: Any) -> dict[str, Format]:
    """The formats that rows like those of `sample` could be mistaken for, by name."""
    if isinstance(sample, list):
        return dict(_TEXT)
    if isinstance(sample, Mapping):
        formats = {name: formats_of(part) for name, part in sample.items()}
        return {f"{name}: {what}": _of_one(name, change) for name in formats for what, change in formats[name].items()}
    if is_frame(sample):
        return _of_frame(sample)
    if sample.dtype.kind in "iu" and sample.dtype != np.uint8:
        # Codes of words or categories: another number could name what the model does not have.
        return {"two columns swapped": swapped} if sample.ndim == 2 and sample.shape[1] > 1 else {}
    picture = sample.ndim > 2
    found = {f"× {factor:g}": times(factor) for factor in FACTORS}
    found |= {f"÷ {factor:g}": times(1 / factor) for factor in FACTORS}
    found |= _ranges(sample)
    found["standardised by channel" if picture else "standardised by column"] = standardised(sample)
    axis = channel_axis(sample)
    if axis is not None:
        if sample.shape[axis] == 3:
            found["channels reversed"] = lambda x, u: np.flip(x, axis).copy()
        last = axis == sample.ndim - 1
        found["channels first" if last else "channels last"] = lambda x, u: np.ascontiguousarray(
            np.moveaxis(x, axis, 1 if last else -1)
        )
    if sample.dtype != np.float64:
        found["64-bit floats"] = lambda x, u: x.astype(np.float64)
    if picture and sample.dtype != np.uint8:
        found["bytes"] = _bytes(sample)
    if sample.ndim == 2 and sample.shape[1] > 1:
        found |= {f"one column × {UNIT:g}": one_column, "two columns swapped": swapped}
    found[MISSING] = missing
    return found


def _of_one(name: str, change: Format) -> Format:
    """One of several inputs changed."""
    return lambda batch, u: {**batch, name: change(batch[name], u)}


def channel_axis(batch: np.ndarray) -> int | None:
    """The axis of pictures (b, c, h, w) or (b, h, w, c) that holds 1, 3 or 4 channels."""
    if batch.ndim != 4:
        return None
    return next((axis for axis in (1, 3) if batch.shape[axis] in (1, 3, 4)), None)


def times(factor: float) -> Format:
    return lambda x, u: (x * np.float32(factor)).astype(np.float32)


def one_column(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """One column a row in a unit 1,000 times as small."""
    out = x.astype(np.result_type(x, np.float32))
    rows, column = _pick(x, u)
    out[rows, column] *= UNIT
    return out


def swapped(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """One column a row takes the place of the next, and the next its own."""
    out = x.copy()
    rows, column = _pick(x, u)
    after = (column + 1) % x.shape[1]
    out[rows, column], out[rows, after] = x[rows, after], x[rows, column]
    return out


def missing(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """NaN in one place of each row."""
    flat = x.reshape(len(x), -1).astype(np.result_type(x, np.float32))
    rows, place = _pick(flat, u)
    flat[rows, place] = np.nan
    return flat.reshape(x.shape)


def standardised(sample: np.ndarray) -> Format:
    """Mean 0 and deviation 1 in each channel or column, by those of the sample."""
    axis = channel_axis(sample) or (1 if sample.ndim == 2 else None)
    over = tuple(i for i in range(sample.ndim) if i != axis)
    wide = sample.astype(np.float64)
    with np.errstate(invalid="ignore"):
        centre, spread = (np.nan_to_num(f(wide, axis=over, keepdims=True)) for f in (np.mean, np.std))
    spread = np.where(spread > 0, spread, 1.0)
    return lambda x, u: ((x - centre) / spread).astype(np.float32)


def _pick(x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(x)), np.minimum((u * x.shape[1]).astype(np.int64), x.shape[1] - 1)


def _ranges(sample: np.ndarray) -> dict[str, Format]:
    """The range that the sample keeps to, mapped to the other usual ones; ÷ 255 is among the factors."""
    own = next(((a, b) for a, b in RANGES if np.nanmin(sample) >= a and np.nanmax(sample) <= b), None)
    if own is None:
        return {}

    def mapped(low: float, high: float) -> Format:
        slope = (high - low) / (own[1] - own[0])
        return lambda x, u: ((x - own[0]) * slope + low).astype(np.float32)

    name = "{:g}–{:g} as {:g}–{:g}"
    targets = [r for r in RANGES[:2] if r != own and not (own == RANGES[2] and r == RANGES[0])]
    return {name.format(*own, *target).replace("-", "−"): mapped(*target) for target in targets}


def _bytes(sample: np.ndarray) -> Format:
    """Whole numbers from 0 to 255: the usual range of the sample, or its own, stretched to them."""
    ends = (float(np.nanmin(sample)), float(np.nanmax(sample)))
    low, high = next(((a, b) for a, b in RANGES if ends[0] >= a and ends[1] <= b), ends)
    return lambda x, u: np.clip(np.rint(255 * (x - low) / max(high - low, 1e-12)), 0, 255).astype(np.uint8)


def _of_frame(sample: Any) -> dict[str, Format]:
    """Formats of a DataFrame with columns of numbers; columns of other kinds stay as they are."""
    numbers = [name for name in sample.columns if sample[name].to_numpy().dtype.kind in "iuf"]
    numbers = numbers if hasattr(sample, "assign") else []  # polars: the order of its columns alone

    def on_numbers(change: Format) -> Format:
        def apply(frame: Any, u: np.ndarray) -> Any:
            values = np.stack([frame[name].to_numpy().astype(np.float64) for name in numbers], axis=1)
            values = change(values, u)
            return frame.assign(**{name: values[:, i] for i, name in enumerate(numbers)})

        return apply

    found: dict[str, Format] = {}
    if numbers:
        values = np.stack([sample[name].to_numpy().astype(np.float64) for name in numbers], axis=1)
        found["standardised by column"] = on_numbers(standardised(values))
        found[f"one column × {UNIT:g}"] = on_numbers(one_column)
        found[MISSING] = on_numbers(missing)
    if len(sample.columns) > 1:
        found["columns in reverse order"] = lambda frame, u: frame[list(frame.columns)[::-1]]
    return found


def _each(change: Callable[[str], str]) -> Format:
    return lambda texts, u: [change(text) for text in texts]


def _spaced(text: str) -> str:
    """Punctuation as words of its own, as tokenisers leave it."""
    return " ".join("".join(c if c.isalnum() or c.isspace() else f" {c} " for c in text).split())


_TEXT: dict[str, Format] = {
    "lower case": _each(str.lower),
    "upper case": _each(str.upper),
    "punctuation apart": _each(_spaced),
    "accents apart": _each(lambda text: unicodedata.normalize("NFD", text)),
    "cut in half": _each(lambda text: text[: (len(text) + 1) // 2]),
    "empty": _each(lambda text: ""),
}
