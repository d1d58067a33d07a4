"""Which adapter a user's model gets, and which task it does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.models.base import Model
from uncork.models.onnx_model import OnnxModel
from uncork.models.predictions import Predictions, PredictionsModel, as_predictions
from uncork.models.sklearn_model import SklearnModel, estimator_task, looks_like_estimator
from uncork.schema.errors import BadInput
from uncork.schema.subject import SPLITS, Subject

CHECK_ROWS = 65536
TRIED_ROWS = 256


def adapt(subject: Subject, task: str) -> Model:
    """The subject's model behind the Model protocol, tried on 256 rows so that what doesn't fit is said at once.

    Raises BadInput where the model is of no known kind, refuses the rows, or names its classes in another order;
    Predictions are checked whole.
    """
    if isinstance(subject.model, Predictions):
        return _predictions(subject, task)
    model = as_model(subject.model, task, preprocess=subject.preprocess, features=subject.features)
    _check_order(subject, model)
    for name in ("validation", "train", "test"):
        split = getattr(subject, name)
        if split is not None:
            try:
                model.outputs(split.take(np.arange(min(TRIED_ROWS, len(split)))))
            except BadInput as error:
                raise BadInput(f"{name}.{error}" if str(error).startswith("x") else str(error)) from error
            break
    return model


def as_model(
    model: Any, task: str, *, preprocess: Callable[[Any], Any] | None = None, features: str | None = None
) -> Model:
    """The adapter for a model; one that has the protocol already passes through."""
    torch = sys.modules.get("torch")
    if (torch is not None and isinstance(model, torch.jit.ScriptModule)) or _exported(model):
        from uncork.models.program import Program

        model = Program.of(model)
    if torch is not None and isinstance(model, torch.nn.Module):
        from uncork.models.torch_model import TorchModel

        return TorchModel(model, task=task, preprocess=preprocess, features=features)
    if isinstance(model, OnnxModel):
        if features is not None:
            raise BadInput(
                f"features={features!r}: an ONNX file doesn't show what goes through its layers: leave it out"
            )
        return model.for_task(task, preprocess)
    if _ready(model):
        model = model.told(preprocess, features)
    if isinstance(model, Model):
        return model
    if looks_like_estimator(model):
        return SklearnModel(model, task=task, preprocess=preprocess)
    raise BadInput(
        f"model is of type {type(model).__name__}: give a torch.nn.Module, a fitted scikit-learn estimator "
        "(anything with fit and predict or predict_proba), the path of a model's file, or Predictions() where the "
        "splits hold probabilities"
    )


def infer_task(subject: Subject) -> str:
    """ "classification" or "regression": from the metric, else the model, else y (floats that are no integers).

    Raises BadInput where they contradict one another.
    """
    asked, own = subject.metric.task, _task_of(subject.model)
    continuous = _continuous(subject)
    held = "regression" if continuous else own
    if asked is not None and held is not None and asked != held:
        why = "y holds numbers that are no integers" if continuous else f"the model does {own}"
        way_out = "metric='rmse' or 'mae'" if held == "regression" else "metric='error' or 'log-loss'"
        raise BadInput(f"metric {subject.metric.name!r} belongs to {asked} but {why}: give {way_out}")
    return asked or held or "classification"


def _exported(model: Any) -> bool:
    """Whether it is what torch.export.export or load returns."""
    return type(model).__name__ == "ExportedProgram"


def _ready(model: Any) -> bool:
    """Whether it is a torch module that has its adapter already, as a folder of transformers is loaded."""
    adapter = sys.modules.get("uncork.models.torch_model")
    return adapter is not None and type(model) is adapter.TorchModel


def _check_order(subject: Subject, model: Model) -> None:
    given, own = subject.classes, model.classes
    if given is not None and own is not None and tuple(given) != own and sorted(given) == sorted(own):
        raise BadInput(
            f"classes are in the order of the model's outputs: {', '.join(own)}, not {', '.join(given)}: "
            "give them so, or leave classes out"
        )


def _task_of(model: Any) -> str | None:
    if isinstance(model, Predictions):
        return model.task
    torch = sys.modules.get("torch")
    if _exported(model) or (torch is not None and isinstance(model, torch.nn.Module)):
        return None
    if isinstance(model, OnnxModel):
        return model.told_task
    if isinstance(model, Model):
        return model.task
    return estimator_task(model) if looks_like_estimator(model) else None


def _continuous(subject: Subject) -> bool:
    for name in SPLITS:
        split = getattr(subject, name)
        y = None if split is None else split.y
        if y is not None:
            return bool(y.dtype.kind == "f" and (y != np.floor(y)).any())
    return False


def _predictions(subject: Subject, task: str) -> PredictionsModel:
    """Every row is checked, since one that is no distribution would spoil every figure."""
    model: PredictionsModel | None = None
    for name in ("train", "validation", "test", "shifted"):
        split = getattr(subject, name)
        if split is None:
            continue
        for rows, batch in split.batches(CHECK_ROWS):
            if model is None:
                model = PredictionsModel(task, as_predictions(batch, task).shape[1])
            model.check_batch(f"{name}.x", batch, first_row=int(rows[0]))
    if model is None:
        raise BadInput("the subject has no split that holds predictions: give test=Split(probabilities, labels)")
    return model
