"""Headroom that is known as bounds only."""

from __future__ import annotations

from uncork.schema.finding import Estimate


def at_most(estimate: Estimate, what: str) -> Estimate | None:
    """Headroom between nothing and the upper end of `estimate`, called `what`; None where that is undetermined.

    An amount measured below zero bounds the headroom as if it had been measured as zero: never by nothing at all.
    """
    if estimate.high is None:
        return None
    most = max(0.0, estimate.high - min(estimate.value or 0.0, 0.0))
    return Estimate(None, 0.0, most, estimate.unit, estimate.n, f"bounds only: between nothing and {what}")
