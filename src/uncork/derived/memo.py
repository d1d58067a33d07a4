"""Computed once per artifact, and forgotten with it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import TypeVar

from uncork.schema.artifacts import PassData

T = TypeVar("T")


def per_artifact(function: Callable[[PassData], T]) -> Callable[[PassData], T]:
    """Memoises a function of one artifact for as long as the artifact lives."""
    known: weakref.WeakKeyDictionary[PassData, T] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def remembered(passed: PassData) -> T:
        if passed not in known:
            known[passed] = function(passed)
        return known[passed]

    return remembered
