"""Train and validation were not drawn alike.

What it measures
----------------
Whether validation is harder: models trained on halves of train are scored on validation and on the half of train that
they did not see, the same models, so that only the rows differ. Whether its inputs differ: how well a classifier tells
rows of validation from rows of train. Both at equal shares of the classes; beside them, how far those are apart.

Why it limits the model
-----------------------
Splits that are not drawn alike answer different questions. Cross-validation, label checks and everything else that is
read from train then says little of validation, and validation may say little of what comes after it.

Estimator
---------
`shift`: metric on validation minus metric on unseen rows of train (display unit, positive where validation is harder),
each a mean over four models; Welch's t over rows, or groups of rows, for these models. In classification train's rows
are weighted to validation's shares of the classes (post-stratification; `standardised`), so that other shares are no
shift; validation's rows count by what they exceed their class's mean on train by, which is the linearisation that lets
its shares vary. An AUC asks nothing of shares and is taken as it is. Complementary halves score every row of train
equally often, so that they are one sample as the rows of validation are; that models were trained on each other's rows
adds nothing to first order where training is stable (Bayle et al.). Half size is no bias: both sides have it. Simulated
coverage at 95 %: .94 to .96; of a linear model with 41 weights on 100 rows .91; where 60 % of validation are of a class
with 12 rows in train .92 to .98.
`two_sample_auc`: chance that a classifier, fitted on other rows, takes a row of validation for one of validation rather
than a row of train of the same class (in a regression: any row); .5 where it can't tell. Given the classifiers, with
DeLong's interval over rows or groups (`derived.two_sample.effect`); a weak classifier's AUC is a lower bound of how
different the splits are.
At many rows every difference is significant. The gate is open where the AUC surely exceeds .6, which takes 11 % of the
rows to be of a kind that the other split lacks (it is at most 1 − (1 − TV)² / 2 for distributions TV apart), so that
leaked or odd rows below a tenth can't open it; one column's mean gives as much from .36 s.d. up. Else it is open where
validation is surely harder by more than 2 δ, twice the smallest difference worth acting on. Where validation is easier
it stays closed, and the summary says so: wrong labels in train alone are the commonest cause, and `wrong-labels` finds
them. Where one of the two can't be measured the other decides alone.
`label_shift`: of a classifier the largest difference of a class's share between the splits, exact intervals of each,
corrected for the number of classes; of a regression the difference of the mean targets, in s.d. of train's. It opens
nothing: `rare-classes` asks what other shares cost.

When it misleads
----------------
Wrong labels in train alone hide a harder validation: unseen rows of train then look harder than they are. Where rows
repeat by nature, copies stay on one side within train but not between train and validation: errors are not compared.
Rows of train that have relatives in train without being marked as groups look easier. Leaked rows make validation no
easier for models that did not see them. The classifier sees where columns lie and how far they spread, not how they
hang together, and with few rows and many columns it sees little. A column that is known to differ, such as a date where
the splits were cut by time, opens the gate however little the model minds.

Remedies and their safety
-------------------------
Draw the splits anew, by time or group where the use does; correct train's labels (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_two_sample, facts
>>> from uncork.testing.pools import a_pool
>>> pool = a_pool(n=4000, v=2000, halves=4, full=0, flipped_validation=0.1)
>>> alike = a_two_sample(n=1000, v=500)
>>> found = measure(pool=pool, two_sample=alike, facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["shift"].low > 10, found.estimates["two_sample_auc"].high < 0.6
(True, True)

References
----------
Bayle et al., Cross-validation confidence intervals for test error, NeurIPS 2020. Lopez-Paz & Oquab, Revisiting
classifier two-sample tests, ICLR 2017. Rabanser, Günnemann & Lipton, Failing loudly: an empirical study of methods for
detecting dataset shift, NeurIPS 2019. Lipton, Wang & Smola, Detecting and correcting for label shift with black box
predictors, ICML 2018. Recht et al., Do ImageNet classifiers generalize to ImageNet?, ICML 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.split_errors import FEWEST, at_shares, compared, label_shift, lone, uncomparable
from uncork.derived.two_sample import effect
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, TwoSample, TwoSampleData
from uncork.schema.finding import Estimate, Limit, Measurement, NotApplicable
from uncork.schema.pool import Pool, PoolData

TOLERATED = 2  # δ
TOLD_APART = 0.6  # AUC
EASIER = " Validation is the easier one: its labels may be better than train's."


@probe(
    tier="gate",
    column="quality",
    title="Train and validation were drawn alike",
    failure_title="Train and validation were not drawn alike",
    requires={"pool": Pool(halves=FEWEST), "two_sample": TwoSample(), "facts": Facts()},
    spoils="what is read from train (labels, learning curve, screened changes) as a forecast for validation and test",
)
def measure(
    *, pool: PoolData, two_sample: TwoSampleData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    uncompared = uncomparable(pool, facts.metric)
    if uncompared and two_sample.reason:
        return NotApplicable(f"{uncompared}; {two_sample.reason}")
    estimates: dict[str, Estimate] = {}
    judges, said, tolerated = [], [], 0.0
    if not uncompared:
        estimates |= compared(pool, facts.metric)
        tolerated = TOLERATED * facts.metric.delta_at(estimates["validation"].value or 0.0)
        judges.append(Limit("shift", at_most=tolerated))
        said.append(_harder(pool, facts, estimates, tolerated))
    if not two_sample.reason:
        told = estimates["two_sample_auc"] = effect(two_sample, facts.task)
        surely = told.low is not None and told.low > TOLD_APART
        met = told.high is not None and told.high <= TOLD_APART
        shift = estimates.get("shift")
        harder = shift is not None and shift.low is not None and shift.low > tolerated
        # Whichever is surely exceeded judges, else whichever is not surely met: clear are only both together.
        first = surely or not (met or harder)
        judges.insert(0 if first else len(judges), Limit("two_sample_auc", at_most=TOLD_APART))
        said.insert(0 if surely else len(said), _told(told, facts.task, surely=surely))
    estimates["label_shift"] = label_shift(pool)
    said.append(_shares(estimates["label_shift"], facts.task))
    said += [f"Models' errors are not compared: {uncompared}."] if uncompared else []
    said += [f"Inputs are not compared: {two_sample.reason}."] if two_sample.reason else []
    return Measurement(estimates, against=judges[0], summary=" ".join(said))


def _harder(pool: PoolData, facts: FactsData, estimates: dict[str, Estimate], tolerated: float) -> str:
    metric, shift = facts.metric, estimates["shift"]
    form = ".0f" if metric.unit.endswith("per 1,000") else ".3g"
    new, old = (
        f"{e.value or 0.0:{form}}{interval(e, form)}" for e in (estimates["validation"], estimates["unseen_train"])
    )
    end = " at validation's shares of the classes" if at_shares(pool, metric) else ""
    if (missing := lone(pool, metric)) is not None:
        end = f" (train has too few rows of class {facts.classes[missing]} to compare them)"
    easier = shift.high is not None and shift.high < -tolerated
    return (
        f"{metric.name} of models of half size {new} on validation, {old} on unseen train{end}, {metric.unit}."
        f"{EASIER if easier else ''}"
    )


def _told(apart: Estimate, task: str, *, surely: bool) -> str:
    alike = " of the same class" if task == "classification" else ""
    value = "undetermined" if apart.value is None else f"{apart.value:.2f}{interval(apart, '.2f')}"
    return f"Inputs tell validation from train{alike} with an AUC of {value}{': they differ' if surely else ''}."


def _shares(differ: Estimate, task: str) -> str:
    what = "Shares of a class differ by up to" if task == "classification" else "Mean targets differ by"
    spread = "" if task == "classification" else " s.d."
    return f"{what} {differ.value or 0.0:.2f}{interval(differ, '.2f')}{spread}."
