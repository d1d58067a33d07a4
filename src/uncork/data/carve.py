"""Cutting a split in two halves, or in folds."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np

from uncork.data.split import Split
from uncork.schema.errors import BadInput


def halve(split: Split, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows in each of two halves: by time where the split has times, the earlier rows first; else
    drawn by a hash of each row's group, else of its id.

    By time, rows of one time or group stay together, groups at their last time. By hash, a row's half depends on its
    own group or id and the seed alone: not on the order of rows, nor on which others there are. The halves are
    therefore equal in expectation, not exactly. Raises BadInput where one would be empty.
    """
    if split.times is not None:
        return _by_time(split, split.times)
    key = split.ids if split.groups is None else split.groups
    values, inverse = np.unique(key, return_inverse=True)
    second = np.array([_hash(seed, value) & 1 for value in values], dtype=bool)[inverse]
    if second.all() or not second.any():
        what = "ids" if split.groups is None else "groups"
        raise BadInput(f"{len(split)} rows with {len(values)} {what} are too few to halve: give a validation split")
    return np.flatnonzero(~second), np.flatnonzero(second)


def _by_time(split: Split, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if split.groups is not None:
        group = np.unique(split.groups, return_inverse=True)[1]
        last = np.full(group.max() + 1, times.min(), times.dtype)
        np.maximum.at(last, group, times)
        times = last[group]
    ordered = np.sort(times)
    later = times >= ordered[len(ordered) // 2]
    if later.all():  # over half of the rows are of the first time
        later = times > ordered[0]
    if later.all() or not later.any():
        raise BadInput(f"the {len(split)} rows are all of one time and can't be halved by it: give a validation split")
    return np.flatnonzero(~later), np.flatnonzero(later)


def _hash(seed: int, value: object) -> int:
    return hashlib.blake2b(f"{seed}:{value}".encode(), digest_size=1).digest()[0]


def folds(split: Split, k: int, seed: int, *, stratify: bool) -> np.ndarray:
    """The fold (0…k−1) of each row, (n,) ints. Groups stay together; `stratify` balances the classes in y.

    Raises BadInput where there are fewer rows or groups than folds.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    units, what = (len(split), "rows") if split.groups is None else (len(np.unique(split.groups)), "groups")
    if units < k:
        raise BadInput(f"{units} {what} can't be cut into {k} folds: give more, or ask for fewer folds")
    y = split.y if stratify else None
    if y is not None and np.unique(y, return_counts=True)[1].max() < k:
        y = None  # every class is rarer than the folds: there is nothing to balance
    maker = {
        (False, False): KFold,
        (False, True): StratifiedKFold,
        (True, False): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }[split.groups is not None, y is not None]
    fold = np.empty(len(split), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = maker(n_splits=k, shuffle=True, random_state=seed).split(np.zeros(len(split)), y, split.groups)
        for number, (_, rows) in enumerate(parts):
            fold[rows] = number
    return fold
