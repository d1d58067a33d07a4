"""Classes that are rare in train are served worse.

What it measures
----------------
The error of every class, with intervals that hold for all classes together; how much of the error is owed to classes
that hold less than half of an even share of train being worse than the others; and what two remedies gain: logits
adjusted to validation's shares of classes, and, where the recipe can be trained again, rows of rarer classes repeated.

Why it limits the model
-----------------------
Training minimises the average, so a class with few rows pays for the others.

Estimator
---------
`excess`: share of rare rows × (error of rare classes − error of the others), in errors per 1,000: what would go if
rare classes were served as well as the rest. Which classes are rare is decided by their counts in train, never by
their errors. Agresti-Caffo interval for the difference of two shares, t with the rare rows' degrees of freedom;
unit one row; with groups of rows, t on the groups' influences.
`rebalance_gain`: what the metric gains, over all classes, by adding τ · log(share in validation / share in train) to
the logits, chosen on one half of validation and counted on the other, both ways; of the checkpoint (`adjustment_gain`).
By repeating rows, of the recipe: a screen (4 halves of train against plain ones, on the rows that a half did not see),
and where it gains there, 5 models of all of train (3 where the budget is short) against the plain ones of the same
seeds, on validation, mean over rows and seeds by crossed variance components.
Headroom: of these two gains the one with the larger lower bound; where both are there each interval holds at 97.5 %
(Bonferroni), so that the one picked holds at 95 %. The adjustment takes part only where a rare class has more than
twice its share of train in validation, which labels alone decide. A gain surely below δ is passed over; where none is
left, bounds only, between nothing and the whole excess: rare classes may be the harder ones, and one remedy that fails
does not speak for the others. With the excess' upper end below δ the verdict is then clear, else undetermined.
`rarest_share`: share of the rarest class over an even share, counted. `worst_class`: the largest error of a class,
Clopper-Pearson at 1 − α/K, so that picking it is allowed. Where no class is rare the verdict is clear by count,
whatever the weakest class is.

When it misleads
----------------
A rare class may be hard for reasons that neither more rows nor more weight mend. Validation with few rare rows leaves
it undetermined, not bad. Other shares in deployment than in validation change the figures; where validation has
train's shares the majority answer is right for plain error, and serving rare classes better may cost the others as
much: whether it is worth it is for a cost matrix to say. `worst_class` takes rows in groups as rows.

Remedies and their safety
-------------------------
`rebalance` (checked), to shares of classes; `threshold` (checked), to the least cost, of errors or by the metric's cost
matrix. More rows of the rare classes, or a loss that weighs them (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.pools import a_pool, no_pool
>>> even, skewed = facts(class_counts=(500, 480, 520)), facts(class_counts=(500, 480, 20))
>>> passed, rng = a_pass(900, error=0.1, classes=3), np.random.default_rng(0)
>>> found = measure(validation=passed, pool=no_pool(), facts=even, rng=rng)
>>> found.headroom is None, found.against.at_least
(True, 0.5)
>>> tried = a_pool(2000, 2000, arms={"balanced": -0.05}, confirmed=("balanced",))
>>> found = measure(validation=passed, pool=tried, facts=skewed, rng=rng)
>>> found.headroom.low < 50 < found.headroom.high
True

References
----------
Buda, Maki & Mazurowski, A systematic study of the class imbalance problem, Neural Networks 106, 2018. Menon et al.,
Long-tail learning via logit adjustment, ICLR 2021. Saerens, Latinne & Decaestecker, Neural Computation 14, 2002.
Agresti & Caffo, Simple and effective confidence intervals, The American Statistician 54, 2000.
"""

from __future__ import annotations

import math

import numpy as np

from uncork.derived.arms import arm_table, confirmed, delta, screens, unanswered
from uncork.derived.bounds import at_most
from uncork.derived.confidence import correct
from uncork.derived.excess import excess
from uncork.derived.logit_adjustment import adjustment_gain
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import SEEDS, Pool, PoolData
from uncork.stats.simultaneous import shares_by_class, together

RARE = 0.5


@probe(
    tier="defect",
    column="quality",
    title="No class is served worse for being rare",
    failure_title="Classes that are rare in train are served worse",
    requires={
        "validation": Pass("validation"),
        "pool": Pool(halves=4, full=SEEDS, questions=("balance",)),
        "facts": Facts(),
    },
    remedies=("rebalance", "threshold"),
)
def measure(
    *, validation: PassData, pool: PoolData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("a regression has no classes")
    if facts.metric.kind not in ("error", "accuracy"):
        return NotApplicable(f"headroom is counted in errors, the metric is {facts.metric.name}")
    classes = len(facts.classes)
    there = np.bincount(validation.y, minlength=classes)
    counts = np.asarray(facts.class_counts or there, dtype=float)
    even = counts * classes / counts.sum()
    wrong = ~correct(validation)
    errors = shares_by_class(wrong, validation.y, classes, unit="share wrong")
    order = sorted((c for c in range(classes) if there[c]), key=lambda c: -(errors[c].value or 0.0))
    worst, where = errors[order[0]], "train" if facts.class_counts else "validation"
    rarest = float(even.min())
    estimates = {
        "rarest_share": Estimate(rarest, rarest, rarest, "of an even share", int(counts.sum()), f"counted in {where}"),
        "worst_class": worst,
    }
    table = [
        [facts.classes[c], int(counts[c]), errors[c].n, errors[c].value, errors[c].low, errors[c].high] for c in order
    ]
    columns = ["class", f"rows in {where}", "rows scored", "error", "low", "high"]
    note = "All intervals hold together (Bonferroni)."
    details = [Detail("table", "Error by class, worst first", {"columns": columns, "rows": table}, note=note)]
    said = f"{100 * (worst.value or 0):.1f} % wrong{interval(worst.scaled(100, '%'))}"
    said = f"The weakest class is {facts.classes[order[0]]}: {said}."
    rare = even < RARE
    if not rare.any():
        limit = Limit("rarest_share", at_least=RARE)
        return Measurement(estimates, against=limit, details=tuple(details), summary=f"No class is rare. {said}")
    said = f"Rare in {where}: {', '.join(facts.classes[c] for c in np.flatnonzero(rare)[:5])}. {said}"
    estimates["excess"] = excess(wrong, rare[validation.y], clusters=validation.clusters)
    answer, looks = confirmed(pool, facts.metric, "balance"), []
    if facts.class_counts:
        adjusted = adjustment_gain(validation, counts, facts.metric, rng)
        estimates["rebalance_gain"] = adjusted
        if adjusted.value is not None:
            much = f"{adjusted.value:.1f}{interval(adjusted)} {adjusted.unit}"
            said += f" Logits adjusted to validation's shares gain {much}."
        looks = [adjusted] if (even < RARE * there * classes / there.sum())[rare].any() else []
    if unanswered(pool, "balance") is None:
        estimates |= screens(pool, facts.metric, "balance")
        details.append(arm_table(pool, facts.metric, ("balance",)))
        said += f" {answer.sentence}"
        looks += [answer.gain] if answer.gain else []
    least, most = delta(pool, facts.metric), at_most(estimates["excess"], "the whole excess")
    gains = [e for e in together(looks) if (e.high or 0.0) >= least]
    headroom = max(gains, key=lambda e: -math.inf if e.low is None else e.low, default=most)
    return Measurement(estimates, headroom, details=tuple(details), summary=said)
