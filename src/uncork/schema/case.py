"""Everything known about one case: what `uncork explain` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uncork.schema.finding import Detail, Estimate


@dataclass(frozen=True)
class Picture:
    """`rgb`: height × width × 3 bytes."""

    height: int
    width: int
    rgb: bytes


@dataclass(frozen=True)
class Shown:
    """A row as it can be shown: a picture, a text, or (column, value) pairs."""

    picture: Picture | None = None
    text: str = ""
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Near:
    """A row near the case. `decided`: by the model; "" where that was not looked at. `distance`: in the space named."""

    id: str
    label: str
    decided: str
    distance: float
    shown: Shown


@dataclass(frozen=True)
class Map:
    """One method's account of the decision. `picture`: of a picture; `bars`: (column, share of the largest) else.

    kept, by_method, by_chance: probability of the decided class with nothing replaced, with the `share` of the parts
    that are ranked first replaced by the baseline, and with as many random ones (mean of nine ranks); None in a
    regression. `standing`: of the method on the run's sample, where the run measured it.
    """

    method: str
    picture: Picture | None
    bars: tuple[tuple[str, float], ...]
    share: float
    kept: float | None
    by_method: float | None
    by_chance: float | None
    standing: Estimate | None = None


@dataclass(frozen=True)
class Odds:
    """A class with its probability, as the model says it and calibrated."""

    name: str
    probability: float
    calibrated: float
    in_set: bool


@dataclass(frozen=True)
class Attack:
    """The smallest change found that turns the decision. `size`: in the declared norm, units of x; None where none was
    found within `most`. `became`: the class decided then."""

    norm: str
    size: float | None
    most: float
    became: str
    shown: Shown | None = None


@dataclass(frozen=True)
class Case:
    """One row of one run.

    `decided`: class, or predicted value; `answered`: False where the model hands the row over instead. `odds`: most
    probable first, all classes of the set and at least five. `temperature`: fitted on the other rows of validation.
    `within`: of a regression, the interval at `coverage`. `set_of`: rows that set or interval were calibrated on.
    `space`: what distances are in. `votes`: by class, of the `members` models retrained on `trained_on`. `where`: map
    of validation with the case. `absent`: sections that could not be made, by name, with the reason.
    """

    run: str
    name: str
    split: str
    id: str
    label: str
    decided: str
    right: bool | None
    answered: bool
    odds: tuple[Odds, ...]
    temperature: float | None
    coverage: float
    set_of: int
    within: tuple[float, float] | None
    shown: Shown
    space: str
    neighbours: tuple[Near, ...]
    mistakes: tuple[Near, ...]
    baseline: str
    maps: tuple[Map, ...]
    members: int
    trained_on: str
    votes: Mapping[str, int]
    attack: Attack | None
    where: Detail | None
    absent: Mapping[str, str] = field(default_factory=dict)
