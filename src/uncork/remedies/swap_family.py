"""Train the family of model that the trial found better.

What it does
------------
Fits the winner of the trial (linear model, nearest neighbours or gradient boosting) on train as the trial did, by the
setting that was best there, on at most 20,000 rows, and answers by it instead of the model. From then on it is what
training again trains. Tables with categories and missing values are read by an encoder fitted on those rows.

Why it helps
------------
A net on a small table, or a cubic on a line, is the wrong tool, and no tuning makes up for it.

Control
-------
The model trained again as it is, from the same seeds; without a recipe the model as it stands.

Safety
------
checked: another model decides; judged on validation, proven on test. It reads the rows as they are given: what
`preprocess` does for the net is left out.

When it fails
-------------
The trial chose between families on a fifth of train: among near equals it may name the wrong one. Families that see
no neighbourhood of pixels, and no order of words, only win on rows that have neither.

References
----------
Grinsztajn, Oyallon & Varoquaux, Why do tree-based models still outperform deep learning on tabular data?, NeurIPS
2022.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, refuse_undoing, remedy
from uncork.remedies._retrain import ByRecipe, longer, two_trainings
from uncork.schema.artifacts import TrialData
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.train.rivals import RivalRecipe, in_words, installed


def winner(case: Case) -> RivalRecipe:
    """How the trial's best rival is trained. Raises Unavailable where there was no trial, no train to fit on, or
    its package is gone."""
    trial: TrialData | None = case.artifacts.get("trial")
    if trial is None:
        raise Unavailable("no rival family was tried: audit with the probe wrong-family")
    if case.subject.train is None:
        raise Unavailable("a rival family is fitted on train: give Subject(train=...)")
    if not installed(trial.winner):
        raise MissingExtra("tabular", f"training {trial.winner}")
    return RivalRecipe(trial.winner, case.task, trial.setting)


def control(case: Case, treated: Treated) -> Treated:
    if case.subject.recipe is None:
        return Treated(case.subject, "the model as it is")
    return longer(case, treated)


@remedy(
    title="Train another family of model instead",
    safety="checked",
    yardstick="metric",
    control=control,
    price=two_trainings,
)
def apply(case: Case) -> Treated:
    rival = winner(case)
    refuse_undoing(case.subject)
    return Treated(
        case.subject.replace(recipe=rival, preprocess=None, features=None),
        f"another family of model, {rival.family} ({in_words(rival.family, rival.setting)}), fitted on train",
        ByRecipe(),
        compute=1.0,
    )
