"""What models gain from rows without labels.

What it gathers
---------------
On four fifths of train, copies and groups on one side, the recipe's model and those of `pseudo-label` and
`self-supervise`, by two seeds, are scored on the last fifth. The better method alone goes on: with four fresh seeds it
and the recipe are trained on all of train and on a random half of it, the recipe on a quarter too, and answer
validation. All take about the steps that the recipe takes on all of train. Unlabelled rows that stand in validation,
or in the fifth that scores, are left out.

How it streams
--------------
Batches; outputs on validation are kept, 4 bytes a class, row and model.

What it costs
-------------
About 14 trainings by the recipe, 2 by each method and 8 by the better one. Pseudo-labelling takes 5 of the recipe's,
pretraining as long as 15 rounds over all rows. Each is in a process of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._tree import eighths, rows_of, together
from uncork.gather.fingerprints import hash_rows
from uncork.models.adapt import as_model
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.remedies import pseudo_label, self_supervise
from uncork.remedies._contract import Case, Treated, needs_recipe
from uncork.remedies._retrain import ByRecipe
from uncork.schema.artifacts import PassData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.schema.unused_unlabelled import Unlabelled, UnlabelledData
from uncork.stats.score import score
from uncork.train.recipe import Recipe

SCREENED, CONFIRMED = 2, 4  # seeds
SHARES = (0.25, 0.5, 1.0)
REMEDIES: dict[str, Any] = {"pseudo-label": pseudo_label.apply, "self-supervise": self_supervise.apply}

#: (outputs on the rows that judge, "") or (None, why there are none)
Answer = tuple[np.ndarray | None, str]


def price(request: Unlabelled, context: Context) -> float:
    _refuse(context)
    each = context.training[""].seconds if "" in context.training else 0.0
    beyond = [REMEDIES[how].price(context.subject, 1) - 2.0 for how in request.methods]  # that and the control trained
    recipe = SCREENED + len(SHARES) * CONFIRMED
    methods = SCREENED * (len(beyond) + sum(beyond)) + 2 * CONFIRMED * (1 + max(beyond))
    return float((recipe + methods) * each / context.fan.workers)


@gatherer(Unlabelled, price=price)
def gather(request: Unlabelled, context: Context) -> UnlabelledData:
    _refuse(context)
    task, metric, seed = context.facts.task, context.facts.metric, integer_seed(context.seed, "unlabelled")
    validation: Split = context.split("validation")
    subject = context.subject.without_test().replace(backbones=None)
    subject = _without(subject, validation)
    screen = _screen(subject.train, seed, task)
    held = subject.train.subset(screen)
    fifth = _without(_on(subject, np.flatnonzero(~screen)), held)

    tried = ("recipe", *request.methods)
    asked = [(how, integer_seed(seed, "screen", i)) for how in tried for i in range(SCREENED)]
    answers = context.fan(trained, [(fifth, how, held, context.facts.classes, task, drawn) for how, drawn in asked])
    found = {how: answers[i * SCREENED : (i + 1) * SCREENED] for i, how in enumerate(tried)}
    left_out = {how: why for how, each in found.items() for _, why in each if why}
    methods = tuple(how for how in request.methods if how not in left_out)
    if not methods:
        raise Unavailable("; ".join(f"{how}: {why}" for how, why in left_out.items()))
    screened = {how: _value(metric, [out for out, _ in found[how]], held.y, task) for how in (*methods, "recipe")}
    winner = min(methods, key=lambda how: metric.sign * screened[how])

    parts = [_parts(subject.train, seed, i) for i in range(CONFIRMED)]
    sizes = [round(float(np.mean([len(part[k]) for part in parts]))) for k in range(len(SHARES))]
    asked = [("recipe", k) for k in range(len(SHARES))] + [(winner, len(SHARES) - 2), (winner, len(SHARES) - 1)]
    jobs = [
        (_on(subject, part[k]), how, validation, context.facts.classes, task, integer_seed(seed, "confirm", i))
        for how, k in asked
        for i, part in enumerate(parts)
    ]
    made = context.fan(trained, jobs)
    recipe, half, whole = made[: -2 * CONFIRMED], made[-2 * CONFIRMED : -CONFIRMED], made[-CONFIRMED:]
    if why := next((why for _, why in whole if why), ""):
        raise Unavailable(f"{winner}: {why}")
    if why := next((why for _, why in half if why), ""):
        left_out[f"{winner} on half of train"] = why
    curve = np.stack([out for out, _ in recipe])
    groups = np.arange(len(validation)) if validation.groups is None else validation.groups
    assert validation.y is not None
    return UnlabelledData(
        methods=methods,
        screened=tuple(screened.values()),
        screen_rows=int(screen.sum()),
        winner=winner,
        task=task,
        sizes=np.array(sizes),
        curve=curve.reshape(len(SHARES), CONFIRMED, *curve.shape[1:]),
        with_half=curve[:0] if why else np.stack([out for out, _ in half]),
        with_all=np.stack([out for out, _ in whole]),
        y=validation.y,
        clusters=np.unique(groups, return_inverse=True)[1],
        unlabelled=len(subject.unlabelled),
        left_out=left_out,
    )


def trained(subject: Subject, how: str, judged: Split, classes: tuple[str, ...], task: str, seed: int) -> Answer:
    """Outputs on the rows that judge of a model trained on the subject's train: by the recipe, or by a remedy too."""
    treated = Treated(subject, "as it is", ByRecipe())
    if how != "recipe":
        case = Case(subject, None, {}, task, len(classes), seed, generator(seed, how))
        try:
            treated = REMEDIES[how].apply(case)
        except Unavailable as error:
            return None, str(error)
    assert treated.train is not None
    try:
        model = as_model(treated.train(treated.subject, seed), task, preprocess=subject.preprocess)
    except Unavailable as error:
        return None, str(error)
    model.outputs(subject.train.take(np.arange(1)))  # a torch module tells its number of outputs when it has run
    return logits_of(aligned(model, classes) if task == "classification" else model, judged), ""


