"""The model takes inputs in any format, and is perhaps fed in a wrong one.

What it measures
----------------
Whether another format of the same rows (scale, range, order of channels, bytes) serves the model much better than the
one it is given; whether its answer to a row depends on the rows beside it; what it accepts, at what cost.

Why it limits the model
-----------------------
A net fed on another scale, or with blue for red, answers all the same, only worse, and every figure is about the feed.
An answer that depends on the rest of the batch is another one in use.

Estimator
---------
`fed_wrongly`, counted: formats whose gain in errors (regression: the metric, else RMSE) surely exceeds δ and a fifth of
what the model errs as it is fed, and batch dependence. The gate is open where there is one. Gains are paired over the
same random rows, with one-sided lower bounds corrected for all formats tried (Bonferroni): 5 % false alarms at most
over all of them. A fifth, since nets trained on few, unbalanced or noisy rows gain up to 27 errors in 1,000, an
eighth of theirs at most, on other scales, while those fed wrongly lost half and more (planted, digits and MNIST).
`batch_dependence`: share of rows whose probabilities move by more than .01 (values: .01 s.d.) when run alone or in
other company, Clopper-Pearson over rows; any such row opens the gate unless answers also move from call to call.
`best_gain`: the largest gain over formats, its interval corrected for their number. `accepted`: formats taken without
an error. In the table, costs are wrong answers per 1,000 more (rows handed over are not answers), 95 % each.
Under 100 rows the verdict is undetermined where nothing is found.

When it misleads
----------------
Only listed formats are tried, no wrong mean of ImageNet, no two columns swapped for good. Gains below a fifth of the
errors pass: a ReLU net, which hardly minds its scale, may be fed wrongly unseen. Accepting anything is no fault.

Remedies and their safety
-------------------------
Feed it what does better (advice). `contract` (safe) hands over rows unlike those it was trained on.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.formats import a_formats
>>> data = a_formats(error=0.4, formats={"÷ 255": 0.1, "× 4": 0.5})
>>> found = measure(formats=data, facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["fed_wrongly"].value, round(found.estimates["best_gain"].value)
(1.0, 300)

References
----------
Sculley et al., Hidden technical debt in machine learning systems, NeurIPS 2015. Breck et al., Data validation for
machine learning, MLSys 2019. Ioffe & Szegedy, Batch normalization, ICML 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.formats import Formats, FormatsData
from uncork.schema.metric import Metric
from uncork.stats.binomial import clopper_pearson
from uncork.stats.multiplicity import lower_bound
from uncork.stats.score import gain, score
from uncork.stats.simultaneous import together

SHARE = 0.2  # of the errors: what another format must surely save
MOVED = 0.01
FEWEST = 100
COLUMNS = ["format", "rows", "handed over", "not a number", "costs", "from", "to", "refused because"]


@probe(
    tier="gate",
    column="quality",
    title="No other input format serves the model better",
    failure_title="The model is fed in a wrong format",
    requires={"formats": Formats(), "facts": Facts()},
    remedies=("contract",),
    spoils="the headline and every figure: they are about how the model is fed",
)
def measure(*, formats: FormatsData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric = _metric(facts)
    accepted = [f for f in range(len(formats.names)) if formats.ran[f]]
    costed = [f for f in accepted if formats.finite[f, : formats.ran[f]].all() or facts.task == "classification"]
    gains = {f: gain(metric, formats.given(int(formats.ran[f])), formats.fed(f)) for f in costed}
    error = score(metric, formats.given(len(formats))).value or 0.0
    tolerated = max(metric.delta_at(error), SHARE * error)
    better = [f for f, g in gains.items() if (lower_bound(g, len(gains)) or -np.inf) > tolerated]
    depends = bool((moved := _dependence(formats)).value)
    estimates = {
        "fed_wrongly": _counted(len(better) + depends, len(gains), "faults", settled=len(formats) >= FEWEST),
        "batch_dependence": moved,
        "accepted": _counted(len(accepted), len(formats.names), "formats"),
    }
    best = max(gains, key=lambda f: gains[f].value or 0.0, default=None)
    if best is not None:
        estimates["best_gain"] = together(list(gains.values()))[list(gains).index(best)]
    said = [f"{len(accepted)} of {len(formats.names)} other formats are accepted without a word."]
    if gains:
        worst = min(gains, key=lambda f: gains[f].value or 0.0)
        said.append(
            f"The dearest, {formats.names[worst]}, costs {_number(gains[worst].scaled(-1, ''), metric)} {metric.unit}."
        )
    if better:
        first = max(better, key=lambda f: gains[f].value or 0.0)
        said.insert(0, f"With {formats.names[first]} it gains {_number(gains[first], metric)} {metric.unit}.")
    if depends:
        said.insert(0, "Answers to a row depend on the rows beside it.")
    elif moved.value is None:
        said.append("Answers change from call to call, so that batches can't be compared.")
    return Measurement(
        estimates,
        against=Limit("fed_wrongly", at_most=0.0),
        details=(_table(formats, metric),) if formats.names else (),
        summary=" ".join(said),
    )


def _metric(facts: FactsData) -> Metric:
    """What is fed wrongly decides wrongly; a shrunken input also cools probabilities, and would flatter a log-loss."""
    if facts.task == "classification":
        own = facts.metric.kind in ("error", "accuracy")
        return Metric("error", delta=facts.metric.delta) if own else Metric("error")
    return facts.metric if facts.metric.kind in ("rmse", "mae") else Metric("rmse")


def _dependence(formats: FormatsData) -> Estimate:
    """Of the rows run alone and those in other company, whichever moved more."""
    unit = "share of rows whose answer moves"
    if formats.again.max(initial=0.0) > MOVED:
        return Estimate(None, None, None, unit, len(formats.again), "answers change from call to call")
    shares = [clopper_pearson(int((m > MOVED).sum()), len(m), unit=unit) for m in (formats.shuffled, formats.alone)]
    return max(shares, key=lambda e: e.value or 0.0)


def _counted(count: int, of: int, unit: str, *, settled: bool = True) -> Estimate:
    high = float(count) if settled or count else None
    return Estimate(float(count), float(count), high, f"{unit} of {of} formats", of, "counted over the formats tried")


def _number(estimate: Estimate, metric: Metric) -> str:
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    return f"{estimate.value or 0.0:{form}}{interval(estimate, form)}"


def _table(formats: FormatsData, metric: Metric) -> Detail:
    rows: list[list[Any]] = []
    for f, name in enumerate(formats.names):
        n = int(formats.ran[f])
        handed, odd = (int((~part[f, :n]).sum()) for part in (formats.answered_as, formats.finite))
        ends: list[float | None] = [None, None, None]
        if n and (metric.kind == "error" or not odd):
            asked = Metric("wrong-answers") if metric.kind == "error" else metric
            cost = gain(asked, formats.given(n), formats.fed(f)).scaled(-1, metric.unit)
            ends = [None if end is None else round(end, 4) + 0.0 for end in (cost.value, cost.low, cost.high)]
        rows.append([name, n, handed, odd, *ends, formats.refused[f]])
    note = f"Costs in {metric.unit}, 95 % intervals each; rows handed over cost nothing, what is no number is wrong."
    return Detail("table", "What other formats cost", {"columns": COLUMNS, "rows": rows}, note=note)
