"""The rows of two splits as one split."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from uncork.data.sources import Kind, Source
from uncork.data.split import Split
from uncork.schema.errors import BadInput


class Joined(Source):
    """The rows of one split, then those of another; nothing is copied before it is taken."""

    kind: Kind  # type: ignore[misc]

    def __init__(self, first: Split, second: Split) -> None:
        self._parts, self.kind = (first, second), first.kind
        alike = {"array" if part.kind == "dataset" else part.kind for part in self._parts}
        if len(alike) > 1:
            raise BadInput(f"rows that are {first.kind} and rows that are {second.kind} can't be joined: give one kind")

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def take(self, rows: np.ndarray) -> Any:
        own = rows < len(self._parts[0])
        taken = [
            part.take(at)
            for part, at in zip(self._parts, (rows[own], rows[~own] - len(self._parts[0])), strict=True)
            if len(at)
        ]
        if len(taken) == 1:
            return taken[0]
        order = np.argsort(np.concatenate([np.flatnonzero(own), np.flatnonzero(~own)]))
        if self.kind == "text":
            return [(taken[0] + taken[1])[i] for i in order]
        if self.kind == "frame":
            both = sys.modules[type(taken[0]).__module__.split(".")[0]].concat(taken)  # pandas or polars
            return both.iloc[order] if hasattr(both, "iloc") else both[order]
        if self.kind == "mapping":
            return {name: np.concatenate([part[name] for part in taken])[order] for name in taken[0]}
        return np.concatenate(taken)[order]


def joined(split: Split, more: Split, y: np.ndarray) -> Split:
    """`split` with the rows of `more` after its own, labelled `y` (len(more),). The rows of `split` keep their ids.

    Those of `more` get new ids. Where `split` has groups they keep theirs, and one named in both is one group; where
    `more` has none, each row is a group of its own. Times stay where both have them. Raises BadInput where rows of the
    two are of different kinds.
    """
    assert split.y is not None
    ids = np.concatenate([split.ids, _new(split.ids, len(more))])
    groups = None
    if split.groups is not None:
        theirs = _new(split.groups, len(more)) if more.groups is None else more.groups
        groups = np.concatenate([split.groups, theirs])
    timed = split.times is not None and more.times is not None
    times = np.concatenate([split.times, more.times]) if timed else None
    return Split(Joined(split, more), np.concatenate([split.y, y]), ids=ids, groups=groups, times=times)


def _new(names: np.ndarray, n: int) -> np.ndarray:
    """(n,) names beside `names`, of the same kind."""
    if names.dtype.kind == "U":
        return np.array([f"joined {i}" for i in range(n)])
    return np.arange(n) + int(names.max()) + 1
