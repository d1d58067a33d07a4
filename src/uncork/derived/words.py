"""Estimates in the words of a summary."""

from __future__ import annotations

from uncork.schema.finding import Estimate


def interval(estimate: Estimate, form: str = ".1f") -> str:
    """` (low to high)`, with the space before it; nothing where it is undetermined."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({estimate.low:{form}} to {estimate.high:{form}})"
