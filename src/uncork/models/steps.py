"""What stands around a model as steps in torch, each as the wrapper of `uncork.models` in NumPy, in the same precision.

Decisions hang on 64 bits there, and so they do here.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from uncork.derived.strangeness import NEIGHBOURS
from uncork.models.aligned import Aligned
from uncork.models.base import SMALLEST_PROBABILITY
from uncork.models.contracted import Contracted
from uncork.models.guarded import Bounded
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.patched import Patched
from uncork.models.rejecting import Rejecting
from uncork.models.ruled import Rule, Ruled
from uncork.models.scaled import Scaled
from uncork.models.temperature import Tempered
from uncork.schema.errors import Unavailable

TINY = float(np.finfo(np.float32).tiny)
EPSILON = float(np.finfo(np.float32).eps)
_POSITION = re.compile(r"x\[(\d+)\]")


class Rows(NamedTuple):
    """A batch as the split gives it, and what files at the bottom say of it: (raw outputs, features or None) each."""

    x: Any
    of_files: tuple[tuple[torch.Tensor, torch.Tensor | None], ...] = ()


class Said(NamedTuple):
    """As `uncork.models.base.Output`: logits (b, K) float32, features (b, d) or None, answered (b,) or None."""

    logits: torch.Tensor
    features: torch.Tensor | None = None
    answered: torch.Tensor | None = None

    def but(self, kept: torch.Tensor) -> Said:
        """The same, of which rows outside `kept` are handed over."""
        return self._replace(answered=kept if self.answered is None else kept & self.answered)


class Step(nn.Module, ABC):
    """Something around `inner`."""

    def __init__(self, inner: nn.Module, **arrays: np.ndarray) -> None:
        super().__init__()
        self.inner = inner
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array)))

    def forward(self, rows: Rows) -> Said:
        said: Said = self.inner(rows)
        return self.changed(said, rows)

    @abstractmethod
    def changed(self, said: Said, rows: Rows) -> Said:
        """What is said of the rows, after this."""


def logarithm(p: torch.Tensor) -> torch.Tensor:
    return p.clamp(min=SMALLEST_PROBABILITY).log().float()


def sure_of(logits: torch.Tensor) -> torch.Tensor:
    """(b,) each row's largest probability, in 64 bits."""
    return logits.double().softmax(dim=1).max(dim=1).values


class _Tempered(Step):
    def __init__(self, inner: nn.Module, model: Tempered) -> None:
        super().__init__(inner, temperature=np.array(model.temperature, np.float32))

    def changed(self, said: Said, rows: Rows) -> Said:
        return said._replace(logits=said.logits / self.get_buffer("temperature"))


class _Offset(Step):
    def __init__(self, inner: nn.Module, model: Offset) -> None:
        super().__init__(inner, offset=model.offset)

    def changed(self, said: Said, rows: Rows) -> Said:
        return said._replace(logits=said.logits + self.get_buffer("offset"))


class _Scaled(Step):
    def __init__(self, inner: nn.Module, model: Scaled) -> None:
        super().__init__(inner, factor=model.factor, added=model.added)

    def changed(self, said: Said, rows: Rows) -> Said:
        log_p = said.logits.double().log_softmax(dim=1)
        return said._replace(logits=(log_p * self.get_buffer("factor") + self.get_buffer("added")).float())


class _Isotonic(Step):
    """Between the knots about a value linearly, beyond them constant, as np.interp has it."""

    def __init__(self, inner: nn.Module, model: Isotonic) -> None:
        longest = max(2, *(len(x) for x, _ in model.knots))
        # Filled up at the end with knots that nothing lies between.
        x, y = (
            np.stack([np.pad(part[i], (0, longest - len(part[i])), "edge") for part in model.knots]) for i in (0, 1)
        )
        super().__init__(inner, x=x, y=y)
        self.two, self.least = len(model.knots) == 1, 1 / (model.rows + 2)

    def changed(self, said: Said, rows: Rows) -> Said:
        p = said.logits.double().softmax(dim=1)
        p = p[:, 1:] if self.two else p
        x, y = self.get_buffer("x"), self.get_buffer("y")
        at = (p.unsqueeze(2) >= x).long().sum(dim=2).clamp(1, x.shape[1] - 1).transpose(0, 1)
        x0, x1, y0, y1 = (knots.gather(1, i) for knots in (x, y) for i in (at - 1, at))
        share = ((p.transpose(0, 1) - x0) / (x1 - x0).clamp(min=TINY)).clamp(0, 1)
        mapped = (y0 + share * (y1 - y0)).transpose(0, 1).clamp(self.least, 1 - self.least)
        mapped = torch.cat([1 - mapped, mapped], dim=1) if self.two else mapped
        return said._replace(logits=logarithm(mapped / mapped.sum(dim=1, keepdim=True)))


