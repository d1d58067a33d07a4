"""An ONNX file as a Model, run by onnxruntime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from uncork.models.base import Output, rows_in
from uncork.models.code import code_fingerprint
from uncork.models.onnx_file import OnnxFile
from uncork.models.onnx_inputs import Input, feeds
from uncork.models.reading import Reading
from uncork.schema.errors import BadInput

FEATURES = "features"
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
#: Parts of the names of outputs that hold the classes, those that say so most plainly first, and of others.
_NAMED = ("logit", "prob", "score", "output", "variable")
_OTHERS = ("hidden", "pool", "embed", "feature", "box", "mask")


class OnnxModel(Reading):
    """`file`: its path, or its content where the weights lie in it.

    `output`: which of its outputs holds the classes or the value, where names and shapes don't tell. `preprocess` gets
    the batch as the split gives it and returns an array, or {name of input: array}. A file of fixed batch size is run
    on so many rows at once, the last filled up. Features are its output "features", where it has one and takes any
    number of rows; there are no gradients. `classes`: as classifiers in the file or its metadata name them. Raises
    BadInput where the file is damaged or has other outputs than classes or a value, and MissingExtra without the extra
    `export`.
    """

    has_inputs = True

    def __init__(
        self,
        file: str | Path | bytes | OnnxFile,
        *,
        task: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        output: str | None = None,
    ) -> None:
        self.file = file if isinstance(file, OnnxFile) else OnnxFile.read(file)
        self.preprocess, self.asked = preprocess, output
        session = self.file.session.made
        self.inputs = [Input.of(node, self.file.name) for node in session.get_inputs()]
        self.batch_size = _batch_size(self.inputs, self.file.name)
        labels = self.file.labels
        chosen, self._choice = _chosen(session.get_outputs(), len(labels or ()), output, self.file.name)
        self.output, width = chosen.name, _width(chosen)
        given = any(node.name == FEATURES and node.type in _FLOATS for node in session.get_outputs())
        self.features = FEATURES if given and not self.batch_size else None
        many = labels is not None or chosen.type not in _FLOATS or (width or 1) > 1
        #: None where the outputs don't tell: one number may be a value, or a logit.
        self.told_task = task or ("classification" if many else None)
        super().__init__(self.told_task or "classification")
        self.accepts_nan = self.file.takes_nan
        fits = labels is not None and width in (None, len(labels), 1)
        self.classes: tuple[str, ...] | None = labels if fits and self.task == "classification" else None

    def for_task(self, task: str, preprocess: Callable[[Any], Any] | None) -> OnnxModel:
        """The same file read for a task, with the preprocess given, else its own, which may stand around that one."""
        if task == self.told_task and preprocess in (None, getattr(self.preprocess, "preprocess", None)):
            return self
        return OnnxModel(self.file, task=task, preprocess=preprocess or self.preprocess, output=self.asked)

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits (b, K), or values (b, 1), and features (b, d) float32 where asked and the file has them."""
        raw, kept = self.raw(batch, features)
        return Output(self._read(raw, rows_in(batch)), kept)

    def raw(self, batch: Any, features: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """(the output as the file gives it, features (b, d) float32 or None)."""
        n = rows_in(batch)
        given = feeds(self.inputs, batch if self.preprocess is None else self.preprocess(batch))
        if any(len(part) != n for part in given.values()):
            raise BadInput(f"x: preprocess makes {rows_in(given)} rows of {n}: let it keep each row in its place")
        if not self.batch_size:
            names = [self.output, *([self.features] if features and self.features else [])]
            said, *rest = self.file.session.run(names, given)
            return self._matrix(said), np.asarray(rest[0], np.float32).reshape(n, -1) if rest else None
        parts = []
        for start in range(0, n, self.batch_size):
            rows = np.minimum(np.arange(start, start + self.batch_size), n - 1)
            said = self.file.session.run([self.output], {name: part[rows] for name, part in given.items()})[0]
            parts.append(self._matrix(said)[: n - start])
        return np.concatenate(parts), None

    def _read(self, out: np.ndarray, n: int) -> np.ndarray:
        return self._logits(out, n, float(np.finfo(out.dtype).eps) if out.dtype.kind == "f" else 0.0)

    def _matrix(self, raw: Any) -> np.ndarray:
        """Maps from classes to probabilities, as converters of scikit-learn write them, as columns."""
        if not isinstance(raw, list):
            return np.asarray(raw)
        names = [str(name) for name in raw[0]]
        in_order = self.classes is not None and set(self.classes) == set(names)
        columns = [names.index(name) for name in (self.classes if in_order and self.classes else names)]
        matrix: np.ndarray = np.array([list(row.values()) for row in raw])[:, columns]
        return matrix

    def fingerprint(self) -> str:
        """Hash of the file's content, the output that is read, task and preprocess."""
        code = "" if self.preprocess is None else code_fingerprint(self.preprocess)
        told = repr((self.output, self.task, code)).encode()
        return hashlib.blake2b(told + self.file.content, digest_size=16).hexdigest()

    def describe(self) -> dict[str, Any]:
        fixed = f"it takes {self.batch_size} rows at once, and shorter batches are filled up" if self.batch_size else ""
        return {
            "kind": "onnx",
            "class": Path(self.file.name).name,
            "parameters": self.file.parameters,
            "bytes": len(self.file.content),
            "feature_layer": None,
            "features": f"its output {self.features}"
            if self.features
            else "none: an ONNX file doesn't show what goes through its layers",
            "note": "; ".join(note for note in (self._note(), self._choice, fixed) if note),
        }


def _chosen(outputs: list[Any], classes: int, asked: str | None, file: str) -> tuple[Any, str]:
    """(the output that is read, how it was found where others might be meant). Raises BadInput where none fits."""
    told = ", ".join(f"{node.name} {_form(node)}" for node in outputs)
    if asked is not None:
        found = [node for node in outputs if node.name == asked]
        if not found:
            raise BadInput(f"{file}: output={asked!r} is none of its outputs, {told}")
        if found[0].type not in _FLOATS and not _mapped(found[0]):
            raise BadInput(f"{file}: output={asked!r} holds no scores: its outputs are {told}")
        return found[0], f"its output {asked} is read, as told"
    fit = [node for node in outputs if _fits(node)]
    if len(fit) > 1:
        named = ([node for node in fit if part in node.name.lower()] for part in _NAMED)
        by_width = [node for node in fit if classes and _width(node) == classes]
        fit = next((found for found in (*named, by_width) if len(found) == 1), fit)
    if len(fit) == 1:
        others = [node.name for node in outputs if node is not fit[0]]
        return fit[0], f"its output {fit[0].name} is read, not {', '.join(others)}" if others else ""
    if fit:
        raise BadInput(
            f"{file}: several of its outputs may be the classes: {told}: name one, "
            f"OnnxModel(path, output={fit[0].name!r}), from uncork.models.onnx_model"
        )
    raise BadInput(
        f"{file} has other outputs than classes: {told}: uncork reads one row of scores, of probabilities or one value "
        "for each row: export the model with such an output"
    )


def _fits(node: Any) -> bool:
    """Whether an output may hold (rows, classes), or (rows,), or a map from classes for each row."""
    if _mapped(node):
        return True
    known = [size for size in (node.shape or ())[2:] if size != 1]
    other = any(part in node.name.lower() for part in _OTHERS)
    return node.type in _FLOATS and not known and not other


def _mapped(node: Any) -> bool:
    return bool(node.type.startswith("seq(map("))


def _width(node: Any) -> int | None:
    """How many numbers there are for a row; None where the file doesn't say."""
    if _mapped(node) or not node.shape:
        return None
    width = node.shape[1] if len(node.shape) > 1 else 1
    return width if isinstance(width, int) else None


def _form(node: Any) -> str:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    sizes = ["n" if not isinstance(size, int) else str(size) for size in node.shape or ()]
    return f"{kind} ({', '.join(sizes)})" if sizes else kind


def _batch_size(inputs: list[Input], file: str) -> int:
    """Rows at once where that is fixed, else 0."""
    sizes = {each.shape[0] for each in inputs if each.shape and each.shape[0] is not None}
    if len(sizes) > 1:
        raise BadInput(f"{file}: its inputs take {' and '.join(map(str, sorted(sizes)))} rows at once: export it again")
    return next((size for size in sizes if size is not None), 0)
