"""Measure BatchNorm's statistics anew on shifted rows.

What it does
------------
Runs the net over a third of the shifted rows, without their labels, and measures the mean and variance of each
BatchNorm layer there. They are mixed with those there were, which count as much as 16 rows. No weight changes.

Why it helps
------------
Light, contrast or a scanner move what layers put out away from the mean and variance that they were trained to be
normalised by. Statistics of the new rows move it back.

Control
-------
The same with as many random rows of train, or of validation where there is no train.

Safety
------
checked: the net decides differently on all rows. It is judged on another third of the shifted rows and proven on the
last; what that costs on the old ones is shown.

When it fails
-------------
Where the shares of the classes differ, statistics take that for a change of light. With few rows they are guesses. The
net is then one for the new rows: what is normalised by them no longer suits the old.

References
----------
Schneider et al., Improving robustness against common corruptions by covariate shift adaptation, NeurIPS 2020. Li et
al., Adaptive batch normalization for practical domain adaptation, Pattern Recognition 80, 2018.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from uncork.data.split import Split
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import no_training
from uncork.remedies._shifted import module_of, shifted_rows
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.train.loop import epoch_batches, settle_norms

PRIOR = 16  # rows that the old statistics count as
BATCH = 128
MOST = 5_000  # rows


def on_old_rows(case: Case, treated: Treated) -> Treated:
    """As many random rows of train, or of validation."""
    subject = case.subject
    name = "validation" if subject.train is None else "train"
    old: Split = getattr(subject, name)
    rows = np.sort(generator(case.seed, "old rows").permutation(len(old))[: treated.amount])
    return adapted(case, old.subset(rows), f"{len(rows)} random rows of {name}")


@remedy(
    title="Measure BatchNorm's statistics anew",
    safety="checked",
    yardstick="shifted",
    control=on_old_rows,
    price=no_training,
    on_request=True,
)
def apply(case: Case) -> Treated:
    shifted = shifted_rows(case)
    rows = np.sort(generator(case.seed, "shifted rows").permutation(len(shifted))[:MOST])
    return adapted(case, shifted.subset(rows), f"{len(rows)} shifted rows, without labels")


@torch.no_grad()
def adapted(case: Case, split: Split, what: str) -> Treated:
    """The net with statistics of these rows, in a copy."""
    module = copy.deepcopy(module_of(case, "adapting BatchNorm"))
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None]
    if not norms:
        raise Unavailable("the net has no BatchNorm layers with running statistics")
    statistics = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var) if tensor is not None]
    old = [tensor.clone() for tensor in statistics]

    def outputs(rows: np.ndarray) -> None:
        call(module, place(to_tensors(split.take(rows), case.subject.preprocess), reference(module)))

    settle_norms(module, outputs, epoch_batches(len(split), BATCH, case.seed, epoch=0))
    for tensor, before in zip(statistics, old, strict=True):
        tensor.lerp_(before, PRIOR / (PRIOR + len(split)))
    changes = f"statistics of {len(norms)} BatchNorm layers measured anew on {what}"
    return Treated(case.subject.replace(model=module.eval()), changes, amount=len(split))
