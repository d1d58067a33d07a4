"""A scikit-learn estimator, or one that looks like it, as a Model."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.models.base import Output, from_probabilities, from_score, is_frame, rows_in
from uncork.models.code import code_fingerprint
from uncork.schema.errors import BadInput

#: What estimators raise when a batch doesn't suit them; lightgbm has an error of its own that shares no base.
_REFUSALS = (ValueError, TypeError, RuntimeError, LookupError)
_TOLERANCE = 1e-3


class SklearnModel:
    """A fitted classifier (predict_proba, else decision_function) or regressor.

    `preprocess` gets the batch as the split gives it. Raises BadInput where the estimator is not fitted, or has
    neither method.
    """

    has_inputs = True
    accepts_nan = True

    def __init__(
        self, estimator: Any, *, task: str | None = None, preprocess: Callable[[Any], Any] | None = None
    ) -> None:
        # Predicting may leave marks (call counters in neighbour trees): the user's own estimator stays as it was given.
        self.estimator, self._used, self.preprocess = estimator, copy.deepcopy(estimator), preprocess
        self.task = task or estimator_task(estimator) or "classification"
        self.classes: tuple[str, ...] | None = None
        self.n_outputs = 1
        _check_fitted(estimator)
        if self.task == "classification":
            self._method = next((m for m in ("predict_proba", "decision_function") if hasattr(estimator, m)), "")
            if not self._method:
                raise BadInput(
                    f"{_name(estimator)} has neither predict_proba nor decision_function: a classifier needs one "
                    "(SVC: probability=True; or wrap it in CalibratedClassifierCV)"
                )
            if not hasattr(estimator, "classes_"):
                raise BadInput(f"{_name(estimator)} has no classes_: fit it first")
            self.classes = _class_names(estimator.classes_)
            self.n_outputs = len(self.classes)
        else:
            self._method = "predict"

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits (b, K): ln p, or decision scores; predicted values (b, 1) in regression. There are no features."""
        if self.preprocess is not None:
            batch = self.preprocess(batch)
        if isinstance(batch, np.ndarray) and batch.ndim > 2:
            batch = batch.reshape(len(batch), -1)
        batch, n = _by_name(self.estimator, batch), rows_in(batch)
        try:
            out = getattr(self._used, self._method)(batch)
        except Exception as error:
            if not isinstance(error, _REFUSALS) and not type(error).__module__.startswith("lightgbm"):
                raise
            shape = getattr(batch, "shape", (n,))[1:]
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BadInput(f"x: {_name(self.estimator)} refuses rows of shape {tuple(shape)}: {first}") from error
        out = np.asarray(out)
        if self.task == "regression":
            if out.size != n:
                raise BadInput(f"{_name(self.estimator)} predicts {out.shape[1:]} values a row: give a model with one")
            return Output(out.reshape(-1, 1).astype(np.float64))
        if self._method == "predict_proba":
            if (out < -_TOLERANCE).any() or (out > 1 + _TOLERANCE).any():
                raise BadInput(
                    f"{_name(self.estimator)}.predict_proba returns {out.min():.4g} to {out.max():.4g}, which are no "
                    "probabilities: of skorch give criterion=torch.nn.CrossEntropyLoss to a module that returns logits"
                )
            logits = from_probabilities(out)
        else:
            logits = from_score(out) if out.ndim == 1 else out.astype(np.float32)
        if logits.shape != (n, self.n_outputs):
            raise BadInput(
                f"{_name(self.estimator)}.{self._method} returns {logits.shape} for {n} rows and "
                f"{self.n_outputs} classes: give one score per class (one-vs-rest, not one-vs-one)"
            )
        return Output(logits)

    def fingerprint(self) -> str:
        """Hash of the estimator, its fitted attributes and preprocess."""
        import cloudpickle
        import joblib
        from joblib.hashing import NumpyHasher

        class Lasting(NumpyHasher):  # type: ignore[misc]
            """Leaves out what is another in every process: the address that text vectorizers keep of their stop words,
            and the bytes that torch makes of a module, for which its own fingerprint stands."""

            def save(self, obj: Any) -> None:
                if isinstance(obj, dict) and "_stop_words_id" in obj:
                    obj = {name: value for name, value in obj.items() if name != "_stop_words_id"}
                super().save(_of_torch(obj))

        code = "" if self.preprocess is None else code_fingerprint(self.preprocess)
        try:
            return str(Lasting("md5").hash((self.estimator, self.task, code)))
        except Exception:  # lambdas and classes of __main__ inside a pipeline can't be pickled by reference
            return str(joblib.hash((cloudpickle.dumps(self.estimator), self.task, code)))

    def describe(self) -> dict[str, Any]:
        scores = self._method == "decision_function"
        return {
            "kind": "scikit-learn",
            "class": _name(self.estimator),
            "parameters": None,
            "bytes": None,
            "feature_layer": None,
            "features": "none: the model has no penultimate layer that is known",
            "note": "outputs are scores (decision_function), not probabilities" if scores else "",
        }


def _of_torch(part: Any) -> Any:
    """A torch module by its fingerprint, a skorch net by its parts; anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(part, torch.nn.Module):
        from uncork.models.torch_model import TorchModel

        return TorchModel(part, task="classification").fingerprint()
    if any(kind.__module__ == "skorch.net" for kind in type(part).__mro__):
        reads = str(part.predict_nonlinearity)
        return type(part).__qualname__, part.module_, part.criterion_, reads, getattr(part, "classes_", None)
    return part


def looks_like_estimator(model: Any) -> bool:
    """Whether something has fit and predict, as scikit-learn's estimators and its followers' have."""
    return all(callable(getattr(model, name, None)) for name in ("fit", "predict"))


def estimator_task(estimator: Any) -> str | None:
    """ "classification" or "regression", where the estimator says so."""
    from sklearn.base import is_classifier, is_regressor

    try:
        if is_classifier(estimator):
            return "classification"
        if is_regressor(estimator):
            return "regression"
    except (AttributeError, TypeError):  # followers without tags
        pass
    return "classification" if hasattr(estimator, "predict_proba") else None


def _check_fitted(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise BadInput(f"{_name(estimator)} is not fitted: call fit on train before giving it to Subject") from None
    except (AttributeError, TypeError):  # not scikit-learn's own: its predict will tell
        pass


def _by_name(estimator: Any, batch: Any) -> Any:
    """A table with the columns that the estimator was fitted on in their order, which lightgbm doesn't look at."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or not is_frame(batch):
        return batch
    # lightgbm writes _ for spaces, and Column_0 where it saw no names.
    wanted = [re.sub(r"\s", "_", str(name)) for name in names]
    given = {re.sub(r"\s", "_", str(name)): name for name in batch.columns}
    if set(given) == set(wanted) and len(given) == len(batch.columns):
        return batch if list(given) == wanted else batch[[given[name] for name in wanted]]
    blind = type(estimator).__module__.startswith(("lightgbm", "uncork.models.boosted"))
    if blind and not all(re.fullmatch(r"Column_\d+", name) for name in wanted):
        raise BadInput(
            f"x: {_name(estimator)} was fitted on the columns {', '.join(wanted)}, but gets {', '.join(given)}: give "
            "those by their names"
        )
    return batch


def _class_names(classes: Any) -> tuple[str, ...]:
    """Floats that are whole, as a y of floats makes them, are named like ints: that is how labels are compared."""
    values = np.asarray(classes)
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    return tuple(str(c) for c in values)


def _name(estimator: Any) -> str:
    return type(estimator).__name__
