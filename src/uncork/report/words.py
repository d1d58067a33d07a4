"""The sentences that the terminal and the HTML page share: pure functions of a Report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from uncork.report.numbers import interval, number, percent, quantity
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Headline, Report, Treatment, Verification

NOT_MEASURED = ("not-applicable", "not-run", "error")

MULTIPLICITY = (
    "Each verdict stands for itself: it is not corrected for how many were looked at. Only “principal” is. "
    "Headrooms overlap, so they must not be added up."
)


OVER_SEEDS = (
    "Gains are means over rows and training seeds; the first seed's model is kept. A gain from one seed speaks of "
    "these very models only."
)


def opening(report: Report) -> list[str]:
    """What the model does and what to do about it, a sentence or three to a line."""
    return [
        _performance(report.headline),
        *_circumstances(report),
        *_gates(report),
        principal(report),
        *_trust(report),
        *_treated(report),
    ]


def verdict_of(finding: Finding) -> str:
    """The verdict in the words of its tier: a gate is open or closed, an investment is never wrong."""
    words = {
        ("gate", "bottleneck"): "open",
        ("gate", "clear"): "closed",
        ("investment", "bottleneck"): "gain",
        ("investment", "clear"): "no gain",
    }
    return words.get((finding.tier, finding.verdict), finding.verdict.replace("-", " "))


def mood(finding: Finding) -> str:
    """The verdict whose colour a finding takes: what an investment would gain is no fault."""
    return "helps" if (finding.tier, finding.verdict) == ("investment", "bottleneck") else finding.verdict


def settle(finding: Finding) -> list[str]:
    """What an undetermined finding could have shown, and what would settle it."""
    parts = []
    if finding.against is None and finding.headroom is not None and finding.headroom.value is None:
        return ["only bounds are known: trying a remedy would tell"]
    if finding.detectable is not None:
        parts.append(f"a headroom under {number(finding.detectable)} would likely have gone unproven")
    needed = [(finding.rows_to_settle, "rows"), (finding.seeds_to_settle, "seeds")]
    counts = [f"{number(float(f'{n:.2g}'))} {of}" for n, of in needed if n is not None]
    if counts:
        parts.append(f"about {' or '.join(counts)} would settle it")
    elif parts and finding.headroom is not None and finding.headroom.seeds and finding.headroom.se_seeds:
        parts.append("neither more rows nor more seeds alone would settle it")
    return parts or ["more rows would narrow the interval"]


def judged(finding: Finding) -> str:
    """The figure that the verdict comes from and its limit, where that is not headroom and δ."""
    if finding.against is None or finding.against.estimate not in finding.estimates:
        return ""
    estimate = finding.estimates[finding.against.estimate]
    words = finding.against.estimate.replace("_", " ")
    figure = number(estimate.value) if estimate.low == estimate.high else interval(estimate)
    if finding.against.at_most is not None:
        return f"{words} {figure}, at most {number(finding.against.at_most)} asked"
    return f"{words} {figure}, at least {number(finding.against.at_least)} asked"


def groups(report: Report) -> list[tuple[str, list[Finding]]]:
    """Findings by what they may be compared with, in the order that the run ranked them; empty groups left out."""
    parts: dict[str, list[Finding]] = {"Gates": [], "Quality": [], "Investments": [], "Trust": [], "Cost": []}
    for f in report.findings:
        tier = {"gate": "Gates", "investment": "Investments"}.get(f.tier)
        parts[tier or f.column.capitalize()].append(f)
    return [(name, found) for name, found in parts.items() if found]


def principal(report: Report) -> str:
    """The principal bottleneck, the set that can't be told apart, or that none is proven."""
    leads = [f for id in report.principal for f in report.findings if f.id == id]  # in the causal order given
    if len(leads) == 1:
        return f"The principal bottleneck: {_sentence(leads[0].title)} {_mending(leads[0], report.headline)}"
    if leads:
        each = "; ".join(f"{f.title.rstrip('.')}, {quantity(f.headroom)}" for f in leads)
        advice = "Mend them in this order: they overlap, so don't add them up."
        return f"These bottlenecks can't be told apart: {each}. {advice}"
    measured = [f for f in report.findings if f.tier == "defect" and f.column == "quality"]
    measured = [f for f in measured if f.verdict not in NOT_MEASURED]
    if not measured:
        return "No bottleneck is proven: no defect of quality could be measured here."
    delta = delta_of(report)
    threshold = f"δ = {number(delta)} {unit_of(report)}".rstrip() if delta is not None else "δ"
    return (
        f"No bottleneck of quality is proven: of {_count(len(measured), 'defect')} measured, none has a headroom "
        f"that is surely above {threshold} once corrected for how many were looked at."
    )


