"""What an auditor's answers are worth against the truth: pure functions of what the runner wrote.

Right is the planted finding, and whatever else helps: any finding whose remedy brings at least RIGHT of what undoing
the plant brings. Only the first three answers of the quality column count there; gates, trust and cost are scored by
`detection` alone. Cases of one group (data set × fault) resemble each other, and so may those of one data set: a share
has the wider of the two intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.diagnosis.cases import COLUMNS, SAME, Answer
from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson, korn_graubard
from uncork.stats.means import clustered, mean
from uncork.stats.quantiles import median
from uncork.stats.slope import slope as slope_of

#: Share of the oracle's gain from which on a remedy is a right answer.
RIGHT = 0.8
#: Severity in δ: healthy below the first, faulty above the second, indifferent between them.
HEALTHY, FAULTY = 1.0, 2.0
#: Strata of the slope: what the best remedy of a case gains, in δ.
STRATA = {"below 2 δ": (0.0, 2.0), "2 to 5 δ": (2.0, 5.0), "above 5 δ": (5.0, math.inf)}
#: Promised of another repair than the one that was tried: adjusted logits, not repeated rows.
OTHERWISE = frozenset({"rare-classes"})
#: Fewer pairs than this make no slope.
FEWEST = 8
Z = 1.959964

Half = Literal["open", "frozen", "both"]
Class = Literal["faulty", "healthy", "indifferent", "other"]


@dataclass(frozen=True)
class Record:
    """One auditor's answers to one case beside its truth (`Truth.as_json()`). `error`: "" where there was none."""

    key: str
    group: str
    frozen: bool
    truth: Mapping[str, Any]
    answers: tuple[Answer, ...] = ()
    seconds: float = 0.0
    error: str = ""

    @property
    def delta(self) -> float:
        return float(self.truth["delta"])

    @property
    def quality(self) -> list[Answer]:
        """The answers of the quality column, in order."""
        return [a for a in self.answers if COLUMNS.get(a.finding, "quality") == "quality"]

    @property
    def first(self) -> Answer | None:
        """The finding it names; None where it abstains."""
        return next(iter(self.quality), None)


def load(folder: Path, keys: Iterable[str] | None = None) -> dict[str, list[Record]]:
    """The records of each auditor, from `folder/CASE/truth.json` and `folder/CASE/AUDITOR.json`.

    `keys`: the cases to read, default all; those that were not run are left out.
    """
    found: dict[str, list[Record]] = {}
    paths = sorted(folder.glob("*/truth.json")) if keys is None else [folder / key / "truth.json" for key in keys]
    for path in (p for p in paths if p.exists()):
        truth = json.loads(path.read_text())
        for beside in sorted(path.parent.glob("*.json")):
            if beside.name == "truth.json":
                continue
            told = json.loads(beside.read_text())
            answers = tuple(Answer(SAME.get(finding, finding), *told_of) for finding, *told_of in told["answers"])
            record = Record(
                truth["key"], truth["group"], truth["frozen"], truth, answers, told["seconds"], told.get("error") or ""
            )
            found.setdefault(beside.stem, []).append(record)
    return found


def of_half(records: Iterable[Record], half: Half) -> list[Record]:
    return [r for r in records if half == "both" or r.frozen == (half == "frozen")]


