"""Cutting shifted rows in three: what a remedy may see, what it is judged on, and what it is proven on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from uncork.data.split import Split
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    Rows = Int[np.ndarray, " k"]


class Thirds(NamedTuple):
    """Positions of the rows that remedies `adapt` to, that `judge` them, and that `prove` what was kept, once."""

    adapt: Rows
    judge: Rows
    prove: Rows


def thirds(split: Split) -> Thirds:
    """By time where the split has times, the earlier rows first; else by a hash of each row's group, else of its id.

    Groups stay together, by time at their last time. By hash a row's third depends on its own group or id alone; the
    thirds are therefore equal in expectation, not exactly. Raises BadInput where one would be empty.
    """
    names = split.ids if split.groups is None else split.groups
    values, which = np.unique(names, return_inverse=True)
    if split.times is None:
        part = np.array([_hash(value) % 3 for value in values])[which]
    else:
        last = np.full(len(values), split.times.min(), split.times.dtype)
        np.maximum.at(last, which, split.times)
        times = last[which]
        ordered = np.sort(times)
        part = np.searchsorted(ordered[[len(split) // 3, 2 * len(split) // 3]], times, side="right")
    found = Thirds(*(np.flatnonzero(part == i) for i in range(3)))
    if not all(len(rows) for rows in found):
        what = "ids" if split.groups is None else "groups"
        raise BadInput(f"{len(split)} rows with {len(values)} {what} are too few to cut in three")
    return found


def unlike(split: Split, seen: Split) -> Bool[np.ndarray, " n"]:
    """Mask of the rows of `split` that share no id with `seen`, where both have ids, and no group, where both have."""
    mask = np.ones(len(split), bool)
    if split.has_ids and seen.has_ids:
        mask &= ~np.isin(split.ids.astype(str), seen.ids.astype(str))
    if split.groups is not None and seen.groups is not None:
        mask &= ~np.isin(split.groups.astype(str), seen.groups.astype(str))
    return mask


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.blake2b(f"third:{value}".encode(), digest_size=4).digest(), "big")
