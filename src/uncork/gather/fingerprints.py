"""Hashes of the raw rows of every split, and near duplicates of train.

What it gathers
---------------
A 128-bit hash of each raw row of train, validation and test (numbers are first cast to the splits' common type, the
shortest of their floats, and the cells of tables written in one way, so that equal values hash alike). Near
duplicates: rows closer to a row of train than a quarter of the usual such distance (the larger median, of the rows
looked up or of train's own); tables are compared as numbers, a column for each category. A positive control: rows of
train with noise added, and how many of them the same search finds.

How it streams
--------------
Batch by batch; 16 bytes of hash and 48 of sketch per row stay. The sketch is a random projection of the scaled row
to 24 numbers. So many rows are looked up that queries × train rows stays below 4 · 10⁸: linear in the rows.

What it costs
-------------
Two readings of each split, no forward pass; and one matrix product of sketches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.data.encode import EncodedRows, TableEncoder
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import width
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

SKETCH = 24
PAIRS = 4e8
NEAR = 0.25  # of the usual distance to the nearest row of train
SPIKES = 100
FAR = 1e3  # spreads from the centre, beyond which values are taken as equal: their sketch must fit 16 bits
_BATCH = 1024
_NONE = np.zeros((0, 16), np.uint8)


def price(request: Fingerprints, context: Context) -> float:
    """About 20 ns a value for reading and sketching twice, and 15 ns for each pair of sketches compared."""
    subject = context.subject
    present = [split for split in (subject.train, subject.validation, subject.test) if split is not None]
    values = sum(len(split) * width(split) for split in present)
    pairs = sum(min(len(split) * len(subject.train), PAIRS) for split in present) if subject.train is not None else 0
    return 2e-8 * values + 1.5e-8 * pairs


@gatherer(Fingerprints, price=price)
def gather(request: Fingerprints, context: Context) -> FingerprintsData:
    subject = context.subject
    splits = {name: getattr(subject, name) for name in ("train", "validation", "test")}
    if subject.test is subject.validation:
        splits["test"] = None  # described on all of test: one split under two names
    present = {name: split for name, split in splits.items() if split is not None}
    common = _common_type(present)
    hashes = {name: hash_rows(split, common) for name, split in present.items()}
    near = _Near(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0), (0, 0), 0, 0)
    numbers = present if common is not None else _encoded(present)
    if "train" in numbers:
        near = near_duplicates(numbers, hashes, generator(context.seed, "fingerprints"))
    return FingerprintsData(
        train=hashes.get("train", _NONE),
        validation=hashes.get("validation", _NONE),
        test=hashes.get("test", _NONE),
        near_pairs=near.pairs,
        near_split=near.split,
        near_distance=near.distance,
        near_queried=near.queried,
        spiked=near.spiked,
        spiked_found=near.spiked_found,
    )


def _common_type(splits: dict[str, Split]) -> np.dtype[Any] | None:
    """The type to which rows of all splits are cast before hashing; None where rows are not arrays of numbers."""
    firsts = [split.take(np.arange(1)) for split in splits.values()]
    if not all(isinstance(first, np.ndarray) and first.dtype.kind in "biuf" for first in firsts):
        return None
    return narrowest([first.dtype for first in firsts])


def _encoded(splits: dict[str, Split]) -> dict[str, Split]:
    """Tables as numbers, by what train shows of them; none where there is no train, or rows are no tables."""
    if "train" not in splits or any(split.kind != "frame" for split in splits.values()):
        return {}
    try:
        encoder = TableEncoder.fit(splits["train"])
    except (BadInput, Unavailable):  # lists in a column, or no pandas: exact copies are looked for all the same
        return {}
    return {name: Split(EncodedRows(split, encoder)) for name, split in splits.items()}


def narrowest(types: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The type in which equal numbers of all these types look alike: the shortest of the floats, since 0.1 of 64 bits
    becomes that of 32 but not the other way round; without floats one that holds every integer."""
    floats = [kind for kind in types if kind.kind == "f"]
    if floats:
        return min(floats, key=lambda kind: kind.itemsize)
    common = np.result_type(*types)
    return np.dtype(np.uint64) if common.kind == "f" else common  # numpy makes int64 with uint64 a float64


