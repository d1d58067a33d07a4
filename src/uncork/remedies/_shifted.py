"""What remedies for a new domain share."""

from __future__ import annotations

from typing import Any

from torch import nn

from uncork.data.split import Split
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case
from uncork.schema.errors import Unavailable


def shifted_rows(case: Case) -> Split:
    """The shifted rows that a remedy may see. Raises Unavailable where there are none, or none that could judge it."""
    shifted = case.subject.shifted
    if shifted is None:
        raise Unavailable("no shifted split was given: give Subject(shifted=...)")
    if shifted.y is None:
        raise Unavailable("shifted has no labels, by which a remedy could be judged: give Subject(shifted=Split(x, y))")
    found: Split = shifted
    return found


def module_of(case: Case, why: str) -> nn.Module:
    """The net that the model is. Raises Unavailable where it is none, or something stands around it."""
    model: Any = case.subject.model
    module = model.module if isinstance(model, TorchModel) else model
    if not isinstance(module, nn.Module):
        raise Unavailable(f"{why} needs a torch module, with nothing around it: the model is {type(model).__name__}")
    return module
