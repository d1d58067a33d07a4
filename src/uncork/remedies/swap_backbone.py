"""Answer by a linear head on another encoder's features.

What it does
------------
Takes the encoder that was found best inside train among `Subject.backbones`, fits a linear head on its features of all
of train (logistic or ridge regression, the penalty chosen on train), and answers by the two. Where training on was
found better there, encoder and head are then trained together by the recipe, from that head, at a tenth of its learning
rate. From then on it is what training again trains.

Why it helps
------------
Features learnt from far more rows than train has make classes separable that a net of its own would confuse.

Control
-------
The model trained again as it is, from the same seeds; without a recipe the model as it stands.

Safety
------
checked: another model decides; judged on validation, proven on test. An encoder that uncork can't save is said to be
unsaved in treated.json: the head is kept, the encoder is for you to bring.

When it fails
-------------
Where the backbone's own training held rows of validation or test, the proof is void: no audit can see that. It may be
slower and larger than the model by far: see its size and speed beside the gain.

References
----------
Kornblith, Shlens & Le, Do better ImageNet models transfer better?, CVPR 2019. Kumar et al., Fine-tuning can distort
pretrained features, ICLR 2022.
"""

from __future__ import annotations

from uncork.models.on_features import as_encoder
from uncork.remedies._contract import Case, Treated, refuse_undoing, remedy
from uncork.remedies._retrain import ByRecipe, two_trainings
from uncork.remedies.swap_family import control
from uncork.schema.errors import Unavailable
from uncork.schema.poor_transfer import TransferData
from uncork.train.linear_head import HeadRecipe


@remedy(
    title="Answer by a head on another encoder's features",
    safety="checked",
    yardstick="metric",
    control=control,
    price=two_trainings,
)
def apply(case: Case) -> Treated:
    found: TransferData | None = case.artifacts.get("transfer")
    if found is None:
        raise Unavailable("no backbone was tried: audit with the probe poor-transfer")
    subject = case.subject
    backbone = (subject.backbones or {}).get(found.winner)
    if backbone is None or subject.train is None:
        raise Unavailable(f"the backbone {found.winner!r} or train is no longer there: give Subject(backbones=...)")
    refuse_undoing(subject)
    encoder = as_encoder(backbone, subject.preprocess)
    tuned = subject.recipe if found.how == "fine-tuned" else None
    classes = case.n_classes if case.task == "classification" else 0
    recipe = HeadRecipe(case.task, classes, encoder, tuned)
    return Treated(
        subject.replace(recipe=recipe, preprocess=None, features=None),
        f"a linear head on features of {found.winner}, {found.how}, fitted on {len(subject.train)} rows of train",
        ByRecipe(),
        compute=1.0,
    )
