"""uncork measures what holds a trained neural network back, mends it, and proves the gain.

The names below are loaded when first used, so that `import uncork` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Split": "uncork.data.split",
    "read_split": "uncork.data.read",
    "Recipe": "uncork.train.recipe",
    "Metric": "uncork.schema.metric",
    "Pool": "uncork.schema.pool",
    "Subject": "uncork.schema.subject",
    "Behaviour": "uncork.schema.behaviour",
    "Predictions": "uncork.models.predictions",
    "audit": "uncork.run.audit",
    "treat": "uncork.run.treat",
    "diff": "uncork.run.diff",
    "from_skorch": "uncork.train.from_skorch",
    "from_trainer": "uncork.train.from_trainer",
    "acquire": "uncork.run.acquire",
    "explain": "uncork.run.explain",
    "patch": "uncork.run.patch",
    "export": "uncork.run.export",
    "load_weights": "uncork.models.weights",
    "load_model": "uncork.models.load",
    "load_treated": "uncork.run.load",
    "Report": "uncork.schema.report",
    "BadInput": "uncork.schema.errors",
    "UncorkError": "uncork.schema.errors",
}

__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from uncork.data.read import read_split as read_split
    from uncork.data.split import Split as Split
    from uncork.models.load import load_model as load_model
    from uncork.models.predictions import Predictions as Predictions
    from uncork.models.weights import load_weights as load_weights
    from uncork.run.acquire import acquire as acquire
    from uncork.run.audit import audit as audit
    from uncork.run.diff import diff as diff
    from uncork.run.explain import explain as explain
    from uncork.run.export import export as export
    from uncork.run.load import load_treated as load_treated
    from uncork.run.patch import patch as patch
    from uncork.run.treat import treat as treat
    from uncork.schema.behaviour import Behaviour as Behaviour
    from uncork.schema.errors import BadInput as BadInput
    from uncork.schema.errors import UncorkError as UncorkError
    from uncork.schema.metric import Metric as Metric
    from uncork.schema.pool import Pool as Pool
    from uncork.schema.report import Report as Report
    from uncork.schema.subject import Subject as Subject
    from uncork.train.from_skorch import from_skorch as from_skorch
    from uncork.train.from_trainer import from_trainer as from_trainer
    from uncork.train.recipe import Recipe as Recipe


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'uncork' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
