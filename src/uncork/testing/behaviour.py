"""Cases of stated behaviours, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncork.schema.behaviour import BehavioursData


def a_behaviour(
    *,
    expected: Mapping[str, float] | None = None,
    unchanged: Mapping[str, float] | None = None,
    templates: int = 10,
    cases: int = 12,
    rows: int = 250,
    spread: float = 0.0,
    seed: int = 0,
    **changes: Any,
) -> BehavioursData:
    """Relations on so many templates and on rows, each broken by a share of its cases: exactly, spread over them at
    random; with `spread` above 0 by chance, each template with a share of its own (beta, so correlated within).

    `changes`: fields of BehavioursData.
    """
    rng = np.random.default_rng((seed, 19))
    names: list[str] = []
    kinds: list[str] = []
    relation, unit, broke = [], [], []
    for kind, asked, each in (("expected", expected, cases), ("unchanged", unchanged, 1)):
        for name, of in (asked or {}).items():
            units = np.repeat(np.arange(templates if kind == "expected" else rows), each)
            if spread and 0 < of < 1:
                own = rng.beta(of / spread, (1 - of) / spread, units.max() + 1)
                hit = rng.random(len(units)) < own[units]
            else:
                hit = rng.permutation(len(units)) < round(of * len(units))
            relation.append(np.full(len(units), len(names)))
            names.append(name)
            kinds.append(kind)
            unit.append(units)
            broke.append(hit)
    known: dict[str, Any] = {
        "names": tuple(names),
        "kinds": tuple(kinds),
        "relation": np.concatenate(relation),
        "unit": np.concatenate(unit),
        "broke": np.concatenate(broke),
    }
    return BehavioursData(**{**known, **changes})
