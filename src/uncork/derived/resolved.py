"""What a loss that is tolerated can be told from, and what a cost finding may claim of it."""

from __future__ import annotations

from uncork.schema.finding import Estimate


def resolved(loss: Estimate | None, tolerated: float) -> str:
    """The loss that the rows and seeds resolve, in a sentence: the upper end that no loss at all would have."""
    if loss is None or loss.value is None or loss.high is None:
        return ""
    least = loss.high - loss.value
    coarse = ", too coarse for any claim" if least >= tolerated else ""
    return f"These rows and seeds resolve a loss of {least:.3g} {loss.unit} (δ = {tolerated:.3g}){coarse}. "


def factor_within(factor: float, loss: Estimate | None, tolerated: float, *, unit: str, n: int) -> Estimate | None:
    """A counted factor, as far as the loss lets it be claimed.

    Itself where the loss is surely below δ, None where it is surely above or unknown, else bounds only.
    """
    if loss is None or (loss.low is not None and loss.low >= tolerated):
        return None
    if loss.high is not None and loss.high < tolerated:
        return Estimate(factor, factor, factor, unit, n, f"{_what(unit)}, counted")
    return Estimate(None, min(1.0, factor), max(1.0, factor), unit, n, f"bounds only, {_what(unit)} counted")


def _what(unit: str) -> str:
    return unit.rpartition(" ")[2]
