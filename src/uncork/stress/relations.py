"""Changes of rows that leave what they show as it is, for pictures, tables and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from uncork.models.base import is_frame
from uncork.models.views import mistype
from uncork.schema.behaviour import Behaviour
from uncork.stress.formats import channel_axis

SMALLEST_SIDE = 20  # pixels, below which one is too large a part of a picture to be moved by
BRIGHTER = 0.05
NOISE = 0.01  # of the range, or of a column's standard deviation
MOST_DECIMALS = 6


def relations_of(sample: Any) -> tuple[list[Behaviour], dict[str, str]]:
    """What should leave decisions as they are on rows like those of `sample`, and what was left out with the reason.

    Mirrored or turned pictures are not among them: a mirrored b is a d. Nor is anything for codes of words.
    """
    if isinstance(sample, list):
        return [
            Behaviour("a typing error", change=mistyped),
            Behaviour(
                "a neutral sentence added", change=lambda texts, u: [f"{text} I read this today." for text in texts]
            ),
        ], {}
    if is_frame(sample):
        return _of_frame(sample)
    if isinstance(sample, Mapping):
        return [], {"noise": "rows have several inputs, and nothing says what leaves their meaning as it is"}
    if sample.dtype.kind in "iu" and sample.dtype != np.uint8:
        return [], {"noise": "rows are whole numbers, whose neighbours may mean something else"}
    if not _pictures(sample):
        return [Behaviour("noise within the rounding", change=_rounding(sample))], {}
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    found = [
        Behaviour("5 % brighter", change=_tone(BRIGHTER * (high - low), low, high)),
        Behaviour("5 % darker", change=_tone(-BRIGHTER * (high - low), low, high)),
        Behaviour("slight noise", change=_noisy(NOISE * (high - low), low, high)),
    ]
    axes = _sides(sample)
    side = min(sample.shape[axis] for axis in axes)
    if side < SMALLEST_SIDE:
        return found, {"moved by a pixel": f"pictures of {side} pixels a side are changed too much by it"}
    return [*found, Behaviour("moved by a pixel", change=lambda x, u: moved(x, u, axes))], {}


def moved(x: np.ndarray, u: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    """Each picture one pixel up, down, left or right; the edge is repeated."""
    out = x.copy()
    way = np.minimum((4 * u).astype(int), 3)
    for number, (axis, step) in enumerate((axis, step) for axis in axes for step in (-1, 1)):
        chosen = way == number
        size = x.shape[axis]
        out[chosen] = np.take(x[chosen], np.clip(np.arange(size) + step, 0, size - 1), axis=axis)
    return out


def mistyped(texts: list[str], u: np.ndarray) -> list[str]:
    """Two neighbouring letters inside one word of four letters or more change places."""
    return [mistype(text, float(at)) for text, at in zip(texts, u, strict=True)]


def _pictures(sample: np.ndarray) -> bool:
    return channel_axis(sample) is not None or (sample.ndim == 3 and sample.shape[1] == sample.shape[2])


def _sides(sample: np.ndarray) -> tuple[int, int]:
    if sample.ndim == 3:
        return 1, 2
    return (2, 3) if channel_axis(sample) == 1 else (1, 2)


def _like(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (np.rint(values) if x.dtype == np.uint8 else values).astype(x.dtype)


def _tone(by: float, low: float, high: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Every pixel by so much, within the range: what is black or white already stays or clips."""
    return lambda x, u: _like(x, np.clip(x + np.float64(by), low, high))


def _noisy(sd: float, low: float, high: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, u: _like(x, np.clip(x + sd * _normal(x, u), low, high))


def _normal(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Of each row's own seed, so that it is the same in any batch."""
    rows = [np.random.default_rng(int(2**53 * at)).standard_normal(x.shape[1:]) for at in u]
    return np.stack(rows) if rows else np.zeros(x.shape)


def _rounding(sample: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    width = _half_units(sample.reshape(len(sample), -1).astype(np.float64)).reshape(sample.shape[1:])
    return lambda x, u: _like(x, x + width * np.clip(_normal(x, u), -1, 1))


def _half_units(columns: np.ndarray) -> np.ndarray:
    """Of each column half of the last decimal that it is given to; 0 of whole numbers, and of columns that need more
    than six decimals a hundredth of the standard deviation, or what is less."""
    half = np.zeros(columns.shape[1])
    for i, column in enumerate(columns.T):
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        fits = (d for d in range(MOST_DECIMALS + 1) if np.allclose(known, np.round(known, d), rtol=1e-7, atol=1e-9))
        decimals = next(fits, None)
        least = NOISE * float(known.std())
        half[i] = 0.0 if decimals == 0 else least if decimals is None else min(0.5 * 10.0**-decimals, least)
    return half


def _of_frame(sample: Any) -> tuple[list[Behaviour], dict[str, str]]:
    names = [name for name in sample.columns if sample[name].to_numpy().dtype.kind == "f"]
    if not names or not hasattr(sample, "assign"):
        return [], {"noise within the rounding": "no column of the table holds fractions"}
    width = _half_units(np.stack([sample[name].to_numpy().astype(np.float64) for name in names], axis=1))

    def change(frame: Any, u: np.ndarray) -> Any:
        values = np.stack([frame[name].to_numpy().astype(np.float64) for name in names], axis=1)
        values = values + width * np.clip(_normal(values, u), -1, 1)
        return frame.assign(**{name: values[:, i] for i, name in enumerate(names)})

    return [Behaviour("noise within the rounding", change=change)], {}
