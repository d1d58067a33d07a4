"""Train with the optimiser that reached the same loss sooner.

What it does
------------
Trains again with the optimiser and the learning rate that came out best beside the recipe's own, for as many steps as
fit into the recipe's wall time at the pace that was measured.

Why it helps
------------
Steps that are scaled to how the loss bends make way in all directions at once.

Control
-------
The recipe as it is, for the wall time of its own: as long as the remedy trains.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where the recipe's rate was as good as any, all optimisers end at the same loss, and nothing is gained but time. The
pace was measured on this machine. What the probe found on a few rates may not be the best of either.

References
----------
Liu et al., Muon is scalable for LLM training, arXiv 2502.16982, 2025. Vyas et al., SOAP: improving and stabilizing
Shampoo using Adam, ICLR 2025.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, needs_settings
from uncork.remedies._retrain import ByRecipe, two_trainings
from uncork.schema.descents import DescentsData
from uncork.schema.errors import Unavailable


@remedy(
    title="Train with a preconditioned optimiser",
    safety="checked",
    yardstick="metric",
    control=again,
    price=two_trainings,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training with another optimiser")
    found: DescentsData | None = case.artifacts.get("descents")
    if found is None or len(found.finalists) < 2:
        raise Unavailable("no other optimiser was tried: audit with the probe ill-conditioning")
    at = int(found.finalists[1])
    other = recipe.replace(optimizer=found.names[at], lr=float(found.rates[at, found.chosen[at]]))
    steps = int(found.steps[at])
    changes = (
        f"{other.optimizer} at a learning rate of {other.lr:.3g} instead of {recipe.optimizer} at {recipe.lr:.3g}, "
        f"{steps} steps in the wall time of {recipe.steps(len(case.subject.train))}"
    )
    return Treated(case.subject.replace(recipe=other), changes, ByRecipe({"steps": steps}), compute=1.0)
