"""Weights and activations of sixteen bits.

What it does
------------
Runs the net in bfloat16 or float16, whichever is faster of those that lose no more than δ on 2,000 rows of train.

Why it helps
------------
Half the bytes to keep and to read. Processors with units for them (tensor cores, AMX) multiply them faster; others
convert back and forth.

Control
-------
The model as it stands, in 32 bits.

Safety
------
checked: rounding turns decisions near the boundary; judged on validation, proven on test. Calibration, the worst class
and the metric under noise are shown as side effects. No attack is tried.

When it fails
-------------
float16 overflows above 65,504; bfloat16 keeps 8 bits of each number. Where the machine is surely slower in both by more
than a tenth, nothing is changed, and the reason says by how much.

References
----------
Micikevicius et al., Mixed precision training, ICLR 2018. Kalamkar et al., A study of bfloat16 for deep learning
training, arXiv 1905.12322, 2019.
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from uncork.models.program import Program
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._faster import drawn, fastest, plain
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable

SLOWER = 0.9  # times as fast, below which half precision doesn't pay
WIDTHS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@remedy(
    title="Run in half precision",
    safety="checked",
    yardstick="tolerance",
    control=as_it_stands,
    price=no_training,
    combines=True,
    saves="bytes",
)
def apply(case: Case) -> Treated:
    model = plain(case)
    if not isinstance(model, TorchModel) or isinstance(model.module, Program):
        raise Unavailable(
            "half precision is for bare torch modules: programs and files keep the types they were made with"
        )
    example = drawn(case, 2, "example")
    batch = example.take(np.arange(len(example)))
    ways, missing = {}, []
    for name, width in WIDTHS.items():
        other = copy.copy(model)
        other.module = copy.deepcopy(model.module).to(width)
        try:
            other.outputs(batch)
        except Exception as why:  # of kernels, which may be missing, and of the user's own code: they share no base
            missing.append(f"{name}: {(str(why).strip().splitlines() or [type(why).__name__])[0]}")
        else:
            ways[name] = other
    if not ways:
        raise Unavailable(f"this net doesn't run in half precision: {'; '.join(missing)}")
    found = fastest(case, model, ways)
    factor = found.factor
    if factor.high is not None and factor.high < SLOWER:
        raise Unavailable(f"half precision doesn't pay on this machine ({found.tried})")
    return Treated(case.subject.replace(model=found.model), f"run in {found.name}", measured=found.tried)
