"""Average the weights over the last quarter of training.

What it does
------------
Trains again for the same number of steps. Over the last quarter the learning rate stays what it is there, and the model
gets the mean of the weights after each of these steps. BatchNorm's statistics are then measured anew on train.

Why it helps
------------
At a learning rate that does not fall, the weights wander around a low and flat place of the loss; their mean lies
nearer its middle than any of them. It answers much as a mean of several models would, at the price of one.

Control
-------
The recipe as it is, from the same seeds: it takes as many steps.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
A rate that has fallen to nearly nothing by then leaves nothing to average; one so large that the weights still travel
gives a mean of places that have nothing in common. A schedule that ends at 0 may do as well. What other remedies train
afterwards is not averaged.

References
----------
Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018. Polyak & Juditsky,
Acceleration of stochastic approximation by averaging, SIAM J. Control and Optimization 30, 1992.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, needs_settings
from uncork.remedies._retrain import ByRecipe, two_trainings

SHARE = 0.25


@remedy(
    title="Average the weights over the last quarter of training",
    safety="checked",
    yardstick="metric",
    control=again,
    price=two_trainings,
    combines=True,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "averaging weights")
    steps = recipe.steps(len(case.subject.train))
    changes = f"weights averaged over the last {max(1, round(SHARE * steps))} of {steps} steps"
    return Treated(case.subject, changes, ByRecipe({"average": SHARE}), compute=1.0)
