"""What the model says as an ONNX file, run by onnxruntime, beside what it says itself.

What it gathers
---------------
The torch module is exported by torch's exporter with rows left open, and both are run on every row of the split: the
class that each decides for, and the largest difference of a row's logits. The same for a file in eight bits, whose
ranges are set by 256 rows of train. On the first 64 rows the file is run again, and by one, by seven and by 64.

How it streams
--------------
Batch by batch; of each row two classes and a difference are kept.

What it costs
-------------
An export, a quantisation and four passes over the split.
"""

from __future__ import annotations

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.as_onnx import as_onnx, in_its_place
from uncork.models.base import Model
from uncork.models.onnx_inputs import feeds
from uncork.models.onnx_model import OnnxModel
from uncork.models.to_int8 import WAYS, int8_bytes
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable
from uncork.schema.exported import Exported, ExportedData

SIZES, FEW = (1, 7, 64), 64
CALIBRATION, BATCH = 256, 32
SECONDS = 10.0  # of export and quantisation


def price(request: Exported, context: Context) -> float:
    return SECONDS + 4 * context.seconds_per_row * len(context.split(request.split))


@gatherer(Exported, price=price)
def gather(request: Exported, context: Context) -> ExportedData:
    model, split = context.model, context.split(request.split)
    if isinstance(model, OnnxModel):
        raise Unavailable("the model is an ONNX file already: give the torch module that it was exported from")
    if not isinstance(model, TorchModel):
        raise Unavailable(
            f"what is exported is a bare torch module, and this model is {model.describe()['kind']} or has something "
            "around it: export compares those itself"
        )
    if len(split) < 2:
        raise Unavailable(f"{request.split} holds one row: an exporter needs two")
    file = as_onnx(model, split.take(np.arange(min(len(split), BATCH))))
    small, why = _in_int8(file, context)
    others: list[OnnxModel] = [file] if small is None else [file, small]
    models: list[Model] = [model, *others]
    whole: list[list[np.ndarray]] = [[] for _ in others]
    decided: list[list[np.ndarray]] = [[] for _ in models]
    squares = total = count = 0.0
    for _, batch in split.batches(context.batch_size):
        own, *theirs = (each.outputs(batch).logits.astype(np.float64) for each in models)
        for known, logits in zip(decided, (own, *theirs), strict=True):
            known.append(logits.argmax(axis=1))
        for gaps, logits in zip(whole, theirs, strict=True):
            gaps.append(np.nan_to_num(np.abs(logits - own).max(axis=1), nan=np.inf, posinf=np.inf).astype(np.float32))
        squares, total, count = squares + float((own**2).sum()), total + float(own.sum()), count + own.size
    few = split.subset(np.arange(min(len(split), FEW)))
    usual = _outputs(file, few, context.batch_size)
    classes = [np.concatenate(known) for known in decided]
    gaps_of = [np.concatenate(gaps) for gaps in whole]
    return ExportedData(
        decided=np.stack(classes[:2], axis=1),
        gap=gaps_of[0],
        spread=float(np.sqrt(max(0.0, squares / count - (total / count) ** 2))),
        decided_int8=classes[2] if small else np.zeros(0, np.int64),
        gap_int8=gaps_of[1] if small else np.zeros(0, np.float32),
        why_no_int8=why,
        clusters=np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1],
        sizes=np.array(SIZES),
        by_size=np.array([np.abs(_outputs(file, few, size) - usual).max() for size in SIZES], np.float32),
        few=len(few),
        again=float(np.abs(_outputs(file, few, context.batch_size) - usual).max()),
        bytes=len(file.file.content),
        bytes_int8=len(small.file.content) if small else 0,
    )


def _in_int8(file: OnnxModel, context: Context) -> tuple[OnnxModel | None, str]:
    """(the file in eight bits, why there is none)."""
    train = context.subject.train
    if train is None:
        return None, "its ranges are set on rows of train, and none were given"
    rows = train.subset(sample(train, CALIBRATION, context.seed, "exported"))
    batches = []
    for _, batch in rows.batches(BATCH):
        made = batch if file.preprocess is None else file.preprocess(batch)
        batches.append(feeds(file.inputs, made))
    try:
        return in_its_place(int8_bytes(file.file.content, batches, WAYS[0]), file), ""
    except Unavailable as error:
        return None, str(error)


def _outputs(model: Model, split: Split, size: int) -> np.ndarray:
    return np.concatenate([model.outputs(batch).logits for _, batch in split.batches(size)])
