"""Ways of looking at a row that should show the same, each a few fixed views, alike for any batch.

Pictures are shifted, turned, scaled, mirrored and brightened; texts put in lower case, without punctuation, mistyped.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput

View = Callable[[Any], Any]

STEP = 14  # a shift is one part in so many of the side
BRIGHTER = 0.1  # of a picture's own range
#: Views that leave what nearly any picture or text shows as it is; others may turn it into something else (6 and 9).
SAFE = ("shifted", "brighter and darker", "lower case", "without punctuation", "mistyped")

_PICTURES = ("shifted", "turned by 15°", "turned by 30°", "scaled", "mirrored", "turned by 90°", "brighter and darker")
_TEXTS = ("lower case", "without punctuation", "mistyped")


def kinds_of(sample: Any) -> tuple[str, ...]:
    """Names of the views of rows like those of `sample`; none of tables, whose user alone knows what may change."""
    if isinstance(sample, list):
        return _TEXTS
    picture = isinstance(sample, np.ndarray) and sample.ndim in (3, 4) and _sides(sample) is not None
    if not picture:
        return ()
    height, width = (sample.shape[axis] for axis in _sides(sample) or (1, 2))
    return tuple(name for name in _PICTURES if height == width or name != "turned by 90°")


def views(name: str) -> tuple[View, ...]:
    """The changed views that go by this name. Raises BadInput where there are none."""
    if name not in _VIEWS:
        raise BadInput(f"there are no views {name!r}: choose from {', '.join(_VIEWS)}")
    return _VIEWS[name]


def _sides(x: np.ndarray) -> tuple[int, int] | None:
    """The axes of height and width; None where they can't be told."""
    if x.ndim == 3:
        return (1, 2) if x.shape[1] == x.shape[2] else None
    if x.shape[1] in (1, 3, 4):
        return 2, 3
    return (1, 2) if x.shape[3] in (1, 3, 4) else None


def _known(x: np.ndarray) -> tuple[int, int]:
    sides = _sides(x)
    if sides is None:
        raise BadInput(f"x: rows of shape {x.shape[1:]} are no pictures that can be turned")
    return sides


def _shifted(down: int, right: int) -> View:
    def view(x: np.ndarray) -> np.ndarray:
        for axis, way in zip(_known(x), (down, right), strict=True):
            size = x.shape[axis]
            at = np.arange(size) - way * max(1, round(size / STEP))
            x = np.take(x, np.clip(at, 0, size - 1), axis=axis)
        return x

    return view


def _mapped(matrix: np.ndarray) -> View:
    """Bilinear, about the centre; the edge is repeated."""

    def view(x: np.ndarray) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        height, width = (x.shape[axis] for axis in _known(x))
        last = np.moveaxis(x, _known(x), (-2, -1))
        middle = np.array([height - 1, width - 1])[:, None] / 2
        grid = np.indices((height, width)).reshape(2, -1)
        at = (matrix @ (grid - middle) + middle).reshape(2, height, width)
        flat = last.reshape(-1, height, width).astype(np.float64)
        out = np.stack([map_coordinates(picture, at, order=1, mode="nearest") for picture in flat])
        out = np.moveaxis(out.reshape(last.shape), (-2, -1), _known(x))
        return np.asarray((np.rint(out) if x.dtype.kind in "iu" else out).astype(x.dtype))

    return view


def _turned(degrees: float) -> View:
    angle = np.deg2rad(degrees)
    return _mapped(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def _brighter(by: float) -> View:
    def view(x: np.ndarray) -> np.ndarray:
        over = tuple(range(1, x.ndim))
        low, high = (f(x, axis=over, keepdims=True).astype(np.float64) for f in (np.min, np.max))
        out = np.clip(x + by * (high - low), low, high)
        return np.asarray((np.rint(out) if x.dtype.kind in "iu" else out).astype(x.dtype))

    return view


def mistype(text: str, at: float) -> str:
    """Two neighbouring letters inside one word of four letters or more change places; `at`, in [0, 1), tells which."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if word.isalpha() and len(set(word[1:-1])) > 1]
    if not long:
        return text
    i = long[int(at * len(long))]
    word = words[i]
    place = next(p for p in range(1, len(word) - 2) if word[p] != word[p + 1])
    words[i] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return " ".join(words)


def _mistyped(at: float) -> View:
    return lambda texts: [mistype(text, at) for text in texts]


_UNPUNCTUATED = str.maketrans({mark: " " for mark in string.punctuation if mark != "'"})

_VIEWS: Mapping[str, tuple[View, ...]] = {
    "shifted": tuple(_shifted(*way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))),
    "turned by 15°": (_turned(15), _turned(-15)),
    "turned by 30°": (_turned(15), _turned(-15), _turned(30), _turned(-30)),
    "scaled": (_mapped(np.eye(2) / 1.15), _mapped(np.eye(2) * 1.15)),
    "mirrored": (lambda x: np.flip(x, _known(x)[1]).copy(),),
    "turned by 90°": tuple(lambda x, k=k: np.rot90(x, k, _known(x)).copy() for k in (1, 2, 3)),  # type: ignore[misc]
    "brighter and darker": (_brighter(BRIGHTER), _brighter(-BRIGHTER)),
    "lower case": (lambda texts: [text.lower() for text in texts],),
    "without punctuation": (lambda texts: [" ".join(text.translate(_UNPUNCTUATED).split()) for text in texts],),
    "mistyped": (_mistyped(0.0), _mistyped(0.5)),
}
