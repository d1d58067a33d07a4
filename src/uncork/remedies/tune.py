"""Search learning rate and weight decay.

What it does
------------
Searches learning rates from a hundredth to a hundred times the recipe's, and weight decays from a thirtieth to thirty
times, by Optuna's seeded sampler (the tree-structured Parzen estimator). It starts from the recipe as it is, and from
the rate that gained in the audit's retrained models. Successive halving: twelve settings are trained for a quarter of
the epochs, the best three and the recipe as it is for all of them, and the one of least loss is taken. Losses are those
on a fifth of train that is held out (classes balanced, groups together). Models of the winner are then trained on all
of train from fresh seeds, for as many steps as before.

Why it helps
------------
Which rate is right depends on data, net and batch. A few trainings find one that is near it.

Control
-------
The recipe as it is, for as many steps more as the search took.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Halving punishes slow starters: what learns slowly looks worse after a quarter of the epochs than it is, and where
nothing is learnt by then the finalists are chance; mend undertraining first. The setting of
least loss need not be the one of fewest errors, and on a small fifth of train it is partly luck; so fresh seeds judge.
Where the recipe as it is wins, nothing is changed.

References
----------
Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011. Jamieson & Talwalkar, Non-stochastic best
arm identification and hyperparameter optimization, AISTATS 2016. Akiba et al., Optuna, KDD 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.arms import best
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import held_out_losses, needs_settings
from uncork.remedies._retrain import longer, retrained
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.schema.pool import RATES
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.recipe import Recipe

TRIALS, AT_ONCE, FINALISTS, SHORTER = 12, 4, 3, 4
RATE_SPAN, DECAY_SPAN = 100.0, 30.0  # factors that are searched, down and up

Setting = tuple[float, float]  # factors of the learning rate and of the weight decay
PLAIN: Setting = (1.0, 1.0)


def searched(recipe: Recipe) -> float:
    """What the search takes, in trainings by the recipe."""
    return TRIALS * _short(recipe).epochs / recipe.epochs + FINALISTS + 1


def price(subject: Subject, seeds: int) -> float:
    search = searched(subject.recipe) if isinstance(subject.recipe, Recipe) else 0.0
    return search + seeds * (2.0 + search)


@remedy(
    title="Search learning rate and weight decay",
    safety="checked",
    yardstick="metric",
    control=longer,
    price=price,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training with other settings")
    tried = _tried(case, recipe)
    finalists = [PLAIN, *sorted(tried.keys() - {PLAIN}, key=lambda setting: tried[setting])[:FINALISTS]]
    losses = held_out_losses(case, [_changed(recipe, setting) for setting in finalists])
    winner = finalists[int(np.argmin(losses))]
    if winner == PLAIN:
        raise Unavailable(f"none of {len(tried) - 1} other settings lowers the loss on a held-out fifth of train")
    other = _changed(recipe, winner)
    changes = (
        f"learning rate {other.lr:.3g} instead of {recipe.lr:.3g}, weight decay {other.weight_decay:.3g} instead of "
        f"{recipe.weight_decay:.3g}: the best of {len(tried)} settings"
    )
    return retrained(case, changes, compute=1.0 + searched(recipe), recipe=other)


def _tried(case: Case, recipe: Recipe) -> dict[Setting, float]:
    """Settings, and their loss after a short training; so many at once, however many processes there are."""
    try:
        import optuna
    except ImportError:
        raise MissingExtra("tune", "searching the recipe's settings") from None
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=integer_seed(case.seed, "tune"), n_startup_trials=AT_ONCE)
    study = optuna.create_study(sampler=sampler)
    optuna.logging.set_verbosity(loudness)
    for rate in (1.0, *_known_to_gain(case)):
        study.enqueue_trial({"rate": rate, "decay": 1.0})
    tried: dict[Setting, float] = {}
    for _ in range(TRIALS // AT_ONCE):
        trials = [study.ask() for _ in range(AT_ONCE)]
        settings = [
            (
                t.suggest_float("rate", 1 / RATE_SPAN, RATE_SPAN, log=True),
                t.suggest_float("decay", 1 / DECAY_SPAN, DECAY_SPAN, log=True),
            )
            for t in trials
        ]
        losses = held_out_losses(case, [_short(_changed(recipe, setting)) for setting in settings])
        for trial, loss in zip(trials, losses, strict=True):
            study.tell(trial, loss)
        tried |= dict(zip(settings, losses, strict=True))
    return tried


def _known_to_gain(case: Case) -> list[float]:
    """The rate that gained in the audit's retrained models, as a factor; none where none did."""
    pool = case.artifacts.get("pool")
    arm = None if pool is None else best(pool, case.subject.metric, "tuning")
    return [] if arm is None else [RATES[arm]]


def _changed(recipe: Recipe, setting: Setting) -> Recipe:
    rate, decay = setting
    return (recipe if decay == 1 else recipe.decayed(decay)).replace(lr=recipe.lr * rate)


def _short(recipe: Recipe) -> Recipe:
    return recipe.replace(epochs=max(1, recipe.epochs // SHORTER))
