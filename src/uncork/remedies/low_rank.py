"""Put two thin layers in the place of one.

What it does
------------
Takes the weights of linear layers and convolutions apart by their singular values and keeps the largest: a layer
becomes one into few channels and one out of them, where that takes fewer operations. How much of the squared singular
values stays (99, 95, 90 or 80 %) is chosen in a rehearsal inside train: the least that loses no more than δ. The net
is then trained on for a fifth of the recipe's steps, by its learning rate and schedule.

Why it helps
------------
It gains no accuracy: what a layer does is often nearly of a lower rank than it could be, and then fewer
multiplications do it.

Control
-------
The dense net with the same further steps; what the rehearsal took chose a rank, and would not improve it.

Safety
------
checked: the net decides differently. It is kept where it surely loses less than δ on validation and is surely faster,
timed side by side, and proven on test.

When it fails
-------------
Two layers have twice the overhead of one: small layers become slower, whatever the operations. Layers whose singular
values fall slowly, as in nets that are none too wide, can't be cut far.

References
----------
Zhang et al., Accelerating very deep convolutional networks for classification and detection, TPAMI 38, 2016. Denton et
al., Exploiting linear structure within convolutional networks for efficient evaluation, NeurIPS 2014.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._smaller import LOW_RANK, SHARE, made_smaller, rehearse, setting_of, trained_on
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject

ENERGIES = (0.99, 0.95, 0.9, 0.8)


def price(subject: Subject, seeds: int) -> float:
    """The rehearsal, and remedy and control trained on."""
    return 1.0 + SHARE * (1 + len(ENERGIES) + 2.0 * seeds)


@remedy(
    title="Take layers apart into two of low rank",
    safety="checked",
    yardstick="tolerance",
    control=trained_on,
    price=price,
    as_is=True,
    saves="latency",
)
def apply(case: Case) -> Treated:
    setting = setting_of(case.subject, case.task, case.seed)
    candidates = [(LOW_RANK, energy) for energy in ENERGIES]
    within = rehearse(candidates, case.subject.train, case.subject.metric, setting, case.fan).within()
    if not len(within):
        raise Unavailable("no layer could be taken apart without being missed in the rehearsal")
    energy = ENERGIES[within[-1]]
    spent = 1.0 + SHARE * (1 + len(ENERGIES))
    return made_smaller(
        case, LOW_RANK, energy, f"layers in two parts that keep {energy:.0%} of their squared values", spent
    )
