"""A TorchScript or torch.export program as a torch module."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from uncork.models.base import in_order
from uncork.schema.errors import BadInput

#: (in order, by name) as a batch comes → as the program takes them.
Arrange = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]

TORCHSCRIPT, EXPORTED = "TorchScript", "torch.export"


class Program(nn.Module):
    """The program in a file. `content`: its bytes; `kind`: "TorchScript" or "torch.export".

    Batches are cut into, and filled up to, as many rows as the program takes. It is copied and pickled as its bytes.
    Raises BadInput for one that was made in training mode, whose answers to a row hang on chance or on the other rows;
    RuntimeError, or whatever torch raises, for bytes that are no such program; a torch.export program may hold pickles,
    which are then run.
    """

    def __init__(self, content: bytes, kind: str) -> None:
        super().__init__()
        self.content, self.kind = content, kind
        self.fewest, self.most = 1, 0  # rows at once; 0 for as many as there are
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript's own deprecation
            if kind == TORCHSCRIPT:
                self.program: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
                _refuse_training(kind, _script_trains(self.program))
                self._arrange = _of_script(self.program)
                return
            exported = torch.export.load(io.BytesIO(content))
        _refuse_training(kind, _exported_trains(exported))
        self.program = exported.module()
        self.fewest, self.most = _sizes(exported)
        self._arrange = _of_exported(exported)

    @staticmethod
    def of(program: Any) -> Program:
        """The same of a ScriptModule or an ExportedProgram."""
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(program, torch.export.ExportedProgram):
                torch.export.save(program, content)
                return Program(content.getvalue(), EXPORTED)
            torch.jit.save(program, content)
        return Program(content.getvalue(), TORCHSCRIPT)

    @property
    def hidden(self) -> str:
        """Why there are no features."""
        return f"a {self.kind} program doesn't show what goes through its layers"

    @property
    def note(self) -> str:
        which = "a program that was traced" if self.kind == TORCHSCRIPT else "an exported program"
        return f"{which} keeps the mode, training or not, that it was in then"

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the program returns for tensors in order, or by name. Raises ValueError where they hold no rows."""
        n = len(next(iter((*inputs, *named.values()))))
        if self.fewest <= n and (not self.most or n <= self.most):
            return self._run(inputs, named)
        parts = []
        for start in range(0, n, self.most or n):
            rows = torch.arange(start, min(start + (self.most or n), n))
            filled = torch.cat([rows, rows[-1:].expand(max(0, self.fewest - len(rows)))])
            out = self._run(tuple(x[filled] for x in inputs), {name: x[filled] for name, x in named.items()})
            parts.append(getattr(out, "logits", out)[: len(rows)])
        return torch.cat(parts)

    def _run(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        inputs, named = self._arrange(inputs, named)
        return self.program(*inputs, **named)

    def __reduce__(self) -> Any:
        return Program, (self.content, self.kind)


def _refuse_training(kind: str, operators: Iterator[str]) -> None:
    found = sorted(set(operators))
    if found:
        how = "torch.jit.trace" if kind == TORCHSCRIPT else "torch.export.export"
        raise BadInput(
            f"the {kind} program was made in training mode, as its {', '.join(found)} shows, and can't leave it: call "
            f"model.eval() before {how}, and save it again"
        )


def _script_trains(program: Any) -> Iterator[str]:
    """Operators of dropout and normalisation that were told for good to train, as tracing does."""
    for node in program.inlined_graph.nodes():
        if any(part in node.kind() for part in ("dropout", "norm")) and node.schema() != "(no schema)":
            names = [argument.name for argument in torch._C.parse_schema(node.schema()).arguments]
            if _trains(zip(names, (value.toIValue() for value in node.inputs()), strict=False)):
                yield str(node.kind()).removeprefix("aten::")


def _exported_trains(exported: Any) -> Iterator[str]:
    for node in exported.graph.nodes:
        told = getattr(node.target, "_schema", None)
        if told is not None and any(part in told.name for part in ("dropout", "norm")):
            names = [argument.name for argument in told.arguments]
            if _trains((*zip(names, node.args, strict=False), *node.kwargs.items())):
                yield str(told.name).removeprefix("aten::")


def _trains(arguments: Iterable[tuple[str, Any]]) -> bool:
    return any(name in ("train", "training") and value is True for name, value in arguments)


def _of_script(program: Any) -> Arrange:
    names = [argument.name for argument in program.forward.schema.arguments][1:]

    def arrange(inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if set(named) <= set(names):
            return inputs, named
        if len(names) == 1 and len(named) > 1:
            return (named,), {}
        return in_order(names, named), {}

    return arrange


def _of_exported(exported: Any) -> Arrange:
    spec = exported.call_spec.in_spec
    positions, keywords = spec.children() if hasattr(spec, "children") else spec.children_specs
    whole = positions.num_children == 1 and positions.child(0).type is dict
    names = list(keywords.context or ()) or list(exported.graph_signature.user_inputs)

    def arrange(inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if whole and named:
            return ({name: named[name] for name in positions.child(0).context},), {}
        by_name = set(names) == set(named)
        given = list(inputs) or [named[n] for n in names] if by_name else list(inputs or in_order(names, named))
        if len(given) != len(names):
            raise ValueError(f"the program takes {', '.join(names)}")
        if keywords.context:
            return (), dict(zip(names, given, strict=True))
        return tuple(given), {}

    return arrange


def _sizes(exported: Any) -> tuple[int, int]:
    """(fewest, most) rows of its inputs at once; 0 for as many as there are."""
    inputs = [
        n for n in exported.graph.nodes if n.op == "placeholder" and n.name in exported.graph_signature.user_inputs
    ]
    fewest, most = 1, 0
    for node in inputs:
        value = node.meta.get("val")
        size = value.shape[0] if isinstance(value, torch.Tensor) and value.ndim else None
        if isinstance(size, int):
            return size, size
        bounds = exported.range_constraints.get(size.node.expr) if size is not None else None
        if bounds is not None:
            fewest = max(fewest, int(bounds.lower))
            most = int(bounds.upper) if bounds.upper < 2**31 else most
    return fewest, most
