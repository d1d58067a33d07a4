"""One small part of a row, to be taken from another row: colour, border, a cell, fine detail, a column, telling words.

A part comes with a control: as much taken from the same other row, elsewhere. `draw` numbers the control, so that it is
the same for a row in any batch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import is_frame
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.stress.formats import channel_axis

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

GRID = 4  # cells of a picture, along each side
FRAME = 14  # border and edges are one part in so many of the side wide
COARSE = 0.25  # cycles per pixel, above which detail is fine
MOST_COLUMNS = 32
NEIGHBOURS = 15
_WORD = re.compile(r"\w+")

Swap = Callable[[Any, Any, int], Any]


@dataclass(frozen=True, eq=False)
class Part:
    """`swap`, `beside`: (rows, other rows, draw) → the rows with this part, or as much elsewhere, of the others.

    `held`: rows → (b, d) what the part holds, so that parts can be compared. `suspect`: whether it would be odd that it
    alone decides.
    """

    name: str
    swap: Swap
    beside: Swap
    held: Callable[[Any], Float[np.ndarray, "b d"]]
    suspect: bool = True

    def says(self, rows: Any, reference: Any, labels: Int[np.ndarray, " r"]) -> Int[np.ndarray, " b"]:
        """(b,) the class of most of the 15 rows of `reference` that hold the most similar part; −1 where fewer than
        half of them agree."""
        points, known = self.held(rows), self.held(reference)
        centre = known.mean(axis=0)
        points, known = points - centre, known - centre
        far = (points**2).sum(axis=1)[:, None] - 2 * points @ known.T + (known**2).sum(axis=1)
        k = min(NEIGHBOURS, len(labels))
        nearest = np.argpartition(far, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(points), labels.max() + 1), np.int64)
        np.add.at(votes, (np.arange(len(points))[:, None], labels[nearest]), 1)
        said: Int[np.ndarray, " b"] = np.where(votes.max(axis=1) * 2 >= k, votes.argmax(axis=1), -1)
        return said


def parts_of(sample: Any, texts: tuple[list[str], np.ndarray] | None = None) -> list[Part]:
    """The parts of rows like those of `sample`. `texts`: of texts, some with their class indices, which tell the words.

    Raises Unavailable where rows have none that are known.
    """
    if isinstance(sample, list):
        if texts is None:
            raise Unavailable("which words tell a class is learnt from train: give Subject(train=...)")
        return [_telling_words(*texts)]
    if is_frame(sample):
        return _columns_of_frame(sample)
    if not isinstance(sample, np.ndarray) or sample.ndim < 2:
        raise Unavailable("parts are known of pictures, tables and texts, and rows are none")
    if sample.ndim == 2:
        return _columns(sample.shape[1])
    if channel_axis(sample) is None and sample.ndim != 3:
        raise Unavailable(f"rows of shape {sample.shape[1:]} are no pictures that are known")
    return _of_pictures(sample)


def _of_pictures(sample: np.ndarray) -> list[Part]:
    axis = channel_axis(sample)
    sides = [i for i in range(1, sample.ndim) if i != axis]
    height, width = (sample.shape[i] for i in sides)
    found = [_tint(sample, axis)] if axis is not None and sample.shape[axis] == 3 else []
    wide = max(1, min(height, width) // FRAME)
    down, across = np.arange(height)[:, None], np.arange(width)[None]
    edges = {
        "top": down < wide,
        "bottom": down >= height - wide,
        "left": across < wide,
        "right": across >= width - wide,
    }
    found += [_masked(f"{name} edge", np.broadcast_to(edge, (height, width)), axis) for name, edge in edges.items()]
    found.append(
        _masked("border", np.logical_or.reduce([m + np.zeros((height, width), bool) for m in edges.values()]), axis)
    )
    rows, columns = (np.linspace(0, side, GRID + 1).astype(int) for side in (height, width))
    if min(height, width) >= 2 * GRID:
        for i in range(GRID):
            for j in range(GRID):
                cell = np.zeros((height, width), bool)
                cell[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] = True
                found.append(_masked(f"cell {i + 1}/{j + 1}", cell, axis))
        found.append(_fine_detail(sample, height, width, (sides[0], sides[1])))
    return found


def _masked(name: str, mask: Bool[np.ndarray, "h w"], axis: int | None) -> Part:
    """Pixels of a mask; beside them as many anywhere, scattered."""

    def shaped(pixels: np.ndarray, x: np.ndarray) -> np.ndarray:
        if axis is None:
            return pixels
        return pixels[None] if axis == 1 else pixels[..., None]

    def swap(x: np.ndarray, other: np.ndarray, draw: int) -> np.ndarray:
        return np.where(shaped(mask, x), other, x)

    def beside(x: np.ndarray, other: np.ndarray, draw: int) -> np.ndarray:
        order = generator(draw, "beside", name).permutation(mask.size)
        scattered = (order < mask.sum()).reshape(mask.shape)
        return np.where(shaped(scattered, x), other, x)

    def held(x: np.ndarray) -> np.ndarray:
        last = x if axis is None else np.moveaxis(x, axis, -1)
        return last[:, mask].reshape(len(x), -1).astype(np.float32)

    return Part(name, swap, beside, held)


def _tint(sample: np.ndarray, axis: int) -> Part:
    """The means of the three channels, which are given to the picture without its colours; beside them the same three
    numbers, each to another channel."""
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    over = tuple(i for i in (1, 2, 3) if i != axis)

    def tint(x: np.ndarray) -> np.ndarray:
        means = ((x - low) / ((high - low) or 1.0)).mean(axis=over, keepdims=True)
        return np.asarray(means / np.maximum(means.mean(axis=axis, keepdims=True), 1e-6))

    def tinted(x: np.ndarray, tints: np.ndarray) -> np.ndarray:
        grey = (x.astype(np.float64) - low).mean(axis=axis, keepdims=True)
        out = np.clip(low + grey * tints, low, high)
        return np.asarray(np.rint(out) if x.dtype.kind in "iu" else out, dtype=x.dtype)

    return Part(
        "colour",
        lambda x, other, draw: tinted(x, tint(other)),
        lambda x, other, draw: tinted(x, np.roll(tint(other), 1 + draw % 2, axis=axis)),
        lambda x: tint(x).reshape(len(x), -1).astype(np.float32),
    )


def _fine_detail(sample: np.ndarray, height: int, width: int, sides: tuple[int, int]) -> Part:
    """Fourier coefficients above `COARSE`; beside them others, drawn from all, of as much power: any number of them
    would hold most of the picture."""
    far = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fine = far > COARSE
    centred = sample - sample.mean(axis=0)
    power = np.moveaxis(np.abs(np.fft.rfft2(centred, axes=sides)) ** 2, sides, (-2, -1))
    power = power.reshape(-1, *fine.shape).mean(axis=0)

    def mixed(x: np.ndarray, other: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        shape = [1] * x.ndim
        for side, size in zip(sides, chosen.shape, strict=True):
            shape[side] = size
        own, taken = (np.fft.rfft2(part, axes=sides) for part in (x, other))
        out = np.fft.irfft2(np.where(chosen.reshape(shape), taken, own), s=(height, width), axes=sides)
        return (np.clip(np.rint(out), 0, 255) if x.dtype.kind in "iu" else out).astype(x.dtype)

    def held(x: np.ndarray) -> np.ndarray:
        size = np.abs(np.fft.rfft2(x, axes=sides))
        moved = np.moveaxis(size, sides, (1, 2))
        return moved[:, fine].reshape(len(x), -1).astype(np.float32)

    def beside(x: np.ndarray, other: np.ndarray, draw: int) -> np.ndarray:
        order = generator(draw, "beside", "fine detail").permutation(fine.size)
        chosen = np.zeros(fine.size, bool)
        chosen[order[np.cumsum(power.ravel()[order]) <= power[fine].sum()]] = True
        return mixed(x, other, chosen.reshape(fine.shape))

    return Part("fine detail", lambda x, other, draw: mixed(x, other, fine), beside, held)


def _columns(d: int) -> list[Part]:
    """Each column; beside it another one. Of more than 32 columns 32, spread evenly."""

    def part(c: int) -> Part:
        others = np.delete(np.arange(d), c)

        def swap(x: np.ndarray, other: np.ndarray, draw: int, at: int = c) -> np.ndarray:
            out = x.copy()
            out[:, at] = other[:, at]
            return out

        def beside(x: np.ndarray, other: np.ndarray, draw: int) -> np.ndarray:
            return swap(x, other, draw, _elsewhere(others, c, draw))

        return Part(f"column {c}", swap, beside, lambda x: x[:, [c]].astype(np.float32), suspect=False)

    return [part(int(c)) for c in _spread(d)]


def _columns_of_frame(sample: Any) -> list[Part]:
    names = list(sample.columns)
    if not hasattr(sample, "assign"):
        raise Unavailable("columns are swapped in arrays and pandas DataFrames: give one of these")

    def part(c: int) -> Part:
        others = np.delete(np.arange(len(names)), c)
        known = None
        if sample[names[c]].to_numpy().dtype.kind not in "iufb":
            known = {value: code for code, value in enumerate(sorted(map(str, sample[names[c]].unique())))}

        def swap(frame: Any, other: Any, draw: int, at: int = c) -> Any:
            return frame.assign(**{names[at]: other[names[at]].to_numpy()})

        def beside(frame: Any, other: Any, draw: int) -> Any:
            return swap(frame, other, draw, _elsewhere(others, c, draw))

        def held(frame: Any) -> np.ndarray:
            column = frame[names[c]]
            if known is not None:
                return np.array([[known.get(str(value), -1)] for value in column], np.float32)
            return np.asarray(np.nan_to_num(column.to_numpy().astype(np.float32))[:, None])

        return Part(str(names[c]), swap, beside, held, suspect=False)

    return [part(int(c)) for c in _spread(len(names))]


def _spread(d: int) -> Int[np.ndarray, " k"]:
    if d < 2:
        raise Unavailable("there is one column: nothing stands beside it")
    return np.unique(np.linspace(0, d - 1, min(d, MOST_COLUMNS)).round().astype(int))


def _elsewhere(others: np.ndarray, column: int, draw: int) -> int:
    return int(others[generator(draw, "beside", column).integers(len(others))])


def _telling_words(texts: Sequence[str], y: np.ndarray) -> Part:
    """Of each class the word that most more of its texts hold than of any other; beside it, at a place drawn at random,
    a word that as many texts hold and that tells least."""
    classes = np.unique(y)
    size = np.array([(y == k).sum() for k in classes])
    held_in = [
        Counter(w for text, label in zip(texts, y, strict=True) if label == k for w in _words(text)) for k in classes
    ]
    vocabulary = sorted(set().union(*held_in))
    shares = np.array([[counts[word] for word in vocabulary] for counts in held_in]) / size[:, None]
    ahead = shares - np.array([np.delete(shares, k, axis=0).max(axis=0) for k in range(len(classes))])
    best = ahead.argmax(axis=1)
    often = shares.mean(axis=0)
    order = np.lexsort((np.ptp(shares, axis=0),))
    neutral = [w for w in order[: max(1, len(order) // 2)] if w not in set(best)] or list(order[:1])
    telling = {int(k): vocabulary[w] for k, w in zip(classes, best, strict=True)}
    plain = {
        int(k): vocabulary[min(neutral, key=lambda n: abs(often[n] - often[w]))]
        for k, w in zip(classes, best, strict=True)
    }
    known = set(telling.values())

    def of_class(text: str, words: dict[int, str]) -> str:
        """The telling word that stands in a text; "" where none does."""
        there = [word for word in words.values() if word in _words(text)]
        return there[0] if there else ""

    def swap(rows: list[str], other: list[str], draw: int) -> list[str]:
        return [_replaced(row, known, of_class(donor, telling)) for row, donor in zip(rows, other, strict=True)]

    def beside(rows: list[str], other: list[str], draw: int) -> list[str]:
        by_word = {telling[k]: plain[k] for k in telling}
        return [
            _at_random(row, by_word.get(of_class(donor, telling), ""), draw)
            for row, donor in zip(rows, other, strict=True)
        ]

    def held(rows: list[str]) -> np.ndarray:
        return np.array([[word in _words(row) for word in telling.values()] for row in rows], np.float32)

    return Part("telling words: " + ", ".join(dict.fromkeys(telling.values())), swap, beside, held)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def _replaced(text: str, known: set[str], by: str) -> str:
    return _WORD.sub(lambda found: by if by and found.group() in known else found.group(), text)


def _at_random(text: str, by: str, draw: int) -> str:
    places = list(_WORD.finditer(text))
    if not by or not places:
        return text
    at = places[int(generator(draw, "beside", text).integers(len(places)))]
    return text[: at.start()] + by + text[at.end() :]
