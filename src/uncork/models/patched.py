"""A model with corrections: rows that lie close enough to a corrected one get its class, all others what they got."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from uncork.derived.patches import deciding, distances, reach, swapped, tellable
from uncork.models.base import BATCH, Model, Output
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Space = Literal["features", "logits"]


class Places(NamedTuple):
    """Of some rows: points (n, d) and logits (n, K), both float32, and the space that the points lie in."""

    points: np.ndarray
    logits: np.ndarray
    space: Space

    @property
    def decided(self) -> np.ndarray:
        """(n,) the class of each row."""
        decided: np.ndarray = self.logits.argmax(axis=1)
        return decided


@dataclass(frozen=True, eq=False)
class Memory:
    """m corrections: `ids` names them, `centres` (m, d) float32 lie in the `space` of `inner`'s features, or of its
    logits where it has no features; `labels` (m,) the classes that are right, `radii` (m,) float64.
    """

    ids: tuple[str, ...]
    centres: Float[np.ndarray, "m d"]
    labels: Int[np.ndarray, " m"]
    radii: Float[np.ndarray, " m"]
    space: Space

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, kept: np.ndarray) -> Memory:
        """Some of them (positions, or a mask)."""
        rows = np.arange(len(self))[kept]
        return Memory(
            tuple(self.ids[row] for row in rows), self.centres[rows], self.labels[rows], self.radii[rows], self.space
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, to be kept in one file; `of_arrays` reads them."""
        said = np.frombuffer(json.dumps([self.space, *self.ids]).encode(), np.uint8)
        kept = {"said": said, "centres": self.centres, "labels": self.labels, "radii": self.radii}
        return {name: np.ascontiguousarray(array) for name, array in kept.items()}

    @classmethod
    def of_arrays(cls, kept: Mapping[str, np.ndarray]) -> Memory:
        space, *ids = json.loads(kept["said"].tobytes())
        return cls(tuple(ids), kept["centres"], kept["labels"], kept["radii"], space)

    def decided(self, rows: Places) -> Int[np.ndarray, " n"]:
        """(n,) the class of each row with these corrections."""
        which, decided = self.holding(rows.points), rows.decided
        held = which >= 0
        decided[held] = self.labels[which[held]]
        return decided

    def holding(self, points: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """(n,) the correction that each row falls to; −1 where none holds it."""
        return deciding(distances(points, self.centres), self.radii)


def remembered(
    ids: Sequence[Any], centres: np.ndarray, labels: np.ndarray, known: Places, y: np.ndarray, clusters: np.ndarray
) -> Memory:
    """Corrections with the radii that rows `known` to be of class `y` allow (`uncork.derived.patches.reach`).

    None of these may be corrected. Corrections that can't be told from one of them that the model decides right, or
    that clash with an earlier one, are left out.
    """
    right = known.decided == y
    radii = reach(centres, labels, known.points[right], y[right], clusters[right])
    memory = Memory(tuple(str(id) for id in ids), centres, labels, radii, known.space)
    return memory.take(np.isfinite(radii) & tellable(centres, labels))


class Patched(Wrapped):
    """`inner` with corrections. A row within the radius of one gets its class, of several the nearest's; the logit of
    that class and the largest are exchanged, so that it is as sure as it was before. Other rows get `inner`'s own
    logits, bit for bit.

    Raises BadInput where a class is none of `inner`'s, an id stands twice, or a radius is no number.
    """

    called = "a patch"

    def __init__(self, inner: Model, memory: Memory) -> None:
        super().__init__(inner)
        self.memory = memory
        if len(set(memory.ids)) < len(memory):
            raise BadInput("a correction stands twice: give each row's id once")
        if len(memory) and not (memory.labels.min() >= 0 and memory.labels.max() < inner.n_outputs):
            raise BadInput(f"a correction is to class {memory.labels.max()}: the model has {inner.n_outputs} outputs")
        if not (np.isfinite(memory.radii).all() and (memory.radii >= 0).all()):
            raise BadInput("the radius of a correction is no number from 0 up: leave that correction out")
        digest = hashlib.blake2b(repr(memory.ids).encode(), digest_size=8)
        for array in (memory.centres, memory.labels, memory.radii):
            digest.update(np.ascontiguousarray(array).tobytes() + b"|")
        self.told = {"patched": {"corrections": len(memory), "space": memory.space, "hash": digest.hexdigest()}}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        """Away from all corrections: as they are."""
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        if not len(self.memory):
            return self.inner.outputs(batch, features)
        memory, out = self.memory, self.inner.outputs(batch, features or self.memory.space == "features")
        points = points_of(out, memory.space)
        if points.shape[1] != memory.centres.shape[1]:
            raise BadInput(
                f"the corrections lie in {memory.centres.shape[1]} {memory.space}, but this model has "
                f"{points.shape[1]}: they were made for another one"
            )
        which = memory.holding(points)
        logits, held = out.logits, np.flatnonzero(which >= 0)
        if len(held):
            logits = logits.copy()
            logits[held] = swapped(out.logits[held], memory.labels[which[held]])
        return dataclasses.replace(out, logits=logits, features=out.features if features else None)

    def without(self, ids: Iterable[Any]) -> Model:
        """The model with these corrections taken back; without any that is `inner` itself. Raises BadInput where one
        of them is not there."""
        gone = {str(id) for id in ids}
        absent = sorted(gone - set(self.memory.ids))
        if absent:
            raise BadInput(f"there is no correction of {absent[0]!r}: there are those of {_few(self.memory.ids)}")
        kept = np.array([id not in gone for id in self.memory.ids], bool)
        return Patched(self.inner, self.memory.take(kept)) if kept.any() else self.inner


def points_of(out: Output, space: Space) -> Float[np.ndarray, "b d"]:
    """Where rows lie. Raises BadInput where there are no features and they were asked for."""
    if space == "logits":
        return out.logits
    if out.features is None:
        raise BadInput("the corrections lie in the model's features, which aren't found: give Subject(features=...)")
    return out.features


def places(model: Model, split: Any, rows: np.ndarray, batch_size: int = BATCH) -> Places:
    """Where these rows of a Split, one or more, lie in the model's features, or in its logits where it has none."""
    starts = range(0, len(rows), batch_size)
    outputs = [model.outputs(split.take(rows[start : start + batch_size]), features=True) for start in starts]
    space: Space = "logits" if any(out.features is None for out in outputs) else "features"
    points = [np.asarray(points_of(out, space), np.float32) for out in outputs]
    return Places(np.concatenate(points), np.concatenate([out.logits for out in outputs]), space)


def _few(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
