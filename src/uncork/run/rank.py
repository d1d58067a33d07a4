"""From measurements to findings: verdicts, what could have been found, and which to mend first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uncork.probes._contract import registered
from uncork.schema.contract import Probe, identify
from uncork.schema.finding import Estimate, Finding, Limit, Measurement, NotApplicable, Verdict
from uncork.stats.means import difference
from uncork.stats.multiplicity import lower_bound
from uncork.stats.power import detectable, rows_to_settle, seeds_to_settle

#: Defects of quality in the order to mend them: an earlier one imitates or falsifies a later one. A shortcut or a shift
#: makes labels look wrong; wrong labels look like overfitting; rare classes like a net too small; a recipe that
#: underfits loses to any rival family and falsifies the learning curve; what it was never taught looks like
#: overfitting. Leaks come before all, as a gate. What stands together underfits alike: more of any of them makes up for
#: some of the others, and the largest gain tells.
CAUSAL_ORDER = (
    ("shortcut-features",),
    ("domain-shift",),
    ("wrong-labels",),
    ("rare-classes",),
    ("missing-capacity", "undertraining", "mistuned-training"),
    ("missing-invariance",),
    ("overfitting",),
    ("wrong-family",),
)

#: Their headroom counts other rows than validation's, so that it can't be compared by size.
ELSEWHERE = ("domain-shift",)

_ORDER = {"gate": 0, "defect": 1, "investment": 2}
_COLUMNS = {"quality": 0, "trust": 1, "cost": 2}
_VERDICTS = {"bottleneck": 0, "undetermined": 1, "clear": 2, "not-applicable": 3, "not-run": 4, "error": 5}


def quality_family() -> int:
    """How many questions the principal is picked from: the registered defects of the quality column, run or not."""
    return max(1, sum(p.tier == "defect" and p.column == "quality" for p in registered().values()))


def judge(probe: Probe, outcome: Measurement | NotApplicable, *, delta: float, family: int, seconds: float) -> Finding:
    """One probe's outcome as a finding. The verdict is for this finding alone, unadjusted for multiplicity."""
    if isinstance(outcome, NotApplicable):
        return unmeasured(probe, "not-applicable", outcome.reason, seconds)
    verdict = _verdict(outcome, delta)
    headroom = outcome.headroom
    in_metric = headroom if probe.column == "quality" else None
    open_ = in_metric if verdict == "undetermined" else None
    return Finding(
        id=probe.id,
        tier=probe.tier,
        column=probe.column,
        title=_title(probe, verdict),
        verdict=verdict,
        headroom=headroom,
        against=outcome.against,
        detectable=detectable(in_metric, delta, family) if in_metric else None,
        rows_to_settle=rows_to_settle(open_, delta, family) if open_ else None,
        seeds_to_settle=seeds_to_settle(open_, delta, family) if open_ else None,
        estimates=outcome.estimates,
        details=outcome.details,
        remedies=probe.remedies,
        summary=outcome.summary,
        preview=probe.preview,
        spoils=probe.spoils,
        seconds=seconds,
    )


def _title(probe: Probe, verdict: Verdict) -> str:
    """What was shown; where nothing was, the question."""
    return {"clear": probe.title, "bottleneck": probe.failure_title}.get(verdict, f"{probe.failure_title}?")


def unmeasured(probe: Probe, verdict: Verdict, reason: str, seconds: float = 0.0) -> Finding:
    """A finding without a measurement: not applicable, not run, or an error."""
    return Finding(
        id=probe.id,
        tier=probe.tier,
        column=probe.column,
        title=_title(probe, verdict),
        verdict=verdict,
        reason=reason,
        preview=probe.preview,
        spoils=probe.spoils,
        seconds=seconds,
    )


def unimportable(module: str, why: str) -> Finding:
    """A probe of another package that could not be imported: an error of its own, not silence."""
    return Finding(identify(module), "defect", "quality", f"The probe in {module}", "error", reason=why)


def _verdict(outcome: Measurement, delta: float) -> Verdict:
    if outcome.against is not None:
        return _against(outcome.estimates[outcome.against.estimate], outcome.against)
    headroom = outcome.headroom
    if headroom is None or headroom.low is None or headroom.high is None:
        return "undetermined"
    if headroom.low > delta:
        return "bottleneck"
    return "clear" if headroom.high < delta else "undetermined"


def _against(estimate: Estimate, limit: Limit) -> Verdict:
    if estimate.low is None or estimate.high is None:
        return "undetermined"
    if limit.at_most is not None:
        return "bottleneck" if estimate.low > limit.at_most else _met(estimate.high <= limit.at_most)
    assert limit.at_least is not None
    return "bottleneck" if estimate.high < limit.at_least else _met(estimate.low >= limit.at_least)


def _met(certain: bool) -> Verdict:
    return "clear" if certain else "undetermined"


def principal(findings: Sequence[Finding], *, delta: float, family: int) -> tuple[str, ...]:
    """Ids of the defects to mend first: the largest proven headroom, and those that can't be told apart from it.

    Proven: its own interval and the lower bound corrected for the family (Bonferroni-t) both exceed δ. Can't be told
    apart: the 95 % interval of the difference of the two headrooms (Welch-t) reaches 0; they are taken as independent,
    which errs towards naming more where the same rows carry both. What counts other rows (ELSEWHERE) is named beside
    them where it is proven. In CAUSAL_ORDER; others after them, by size.
    """
    proven = {
        f.id: f.headroom
        for f in findings
        if f.tier == "defect"
        and f.column == "quality"
        and f.verdict == "bottleneck"
        and f.headroom is not None
        and (bound := lower_bound(f.headroom, family)) is not None
        and bound > delta
    }
    if not proven:
        return ()
    by_size = sorted(proven, key=lambda id: -_value(proven[id]))
    here = [id for id in by_size if id not in ELSEWHERE]
    alike = [id for id in by_size if id in ELSEWHERE or id == here[0] or not _larger(proven[here[0]], proven[id])]
    place = {id: number for number, ids in enumerate(CAUSAL_ORDER) for id in ids}
    return tuple(sorted(alike, key=lambda id: place.get(id, len(CAUSAL_ORDER))))


def _larger(first: Estimate, second: Estimate) -> bool:
    """Whether the first is surely the larger."""
    low = difference(first, second, unit=first.unit).low
    return low is not None and low > 0


def _value(headroom: Estimate) -> float:
    return -math.inf if headroom.value is None else headroom.value


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Gates, then defects, then investments; in each, what is proven first.

    Quality headrooms are ranked by size. Trust findings are never ranked against one another: they keep their names'
    order.
    """

    def key(f: Finding) -> tuple[int, int, int, float, str]:
        size = -_value(f.headroom) if f.column == "quality" and f.headroom is not None else 0.0
        return _ORDER[f.tier], _COLUMNS[f.column], _VERDICTS[f.verdict], size, f.id

    return tuple(sorted(findings, key=key))
