"""What a remedy is given and gives back, and the decorator that announces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from uncork.schema.contract import Remedy, Safety, discover, identify, module_doc
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject


@dataclass(frozen=True)
class Case:
    """What `apply` and `control` may see. `subject` has no test split; `finding` may be None when the user forces it.

    `artifacts`: those that the finding's probe read, and what the user gave along (`evidence` of `treat`).
    """

    subject: Subject
    finding: Any
    artifacts: Mapping[str, Any]
    task: str
    n_classes: int
    seed: int
    rng: np.random.Generator


@dataclass(frozen=True)
class Treated:
    """A treated subject. `compute`: optimiser steps spent. `changes`: what was changed, in words.

    `amount`: how much was changed, for a control of equal size.
    """

    subject: Subject
    compute: int
    changes: str
    amount: int = 0


def remedy(
    *,
    title: str,
    safety: Safety,
    yardstick: Literal["metric", "log-loss", "gate"],
    control: Callable[[Case, Treated], Treated],
    price: Callable[[Subject, float], float],
    fits_on_validation: bool = False,
) -> Callable[[Callable[[Case], Treated]], Remedy]:
    """Announces a remedy. `control` gets the case and what `apply` did; `price(subject, seconds of one training)`."""

    def wrap(apply: Callable[[Case], Treated]) -> Remedy:
        return Remedy(
            id=identify(apply.__module__),
            title=title,
            safety=safety,
            yardstick=yardstick,
            fits_on_validation=fits_on_validation,
            apply=apply,
            control=control,
            price=price,
            doc=module_doc(apply),
        )

    return wrap


def remedies() -> dict[str, Remedy]:
    """Every remedy, by id."""
    return dict(discover("uncork.remedies", Remedy).units)


def needs_recipe(subject: Subject, why: str) -> None:
    """Raises Unavailable where the remedy has to train and the subject doesn't say how."""
    if subject.recipe is None or subject.train is None:
        raise Unavailable(f"{why} needs train and a recipe: give Subject(train=..., recipe=Recipe(...))")
