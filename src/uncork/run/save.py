"""The treated model on disk: plain weights and the changes in words, nothing to unpickle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uncork.gather.store import checksum, explained, write_atomically
from uncork.models.aligned import Aligned
from uncork.models.as_onnx import AsArrays
from uncork.models.base import Model
from uncork.models.code import code_fingerprint
from uncork.models.contracted import Contracted
from uncork.models.early_exit import EarlyExit
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Bounded, Guarded
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.on_features import Encoder, OnFeatures
from uncork.models.onnx_model import OnnxModel
from uncork.models.patched import Patched
from uncork.models.predictions import PredictionsModel
from uncork.models.program import TORCHSCRIPT, Program
from uncork.models.rejecting import Rejecting
from uncork.models.ruled import Ruled
from uncork.models.scaled import Scaled
from uncork.models.sklearn_model import SklearnModel
from uncork.models.smoothed import Smoothed
from uncork.models.temperature import Tempered
from uncork.models.tensors import reference
from uncork.models.torch_model import TorchModel
from uncork.models.viewed import Viewed
from uncork.models.weights import packed
from uncork.models.wrapped import Wrapped
from uncork.run.load import Loaded, leaves
from uncork.schema.errors import MissingExtra
from uncork.schema.subject import Subject
from uncork.train.recipe import Recipe
from uncork.train.resized import Resized


def save_treated(folder: Path, subject: Subject, model: Model, changes: list[str]) -> str:
    """Writes `treated/treated.json` and the files that it names beside it; returns the folder's name.

    `model`: the one that was judged, its outputs in the order of the subject's classes. treated.json: `changes` in
    words, `how` to load the model, names of `classes` where they were given, and `model`, a nest of parts: each has a
    `kind`, what it was changed by, and the model `inner` or the `members` that it is around. Weights and maps are
    .safetensors, estimators .skops, with the types to be `trusted` in loading them; a part that can't be saved has a
    `reason`.
    """
    place = folder / "treated"
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
    built_with: dict[str, float] = {}
    recipe = getattr(subject.recipe, "recipe", subject.recipe)  # of one that is trained in another way, the plain one
    resized: list[dict[str, Any]] = []
    if isinstance(recipe, Recipe):
        if isinstance(recipe.build, Resized):
            resized = [dict(change) for change in recipe.build.changes]
            recipe = recipe.replace(build=recipe.build.build)
        sizes = {name: recipe.default(name) for name in ("width", "depth")}
        built_with = {name: size for name, size in sizes.items() if size is not None}
    writer = _Writer(place, built_with, resized)
    spec = writer.spec(model)
    about = {"changes": changes, "how": _how(place, spec), "classes": subject.classes, "model": spec}
    write_atomically(place / "treated.json", json.dumps(about, indent=1, ensure_ascii=False))
    for path in (path for what in _PARTS for path in place.glob(f"{what}-*") if path.name not in writer.written):
        path.unlink(missing_ok=True)  # of the model that was saved here before
    return place.name


_PARTS = ("weights", "isotonic", "detector", "exits", "patches", "estimator", "head", "onnx", "program")

#: Changes that a few numbers say: their kind, and the numbers.
_BY_NUMBERS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Tempered: ("temperature", lambda model: {"temperature": model.temperature}),
    Offset: ("offset", lambda model: {"offset": model.offset.tolist()}),
    Scaled: ("vector-scaling", lambda model: model.told),
    Smoothed: ("smoothed", lambda model: model.told["smoothed"]),
    Viewed: ("views", lambda model: {"views": model.name}),
}


@dataclass
class _Writer:
    """Writes the parts' files, named by their content: until treated.json is there, the one before stays whole.

    `built_with`: what the recipe's build takes by default. `resized`: how what it makes was made smaller, in turn.
    """

    place: Path
    built_with: dict[str, float]
    resized: list[dict[str, Any]]
    written: set[str] = field(default_factory=set)

    def spec(self, model: Model) -> dict[str, Any]:
        """JSON that `load_treated` makes the model of again."""
        if isinstance(model, Loaded):
            return self.spec(model.inner)
        change = self._change(model)
        if change is not None and isinstance(model, Wrapped | Bounded):
            return {**change, "inner": self.spec(model.inner)}
        if isinstance(model, Ensemble):
            members = [self.spec(member) for member in model.models]
            return {"kind": "ensemble", "weights": model.weights.tolist(), "members": members}
        if isinstance(model, PredictionsModel):
            return {"kind": "predictions", "task": model.task, "outputs": model.n_outputs}
        if isinstance(model, TorchModel):
            return self._program(model, model.module) if isinstance(model.module, Program) else self._module(model)
        if isinstance(model, OnnxModel):
            return {
                "kind": "onnx",
                "file": self._keep("onnx", "onnx", model.file.content),
                "output": model.asked,
                "tensors": isinstance(model.preprocess, AsArrays),
                **_read(model),
            }
        if isinstance(model, SklearnModel):
            return self._estimator(model)
        if isinstance(model, OnFeatures) and model.encoder is not None:
            return self._head(model, model.encoder)
        return _unsaved(type(model).__name__, "uncork doesn't know what it is made of: save it yourself")

    def _change(self, model: Model) -> dict[str, Any] | None:
        """What a model around another one changes; None of others."""
        if type(model) in _BY_NUMBERS:
            kind, numbers = _BY_NUMBERS[type(model)]
            return {"kind": kind, **numbers(model)}
        if isinstance(model, Contracted):
            return {"kind": "contract", "contract": asdict(model.contract)}
        if isinstance(model, Aligned):
            return {"kind": "aligned", "columns": model.columns.tolist(), "classes": list(model.classes or ())}
        if isinstance(model, Patched | Ruled):
            return self._corrections(model)
        if isinstance(model, Isotonic):
            from safetensors.numpy import save

            arrays = {name: part for k, (x, y) in enumerate(model.knots) for name, part in ((f"x{k}", x), (f"y{k}", y))}
            return {"kind": "isotonic", "rows": model.rows, "file": self._keep("isotonic", "safetensors", save(arrays))}
        if isinstance(model, Rejecting):
            return {"kind": "rejecting", "file": self._detector(model), **model.told["rejects"]}
        if isinstance(model, EarlyExit):
            return self._exits(model)
        if isinstance(model, Guarded):
            return self._guard(model)
        if isinstance(model, Bounded):
            return {"kind": "intervals", **model.told, "n": model.n, "date": model.date}
        return None

    def _detector(self, model: Rejecting) -> str | None:
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(array) for name, array in model.detector.arrays.items()}
        return self._keep("detector", "safetensors", save(arrays)) if arrays else None

    def _exits(self, model: EarlyExit) -> dict[str, Any]:
        from safetensors.numpy import save

        return {"kind": "early-exit", "file": self._keep("exits", "safetensors", save(model.arrays())), **model.about()}

    def _corrections(self, model: Patched | Ruled) -> dict[str, Any]:
        """`of`: the model that they are of, so that they are not taken for another's."""
        from safetensors.numpy import save

        of = model.inner.fingerprint()
        if isinstance(model, Ruled):
            return {"kind": "ruled", "of": of, "rules": model.told["rules"]}
        return {"kind": "patched", "of": of, "file": self._keep("patches", "safetensors", save(model.memory.arrays()))}

    def _program(self, model: TorchModel, program: Program) -> dict[str, Any]:
        file = self._keep("program", "pt" if program.kind == TORCHSCRIPT else "pt2", program.content)
        trusted = [] if program.kind == TORCHSCRIPT else [program.kind]  # which may hold pickles
        return {"kind": "program", "class": program.kind, "file": file, "trusted": trusted, **_read(model)}

    def _module(self, model: TorchModel) -> dict[str, Any]:
        content = packed(model.module)
        return {
            "kind": "module",
            "class": type(model.module).__qualname__,
            "file": self._keep("weights", "safetensors", content) if content else None,
            "built_with": self.built_with,
            "resized": self.resized,
            "features": model.describe()["feature_layer"],
            "numbers": str(reference(model.module).dtype).removeprefix("torch."),
            **_read(model),
        }

    def _head(self, model: OnFeatures, encoder: Encoder) -> dict[str, Any]:
        from safetensors.numpy import save

        file = self._keep("head", "safetensors", save({"weight": model.weight, "bias": model.bias}))
        about = {"kind": "on-features", "file": file, "task": model.task, "whole": encoder.whole}
        return {**about, "inner": self.spec(encoder.inner)}

    def _guard(self, model: Guarded) -> dict[str, Any]:
        spec: dict[str, Any] = {"kind": "guard", "certificate": asdict(model.certificate), "coverage": model.coverage}
        spec["left"] = None if math.isinf(model.left) else model.left
        return spec if model.fallback is None else {**spec, "fallback": self.spec(model.fallback)}

    def _estimator(self, model: SklearnModel) -> dict[str, Any]:
        name = type(model.estimator).__name__
        try:
            import skops.io

            content = skops.io.dumps(model.estimator)
            foreign = skops.io.get_untrusted_types(data=content)
            skops.io.loads(content, trusted=foreign)  # a lambda is written down, but is not found again
        except ImportError:
            return _unsaved("estimator", str(MissingExtra("sklearn", f"saving {name}")))
        except Exception as error:  # of whatever a pipeline may hold: what is left unsaved is said, and treat goes on
            return _unsaved("estimator", f"skops can't save this {name} ({error}): save it yourself")
        return {
            "kind": "estimator",
            "class": name,
            "file": self._keep("estimator", "skops", content),
            "trusted": foreign,
            "task": model.task,
            "preprocess": _code(model.preprocess),
        }

    def _keep(self, what: str, ending: str, content: bytes) -> str:
        name = f"{what}-{checksum(content)}.{ending}"
        write_atomically(self.place / name, content)
        self.written.add(name)
        return name