class _Aligned(Step):
    def __init__(self, inner: nn.Module, model: Aligned) -> None:
        place_of = np.full(model.n_outputs, len(model.columns))
        place_of[model.columns] = np.arange(len(model.columns))
        super().__init__(inner, place_of=place_of)

    def changed(self, said: Said, rows: Rows) -> Said:
        absent = said.logits.logsumexp(dim=1, keepdim=True) + float(np.log(SMALLEST_PROBABILITY))
        both = torch.cat([said.logits, absent], dim=1)
        return said._replace(logits=both.index_select(1, self.get_buffer("place_of")))


def _exchanged(logits: torch.Tensor, label: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """As `uncork.derived.patches.swapped` of the rows `held`, but for ties, whose label gets up to 2 units more."""
    top, at = logits.argmax(dim=1, keepdim=True), label.unsqueeze(1)
    classes = torch.arange(logits.shape[1])
    best, own = logits.gather(1, top), logits.gather(1, at)
    answer = torch.where(classes == at, best, torch.where(classes == top, own, logits))
    tied = answer.argmax(dim=1, keepdim=True) != at
    answer = torch.where((classes == at) & tied, best + best.abs() * EPSILON + TINY, answer)
    return torch.where(held.unsqueeze(1) & (top != at), answer, logits)


class _Patched(Step):
    def __init__(self, inner: nn.Module, model: Patched) -> None:
        memory = model.memory
        super().__init__(
            inner, centres=memory.centres.astype(np.float64), labels=memory.labels.astype(np.int64), radii=memory.radii
        )
        self.of_features = memory.space == "features"

    def changed(self, said: Said, rows: Rows) -> Said:
        centres = self.get_buffer("centres")
        if not len(centres):
            return said
        points = said.features if self.of_features else said.logits
        assert points is not None
        distance = (points.double().unsqueeze(1) - centres).square().sum(dim=2).sqrt()
        held = torch.where(distance <= self.get_buffer("radii"), distance, torch.inf)
        nearest = held.min(dim=1)
        label = self.get_buffer("labels")[nearest.indices]
        return said._replace(logits=_exchanged(said.logits, label, nearest.values < torch.inf))


class _Ruled(Step):
    """Rules about columns of a matrix."""

    def __init__(self, inner: nn.Module, model: Ruled) -> None:
        super().__init__(inner)
        self.rules = [(_numbered(rule), label) for rule, label in model.rules]

    def changed(self, said: Said, rows: Rows) -> Said:
        said_of = torch.full_like(rows.x[:, 0], -1, dtype=torch.int64)
        for comparisons, label in reversed(self.rules):
            holds = torch.stack([_HOW[how](rows.x[:, at], value) for at, how, value in comparisons]).all(dim=0)
            said_of = torch.where(holds, label, said_of)
        return said._replace(logits=_exchanged(said.logits, said_of.clamp(min=0), said_of >= 0))


def _numbered(rule: Rule) -> list[tuple[int, str, float]]:
    """Comparisons of columns by position with numbers. Raises Unavailable where there are others."""
    found = []
    for column, how, value in rule.comparisons:
        position = _POSITION.fullmatch(column)
        if position is None:
            raise Unavailable(
                f"{rule.text!r} compares a column by its name, which an ONNX file for tensors never sees: export the "
                "model inside it"
            )
        found.append((int(position.group(1)), how, float(value)))
    return found


_HOW: Mapping[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "<": torch.lt,
    "<=": torch.le,
    ">": torch.gt,
    ">=": torch.ge,
    "==": torch.eq,
    "!=": lambda x, value: (x != value) & (x == x),  # a missing value fulfils nothing
}


class _Rejecting(Step):
    def __init__(self, inner: nn.Module, model: Rejecting) -> None:
        super().__init__(inner, **model.detector.arrays)
        self.name, self.threshold = model.detector.name, model.threshold

    def changed(self, said: Said, rows: Rows) -> Said:
        return said.but(self._strangeness(said) <= self.threshold)

    def _strangeness(self, said: Said) -> torch.Tensor:
        logits = said.logits.double()
        if self.name == "probability":
            return (logits - logits.max(dim=1, keepdim=True).values).logsumexp(dim=1)
        if self.name == "energy":
            return -logits.logsumexp(dim=1)
        assert said.features is not None
        features, arrays = said.features.double(), dict(self.named_buffers(recurse=False))
        if self.name == "mahalanobis":
            means, whitening = arrays["means"].double(), arrays["whitening"].double()
            return _squared(features @ whitening.T, means @ whitening.T).min(dim=1).values
        bank = arrays["bank"].double()
        length = features.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        return _squared(features / length, bank).topk(min(NEIGHBOURS, len(bank)), largest=False).values[:, -1].sqrt()


def _squared(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    found = rows.square().sum(dim=1, keepdim=True) - 2 * rows @ others.T + others.square().sum(dim=1)
    return found.clamp(min=0)


class _Contracted(Step):
    def __init__(self, inner: nn.Module, model: Contracted) -> None:
        contract = model.contract
        if contract.kind == "text" or contract.words:
            raise Unavailable(
                "the input contract is about texts or categories, which an ONNX file for tensors never sees: export "
                "the model inside it, and check inputs before"
            )
        super().__init__(
            inner,
            **{name: np.array(getattr(contract, name), np.float64) for name in ("low", "high")},
            **{name: np.array(getattr(contract, name), bool) for name in ("missing", "whole")},
        )
        self.frame = contract.kind == "frame"

    def changed(self, said: Said, rows: Rows) -> Said:
        values, absent = _statistics(rows.x, self.frame)
        outside = (
            (values < self.get_buffer("low"))
            | (values > self.get_buffer("high"))
            | (self.get_buffer("whole") & (values != values.round()))
        )
        kept = ~((absent & ~self.get_buffer("missing")) | (~absent & outside)).any(dim=1)
        finite = (said.logits.abs() < torch.inf).all(dim=1)
        logits = torch.where((~kept & ~finite).unsqueeze(1), 0.0, said.logits)
        return said._replace(logits=logits).but(kept)


def _statistics(x: torch.Tensor, frame: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, s) as `uncork.models.contracted.statistics`, and which are missing; 0 there."""
    flat = x.ndim == 2
    axis = next((a for a in (1, 3) if x.ndim == 4 and x.shape[a] in (1, 3, 4)), None)
    channels = [x] if axis is None else list(x.unbind(dim=axis))
    parts: list[torch.Tensor] = []
    gone: list[torch.Tensor] = []
    for channel in channels if not frame else []:
        values = channel.flatten(1).double()
        missing = values != values
        lost = missing.all(dim=1) if flat else missing.any(dim=1)
        n = (~missing).double().sum(dim=1).clamp(min=1)
        known = torch.where(missing, 0.0, values)
        mean = known.sum(dim=1) / n
        spread = torch.where(missing, 0.0, known - mean.unsqueeze(1)).square().sum(dim=1) / n
        least = torch.where(missing, torch.inf, values).amin(dim=1)
        largest = torch.where(missing, -torch.inf, values).amax(dim=1)
        parts += [torch.where(lost, 0.0, part) for part in (least, largest, mean, spread.sqrt())]
        gone += [lost] * 4
    if flat:
        columns = x.double()
        parts += [torch.where(columns != columns, 0.0, columns)[:, i] for i in range(x.shape[1])]
        gone += [(columns != columns)[:, i] for i in range(x.shape[1])]
    return torch.stack(parts, dim=1), torch.stack(gone, dim=1)


class Interval(Step):
    """Of a regression: `features` are then (b, 2), the ends of the interval about the value."""

    def __init__(self, inner: nn.Module, model: Bounded) -> None:
        super().__init__(inner, edges=model.edges, widths=model.widths)

    def changed(self, said: Said, rows: Rows) -> Said:
        value = said.logits.double()
        width = self.get_buffer("widths")[(value >= self.get_buffer("edges")).long().sum(dim=1)].unsqueeze(1)
        return said._replace(features=torch.cat([value - width, value + width], dim=1))


STEPS: Mapping[type, Callable[[nn.Module, Any], nn.Module]] = {
    Tempered: _Tempered,
    Offset: _Offset,
    Scaled: _Scaled,
    Isotonic: _Isotonic,
    Aligned: _Aligned,
    Patched: _Patched,
    Ruled: _Ruled,
    Rejecting: _Rejecting,
    Contracted: _Contracted,
    Bounded: Interval,
}
