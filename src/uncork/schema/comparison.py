"""What `uncork diff` finds: is B really better than A?"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from uncork.schema.finding import Estimate

SCHEMA_VERSION = 1

Better = Literal["better", "worse", "can't tell"]


@dataclass(frozen=True)
class Difference:
    """What B gains over A, positive where B is better, and whether that settles the question.

    `of`: "models", these very ones, whose rows alone are drawn again; or "recipes", the two ways of training, whose
    seeds are drawn again too. `verdict`: of B. `negligible`: the interval lies within ±δ, whatever the verdict.
    `detectable`: the smallest true difference that these rows and seeds would have proven with probability .8.
    `rows_to_settle`, `seeds_to_settle` (of both sides together): at which a difference of the size found is proven as
    often; None where it is proven already, or no number would do.
    """

    of: Literal["models", "recipes"]
    gain: Estimate
    verdict: Better
    negligible: bool
    detectable: float | None = None
    rows_to_settle: int | None = None
    seeds_to_settle: int | None = None


@dataclass(frozen=True)
class Compared:
    """One side. `scores`: the metric of each of its models, with intervals over rows."""

    name: str
    scores: tuple[Estimate, ...]


@dataclass(frozen=True)
class Comparison:
    """B against A on the same rows.

    `on`: "tables" of the user's own, "validation" or "test". `opening`: which opening of these test rows it was, and
    `alpha` what it may spend; .05 elsewhere. `delta`: the smallest difference that matters, in `unit`.
    """

    a: Compared
    b: Compared
    metric: str
    unit: str
    delta: float
    on: Literal["tables", "validation", "test"]
    rows: int
    differences: tuple[Difference, ...]
    alpha: float = 0.05
    opening: int | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def verdict(self) -> Better:
        """Of B: of the recipes where seeds tell of them, else of the models."""
        return self.differences[-1].verdict

    def to_json(self) -> str:
        """Text of a JSON file: the fields, and the verdict."""
        content = {**dataclasses.asdict(self), "verdict": self.verdict}
        return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
