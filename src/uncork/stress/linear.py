"""Exact smallest change that fools a linear model, in closed form.

Between the label y and another class k the boundary is (W_k − W_y)·x + b_k − b_y = 0; the nearest point on it is
margin / ‖W_y − W_k‖ away, in the dual norm: L1 for L∞, L2 for L2 (Boyd & Vandenberghe, Convex optimization, 2004,
§8.1). The nearest of all classes is the smallest change. The box of x is left aside, which grants an attacker more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.models.base import Model
from uncork.models.sklearn_model import SklearnModel
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel
from uncork.models.wrapped import Wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int

_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "PCA")
_AT_ONCE = 256  # columns


def distances(
    w: Float[np.ndarray, "k d"],
    b: Float[np.ndarray, " k"],
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    norm: str,
) -> Float[np.ndarray, " n"]:
    """(n,) smallest change of each row in `norm` that makes another class as likely; 0 where the model is wrong."""
    scores = x @ w.T + b
    gaps = scores[np.arange(len(x)), y][:, None] - scores
    dual = np.stack([np.linalg.norm(w - w[k], 1 if norm == "linf" else 2, axis=1) for k in range(len(w))])[y]
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(dual > 0, gaps / dual, np.where(gaps >= 0, np.inf, 0.0))
    away[np.arange(len(x)), y] = np.inf
    nearest: np.ndarray = np.maximum(away.min(axis=1), 0.0)
    return nearest


def affine(model: Model, x: Float[np.ndarray, "n d"], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """(W (K, d), b (K,)) of a model whose decision is the largest of Wx + b; None where it is not known to be one.

    Linear classifiers of scikit-learn, after scalers or PCA or not, and torch modules of one Linear; `x`: flat rows on
    which it must hold, `shape`: theirs as the model takes them.
    """
    if isinstance(model, Tempered) or (hasattr(model, "inner") and not isinstance(model, Wrapped)):
        return affine(model.inner, x, shape)  # of one that was loaded too
    if isinstance(model, SklearnModel) and model.preprocess is None and len(model.classes or ()) > 1:
        return _of_estimator(model.estimator, x.shape[1])
    if isinstance(model, TorchModel) and _one_linear(model.module):
        return _of_function(lambda rows: model.outputs(rows.reshape(-1, *shape).astype(np.float32)).logits, x)
    return None


def _of_estimator(estimator: Any, width: int) -> tuple[np.ndarray, np.ndarray] | None:
    from sklearn.linear_model._base import LinearClassifierMixin
    from sklearn.pipeline import Pipeline

    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *before, last = [step for step in steps if step not in ("passthrough", None)]
    if not isinstance(last, LinearClassifierMixin) or any(type(step).__name__ not in _SCALERS for step in before):
        return None
    if any(getattr(step, "clip", False) for step in before):
        return None
    at = np.concatenate([np.zeros((1, width)), np.eye(width)])
    for step in before:
        at = step.transform(at)
    w, b = np.atleast_2d(last.coef_), np.atleast_1d(last.intercept_)
    if len(w) == 1:
        w, b = np.concatenate([np.zeros_like(w), w]), np.concatenate([[0.0], b])
    return w @ (at[1:] - at[0]).T, w @ at[0] + b


def _one_linear(module: nn.Module) -> bool:
    leaves = [part for part in module.modules() if not list(part.children())]
    known = (nn.Linear, nn.Flatten, nn.Identity, nn.Dropout)
    chained = all(isinstance(part, nn.Sequential) for part in module.modules() if list(part.children()))
    lone = sum(isinstance(part, nn.Linear) for part in leaves) == 1
    return chained and lone and all(isinstance(part, known) for part in leaves)


def _of_function(outputs: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """By differences around the mean row; None where the rows themselves say otherwise, as preprocessing may."""
    middle, scale = x.mean(axis=0), np.maximum(np.ptp(x, axis=0), 1e-6)
    at = outputs(middle[None]).astype(np.float64)
    columns = np.arange(x.shape[1])
    parts = [columns[start : start + _AT_ONCE] for start in range(0, len(columns), _AT_ONCE)]
    moved = np.concatenate([outputs(middle + scale * (part[:, None] == columns)) for part in parts])
    w = ((moved - at) / scale[:, None]).T
    b = at[0] - w @ middle
    told = outputs(x)
    fits = np.abs(x @ w.T + b - told).max() <= 1e-3 * max(float(np.abs(told).max()), 1.0)
    return (w, b) if fits and torch.isfinite(torch.from_numpy(w)).all() else None
