"""Train a net 4 times narrower.

What it does
------------
Trains again with layers 4 times narrower, as `Recipe.build` makes them of its argument `width`, for the same number of
steps: what the audit's arm did.

Why it helps
------------
It gains no accuracy: a fraction of the parameters takes less time and memory with every prediction.

Control
-------
The recipe as it is, from the same seeds: what the narrow net loses against it is the width's doing.

Safety
------
checked: the retrained model decides differently. It is kept where it surely loses less than δ on validation, and proven
on test.

When it fails
-------------
Where rows are few, a loss below δ can't be told from one above it, and nothing is changed. Rare classes may pay for
what the mean does not show: see the side effects.

References
----------
Li et al., Pruning filters for efficient ConvNets, ICLR 2017. Liu et al., Rethinking the value of network pruning, ICLR
2019 (a small net trained from scratch does as well as a pruned one).
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, at_width
from uncork.remedies._retrain import two_trainings

TIMES = 0.25


@remedy(
    title="Train a net 4 times narrower",
    safety="checked",
    yardstick="tolerance",
    control=again,
    price=two_trainings,
    saves="bytes",
)
def apply(case: Case) -> Treated:
    return at_width(case, TIMES)
