"""What a model that may decline to answer promises of the answers that it gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """A threshold (None if there is none) with P(precision of its answers ≥ `precision`) ≥ `confidence`.

    `n`: rows it was certified on, of which `answered` are at or above the threshold and `errors` of those wrong.
    `date`: the day it was made on, YYYY-MM-DD; "" where it was only measured.
    """

    threshold: float | None
    precision: float
    confidence: float
    answered: int
    errors: int
    n: int
    date: str = ""
