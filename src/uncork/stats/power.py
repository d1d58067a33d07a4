"""What these rows could have shown, and how many would settle it."""

from __future__ import annotations

import math

from uncork.schema.finding import Estimate
from uncork.stats.multiplicity import t_quantile

POWER = 0.8


def _critical(estimate: Estimate, family: int) -> float:
    return t_quantile(1 - (1 - estimate.level) / family, estimate.df) + t_quantile(POWER, None)


def detectable(estimate: Estimate, delta: float, family: int) -> float | None:
    """The smallest true headroom that would be proven above δ with probability .8, corrected for the family.

    δ + (t₁₋α/m + z.₈) · se, with the standard error found. None where there is none.
    """
    return None if estimate.se is None else delta + _critical(estimate, family) * estimate.se


def rows_to_settle(estimate: Estimate, delta: float, family: int) -> int | None:
    """Rows (or groups) with which a headroom of the size found would be told from δ with probability .8.

    n · ((t + z) · se / |value − δ|)²; None where it sits on δ, or has no standard error.
    """
    if estimate.se is None or estimate.value is None or abs(estimate.value - delta) < 1e-9 * max(1.0, delta):
        return None
    factor = _critical(estimate, family) * estimate.se / abs(estimate.value - delta)
    return math.ceil(estimate.n * factor * factor) if factor < 1e4 else None
