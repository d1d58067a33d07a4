"""How a row of x lies in space: pixels with channels, or columns without neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Layout:
    """`height` is 0 where a row is flat: then its `width` columns have no neighbours, and there is one channel.

    (h, w) is an image of one channel; (c, h, w) and (h, w, c) one of c, which is at most 4; all else is flat.
    """

    shape: tuple[int, ...]
    channels: int
    height: int
    width: int
    last: bool = False

    @staticmethod
    def of(shape: Sequence[int]) -> Layout:
        """From a row's shape."""
        shape = tuple(shape)
        if len(shape) == 2:
            return Layout(shape, 1, *shape)
        if len(shape) == 3 and shape[0] <= _MOST_CHANNELS:
            return Layout(shape, *shape)
        if len(shape) == 3 and shape[2] <= _MOST_CHANNELS:
            return Layout(shape, shape[2], shape[0], shape[1], last=True)
        return Layout(shape, 1, 0, int(torch.Size(shape).numel()))

    def apart(self, rows: Float[Tensor, "b ..."]) -> Float[Tensor, "b c m"]:
        """Channels first, pixels flat."""
        return (rows.movedim(-1, 1) if self.last else rows).reshape(len(rows), self.channels, -1)

    def rows(self, apart: Float[Tensor, "b c m"]) -> Float[Tensor, "b ..."]:
        """Back again."""
        if self.last:
            return apart.view(-1, self.channels, self.height, self.width).movedim(1, -1)
        return apart.reshape(-1, *self.shape)

    def side(self, share: float, *, odd: bool = False) -> int:
        """Of the window that holds `share` of the pixels, 1 at least; of a flat row, its number of columns.

        `odd`: an odd side, 3 or more, as two halves need a middle; no matter of a flat row.
        """
        if not self.height:
            return max(round(share * self.width), 1)
        side = max(round(float(share * self.height * self.width) ** 0.5), 3 if odd else 1)
        if odd and side % 2 == 0:
            side += 1
        return int(min(side, self.height, self.width))

    def window(self, b: int, side: int, rng: torch.Generator) -> Int[Tensor, "b s"]:
        """Positions of the pixels in a random square of each row; of a flat row, of so many random columns."""
        if not self.height:
            return torch.rand(b, self.width, generator=rng).topk(side, dim=1).indices
        top = torch.randint(0, self.height - side + 1, (b, 1, 1), generator=rng)
        left = torch.randint(0, self.width - side + 1, (b, 1, 1), generator=rng)
        step = torch.arange(side)
        return ((top + step[:, None]) * self.width + left + step).flatten(1)

    def bump(self, b: int, side: int, rng: torch.Generator) -> Float[Tensor, "b s"]:
        """Changes of norm 1 for a window: one half up, one half down, each less towards its rim, in one of the two
        directions; of a flat row random signs."""
        if not self.height:
            signs: Tensor = (2.0 * torch.randint(0, 2, (b, side), generator=rng) - 1) * float(side) ** -0.5
            return signs
        half = side // 2
        pattern = torch.cat([_hill(half, side), -_hill(side - half, side)])
        pattern = pattern / pattern.norm()
        across = torch.rand(b, 1, generator=rng) > 0.5
        return torch.where(across, pattern.T.flatten(), pattern.flatten())


def _hill(height: int, width: int) -> Float[Tensor, "h w"]:
    """1 / k² summed over nested rectangles around the middle, the smallest with k = 1."""
    down, right = torch.arange(height) - height // 2, torch.arange(width) - width // 2
    away = torch.maximum(down.abs()[:, None], right.abs()[None])
    steps = 1.0 / torch.arange(1, max(height, width) // 2 + 2) ** 2
    return steps.flip(0).cumsum(0).flip(0)[away]
