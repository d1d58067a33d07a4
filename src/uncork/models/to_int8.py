"""An ONNX file with weights, and activations, of eight bits."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from uncork.schema.errors import MissingExtra, Unavailable

#: How numbers are made of eight bits: of activations by ranges that calibration rows have set, or by each batch's own.
WAYS = ("static", "static, quantise and dequantise", "static, weights of 7 bits", "dynamic")


def int8_bytes(content: bytes, batches: Sequence[Mapping[str, np.ndarray]], way: str) -> bytes:
    """The file in eight bits by one of `WAYS`, its weights inside.

    Weights are signed, with a scale for each channel, activations unsigned: what processors with VNNI multiply at once.
    Without VNNI sums of such products may overflow, which weights of 7 bits don't. `batches`: {input: array} that set
    the ranges of activations, from the least to the largest value; not needed by "dynamic". Raises MissingExtra without
    the extra `export`, Unavailable where onnxruntime can't quantise the file, or nothing in it.
    """
    try:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise MissingExtra("export", "quantising to eight bits") from None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given, ready, made = (str(Path(folder) / f"{name}.onnx") for name in ("given", "ready", "made"))
        Path(given).write_bytes(content)
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            # Without it onnxruntime refuses files of torch's exporter; its symbolic shapes fail on many.
            quant_pre_process(given, ready, skip_symbolic_shape=True)
            if way == "dynamic":
                quantize_dynamic(ready, made, per_channel=True, weight_type=QuantType.QInt8)
            else:
                quantize_static(
                    ready,
                    made,
                    _Calibration(batches),
                    quant_format=QuantFormat.QDQ if way == WAYS[1] else QuantFormat.QOperator,
                    per_channel=True,
                    reduce_range=way == WAYS[2],
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
            quantised = Path(made).read_bytes()
        except Exception as error:  # onnxruntime's own share no base
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Unavailable(f"onnxruntime can't quantise this file ({way}): {first}") from error
        finally:
            logging.disable(before)
    if not _has_int8(quantised):
        raise Unavailable(f"onnxruntime finds no weights of 32 bits in this file that it could quantise ({way})")
    return quantised


def _has_int8(content: bytes) -> bool:
    import onnx

    weights = onnx.load_model_from_string(content).graph.initializer
    return any(weight.data_type == onnx.TensorProto.INT8 for weight in weights)


class _Calibration:
    """A reader of calibration rows, as onnxruntime wants one."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else dict(batch)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return iter(self.get_next, None)
