"""Nothing tells what a decision hangs on.

What it measures
----------------
Whether any attribution method tells which parts of a row its decision hangs on: replacing the parts that it ranks first
by the mean of train must lower the decided class's probability further than replacing random ones, and its map must
change with the model. Parts are columns, or patches of a picture.

Why it limits the model
-----------------------
Whoever has to justify, contest or correct a single decision needs to know what it came from. A map that looks right and
is not true to the model is worse than none.

Estimator
---------
`{method}_over_chance`: mean probability of the decided class over six shares replaced (2 to 60 %), by nine random ranks
less by the method's; paired over rows of validation, t over rows or groups. `{method}_over_edges`: the same less a rank
by edges (Sobel), in pictures. `{method}_similarity`: rank correlation of maps with those of the same model with its
last layer initialised anew; t over initialisations. A method fails that check where it is surely above .5.
`faithfulness`: the largest of `{method}_over_chance` among methods that don't fail; its interval holds for the largest
of several (Bonferroni), and it should be at least .05: clear and bottleneck are about that. Where every method fails,
the similarity of the least alike judges. Headroom, exposed decisions: per 1,000, those for which the best method's rank
lowers the probability no further than the median of nine random ranks; a method that knows nothing exposes 500.
Clopper-Pearson over rows, Korn-Graubard over groups; the method is chosen on the same rows, which flatters it a little.
`completeness_error`: mean gap between the sum of integrated gradients and the change of the logit, over that change.
`agreement`: share of models retrained on all of train that decide a row of validation as the model does, mean over
rows, of these models. Whether their maps agree is not asked: the pool keeps outputs, no weights.

When it misleads
----------------
Rows with parts replaced are unlike any row the model has seen: what it says of them is not all due to what is missing.
A class that the model also decides on the baseline falls under no replacement, and its rows count as exposed. Patches
next to one another take more away than as many scattered ones, or less. A row that says the same thing twice loses
little with either. That a map is true to the model does not make the model right.

Remedies and their safety
-------------------------
`uncork explain RUN ROW` shows one case with its maps; use the method that this finding names (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.attributions import an_attribution
>>> from uncork.testing.pools import no_pool
>>> beside = {"validation": a_pass(200, error=0.1), "pool": no_pool(), "facts": facts()}
>>> blind = an_attribution(48, advantage=0.0)
>>> found = measure(attribution=blind, **beside, rng=np.random.default_rng(0))
>>> found.estimates["faithfulness"].high < 0.05, found.headroom.value > 300
(True, True)

References
----------
Sundararajan, Taly & Yan, Axiomatic attribution for deep networks, ICML 2017. Selvaraju et al., Grad-CAM, ICCV 2017.
Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014 (occlusion). Samek et al., Evaluating
the visualization of what a deep neural network has learned, IEEE TNNLS 28, 2017. Adebayo et al., Sanity checks for
saliency maps, NeurIPS 2018. Hooker et al., A benchmark for interpretability methods, NeurIPS 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.faithfulness import (
    completeness_error,
    curves,
    examples,
    inert,
    largest,
    over_chance,
    over_edges,
    similarity,
    unexplained,
    where,
)
from uncork.derived.order import ordered
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.attribution import METHODS, Attribution, AttributionData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import FEWEST_SEEDS, Pool, PoolData
from uncork.stats.binomial import share
from uncork.stats.means import mean

FEWEST = 10  # rows
ASKED, ALIKE = 0.05, 0.5


@probe(
    tier="defect",
    column="trust",
    title="What a decision hangs on can be told",
    failure_title="Nothing tells what a decision hangs on",
    requires={
        "attribution": Attribution(),
        "validation": Pass("validation"),
        "pool": Pool(full=FEWEST_SEEDS),
        "facts": Facts(),
    },
    preview=True,
)
def measure(
    *, attribution: AttributionData, validation: PassData, pool: PoolData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    data = attribution
    if len(data) < FEWEST:
        return NotApplicable(f"{len(data)} rows: fewer than {FEWEST} tell nothing of a method")
    if inert(data):
        return NotApplicable("replacing up to 60 % of a row moves no decision's probability: there is nothing to tell")
    every = range(len(data.methods))
    gains = [over_chance(data, i) for i in every]
    alike = {i: same for i in every if (same := similarity(data, i)) is not None}
    failed = {i for i, same in alike.items() if same.low is not None and same.low > ALIKE}
    sound = [i for i in every if i not in failed] or list(every)
    best = max(sound, key=lambda i: gains[i].value or 0.0)
    estimates: dict[str, Estimate | None] = {"faithfulness": largest([gains[i] for i in sound])}
    for i, name in enumerate(data.methods):
        estimates[f"{name}_over_chance"] = gains[i]
        estimates[f"{name}_over_edges"] = over_edges(data, i)
        estimates[f"{name}_similarity"] = alike.get(i)
    estimates["completeness_error"] = completeness_error(data)
    estimates["agreement"] = _agreement(ordered(validation), pool)
    against = Limit("faithfulness", at_least=ASKED)
    without = unexplained(data, best)
    if len(failed) == len(every):
        least = min(every, key=lambda i: alike[i].value or 0.0)
        against, without = Limit(f"{data.methods[least]}_similarity", at_most=ALIKE), np.ones(len(data), bool)
    return Measurement(
        {name: e for name, e in estimates.items() if e is not None},
        headroom=share(without, data.clusters).scaled(1000, "decisions per 1,000"),
        against=against,
        details=(curves(data), where(data, best), examples(data, without, facts.classes)),
        summary=_said(data, gains[best], best, failed, without, checked=bool(alike)),
    )


def _agreement(passed: PassData, pool: PoolData) -> Estimate | None:
    members = [pool.validation_pass(int(i)) for i in pool.members(1)]
    if not members:
        return None
    same = np.mean([member.predicted[passed.rows] == passed.predicted for member in members], axis=0)
    return mean(same, clusters=passed.clusters, unit=f"share of {len(members)} retrained models", bounds=(0.0, 1.0))


def _said(
    data: AttributionData, gain: Estimate, best: int, failed: set[int], without: np.ndarray, *, checked: bool
) -> str:
    said = [
        f"Replacing what {METHODS[data.methods[best]]} ranks first by the {data.baseline} lowers the decided class's "
        f"probability by {gain.value or 0.0:.2f}{interval(gain, '.2f')} more than replacing random parts; of "
        f"{len(without)} decisions it does no better than chance for {int(without.sum())}."
    ]
    if failed:
        said.append(f"Maps that hardly change with the model: {', '.join(METHODS[data.methods[i]] for i in failed)}.")
    if not checked:
        said.append("Whether maps change with the model could not be checked: there is no layer to initialise anew.")
    return " ".join(said)
