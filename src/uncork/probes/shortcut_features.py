"""Decisions follow one small part of the row, and are wrong where it speaks against the label.

What it measures
----------------
Which part decisions follow: each part of a row is taken from a row of another class, and beside it as much elsewhere.
Of pictures colour, edges, border, sixteen cells and fine detail; of texts the words that tell a class; of tables each
column. What that costs: errors that are right once the part is one of their own class. The error where a part speaks
against the label. And slices of a class that err more than the rest of it, found on one half of the rows and tested on
the other.

Why it limits the model
-----------------------
A net takes what tells the class most easily in train, be it the colour or a mark in a corner. It is right as long as
that holds, and wrong where it doesn't: first on the few rows that break the rule already, on all once the rule goes.

Estimator
---------
`followed`: share of decisions that become the class of the row that the part was taken from, less the same with as much
taken elsewhere (scattered pixels, another column, a word that tells nothing); 400 rows, two donors each. The part that
is followed most is judged: the shares of all parts hold together, and errors take no part in that choice. Headroom:
errors per 1,000 rows that are right with that part of another row of the own class, less those right with as much
elsewhere, where the part speaks against the label.
Both paired, t over rows or groups, a row added at either bound. Unless more than 8 % of decisions surely follow it,
nothing is proven of it, and the headroom's lower end is set to 0 or below: in any picture some cell tells more than
others (sound nets on digits follow one in 3 to 6 % of cases). Nor is anything proven of a table's column, which may
rightly decide.
`where_it_disagrees`, `where_it_agrees`: error where the part is, by the 15 most similar ones in train, another class's
than the label, and where it is the label's; Clopper-Pearson, over groups Korn-Graubard. The first is the worst group's.
`slice_excess`: errors per 1,000 that would go if a slice were as often right as the rest of its class, of the slice
that most surely has any; `slice_error` its error. Slices are clusters of a class in the model's features (16 principal
components), or in a table's columns; five are tested, their intervals hold together. Any model has harder rows: slices
do not judge. `planted_slices_found`: of twenty planted among these rows, the share found.

When it misleads
----------------
Whether a part should decide only its user knows: the colour of a fruit is no shortcut. Parts are of few kinds: what is
followed elsewhere is not seen, and what is only followed in company neither. Swapped rows are unlike any that the model
has seen. That few rows disagree makes the loss here small; where the rule no longer holds, `followed` tells what is at
stake. Rows of validation that were gathered like train's hide it best. Slices lie where the features lie together.

Remedies and their safety
-------------------------
`retrain-last-layer` (checked) fits the last layer anew on rows of validation in which the part tells nothing. `augment`
(checked). Rows in which the part and the label disagree, gathered for train (advice).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import a_pass, facts
>>> from uncork.testing.shortcut_features import shortcuts
>>> beside = {"validation": a_pass(2000, error=0.05), "facts": facts(), "rng": np.random.default_rng(0)}
>>> found = measure(shortcuts=shortcuts(parts={"colour": 0.4, "border": 0.0}), **beside)
>>> found.headroom.low > 5, found.estimates["where_it_disagrees"].value > 0.4
(True, True)
>>> measure(shortcuts=shortcuts(parts={"border": 0.0}, lost=0.0), **beside).headroom.high < 5
True

References
----------
Geirhos et al., Shortcut learning in deep neural networks, Nature Machine Intelligence 2, 2020. Sagawa et al.,
Distributionally robust neural networks for group shifts, ICLR 2020. Kirichenko, Izmailov & Wilson, Last layer
re-training is sufficient for robustness to spurious correlations, ICLR 2023. Eyuboglu et al., Domino: discovering
systematic errors with cross-modal embeddings, ICLR 2022. Chung et al., Slice finder, ICDE 2019.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.order import ordered
from uncork.derived.shortcuts import disagreeing, error_where, followed, most_followed, owed
from uncork.derived.sliced import in_slices
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData, Pass, PassData
from uncork.schema.finding import Detail, Estimate, Measurement, NotApplicable
from uncork.schema.shortcut_features import Shortcuts, ShortcutsData

RELIED = 0.08
FEWEST = 100


@probe(
    tier="defect",
    column="quality",
    title="No small part of the row is followed into errors",
    failure_title="Decisions follow a shortcut",
    requires={"shortcuts": Shortcuts(), "validation": Pass("validation", features=True), "facts": Facts()},
    remedies=("retrain-last-layer", "augment"),
    preview=True,
)
def measure(
    *, shortcuts: ShortcutsData, validation: PassData, facts: FactsData, rng: np.random.Generator
) -> Measurement | NotApplicable:
    if len(shortcuts) < FEWEST:
        return NotApplicable(f"{len(shortcuts)} rows: fewer than {FEWEST} tell nothing of parts and slices")
    if facts.metric.kind not in ("error", "accuracy"):
        return NotApplicable(f"headroom is counted in errors, the metric is {facts.metric.name}")
    c = most_followed(shortcuts)
    relied, cost = followed(shortcuts, c), owed(shortcuts, c)
    proven = shortcuts.suspect[c] and (relied.low or 0.0) > RELIED
    headroom = cost if proven or cost.low is None else replace(cost, low=min(cost.low, 0.0))
    estimates = {"followed": relied}
    known, against = shortcuts.says[c] >= 0, disagreeing(shortcuts, c)
    for name, rows in (("where_it_disagrees", known & against), ("where_it_agrees", known & ~against)):
        if rows.any():
            estimates[name] = error_where(shortcuts, rows)
    said = [
        f"Of all parts decisions follow {shortcuts.names[c]} most: {_share(relied)} of them go where it goes, beyond "
        f"as much elsewhere; {cost.value or 0.0:.1f}{interval(cost)} errors per 1,000 are owed to it."
    ]
    if "where_it_disagrees" in estimates:
        said.append(
            f"Where it speaks against the label ({100 * against.mean():.1f} % of rows) "
            f"{_share(estimates['where_it_disagrees'])} are wrong."
        )
    if not shortcuts.suspect[c]:
        said.append("Whether a column should decide only its user can tell.")
    said.append("Silence is not health: parts of other kinds are not tried.")
    sliced = in_slices(shortcuts, ordered(validation), facts.classes, rng)
    if sliced is not None:
        estimates |= sliced.estimates
        found = _share(sliced.estimates["planted_slices_found"])
        said.append(f"Of slices planted here {found} are found.")
    details = (_parts(shortcuts), *(sliced.details if sliced is not None else ()))
    return Measurement(estimates, headroom, details=details, summary=" ".join(said))


def _share(estimate: Estimate) -> str:
    return f"{100 * (estimate.value or 0.0):.1f} %{interval(estimate.scaled(100, '%'))}"


def _parts(data: ShortcutsData) -> Detail:
    rows = []
    for c in np.argsort(-(data.moved - data.moved_beside).mean(axis=1), kind="stable"):
        relied, cost, against = followed(data, int(c)), owed(data, int(c)), disagreeing(data, int(c))
        wrong = 100 * float(data.wrong[against].mean()) if against.any() else None
        shown = [None if v is None else round(100 * v, 1) for v in (relied.value, relied.low, relied.high)]
        costs = [None if v is None else round(v, 1) for v in (cost.value, cost.low, cost.high)]
        rows.append([data.names[c], *shown, *costs, int(against.sum()), None if wrong is None else round(wrong, 1)])
    columns = ["part", "decisions that follow it, %", "from", "to", "errors per 1,000 owed to it", "from", "to"]
    columns += ["rows where it disagrees", "of these wrong, %"]
    note = "Shares of decisions hold together; errors owed each alone."
    return Detail("table", "Parts of a row, by how far decisions follow them", {"columns": columns, "rows": rows}, note)
