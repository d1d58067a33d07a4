"""Hand over rows that look unlike those the model was trained on.

What it does
------------
Learns from the inputs of train (of half of validation where there is no train) what rows look like: shape and type of
numbers; of pictures the least, largest, mean and spread of each channel, of tables each column too, with whole numbers,
categories and missing values; of texts length, characters and capitals. Each range gets the least margin at which
ranges of half of the rows hold for all but 1 in 1,000 of the other half. From then on a batch of another shape or type
is refused with a sentence, and a row outside the ranges is handed over instead of answered.

Why it helps
------------
A model answers bytes where it was trained on shares, and NaN with a class. Whoever sends them learns nothing of it.
Looking at a row takes microseconds.

Control
-------
The same model without a contract: learning it costs no training that a control could spend otherwise.

Safety
------
safe: no decision is changed; rows are answered or handed over. How many rows of validation it hands over is stated,
with the exact interval where they were not learnt from.

When it fails
-------------
Ranges see no order: channels reversed, columns of alike ranges swapped and labels' shifts pass. Rows that are rare but
right are handed over: the rarer a category or an extreme value in train, the likelier. Where use differs from train
rightly, it must be learnt anew. It is judged by the metric, which must not be worse by δ: what it gains is on rows that
validation does not hold.

References
----------
Breck et al., Data validation for machine learning, MLSys 2019. Schelter et al., Automating large-scale data quality
verification, PVLDB 11, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.contracted import Contracted, learn
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable
from uncork.stats.binomial import clopper_pearson
from uncork.stress.formats import formats_of

MOST_ROWS, BATCH = 20_000, 256
TRIED = 128


@remedy(
    title="Hand over rows of another format",
    safety="safe",
    yardstick="tolerance",
    control=as_it_stands,
    price=no_training,
    combines=True,
    on_request=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    model = adapt(subject, case.task)
    if not model.has_inputs:
        raise Unavailable("only predictions were given: a contract is about the inputs")
    if case.task == "classification":
        model = aligned(model, case.classes)
    source, held = (subject.train, subject.validation) if subject.train is not None else _halves(case)
    if source.kind == "mapping":
        raise Unavailable("rows have several inputs: a contract is learnt of one array, table or text")
    rows = np.sort(case.rng.permutation(len(source))[:MOST_ROWS])
    contracted = Contracted(model, learn([source.take(part) for part in _parts(rows)]))
    refused = np.concatenate([_handed_over(contracted, held.take(part)) for part in _parts(np.arange(len(held)))])
    share = clopper_pearson(int(refused.sum()), len(refused)).scaled(1000, "rows per 1,000")
    return Treated(
        subject.replace(model=contracted),
        changes=f"inputs checked against {len(contracted.contract.names)} ranges learnt from {len(rows)} rows: "
        f"{share.value:.3g} of 1,000 rows of validation are handed over ({share.low:.3g} to {share.high:.3g}); "
        f"{_told(contracted, held, case.rng)}",
        amount=int(refused.sum()),
    )


def _halves(case: Case) -> tuple[Split, Split]:
    validation = case.subject.validation
    half = np.zeros(len(validation), bool)
    half[case.rng.permutation(len(validation))[: len(validation) // 2]] = True
    return validation.subset(half), validation.subset(~half)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _handed_over(contracted: Contracted, batch: Any) -> np.ndarray:
    return np.asarray(contracted.contract.broken(batch).any(axis=1))


def _told(contracted: Contracted, split: Split, rng: np.random.Generator) -> str:
    """Of each other format, which share of rows the contract would not answer."""
    rows = rng.permutation(len(split))[:TRIED]
    batch, places = split.take(rows), rng.random(len(rows))
    caught, passed = [], []
    for name, change in formats_of(batch).items():
        with np.errstate(all="ignore"):
            changed = change(batch, places)
        share = 1.0 if contracted.contract.refusal(changed) else float(_handed_over(contracted, changed).mean())
        if share >= 0.5:
            caught.append(f"{name} ({100 * share:.0f} %)")
        else:
            passed.append(f"{name} ({100 * share:.0f} %)")
    return f"it stops {', '.join(caught) or 'no other format'}; it lets pass {', '.join(passed) or 'none'}"
