"""Targeted FAB: the smallest change that fools the model, by projections onto linearised boundaries.

Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", ICML 2020 (arXiv
1907.02044): overshoot 1.05, backward step .9, bias towards the row of at most .1, no restart, and a bisection between
row and point at the end. A pass takes one gradient: a point that fools the model spends a pass on the backward step.

Added, and it saves most of the time: a search leaves the batch early for futility, when twice the gain of its last 20
passes, kept up to the last, would not bring its change down to ε.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uncork.stress.ball import Ball, each
from uncork.stress.found import Found, Logits, lead, likeliest, margins

if TYPE_CHECKING:
    from jaxtyping import Float, Int

PASSES = 150
_OVERSHOOT, _BACK, _MOST_BIAS = 1.05, 0.9, 0.1
_WINDOW, _FAIR = 20, 2.0
_BISECTIONS = 14  # leave a 2⁻¹⁴ part of the change


def fab_targeted(
    logits: Logits, x: Float[Tensor, "n ..."], y: Int[Tensor, " n"], ball: Ball, *, passes: int = PASSES
) -> tuple[Found, Float[Tensor, " n"]]:
    """(what was found in the ball, (n,) size of the smallest change that was found at all, inf where none was).

    Towards each of the 9 likeliest other classes in turn; a row that is fooled within the ball leaves the batch.
    """
    found, near, least = Found.nothing(x), x.clone(), torch.full((len(x),), torch.inf)
    with torch.no_grad():
        targets = likeliest(logits(x), y)
    for target in targets.T:
        rows = torch.nonzero(least > ball.eps)[:, 0]
        if len(rows):
            z, size = approach(logits, x[rows], y[rows], target[rows], ball, passes=passes, enough=ball.eps)
            nearer = size < least[rows]
            near[rows[nearer]], least[rows[nearer]] = z[nearer], size[nearer]
    near, least = bisected(logits, x, y, near, least, ball)
    inside = (least <= ball.eps) & ball.holds(near, x)
    found.x[inside], found.fooled[inside] = near[inside], True
    return found, least


def approach(
    logits: Logits,
    x: Float[Tensor, "b ..."],
    y: Int[Tensor, " b"],
    target: Int[Tensor, " b"],
    ball: Ball,
    *,
    passes: int = PASSES,
    enough: float = 0.0,
) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"]]:
    """((b, …) the nearest point that fools the model, the row itself where none was found; (b,) its distance, or inf).

    Only the box binds, the ball's ε does not. A row leaves once its distance is at most `enough`, or will not be.
    """
    best, least = x.clone(), torch.full((len(x),), torch.inf)
    rows, z, checked = torch.arange(len(x)), x, least.clone()
    for i in range(1, passes + 1):
        behind, w, margin = _look(logits, z, y[rows], target[rows])
        size, fooled = ball.size(z - x[rows]).float(), margin < 0
        nearer = fooled & (size < least[rows])
        best[rows[nearer]], least[rows[nearer]] = z[nearer], size[nearer]
        z = torch.where(each(fooled, z), x[rows] + _BACK * (z - x[rows]), _step(z, x[rows], w, behind, ball))
        stay = least[rows] > enough
        if i % _WINDOW == 0:
            gain = torch.nan_to_num(checked - least, nan=0.0)[rows]
            stay &= least[rows] - _FAIR * gain * (passes - i) / _WINDOW <= enough
            checked = least.clone()
        if not stay.all():
            rows, z = rows[stay], z[stay]
        if not len(rows):
            break
    return best, least


def _look(logits: Logits, z: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(logit of the label less the target's, the gradient of the target's less the label's, margin)."""
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        out = logits(point)
        ahead = lead(out, y, target)
        (w,) = torch.autograd.grad(ahead.sum(), point)
    return -ahead.detach().to(z.dtype), w, margins(out.detach(), y)


def _step(z: Tensor, x: Tensor, w: Tensor, behind: Tensor, ball: Ball) -> Tensor:
    """Past the linearised boundary, from the point and from the row, and a little of the latter."""
    here = ball.onto(z, w, behind)
    there = ball.onto(x, w, behind + (w * (z - x)).flatten(1).sum(1))
    near, far = ball.size(here).clamp_min(1e-12), ball.size(there).clamp_min(1e-12)
    bias = each((near / (near + far)).clamp_max(_MOST_BIAS), z)
    return ball.clip((z + _OVERSHOOT * here) * (1 - bias) + (x + _OVERSHOOT * there) * bias)


def bisected(
    logits: Logits,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    z: Float[Tensor, "n ..."],
    least: Float[Tensor, " n"],
    ball: Ball,
) -> tuple[Float[Tensor, "n ..."], Float[Tensor, " n"]]:
    """The points z (distances `least`, inf where there is none) drawn towards x as far as they still fool the model."""
    rows = torch.nonzero(least.isfinite())[:, 0]
    if not len(rows):
        return z, least
    z, least, start = z.clone(), least.clone(), x[rows]
    delta = z[rows] - start
    no, yes = torch.zeros(len(rows), dtype=x.dtype), torch.ones(len(rows), dtype=x.dtype)
    for _ in range(_BISECTIONS):
        half = (no + yes) / 2
        with torch.no_grad():
            fooled = margins(logits(start + each(half, delta) * delta), y[rows]) < 0
        no, yes = torch.where(fooled, no, half), torch.where(fooled, half, yes)
    z[rows] = start + each(yes, delta) * delta
    least[rows] = ball.size(z[rows] - start).float()
    return z, least
