"""Train the net on, on labelled shifted rows.

What it does
------------
Goes on training all weights, from where they are, on a third of the shifted rows with their labels, at a tenth of the
recipe's learning rate (AdamW at 1e-4 where there is no Recipe) and in batches of 32, for up to 15 epochs. A fifth of
these rows is held out to keep the epoch of least loss.

Why it helps
------------
A few labels of where the model is used next tell more about it than many of where it was made. What the net has learnt
needs moving, not learning anew.

Control
-------
The same further training on as many random rows of train; of a net without train, the net itself.

Safety
------
checked: the net decides differently on all rows. It is judged on another third of the shifted rows and proven on the
last; what that costs on the old ones is shown.

When it fails
-------------
With few rows it learns them by heart, which the rows held out show only coarsely. What the net could do on the old rows
and the new ones don't ask for is forgotten. Rows of shifted that correspond to rows of validation or test, as pictures
stored anew do, make the loss on these look smaller than it is: they are left out of it by id.

References
----------
Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014. Kirkpatrick et al., Overcoming
catastrophic forgetting in neural networks, PNAS 114, 2017.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._shifted import module_of, shifted_rows
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

EPOCHS, BATCH, SLOWER, HELD = 15, 32, 0.1, 5
PATIENCE = 5


@dataclass(frozen=True)
class Copy:
    """Builds the net as it stands, weights and all; what is frozen stays so, unless all is."""

    module: nn.Module

    def __call__(self) -> nn.Module:
        module = copy.deepcopy(self.module)
        if not any(p.requires_grad for p in module.parameters()):
            module.requires_grad_(True)
        return module


@dataclass(frozen=True)
class TunedOn:
    """Makes a model from (subject, seed): further steps on these rows, judged on those held out."""

    recipe: Recipe
    rows: Split
    held: Split

    def __call__(self, subject: Subject, seed: int) -> Any:
        made = fit(
            self.recipe,
            self.rows,
            seed=seed,
            preprocess=subject.preprocess,
            validation=self.held,
            patience=PATIENCE,
        )
        return made.module


def price(subject: Subject, seeds: int) -> float:
    """In trainings by the recipe; without one in epochs over train, or over shifted where there is no train either."""
    if subject.shifted is None:
        return 2.0 * seeds
    return 2.0 * seeds * _share(subject, len(subject.shifted) / 3)


def on_old_rows(case: Case, treated: Treated) -> Treated:
    """As many random rows of train."""
    train = case.subject.train
    if train is None:
        return Treated(case.subject, "the model as it stands")
    rows = np.sort(generator(case.seed, "old rows").permutation(len(train))[: treated.amount])
    return tuned(case, train.subset(rows), "random rows of train")


@remedy(
    title="Train the net on, on labelled shifted rows",
    safety="checked",
    yardstick="shifted",
    control=on_old_rows,
    price=price,
    on_request=True,
)
def apply(case: Case) -> Treated:
    return tuned(case, shifted_rows(case), "labelled shifted rows")


def tuned(case: Case, split: Split, what: str) -> Treated:
    """The net, to be trained on, on these rows."""
    subject, module = case.subject, module_of(case, "training on")
    try:
        part = folds(split, HELD, integer_seed(case.seed, "held out"), stratify=case.task == "classification")
    except BadInput as error:
        raise Unavailable(f"too few rows to hold a fifth of them out: {error}") from None
    settings: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH}
    if isinstance(subject.recipe, Recipe):
        own = subject.recipe
        recipe = own.replace(build=Copy(module), lr=SLOWER * own.lr, **settings)
    else:
        recipe = Recipe(Copy(module), lr=1e-4, **settings)
    train = TunedOn(recipe, split.subset(part != 0), split.subset(part == 0))
    changes = f"trained on at lr {recipe.lr:g} on {len(train.rows)} {what}, the epoch chosen by {len(train.held)} more"
    return Treated(subject, changes, train, compute=_share(subject, len(split)), amount=len(split))


def _share(subject: Subject, rows: float) -> float:
    """Rows seen over those that a training by the recipe sees; 1 for a callable, of which that isn't known."""
    if subject.recipe is None or subject.train is None:
        return EPOCHS * rows / len(subject.train if subject.train is not None else subject.shifted)
    if not isinstance(subject.recipe, Recipe):
        return 1.0
    return EPOCHS * rows / (subject.recipe.steps(len(subject.train)) * subject.recipe.batch_size)
