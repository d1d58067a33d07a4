"""Simulated coverage: what a case is, when its coverage is accepted, and all the cases there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator

CHANCE = 1e-4  # of an interval that keeps its promise to leave its region, each cell
ROWS = (100, 1_000, 10_000)
ABOUT = 0.005  # how far below the nominal level "about" may be
BLOCK = 500  # draws that share one random stream

#: Whether the interval held the truth, and its half-width; None where it was undetermined.
Draw = tuple[bool, float] | None


@dataclass(frozen=True)
class Case:
    """One interval under one condition, at several sizes: simulated by `draw`, or worked out by `exact`.

    `draw(rng, size)`; `exact(size)` returns (coverage, mean half-width). `sizes`: rows, unless `table` says otherwise;
    equal in all cases of a table. `promise`: coverage of at least `level`, or of about `level`. `short`: coverage as it
    is known to be where that is less, by size, with the reason in `why`. `undetermined`: the share of draws that may
    have no interval, by size; none where it is not named.
    """

    name: str
    condition: str
    draw: Callable[[np.random.Generator, int], Draw] | None = None
    exact: Callable[[int], tuple[float, float]] | None = None
    sizes: tuple[int, ...] = ROWS
    promise: Literal["at least", "about"] = "at least"
    level: float = 0.95
    draws: int = 5_000
    table: str = "Rows"
    short: Mapping[int, float] = field(default_factory=dict)
    why: str = ""
    undetermined: Mapping[int, float] = field(default_factory=dict)

    @property
    def promised(self) -> float:
        return self.level - (ABOUT if self.promise == "about" else 0)

    def known(self, size: int) -> float:
        """The coverage that is promised or, where it falls short, known."""
        return self.short.get(size, self.promised)

    def outside(self, size: int, found: Cell) -> str:
        """What is wrong with a cell, in words; "" where it keeps what is promised, or known, of it."""
        allowed, drawn = self.undetermined.get(size, 0.0), found.draws + found.undetermined
        if drawn and stats.binom.sf(found.undetermined - 1, drawn, allowed) < CHANCE:
            return f"{found.undetermined} of {drawn} draws are undetermined"
        if found.below(self.known(size)):
            return f"covers {found.coverage:.3f} of {found.draws} draws"
        return ""


@dataclass(frozen=True)
class Cell:
    """What came of a case at one size. `draws`: those with an interval, 0 where the coverage is exact."""

    coverage: float
    half_width: float
    draws: int
    undetermined: int

    def below(self, rate: float) -> bool:
        """Whether the coverage lies below the binomial region of that rate."""
        if self.draws == 0:
            return self.coverage < rate - 1e-9
        return self.coverage * self.draws < stats.binom.ppf(CHANCE, self.draws, rate) - 1e-6


def held(estimate: Estimate, truth: float) -> Draw:
    if not estimate.determined:
        return None
    return estimate.low <= truth <= estimate.high, (estimate.high - estimate.low) / 2


def block(case: Case, size: int, which: int, draws: int) -> list[Draw]:
    """Draws of a case from the stream of their own block."""
    rng = generator(0, "coverage", case.name, case.condition, size, which)
    return [case.draw(rng, size) for _ in range(draws)]


def draws_at(draws: int, size: int) -> int:
    """How many of a case's draws are made at that size: fewer where each is costly and theory has least to fear."""
    return draws if size < 10_000 else draws * 2 // 5


def blocks(draws: int) -> list[int]:
    """How many draws stand in each block."""
    return [min(BLOCK, draws - start) for start in range(0, draws, BLOCK)]


def cell(found: list[Draw]) -> Cell:
    known = [d for d in found if d is not None]
    if not known:
        return Cell(np.nan, np.nan, 0, len(found))
    covered, half = (float(np.mean(column)) for column in zip(*known, strict=True))
    return Cell(covered, half, len(known), len(found) - len(known))


def simulate(case: Case, size: int, draws: int) -> Cell:
    """The whole cell, in this process."""
    if case.exact is not None:
        return Cell(*case.exact(size), draws=0, undetermined=0)
    return cell([d for which, many in enumerate(blocks(draws)) for d in block(case, size, which, many)])


def all_cases() -> tuple[Case, ...]:
    from coverage_cases import deviation, flags, guarantees, labels, means, pool, predicted, scores, seeds, shares

    modules = (shares, means, scores, guarantees, seeds, labels, predicted, pool, deviation, flags)
    return tuple(case for module in modules for case in module.CASES)
