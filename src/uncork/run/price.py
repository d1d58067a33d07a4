"""What the next money buys: investments by gain per cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uncork.probes._contract import registered
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Investment

#: What can have a price: one label, and one hour of the machine that trains.
PRICED = ("label", "gpu-hour")


def prices(given: str | Mapping[str, float]) -> dict[str, float]:
    """Prices by name, from "label=0.3,gpu-hour=2" or a mapping; what is not named is free. Raises BadInput."""
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(",") if part.strip()]
        given = {name.strip(): value for name, _, value in pairs}  # type: ignore[misc]
    found = dict.fromkeys(PRICED, 0.0)
    for name, value in given.items():
        if name not in PRICED:
            raise BadInput(f"price of {name!r}: give {' or '.join(PRICED)}, such as label=0.3,gpu-hour=2")
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise BadInput(f"price {name}={value}: give a number, 0 or more, in any currency")
    return found


def investments(
    findings: Sequence[Finding], price: Mapping[str, float], *, rows: int, training: float
) -> tuple[Investment, ...]:
    """The measured investments in quality, the largest gain per money first; what is free before all.

    `rows`: of train; `training`: seconds of one training. The price is known, so that a gain's interval is its own.
    """
    found = []
    for finding in findings:
        labels, trainings = registered()[finding.id].buys if finding.id in registered() else (0.0, 0.0)
        if finding.tier != "investment" or finding.headroom is None or not (labels or trainings):
            continue
        count, hours = round(labels * rows), trainings * training / 3600
        money = count * price["label"] + hours * price["gpu-hour"]
        per = _per(finding.headroom, money)
        found.append(Investment(finding.id, finding.headroom, count, hours, money, per))
    return tuple(sorted(found, key=lambda i: (i.money > 0, -_value(i.per_money or i.gain))))


def _per(gain: Estimate, money: float) -> Estimate | None:
    return gain.scaled(1 / money, f"{gain.unit} per unit of money") if money > 0 else None


def _value(gain: Estimate) -> float:
    return gain.value if gain.value is not None else gain.low or 0.0
