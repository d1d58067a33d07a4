"""What a gatherer is given, and the decorator that announces it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uncork.data.split import Split
from uncork.models.base import Model
from uncork.schema.artifacts import FactsData, Request
from uncork.schema.contract import Gatherer, discover, identify, module_doc
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject

#: Runs a function on each tuple of arguments in processes of their own, one thread each; results in order.
Fan = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]


@dataclass(frozen=True)
class Context:
    """A subject that was found fit to audit. Labels are class indices; `validation` is never absent.

    `seconds_per_row`: time of one forward pass, from the warm-up. `fan`: see `Fan`.
    """

    subject: Subject
    model: Model
    facts: FactsData
    seed: int
    batch_size: int
    seconds_per_row: float
    fan: Fan

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
    request: type[Request], *, price: Callable[[Any, Context], float]
) -> Callable[[Callable[[Any, Context], Any]], Gatherer]:
    """Announces the function that answers one kind of request. `price` returns seconds, from the warm-up's speed."""

    def wrap(gather: Callable[[Any, Context], Any]) -> Gatherer:
        return Gatherer(
            id=identify(gather.__module__), request=request, gather=gather, price=price, doc=module_doc(gather)
        )

    return wrap


def gatherers() -> dict[type[Request], Gatherer]:
    """The gatherer of each kind of request."""
    units: Iterable[Gatherer] = discover("uncork.gather", Gatherer).units.values()
    return {unit.request: unit for unit in units}