def _refuse(context: Context) -> None:
    if context.subject.unlabelled is None:
        raise Unavailable("there are no unlabelled rows: give Subject(unlabelled=Split(x))")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: learning from rows needs the rows themselves")
    needs_recipe(context.subject, "learning from unlabelled rows")


def _on(subject: Subject, rows: np.ndarray) -> Subject:
    """The subject with these rows of train, and a recipe of about as many steps as all of it takes."""
    recipe, train = subject.recipe, subject.train
    if isinstance(recipe, Recipe):
        rounds = recipe.steps(len(train)) / -(-len(rows) // recipe.batch_size)
        recipe = recipe.replace(epochs=max(1, round(rounds)))
    return subject.replace(train=train.subset(rows), recipe=recipe)


def _without(subject: Subject, other: Split) -> Subject:
    """The subject without the unlabelled rows that also stand in `other`."""
    known, asked = (hash_rows(split).view("V16").ravel() for split in (other, subject.unlabelled))
    fresh = ~np.isin(asked, known)
    if not fresh.any():
        raise Unavailable("every unlabelled row also stands among those that judge: give rows of their own")
    return subject.replace(unlabelled=subject.unlabelled.subset(fresh))


def _screen(train: Split, seed: int, task: str) -> np.ndarray:
    """Mask of the fifth of train that chooses. Raises Unavailable where train is too small for it."""
    assert train.y is not None
    try:
        of = Split(np.zeros((len(train), 1)), train.y, groups=together(train))
        screen: np.ndarray = folds(of, 5, seed, stratify=task == "classification") == 0
    except BadInput as error:
        raise Unavailable(f"train is too small to choose a method inside it: {error}") from None
    return screen


def _parts(train: Split, seed: int, permutation: int) -> list[np.ndarray]:
    """Rows of a quarter of train, of the half that holds it, and all."""
    assert train.y is not None
    eighth = eighths(train.y, together(train), seed=seed, permutation=permutation)
    return [rows_of(eighth, round(1 / share), 0) for share in SHARES]


def _value(metric: Metric, outputs: list[np.ndarray], y: np.ndarray, task: str) -> float:
    """Mean metric of several models; unknown is the worst there is."""
    made = [PassData.of_logits(o, y) if task == "classification" else PassData.of_values(o[:, 0], y) for o in outputs]
    values = [score(metric, each).value for each in made]
    return float(np.mean([metric.sign * math.inf if value is None else value for value in values]))
