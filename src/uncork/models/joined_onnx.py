"""ONNX files put together into one: nets at the bottom, and what was exported around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uncork.models.onnx_model import OnnxModel
from uncork.schema.errors import Unavailable


@dataclass(frozen=True, eq=False)
class Bottom:
    """A file whose outputs are inputs of another. `front`: content of the file that makes its inputs, in their order.

    `outputs`: those of the file that are read, by the name of the input of the file on top that each becomes.
    """

    model: OnnxModel
    front: bytes
    outputs: Mapping[str, str]


def joined(whole: bytes, bottoms: Sequence[Bottom], metadata: Mapping[str, str]) -> bytes:
    """The content of one file: `whole` on top of what is at the bottom. Inputs of one name are one input.

    Raises Unavailable where the files use versions of operators that can't be brought together.
    """
    import onnx
    from onnx import compose, helper

    model = onnx.load_model_from_string(whole)
    below: list[Any] = []
    for at, bottom in enumerate(bottoms):
        parts = [_at_version(content, model) for content in (bottom.front, bottom.model.file.content)]
        given = [each.name for each in parts[0].graph.input]
        front, net = (
            compose.add_prefix(part, f"{at}/{name}/") for part, name in zip(parts, ("front", "net"), strict=True)
        )
        made = [each.name for each in front.graph.output]
        wanted = [f"{at}/net/{each.name}" for each in bottom.model.inputs]
        said = [f"{at}/net/{name}" for name in bottom.outputs.values()]
        below += [
            *_same(given, [each.name for each in front.graph.input]),
            *front.graph.node,
            *_same(made, wanted),
            *net.graph.node,
            *_same(said, list(bottom.outputs)),
        ]
        for part in (front, net):
            model.graph.initializer.extend(part.graph.initializer)
            model.functions.extend(part.functions)
            known = {each.domain for each in model.opset_import}
            model.opset_import.extend(each for each in part.opset_import if each.domain not in known)
        inputs = {each.name: each for each in model.graph.input if each.name not in bottom.outputs}
        for name, each in zip(given, front.graph.input, strict=True):
            each.name = name
            inputs.setdefault(name, each)
        del model.graph.input[:]
        model.graph.input.extend(inputs.values())
    above = list(model.graph.node)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend([*below, *above])
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _same(these: Sequence[str], those: Sequence[str]) -> list[Any]:
    """Nodes that hand values on under other names."""
    from onnx import helper

    return [helper.make_node("Identity", [a], [b]) for a, b in zip(these, those, strict=True)]


def _at_version(content: bytes, like: Any) -> Any:
    import onnx
    from onnx import version_converter

    model = onnx.load_model_from_string(content)
    wanted, own = (next(e.version for e in m.opset_import if e.domain in ("", "ai.onnx")) for m in (like, model))
    if own == wanted:
        return model
    try:
        return version_converter.convert_version(model, wanted)
    except RuntimeError as error:
        raise Unavailable(
            f"the ONNX file at the bottom is of opset {own} and can't be brought to {wanted} ({error}): export it again"
        ) from error
