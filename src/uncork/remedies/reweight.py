"""Weight what was learnt by how frequent it is in shifted rows.

What it does
------------
Reads a third of the shifted rows without their labels. How many times as frequent each class is there is estimated from
the model's decisions and what they are worth on half of validation (BBSE). If the shares of the classes are all that
changed, the logarithm of that is added to the logits. That is so where validation's mean confidence, weighted to the
new shares, may be that of the shifted rows (the 95 % interval of the difference reaches 0). If not, and there is a
Recipe, it trains again with each row of train weighted by how much it looks like shifted rows: the odds that a logistic
regression on the inputs, fitted to other rows, gives it, at most ten times the mean.

Why it helps
------------
A model answers by what was frequent where it learnt. Weighting makes the old rows a sample of the new.

Control
-------
Of the logits the model as it stands, of a training the recipe as it is, from the same seeds.

Safety
------
checked: decisions change. It is judged on another third of the shifted rows and proven on the last; what that costs on
the old ones is shown.

When it fails
-------------
Rows of a kind that train has none of can't be weighted up. A net that can fit all of train does so with any weights.
Another light that leaves the mean confidence as it was is taken for other shares, as anything is where rows are few. A
class that the model hardly ever decides for has a share that is guessed.

References
----------
Lipton, Wang & Smola, Detecting and correcting for label shift with black box predictors, ICML 2018. Saerens, Latinne &
Decaestecker, Neural Computation 14, 2002. Shimodaira, J. Statistical Planning and Inference 90, 2000. Byrd & Lipton,
What is the effect of importance weighting in deep learning?, ICML 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from uncork.data.encode import TableEncoder
from uncork.data.split import Split
from uncork.derived.domain import class_weights
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.offset import Offset
from uncork.remedies._contract import Case, Treated, refuse_undoing, remedy
from uncork.remedies._retrain import ByRecipe, as_it_stands, retrained
from uncork.remedies._shifted import shifted_rows
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator
from uncork.schema.subject import Subject
from uncork.stats.means import difference, mean
from uncork.train.apart import tell_apart
from uncork.train.recipe import Recipe

MOST_ROWS, MOST_COLUMNS, MOST_TIMES = 20_000, 4_096, 10.0


def price(subject: Subject, seeds: int) -> float:
    """Remedy and control, one training each a seed, where there is a Recipe to train by."""
    return 2.0 * seeds if isinstance(subject.recipe, Recipe) and subject.train is not None else 0.0


def without_weights(case: Case, treated: Treated) -> Treated:
    return as_it_stands(case, treated) if treated.train is None else retrained(case, "trained again as it is")


@remedy(
    title="Weight what was learnt to look like shifted rows",
    safety="checked",
    yardstick="shifted",
    control=without_weights,
    price=price,
    fits_on_validation=True,
    on_request=True,
)
def apply(case: Case) -> Treated:
    shifted = shifted_rows(case)
    if case.task != "classification":
        return _retrained(case, shifted)
    subject, validation = case.subject, case.subject.validation
    model = aligned(adapt(subject, case.task), case.classes)
    old, new = logits_of(model, validation), logits_of(model, shifted)
    weight = class_weights(old.argmax(axis=1), validation.y, new.argmax(axis=1), case.n_classes)
    if not _shares_alone(old, weight[validation.y], new):
        return _retrained(case, shifted)
    offset = np.log(np.maximum(weight, 1 / len(shifted)))
    return Treated(
        subject.replace(model=Offset(model, offset)),
        changes=f"logits adjusted to shares of the classes {weight.min():.3g} to {weight.max():.3g} times the old, by "
        f"the decisions on {len(shifted)} shifted rows and {len(validation)} of validation",
    )


def _shares_alone(old: np.ndarray, weight: np.ndarray, new: np.ndarray) -> bool:
    """Whether the mean confidence of validation, weighted, may be that of the shifted rows."""
    sure = [softmax(logits.astype(np.float64), axis=1).max(axis=1) for logits in (old, new)]
    there, here = mean(sure[1], unit="probability"), mean(weight / weight.mean() * sure[0], unit="probability")
    apart = difference(there, here, unit="probability")
    return apart.low is None or apart.high is None or apart.low <= 0 <= apart.high


def _retrained(case: Case, shifted: Split) -> Treated:
    subject = case.subject
    if not isinstance(subject.recipe, Recipe) or subject.train is None:
        raise Unavailable(
            "more than the shares of the classes has changed, and weighting train by its inputs needs train and a "
            "Recipe: give Subject(train=..., recipe=Recipe(...))"
        )
    refuse_undoing(subject)
    weight = _weights(subject.train, shifted, case.seed)
    effective = weight.sum() ** 2 / np.square(weight).sum()
    return Treated(
        subject,
        f"trained again with rows of train weighted by how much they look like {len(shifted)} shifted rows: worth "
        f"{effective:.0f} of {len(weight)} rows",
        ByRecipe({"sample_weight": weight}),
        compute=1.0,
    )


def _weights(train: Split, shifted: Split, seed: int) -> np.ndarray:
    """(n,) of mean 1, of each row by a fit to the other half of rows; rows that are not read count as the mean."""
    rng = generator(seed, "reweight")
    rows, new = (rng.permutation(len(split))[:MOST_ROWS] for split in (train, shifted))
    x = np.concatenate(_numbers(train, rows, shifted, new, rng))
    is_new = np.arange(len(x)) >= len(rows)
    fold = np.arange(len(x)) % 2 == 1
    odds = np.zeros(len(x))
    for own in (fold, ~fold):
        here, there = (np.sum(~own & side) for side in (is_new, ~is_new))
        balance = np.where(is_new, 1 / max(here, 1), 1 / max(there, 1)) * len(x) / 2
        odds[own] = tell_apart(x[~own], is_new[~own], balance[~own], x[own])[0]
    times = np.exp(odds[: len(rows)] - odds[: len(rows)].max())
    weight = np.ones(len(train))
    weight[rows] = np.minimum(times / times.mean(), MOST_TIMES)
    scaled: np.ndarray = weight / weight.mean()
    return scaled


def _numbers(
    train: Split, rows: np.ndarray, shifted: Split, new: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both as matrices, of a table's columns as train's encode, of at most so many columns."""
    try:
        encoder: Any = TableEncoder.fit(train) if train.kind == "frame" else None
        both = [split.take(at) for split, at in ((train, rows), (shifted, new))]
        if train.kind == "text" or isinstance(both[0], dict):
            raise Unavailable("rows are no numbers, by which they could be told apart")
        flat = [(b if encoder is None else encoder(b)).reshape(len(b), -1).astype(np.float32) for b in both]
    except BadInput as error:
        raise Unavailable(f"rows are no numbers, by which they could be told apart: {error}") from None
    columns = np.sort(rng.permutation(flat[0].shape[1])[:MOST_COLUMNS])
    return flat[0][:, columns], flat[1][:, columns]