def _read(model: TorchModel | OnnxModel) -> dict[str, Any]:
    """How a net's outputs are read, which batches have settled."""
    read = {"task": model.task, "outputs": model.n_outputs, "probabilities": model._probabilities}
    own = model.preprocess
    return {**read, "preprocess": _code(own.preprocess if isinstance(own, AsArrays) else own)}


def _unsaved(kind: str, reason: str) -> dict[str, Any]:
    return {"kind": kind, "file": None, "reason": reason}


def _code(function: Any) -> str | None:
    """A hash of what it does: the function itself is its user's to bring."""
    return None if function is None else code_fingerprint(function)


def _how(place: Path, spec: dict[str, Any]) -> str:
    """Two lines of Python that load the model, or why they can't."""
    parts = list(leaves(spec))
    reasons = [part["reason"] for part in parts if "reason" in part]
    if reasons:
        return f"not to be loaded: {reasons[0]}"
    trusted = sorted({name for part in parts for name in part.get("trusted", ())})
    given = [repr(str(place))]
    if any(part["kind"] == "module" for part in parts):
        given.append("build=...")
    if any(part.get("preprocess") for part in parts):
        given.append("preprocess=...")
    if trusted:
        given.append(f"trusted={trusted}")
    return f"from uncork import load_treated\nmodel = load_treated({', '.join(given)})"
