"""The report: report.json, schema version 1."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from uncork.schema.errors import BadInput, MissingExtra
from uncork.schema.finding import Estimate, Finding

SCHEMA_VERSION = 1

TreatmentVerdict = Literal[
    "helps", "hurts", "undetermined", "closed", "still-open", "not-applicable", "error", "planned"
]


@dataclass(frozen=True)
class SideEffect:
    """Another figure of the same rows before and after a treatment, with its own interval each time."""

    name: str
    before: Estimate
    after: Estimate


@dataclass(frozen=True)
class Treatment:
    """One remedy tried. Gains are positive.

    `realised`: gain of the remedy over the model before it, on test where `stage` is "test", else on validation.
    `against_control`: gain over the same compute with the remedy left out, on the same rows.
    `on_validation`: the gain by which it was kept or dropped; `realised` itself while test was not opened for it.
    `predicted`: what the probe promised, in the same unit, where it promised anything.
    `side_effects`: other figures before and after, on validation. `p_value`: of the remedy gaining nothing (one-sided).
    `seeds`: models of the remedy, and as many of its control, that the gains are the mean of; the first is kept.
    `trainings`: what it was priced at, in trainings by the recipe. `round`: 1 for what the audit found, and one more
    each time the subject was examined again after something was kept.
    """

    remedy: str
    finding: str
    safety: str
    stage: Literal["validation", "test"]
    verdict: TreatmentVerdict
    kept: bool
    predicted: Estimate | None = None
    realised: Estimate | None = None
    against_control: Estimate | None = None
    on_validation: Estimate | None = None
    side_effects: tuple[SideEffect, ...] = ()
    model: str | None = None
    changes: str = ""
    reason: str = ""
    p_value: float | None = None
    seeds: int = 1
    trainings: float = 0.0
    round: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Investment:
    """What an investment gains, and what it costs: `labels` new ones, `hours` of training, together `money`.

    `per_money`: the gain for one unit of money, None where it costs nothing at these prices.
    """

    finding: str
    gain: Estimate
    labels: int
    hours: float
    money: float
    per_money: Estimate | None


@dataclass(frozen=True)
class Verification:
    """The one opening of test: the final model against the original, in `yardstick`.

    `alpha`: what this opening, the `opening`-th of these rows, may spend. `side_effects`: the metric and other figures
    on test before and after, described and not tested. `margin`: proven is that no more than this is lost, where only
    remedies were kept whose gain is elsewhere (in size, in time).
    """

    opening: int
    alpha: float
    yardstick: str
    before: Estimate
    after: Estimate
    gain: Estimate
    proven: bool
    side_effects: tuple[SideEffect, ...] = ()
    margin: float = 0.0


@dataclass(frozen=True)
class Headline:
    """What the model does on test. `clean`: the same without test rows that also stand in train."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    method: str = ""
    clean: Estimate | None = None
    note: str = ""


class Findings(tuple[Finding, ...]):
    """The findings in order, by position or slice as of any tuple, or by id: `report.findings["wrong-labels"]`."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Raises KeyError with the ids there are, where `key` is an id and not one of them."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        for found in self:
            if found.id == key:
                return found
        raise KeyError(f"no finding {key!r}: this report has {', '.join(f.id for f in self)}")

    def __contains__(self, key: object) -> bool:
        return any(found.id == key for found in self) if isinstance(key, str) else super().__contains__(key)


@dataclass(frozen=True)
class Report:
    """Everything an audit or a treatment found. `subject`, `plan`, `artifacts`, `environment`, `timings` are JSON."""

    subject: dict[str, Any]
    headline: Headline
    principal: tuple[str, ...]
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...] = ()
    verification: Verification | None = None
    investments: tuple[Investment, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    folder: str | None = None
    #: The Subject itself where this report was made in this process, so that `treat(report)` works. Never written.
    live: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", Findings(self.findings))

    def finding(self, id: str) -> Finding:
        """The finding of one probe, also `findings[id]`. Raises KeyError with the ids there are."""
        found: Finding = self.findings[id]  # type: ignore[call-overload]  # Findings, see __post_init__
        return found

    @property
    def gates_open(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.tier == "gate" and f.verdict == "bottleneck")

    def to_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        shallow = dataclasses.replace(self, live=None)
        content = dataclasses.asdict(shallow)
        for private in ("live", "folder"):
            del content[private]
        return content

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each finding: id, tier, column, verdict; value, low, high, unit and n of
        its headroom, missing where it has none; and the reason where it was not measured. Raises MissingExtra without
        pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtra("tabular", "report.to_frame()") from None
        rows = [
            {name: getattr(f, name) for name in ("id", "tier", "column", "verdict")}
            | {name: getattr(f.headroom, name, None) for name in ("value", "low", "high", "unit", "n")}
            | {"reason": f.reason}
            for f in self.findings
        ]
        columns = ["id", "tier", "column", "verdict", "value", "low", "high", "unit", "n", "reason"]
        figures = {**dict.fromkeys(("value", "low", "high"), "float64"), "n": "Int64"}
        return pd.DataFrame(rows, columns=columns).astype(figures)

    def model_card(self) -> str:
        """Text of a model card of Hugging Face: metadata with the headline as `model-index`, findings and limits."""
        from uncork.report.card import render

        return render(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from uncork.report.notebook import render

        return render(self)

    def to_json(self) -> str:
        """Text of report.json."""
        return json.dumps(_plain(self.to_dict()), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str, where: str = "report.json") -> Report:
        """Reads and checks report.json. Raises BadInput that names the place that doesn't fit."""
        from pydantic import ValidationError

        try:
            content = json.loads(text)
        except json.JSONDecodeError as e:
            raise BadInput(f"{where} is not JSON ({e}): run the audit again, it reuses what is gathered") from None
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise BadInput(f"{where} has schema_version {version!r}; this uncork reads {SCHEMA_VERSION}")
        try:
            report: Report = _adapter().validate_python(content)
        except ValidationError as e:
            first = e.errors()[0]
            place = ".".join(str(p) for p in first["loc"])
            raise BadInput(f"{where}: {place}: {first['msg']}") from None
        return report


def _plain(x: Any) -> Any:
    """JSON values only: numbers that are not finite become null, NumPy scalars and arrays plain numbers."""
    if hasattr(x, "tolist"):
        x = x.tolist()
    if isinstance(x, dict):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of report.json, as published in docs/report.schema.json."""
    schema: dict[str, Any] = _adapter().json_schema(mode="serialization")
    for private in ("folder", "live"):
        schema["properties"].pop(private, None)
    schema["title"] = "uncork report, schema version 1"
    return schema
