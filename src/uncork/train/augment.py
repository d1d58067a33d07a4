"""Ways of changing rows at random while training, for `Recipe.augment`.

Each is called with a batch tensor (b, …) and a torch.Generator, and gives another batch of the same shape. One that
changes texts has a method `rows` instead, which gets them before they are preprocessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from uncork.models.views import views


@dataclass(frozen=True)
class Shift:
    """Moves each picture (…, h, w) by up to so many pixels up or down and left or right; the edge is repeated."""

    pixels: int

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        moved = batch
        for dim in (-2, -1):
            size = batch.shape[dim]
            by = torch.randint(-self.pixels, self.pixels + 1, (len(batch), 1), generator=generator)
            at = (torch.arange(size) - by).clamp(0, size - 1)  # (b, size)
            shape = [len(batch)] + [1] * (batch.ndim - 1)
            shape[dim] = size
            moved = moved.gather(dim, at.view(shape).expand_as(batch))
        return moved


@dataclass(frozen=True)
class Flip:
    """Turns each picture (…, h, w) left to right, one time in two."""

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        turned = torch.rand(len(batch), generator=generator) < 0.5
        return torch.where(turned.view(-1, *[1] * (batch.ndim - 1)), batch.flip(-1), batch)


@dataclass(frozen=True)
class Noise:
    """Adds Gaussian noise to each column of a table (b, d): of so many of its standard deviations in the batch."""

    share: float

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        spread = batch.std(dim=0, correction=0)
        return batch + self.share * spread * torch.randn(batch.shape, generator=generator, dtype=batch.dtype)


@dataclass(frozen=True)
class WordDropout:
    """Leaves out each word of a text at random; one at least stays."""

    share: float

    def rows(self, texts: list[str], generator: torch.Generator) -> list[str]:
        return [self._shortened(text, generator) for text in texts]

    def _shortened(self, text: str, generator: torch.Generator) -> str:
        words = text.split()
        draws = torch.rand(len(words), generator=generator).tolist()
        kept = [word for word, drawn in zip(words, draws, strict=True) if drawn >= self.share]
        return " ".join(kept or words[:1])

    def __call__(self, batch: Any, generator: torch.Generator) -> Any:
        return batch


@dataclass(frozen=True)
class RandomView:
    """Shows each row, before it is preprocessed, as it is or in one of its views `name` (see `uncork.models.views`)."""

    name: str

    def rows(self, batch: Any, generator: torch.Generator) -> Any:
        known = views(self.name)
        drawn = torch.randint(len(known) + 1, (len(batch),), generator=generator).numpy()
        out = list(batch)
        for k, view in enumerate(known):
            at = np.flatnonzero(drawn == k)
            seen = view([batch[i] for i in at] if isinstance(batch, list) else batch[at]) if len(at) else ()
            for i, row in zip(at, seen, strict=True):
                out[i] = row
        return out if isinstance(batch, list) else np.stack(out)

    def __call__(self, batch: Any, generator: torch.Generator) -> Any:
        return batch


@dataclass(frozen=True)
class InTurn:
    """Several, one after the other."""

    parts: tuple[Callable[..., Any], ...]

    def rows(self, batch: Any, generator: torch.Generator) -> Any:
        for part in self.parts:
            batch = part.rows(batch, generator) if hasattr(part, "rows") else batch
        return batch

    def __call__(self, batch: Any, generator: torch.Generator) -> Any:
        for part in self.parts:
            batch = part(batch, generator)
        return batch
