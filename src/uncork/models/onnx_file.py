"""What is in an ONNX file, and a session of onnxruntime that runs it."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput, MissingExtra

#: Keys of a file's metadata under which names of classes are kept.
_METADATA = ("classes", "class_names", "names", "labels", "id2label")
#: Operators that have an answer to a missing value.
_TAKES_NAN = ("Imputer", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "IsNaN")
#: Operators through which labels go as they are.
_PASSING = ("Cast", "Identity", "Reshape", "Squeeze", "Flatten", "ZipMap")
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


@dataclass(frozen=True)
class OnnxFile:
    """`content`: the file with its weights. `labels`: of its classes, as classifiers in it or its metadata say.

    `takes_nan`: whether some part of it has an answer to a missing value. `session`: copied and pickled as the content.
    """

    name: str
    content: bytes
    session: Session
    labels: tuple[str, ...] | None
    takes_nan: bool
    parameters: int

    @staticmethod
    def read(file: str | Path | bytes) -> OnnxFile:
        """Raises BadInput where it is absent, damaged or larger than 2 GB, MissingExtra without the extra `export`."""
        try:
            import onnx
            import onnxruntime  # noqa: F401
        except ImportError:
            raise MissingExtra("export", "reading ONNX files") from None
        name = "the ONNX file" if isinstance(file, bytes) else str(file)
        try:
            graph = onnx.load_model_from_string(file) if isinstance(file, bytes) else onnx.load(str(file))
            outside = not isinstance(file, bytes) and _outside(Path(file))
            content = file if isinstance(file, bytes) else Path(file).read_bytes()
            content = graph.SerializeToString() if outside else content
        except FileNotFoundError as error:
            raise BadInput(f"{name}: {error.strerror or error}: give the path of an .onnx file") from None
        except Exception as error:  # of protobuf and of onnx's checks, which share no base
            raise BadInput(f"{name} is no ONNX file, or is damaged ({_first(error)}): export it again") from error
        session = Session(content, name)
        labels = _metadata(session.made.get_modelmeta().custom_metadata_map) or _labels(graph.graph)
        operators = {node.op_type for node in graph.graph.node}
        parameters = sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer)
        return OnnxFile(name, content, session, labels, not operators.isdisjoint(_TAKES_NAN), parameters)


@dataclass
class Session:
    """onnxruntime's session on the CPU, with torch's number of threads.

    It is made again where it was sent to, or that number has changed.
    """

    content: bytes
    name: str
    made: Any = field(init=False)
    threads: int = field(init=False)

    def __post_init__(self) -> None:
        import onnxruntime

        self.threads = _threads()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.made = onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own share no base
            raise BadInput(
                f"{self.name} can't be run by onnxruntime ({_first(error)}): export it again, for operators that "
                "onnxruntime has"
            ) from error

    def run(self, outputs: list[str], inputs: Mapping[str, np.ndarray]) -> list[Any]:
        """Some of the file's outputs. Raises BadInput where it refuses the inputs."""
        if self.threads != _threads():
            self.__post_init__()
        try:
            found: list[Any] = self.made.run(outputs, dict(inputs))
            return found
        except Exception as error:
            shapes = ", ".join(f"{name} {tuple(part.shape[1:])}" for name, part in inputs.items())
            raise BadInput(
                f"x: the ONNX file refuses rows of shape {shapes}: {_first(error)}: give rows as in training, or "
                "Subject(preprocess=…)"
            ) from error

    def __reduce__(self) -> Any:
        return Session, (self.content, self.name)

    def __deepcopy__(self, memo: Any) -> Session:
        return self  # it holds no state between runs


def _threads() -> int:
    """As many as torch uses; 0 for onnxruntime's own choice."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads() if torch is not None else os.environ.get("OMP_NUM_THREADS") or 0)


def _outside(path: Path) -> bool:
    """Whether weights lie in a file beside it."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer)


def _labels(graph: Any) -> tuple[str, ...] | None:
    """Names of the classes, of what an output comes from: a classifier, or a look-up in a list of them.

    Those of classifiers further inside may be others: stacking trains them on positions.
    """
    makers = {name: node for node in graph.node for name in node.output}
    lists = {tensor.name: tensor for tensor in graph.initializer}
    for output in graph.output:
        name = output.name
        while name in makers:
            node = makers[name]
            for attribute in node.attribute:
                if attribute.name in _LABELS and (attribute.strings or attribute.ints):
                    return tuple(name.decode() for name in attribute.strings) or tuple(map(str, attribute.ints))
            name = node.input[0] if node.input else ""
            if node.op_type == "ArrayFeatureExtractor" and name in lists:
                return _listed(lists[name])
            if node.op_type not in _PASSING:
                break
    return None


def _listed(tensor: Any) -> tuple[str, ...]:
    from onnx.numpy_helper import to_array

    names = to_array(tensor).ravel().tolist()
    return tuple(
        name.decode() if isinstance(name, bytes) else f"{name:g}" if isinstance(name, float) else str(name)
        for name in names
    )


def _metadata(known: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names of classes under one of the usual keys: a list, or {position: name}, as JSON or Python writes it."""
    for key in _METADATA:
        for read in (json.loads, ast.literal_eval):
            try:
                names = read(known.get(key, ""))
            except (ValueError, SyntaxError):
                continue
            if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
                names = [name for _, name in sorted(names.items(), key=lambda each: int(each[0]))]
            if isinstance(names, list) and len(names) > 1:
                return tuple(map(str, names))
    return None


def _first(error: Exception) -> str:
    """The first line of what onnx or onnxruntime says, without its own numbers."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])
