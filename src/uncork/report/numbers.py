"""Figures as text: digits that the interval supports, and never a bare point where a bound is known."""

from __future__ import annotations

import math
import unicodedata

from uncork.schema.finding import Estimate

UNDETERMINED = "undetermined"


def clean(text: object) -> str:
    """User text without what could steer a terminal or break XML: control characters and lone surrogates."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "�" for c in str(text))


def number(x: float | None) -> str:
    """Three significant digits, whole from 100 up, thousands separated."""
    if x is None or not math.isfinite(x):
        return UNDETERMINED
    if x == 0:
        return "0"
    return _fixed(x, 2 - math.floor(math.log10(abs(x))), trim=True)


def interval(estimate: Estimate | None) -> str:
    """`21 (9 to 33)`; `between 0 and 41` where only bounds are known; `undetermined` where nothing is."""
    if estimate is None:
        return UNDETERMINED
    value, low, high = estimate.value, estimate.low, estimate.high
    decimals = _shared_decimals([x for x in (value, low, high) if x is not None])
    if low is not None and high is not None:
        ends = (_fixed(low, decimals), _fixed(high, decimals))
        bounds = f"between {ends[0]} and {ends[1]}" if value is None else f"{ends[0]} to {ends[1]}"
    elif low is not None:
        bounds = f"at least {_fixed(low, decimals)}"
    elif high is not None:
        bounds = f"at most {_fixed(high, decimals)}"
    else:
        bounds = UNDETERMINED if value is None else f"interval {UNDETERMINED}"
    return bounds if value is None else f"{_fixed(value, decimals)} ({bounds})"


def quantity(estimate: Estimate | None) -> str:
    """The interval with its unit."""
    text = interval(estimate)
    return text if estimate is None or text == UNDETERMINED else f"{text} {estimate.unit}".rstrip()


def percent(level: float) -> str:
    return f"{number(100 * level)} %"


def _shared_decimals(values: list[float]) -> int:
    """Decimals that show two digits of the interval's width, or of the largest figure where it has none."""
    if all(v == round(v) for v in values):  # also where there are none
        return 0
    width = max(values) - min(values) or max(abs(v) for v in values)
    return 1 - math.floor(math.log10(width))


def _fixed(x: float, decimals: int, *, trim: bool = False) -> str:
    if decimals > 7 or abs(x) >= 1e12:
        return f"{x:.2g}".replace("-", "−", 1) if x else "0"
    text = f"{x:,.{max(decimals, 0)}f}"
    if trim and "." in text:
        text = text.rstrip("0").rstrip(".")
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", "−")
