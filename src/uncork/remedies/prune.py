"""Take channels out of the net that it can do without.

What it does
------------
Merges channels that repeat others on all rows of train, prunes the share that the audit found can go from each layer,
with all that depends on it, measures BatchNorm's statistics anew on train, and trains the smaller net on for a fifth of
the recipe's steps, by its learning rate and schedule.

Why it helps
------------
It gains no accuracy: a fraction of the channels takes less time and memory with every prediction.

Control
-------
The dense net with the same further steps: what the pruned one loses against it is pruning's doing. As many channels
pruned at random, and a small net from scratch, stand beside it in the finding.

Safety
------
checked: the pruned net decides differently. It is kept where it surely loses less than δ on validation and is surely
faster, timed side by side, and proven on test.

When it fails
-------------
Where rows are few, a loss below δ can't be told from one above it, and nothing is changed. Small layers take hardly
less time with fewer channels. Remedies that train by the recipe afterwards train a net of these sizes from scratch.

References
----------
Fang et al., DepGraph: towards any structural pruning, CVPR 2023. Renda et al., Comparing rewinding and fine-tuning in
neural network pruning, ICLR 2020. Liu et al., Rethinking the value of network pruning, ICLR 2019.
"""

from __future__ import annotations

from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._smaller import SHARE, made_smaller, trained_on
from uncork.schema.errors import Unavailable
from uncork.schema.redundant_channels import RedundancyData
from uncork.schema.subject import Subject


def price(subject: Subject, seeds: int) -> float:
    """Remedy and control are trained on."""
    return 2.0 * seeds * SHARE


@remedy(
    title="Prune channels that are not missed",
    safety="checked",
    yardstick="tolerance",
    control=trained_on,
    price=price,
    saves="latency",
)
def apply(case: Case) -> Treated:
    found: RedundancyData | None = case.artifacts.get("redundancy")
    if found is None:
        raise Unavailable("it is not known how much can go: audit with the probe redundant-channels")
    if not found.within:
        raise Unavailable(f"even {found.ratio:.0%} of the channels were missed in the rehearsal")
    what = f"{found.ratio:.0%} of the channels pruned" if found.ratio > 0 else "redundant channels merged"
    return made_smaller(case, found.importance, found.ratio, what)
