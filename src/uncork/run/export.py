"""A model with all that was put around it as one ONNX file, which onnxruntime runs alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from uncork.data.split import Split
from uncork.gather.store import write_atomically
from uncork.models.adapt import as_model
from uncork.models.as_module import as_module, files_of
from uncork.models.as_onnx import AsArrays
from uncork.models.base import BATCH, Model, all_numbers, frame_matrix, is_frame
from uncork.models.contracted import Contracted
from uncork.models.guarded import Bounded, Guarded
from uncork.models.joined_onnx import Bottom, joined
from uncork.models.onnx_file import Session
from uncork.models.onnx_inputs import Input
from uncork.models.onnx_model import FEATURES, OnnxModel
from uncork.models.steps import Rows, Said, sure_of
from uncork.models.to_onnx import onnx_bytes
from uncork.models.wrapped import Wrapped
from uncork.run.load import Loaded, load_treated
from uncork.run.reopen import reopened
from uncork.schema.certificate import Certificate
from uncork.schema.errors import BadInput, MissingExtra, Unavailable
from uncork.schema.report import Report
from uncork.schema.subject import Subject
from uncork.train.recipe import Recipe

CLASSIFIES, VALUES = ("class", "confidence", "answered", "logits"), ("value", "low", "high")
WHICH = ("audited", "treated", "patched")
#: Of a probability, or of the largest value: more than kernels that sum in another order move it by.
ROUNDING = 1e-3
#: Of the rows: those whose confidence is the threshold but for rounding.
TURNED = 5e-3


@dataclass(frozen=True)
class Exported:
    """What `export` wrote, and how it compares with the model on the `rows` of the example.

    `bytes`: the file's. `flips`: rows of another class; `turned`: rows that one answers and the other hands over;
    `gap`: the largest difference of a logit, or of a value; `confidence_gap`: of a confidence, 0 in regression.
    `inputs`, `outputs`: their names in the file.
    """

    path: str
    bytes: int
    rows: int
    flips: int
    turned: int
    gap: float
    confidence_gap: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def export(
    model: Any,
    path: str | Path,
    example: Any = None,
    *,
    classes: Sequence[str] | None = None,
    which: str | None = None,
    subject: Subject | None = None,
) -> Exported:
    """Writes a model as one ONNX file that onnxruntime runs alone: the net, its preprocess and all around them.

    `model`: a run's Report or folder, of which `which` names the model: "audited", "treated" or "patched", by default
    what treat kept, else what was audited; `subject` is needed where the run was made from Python objects in another
    process. Or what `load_treated` gives, any Model, or a torch classifier. `example`: rows as Split takes them, two or
    more, of a run all of validation; the file is run on them, by one, by seven and by many, and is not written where it
    says another thing than the model. `classes`: their names, else the model's own.
    The file takes batches of any size as the split gives them, as `x` or by the names of a mapping. It gives `class`
    (b,) positions, `confidence` (b,), `answered` (b,), false where the row is handed over, and `logits` (b, K); in a
    regression `value` (b, 1), and `low` and `high` where the model has intervals. Its metadata hold the names of the
    classes, the certificate in words and the input contract as JSON.
    Raises BadInput for an example of one row, Unavailable with the reason where a part of the model can't be a part of
    an ONNX file, MissingExtra without the extra `export`; nothing is then written.
    """
    if isinstance(model, Report | str | Path):
        model, example, classes = _of_run(model, subject, which, example, classes)
    elif example is None:
        raise BadInput("example: give some of the model's rows, two or more")
    if isinstance(model, Loaded):
        classes = classes or model.classes
    if Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
        raise BadInput(f"{path} can't be written: give the name of a file in a folder that is there")
    model = _bare(as_model(model, "classification"))
    split = example if isinstance(example, Split) else Split(example)
    if len(split) < 2:
        raise BadInput("example: it holds one row: give two or more")
    batch = split.take(np.arange(min(BATCH, len(split))))
    model.outputs(batch, features=True)  # settles how its outputs are read
    names = classes or model.classes
    if names is not None and model.task == "classification" and len(names) != model.n_outputs:
        raise BadInput(f"classes: {len(names)} names for {model.n_outputs} outputs: give one for each, in their order")
    content = _content(model, _inputs(batch), _metadata(model, names))
    found = _compared(model, content, split, str(path))
    write_atomically(Path(path), content)
    return found


def _of_run(
    run: Report | str | Path, subject: Subject | None, which: str | None, example: Any, classes: Any
) -> tuple[Any, Any, Any]:
    """(the model, rows and names of classes) of a run."""
    folder, _, context = reopened(run, subject)
    given = context.split("validation") if example is None else example
    names = classes or (context.facts.classes if context.facts.task == "classification" else None)
    if which is None:
        # The folder may still hold what an earlier treat kept.
        which = "treated" if any(t.kept for t in folder.load().treatments) else "audited"
    if which not in WHICH:
        raise BadInput(f"which is {which!r}: give {', '.join(WHICH)}")
    if which == "audited":
        return context.model, given, names
    place = folder.path / ("patched" if which == "patched" else "")
    recipe, own = context.subject.recipe, context.subject.model
    build = recipe.build if isinstance(recipe, Recipe) else None
    if build is None and isinstance(own, nn.Module):
        build = partial(copy.deepcopy, own)
    return load_treated(place, build, preprocess=context.subject.preprocess), given, names


def _bare(model: Any) -> Any:
    """The same without what only names classes."""
    if isinstance(model, Loaded):
        return _bare(model.inner)
    if not isinstance(model, Wrapped | Bounded):
        return model
    twin = copy.copy(model)
    twin.inner = _bare(model.inner)
    return twin


def _inputs(batch: Any) -> dict[str, np.ndarray]:
    """A batch as the file takes it, by name. Raises Unavailable where rows are no numbers."""
    parts = batch if isinstance(batch, Mapping) else {"x": batch}
    parts = {"x": frame_matrix(batch)} if is_frame(batch) and all_numbers(batch) else parts
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iufb" for part in parts.values()):
        raise Unavailable(
            "rows are texts, or a table of more than numbers, and an ONNX file of a torch model takes tensors: turn "
            "them into numbers before, and give a model without that preprocess"
        )
    # What torch and most operators compute in.
    return {str(name): part.astype(np.float32) if part.dtype.kind == "f" else part for name, part in parts.items()}


def _content(model: Model, inputs: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    module = as_module(model)
    if any(part.device.type != "cpu" for part in module.parameters()):
        module = copy.deepcopy(module).cpu()
    tensors = {name: torch.from_numpy(np.array(part)) for name, part in inputs.items()}
    outputs: tuple[str, ...] = VALUES if isinstance(model, Bounded) else VALUES[:1]
    outputs = CLASSIFIES if model.task == "classification" else outputs
    files = files_of(model)
    try:
        bottoms = [_bottom(at, file, tensors) for at, file in enumerate(files)]
        of_files = [tuple(bottom.outputs) for bottom in bottoms]
        said = {name: part for at, file in enumerate(files) for name, part in _raw(at, file, inputs).items()}
        whole = _Whole(module, tuple(tensors), of_files, len(outputs))
        top = onnx_bytes(whole, {**tensors, **said}, names=outputs, as_given=True)
    except MissingExtra:
        raise
    except Unavailable as error:
        if any(getattr(part, "preprocess", None) is not None for part in (*files, *module.modules())):
            raise Unavailable(f"{error}; its preprocess has to be made of torch functions of tensors too") from error
        raise
    return joined(top, bottoms, metadata)


def _bottom(at: int, file: OnnxModel, tensors: dict[str, torch.Tensor]) -> Bottom:
    names = _names(at, file)
    if file.batch_size:
        raise Unavailable(f"{file.file.name} takes {file.batch_size} rows at once: export it with rows left open")
    if next(node for node in file.file.session.made.get_outputs() if node.name == file.output).type[:3] == "seq":
        raise Unavailable(f"{file.file.name} gives maps instead of a matrix: convert it with zipmap=False")
    front = _Front(file, tuple(tensors))
    made = [f"given_{i}" for i in range(len(file.inputs))]
    return Bottom(
        file,
        onnx_bytes(front, tensors, names=made, as_given=True),
        dict(zip(names, (file.output, FEATURES), strict=False)),
    )


def _names(at: int, file: OnnxModel) -> list[str]:
    return [f"raw_{at}", *([f"features_{at}"] if file.features else [])]


def _raw(at: int, file: OnnxModel, inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """What a file at the bottom says of the example, by the names under which the module on top gets it."""
    raw = file.raw(next(iter(inputs.values())) if list(inputs) == ["x"] else inputs, features=True)
    return {name: torch.from_numpy(part) for name, part in zip(_names(at, file), raw, strict=False) if part is not None}


class _Front(nn.Module):
    """From the whole file's inputs to those of a file at the bottom, in their order."""

    def __init__(self, file: OnnxModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.preprocess, self.wanted, self.names = _of_tensors(file.preprocess), tuple(file.inputs), names

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch: Any = inputs["x"] if self.names == ("x",) else inputs
        made = batch if self.preprocess is None else self.preprocess(batch)
        parts = made if isinstance(made, Mapping) else {self.wanted[0].name: made}
        by_name = all(each.name in parts for each in self.wanted)
        given = [parts[each.name] for each in self.wanted] if by_name else list(parts.values())
        return tuple(_filled(each, part) for each, part in zip(self.wanted, given, strict=True))


def _of_tensors(preprocess: Any) -> Any:
    """What a torch model's preprocess was before it was made to give arrays."""
    return preprocess.preprocess if isinstance(preprocess, AsArrays) else preprocess


def _filled(wanted: Input, part: torch.Tensor) -> torch.Tensor:
    """As `Input.filled`."""
    part = part.flatten(1) if len(wanted.shape) == 2 and part.ndim != 2 else part
    return part.to(torch.from_numpy(np.zeros(0, wanted.dtype)).dtype)


class _Whole(nn.Module):
    """From the inputs by name, and the outputs of files at the bottom, to the outputs in their order."""

    def __init__(self, chain: nn.Module, names: tuple[str, ...], of_files: Sequence[tuple[str, ...]], n: int) -> None:
        super().__init__()
        self.chain, self.names, self.of_files, self.n = chain, names, tuple(of_files), n

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x: Any = inputs["x"] if self.names == ("x",) else {name: inputs[name] for name in self.names}
        files = tuple((inputs[names[0]], inputs[names[1]] if names[1:] else None) for names in self.of_files)
        said: Said = self.chain(Rows(x, files))
        if self.n == 1:
            return (said.logits,)
        if self.n == len(VALUES):
            assert said.features is not None
            return said.logits, said.features[:, :1], said.features[:, 1:]
        answered = torch.ones_like(said.logits[:, 0], dtype=torch.bool) if said.answered is None else said.answered
        return said.logits.argmax(dim=1), sure_of(said.logits).float(), answered, said.logits


def _metadata(model: Model, classes: Sequence[str] | None) -> dict[str, str]:
    parts = list(_parts(model))
    told = {"uncork": " on ".join([getattr(part, "called", type(part).__name__) for part in parts])}
    if classes is not None:
        told["classes"] = json.dumps([str(name) for name in classes], ensure_ascii=False)
    for part in parts:
        if isinstance(part, Guarded):
            told["certificate"] = _words(part.certificate)
        if isinstance(part, Contracted):
            told["input contract"] = json.dumps(asdict(part.contract), ensure_ascii=False)
    return told


def _parts(model: Any) -> Iterator[Any]:
    while model is not None:
        yield model
        model = getattr(model, "inner", None)


def _words(certificate: Certificate) -> str:
    day = f", on {certificate.date}" if certificate.date else ""
    return (
        f"Rows whose confidence reaches {certificate.threshold} are answered. With probability "
        f"{certificate.confidence} a share of {certificate.precision} or more of the answers is right, for rows like "
        f"the {certificate.n} on which that was certified{day}; {certificate.answered} of them were answered, "
        f"{certificate.errors} wrong."
    )


def _compared(model: Model, content: bytes, split: Split, path: str) -> Exported:
    """The file against the model on every row of the example. Raises Unavailable where they differ."""
    session = Session(content, "the file")
    names = [node.name for node in session.made.get_outputs()]
    flips, turned, gap, confidence_gap, probability_gap = 0, 0, 0.0, 0.0, 0.0
    largest = float(np.finfo(np.float32).tiny)
    for start, stop in _cuts(len(split)):
        batch = split.take(np.arange(start, stop))
        out = model.outputs(batch)
        said = dict(zip(names, session.run(names, _inputs(batch)), strict=True))
        values = said["logits" if "logits" in said else "value"]
        gap = max(gap, _gap(values, out.logits))
        largest = max(largest, float(np.abs(out.logits[np.isfinite(out.logits)]).max(initial=0.0)))
        if "class" not in said:
            continue
        answered = np.ones(len(out.logits), bool) if out.answered is None else out.answered
        flips += int((said["class"] != out.logits.argmax(axis=1)).sum())
        turned += int((said["answered"] != answered).sum())
        theirs, own = (softmax(each.astype(np.float64), axis=1) for each in (values, out.logits))
        probability_gap = max(probability_gap, _gap(theirs, own))
        confidence_gap = max(confidence_gap, _gap(said["confidence"], own.max(axis=1)))
    classifies = model.task == "classification"
    apart = max(probability_gap, confidence_gap) if classifies else gap / largest
    if not apart <= ROUNDING or turned > max(1, TURNED * len(split)):
        what = (
            f"probabilities differ by up to {apart:.2g}"
            if classifies
            else f"values by up to {apart:.2g} of the largest"
        )
        raise Unavailable(
            f"the file says another thing than the model ({what}, {flips} of {len(split)} rows "
            f"get another class, {turned} are answered by one alone): audit with the probe export-mismatch"
        )
    inputs = tuple(node.name for node in session.made.get_inputs())
    return Exported(path, len(content), len(split), flips, turned, gap, confidence_gap, inputs, tuple(names))


def _gap(these: np.ndarray, those: np.ndarray) -> float:
    """The largest difference: 0 where both are no number, infinite where one of them is."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(these.astype(np.float64) - those)
    same = (these == those) | (np.isnan(these) & np.isnan(those))
    return float(np.nan_to_num(np.where(same, 0.0, apart), nan=np.inf, posinf=np.inf).max())


def _cuts(n: int) -> list[tuple[int, int]]:
    """One row, seven, and the rest in batches."""
    starts = [0, 1, *range(8, n, BATCH)]
    return [(start, stop) for start, stop in zip(starts, [*starts[1:], n], strict=True) if start < n]
