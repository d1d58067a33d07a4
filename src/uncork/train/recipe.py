"""How a model was trained, so that it can be trained again."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

    from uncork.data.split import Split

OPTIMIZERS = ("adamw", "adam", "sgd", "muon", "soap")
SCHEDULES = ("cosine", "constant", "step")
_USUAL_DECAY = {"adamw": 0.01}  # 5e-4 where it is a penalty in the loss


@dataclass(frozen=True)
class Recipe:
    """`build`: () -> nn.Module, freshly initialised; it may take `width` and `depth`, which need defaults.

    `schedule`: "cosine" to 0, "constant", or "step" (÷ 10 at half and at three quarters of the steps).
    `loss`: `(outputs, y) -> loss of each row, or their mean`; None for cross-entropy where y holds classes, squared
    error where it holds floats. `augment`: `(batch tensor, torch.Generator) -> batch tensor`, after preprocess, on
    the CPU; where it has a method `rows`, that gets and gives the batch before preprocess. `weight_decay` spares biases
    and norms; "sgd" has momentum .9; `train/optimizers.py` tells of "muon" and "soap". Raises BadInput for values out
    of range.
    """

    build: Callable[..., nn.Module]
    _: dataclasses.KW_ONLY
    epochs: int
    batch_size: int = 128
    lr: float = 1e-3
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "cosine"
    loss: Callable[..., Any] | None = None
    augment: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        for name in ("build", "loss", "augment"):
            value = getattr(self, name)
            if not callable(value) and (value is not None or name == "build"):
                raise BadInput(f"recipe.{name} is of type {type(value).__name__}: give a callable")
        if _is_module(self.build):
            raise BadInput("recipe.build is a module: give a function that makes a fresh one, such as lambda: Net()")
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
                raise BadInput(f"recipe.{name} is {value!r}: give a whole number of 1 or more")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadInput(f"recipe.lr is {self.lr}: give a learning rate above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadInput(f"recipe.weight_decay is {self.weight_decay}: give 0 or more")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise BadInput(f"recipe.{name} is {getattr(self, name)!r}: use one of {', '.join(known)}")

    def steps(self, n_rows: int) -> int:
        """Optimiser steps that `n_rows` take: epochs × ⌈rows / batch size⌉."""
        return self.epochs * math.ceil(n_rows / self.batch_size)

    def fit(
        self,
        train: Split,
        *,
        seed: int = 0,
        preprocess: Callable[[Any], Any] | None = None,
        width: float | None = None,
        depth: float | None = None,
    ) -> nn.Module:
        """Trains a fresh module; the same seed gives the same weights, bit for bit, on one CPU."""
        from uncork.train.loop import fit

        return fit(self, train, seed=seed, preprocess=preprocess, width=width, depth=depth).module

    def make(self, *, width: float | None = None, depth: float | None = None) -> nn.Module:
        """A fresh module. Raises BadInput where a width or depth is asked of a `build` that doesn't take it."""
        asked = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
        unknown = [name for name in asked if not self.takes(name)]
        if unknown:
            raise BadInput(
                f"recipe.build takes no {unknown[0]!r}: let it be build({unknown[0]}=…) and scale the model by it"
            )
        try:
            inspect.signature(self.build).bind(**asked)
        except TypeError as error:
            raise BadInput(f"recipe.build can't be called with {asked or 'nothing'} ({error}): give defaults") from None
        except ValueError:  # builtins show no signature: the call will tell
            pass
        module = self.build(**asked)
        if not _is_module(module):
            raise BadInput(f"recipe.build returns {type(module).__name__}: let it return a torch.nn.Module")
        return module

    def takes(self, name: str) -> bool:
        """Whether `build` has a parameter of this name ("width", "depth")."""
        try:
            return name in inspect.signature(self.build).parameters
        except ValueError:
            return False

    def default(self, name: str) -> float | None:
        """The number that `build` takes for `name` where nothing is given; None where there is none."""
        try:
            value = inspect.signature(self.build).parameters[name].default
        except (ValueError, KeyError):
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return value if number else None

    def scaled(self, times: float) -> Recipe | None:
        """`build`'s own default width times so much, whole where that is whole; None where it has no such number."""
        own = self.default("width")
        if own is None:
            return None
        width = max(1, round(own * times)) if isinstance(own, int) else own * times
        return self.replace(build=functools.partial(self.build, width=width))

    def decayed(self, times: float) -> Recipe:
        """So many times the weight decay; of a recipe without any, of what is usual for its optimiser."""
        return self.replace(weight_decay=times * (self.weight_decay or _USUAL_DECAY.get(self.optimizer, 5e-4)))

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """JSON: every setting; callables by name and a hash of their code."""
        from uncork.models.code import code_fingerprint

        content: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if callable(value):
                value = f"{getattr(value, '__qualname__', type(value).__qualname__)} {code_fingerprint(value)}"
            content[field.name] = value
        return content


def _is_module(value: Any) -> bool:
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)
