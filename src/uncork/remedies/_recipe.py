"""What remedies that change the recipe share: their control, and choosing on rows of train held out for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.derived.temperature import best_temperature, cross_entropy
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.remedies._contract import Case, Treated, needs_recipe, refuse_undoing
from uncork.remedies._retrain import retrained
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.stats.means import mean
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

#: One part in so many of train is held out.
PARTS = 5


def needs_settings(subject: Subject, why: str) -> Recipe:
    """The subject's recipe. Raises Unavailable where there is none, one whose settings can't be changed, or what
    training again would undo."""
    needs_recipe(subject, why)
    refuse_undoing(subject)
    if not isinstance(subject.recipe, Recipe):
        raise Unavailable("the recipe is a callable, whose settings can't be changed: give a Recipe")
    return subject.recipe


def again(case: Case, treated: Treated) -> Treated:
    """The recipe as it is, in one training: the control of what keeps a model from learning train by heart.

    More steps would be no fair use of the compute that was searched with: they learn more of it by heart. A remedy that
    took more is `as_is`.
    """
    return retrained(case, "trained again as it is")


def parts(case: Case) -> np.ndarray:
    """(n,) the part of train (0…4) of each row; groups stay together, classes are balanced."""
    seed = integer_seed(case.seed, "held out")
    try:
        return folds(case.subject.train, PARTS, seed, stratify=case.task == "classification")
    except BadInput as error:
        raise Unavailable(f"train is too small to hold a fifth of it out: {error}") from None


def losses_by_row(case: Case, recipes: Sequence[Recipe]) -> np.ndarray:
    """(m, n) losses of each recipe on a fifth of train, trained on the rest for its steps on all of it, from one seed.

    Log-loss in nats at the temperature that suits those rows best, since a net that is merely less sure has gained
    nothing; in a regression the squared error. Infinite where training diverged.
    """
    subject, held, seed = case.subject, parts(case) == 0, integer_seed(case.seed, "held out", "model")
    train, judges = subject.train.subset(~held), subject.train.subset(held)
    jobs = [(r, train, judges, r.steps(len(held)), case.task, seed, subject.preprocess) for r in recipes]
    return np.array(case.fan(_losses, jobs))


def held_out_losses(case: Case, recipes: Sequence[Recipe]) -> list[float]:
    """The mean of `losses_by_row` for each recipe."""
    return [float(each.mean()) for each in losses_by_row(case, recipes)]


def best_held_out(case: Case, recipes: Sequence[Recipe]) -> int:
    """The recipe of least `losses_by_row`; the first unless that one is better by more than one standard error.

    Of the difference over rows, or groups of them (Breiman et al., Classification and regression trees, 1984).
    """
    losses = losses_by_row(case, recipes)
    best = int(losses.mean(axis=1).argmin())
    if best == 0 or not np.isfinite(losses[0]).all():  # the first diverged
        return best
    groups = case.subject.train.groups
    clusters = None if groups is None else np.unique(groups[parts(case) == 0], return_inverse=True)[1]
    gained = mean(losses[0] - losses[best], clusters=clusters, unit="loss")
    return best if gained.se is not None and (gained.value or 0.0) > gained.se else 0


def _losses(
    recipe: Recipe,
    train: Split,
    held: Split,
    steps: int,
    task: str,
    seed: int,
    preprocess: Callable[[Any], Any] | None,
) -> np.ndarray:
    assert held.y is not None
    try:
        module = fit(recipe, train, seed=seed, steps=steps, preprocess=preprocess).module
    except BadInput:
        raise
    except UncorkError:
        return np.full(len(held), np.inf)
    model = as_model(module, task, preprocess=preprocess)
    out = logits_of(model, held)
    if not np.isfinite(out).all():
        return np.full(len(held), np.inf)
    if task == "regression":
        square: np.ndarray = (out[:, 0] - held.y) ** 2
        return square
    return cross_entropy(out, held.y, best_temperature(out, held.y))


def parameters(recipe: Recipe) -> int:
    """Numbers trained in the recipe's net."""
    with torch.random.fork_rng(devices=[]):  # a fresh net draws its weights
        return sum(p.numel() for p in recipe.make().parameters() if p.requires_grad)


def at_width(case: Case, times: float) -> Treated:
    """Layers so many times as wide, which cost as many times as much as they have parameters."""
    recipe = needs_settings(case.subject, "training a net of another width")
    other = recipe.scaled(times)
    if other is None:
        raise Unavailable("recipe.build takes no width: let it be build(width=...) with a number as default")
    own, new = parameters(recipe), parameters(other)
    if own == new:
        raise Unavailable(f"a net {times:g} times as wide has as many parameters: let build scale its layers by width")
    words = f"{times:g} times as wide" if times > 1 else f"{1 / times:g} times narrower"
    changes = f"layers {words}: {new:,} parameters instead of {own:,}"
    return retrained(case, changes, compute=new / own, recipe=other)


def relative_size(subject: Subject, times: float) -> float:
    """Parameters at so many times the width over those there are; 1 where the width can't be changed."""
    recipe = subject.recipe
    other = recipe.scaled(times) if isinstance(recipe, Recipe) else None
    return 1.0 if other is None else parameters(other) / parameters(recipe)
