"""What the user cares for: the metric's direction, unit, and the practical threshold δ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from uncork.schema.errors import BadInput


@dataclass(frozen=True)
class _Known:
    unit: str
    scale: float
    delta: float | None
    task: str
    higher_is_better: bool = False


_KNOWN = {
    "error": _Known("errors per 1,000", 1000.0, 5.0, "classification"),
    "accuracy": _Known("right per 1,000", 1000.0, 5.0, "classification", higher_is_better=True),
    "wrong-answers": _Known("wrong answers per 1,000", 1000.0, 5.0, "classification"),
    "log-loss": _Known("nats", 1.0, 0.01, "classification"),
    "cost": _Known("cost per 1,000", 1000.0, 5.0, "classification"),
    "auc": _Known("AUC", 1.0, 0.005, "classification", higher_is_better=True),
    "rmse": _Known("RMSE", 1.0, None, "regression"),
    "mae": _Known("MAE", 1.0, None, "regression"),
}


@dataclass(frozen=True, eq=False)
class Metric:
    """The figure that headroom is counted in.

    `spec` is one of "error", "accuracy", "wrong-answers" (error, rows handed over left uncounted), "log-loss",
    "auc", "rmse", "mae"; or a K × K cost matrix
    (`cost[true, predicted]`); or a callable `(probabilities or predicted values, y) -> float`.
    `delta` is the smallest difference worth acting on, in the metric's display unit (per 1,000
    predictions for error, accuracy and cost). Default: 5 per 1,000; .01 nats; .005 AUC; for RMSE, MAE
    and callables 1 % of the model's present value.
    `higher_is_better` and `name` are needed for callables only.

    Everything inside uncork counts gains as positive, whatever the metric's direction.
    """

    spec: Any
    delta: float | None = None
    higher_is_better: bool | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.spec, str):
            if self.spec not in _KNOWN or self.spec == "cost":
                named = ", ".join(sorted(k for k in _KNOWN if k != "cost"))
                raise BadInput(f"metric {self.spec!r} is not known: use one of {named}, a cost matrix, or a callable")
            self._settle(self.spec)
        elif callable(self.spec):
            if self.higher_is_better is None:
                raise BadInput("metric is a callable: say its direction, Metric(fn, higher_is_better=True or False)")
            object.__setattr__(self, "name", self.name or getattr(self.spec, "__name__", "custom metric"))
        else:
            cost = np.asarray(self.spec, dtype=float)
            if cost.ndim != 2 or cost.shape[0] != cost.shape[1] or not np.isfinite(cost).all():
                raise BadInput(
                    f"metric is an array of shape {cost.shape}: a cost matrix is square and finite, "
                    "cost[true class, predicted class]"
                )
            object.__setattr__(self, "spec", cost)
            self._settle("cost")
        if self.delta is not None and not self.delta > 0:
            raise BadInput(f"metric delta is {self.delta}: give the smallest gain worth acting on, above 0")

    def _settle(self, kind: str) -> None:
        known = _KNOWN[kind]
        object.__setattr__(self, "name", self.name or kind)
        object.__setattr__(self, "higher_is_better", known.higher_is_better)
        if self.delta is None:
            object.__setattr__(self, "delta", known.delta)

    @property
    def kind(self) -> str:
        """One of the known names, "cost", or "callable"."""
        if isinstance(self.spec, str):
            return self.spec
        return "callable" if callable(self.spec) else "cost"

    @property
    def unit(self) -> str:
        return _KNOWN[self.kind].unit if self.kind in _KNOWN else self.name

    @property
    def scale(self) -> float:
        """Display value = scale × raw value."""
        return _KNOWN[self.kind].scale if self.kind in _KNOWN else 1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """What no figure lies beyond, in the display unit."""
        if self.kind in ("error", "accuracy", "wrong-answers", "auc"):
            return 0.0, self.scale
        return (0.0 if self.kind in ("log-loss", "rmse", "mae") else -np.inf), np.inf

    @property
    def task(self) -> str | None:
        """The task the metric belongs to; None for a callable."""
        return _KNOWN[self.kind].task if self.kind in _KNOWN else None

    @property
    def additive(self) -> bool:
        """True where the metric is a mean over rows."""
        return self.kind in ("error", "accuracy", "wrong-answers", "log-loss", "cost", "mae")

    @property
    def sign(self) -> float:
        """+1 where lower is better, so that sign × (before − after) is a gain."""
        return -1.0 if self.higher_is_better else 1.0

    def delta_at(self, value: float) -> float:
        """δ in the display unit, given the model's present display value."""
        return self.delta if self.delta is not None else max(0.01 * abs(value), 1e-12)

    def describe(self) -> dict[str, Any]:
        """What goes into subject.json and report.json."""
        spec = np.asarray(self.spec).tolist() if self.kind == "cost" else self.name
        return {"name": self.name, "spec": spec, "unit": self.unit, "delta": self.delta}
