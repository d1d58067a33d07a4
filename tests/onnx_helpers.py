"""Small ONNX files, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

W = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
B = np.array([0.1, -0.2, 0.3], np.float32)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, outputs, domain=domain, **attributes)


def built(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **metadata: str) -> bytes:
    """`inputs`, `outputs`: (name, "float", shape) each; constants: weight (4, 3), bias (3,), column (4, 1)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def info(name: str, kind: str, shape: Sequence[Any]) -> Any:
        if kind == "map":
            of = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
            return helper.make_value_info(name, helper.make_sequence_type_proto(of))
        return helper.make_tensor_value_info(name, getattr(TensorProto, kind.upper()), shape)

    constants = [
        numpy_helper.from_array(value, name) for name, value in (("weight", W), ("bias", B), ("column", W[:, :1]))
    ]
    graph = helper.make_graph(nodes, "g", [info(*i) for i in inputs], [info(*o) for o in outputs], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def net(rows: int | str = "n", then: str = "Identity", **metadata: str) -> bytes:
    """x (rows, 4) → y (rows, 3), what the operator `then` makes of x w + b."""
    nodes = [node("Gemm", ["x", "weight", "bias"], ["z"]), node(then, ["z"], ["y"])]
    return built(nodes, [("x", "float", [rows, 4])], [("y", "float", [rows, 3])], **metadata)


def one_value(then: str = "Identity") -> bytes:
    """x (n, 4) → y (n, 1), what `then` makes of x v."""
    nodes = [node("MatMul", ["x", "column"], ["z"]), node(then, ["z"], ["y"])]
    return built(nodes, [("x", "float", ["n", 4])], [("y", "float", ["n", 1])])


def classifier(labels: Sequence[str], *, zipped: bool = True) -> bytes:
    """x w + b as skl2onnx writes a classifier: label, and probabilities or a map from classes to them for each row."""
    named, scores = (
        {"classlabels_strings": list(labels)},
        {"coefficients": W.T.ravel().tolist(), "intercepts": B.tolist()},
    )
    names = ["label", "probabilities"]
    nodes = [node("LinearClassifier", ["x"], names, "ai.onnx.ml", post_transform="SOFTMAX", **named, **scores)]
    outputs = [("label", "string", ["n"]), ("probabilities", "float", ["n", 3])]
    if zipped:
        nodes.append(node("ZipMap", ["probabilities"], ["by_class"], "ai.onnx.ml", **named))
        outputs[1] = ("by_class", "map", [])
    return built(nodes, [("x", "float", ["n", 4])], outputs)


def words(rows: Sequence[str], values: Sequence[float], names: Sequence[str] = ("word",)) -> bytes:
    """Strings of each input → their value, 0 of others: the inputs' sum s as logits (s, −s)."""
    looked = [
        node(
            "LabelEncoder", [name], [f"{name}_value"], "ai.onnx.ml",
            keys_strings=list(rows), values_floats=list(values), default_float=0.0,
        )
        for name in names
    ]  # fmt: skip
    nodes = [
        *looked,
        node("Sum", [f"{name}_value" for name in names], ["s"]),
        node("Neg", ["s"], ["t"]),
        node("Concat", ["s", "t"], ["logits"], axis=1),
    ]
    return built(nodes, [(name, "string", ["n", 1]) for name in names], [("logits", "float", ["n", 2])])