def _batch_rows(split: Split) -> int:
    """1,024 rows at once; fewer where rows are long, so that a batch stays below 32 MB of 32-bit floats."""
    return max(16, min(_BATCH, 2**23 // width(split)))


def hash_rows(split: Split, common: np.dtype[Any] | None = None) -> np.ndarray:
    """(n, 16) uint8, blake2b of each raw row; numbers are cast to `common` first (of tables: the floats)."""
    hashes = np.empty((len(split), 16), np.uint8)
    for rows, batch in split.batches(_batch_rows(split)):
        digests = [hashlib.blake2b(content, digest_size=16).digest() for content in _contents(batch, common)]
        hashes[rows] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return hashes


def _contents(batch: Any, common: np.dtype[Any] | None) -> Iterator[bytes]:
    if isinstance(batch, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            wide = np.ascontiguousarray(batch if common is None else batch.astype(common))
        if wide.dtype.kind == "f":
            wide = wide + 0.0  # −0 and 0 are the same value
        return (row.tobytes() for row in wide)
    if isinstance(batch, list):
        return (text.encode() for text in batch)
    if isinstance(batch, Mapping):
        each = [_contents(batch[name], _wide(batch[name].dtype)) for name in sorted(batch)]
        return (b"".join(parts) for parts in zip(*each, strict=True))
    cells = batch.itertuples(index=False, name=None) if hasattr(batch, "itertuples") else batch.iter_rows()
    return (repr([_canonical(cell, common) for cell in row]).encode() for row in cells)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 or int64: the arrays of a mapping are cast by themselves, and alike in every split."""
    return np.dtype(np.float32 if dtype.kind == "f" else np.int64)


def _canonical(cell: Any, common: np.dtype[Any] | None = None) -> Any:
    """A table's cell so that equal values look alike: 1, 1.0 and True; 0.0 and −0.0; every kind of missing."""
    if isinstance(cell, bool | np.bool_ | int | np.integer):
        return int(cell)
    if isinstance(cell, float | np.floating):
        value = float(cell if common is None else common.type(cell))
        return int(value) if value.is_integer() else value
    return float("nan") if cell is None or type(cell).__name__ in ("NAType", "NaTType") else cell


@dataclass(frozen=True)
class _Near:
    pairs: np.ndarray
    split: np.ndarray
    distance: np.ndarray
    queried: tuple[int, int]
    spiked: int
    spiked_found: int


class _Scale:
    """Centres and scales rows: by column for flat rows (tables), by one figure for rows of more axes (pictures)."""

    def __init__(self, train: Split, rng: np.random.Generator) -> None:
        sample = train.take(np.sort(rng.permutation(len(train))[: 2 * _batch_rows(train)]))
        self.shape = sample.shape[1:]
        flat = sample.reshape(len(sample), -1).astype(np.float32)
        known = np.isfinite(flat)
        rows = np.maximum(known.sum(axis=0), 1)
        self.centre = np.where(known, flat, 0).sum(axis=0) / rows
        off = np.where(known, flat - self.centre, 0)
        spread = np.sqrt(np.square(off).sum(axis=0) / rows)
        size = np.abs(self.centre)
        # Columns have units of their own; one that does not vary is measured by its size.
        per_column = np.where(spread > 1e-5 * size, spread, np.maximum(size, 1))
        self.spread = per_column if sample.ndim == 2 else np.full(flat.shape[1], float(spread.mean()) or 1.0)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        flat = batch.reshape(len(batch), -1).astype(np.float32)
        scaled = np.nan_to_num((flat - self.centre) / self.spread)
        clipped: np.ndarray = np.clip(scaled, -FAR, FAR).astype(np.float32)
        return clipped


def near_duplicates(splits: dict[str, Split], hashes: dict[str, np.ndarray], rng: np.random.Generator) -> _Near:
    """Rows of validation and test that are nearly rows of train, exact copies left out."""
    train = splits["train"]
    scale = _Scale(train, rng)
    projection = rng.normal(size=(len(scale.centre), SKETCH)).astype(np.float32) / np.sqrt(SKETCH)
    sketch = np.empty((len(train), SKETCH), np.float16)
    for rows, batch in train.batches(_batch_rows(train)):
        sketch[rows] = np.clip(scale(batch) @ projection, -6e4, 6e4)
    seen = {h.tobytes() for h in hashes["train"]}

    def nearest(flat: np.ndarray, itself: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(train row, distance) of the nearest among the three whose sketches are nearest, `itself` left out."""
        candidates = _three_nearest(flat @ projection, sketch)
        raw = np.stack([_distance(flat, scale(train.take(c))) for c in candidates.T], axis=1)
        if itself is not None:
            raw[candidates == itself[:, None]] = np.inf
        best = raw.argmin(axis=1)
        at = np.arange(len(flat))
        return candidates[at, best], raw[at, best]

    found: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
    queried = [0, 0]
    most = max(200, int(PAIRS / len(train)))
    for number, name in ((1, "validation"), (2, "test")):
        if name not in splits:
            continue
        split = splits[name]
        rows = np.sort(rng.permutation(len(split))[:most])
        queried[number - 1] = len(rows)
        rows = np.array([r for r in rows if hashes[name][r].tobytes() not in seen], np.int64)
        size = _batch_rows(split)
        for start in range(0, len(rows), size):
            at = rows[start : start + size]
            found.append((number, at, *nearest(scale(split.take(at)))))
    if not found:
        return _Near(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0), (queried[0], queried[1]), 0, 0)
    distance = np.concatenate([f[3] for f in found])
    # Rows of train among themselves count too: near duplicates that are many would lower a median of their own.
    some = np.sort(rng.permutation(len(train))[: _batch_rows(train)])
    within = nearest(scale(train.take(some)), some)[1] if len(train) > 1 else distance
    median = max(float(np.median(distance)), float(np.median(within)))
    near = distance < NEAR * median
    which = np.concatenate([np.full(len(f[1]), f[0]) for f in found])
    pairs = np.stack([np.concatenate([f[2] for f in found]), np.concatenate([f[1] for f in found])], axis=1)
    spikes = np.sort(rng.permutation(len(train))[:SPIKES])
    noise = rng.normal(size=(len(spikes), len(scale.centre))).astype(np.float32)
    noise *= NEAR / 2 * median / np.linalg.norm(noise, axis=1, keepdims=True)
    _, reached = nearest(scale(train.take(spikes)) + noise)
    return _Near(
        pairs=pairs[near].astype(np.int64),
        split=which[near],
        distance=distance[near] / median if median else distance[near],
        queried=(queried[0], queried[1]),
        spiked=len(spikes),
        spiked_found=int((reached < NEAR * median).sum()),
    )


def _three_nearest(queries: np.ndarray, sketch: np.ndarray) -> np.ndarray:
    """(q, 3) rows of `sketch` nearest to each query, read in blocks so that no full matrix of distances is made."""
    k = min(3, len(sketch))
    best_rows = np.zeros((len(queries), 0), np.int64)
    best = np.zeros((len(queries), 0), np.float32)
    for start in range(0, len(sketch), 16_384):
        block = sketch[start : start + 16_384].astype(np.float32)
        square = np.square(block).sum(axis=1)[None] - 2 * queries @ block.T
        nearest = np.argpartition(square, min(k, len(block)) - 1, axis=1)[:, :k]
        best_rows = np.concatenate([best_rows, nearest + start], axis=1)
        best = np.concatenate([best, np.take_along_axis(square, nearest, axis=1)], axis=1)
        keep = np.argsort(best, axis=1, kind="stable")[:, :k]
        best_rows, best = np.take_along_axis(best_rows, keep, axis=1), np.take_along_axis(best, keep, axis=1)
    return best_rows


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(a - b, axis=1)
    return lengths
