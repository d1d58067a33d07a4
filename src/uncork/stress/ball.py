"""Where an attacker may move x: a ball around each row, inside a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_NEWTON = 30  # steps; each ends at an exact solution after a few
_ROUNDING = 1e-5  # of ε, by which 32-bit sums may leave the ball


@dataclass(frozen=True, eq=False)
class Ball:
    """At most `eps` away in `norm` ("linf" or "l2"), between `low` and `high`, which broadcast against one row of x.

    Units: those of x. Rows themselves must lie in the box.
    """

    norm: str
    eps: float
    low: Tensor
    high: Tensor

    def size(self, delta: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """The norm of each row's change."""
        flat = delta.flatten(1)
        return flat.abs().amax(1) if self.norm == "linf" else flat.norm(dim=1)

    def clip(self, z: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Into the box."""
        return torch.minimum(torch.maximum(z, self.low), self.high)

    def project(self, z: Float[Tensor, "b ..."], x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Into ball and box. In L2 first the one, then the other, which only shortens the change."""
        if self.norm == "linf":
            return self.clip(torch.minimum(torch.maximum(z, x - self.eps), x + self.eps))
        delta = z - x
        return self.clip(x + delta * each((self.eps / self.size(delta).clamp_min(1e-30)).clamp_max(1), x))

    def steepest(self, gradient: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """The change of norm 1 along which a linear function rises most; 0 where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / each(gradient.flatten(1).norm(dim=1).clamp_min(1e-30), gradient)

    def start(self, x: Float[Tensor, "b ..."], rng: torch.Generator) -> Float[Tensor, "b ..."]:
        """A random point at the ball's rim, then in the box."""
        drawn = torch.empty_like(x)
        drawn = drawn.uniform_(-1, 1, generator=rng) if self.norm == "linf" else drawn.normal_(generator=rng)
        return self.project(x + drawn * each(self.eps / self.size(drawn).clamp_min(1e-30), x), x)

    def holds(self, z: Float[Tensor, "b ..."], x: Float[Tensor, "b ..."]) -> Bool[Tensor, " b"]:
        """Which rows lie in ball and box, up to rounding: a 1e-5 part of ε, and that of x itself."""
        room = _ROUNDING * self.eps + 4 * torch.finfo(x.dtype).eps * x.abs().flatten(1).amax(1)
        inside = ((z >= self.low) & (z <= self.high)).flatten(1).all(1)
        return inside & (self.size(z - x) <= self.eps + room)

    def onto(
        self, z: Float[Tensor, "b ..."], w: Float[Tensor, "b ..."], gap: Float[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        """The smallest change of z, in the norm and within the box, that moves w·z by `gap`; as far as the box lets it.

        Every coordinate moves min(s · v, its room) towards the bound that its weight points to, with v = 1 in L∞ and
        |w| in L2, and Σ |w| min(s v, room) = |gap|. That sum is concave in s: Newton's method comes from below and is
        exact once no further coordinate reaches its bound.
        """
        toward = w * each(gap.sign(), w)
        room = torch.where(toward > 0, self.high - z, z - self.low).clamp_min(0).flatten(1)
        weight = w.abs().flatten(1)
        pace = (weight > 0).to(weight.dtype) if self.norm == "linf" else weight
        goal, slope = gap.abs(), weight * pace
        s = goal / slope.sum(1).clamp_min(1e-30)
        for _ in range(_NEWTON):
            move = torch.minimum(s[:, None] * pace, room)
            lacking = goal - (weight * move).sum(1)
            rise = torch.where(s[:, None] * pace < room, slope, 0).sum(1)
            # Rounding ends it too: what lacks is then a small part of the goal.
            short = (lacking > 1e-6 * goal) & (rise > 0)
            if not short.any():
                break
            s = torch.where(short, s + lacking / rise.clamp_min(1e-30), s)
        moved = torch.minimum(s[:, None] * pace, room).view_as(w)
        return moved * toward.sign()


def each(values: Float[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """One number a row, shaped to broadcast against the rows."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
