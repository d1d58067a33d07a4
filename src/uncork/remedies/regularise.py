"""Train with more weight decay.

What it does
------------
Trains again with 30 times the weight decay where it gained in the audit's models of all of train. Otherwise with 10 or
30 times as much, whichever leaves the lower loss on a fifth of train that is held out while choosing (classes balanced,
groups together; log-loss at its best temperature), for the same number of steps.

Why it helps
------------
Small weights can't learn single rows by heart, and what is not learnt by heart is learnt from all rows alike.

Control
-------
The recipe as it is, from the same seeds. Training for longer, with the compute of choosing, would only flatter the
remedy.

Safety
------
checked: the retrained model decides differently; judged on validation, proven on test.

When it fails
-------------
Where neither lowers the held-out loss by more than a standard error it says so, and is not applied. A net whose layers
are all followed by a norm answers alike at any size of its weights; there weight decay acts as a learning rate. Wrong
labels are better mended than smoothed over: `relabel`, `drop-examples`.

References
----------
Krogh & Hertz, A simple weight decay can improve generalization, NeurIPS 1991. Loshchilov & Hutter, Decoupled weight
decay regularization, ICLR 2019. Zhang et al., Three mechanisms of weight decay regularization, ICLR 2019.
"""

from __future__ import annotations

from uncork.derived.arms import confirmed
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import again, best_held_out, needs_settings
from uncork.remedies._retrain import retrained
from uncork.schema.errors import Unavailable
from uncork.schema.subject import Subject

TIMES = (10, 30)
ARM = "decay-x30"


def _confirmed(case: Case) -> bool:
    """Whether the arm gained at full size, on validation."""
    pool = case.artifacts.get("pool")
    if pool is None:
        return False
    answer = confirmed(pool, case.subject.metric, "regularisation")
    return answer.arm == ARM and answer.gain is not None and (answer.gain.value or 0.0) > 0


def price(subject: Subject, seeds: int) -> float:
    return 1 + len(TIMES) + 2.0 * seeds


@remedy(
    title="Train with more weight decay",
    safety="checked",
    yardstick="metric",
    control=again,
    price=price,
    as_is=True,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training with more weight decay")
    if _confirmed(case):
        times, how, searched = TIMES[-1], "as confirmed by the audit", 0
    else:
        best, searched = best_held_out(case, [recipe, *(recipe.decayed(times) for times in TIMES)]), 1 + len(TIMES)
        if best == 0:
            raise Unavailable("neither 10 nor 30 times the weight decay lowers the loss on a held-out fifth of train")
        times, how = TIMES[best - 1], "chosen by the loss on a fifth of train"
    other = recipe.decayed(times)
    changes = f"{times} times the weight decay ({other.weight_decay:g}), {how}"
    return retrained(case, changes, compute=1.0 + searched, recipe=other)