def shadow(gate: Finding) -> str:
    """Which figures an open gate makes untrustworthy."""
    return f"Until it is closed, don't trust {gate.spoils or 'any figure of this report'}."


def command(report: Report, remedies: Sequence[str]) -> str:
    """The command that tries some remedies on this run."""
    return f"uncork treat {shlex.quote(report.folder or 'RUN')} --remedies {shlex.quote(','.join(remedies))}"


def outcome(treatment: Treatment) -> str:
    """`helps, kept`: the verdict and what was done about it."""
    done = "kept" if treatment.kept else "dropped"
    verdict = treatment.verdict.replace("-", " ")
    return verdict if treatment.verdict in (*NOT_MEASURED, "planned") else f"{verdict}, {done}"


def effects(of: Treatment | Verification) -> list[str]:
    """Side effects as `log-loss 0.21 (0.19 to 0.23) → 0.15 (0.14 to 0.17) nats`."""
    return [f"{e.name} {interval(e.before)} → {quantity(e.after)}" for e in of.side_effects]


def bought(report: Report) -> list[str]:
    """Each investment with what it gains and costs, in the order of gain per money."""
    lines = []
    for i in report.investments:
        parts = [f"{number(i.labels)} labels"] * (i.labels > 0) + [f"{number(i.hours)} h of training"] * (i.hours > 0)
        per = f": {quantity(i.per_money)}" if i.per_money else ""
        lines.append(f"{i.finding}: {quantity(i.gain)} for {' and '.join(parts)}, at a price of {number(i.money)}{per}")
    return lines


def cost(treatment: Treatment) -> str:
    """What trying a remedy cost, where it trained."""
    if not treatment.trainings or treatment.verdict in (*NOT_MEASURED, "planned"):
        return ""
    times = f"{number(treatment.trainings)} trainings by the recipe"
    return f"{_count(treatment.seeds, 'model')} of it and of its control each, priced at {times}"


def unit_of_gain(treatment: Treatment) -> str:
    """The unit that predicted, realised and control share."""
    return next((e.unit for e in (treatment.realised, treatment.predicted, treatment.against_control) if e), "")


def delta_of(report: Report) -> float | None:
    """δ in the metric's display unit, where the subject states it."""
    metric = report.subject.get("metric")
    delta = metric.get("delta") if isinstance(metric, dict) else None
    return float(delta) if isinstance(delta, int | float) else None


def unit_of(report: Report) -> str:
    metric = report.subject.get("metric")
    return report.headline.unit or (str(metric.get("unit", "")) if isinstance(metric, dict) else "")


def wrong_per_1000(headline: Headline) -> float | None:
    """Wrong predictions per 1,000, for the metrics that count them."""
    if headline.value is None or headline.unit not in ("errors per 1,000", "right per 1,000"):
        return None
    return headline.value if headline.unit.startswith("errors") else 1000 - headline.value


def _performance(h: Headline) -> str:
    rows = f"{number(h.n)} test rows"
    estimate = Estimate(h.value, h.low, h.high, h.unit, h.n, h.method)
    if h.value is None:
        text = f"The model's {h.metric} on test is {interval(estimate)} ({rows})."
    else:
        figure, _, bounds = interval(estimate).removesuffix(")").partition(" (")
        between = f"({percent(estimate.level)} interval {bounds.removeprefix('interval ')}; {rows})"
        text = {
            "errors per 1,000": f"Of 1,000 predictions {figure} are wrong {between}.",
            "right per 1,000": f"Of 1,000 predictions {figure} are right {between}.",
            "cost per 1,000": f"1,000 predictions cost {figure} {between}.",
        }.get(h.unit, f"The model's {h.metric} is {figure}{_unit_after(h)} {between}.")
    if h.clean is not None:
        text += f" Without the test rows that also stand in train: {interval(h.clean)}."
    return f"{text} {_sentence(h.note)}" if h.note else text


