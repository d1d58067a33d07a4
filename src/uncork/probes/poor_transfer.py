"""Another encoder's features would serve the task better.

What it measures
----------------
What a linear head on the features of the best of `Subject.backbones`, frozen or trained on, gains over the model on
validation; what it gains over the recipe trained from scratch, on all of train and on 1, 5 and 20 rows a class.

Why it limits the model
-----------------------
An encoder that has seen millions of rows knows what a small train can't tell. One of another domain may know less of
this task than a net that starts from nothing.

Estimator
---------
The backbone, and whether it stays frozen, was chosen on a fifth of train that no head was fitted on; of more than four
the log evidence (LogME) makes the short list and nothing else. The winner alone is made anew of all of train and judged
on validation, so that choosing costs no honesty.
`headroom`: metric of the model minus that of the winner, paired (Bonett-Price for errors, t on differences of
influences otherwise); unit one row, or group of rows. `gain_over_recipe`: over three models of the recipe, against this
very winner, rows × seeds. `own_head_gain`: of a head fitted anew on the model's own features, over the model: what its
last layer leaves. `gain_at_1` (5, 20) rows a class: frozen features over the recipe for as many steps as on all of
train, mean over three draws, crossed variance components. No figure for no rows at all: names of classes have no place
in features.
Heads see at most 20,000 rows of train and are judged on at most 20,000 of validation.

When it misleads
----------------
A backbone that was trained on rows of train or validation knows their labels: who gives it has to know what it has
seen. Latency and licence are not weighed: a large encoder may be dearer than its gain. Trained on at one learning rate
only; another may do better. A backbone gets batches through `preprocess` where it is a plain module.

Remedies and their safety
-------------------------
`swap-backbone` (checked): the chosen encoder with its head, frozen or trained on, answers instead.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.poor_transfer import a_transfer
>>> mine, transfer = a_pass(2000, error=0.2, seed=1), a_transfer(2000, error=0.1)
>>> found = measure(validation=mine, transfer=transfer, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.low > 5, found.estimates["gain_at_1"].low > 5
(True, True)

References
----------
Kornblith, Shlens & Le, Do better ImageNet models transfer better?, CVPR 2019. You et al., LogME, ICML 2021. Kumar et
al., Fine-tuning can distort pretrained features, ICLR 2022.
"""

from __future__ import annotations

import math

import numpy as np

from uncork.derived.gains import gain_of
from uncork.derived.order import ordered
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.poor_transfer import Transfer, TransferData
from uncork.stats.score import gain, score


@probe(
    tier="investment",
    column="quality",
    title="No other encoder that was given does better",
    failure_title="Another encoder's features serve the task better",
    requires={"validation": Pass("validation"), "transfer": Transfer(), "facts": Facts()},
    remedies=("swap-backbone",),
    buys=(0.0, 1.0),
    promises="swap-backbone",
    preview=True,
)
def measure(
    *, validation: PassData, transfer: TransferData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    metric, (winner,) = facts.metric, transfer.passes(transfer.made)
    passed = ordered(validation)
    mine = passed.take(np.isin(passed.rows, winner.rows))
    headroom = gain(metric, mine, winner)
    estimates = {"model": score(metric, mine), "backbone": score(metric, winner)}
    if len(transfer.own):
        estimates["own_head_gain"] = gain(metric, mine, transfer.passes(transfer.own)[0])
    if len(transfer.members) and metric.kind != "callable":
        estimates["gain_over_recipe"] = gain_of(metric, transfer.passes(transfer.members), [winner])
    rungs = {} if metric.kind == "callable" else _rungs(transfer, metric)
    estimates |= {f"gain_at_{k}": found for k, found in rungs.items()}
    return Measurement(
        estimates,
        headroom=headroom,
        details=_tables(transfer, metric, rungs),
        summary=_said(transfer, estimates),
    )


def _rungs(transfer: TransferData, metric: Metric) -> dict[int, Estimate]:
    sides = zip(transfer.rungs, transfer.few_recipe, transfer.few_frozen, strict=True)
    return {k: gain_of(metric, transfer.passes(before), transfer.passes(after)) for k, before, after in sides}


def _tables(transfer: TransferData, metric: Metric, rungs: dict[int, Estimate]) -> tuple[Detail, ...]:
    def known(value: float) -> float | None:
        return round(value, 4) if math.isfinite(value) else None

    columns = ["backbone", "features", f"{metric.name} ({metric.unit})"]
    rows = [[name, "frozen", known(v)] for name, v in zip(transfer.backbones, transfer.screened, strict=True)]
    rows.append([transfer.winner, "fine-tuned", known(transfer.tuned)])
    if transfer.evidence:
        columns.append("log evidence per row")
        each = dict(zip(transfer.backbones, transfer.evidence, strict=True))
        rows = [[*row, known(each[str(row[0])])] for row in rows]
    note = f"{transfer.winner}, {transfer.how}, was made anew of {transfer.fitted_rows} rows and judged on validation."
    absent = "".join(f" {name}: {why}." for name, why in transfer.left_out.items())
    title = f"Backbones, chosen on {transfer.screen_rows} rows of train"
    tables = [Detail("table", title, {"columns": columns, "rows": rows}, note + absent)]
    if rungs:

        def mean(outputs: np.ndarray) -> float | None:
            values = [score(metric, each).value for each in transfer.passes(outputs)]
            return round(float(np.mean([v for v in values if v is not None])), 4)

        sides = zip(transfer.rungs, transfer.few_frozen, transfer.few_recipe, strict=True)
        lines = [[k, mean(frozen), mean(recipe)] for k, frozen, recipe in sides]
        columns = ["rows a class", f"{transfer.winner}, frozen", f"the recipe ({metric.unit})"]
        note = f"Mean of {transfer.few_frozen.shape[1]} draws, on validation."
        tables.append(Detail("table", "Few rows", {"columns": columns, "rows": lines}, note))
    return tuple(tables)


def _said(transfer: TransferData, estimates: dict[str, Estimate]) -> str:
    of = f"Of {len(transfer.backbones)} backbones {transfer.winner}, {transfer.how}, did best"
    if len(transfer.backbones) == 1:
        of = f"{transfer.winner} was tried, {transfer.how}"
    scratch = estimates.get("gain_over_recipe")
    if scratch is None or scratch.value is None:
        return f"{of} on a fifth of train."
    return f"{of} on a fifth of train. Over the recipe it gains {scratch.value:.3g}{interval(scratch)} {scratch.unit}."
