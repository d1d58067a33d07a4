"""A treated model from its folder, ready to be used: nothing is unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zipfile import BadZipFile

import numpy as np
from scipy.special import softmax

from uncork.data.split import Split
from uncork.derived.strangeness import Detector
from uncork.models.aligned import Aligned
from uncork.models.base import BATCH, Model, Output, logits_of
from uncork.models.contracted import Contracted, InputContract
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Bounded, Decision, Guarded, decide
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.on_features import Encoder, OnFeatures
from uncork.models.patched import Memory, Patched
from uncork.models.predictions import PredictionsModel
from uncork.models.rejecting import Rejecting
from uncork.models.ruled import Rule, Ruled
from uncork.models.scaled import Scaled
from uncork.models.sklearn_model import SklearnModel
from uncork.models.smoothed import Smoothed
from uncork.models.temperature import Tempered
from uncork.models.viewed import Viewed
from uncork.models.weights import load_weights
from uncork.schema.certificate import Certificate
from uncork.schema.errors import BadInput, MissingExtra
from uncork.train.recipe import Recipe
from uncork.train.resized import changed

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

Spec = Mapping[str, Any]


class Loaded:
    """A Model that takes rows as `Split` does. `classes`: their names in the order of its outputs, where known.

    Those given come before `inner`'s own, where there is one for each output: what a recipe trains names its outputs
    0 to K − 1.
    """

    def __init__(self, inner: Model, classes: Sequence[str] | None = None) -> None:
        self.inner = inner
        self.task, self.has_inputs, self.accepts_nan = inner.task, inner.has_inputs, inner.accepts_nan
        named = inner.classes if classes is None or len(classes) != inner.n_outputs else tuple(classes)
        self.classes: tuple[str, ...] | None = named

    @property
    def n_outputs(self) -> int:
        return self.inner.n_outputs

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return self.inner.outputs(batch, features)

    def fingerprint(self) -> str:
        return self.inner.fingerprint()

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()

    def predict_proba(self, x: Any) -> Float[np.ndarray, "n k"]:
        """(n, K) probabilities of the rows of `x`: a Split, or what it takes. Raises BadInput in regression."""
        if self.task != "classification":
            raise BadInput("this model does regression: call predict")
        p: Float[np.ndarray, "n k"] = softmax(self._outputs(x).astype(np.float64), axis=1)
        return p

    def decide(self, x: Any) -> list[Decision]:
        """What is said of each row of `x`: an answer, by its name where it is known, the classes that are left, or that
        the row is handed over; in a regression a value, with its interval where the model has one."""
        split = x if isinstance(x, Split) else Split(x)
        return [one for _, batch in split.batches(BATCH) for one in decide(self.inner, batch, self.classes)]

    def predict(self, x: Any) -> Shaped[np.ndarray, " n"]:
        """(n,) positions in `classes` of the most probable; predicted values in regression."""
        out = self._outputs(x)
        return out.argmax(axis=1) if self.task == "classification" else out[:, 0]

    def _outputs(self, x: Any) -> Float[np.ndarray, "n k"]:
        split = x if isinstance(x, Split) else Split(x)
        return logits_of(self.inner, split)


def load_treated(
    folder: str | Path,
    build: Callable[..., Any] | None = None,
    *,
    preprocess: Callable[[Any], Any] | None = None,
    trusted: Sequence[str] = (),
) -> Loaded:
    """The model that `treat` kept, from the run's folder or its `treated`; it can be given to Subject too.

    `build`: makes the torch module, as in Recipe; called with the width or depth that was kept, where it takes them.
    `preprocess`: as of the subject that was treated. `trusted`: types beyond scikit-learn's own that an estimator may
    be made of. Raises BadInput where something is missing, damaged or not trusted, or was not saved, and MissingExtra
    where an estimator needs skops.
    """
    folder = Path(folder)
    place = folder if (folder / "treated.json").is_file() else folder / "treated"
    about = _about(place / "treated.json", folder)
    if len({part["preprocess"] for part in leaves(about["model"]) if part.get("preprocess")}) > 1:
        raise BadInput(
            f"{place} holds models that were each preprocessed in another way: load their weights one by one"
        )
    return Loaded(_Reader(place, build, preprocess, tuple(trusted)).model(about["model"]), about.get("classes"))


def leaves(spec: Spec) -> Iterator[Spec]:
    """The parts of a spec that hold no others."""
    inner = [spec[name] for name in ("inner", "fallback") if name in spec] or spec.get("members", [])
    for part in inner:
        yield from leaves(part)
    if not inner:
        yield spec


def _about(path: Path, folder: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(
            f"{folder} holds no treated.json: give the folder of a run in which treat kept a remedy"
        ) from None
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): treat again") from error
    if not isinstance(about, dict) or not isinstance(about.get("model"), dict):
        raise BadInput(f"{path} doesn't say what the model is made of: treat again with this version of uncork")
    return about


#: Changes that a few numbers say, as `save_treated` writes them.
_BY_NUMBERS: dict[str, Callable[[Model, Spec], Model]] = {
    "temperature": lambda inner, spec: Tempered(inner, spec["temperature"]),
    "offset": lambda inner, spec: Offset(inner, spec["offset"]),
    "vector-scaling": lambda inner, spec: Scaled(inner, spec["factor"], spec["added"]),
    "smoothed": lambda inner, spec: Smoothed(inner, spec["sigma"], spec["copies"], spec["alpha"], spec["seed"]),
    "views": lambda inner, spec: Viewed(inner, spec["views"]),
}


@dataclass(frozen=True)
class _Reader:
    place: Path
    build: Callable[..., Any] | None
    preprocess: Callable[[Any], Any] | None
    trusted: tuple[str, ...]

    def model(self, spec: Spec) -> Model:
        """The model that a spec of `save_treated` describes."""
        kind = spec["kind"]
        if kind == "ensemble":
            return Ensemble([self.model(member) for member in spec["members"]], spec["weights"])
        if kind == "predictions":
            return PredictionsModel(spec["task"], spec["outputs"])
        if kind == "module":
            return self._module(spec)
        if kind in ("onnx", "program"):
            return self._file(spec)
        if kind == "estimator" and spec["file"] is not None:
            return SklearnModel(self._estimator(spec), task=spec["task"], preprocess=self._preprocess(spec))
        if "inner" in spec:
            return self._changed(kind, self.model(spec["inner"]), spec)
        raise BadInput(f"{self.place} holds no model of kind {kind!r}: {spec.get('reason', 'it is not known')}")

    def _changed(self, kind: str, inner: Model, spec: Spec) -> Model:
        if kind in _BY_NUMBERS:
            return _BY_NUMBERS[kind](inner, spec)
        if kind == "guard":
            left = math.inf if spec["left"] is None else spec["left"]
            fallback = self.model(spec["fallback"]) if "fallback" in spec else None
            certificate = Certificate(**spec["certificate"])
            return Guarded(inner, certificate, left=left, coverage=spec["coverage"], fallback=fallback)
        if kind == "intervals":
            widths = [math.inf if width is None else width for width in spec["widths"]]
            return Bounded(inner, spec["edges"], widths, coverage=spec["coverage"], n=spec["n"], date=spec["date"])
        if kind == "contract":
            return Contracted(inner, InputContract.of_json(spec["contract"]))
        if kind == "aligned":
            return Aligned(inner, np.array(spec["columns"], np.int64), spec["classes"])
        if kind in ("patched", "ruled"):
            return self._corrected(inner, spec)
        if kind == "early-exit":
            from uncork.models.early_exit import EarlyExit

            return EarlyExit.of_parts(inner, spec, self._arrays(spec["file"]))
        if kind == "isotonic":
            arrays = self._arrays(spec["file"])
            knots = [(arrays[f"x{k}"], arrays[f"y{k}"]) for k in range(len(arrays) // 2)]
            return Isotonic(inner, knots, spec["rows"])
        if kind == "on-features":
            arrays = self._arrays(spec["file"])
            encoder = Encoder(inner, whole=spec["whole"])
            return OnFeatures(encoder, arrays["weight"], arrays["bias"], task=spec["task"])
        if kind == "rejecting":
            detector = Detector(spec["score"], {} if spec["file"] is None else self._arrays(spec["file"]))
            stated = {"rate": spec["false_rejection"], "confidence": spec["confidence"], "rows": spec["rows"]}
            return Rejecting(inner, detector, spec["threshold"], **stated)
        raise BadInput(f"{self.place}: a change of kind {kind!r} is not known: update uncork")

    def _corrected(self, inner: Model, spec: Spec) -> Model:
        if spec["kind"] == "ruled":
            return Ruled(inner, [(Rule.read(text), label) for text, label in spec["rules"]])
        return Patched(inner, Memory.of_arrays(self._arrays(spec["file"])))

    def _module(self, spec: Spec) -> Model:
        import torch

        from uncork.models.torch_model import TorchModel

        if self.build is None:
            raise BadInput(f"{self.place} holds weights of {spec['class']}: give build=, the function that makes it")
        recipe = Recipe(self.build, epochs=1)
        made = recipe.make(**{name: size for name, size in spec["built_with"].items() if recipe.takes(name)})
        made = changed(made, spec.get("resized", ()))
        module = made if spec["file"] is None else load_weights(made, self.place / spec["file"])
        if spec.get("numbers") in ("bfloat16", "float16"):
            module = module.to(getattr(torch, spec["numbers"]))
        model = TorchModel(
            module.eval(), task=spec["task"], preprocess=self._preprocess(spec), features=spec["features"]
        )
        # What batches had settled before it was saved, a single row can't.
        model.n_outputs, model._probabilities = spec["outputs"], spec["probabilities"]
        return model

    def _file(self, spec: Spec) -> Model:
        """A model that is a file of its own, read as it was before."""
        model: Any
        if spec["kind"] == "onnx":
            from uncork.models.as_onnx import AsArrays
            from uncork.models.onnx_model import OnnxModel

            content, preprocess = self._content(spec["file"]), self._preprocess(spec)
            if preprocess is not None and spec.get("tensors"):
                preprocess = AsArrays(preprocess)
            model = OnnxModel(content, task=spec["task"], preprocess=preprocess, output=spec["output"])
        else:
            from uncork.models.load import load_model
            from uncork.models.torch_model import TorchModel

            refused = [name for name in spec["trusted"] if name not in self.trusted]
            if refused:
                raise BadInput(
                    f"{self.place / spec['file']} is a torch.export program, and reading one may run what somebody put "
                    f"into it: if you trust it, give trusted={refused}"
                )
            program = load_model(self.place / spec["file"], trust_pickle=bool(spec["trusted"]))
            model = TorchModel(program, task=spec["task"], preprocess=self._preprocess(spec))
        model.n_outputs, model._probabilities = spec["outputs"], spec["probabilities"]
        return cast("Model", model)

    def _estimator(self, spec: Spec) -> Any:
        try:
            import skops.io
        except ImportError:
            raise MissingExtra("sklearn", f"loading {spec['class']}") from None
        path, content = self.place / spec["file"], self._content(spec["file"])
        try:
            foreign = skops.io.get_untrusted_types(data=content)
            refused = [name for name in foreign if name not in self.trusted]
            if refused:
                raise BadInput(
                    f"{path} is made of types that could run code: {', '.join(refused)}: if you trust them, "
                    f"give trusted={refused}"
                )
            return skops.io.loads(content, trusted=foreign)
        except (BadZipFile, KeyError, ValueError) as error:
            raise BadInput(f"{path} is damaged ({error}): treat again") from error
        except (ImportError, AttributeError) as error:
            raise BadInput(
                f"{path} needs code that is not here ({error}): install it, or put it on the path"
            ) from error

    def _preprocess(self, spec: Spec) -> Callable[[Any], Any] | None:
        if not spec["preprocess"]:
            return None
        if self.preprocess is None:
            raise BadInput(
                f"{self.place} holds a model whose batches were preprocessed: give preprocess= as of Subject"
            )
        return self.preprocess

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self._content(name))
        except SafetensorError as error:
            raise BadInput(f"{self.place / name} is damaged ({error}): treat again") from error

    def _content(self, name: str) -> bytes:
        try:
            return (self.place / name).read_bytes()
        except FileNotFoundError:
            raise BadInput(f"{self.place / name}: there is no such file: treat again") from None
