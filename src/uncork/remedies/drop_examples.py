"""Leave out train rows whose label the rest of train contradicts, and train again.

What it does
------------
Takes the rows from a list (`treat(evidence={"drop": ids})`), or flags them from out-of-fold probabilities: given
(`evidence={"out_of_fold": (n, K) array}`), those of the audit's retrained models that have not seen the row, or made by
four-fold training. A row is flagged when some other class is given at least the probability that rows of that class get
on average, and more than any such class's, and the most likely class is not its label. Then trains again by the recipe
for the same number of steps.

Why it helps
------------
A wrong label can only be learnt by heart, and what surrounds it pays.

Control
-------
Training again, from the same seeds and for as many steps, without as many random rows. Training for longer, with the
compute of the folds, would only flatter the remedy: wrong labels take longer to learn than right ones.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where the model fits badly most flags are its own mistakes, and hard but right rows are lost: so the control. Rows of
rare classes are flagged too easily. Wrong labels in validation hide part of the gain.

References
----------
Northcutt, Jiang & Chuang, Confident learning, JAIR 70, 2021 (the thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.remedies._contract import Case, Treated, needs_recipe, remedy
from uncork.remedies._flagged import FOLDS, probabilities
from uncork.remedies._retrain import retrain_without, without_random_rows
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.subject import Subject
from uncork.stats.confident import flag


def listed(ids: Sequence[object], known: np.ndarray) -> np.ndarray:
    """Mask of the rows with these ids. Raises BadInput where an id is not one of train's."""
    wanted = {str(i) for i in ids}
    names = [str(i) for i in known]
    strangers = wanted - set(names)
    if strangers:
        raise BadInput(
            f"the list of rows to drop holds {sorted(strangers)[0]!r}, which is no id of train: "
            f"ids look like {names[0]!r} (positions from 0 where the split has no ids of its own)"
        )
    return np.array([name in wanted for name in names])


def price(subject: Subject, seeds: int) -> float:
    return FOLDS + 2.0 * seeds


@remedy(
    title="Leave out train rows whose label the rest contradicts",
    safety="checked",
    yardstick="metric",
    control=without_random_rows,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    needs_recipe(subject, "training again without some rows")
    if "drop" in case.artifacts:
        dropped, how, searched = listed(case.artifacts["drop"], subject.train.ids), "listed", 0
    else:
        probability, searched = probabilities(case)
        dropped, how = flag(probability, subject.train.y), "flagged by out-of-fold probabilities"
    if not dropped.any() or dropped.all():
        raise Unavailable("no row of train is contradicted by the rest" if not dropped.any() else "every row is listed")
    share = 100 * dropped.mean()
    changes = f"{int(dropped.sum())} rows ({share:.1f} %) left out of train, {how}"
    return retrain_without(case, dropped, changes, compute=1.0 + searched)
