"""What a gatherer is given, and the decorator that announces it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from uncork.data.split import Split
from uncork.gather.store import Store
from uncork.models.base import Model
from uncork.schema.artifacts import FactsData, Request
from uncork.schema.contract import Gatherer, discover, identify, module_doc
from uncork.schema.errors import Unavailable
from uncork.schema.given_pool import GivenPool
from uncork.schema.subject import Subject


class Fan(Protocol):
    """Runs a function on tuples of arguments in processes of their own, one thread each: `workers` side by side."""

    @property
    def workers(self) -> int: ...

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], /) -> list[Any]:
        """The results in the order of the jobs."""

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], /) -> Iterator[Any]:
        """The results as they are completed. A job is drawn only when a worker is free for it."""


class Training(NamedTuple):
    """Wall time of training one model and running it on train and validation, where `stack` are trained at once."""

    seconds: float
    stack: int = 1


@dataclass(frozen=True)
class Context:
    """A subject that was found fit to audit. Labels are class indices; `validation` is never absent.

    `seconds_per_row`: time of one forward pass, from the warm-up. `fan`: see `Fan`. `training`: by arm of the pool, ""
    for the recipe itself; empty where none was timed. `store`: keeps the parts of long work.
    `deadline`: on the monotonic clock; no further part of long work is begun after it. `given`: the pool that the user
    brought, checked and in the order of train's rows; nothing is then retrained. `relabelled`: rows of train that were
    labelled anew, checked: (positions, class indices). `labels`: how many labels of shifted may be used, or those that
    were brought, checked: (positions, classes or targets); None for all there are. `heads`: what the pool is of where
    it is of heads on the model's features (see `_heads`), or why that is withheld; None where whole nets are retrained.
    """

    subject: Subject
    model: Model
    facts: FactsData
    seed: int
    batch_size: int
    seconds_per_row: float
    fan: Fan
    training: Mapping[str, Training] = field(default_factory=dict)
    store: Store | None = None
    deadline: float | None = None
    given: GivenPool | None = None
    relabelled: tuple[np.ndarray, np.ndarray] | None = None
    labels: int | tuple[np.ndarray, np.ndarray] | None = None
    heads: Subject | str | None = None

    def split(self, name: str) -> Split:
        """One split by name. Raises Unavailable where the subject has none."""
        split: Split | None = getattr(self.subject, name)
        if split is None:
            raise Unavailable(f"no {name} split was given: give Subject({name}=...)")
        return split

    def of(self, subject: Subject, model: Model) -> Context:
        """The same setting for a changed subject."""
        return replace(self, subject=subject, model=model)


def gatherer(
    request: type[Request], *, price: Callable[[Any, Context], float], stored: bool = True
) -> Callable[[Callable[[Any, Context], Any]], Gatherer]:
    """Announces the function that answers one kind of request. `price` returns seconds, from the warm-up's speed.

    `stored`: see `Gatherer`.
    """

    def wrap(gather: Callable[[Any, Context], Any]) -> Gatherer:
        return Gatherer(
            id=identify(gather.__module__),
            request=request,
            gather=gather,
            price=price,
            doc=module_doc(gather),
            stored=stored,
        )

    return wrap


def gatherers() -> dict[type[Request], Gatherer]:
    """The gatherer of each kind of request."""
    units: Iterable[Gatherer] = discover("uncork.gather", Gatherer).units.values()
    return {unit.request: unit for unit in units}
