"""How probes, remedies and gatherers announce themselves, and how they are found.

Each is one file in its folder; its id is the file's name with dashes. Third parties add theirs by the entry point
groups `uncork.probes`, `uncork.remedies` and `uncork.gather`, each entry naming a module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

from uncork.schema.artifacts import Request
from uncork.schema.finding import Column, Measurement, NotApplicable, Tier

Safety = Literal["safe", "checked", "advice"]
Yardstick = Literal["metric", "log-loss", "wrong-answers", "gate", "finding", "tolerance", "shifted"]
#: What a remedy makes less of: wall time of one row, bytes of the model, or nothing that it says.
Saves = Literal["latency", "bytes", ""]

PROBE_SECTIONS = (
    "What it measures",
    "Why it limits the model",
    "Estimator",
    "When it misleads",
    "Remedies and their safety",
    "Example",
    "References",
)
REMEDY_SECTIONS = ("What it does", "Why it helps", "Control", "Safety", "When it fails", "References")
GATHERER_SECTIONS = ("What it gathers", "How it streams", "What it costs")


@dataclass(frozen=True)
class Probe:
    """One bottleneck's measurement: metadata and a pure function of artifacts.

    `spoils`: for a gate, the figures that can't be trusted while it is open. `buys`: for an investment, what its
    headroom costs: (labels, as a multiple of train's rows; trainings by the recipe). `promises`: the remedy whose gain
    the headroom is, where it is one remedy's: predicted, to be compared with what is realised.
    """

    id: str
    tier: Tier
    column: Column
    title: str
    failure_title: str
    requires: Mapping[str, Request]
    remedies: tuple[str, ...]
    measure: Callable[..., Measurement | NotApplicable]
    doc: str
    preview: bool = False
    spoils: str = ""
    buys: tuple[float, float] = (0.0, 0.0)
    promises: str = ""
    sections = PROBE_SECTIONS

    def __call__(self, **artifacts: Any) -> Measurement | NotApplicable:
        return self.measure(**artifacts)


@dataclass(frozen=True)
class Remedy:
    """One intervention: a subject without its test split → a treated subject, and its equal-compute control.

    `yardstick`: what the remedy is judged by: the subject's "metric", a row score ("log-loss", "wrong-answers"), "gate"
    (the finding must close), "finding" (the figure that the finding's verdict comes from, measured again, must be
    better), "tolerance" (the metric must not be worse by δ: what is gained is elsewhere), or "shifted" (the metric, on
    a third of the labelled shifted rows; it gets another third, and the last proves).
    `fits_on_validation`: it then gets half of validation and is judged on the rest.
    `price`: (subject, seeds) → trainings by the recipe that the remedy, its models and its controls take.
    `combines`: its model is made of several, or stands around another, which training again would undo: tried after
    all others that train.
    `on_request`: tried only where it is named: it changes what the model is for (it may hand rows over), or costs what
    its finding can't tell.
    `as_is`: the control is the model or the recipe as it is, at less compute than the remedy on purpose: more training
    would only flatter the remedy.
    `saves`: of one judged by "tolerance" what is gained; it is kept only where that is surely less, timed side by side
    with the model before on the same rows, or counted.
    """

    id: str
    title: str
    safety: Safety
    yardstick: Yardstick
    fits_on_validation: bool
    apply: Callable[..., Any]
    control: Callable[..., Any]
    price: Callable[..., float]
    doc: str
    as_is: bool = False
    combines: bool = False
    on_request: bool = False
    saves: Saves = ""
    sections = REMEDY_SECTIONS

    @property
    def hands_over(self) -> bool:
        """Whether it sets on validation which rows are answered: after all else, since it has to know the model.

        One that is judged by its finding and tried unasked changes the model, as `retrain-last-layer`.
        """
        by_finding = self.yardstick == "finding" and self.on_request
        return self.fits_on_validation and (self.yardstick == "wrong-answers" or by_finding)


@dataclass(frozen=True)
class Gatherer:
    """Makes one kind of artifact. `price` returns seconds; both take (request, context).

    `stored`: whether the artifact is kept as it is; a gatherer that stores its parts itself needs no second copy.
    """

    id: str
    request: type[Request]
    gather: Callable[..., Any]
    price: Callable[..., float]
    doc: str
    stored: bool = True
    sections = GATHERER_SECTIONS


@dataclass
class _Found:
    """What discovery saw: the units, and the modules that could not be imported with their reasons."""

    units: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def identify(module_name: str) -> str:
    """The id that a module's name gives: `uncork.probes.wrong_labels` → `wrong-labels`."""
    return module_name.rsplit(".", 1)[-1].replace("_", "-")


def module_doc(function: Callable[..., Any]) -> str:
    """The docstring of the file a function stands in: the unit's documentation page."""
    return inspect.getdoc(importlib.import_module(function.__module__)) or ""


@functools.cache
def discover(package: str, kind: type) -> _Found:
    """Every unit of `kind` in the files of `package` and in its entry points, by id, in order of the name.

    A module of a third party that fails to import is listed with its reason and sinks nothing.
    """
    found = _Found()
    home = importlib.import_module(package)
    own = sorted(m.name for m in pkgutil.iter_modules(home.__path__) if not m.name.startswith("_"))
    names = [(f"{package}.{name}", True) for name in own]
    names += [(e.value, False) for e in sorted(entry_points(group=package), key=lambda e: e.name)]
    for name, ours in names:
        try:
            module = importlib.import_module(name)
        except Exception as e:
            if ours:
                raise
            found.broken[name] = f"{type(e).__name__}: {e}"
            continue
        for value in vars(module).values():
            if isinstance(value, kind):
                found.units.setdefault(value.id, value)  # type: ignore[attr-defined]
    return found
