"""What a remedy is given and gives back, and the decorator that announces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.models.ensemble import Ensemble
from uncork.models.wrapped import Wrapped
from uncork.schema.contract import Remedy, Safety, Saves, Yardstick, discover, identify, module_doc
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject


def one_by_one(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The jobs in this process, one after the other."""
    return [function(*job) for job in jobs]


@dataclass(frozen=True)
class Case:
    """What `apply` and `control` may see. `subject` has no test split; `finding` may be None when the user forces it.

    `artifacts`: those that the finding's probe read, and what the user gave along (`evidence` of `treat`).
    `fan`: runs a function on many tuples of arguments in processes of their own, in the order given.
    """

    subject: Subject
    finding: Any
    artifacts: Mapping[str, Any]
    task: str
    n_classes: int
    seed: int
    rng: np.random.Generator
    fan: Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]] = one_by_one

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of class indices: the subject's, or the indices themselves."""
        return tuple(self.subject.classes or map(str, range(self.n_classes)))


@dataclass(frozen=True)
class Treated:
    """A treated subject, or how to make one.

    `subject`: with everything changed but the weights where it is still to be trained. `train`: makes its model from
    (subject, seed), for several seeds side by side in processes of their own, so it must be picklable; None where
    `subject.model` is the treated model already. `compute`: what one model costs, in trainings by the recipe that was
    given; what `apply` trained before, to search or to judge rows, is part of it. `changes`: what was changed, in
    words. `amount`: how much was changed, for a control of equal size. `measured`: what was timed on the way, in words,
    which another run won't repeat to the digit.
    """

    subject: Subject
    changes: str
    train: Callable[[Subject, int], Any] | None = None
    compute: float = 0.0
    amount: int = 0
    measured: str = ""


def remedy(
    *,
    title: str,
    safety: Safety,
    yardstick: Yardstick,
    control: Callable[[Case, Treated], Treated],
    price: Callable[[Subject, int], float],
    fits_on_validation: bool = False,
    as_is: bool = False,
    combines: bool = False,
    on_request: bool = False,
    saves: Saves = "",
) -> Callable[[Callable[[Case], Treated]], Remedy]:
    """Announces a remedy. `control` gets the case and what `apply` did.

    `price(subject, seeds)`: trainings by the subject's recipe that `apply` and as many models of remedy and control
    take; 0 where nothing is trained. `as_is`, `saves`: as in `Remedy`; without `as_is` the control of a Recipe has to
    take as much compute as the remedy.
    """

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
            as_is=as_is,
            combines=combines,
            on_request=on_request,
            saves=saves,
        )

    return wrap


def remedies() -> dict[str, Remedy]:
    """Every remedy, by id."""
    return dict(discover("uncork.remedies", Remedy).units)


def needs_recipe(subject: Subject, why: str) -> None:
    """Raises Unavailable where the remedy has to train and the subject doesn't say how."""
    if subject.recipe is None or subject.train is None:
        raise Unavailable(f"{why} needs train and a recipe: give Subject(train=..., recipe=Recipe(...))")


def refuse_undoing(subject: Subject) -> None:
    """Raises Unavailable where something was fitted around the model, which training again would undo."""
    if isinstance(subject.model, Wrapped | Ensemble):
        what = subject.model.called
        raise Unavailable(
            f"{what} was kept before, which training again would undo: to try this remedy, treat the audited run again "
            "with its id alone after --remedies"
        )
