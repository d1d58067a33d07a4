"""Classes that are rare in train are served worse.

What it measures
----------------
The error of every class, with intervals that hold for all classes together; and how much of the error is owed to
classes that hold less than half of an even share of train being worse than the others. Where the recipe can be trained
again, also what it gains by repeating rows of rarer classes, which is of the recipe, not of the checkpoint.

Why it limits the model
-----------------------
Training minimises the average, so a class with few rows pays for the others.

Estimator
---------
`excess`: share of rare rows × (error of rare classes − error of the others), in errors per 1,000: what would go if
rare classes were served as well as the rest. Which classes are rare is decided by their counts in train, never by
their errors. Agresti-Caffo interval for the difference of two shares, t with the rare rows' degrees of freedom;
unit one row; with groups of rows, t on the groups' influences.
Headroom: what is gained in the metric, over all classes, by repeating rows of rarer classes until all are as frequent,
where that gains in a screen (4 halves of train against plain ones, on the rows that a half did not see) and so is
confirmed: 3 models of all of train against the plain ones of the same seeds, on validation, mean over rows and seeds by
crossed variance components. Otherwise, and where that gain is surely below δ, bounds only, between nothing and the
whole excess: rare classes may be the harder ones, and then more rows of them, or more weight, gain little or lose; and
one remedy that fails does not speak for the others. With the excess' upper end below δ the verdict is clear, else
undetermined until a remedy has been tried.
`rarest_share`: share of the rarest class over an even share, counted.
`worst_class`: the largest error of a class, Clopper-Pearson at 1 − α/K, so that picking it is allowed.
Where no class is rare the verdict is clear by count, whatever the weakest class is.

When it misleads
----------------
A rare class may be hard for reasons that more rows don't mend. Validation with few rare rows leaves it undetermined,
not bad. Other shares in deployment than in validation change the figure. `worst_class` takes rows in groups as rows.
Repeating rows may serve rare classes better and cost the others as much: then nothing is gained in the metric, and
whether it is worth it is for a cost matrix to say.

Remedies and their safety
-------------------------
More rows of the rare classes, or a loss that weighs them (advice).

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
Buda, Maki & Mazurowski, A systematic study of the class imbalance problem, Neural Networks 106, 2018.
Agresti & Caffo, Simple and effective confidence intervals, The American Statistician 54, 2000.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from uncork.derived.arms import arm_table, confirmed, delta, gain_or, screens, unanswered
from uncork.derived.bounds import at_most
from uncork.derived.confidence import correct
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import Pool, PoolData
from uncork.stats.means import clustered, mean
from uncork.stats.simultaneous import shares_by_class

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

RARE = 0.5


@probe(
    tier="defect",
    column="quality",
    title="No class is served worse for being rare",
    failure_title="Classes that are rare in train are served worse",
    requires={
        "validation": Pass("validation"),
        "pool": Pool(halves=4, full=3, questions=("balance",)),
        "facts": Facts(),
    },
)
def measure(
    *, validation: PassData, pool: PoolData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if facts.task != "classification":
        return NotApplicable("a regression has no classes")
    if facts.metric.kind not in ("error", "accuracy"):
        return NotApplicable(f"headroom is counted in errors, the metric is {facts.metric.name}")
    classes = len(facts.classes)
    counts = np.asarray(facts.class_counts or np.bincount(validation.y, minlength=classes), dtype=float)
    even = counts * classes / counts.sum()
    wrong = ~correct(validation)
    errors = shares_by_class(wrong, validation.y, classes, unit="share wrong")
    met = [c for c in range(classes) if errors[c].value is not None]
    worst = max(met, key=lambda c: errors[c].value or 0.0)
    rarest = float(even.min())
    where = "train" if facts.class_counts else "validation"
    estimates = {
        "rarest_share": Estimate(rarest, rarest, rarest, "of an even share", int(counts.sum()), f"counted in {where}"),
        "worst_class": errors[worst],
    }
    order = sorted(met, key=lambda c: -(errors[c].value or 0.0))
    table = [
        [facts.classes[c], int(counts[c]), errors[c].n, errors[c].value, errors[c].low, errors[c].high] for c in order
    ]
    details = (
        Detail(
            "table",
            "Error by class, worst first",
            {"columns": ["class", f"rows in {where}", "rows scored", "error", "low", "high"], "rows": table},
            note="All intervals hold together (Bonferroni).",
        ),
    )
    wrong_there = f"{100 * (errors[worst].value or 0):.1f} % wrong{interval(errors[worst].scaled(100, '%'))}"
    weakest = f"The weakest class is {facts.classes[worst]}: {wrong_there}."
    rare = even[validation.y] < RARE
    if not (even < RARE).any():
        limit = Limit("rarest_share", at_least=RARE)
        return Measurement(estimates, against=limit, details=details, summary=f"No class is rare. {weakest}")
    estimates["excess"] = excess(wrong, rare, clusters=validation.clusters)
    headroom = at_most(estimates["excess"], "the whole excess")
    rare_names = ", ".join(facts.classes[c] for c in np.flatnonzero(even < RARE)[:5])
    said = f"Rare in {where}: {rare_names}. {weakest}"
    if unanswered(pool, "balance") is not None:
        return Measurement(estimates, headroom, None, details, summary=said)
    answer = confirmed(pool, facts.metric, "balance")
    return Measurement(
        {**estimates, **screens(pool, facts.metric, "balance")},
        headroom=gain_or(answer, headroom, delta(pool, facts.metric)),
        details=(*details, arm_table(pool, facts.metric, ("balance",))),
        summary=f"{said} {answer.sentence}",
    )


def excess(
    wrong: Bool[np.ndarray, " n"],
    rare: Bool[np.ndarray, " n"],
    level: float = 0.95,
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
) -> Estimate:
    """Errors per 1,000 that would go if the rows in `rare` were as often right as the rest. Unit: one row, or group."""
    n, m = len(wrong), int(rare.sum())
    method = "Agresti–Caffo t over rows"
    if m < 2 or n - m < 2:
        return Estimate(None, None, None, "errors per 1,000", m, f"{method} (too few rare rows)", level=level)
    if clustered(clusters, n):
        share, rest = float(wrong[rare].mean()), float(wrong[~rare].mean())
        off = np.where(rare, wrong - share, (rest - wrong) * m / (n - m)) + (rare - m / n) * (share - rest)
        linear = mean(off + m / n * (share - rest), clusters=clusters, unit="", level=level)
        return linear.scaled(1000, "errors per 1,000")
    shares, variances, adjusted = [], [], []
    for group in (rare, ~rare):
        hits, size = int(wrong[group].sum()), int(group.sum())
        p = (hits + 1) / (size + 2)
        shares.append(hits / size)
        adjusted.append(p)
        variances.append(p * (1 - p) / (size + 2))
    weight = 1000 * m / n
    se = weight * math.sqrt(sum(variances))
    half = float(stats.t.ppf((1 + level) / 2, m - 1)) * se
    centre = weight * (adjusted[0] - adjusted[1])
    value = weight * (shares[0] - shares[1])
    low, high = min(value, centre - half), max(value, centre + half)
    return Estimate(value, low, high, "errors per 1,000", n, method, se, m - 1, level)
