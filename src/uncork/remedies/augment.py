"""Change the rows of train at random in ways that leave their labels as they are.

What it does
------------
Tries a weak and a strong change of what the rows are: pictures (n, h, w) or (n, c, h, w) shifted by up to 1 or 2 pixels
in 28, with and without turning half of them left to right; numbers of a table with Gaussian noise of .1 or .3 standard
deviations; texts with a tenth or a fifth of their words left out. The one that leaves the lowest loss on a fifth of
train that is held out (unchanged; classes balanced, groups together; log-loss at its best temperature) is used to train
again on all of it. Views of rows that `missing-invariance` found to gain most, or to be taken worst, are tried first,
and of the others as many as make four. An `augment` that the recipe has already stays, and comes first.

Why it helps
------------
Each epoch sees other rows, so that none is learnt by heart, and the model learns what the label does not depend on.

Control
-------
The recipe as it is, from the same seeds. Training for longer, with the compute of choosing, would only flatter the
remedy.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
A change that moves the label (a turned 2 or b, a word such as "not") teaches what is wrong; the held-out rows catch
most of that, by their mean, not class by class. More steps may be needed than the recipe takes. Where no change lowers
the held-out loss by more than a standard error, it says so and is not applied. Rows (n, h, w) that are no pictures are
shifted all the same.

References
----------
Simard, Steinkraus & Platt, Best practices for convolutional neural networks, ICDAR 2003. Bishop, Training with noise is
equivalent to Tikhonov regularization, Neural Computation 7, 1995. Iyyer et al., Deep unordered composition rivals
syntactic methods for text classification, ACL 2015 (word dropout).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from uncork.derived.invariance import best_way, lost
from uncork.models.tensors import to_tensors
from uncork.models.views import kinds_of
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, best_held_out, needs_settings
from uncork.remedies._retrain import retrained
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject
from uncork.train.augment import Flip, InTurn, Noise, RandomView, Shift, WordDropout
from uncork.train.recipe import Recipe

MOST_TRIED = 4
_SIDE = 28  # pixels of a picture that is shifted by 1 or by 2
_TRIAL_ROWS = 8


def changes_of(subject: Subject) -> dict[str, Callable[..., Any]]:
    """What can be tried on rows of this kind, by its name. Raises Unavailable where nothing is known to suit them."""
    train = subject.train
    if train.kind == "text":
        return {f"{share:.0%} of the words left out": WordDropout(share) for share in (0.1, 0.2)}
    batch = to_tensors(train.take(np.arange(min(_TRIAL_ROWS, len(train)))), subject.preprocess)
    if not isinstance(batch, torch.Tensor) or not batch.is_floating_point() or batch.ndim not in (2, 3, 4):
        raise Unavailable(
            "rows are changed at random where they are pictures, tables of floats or texts, and these are none: give "
            "Recipe(augment=...)"
        )
    if batch.ndim == 2:
        return {f"noise of {share:g} standard deviations": Noise(share) for share in (0.1, 0.3)}
    weak = max(1, round(max(batch.shape[-2:]) / _SIDE))
    tried: dict[str, Callable[..., Any]] = {}
    for pixels in (weak, 2 * weak):
        name = f"shifts of up to {pixels} pixel{'s' if pixels > 1 else ''}"
        tried |= {name: Shift(pixels), f"{name} and flips": InTurn((Shift(pixels), Flip()))}
    return tried


def named_by_finding(case: Case) -> dict[str, Callable[..., Any]]:
    """The views of rows that gain most in the mean, and of those that keep labels the ones taken worst."""
    data, train = case.artifacts.get("invariance"), case.subject.train
    if data is None:
        return {}
    losses = {way: lost(data, way).low or 0.0 for way, grounds in enumerate(data.grounds) if grounds}
    worst = max(losses, key=lambda way: losses[way], default=-1)
    ways = [best_way(data, case.subject.metric)[0], worst if losses.get(worst, 0.0) > 0 else -1]
    there = kinds_of(train.take(np.arange(min(_TRIAL_ROWS, len(train)))))
    chosen = [data.names[way] for way in ways if way >= 0 and data.names[way] in there]
    return {f"views of rows: {name}": RandomView(name) for name in dict.fromkeys(chosen)}


def with_change(recipe: Recipe, change: Callable[..., Any]) -> Recipe:
    own = recipe.augment
    return recipe.replace(augment=change if own is None else InTurn((own, change)))


def price(subject: Subject, seeds: int) -> float:
    return 1 + MOST_TRIED + 2.0 * seeds


@remedy(
    title="Change the rows of train at random",
    safety="checked",
    yardstick="metric",
    control=again,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training on changed rows")
    tried = dict([*named_by_finding(case).items(), *changes_of(case.subject).items()][:MOST_TRIED])
    others = [with_change(recipe, change) for change in tried.values()]
    best = best_held_out(case, [recipe, *others])
    if best == 0:
        raise Unavailable(f"none of {', '.join(tried)} lowers the loss on a held-out fifth of train")
    changes = f"{list(tried)[best - 1]}, chosen by the loss on a fifth of train"
    return retrained(case, changes, compute=2.0 + len(others), recipe=others[best - 1])
