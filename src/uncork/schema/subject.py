"""What is audited."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from uncork.schema.behaviour import Behaviour
from uncork.schema.errors import BadInput
from uncork.schema.metric import Metric

SPLITS = ("train", "validation", "test")

#: What `require` may state, with the default that holds where the user states nothing.
REQUIREMENTS: dict[str, float] = {
    "ece": 0.02,  # largest calibration error (root mean square over equal-mass bins, debiased)
    "precision": 0.99,  # share of right answers among those a selective model gives
    "confidence": 0.95,  # probability with which a guarantee holds (1 − δ of Learn-then-Test)
    "coverage": 0.9,  # coverage asked of conformal sets and intervals
    "under_attack": 0.9,  # share of rows still right in the worst case within the declared threat
    "false_rejection": 0.05,  # share of the model's own rows that may be rejected as strangers
    "strangers": 0.1,  # largest share of strangers that may go unrecognised at that
    "behaviour": 0.05,  # largest share of cases that may break a stated behaviour
}

#: Attacks that may be declared in `require`: the norm, and how far x may be moved in it, in the units of x as given.
#: Nothing is attacked without one.
THREATS = ("linf", "l2")
#: Limits of the cost column: the longest that one row may take, 99 times of 100, in milliseconds. None by default.
COSTS = ("latency_ms",)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, its data, how it was trained, and the metric its user cares for.

    `model`: a torch module or program, a scikit-learn estimator, the path of a model's file (see `load_model`), or
    `Predictions()` where splits hold probabilities.
    `test`, `validation`, `train`: `Split`s. Without `validation`, half of test is set aside for it.
    `recipe`: how the model was trained; without it nothing that retrains can be measured.
    `metric`: a name or a `Metric`. `classes`: names of the classes in the order of the outputs.
    `shifted`: rows from where the model is to be used next; their labels are taken where there are any. `unlabelled`:
    rows like train's, whose labels nobody knows. `backbones`: {name: encoder} that could stand where the model's own
    does, each a torch module from a batch (after `preprocess`) to features (b, d), or a model that has features.
    `preprocess`: applied to every batch before the model sees it.
    `require`: limits of the trust column, such as `{"ece": .02, "precision": .99}`, and at most one declared threat,
    such as `{"linf": 8 / 255}`: how far an attacker may move x, in the units of x as it is given; `{"latency_ms": 20}`
    is the longest that one row may take, 99 times of 100.
    `strangers`: rows that the model was not made for and should not answer; their labels, if any, are not looked at.
    `behaviours`: relations that the model's decisions should keep, each a `Behaviour`; tried beside those built in.
    `features`: name of the torch submodule whose input counts as the penultimate features.
    `name`: what the run folder and the report are called.
    """

    model: Any
    _: KW_ONLY
    test: Any
    validation: Any = None
    train: Any = None
    recipe: Any = None
    metric: Any = "error"
    classes: Sequence[str] | None = None
    shifted: Any = None
    unlabelled: Any = None
    backbones: Mapping[str, Any] | None = None
    strangers: Any = None
    behaviours: Sequence[Behaviour] = ()
    preprocess: Callable[[Any], Any] | None = None
    require: Mapping[str, float] | None = None
    name: str | None = None
    features: str | None = None

    def __post_init__(self) -> None:
        settled: dict[str, Any] = {
            "metric": self.metric if isinstance(self.metric, Metric) else Metric(self.metric),
            "classes": None if self.classes is None else tuple(str(c) for c in self.classes),
            "require": dict(self.require or {}),
            "backbones": dict(self.backbones or {}),
        }
        for key, limit in settled["require"].items():
            settled["require"][key] = _limit(key, limit)
        if sum(key in THREATS for key in settled["require"]) > 1:
            raise BadInput(f"require declares two threats: give one of {', '.join(THREATS)}, and audit the other apart")
        if isinstance(self.behaviours, str) or not isinstance(self.behaviours, Sequence):
            raise BadInput(f"behaviours is of type {type(self.behaviours).__name__}: give a list of Behaviour")
        for behaviour in self.behaviours:
            if not isinstance(behaviour, Behaviour):
                raise BadInput(f"behaviours holds a {type(behaviour).__name__}: give Behaviour(name, ...)")
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def requirement(self, key: str) -> float:
        """The user's limit, or the documented default."""
        return float((self.require or {}).get(key, REQUIREMENTS[key]))

    @property
    def requirements(self) -> dict[str, float]:
        """Every limit, the user's or the default, and the threat and the cost where they were declared."""
        declared = {key: float(limit) for key, limit in (self.require or {}).items() if key in (*THREATS, *COSTS)}
        return {key: self.requirement(key) for key in REQUIREMENTS} | declared

    def without_test(self) -> Subject:
        """The same subject with no test split: what a remedy may see."""
        return replace(self, test=None)

    def replace(self, **changes: Any) -> Subject:
        """A copy with some fields changed."""
        return replace(self, **changes)


def _limit(key: str, limit: Any) -> float:
    """One limit of `require`. Raises BadInput where it is not known, no number, or out of range."""
    if key not in (*REQUIREMENTS, *THREATS, *COSTS):
        raise BadInput(f"require[{key!r}] is not known: use one of {', '.join((*REQUIREMENTS, *THREATS, *COSTS))}")
    try:
        number = float(limit)
    except (TypeError, ValueError):
        raise BadInput(f"require[{key!r}] is {limit!r}: give a number") from None
    if key in THREATS and not 0 < number < math.inf:
        raise BadInput(f"require[{key!r}] is {limit}: give how far x may be moved, above 0, in the units of x")
    if key in COSTS and not 0 < number < math.inf:
        raise BadInput(f"require[{key!r}] is {limit}: give milliseconds, above 0")
    if key in REQUIREMENTS and not 0 < number < 1:
        raise BadInput(f"require[{key!r}] is {limit}: give a share between 0 and 1")
    return number
