"""The labels of train that look wrong, as a table that a person can correct and give back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uncork.derived.label_errors import flagged, ranking, suggested
from uncork.derived.out_of_sample import probabilities
from uncork.gather._contract import Context
from uncork.gather.store import write_atomically
from uncork.probes._contract import registered
from uncork.run.plan import Plan
from uncork.schema.artifacts import Request
from uncork.schema.pool import PoolData

NAME = "relabel.csv"


def write_suspects(folder: Path, context: Context, plan: Plan, artifacts: Mapping[Request, Any]) -> None:
    """Writes `relabel.csv`: a line for each flagged row of train, the most suspicious first; nothing where none is.

    Flagged by the part of the pool that wrong-labels was measured on, whatever else the pool was trained for.
    Columns: id of train, label (the suggested one, to be looked at), given, and how probable models that have not seen
    the row find each. `uncork treat --labels` takes it.
    """
    request = registered()["wrong-labels"].requires["pool"]
    pool: PoolData = plan.part(request, artifacts[plan.covering(request)])
    flags = flagged(pool)
    if not flags.any():
        return
    p, other, names = probabilities(pool), suggested(pool), context.facts.classes
    ids = context.split("train").ids
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "label", "given", "probability of label", "probability of given"])
    for i in (int(row) for row in ranking(pool) if flags[row]):
        new, old = int(other[i]), int(pool.y[i])
        chances = (np.format_float_positional(p[i, c], precision=4) for c in (new, old))
        table.writerow([ids[i], names[new], names[old], *chances])
    write_atomically(folder / NAME, text.getvalue())
