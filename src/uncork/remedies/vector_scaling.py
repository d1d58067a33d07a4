"""Give each class's logit a factor and a number of its own.

What it does
------------
Fits, on one half of validation, a factor and a number to add for each class's log-probability, so that the log-loss is
least. Both are held to the temperature of least log-loss as strongly as does best on rows held out, three ways; where
the temperature alone does best, there is nothing to add and it is left at that.

Why it helps
------------
A net may be too sure of one class and not sure enough of another, as after training on other shares of classes or with
weights on them. One temperature can't mend both; isotonic regression can, but takes many more rows.

Control
-------
The same model with the temperature of least log-loss on the same rows: the further numbers must be worth having.

Safety
------
checked: a class's own factor and number move where it is preferred to another, so decisions change.

When it fails
-------------
Where few rows of a class were seen its numbers stay near the temperature's. What bends otherwise than by a power of
the probability it can't follow: `isotonic` can. It is judged by the log-loss on the other half of validation, and
dropped where that does not fall. After a shift it must be fitted again.

References
----------
Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, ICML 2017.
Kull et al., Beyond temperature scaling, NeurIPS 2019.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.temperature import best_temperature
from uncork.derived.vector_scaling import fit_vector_scaling
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.scaled import Scaled
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import no_training
from uncork.schema.errors import Unavailable


def tempered(case: Case, treated: Treated) -> Treated:
    """The control: one number from the same rows."""
    model, split = aligned(adapt(case.subject, case.task), case.classes), case.subject.validation
    temperature = best_temperature(logits_of(model, split), split.y)
    return Treated(case.subject.replace(model=Tempered(model, temperature)), f"one temperature, {temperature:.4g}")


@remedy(
    title="Scale each class's logit",
    safety="checked",
    yardstick="log-loss",
    control=tempered,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    if case.task != "classification":
        raise Unavailable("vector scaling needs class probabilities")
    subject, split = case.subject, case.subject.validation
    model = aligned(adapt(subject, case.task), case.classes)
    factor, added = fit_vector_scaling(logits_of(model, split), split.y, case.rng)
    if not np.ptp(factor) and not added.any():
        raise Unavailable(f"on {len(split)} rows of validation no class needs more than the temperature")
    return Treated(
        subject.replace(model=Scaled(model, factor, added)),
        changes=f"each class's log-probability times {factor.min():.3g} to {factor.max():.3g} and moved by "
        f"{added.min():.3g} to {added.max():.3g}, fitted on {len(split)} rows of validation",
    )
