"""Rows named by their ids, whatever split they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.schema.errors import BadInput


class Names:
    """Where rows stand: each is known by "split:id". `on`: the one split in which plain ids are looked for.

    Raises BadInput where there is no such split.
    """

    def __init__(self, splits: Mapping[str, Split], on: str | None = None) -> None:
        self._ids = {name: split.ids.astype(str) for name, split in splits.items()}
        if on is not None and on not in self._ids:
            raise BadInput(f"on is {on!r}: there are rows of {', '.join(self._ids)}")
        self._on = on
        self._rows = {name: {id: row for row, id in enumerate(ids)} for name, ids in self._ids.items()}

    def found(self, id: Any) -> list[str]:
        """ "split:id" of every split that an id, or "split:id" itself, stands in."""
        split, _, rest = str(id).partition(":")
        if rest in self._rows.get(split, {}):
            return [f"{split}:{rest}"]
        places = [self._on] if self._on else list(self._rows)
        return [f"{name}:{id}" for name in places if str(id) in self._rows[name]]

    def key(self, id: Any, place: str) -> str:
        """The one "split:id". Raises BadInput, naming `place`, where there is no such row, or several."""
        keys = self.found(id)
        if any(self.row(key)[0] == "test" for key in keys) and len(keys) == 1:
            raise BadInput(
                f"{place}: {str(id)!r} is a row of test, which proves what is changed, so nothing is changed for "
                "it: correct rows of train or validation"
            )
        if not keys:
            example = str(self._ids[self._on or next(iter(self._ids))][0])
            raise BadInput(
                f"{place}: {str(id)!r} is no id of {self._on or ', '.join(self._rows)}: ids look like {example!r} "
                "(positions from 0 where a split has none of its own)"
            )
        if len(keys) > 1:
            raise BadInput(f"{place}: there are {' and '.join(keys)}: name the split with on= (--on), or write it so")
        split, row = self.row(keys[0])
        times = int((self._ids[split] == self._ids[split][row]).sum())
        if times > 1:
            raise BadInput(f"{place}: id {id} stands in {times} rows of {split}: ids must tell rows apart")
        return keys[0]

    def row(self, key: str) -> tuple[str, int]:
        """(split, position) of "split:id"."""
        split, _, id = key.partition(":")
        return split, self._rows[split][id]


def by_split(places: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    """Positions by split, of (split, position) in which those of a split stand together."""
    names = list(dict.fromkeys(split for split, _ in places))
    return {name: np.array([row for split, row in places if split == name], np.int64) for name in names}
