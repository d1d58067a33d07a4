"""Auto-PGD: projected gradient ascent that sets its own step size, on cross-entropy and, targeted, on DLR.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML
2020 (arXiv 2003.01690): algorithm 1 with momentum .75, a first step of 2 ε, checkpoints and the two halving rules as
given there. DLR's scale needs four classes (its authors' code refuses fewer): with two or three the difference of
logits itself is climbed, as the steps are directions alone.

Added, and it saves most of the time: a climb leaves the batch early for futility, when twice its last window's gain,
kept up to the last step, would not bring the margin to 0. (Gains shrink from window to window as the steps do.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from uncork.stress.ball import Ball, each
from uncork.stress.found import Found, Logits, lead, likeliest, margins

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: (logits (b, K), labels (b,), targets (b,)) → (b,) what is climbed.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

STEPS = 100
_RHO = 0.75  # share of a window's steps that must rise for the step size to be kept
_FAIR = 2.0  # times the last window's gain, kept up to the end: what is short of the goal even then is given up


def apgd_ce(
    logits: Logits,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    ball: Ball,
    *,
    rng: torch.Generator,
    steps: int = STEPS,
) -> Found:
    """Climbs the cross-entropy from one random point of each row's ball."""
    found = Found.nothing(x)
    _climb(logits, _entropy, ball, _State.at(x, y, y, torch.arange(len(x)), ball, rng), found, steps)
    return found


def apgd_targeted(
    logits: Logits,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    ball: Ball,
    *,
    rng: torch.Generator,
    steps: int = STEPS,
) -> Found:
    """Climbs the targeted DLR towards each of the 9 likeliest other classes in turn, from random points."""
    found = Found.nothing(x)
    with torch.no_grad():
        targets = likeliest(logits(x), y)
    for target in targets.T:
        rows = torch.nonzero(~found.fooled)[:, 0]
        if len(rows):
            _climb(logits, dlr, ball, _State.at(x, y, target, rows, ball, rng), found, steps)
    return found


def _entropy(z: Tensor, y: Tensor, _: Tensor) -> Tensor:
    return cross_entropy(z, y, reduction="none")


def dlr(z: Float[Tensor, "b k"], y: Int[Tensor, " b"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Logit of the target less the label's, over the spread of the largest four; not divided with fewer classes."""
    ahead = lead(z, y, target)
    if z.shape[1] < 4:
        return ahead
    top = z.topk(4, dim=1).values
    return ahead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2).clamp_min(1e-12)


@dataclass(frozen=True, eq=False)
class _State:
    """Of each row that still climbs. `z`, `old`: where it is and was; `best`, `slope`: the best point and the gradient
    there; `value`, `top`: the loss now and at best; `checked`: its best at the last check; `gap`, `gap_checked`: the
    label's logit less the target's (untargeted: the margin), the least so far and at the last check; `rises`: in this
    window; `halved`: whether the last check halved the step."""

    rows: Tensor
    x: Tensor
    y: Tensor
    target: Tensor
    z: Tensor
    old: Tensor
    best: Tensor
    slope: Tensor
    value: Tensor
    top: Tensor
    checked: Tensor
    gap: Tensor
    gap_checked: Tensor
    step: Tensor
    rises: Tensor
    halved: Tensor

    @staticmethod
    def at(x: Tensor, y: Tensor, target: Tensor, rows: Tensor, ball: Ball, rng: torch.Generator) -> _State:
        here, n = x[rows], len(rows)
        z, low, high = ball.start(here, rng), torch.full((n,), -torch.inf), torch.full((n,), torch.inf)
        places = {"x": here, "z": z, "old": z, "best": z, "slope": torch.zeros_like(z)}
        values = {"value": low, "top": low, "checked": low, "gap": high, "gap_checked": high}
        pace = {"step": torch.full((n,), 2 * ball.eps, dtype=x.dtype), "rises": torch.zeros(n, dtype=torch.int64)}
        halved = torch.ones(n, dtype=torch.bool)
        return _State(rows=rows, y=y[rows], target=target[rows], halved=halved, **places, **values, **pace)

    def keep(self, mask: Tensor) -> _State:
        return _State(**{f.name: getattr(self, f.name)[mask] for f in dataclasses.fields(self)})

    def but(self, **changes: Tensor) -> _State:
        return dataclasses.replace(self, **changes)


def _climb(logits: Logits, loss: Loss, ball: Ball, s: _State, found: Found, steps: int) -> None:
    """Up to `steps` gradients for each row. The first step spans the ball: any number of them reaches its rim."""
    window, since = max(int(0.22 * steps), 1), 0
    for i in range(steps):
        value, slope, margin, gap = _look(logits, loss, s)
        gone = found.see(s.rows, s.z, margin)
        better = value > s.top
        s = s.but(
            rises=s.rises + (value > s.value),
            value=value,
            top=torch.where(better, value, s.top),
            best=torch.where(each(better, s.z), s.z, s.best),
            slope=torch.where(each(better, s.z), slope, s.slope),
            gap=torch.minimum(s.gap, gap),
            gap_checked=gap if i == 0 else s.gap_checked,
        )
        since += 1
        if since == window:
            rate = (s.gap_checked - s.gap) / window
            gone = gone | (s.gap > _FAIR * rate * (steps - i))
            s, slope = _checked(s, slope, window)
            window, since = max(window - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1)), 0
        if gone.any():
            s, slope = s.keep(~gone), slope[~gone]
        if not len(s.rows):
            return
        moved = ball.project(s.z + each(s.step, s.z) * ball.steepest(slope), s.x)
        if i:
            moved = ball.project(s.z + 0.75 * (moved - s.z) + 0.25 * (s.z - s.old), s.x)
        s = s.but(z=moved, old=s.z)


def _look(logits: Logits, loss: Loss, s: _State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, its gradient, margin, gap) at each row's point."""
    with torch.enable_grad():
        z = s.z.detach().requires_grad_()
        out = logits(z)
        value = loss(out, s.y, s.target)
        (slope,) = torch.autograd.grad(value.sum(), z)
    out = out.detach().float()
    margin = margins(out, s.y)
    return value.detach().float(), slope, margin, torch.where(s.target == s.y, margin, -lead(out, s.y, s.target))


def _checked(s: _State, slope: Tensor, window: int) -> tuple[_State, Tensor]:
    """Halves the steps of rows that rose too rarely or found nothing better, and sends them back to their best."""
    halve = (s.rises <= _RHO * window) | (~s.halved & (s.top <= s.checked))
    s = s.but(
        step=torch.where(halve, s.step / 2, s.step),
        z=torch.where(each(halve, s.z), s.best, s.z),
        old=torch.where(each(halve, s.z), s.best, s.old),
        checked=s.top,
        gap_checked=s.gap,
        rises=torch.zeros_like(s.rises),
        halved=halve,
    )
    return s, torch.where(each(halve, slope), s.slope, slope)
