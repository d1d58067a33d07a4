"""Map every probability to the share of labels that it went with.

What it does
------------
Fits an isotonic regression of each class against the rest on one half of validation, and maps the probabilities by it
from then on; they are divided by their sum. Of two classes one map does.

Why it helps
------------
A net may be too sure of one class and not sure enough of another, or off only where it is unsure. A map that only has
to rise follows any of it, where a temperature has one number for all.

Control
-------
The same model without the map: fitting it costs no training that a control could spend otherwise.

Safety
------
checked: the map of a class moves where it is preferred to another, so decisions change.

When it fails
-------------
It takes many rows: fewer than 1,000 to fit on are refused, and rare classes need more. Between its steps rows that
differed become alike, so that AUC can fall. A class that was not seen below some probability gets 1 / (rows + 2)
there. It is judged by the log-loss on the other half of validation, and dropped where that does not fall, as where a
temperature was kept that leaves nothing to mend. After a shift it must be fitted again.

References
----------
Zadrozny & Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002.
Niculescu-Mizil & Caruana, Predicting good probabilities with supervised learning, ICML 2005.
"""

from __future__ import annotations

from uncork.derived.isotonic import fit_isotonic
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import logits_of
from uncork.models.isotonic import Isotonic
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable

#: Below about as many isotonic regression fits chance, and a temperature does better (Niculescu-Mizil & Caruana, 2005).
LEAST_ROWS = 1000


@remedy(
    title="Map the probabilities by isotonic regression",
    safety="checked",
    yardstick="log-loss",
    control=as_it_stands,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    if case.task != "classification":
        raise Unavailable("isotonic regression needs class probabilities")
    subject = case.subject
    split = subject.validation
    if len(split) < LEAST_ROWS:
        raise Unavailable(
            f"isotonic regression needs {LEAST_ROWS:,} rows to fit on, and half of validation has {len(split):,}: "
            f"give some more than {2 * LEAST_ROWS:,} rows of validation"
        )
    model = aligned(adapt(subject, case.task), case.classes)
    logits = logits_of(model, split)
    knots = fit_isotonic(logits, split.y, model.n_outputs)
    return Treated(
        subject.replace(model=Isotonic(model, knots, len(split))),
        changes=f"probabilities mapped by isotonic regression, fitted on {len(split)} rows of validation",
    )
