"""Train a net 4 times as wide.

What it does
------------
Trains again with layers 4 times as wide, as `Recipe.build` makes them of its argument `width`, for the same number of
steps: what the audit's arm did.

Why it helps
------------
A net too narrow can't say what the rows would teach it, however long it is trained.

Control
-------
The recipe as it is for as many times the steps as the wide net has times the parameters: the same compute.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test. Every prediction takes more time
and memory from then on.

When it fails
-------------
Where the net has all the width it needs, it costs and gains nothing. A learning rate that suits the narrow net may be
too large for the wide one. How much longer a step of the wide net takes is guessed from parameters; on small nets it is
less than that.

References
----------
Belkin et al., Reconciling modern machine-learning practice and the classical bias–variance trade-off, PNAS 116, 2019.
Yang et al., Tuning large neural networks via zero-shot hyperparameter transfer, NeurIPS 2021.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import at_width, relative_size
from uncork.remedies._retrain import longer
from uncork.schema.subject import Subject

TIMES = 4.0


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * seeds * relative_size(subject, TIMES)


@remedy(
    title="Train a net 4 times as wide",
    safety="checked",
    yardstick="metric",
    control=longer,
    price=price,
)
def apply(case: Case) -> Treated:
    return at_width(case, TIMES)
