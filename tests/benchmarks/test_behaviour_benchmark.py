"""The page says of each model what is surely beyond the limit, and shows every interval."""

from __future__ import annotations

from benchmarks.behaviour import said, table
from uncork.schema.finding import Estimate


def share(value: float, low: float, high: float, method: str = "over templates") -> Estimate:
    return Estimate(value, low, high, "violations per 1,000 cases", 10, method)


def test_the_page() -> None:
    found = {
        "words": (share(226, 200, 253), {"negation": share(600, 51, 900), "a typing error": share(60, 49, 80, "rows")})
    }
    assert "| negation (10 templates) | 600 (51 to 900) |" in table(found)
    assert "| a typing error (10 sentences) |" in table(found)
    assert said(found) == "* words: surely beyond 50 per 1,000: negation."
