"""Train the encoder on unlabelled rows first, by telling views of a row from views of others.

What it does
------------
Trains the recipe's net, but for its last layer, on the rows of train and `unlabelled` without their labels: of tables
a row and the row with 60 % of its columns from others (SCARF), of pictures up to 64 × 64 two that are turned, sheared,
moved and zoomed by a little (SimCLR), 256 rows at a time, 15 times over all of them (300 to 3,000 steps). A linear head
is then fitted on train, and the recipe trains net and head for as many steps as before, at a tenth of its learning
rate, so that what was learnt is not lost.

Why it helps
------------
What inputs look like, and which differences between them don't matter, can be learnt without labels. The few there are
have then less to teach.

Control
-------
The same with the rows of train alone, for as many steps: what is gained over it is owed to the unlabelled rows.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where views change the label: digits that are mirrored, objects cut out, columns whose every value matters. On
unlabelled rows of another kind than train. With labels enough it gains nothing. Texts have no views here.

References
----------
Bahri et al., SCARF, ICLR 2022. Chen, Kornblith, Norouzi & Hinton, SimCLR, ICML 2020. Oliver et al., Realistic
evaluation of deep semi-supervised learning algorithms, NeurIPS 2018.
"""

from __future__ import annotations

from uncork.data.split import Split
from uncork.remedies._contract import Case, Treated, needs_recipe, refuse_undoing, remedy
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.subject import Subject
from uncork.train.recipe import Recipe
from uncork.train.self_supervised import BATCH, Pretraining, steps_on


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * seeds * _compute(subject)


def control(case: Case, treated: Treated) -> Treated:
    train = treated.train
    assert isinstance(train, Pretraining)
    changes = f"trained on rows of train alone, without labels, for {train.steps} steps first"
    return Treated(case.subject, changes, Pretraining(None, train.steps), compute=treated.compute)


@remedy(
    title="Train the encoder on unlabelled rows first",
    safety="checked",
    yardstick="metric",
    control=control,
    price=price,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if subject.unlabelled is None:
        raise Unavailable("there are no unlabelled rows: give Subject(unlabelled=Split(x))")
    if not isinstance(subject.unlabelled, Split):
        raise BadInput(f"unlabelled is of type {type(subject.unlabelled).__name__}: wrap it, unlabelled=Split(x)")
    needs_recipe(subject, "training on unlabelled rows")
    if not isinstance(subject.recipe, Recipe):
        raise Unavailable("the recipe is a callable, whose net can't be trained on first: give a Recipe")
    refuse_undoing(subject)
    rows = len(subject.train) + len(subject.unlabelled)
    steps = steps_on(rows)
    changes = f"trained on {rows} rows without labels for {steps} steps first"
    return Treated(
        subject,
        changes,
        Pretraining(subject.unlabelled, steps),
        compute=_compute(subject),
        amount=len(subject.unlabelled),
    )


def _compute(subject: Subject) -> float:
    """In trainings: two views of 256 rows a step, and the training itself."""
    recipe, more = subject.recipe, subject.unlabelled
    if not isinstance(recipe, Recipe) or subject.train is None or more is None:
        return 1.0
    first = 2 * BATCH * steps_on(len(subject.train) + len(more))
    return 1.0 + first / (recipe.batch_size * recipe.steps(len(subject.train)))
