"""What money buys: prices as users write them, and investments by gain per money."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from treat_helpers import a_finding

from uncork import BadInput
from uncork.run.price import investments, prices
from uncork.schema.finding import Estimate, Finding


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("label=0.3,gpu-hour=2", {"label": 0.3, "gpu-hour": 2.0}),
        (" gpu-hour = 2 , ", {"label": 0.0, "gpu-hour": 2.0}),
        ({"label": 1}, {"label": 1.0, "gpu-hour": 0.0}),
        ("", {"label": 0.0, "gpu-hour": 0.0}),
    ],
)
def test_prices_as_they_are_written(given: Any, found: dict[str, float]) -> None:
    assert prices(given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("coffee=3", r"price of 'coffee': give label or gpu-hour, such as label=0\.3,gpu-hour=2"),
        ("label=0.3;gpu-hour=2", r"price label=0\.3;gpu-hour=2: give a number, 0 or more"),
        ("label", "price label=: give a number, 0 or more"),
        ("label=-1", "price label=-1: give a number, 0 or more"),
        ("label=nan", "price label=nan: give a number"),
        ("gpu-hour=inf", "price gpu-hour=inf: give a number"),
        ({"label": None}, "price label=None: give a number"),
    ],
)
def test_a_price_that_is_none_says_where(given: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prices(given)


def investment(id: str, gain: float) -> Finding:
    headroom = Estimate(gain, gain - 1, gain + 1, "errors per 1,000", 400, "t over rows", se=0.5, df=399)
    return dataclasses.replace(a_finding(id), tier="investment", headroom=headroom)


def bought(findings: list[Finding], price: str) -> dict[str, Any]:
    found = investments(findings, prices(price), rows=1000, training=1800)
    return {investment.finding: investment for investment in found}


def test_the_largest_gain_per_money_comes_first() -> None:
    """More data costs as many labels as train has rows, and a training of twice as many; an ensemble its members."""
    findings = [investment("scarce-data", 60.0), investment("single-model", 10.0)]
    found = bought(findings, "label=0.3,gpu-hour=2")
    assert list(found) == ["single-model", "scarce-data"]
    data = found["scarce-data"]
    assert (data.labels, data.hours, data.money) == (1000, 1.0, pytest.approx(302))
    assert data.per_money.value == pytest.approx(60 / 302)
    assert data.per_money.low == pytest.approx(59 / 302)
    assert data.per_money.se == pytest.approx(0.5 / 302)
    assert data.per_money.unit == "errors per 1,000 per unit of money"
    # Where labels are cheap and hours are dear it is the other way round.
    assert list(bought(findings, "label=0.0001,gpu-hour=20")) == ["scarce-data", "single-model"]


def test_what_is_free_comes_before_what_costs() -> None:
    findings = [investment("scarce-data", 60.0), investment("single-model", 1.0)]
    found = bought(findings, "label=1")
    assert list(found) == ["single-model", "scarce-data"]
    assert (found["single-model"].money, found["single-model"].per_money) == (0.0, None)
    # All free: the largest gain first.
    assert list(bought(findings, "")) == ["scarce-data", "single-model"]


def test_only_measured_investments_are_bought() -> None:
    unmeasured = dataclasses.replace(a_finding("scarce-data"), tier="investment")
    assert bought([unmeasured, dataclasses.replace(investment("overfitting", 9.0), tier="defect")], "label=1") == {}


def test_a_gain_known_by_bounds_alone_is_ranked_by_the_lower() -> None:
    bounds = Estimate(None, 3.0, None, "errors per 1,000", 400, "bounds")
    unknown = dataclasses.replace(investment("scarce-data", 0.0), headroom=bounds)
    assert list(bought([unknown, investment("single-model", 2.0)], "")) == ["scarce-data", "single-model"]
    assert list(bought([unknown, investment("single-model", 4.0)], "")) == ["single-model", "scarce-data"]
