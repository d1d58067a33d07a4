"""Train also on unlabelled rows, by the labels that the model is sure of.

What it does
------------
Trains four models, each on train without a fourth of it (classes balanced, groups together). What each says of its
fourth tells how sure one has to be: the lowest confidence from which on 90 % of those labels are foretold right, of 20
rows at least. The four models' mean probabilities then label the rows of `unlabelled`; those at least as sure join
train. The recipe is trained again on all of it, for as many steps as before.

Why it helps
------------
Rows whose label is not in doubt still show what inputs look like, which few labelled rows don't.

Control
-------
The recipe as it is on train alone, for as many steps, from the same seeds. Training for longer, with the compute of the
folds, would only flatter the remedy where train is soon learnt by heart.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where the models are sure and wrong, on unlabelled rows of another kind than train, their mistakes are learnt as truth:
the 90 % holds for rows like train's. Classes that are seldom told surely get no new rows, and become rarer. With labels
enough it gains little.

References
----------
Yarowsky, Unsupervised word sense disambiguation rivaling supervised methods, ACL 1995. Lee, Pseudo-label, ICML
workshop 2013. Oliver et al., Realistic evaluation of deep semi-supervised learning algorithms, NeurIPS 2018.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from uncork.data.carve import folds
from uncork.data.joined import joined
from uncork.data.split import Split
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import Model, logits_of
from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._recipe import again
from uncork.remedies._retrain import ByRecipe, retrained, steps_of
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject

FOLDS = 4
TRUSTED = 0.9  # share of labels that have to be right, chosen by hand: more would leave out more of the hard rows
FEWEST = 20  # rows to tell that by


def price(subject: Subject, seeds: int) -> float:
    return FOLDS + 2.0 * seeds


@remedy(
    title="Train also on unlabelled rows that the model is sure of",
    safety="checked",
    yardstick="metric",
    control=again,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("a model is sure of classes, not of values")
    if subject.unlabelled is None:
        raise Unavailable("there are no unlabelled rows: give Subject(unlabelled=Split(x))")
    if not isinstance(subject.unlabelled, Split):
        raise BadInput(f"unlabelled is of type {type(subject.unlabelled).__name__}: wrap it, unlabelled=Split(x)")
    needs_recipe(subject, "training on unlabelled rows")
    fold = folds(subject.train, FOLDS, integer_seed(case.seed, "folds"), stratify=True)
    jobs = [
        (subject.without_test(), fold == i, case.n_classes, integer_seed(case.seed, "fold", i)) for i in range(FOLDS)
    ]
    own = np.zeros((len(subject.train), case.n_classes))
    others = np.zeros((len(subject.unlabelled), case.n_classes))
    for (held, unlabelled), (_, mask, _, _) in zip(case.fan(foretold, jobs), jobs, strict=True):
        own[mask] = held
        others += unlabelled / FOLDS
    least = sure_from(own.max(axis=1), own.argmax(axis=1) == subject.train.y)
    if least is None:
        raise Unavailable(
            f"however sure the models are, less than {100 * TRUSTED:.0f} % of train's labels are foretold"
        )
    sure = others.max(axis=1) >= least
    if not sure.any():
        raise Unavailable(f"no unlabelled row is foretold with a confidence of {least:.3g}")
    train = joined(subject.train, subject.unlabelled.subset(sure), others[sure].argmax(axis=1))
    changes = f"{int(sure.sum())} unlabelled rows joined train, labelled with a confidence of {least:.3g} or more"
    return retrained(case, changes, compute=1.0 + FOLDS, amount=int(sure.sum()), train=train)


def foretold(subject: Subject, held: np.ndarray, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities of the rows of train that are held out, of those of `unlabelled`), by a model of the rest."""
    fitted = ByRecipe(steps_of(subject.recipe, len(subject.train)))(
        subject.replace(train=subject.train.subset(~held)), seed
    )
    model = as_model(fitted, "classification", preprocess=subject.preprocess)
    model.outputs(subject.train.take(np.arange(1)))  # a torch module tells its number of outputs when it has run
    model = aligned(model, tuple(str(c) for c in range(n_classes)))
    return _probabilities(model, subject.train.subset(held)), _probabilities(model, subject.unlabelled)


def sure_from(confidence: np.ndarray, right: np.ndarray) -> float | None:
    """The lowest confidence such that of the rows with that much or more, FEWEST at least, TRUSTED are right.

    None where there is none. confidence, right: (n,).
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, share = confidence[order], np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    last = np.append(confidence[1:] < confidence[:-1], True)  # of equal ones: all or none
    enough = np.flatnonzero(last & (share >= TRUSTED) & (np.arange(1, len(right) + 1) >= FEWEST))
    return float(confidence[enough[-1]]) if len(enough) else None


def _probabilities(model: Model, split: Split) -> np.ndarray:
    return np.asarray(softmax(logits_of(model, split), axis=1))