def _unit_after(h: Headline) -> str:
    return f" {h.unit}" if h.unit and h.unit.lower() != h.metric.lower() else ""


def _circumstances(report: Report) -> list[str]:
    lines = []
    if report.subject.get("predictions_only"):
        lines.append("Only predictions were given: what needs the model, its inputs or its training was not measured.")
    if report.subject.get("describe_only"):
        lines.append("Describe-only: everything is measured on all of test, so no remedy can be chosen or proven here.")
    return lines


def _gates(report: Report) -> list[str]:
    lines = []
    for gate in report.gates_open:
        closed = [t.remedy for t in report.treatments if t.finding == gate.id and t.verdict == "closed"]
        after = f" In the treated model {closed[0]} has closed it." if closed else ""
        lines.append(f"Open gate: {_sentence(gate.title)} {shadow(gate)}{after}")
    unsettled = [f for f in report.findings if f.tier == "gate" and f.verdict not in ("bottleneck", "clear")]
    if unsettled:
        named = ", ".join(f"{f.id} ({verdict_of(f)})" for f in unsettled)
        lines.append(f"Gates that were not settled, so may be open: {named}.")
    return lines


def _mending(finding: Finding, headline: Headline) -> str:
    if headline.value is not None and headline.unit == "errors per 1,000" and finding.headroom is not None:
        return f"Mending it would remove {interval(finding.headroom)} of them."
    return f"Mending it would gain {quantity(finding.headroom)}."


def _trust(report: Report) -> list[str]:
    """What the requirements that are not met say, and what was done about each."""
    lines = []
    for finding in report.findings:
        if finding.column != "trust" or finding.verdict != "bottleneck":
            continue
        kept = [t for t in report.treatments if t.finding == finding.id and t.kept]
        mended = [_kept_for(t, report.verification is not None) for t in kept]
        lines.append(" ".join([_sentence(finding.summary or finding.title), *mended]))
    return lines


def _kept_for(treatment: Treatment, opened: bool) -> str:
    name = treatment.remedy.capitalize()
    if treatment.stage == "test" and treatment.verdict == "helps":
        return f"{name} helps, proven on test."
    return f"{name} was kept; test is not sure of it." if opened else f"{name} helps on validation."


def _treated(report: Report) -> list[str]:
    if not report.treatments:
        return []
    kept = [t.remedy for t in report.treatments if t.kept]
    tried = sum(t.verdict not in (*NOT_MEASURED, "planned") for t in report.treatments)
    if not tried:
        return []
    if not kept:
        none = "none is surely better than both the model and its control on validation"
        return [
            f"No remedy helped: of {_count(tried, 'tried', 'tried')}, {none}. The model stays; test was not opened."
        ]
    text = f"Tried {_count(tried, 'remedy', 'remedies')}; kept {', '.join(kept)}."
    check = report.verification
    if check is None:
        return [f"{text} Test was not opened, so nothing is proven."]
    return [f"{text} {verified(check)}"]


def verified(check: Verification) -> str:
    """What the opening of test showed, with its interval."""
    what = f"{check.yardstick} is better by" if check.proven else f"{check.yardstick} changed by"
    if check.margin and check.proven:
        what = f"{check.yardstick} loses no more than {number(check.margin)}; it gained"
    elsewhere = check.yardstick.endswith(" on shifted")
    place, rows = ("on shifted rows kept for it", "these rows") if elsewhere else ("on test", "these test rows")
    test = f"opening {check.opening} of {rows}, tested at {percent(check.alpha)}"
    return f"{'Proven' if check.proven else 'Not proven'} {place}: {what} {quantity(check.gain)} ({test})."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
