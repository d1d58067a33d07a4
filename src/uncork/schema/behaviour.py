"""What a model should do whatever the data say: stated behaviours, and what is gathered of them."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from uncork.schema.artifacts import Request
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

#: By how much of a probability, or of a prediction's standard deviation, a change may go against its direction.
TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Behaviour:
    """A relation that decisions should keep, stated in one of three ways.

    `templates` with {slots}, `slots` with what fills them, and `expected`, the class that every filled one belongs to:

        Behaviour("negation", templates=["The {thing} isn't {good}."], expected="negative",
                  slots={"thing": ["plot", "cast"], "good": ["good", "funny"]})

    `templates` with `varied`, the slot whose filling should not matter. Or `change`: (rows of validation, one number in
    [0, 1) a row) → the rows changed; the decision should stay (in a regression the value, within a tenth of a standard
    deviation). `toward`: instead, the probability of that class should not fall by more than .1, or the value should
    not fall ("up") or rise ("down") by more than that tenth. Raises BadInput where it is none of the three.
    """

    name: str
    templates: Sequence[str] = ()
    slots: Mapping[str, Sequence[str]] = field(default_factory=dict)
    expected: str | None = None
    varied: str | None = None
    change: Callable[[Any, np.ndarray], Any] | None = None
    toward: str | None = None

    def __post_init__(self) -> None:
        stated = sum(part is not None for part in (self.expected, self.varied, self.change))
        if stated != 1 or bool(self.templates) == (self.change is not None):
            raise BadInput(f"behaviour {self.name!r}: give templates with expected or varied, or a change of rows")
        if self.toward is not None and self.change is None:
            raise BadInput(f"behaviour {self.name!r}: toward belongs to a change of rows")
        if isinstance(self.templates, str):
            raise BadInput(f"behaviour {self.name!r}: templates is one text: give a list of them")
        for template in self.templates:
            try:
                names = [name for _, name, _, _ in _FORMAT.parse(template) if name is not None]
            except ValueError as error:
                raise BadInput(f"behaviour {self.name!r}: {template!r} can't be read: {error}") from None
            if not all(name.isidentifier() for name in names):
                raise BadInput(f"behaviour {self.name!r}: a slot of {template!r} has no name: write {{thing}}")
            missing = [slot for slot in _slots_of(template) if slot not in self.slots]
            if missing:
                raise BadInput(f"behaviour {self.name!r}: slots has nothing for {{{missing[0]}}} of {template!r}")
            if self.varied is not None and self.varied not in _slots_of(template):
                raise BadInput(f"behaviour {self.name!r}: there is no {{{self.varied}}} in {template!r}")

    def filled(self, template: int) -> list[list[str]]:
        """Texts of one template: alone, or where a slot is varied in lists that should be decided alike."""
        text = self.templates[template]
        names = [slot for slot in _slots_of(text) if slot != self.varied]
        combinations = itertools.product(*(self.slots[name] for name in names))
        varied = [{}] if self.varied is None else [{self.varied: value} for value in self.slots[self.varied]]
        return [[text.format(**dict(zip(names, c, strict=True)), **v) for v in varied] for c in combinations]


_FORMAT = string.Formatter()


def _slots_of(template: str) -> list[str]:
    return list(dict.fromkeys(name for _, name, _, _ in _FORMAT.parse(template) if name))


@dataclass(frozen=True)
class Behaviours(Request):
    """How often the model breaks behaviours: those built in for its kind of rows, and the user's own.

    `rows`: of validation at most so many are changed. `cases`: at most so many of one template.
    """

    rows: int = 250
    cases: int = 12
    kind: ClassVar[str] = "behaviours"

    def label(self) -> str:
        return "stated behaviours"


@dataclass(frozen=True, eq=False)
class BehavioursData:
    """Answer to `Behaviours`: m cases of r relations.

    names, kinds (r): the relations, and how each is stated: "expected", "varied", "unchanged" or "toward".
    relation (m,): which one a case is of. unit (m,): its template, or its group of rows, by number. broke (m,): whether
    the model broke it. examples: by relation up to three cases that broke it, [given, expected, answered].
    left_out: relations that were not tried, and why.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    relation: Int[np.ndarray, " m"]
    unit: Int[np.ndarray, " m"]
    broke: Bool[np.ndarray, " m"]
    examples: dict[str, list[list[str]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
