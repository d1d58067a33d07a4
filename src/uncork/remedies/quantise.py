"""Weights and activations of eight bits.

What it does
------------
Writes the net as an ONNX file (one that is given as ONNX is taken as it is) and quantises it by onnxruntime in several
ways: ranges of activations set beforehand by 256 rows of train (static), as fused operators, as pairs of quantise and
dequantise, and with weights of seven bits, which processors without VNNI need, or by each batch's own (dynamic).
Weights get a scale for each channel. Of the ways that lose no more than δ on 2,000 rows of train the fastest one is
kept, timed side by side on this machine. Where none is surely faster than the same file in 32 bits, nothing is changed.

Why it helps
------------
Processors multiply four numbers of eight bits in the time of one of 32, and read a quarter of the memory.

Control
-------
The same net in 32 bits, run by onnxruntime too: the metric must surely not be worse by δ than either it or the model
before. What is saved is measured against the model before, so that it includes what onnxruntime saves over torch; what
eight bits save beside it is said.

Safety
------
checked: rounding turns decisions near the boundary; judged on validation, proven on test. Calibration, the worst class
and the metric under noise are shown as side effects. No attack is tried: audit the treated model for that.

When it fails
-------------
Ranges are set by the least and the largest value seen: one outlier makes all else coarse, as in transformers. Where a
processor has no fast products of eight bits, or rows are so small that the call costs most, 32 bits are as fast. There
are no features and no gradients in an ONNX file: what looks at them, as patches and some detectors of strangers do,
does not go with it. What is timed holds on this machine alone.

References
----------
Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018.
Nagel et al., A white paper on neural network quantization, arXiv 2106.08295, 2021.
"""

from __future__ import annotations

import numpy as np

from uncork.models.as_onnx import as_onnx, in_its_place
from uncork.models.base import Model
from uncork.models.onnx_inputs import feeds
from uncork.models.onnx_model import OnnxModel
from uncork.models.to_int8 import WAYS, int8_bytes
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._faster import Fastest, drawn, fastest, plain
from uncork.remedies._retrain import no_training
from uncork.schema.errors import BadInput, Unavailable

CALIBRATION, BATCH, EXAMPLE = 256, 32, 8


def in_32_bits(case: Case, treated: Treated) -> Treated:
    return Treated(case.subject.replace(model=_exported(case)[1]), "the same net by onnxruntime, in 32 bits")


@remedy(
    title="Quantise to eight bits",
    safety="checked",
    yardstick="tolerance",
    control=in_32_bits,
    price=no_training,
    combines=True,
    saves="latency",
)
def apply(case: Case) -> Treated:
    before, exported = _exported(case)
    found = _quantised(case, before, exported)
    if found.factor.low is None or found.factor.low <= 1:
        raise Unavailable(f"eight bits are not surely faster than 32 in onnxruntime on this machine: {found.tried}")
    factor = found.factor
    return Treated(
        case.subject.replace(model=found.model),
        f"int8, {found.name}",
        measured=f"eight bits are {factor.value:.2f} times as fast as 32 in onnxruntime ({factor.low:.2f} to "
        f"{factor.high:.2f}), of {_megabytes(found.model)} for {_megabytes(exported)} MB; {found.tried}",
    )


def _megabytes(model: Model) -> str:
    return f"{model.describe()['bytes'] / 1e6:.3g}"


def _quantised(case: Case, before: TorchModel | OnnxModel, exported: OnnxModel) -> Fastest:
    rows = drawn(case, CALIBRATION, "calibration")
    batches = []
    for start in range(0, len(rows), BATCH):
        batch = rows.take(np.arange(start, min(start + BATCH, len(rows))))
        made = batch if exported.preprocess is None else exported.preprocess(batch)
        batches.append(feeds(exported.inputs, made))
    ways, missing = {}, []
    for way in WAYS:
        try:
            ways[way] = in_its_place(int8_bytes(exported.file.content, batches, way), exported)
        except (BadInput, Unavailable) as why:  # it can't be written, or not be run
            missing.append(str(why))
    if not ways:
        raise Unavailable("; ".join(missing))
    return fastest(case, before, ways, {"32 bits": exported})


def _exported(case: Case) -> tuple[TorchModel | OnnxModel, OnnxModel]:
    """(the model as it stands, the same as an ONNX file in 32 bits). Raises Unavailable with the reason."""
    model = plain(case)
    if isinstance(model, TorchModel):
        example = drawn(case, EXAMPLE, "example")
        try:
            return model, as_onnx(model, example.take(np.arange(len(example))))
        except BadInput as error:  # of types that onnxruntime has no operators for
            raise Unavailable(str(error)) from error
    if not isinstance(model, OnnxModel):
        raise Unavailable(
            f"eight bits are for nets as torch modules or ONNX files: this is {model.describe()['kind']}; what was put "
            "around a net has to be fitted after it"
        )
    if model.batch_size:
        raise Unavailable(f"the ONNX file takes {model.batch_size} rows at once: export it with an open batch size")
    return model, model
