"""Numbers and tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from uncork.stats.means import mean


class Verdict(NamedTuple):
    """A line of "required beside measured". `holds`: None where nothing is required."""

    what: str
    required: str
    measured: str
    holds: bool | None


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) if lines else "Not measured."


def numbers(estimate: Sequence[Any], form: str = ".3f") -> str:
    """value (low to high)."""
    value, low, high = estimate
    if value is None:
        return "undetermined"
    return f"{value:{form}}" + ("" if low is None else f" ({low:{form}} to {high:{form}})")


def spread(values: Sequence[float] | np.ndarray, form: str = "+.3f") -> str:
    """Mean, with the 95 % t interval over seeds or sets where there are two or more."""
    found = mean(np.asarray(values, np.float64), unit="")
    return numbers((found.value, found.low, found.high), form)
