"""The rows near one row: in which space, which they are, and how they are shown."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context
from uncork.gather._matrix import matrix, sample
from uncork.gather.store import Store
from uncork.models.base import is_frame
from uncork.run.progress import Progress, working
from uncork.schema.artifacts import Pass, PassData
from uncork.schema.case import Near, Picture, Shown
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Detail
from uncork.schema.seeds import integer_seed

MOST_TRAIN, MAPPED, MAPPED_FAST = 5_000, 1_000, 3_000
COMPONENTS = 50
MOST_VALUES, LONGEST = 40, 2_000
BATCH = 256
_LEAST = 4  # pixels of a picture's side
_SCALED = 64  # rows that tell which values are black and white


@dataclass(frozen=True)
class Space:
    """Where distances are measured: `name` in words; `of`: (split, positions) → (k, d) standardised by train (or by
    validation without it). `train`: (positions, (m, d)) of at most MOST_TRAIN rows; None without a train split."""

    name: str
    of: Callable[[Split, np.ndarray], np.ndarray]
    train: tuple[np.ndarray, np.ndarray] | None


def space_of(context: Context, store: Store, progress: Progress) -> Space:
    """The model's features where it has any, else the numbers of a row, else the model's outputs."""
    reference = "validation" if context.subject.train is None else "train"
    split = context.split(reference)
    rows = sample(split, MOST_TRAIN, context.seed, "explain")
    name, raw = _raw(context, split)
    with working(progress, f"{name}, of {len(rows)} rows of {reference}", context.seconds_per_row * len(rows)):
        stored: PassData | None = store.get(Pass(reference, features=True))
        if name.startswith("feature") and stored is not None and stored.features.shape[1]:
            rows, values = stored.rows, stored.features.astype(np.float32)
        else:
            values = raw(split, rows)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 0, spread, 1)

    def of(other: Split, at: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (raw(other, at) - mean) / spread
        return scaled

    return Space(name, of, (rows, (values - mean) / spread) if reference == "train" else None)


def _raw(context: Context, split: Split) -> tuple[str, Callable[[Split, np.ndarray], np.ndarray]]:
    model = context.model

    def outputs(features: bool) -> Callable[[Split, np.ndarray], np.ndarray]:
        def of(other: Split, rows: np.ndarray) -> np.ndarray:
            parts = [model.outputs(other.take(rows[i : i + BATCH]), features) for i in range(0, len(rows), BATCH)]
            each = [part.features if features else part.logits for part in parts]
            return np.concatenate([part for part in each if part is not None]).astype(np.float32)

        return of

    if model.outputs(split.take(np.arange(1)), True).features is not None:
        return "features of the model", outputs(True)
    if model.has_inputs:
        try:
            matrix(split, "x", np.arange(1), "distances")
            return "numbers of the row", lambda other, rows: np.nan_to_num(matrix(other, "x", rows, "distances"))
        except Unavailable:
            pass
    return "outputs of the model", outputs(False)


def nearest(
    space: Space,
    at: np.ndarray,
    split: Split,
    known: tuple[np.ndarray, np.ndarray],
    most: int,
    name: Callable[[Any], str],
    decided: Mapping[int, Any] | None = None,
) -> tuple[Near, ...]:
    """The rows of `known` (positions in `split`, (m, d)) nearest to `at`, root mean square over dimensions."""
    rows, values = known
    distance = np.sqrt(np.square(values - at).mean(axis=1))
    assert split.y is not None
    first, ids, found = np.argsort(distance, kind="stable")[:most], split.ids, []
    for i, seen in zip(first, shown(split, rows[first]), strict=True):
        row = int(rows[i])
        own = name(decided[row]) if decided is not None else ""
        found.append(Near(str(ids[row]), name(split.y[row]), own, float(distance[i]), seen))
    return tuple(found)


def lying(
    space: Space, context: Context, passed: PassData, at: np.ndarray, own: int | None, progress: Progress
) -> Detail:
    """t-SNE of validation with the case in it: of 1,000 rows by scikit-learn, of 3,000 where openTSNE is installed."""
    validation, seed = context.split("validation"), integer_seed(context.seed, "explain", "map")
    fast = _fast() if len(validation) > MAPPED else None
    rows = sample(validation, MAPPED if fast is None else MAPPED_FAST, context.seed, "explain", "map")
    rows = rows[np.isin(rows, passed.rows)]
    rows = rows if own is None else rows[rows != own]
    if len(rows) < 10:
        raise Unavailable(f"{len(rows)} rows of validation are too few for a map")
    with working(progress, f"map of {len(rows)} rows", 3e-3 * len(rows)):
        values = np.concatenate([space.of(validation, rows), at[None]])
        perplexity = min(30.0, len(values) / 4)
        if values.shape[1] > COMPONENTS:
            from sklearn.decomposition import PCA

            values = PCA(COMPONENTS, random_state=seed).fit_transform(values)
        if fast is not None:
            xy = np.asarray(fast.TSNE(perplexity=perplexity, random_state=seed).fit(values))
        else:
            from sklearn.manifold import TSNE

            xy = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    group = ["rows"] * len(rows)
    if passed.task == "classification":
        right = dict(zip(passed.rows.tolist(), (passed.predicted == passed.y).tolist(), strict=True))
        group = ["right" if right[int(row)] else "wrong" for row in rows]
    x, y = (np.round(xy[:, i].astype(np.float64), 2).tolist() for i in (0, 1))
    note = f"t-SNE of the {space.name}, {len(rows)} rows of validation. Distances between far groups mean nothing."
    return Detail("map", "Where the case lies", {"x": x, "y": y, "group": [*group, "this case"]}, note)


def _fast() -> Any:
    return importlib.import_module("openTSNE") if importlib.util.find_spec("openTSNE") else None


def shown(split: Split, rows: np.ndarray) -> list[Shown]:
    """Rows as pictures where they have two axes of 4 or more, else as texts or values."""
    batch = split.take(rows)
    if isinstance(batch, list):
        return [Shown(text=t if len(t) <= LONGEST else t[: LONGEST - 1] + "…") for t in map(str, batch)]
    if is_frame(batch):
        columns = {str(name): batch[name].to_numpy() for name in batch.columns}
        return [Shown(values=tuple((n, _plain(c[i])) for n, c in columns.items())) for i in range(len(rows))]
    if isinstance(batch, Mapping):
        flat = [(str(name), np.reshape(part, (len(part), -1))) for name, part in batch.items()]
        each = [
            [(f"{name}[{j}]", _plain(v)) for name, part in flat for j, v in enumerate(part[i])]
            for i in range(len(rows))
        ]
        return [Shown(values=tuple(values[:MOST_VALUES])) for values in each]
    scale = scale_of(split)
    return [_shown(np.asarray(row), scale) for row in batch]


def _shown(row: np.ndarray, scale: tuple[float, float]) -> Shown:
    pixels = as_pixels(row, scale)
    if pixels is not None:
        return Shown(picture=picture(pixels))
    return Shown(values=tuple((f"column {i}", _plain(value)) for i, value in enumerate(row.reshape(-1)[:MOST_VALUES])))


def scale_of(split: Split) -> tuple[float, float]:
    """The least and the largest value in the first rows: what is drawn black and white."""
    some = np.nan_to_num(np.asarray(split.take(np.arange(min(len(split), _SCALED)))).astype(np.float64))
    return float(some.min()), float(some.max())


def _plain(value: Any) -> Any:
    """A number or text as plain Python."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, int | float | str) else str(value)


def as_pixels(array: np.ndarray, scale: tuple[float, float]) -> np.ndarray | None:
    """(h, w, 3) bytes of a row that is a picture of 1, 3 or 4 channels, first or last; None of another row."""
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] <= 4 < array.shape[2]:
        array = np.moveaxis(array, 0, 2)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or min(array.shape[:2]) < _LEAST:
        return None
    low, high = scale
    values = (np.nan_to_num(array[:, :, :3].astype(np.float64)) - low) / max(high - low, 1e-12)
    pixels = np.round(255 * values.clip(0, 1)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def picture(pixels: np.ndarray) -> Picture:
    """Of (h, w, 3) bytes."""
    return Picture(pixels.shape[0], pixels.shape[1], np.ascontiguousarray(pixels, np.uint8).tobytes())