def class_of(truth: Mapping[str, Any]) -> Class:
    """Faulty: undoing the plant gains more than 2 δ, and surely more than δ. Healthy: no plant, or it costs less than
    δ, and surely less than 2 δ. What lies between, or can't be told, is indifferent."""
    if truth["column"] not in ("quality", "healthy"):
        return "other"
    if not truth["findings"]:
        return "healthy"
    oracle, delta = truth["oracle"] or {}, truth["delta"]
    value, low, high = (oracle.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "indifferent"
    if value < HEALTHY * delta and high < FAULTY * delta:
        return "healthy"
    return "faulty" if value > FAULTY * delta and low > HEALTHY * delta else "indifferent"


def gain_of(truth: Mapping[str, Any], finding: str) -> Mapping[str, Any] | None:
    """What the remedy of a finding really gains, an Estimate as a dict; None where it wasn't tried.

    A plant without a remedy of its own in the menu (a shift, a shortcut) gains what undoing it does.
    """
    found: Mapping[str, Any] | None = truth["gains"].get(finding)
    if found is None and tuple(truth["findings"]) == (finding,):
        found = truth["oracle"]
    return None if found is None or found["value"] is None else found


def value_of(truth: Mapping[str, Any], answer: Answer | None) -> float:
    """What following an answer gains; 0 where there is none, or its remedy wasn't tried."""
    found = None if answer is None else gain_of(truth, answer.finding)
    return 0.0 if found is None else float(found["value"])


def right(truth: Mapping[str, Any], answer: Answer | None) -> bool:
    """Whether an answer to a faulty case names the only plant, or recovers enough of the oracle's gain."""
    if answer is None:
        return False
    if tuple(truth["findings"]) == (answer.finding,):
        return True
    if gain_of(truth, answer.finding) is None:
        return False
    enough = RIGHT * float(truth["oracle"]["value"])
    return value_of(truth, answer) >= enough - 1e-9 * abs(enough)


def reachable(truth: Mapping[str, Any]) -> bool:
    """Whether any single remedy that was tried is a right answer: of two faults at once there may be none."""
    return any(right(truth, Answer(finding)) for finding in (*truth["findings"], *truth["gains"]))


def commonest_right(records: Iterable[Record]) -> str | None:
    """The finding that is a right answer to the most faulty cases, the first by name of equals."""
    faulty = [r.truth for r in records if class_of(r.truth) == "faulty"]
    found = sorted({f for t in faulty for f in (*t["findings"], *t["gains"])})
    return max(found, key=lambda f: sum(right(t, Answer(f)) for t in faulty), default=None)


def best_of(truth: Mapping[str, Any]) -> float:
    """What the best remedy gains, no less than 0: doing nothing is always there."""
    tried = {*truth["gains"], *truth["findings"]}
    return max(0.0, *(value_of(truth, Answer(finding)) for finding in tried)) if tried else 0.0


def false_alarm(record: Record) -> bool:
    """Of a healthy case: something is named, and its remedy gains less than δ or isn't known to gain anything."""
    return record.first is not None and value_of(record.truth, record.first) < record.delta


def right_alarm(record: Record) -> bool:
    """Of a healthy case: what is named does gain δ or more, as data sets have faults of their own."""
    return record.first is not None and not false_alarm(record)


def regret(record: Record) -> float:
    """What the best remedy gains beyond the named one, in δ, so that metrics can be averaged."""
    return (best_of(record.truth) - value_of(record.truth, record.first)) / record.delta


@dataclass(frozen=True)
class Promise:
    """A headroom with an interval and what was realised of it, in δ. `error`: the realised gain's own, to one side."""

    predicted: float
    low: float
    high: float
    realised: float
    error: float
    best: float
    group: str

    @property
    def kept(self) -> bool:
        """Whether the interval, widened by the realised gain's own error, holds it: that is not exact either.

        Both are independent, so their half-widths add as squares.
        """
        half = self.high - self.predicted if self.realised > self.predicted else self.predicted - self.low
        return abs(self.realised - self.predicted) <= math.hypot(half, self.error)


def promises(records: Iterable[Record]) -> list[Promise]:
    """The first quality answers with an interval whose remedy was tried."""
    found = []
    for r in records:
        realised = None if r.first is None else gain_of(r.truth, r.first.finding)
        if r.first is None or realised is None or r.first.low is None or r.first.high is None:
            continue
        if r.first.finding in OTHERWISE:
            continue
        low, high, value = r.first.low / r.delta, r.first.high / r.delta, float(realised["value"]) / r.delta
        predicted = (low + high) / 2 if r.first.headroom is None else r.first.headroom / r.delta
        # The end that faces the prediction; an unknown one is taken for no error, which makes the test stricter.
        facing = realised["low"] if value > predicted else realised["high"]
        error = 0.0 if facing is None else abs(facing / r.delta - value)
        found.append(Promise(predicted, low, high, value, error, best_of(r.truth) / r.delta, r.group))
    return found


@dataclass(frozen=True)
class Score:
    """An auditor on one half. Shares over faulty cases (top-1, top-3, abstained) and over healthy ones (alarms);
    regret over both, in δ; coverage, width (δ) and slope over all promises, `strata` the slope within each."""

    auditor: str
    half: Half
    faulty: int
    healthy: int
    indifferent: int
    promised: int
    errors: int
    top1: Estimate
    top3: Estimate
    abstained: Estimate
    false_alarms: Estimate
    right_alarms: Estimate
    regret: Estimate
    coverage: Estimate
    width: Estimate
    slope: Estimate | None
    strata: dict[str, Estimate | None]
    seconds: Estimate


def score(auditor: str, records: Iterable[Record], half: Half) -> Score:
    """One auditor's scores on one half of the data sets."""
    chosen = of_half(records, half)
    of = {name: [r for r in chosen if class_of(r.truth) == name] for name in ("faulty", "healthy", "indifferent")}
    faulty, healthy = of["faulty"], of["healthy"]
    made = promises([*faulty, *healthy, *of["indifferent"]])
    return Score(
        auditor,
        half,
        len(faulty),
        len(healthy),
        len(of["indifferent"]),
        len(made),
        errors=sum(bool(r.error) for r in chosen),
        top1=share(faulty, lambda r: right(r.truth, r.first)),
        top3=share(faulty, lambda r: any(right(r.truth, a) for a in r.quality[:3])),
        abstained=share(faulty, lambda r: r.first is None),
        false_alarms=share(healthy, false_alarm),
        right_alarms=share(healthy, right_alarm),
        regret=mean(
            np.array([regret(r) for r in faulty + healthy]),
            clusters=_groups(r.group for r in faulty + healthy),
            unit="δ",
        ),
        coverage=_share([p.kept for p in made], [p.group for p in made]),
        width=median(np.array([p.high - p.low for p in made]), unit="δ"),
        slope=slope(made),
        strata={name: slope([p for p in made if low <= p.best < high]) for name, (low, high) in STRATA.items()},
        seconds=median(np.array([r.seconds for r in chosen]), unit="s"),
    )


def share(records: Sequence[Record], hit: Callable[[Record], bool]) -> Estimate:
    """The share of cases that are a hit, its interval over groups."""
    return _share([hit(r) for r in records], [r.group for r in records])


def detection(records: Iterable[Record]) -> dict[str, tuple[Estimate, Estimate]]:
    """For each planted finding of gates, trust and cost: how often it is named where it is planted, and elsewhere."""
    known = list(records)
    planted = sorted({f for r in known if class_of(r.truth) == "other" for f in r.truth["findings"]})

    def named(finding: str, there: bool) -> Estimate:
        chosen = [r for r in known if (finding in r.truth["findings"]) == there]
        return share(chosen, lambda r: any(a.finding == finding for a in r.answers))

    return {finding: (named(finding, True), named(finding, False)) for finding in planted}


def compare(ours: Iterable[Record], theirs: Iterable[Record]) -> Estimate:
    """Top-1 of one auditor minus another's on the same faulty cases, paired, its interval over groups."""
    beside = {r.key: r for r in theirs}
    pairs = [(r, beside[r.key]) for r in ours if r.key in beside and class_of(r.truth) == "faulty"]
    change = [float(right(a.truth, a.first)) - float(right(b.truth, b.first)) for a, b in pairs]
    return mean(np.array(change), clusters=_groups(a.group for a, _ in pairs), unit="share", bounds=(-1.0, 1.0))


def best_baseline(records: Mapping[str, Iterable[Record]], half: Half, *, ours: str = "uncork") -> str | None:
    """The rival with the highest top-1, the first of equals; picking it on the same cases flatters it, not us."""
    scored = {name: score(name, of, half).top1.value for name, of in records.items() if name != ours}
    known = {name: value for name, value in scored.items() if value is not None}
    return max(known, key=lambda name: known[name], default=None)


def _share(hits: Sequence[bool], groups: Sequence[str]) -> Estimate:
    """Over groups, or over data sets (the part before the slash) where that is wider."""
    sets = [group.split("/")[0] for group in groups]
    over = [_over(np.array(hits, bool), _groups(codes)) for codes in (groups, sets)]
    return max(over, key=lambda e: math.inf if e.low is None or e.high is None else e.high - e.low)


def _over(hits: np.ndarray, codes: np.ndarray) -> Estimate:
    if not clustered(codes, len(hits)):
        return clopper_pearson(int(hits.sum()), len(hits))
    return korn_graubard(hits, codes)


def _groups(groups: Iterable[str]) -> np.ndarray:
    """A number for each group."""
    named = list(groups)
    return np.unique(named, return_inverse=True)[1] if named else np.zeros(0, np.int64)


def slope(made: Sequence[Promise]) -> Estimate | None:
    """Of the realised gain on the predicted one, whose error its interval tells; None where there are too few."""
    if len(made) < FEWEST:
        return None
    x, y = np.array([p.predicted for p in made]), np.array([p.realised for p in made])
    error = np.array([(p.high - p.low) / (2 * Z) for p in made])
    return slope_of(x, y, error, clusters=_groups(p.group for p in made), unit="δ per δ")
