"""The cases of the benchmark: data set × fault × severity × seed, a fraction of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from benchmarks.diagnosis.sets import FROZEN, SETS
from uncork import Metric, Subject
from uncork.planted.faults import FAULTS, Fault, Planted, both
from uncork.planted.ground import lay

#: The column that each finding belongs to. What is not here is of the quality column.
COLUMNS = {
    "leaked-examples": "gate",
    "loose-input-contract": "gate",
    "irreproducible-recipe": "gate",
    "miscalibration": "trust",
    "unguaranteed-errors": "trust",
    "retraining-churn": "trust",
    "membership-leakage": "trust",
    "adversarial-fragility": "trust",
    "behaviour-violations": "trust",
    "opaque-decisions": "trust",
    "stubborn-mistakes": "trust",
    "unrecognised-inputs": "trust",
    "excess-capacity": "cost",
    "export-mismatch": "cost",
    "heavy-deployment": "cost",
    "idle-parts": "cost",
    "ill-conditioning": "cost",
    "label-cost": "cost",
    "redundant-channels": "cost",
    "wasted-compute": "cost",
}


#: The same question under another name. The gate compares validation with train, and between these two a shift is
#: planted; where it opens on a healthy case it is a false alarm like any other.
SAME = {"split-shift": "domain-shift"}


class Answer(NamedTuple):
    """What an auditor names: a finding's id, its predicted headroom in the metric's display unit, and an interval.

    None for what it doesn't say.
    """

    finding: str
    headroom: float | None = None
    low: float | None = None
    high: float | None = None


#: Training seeds of a case start here; the first one is the audited checkpoint's.
SEEDS_APART = 1000


class Auditor(Protocol):
    """Takes a subject and returns what holds it back, the most important first; an empty list is an answer."""

    def __call__(self, subject: Subject, seed: int) -> Sequence[Answer]: ...


@dataclass(frozen=True)
class Truth:
    """What repairs are really worth in one case, measured on test with its true labels.

    `findings`: the planted ones (empty where healthy). `oracle`: what undoing all plants gains (an Estimate as a
    dict, display unit, positive where better), None where healthy. `gains`: the same for every finding whose remedy
    was tried. `column` of the plant, "healthy" without one.
    """

    column: str
    findings: tuple[str, ...]
    metric: str
    unit: str
    delta: float
    before: dict[str, Any]
    oracle: dict[str, Any] | None
    gains: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Case(Protocol):
    """One subject with a known answer.

    `key`: its name, a folder's. `group`: what intervals are clustered by. `column`: as Truth's. `frozen`: not to be
    tuned on.
    """

    key: str
    group: str
    column: str
    frozen: bool

    def subject(self) -> Subject: ...

    def truth(self) -> Truth: ...


def metric_of(classes: int) -> Metric:
    """Errors per 1,000 with δ = 10; in regression the RMSE in standard deviations with δ = .02."""
    return Metric("error", delta=10.0) if classes else Metric("rmse", delta=0.02)


#: Two faults at once, by the names of both.
DOUBLES = (("wrong-labels", "lr-times-30"), ("narrow-net", "wrong-labels"))


@dataclass(frozen=True)
class PlantedCase:
    """A data set with a fault at one severity, or healthy. `fault`: one name, two joined by "+", or ""."""

    data: str
    fault: str
    severity: float
    seed: int

    @property
    def key(self) -> str:
        return f"{self.data}--{self.fault or 'healthy'}--{self.severity:.3g}--{self.seed}"

    @property
    def group(self) -> str:
        return f"{self.data}/{self.fault or 'healthy'}"

    @property
    def frozen(self) -> bool:
        return self.data in FROZEN

    @property
    def column(self) -> str:
        faults = self.faults()
        return faults[0].column if faults else "healthy"

    def faults(self) -> tuple[Fault, ...]:
        return tuple(FAULTS[name] for name in self.fault.split("+") if name)

    def planted(self) -> Planted:
        ground, faults = lay(SETS[self.data], self.seed), self.faults()
        if not faults:
            return Planted(ground, ground)
        if len(faults) == 1:
            return faults[0].plant(ground, self.severity)
        return both(*faults, ground, self.severity)

    def subject(self) -> Subject:
        ground = self.planted().faulty
        model = ground.fit(SEEDS_APART * self.seed)
        return ground.subject(model, name=self.data, metric=metric_of(ground.data.classes))

    def truth(self) -> Truth:
        from benchmarks.diagnosis.truth import measure

        findings = tuple(fault.finding for fault in self.faults())
        return measure(self.planted(), findings=findings, column=self.column, seed=self.seed)


#: One in so many of all combinations of fault, severity and data set is a case.
FRACTION = 7


def design() -> list[PlantedCase]:
    """Healthy subjects of each data set (two, of pictures one), and a fraction of all faults, spread over the sets.

    Of the gates, trust and cost faults, which are easier and cost little, one in three. Which fault meets which set
    depends on their places in the lists alone, never on a result.
    """
    healthy = [(name, seed) for name, data in SETS.items() for seed in ((0,) if data.kind == "image" else (0, 1))]
    cases = [PlantedCase(name, "", 0, seed) for name, seed in healthy]
    single = [(fault, severity) for fault in FAULTS.values() for severity in fault.severities]
    quality = [(f.name, s, f.regression) for f, s in single if f.column == "quality"]
    quality += [("+".join(pair), 1.0, all(FAULTS[name].regression for name in pair)) for pair in DOUBLES]
    others = [(f.name, s, f.regression) for f, s in single if f.column != "quality"]
    for place, (name, data) in enumerate(SETS.items()):
        for listed, step in ((quality, FRACTION), (others, 3)):
            for number, (fault, severity, regression) in enumerate(listed):
                if (number + place) % step == 0 and (regression or data.classes):
                    cases.append(PlantedCase(name, fault, severity, seed=0))
    return cases


def quick() -> list[PlantedCase]:
    """A healthy subject and three severe faults of quality of each open set whose nets train in a second."""
    cheap = [name for name, data in SETS.items() if data.kind != "image" and name not in FROZEN]
    severe = [f for f in FAULTS.values() if f.column == "quality"]
    cases = [PlantedCase(name, "", 0, 0) for name in cheap]
    for place, name in enumerate(cheap):
        fitting = [f for f in severe if f.regression or SETS[name].classes]
        chosen = [fitting[(3 * place + k) % len(fitting)] for k in range(3)]
        cases += [PlantedCase(name, f.name, f.severities[-1], 0) for f in chosen]
    return cases
