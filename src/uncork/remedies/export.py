"""Run the net by onnxruntime, as an ONNX file.

What it does
------------
Exports the torch module by torch's exporter, with rows left open, and runs the file by onnxruntime on the processor.

Why it helps
------------
The graph is known before it runs: operators are fused, memory is planned, and no Python stands between them. Small nets
and single rows gain most.

Control
-------
The model as it stands, run by torch.

Safety
------
checked: sums in another order move logits by their last digits, which may turn a row that stands on the boundary;
judged on validation, proven on test. It is kept where it surely saves time on this machine.

When it fails
-------------
Code that hangs on the values can't be exported. Large batches of large layers take as long in both. Other processors
and devices have other kernels.

References
----------
ONNX Runtime, https://onnxruntime.ai. Ansel et al., PyTorch 2, ASPLOS 2024 (the graph that is exported).
"""

from __future__ import annotations

import numpy as np

from uncork.models.adapt import adapt
from uncork.models.as_onnx import as_onnx
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import as_it_stands, no_training
from uncork.schema.errors import Unavailable

EXAMPLE = 8


@remedy(
    title="Run the net by onnxruntime",
    safety="checked",
    yardstick="tolerance",
    control=as_it_stands,
    price=no_training,
    combines=True,
    saves="latency",
)
def apply(case: Case) -> Treated:
    model, validation = adapt(case.subject, case.task), case.subject.validation
    if not isinstance(model, TorchModel):
        raise Unavailable(
            f"what onnxruntime can run instead is a bare torch module: this is {model.describe()['kind']}, or has "
            "something around it that was fitted to it"
        )
    exported = as_onnx(model, validation.take(np.arange(min(EXAMPLE, len(validation)))))
    return Treated(case.subject.replace(model=exported), "run by onnxruntime")
