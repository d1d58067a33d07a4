"""What is found: estimates, measurements, and the findings made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Tier = Literal["gate", "defect", "investment"]
Column = Literal["quality", "trust", "cost"]
Verdict = Literal["bottleneck", "clear", "undetermined", "not-applicable", "not-run", "error"]
DetailKind = Literal["table", "curve", "histogram", "examples", "matrix", "map"]


def _finite(x: float | None) -> float | None:
    return float(x) if x is not None and math.isfinite(x) else None


@dataclass(frozen=True)
class Estimate:
    """One figure with its interval.

    `low`, `high`: interval at `level`; None where that side is unbounded or unknown (`undetermined`).
    `value` is None where only bounds are known. `n`: number of resampling units, named in `method`.
    `se`, `df`: standard error and degrees of freedom (None = normal), from which rank corrects for
    multiplicity; absent where the interval is exact or only a bound.
    `seeds`: how many training seeds stand behind it (None or 1: one model, as it is). `se_seeds`: the part of `se` that
    more rows don't shrink, se² = rows' part² + se_seeds²: more seeds do, or where `seeds` is None only more train rows.
    """

    value: float | None
    low: float | None
    high: float | None
    unit: str
    n: int
    method: str
    se: float | None = None
    df: float | None = None
    level: float = 0.95
    seeds: int | None = None
    se_seeds: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "se", "df", "se_seeds"):
            object.__setattr__(self, name, _finite(getattr(self, name)))

    @property
    def determined(self) -> bool:
        return self.low is not None and self.high is not None

    def shifted(self, by: float) -> Estimate:
        """The same plus a constant that is not estimated."""

        def plus(x: float | None) -> float | None:
            return None if x is None else x + by

        return replace(self, value=plus(self.value), low=plus(self.low), high=plus(self.high))

    def scaled(self, factor: float, unit: str) -> Estimate:
        """The same in another unit; a negative factor swaps the ends."""

        def times(x: float | None) -> float | None:
            return None if x is None else x * factor

        ends = (times(self.low), times(self.high))
        low, high = ends if factor >= 0 else (ends[1], ends[0])
        se, se_seeds = (None if s is None else s * abs(factor) for s in (self.se, self.se_seeds))
        return replace(self, value=times(self.value), low=low, high=high, unit=unit, se=se, se_seeds=se_seeds)


@dataclass(frozen=True)
class Detail:
    """Evidence to show. `kind` is one of a closed set; `data` is JSON:

    table: {columns: [str], rows: [[value]]}
    curve: {x: [..], y: [..], low: [..]|None, high: [..]|None, x_label, y_label, diagonal: bool}
    histogram: {edges: [..], counts: [..], x_label}
    examples: {split: str, rows: [int], columns: [str], values: [[value]]}
    matrix: {rows: [str], columns: [str], values: [[number]]}
    map: {x: [..], y: [..], group: [..]}
    """

    kind: DetailKind
    title: str
    data: dict[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Limit:
    """Judges a finding by one of its estimates against a stated limit, instead of its headroom against δ."""

    estimate: str
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Measurement:
    """What a probe returns.

    `headroom`: predicted gain from removing the bottleneck, counted positive: in the metric's display unit
    (quality), exposed predictions per 1,000 (trust), or a factor (cost). Without a value it states bounds only.
    `against`: where given, the verdict comes from that estimate and limit.
    """

    estimates: dict[str, Estimate]
    headroom: Estimate | None = None
    against: Limit | None = None
    details: tuple[Detail, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class NotApplicable:
    """What a probe returns where its question has no answer here, with the reason and what it would take."""

    reason: str


@dataclass(frozen=True)
class Finding:
    """One judged measurement, as it stands in report.json.

    `against`: the estimate and limit that the verdict comes from, where it does not come from headroom and δ.
    `spoils`: what an open gate makes untrustworthy.
    """

    id: str
    tier: Tier
    column: Column
    title: str
    verdict: Verdict
    headroom: Estimate | None = None
    against: Limit | None = None
    detectable: float | None = None
    rows_to_settle: int | None = None
    seeds_to_settle: int | None = None
    estimates: dict[str, Estimate] = field(default_factory=dict)
    details: tuple[Detail, ...] = ()
    remedies: tuple[str, ...] = ()
    reason: str = ""
    summary: str = ""
    preview: bool = False
    spoils: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it is proven that this does not hold the model back; False also where it was not measured."""
        return self.verdict == "clear"
