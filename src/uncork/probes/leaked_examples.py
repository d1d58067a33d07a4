"""The same rows stand in two splits: the model is scored on rows that it was trained or chosen on.

What it measures
----------------
Exact copies: rows of test and of validation whose raw content, hashed, equals that of a row of train, and rows of test
that also stand in validation. Near duplicates: rows much closer to a row of train than rows usually are, found through
a small sketch and verified on the raw rows (arrays of numbers only). The metric on validation with and without the rows
that leaked.

Why it limits the model
-----------------------
A model that has seen the answer is scored on memory. Until the copies are out, every figure of this audit flatters.

Estimator
---------
Copies are counted over all rows, a census: no sampling error, unit one row. Near duplicates: share of the rows looked
up, Clopper-Pearson interval; near means under a quarter of the usual distance to the nearest row of train, which is
the larger of two medians: that of the rows looked up, and that of train's rows among themselves. The gate
is open when more than 5 rows in 1,000 of test or of validation are exact copies, which is when δ could be an
artefact. Positive control: rows of train with a little noise added, and how many of them the same search finds.

When it misleads
----------------
Preprocessing fitted on all data before splitting leaks without any copy. Re-encoded, cropped or mirrored pictures
differ in every byte and may lie farther than the search looks. Small tables of categories repeat rows by nature.

Remedies and their safety
-------------------------
`deduplicate` (checked) takes the leaked rows out of train and trains again by the recipe.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts, fingerprints
>>> content = np.arange(30)
>>> prints = fingerprints(train=content[:20], validation=content[15:25], test=content[20:])
>>> found = measure(
...     fingerprints=prints, validation=a_pass(10, error=0.1), facts=facts(), rng=np.random.default_rng(0)
... )
>>> found.estimates["validation_copies"].value, found.estimates["test_copies"].value
(500.0, 0.0)

References
----------
Barz & Denzler, Do we train on test data?, J. Imaging 6, 2020. Elangovan et al., Memorization vs. generalization,
EACL 2021. Kapoor & Narayanan, Leakage and the reproducibility crisis, Patterns 4, 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.copies import TOLERATED, copies
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Fingerprints, FingerprintsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.binomial import clopper_pearson
from uncork.stats.score import score

if TYPE_CHECKING:
    from jaxtyping import Bool

UNIT = "rows per 1,000"


def counted(hits: int, n: int) -> Estimate:
    """A share of all rows there are: nothing was sampled, so there is no error of sampling."""
    share = 1000 * hits / n if n else None
    return Estimate(share, share, share, UNIT, n, "counted over all rows")


@probe(
    tier="gate",
    column="quality",
    title="No row stands in two splits",
    failure_title="The same rows stand in two splits",
    requires={"fingerprints": Fingerprints(), "validation": Pass("validation"), "facts": Facts()},
    remedies=("deduplicate",),
    spoils="the headline and every figure measured on validation or test",
)
def measure(
    *, fingerprints: FingerprintsData, validation: PassData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if not facts.has_inputs:
        return NotApplicable("only predictions were given: copies are looked for in the rows themselves")
    prints = fingerprints
    pairs = {
        "validation_copies": (prints.validation, prints.train),
        "test_copies": (prints.test, prints.train),
        "test_in_validation": (prints.test, prints.validation),
    }
    leaked = {name: copies(rows, of) for name, (rows, of) in pairs.items() if len(rows) and len(of)}
    estimates = {name: counted(int(hit.sum()), len(hit)) for name, hit in leaked.items()}
    worst = max(estimates, key=lambda name: estimates[name].value or 0.0, default="")
    if not len(prints.train) and (not worst or (estimates[worst].value or 0.0) <= TOLERATED):
        return NotApplicable("no train split was given: give Subject(train=...) to look for copies of it")
    for number, name in ((1, "validation"), (2, "test")):
        queried = fingerprints.near_queried[number - 1]
        near = len(np.unique(fingerprints.near_pairs[fingerprints.near_split == number, 1]))
        if queried:
            estimates[f"{name}_near"] = clopper_pearson(near, queried).scaled(1000, UNIT)
    if fingerprints.spiked:
        found = clopper_pearson(fingerprints.spiked_found, fingerprints.spiked)
        estimates["near_found_of_planted"] = found
    hit = leaked["validation_copies"][validation.rows] if "validation_copies" in leaked else np.zeros(1, bool)
    if hit.any() and not hit.all():
        estimates["metric_all"] = score(facts.metric, validation)
        estimates["metric_without_copies"] = score(facts.metric, validation.take(~hit))
    counts = {name: int(hit.sum()) for name, hit in leaked.items()}
    total = counts.get("validation_copies", 0) + counts.get("test_copies", 0)
    said = [f"{total} exact copies of train rows stand in the data that score the model."] if len(prints.train) else []
    if counts.get("test_in_validation"):
        said.append(f"{counts['test_in_validation']} rows of test also stand in validation.")
    return Measurement(
        estimates,
        against=Limit(worst, at_most=TOLERATED),
        details=_evidence(prints, leaked),
        summary=" ".join(said),
    )


def _evidence(prints: FingerprintsData, leaked: dict[str, Bool[np.ndarray, " n"]]) -> tuple[Detail, ...]:
    train = {h.tobytes(): i for i, h in reversed(list(enumerate(prints.train)))}
    exact = [
        [split, int(i), train[getattr(prints, split)[i].tobytes()]]
        for split in ("validation", "test")
        for i in np.flatnonzero(leaked.get(f"{split}_copies", np.zeros(0, bool)))[:50]
    ]
    order = np.argsort(prints.near_distance, kind="stable")[:50]
    near = [
        [
            "validation" if prints.near_split[i] == 1 else "test",
            int(prints.near_pairs[i, 1]),
            int(prints.near_pairs[i, 0]),
            round(float(prints.near_distance[i]), 4),
        ]
        for i in order
    ]
    details = []
    if exact:
        data = {"columns": ["split", "row", "row of train"], "rows": exact}
        details.append(Detail("table", "Exact copies (up to 50 a split)", data))
    if near:
        data = {"columns": ["split", "row", "row of train", "distance / median"], "rows": near}
        details.append(Detail("table", "Near duplicates, nearest first (up to 50)", data))
    return tuple(details)
