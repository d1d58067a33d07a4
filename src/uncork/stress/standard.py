"""The standard set of attacks, one after the other, on the rows that none has fooled yet.

AutoAttack (Croce & Hein, arXiv 2003.01690): APGD on cross-entropy, targeted APGD on DLR, targeted FAB, Square; Square
alone where the model gives no gradients. A row counts as fooled only where the model itself, asked again, decides the
moved row wrongly, and the row lies within ball and box.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from uncork.stress.apgd import apgd_ce, apgd_targeted
from uncork.stress.ball import Ball
from uncork.stress.fab import approach, bisected, fab_targeted
from uncork.stress.found import Found, margins
from uncork.stress.frozen import frozen
from uncork.stress.square import QUERIES, square
from uncork.stress.target import Target

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ATTACKS = ("APGD-CE", "APGD-DLR targeted", "FAB targeted", "Square")
BATCH = 128
_CHECKED = 50  # rows of each masking check
_NEAR = 40  # passes of FAB for the distance of a row that is fooled already


@dataclass(frozen=True, eq=False)
class Worst:
    """`x`: (n, …) points that fool the model, or the rows themselves. `by`: (n,) index into `attacks`, −1 where none.
    `tried`: rows that each attack was run on. `distance`: (n,) smallest change that was found, inf where none.
    `seconds`: of each attack. `checks`: of masking, (rows that show it, rows looked at).
    """

    x: Float[Tensor, "n ..."]
    by: Int[Tensor, " n"]
    distance: Float[Tensor, " n"]
    attacks: tuple[str, ...]
    tried: tuple[int, ...]
    seconds: tuple[float, ...]
    checks: Mapping[str, tuple[int, int]]


def attacked(
    target: Target,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    ball: Ball,
    *,
    seed: int,
    queries: int = QUERIES,
    attacks: tuple[str, ...] = ATTACKS,
    checked: bool = True,
) -> Worst:
    """The worst case of each row; all must be decided rightly as they are.

    Unless `checked`, distances of fooled rows stay those at which they were fooled, and masking is not looked for.
    """
    if target.gradients == "none":
        attacks = tuple(name for name in attacks if name == "Square")
    rng = torch.Generator().manual_seed(seed)
    worst = Worst(x.clone(), torch.full((len(x),), -1), torch.full((len(x),), torch.inf), attacks, (), (), {})
    reached = torch.full((len(x),), torch.inf)
    tried, seconds = [], []
    with frozen(target.model):
        for which, name in enumerate(attacks):
            start, left = time.perf_counter(), torch.nonzero(worst.by < 0)[:, 0]
            tried.append(len(left))
            for rows in _batches(left):
                known = reached[rows] if target.gradients == "own" and which else None
                found, size = _RUN[name](target, x[rows], y[rows], ball, rng, queries, known)
                reached[rows] = torch.minimum(reached[rows], found.margin.float())
                if target.gradients == "own":  # what lies within the ball the model itself is asked about
                    beyond = torch.where(size > ball.eps, size, torch.inf)
                    worst.distance[rows] = torch.minimum(worst.distance[rows], beyond)
                _settle(target, found, rows, x, y, ball, which, worst)
            seconds.append(time.perf_counter() - start)
        checks = {}
        if checked:
            _nearer(target, x, y, ball, worst)
            checks = _checks(target, x, y, ball, worst, rng)
    return Worst(worst.x, worst.by, worst.distance, attacks, tuple(tried), tuple(seconds), checks)


def _run_ce(target: Target, x: Tensor, y: Tensor, ball: Ball, rng: torch.Generator, *_: object) -> tuple[Found, Tensor]:
    return apgd_ce(target.logits, x, y, ball, rng=rng), torch.full((len(x),), torch.inf)


def _run_dlr(
    target: Target, x: Tensor, y: Tensor, ball: Ball, rng: torch.Generator, *_: object
) -> tuple[Found, Tensor]:
    return apgd_targeted(target.logits, x, y, ball, rng=rng), torch.full((len(x),), torch.inf)


def _run_fab(target: Target, x: Tensor, y: Tensor, ball: Ball, *_: object) -> tuple[Found, Tensor]:
    return fab_targeted(target.logits, x, y, ball)


def _run_square(
    target: Target, x: Tensor, y: Tensor, ball: Ball, rng: torch.Generator, queries: int, reached: Tensor | None
) -> tuple[Found, Tensor]:
    found = square(target.queried, x, y, ball, rng=rng, queries=queries, reached=reached)
    return found, torch.full((len(x),), torch.inf)


_RUN: Mapping[str, Callable[..., tuple[Found, Tensor]]] = dict(
    zip(ATTACKS, (_run_ce, _run_dlr, _run_fab, _run_square), strict=True)
)


def _batches(rows: Tensor) -> list[Tensor]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _settle(
    target: Target, found: Found, rows: Tensor, x: Tensor, y: Tensor, ball: Ball, which: int, worst: Worst
) -> None:
    """Takes over what an attack found, once the model itself has been asked and the reach been measured."""
    said = torch.nonzero(found.fooled)[:, 0]
    if not len(said):
        return
    at, z = rows[said], found.x[said]
    if not ball.holds(z, x[at]).all():
        raise AssertionError("an attack left the ball or the box: this is a fault of uncork, please report it")
    right, handed = target.right(z, y[at])
    fooled = ~right & ~handed
    worst.x[at[fooled]], worst.by[at[fooled]] = z[fooled], which
    size = ball.size(z - x[at]).float()
    worst.distance[at[fooled]] = torch.minimum(worst.distance[at[fooled]], size[fooled])


def _nearer(target: Target, x: Tensor, y: Tensor, ball: Ball, worst: Worst) -> None:
    """How far the rows that are fooled really had to move: FAB towards the class that they were fooled into, and a
    bisection where there are no gradients."""
    for rows in _batches(torch.nonzero(worst.by >= 0)[:, 0]):
        z, size = worst.x[rows], worst.distance[rows]
        if target.gradients == "own":
            with torch.no_grad():
                into = target.logits(z).argmax(1)
            nearer, least = approach(target.logits, x[rows], y[rows], into, ball, passes=_NEAR)
            z = torch.where((least < size).view(-1, *[1] * (x.ndim - 1)), nearer, z)
            size = torch.minimum(least, size)
        _, size = bisected(target.queried, x[rows], y[rows], z, size, ball)
        worst.distance[rows] = torch.minimum(worst.distance[rows], size)


def _checks(
    target: Target, x: Tensor, y: Tensor, ball: Ball, worst: Worst, rng: torch.Generator
) -> dict[str, tuple[int, int]]:
    """Signs that gradients mislead (Athalye, Carlini & Wagner, "Obfuscated gradients", ICML 2018)."""
    some = torch.randperm(len(x), generator=rng)[:_CHECKED].sort().values
    if not len(some):
        return {}
    here, label = x[some], y[some]
    right, handed = target.right(ball.start(here, rng), label)
    checks = {"noise": (int((~right & ~handed).sum()), len(some))}
    if target.gradients == "none":
        return checks
    checks["flat-entropy"] = _flat(target, here, label, lambda z, c: cross_entropy(z.float(), c, reduction="sum"))
    checks["flat-margin"] = _flat(target, here, label, lambda z, c: margins(z, c).sum())
    if "Square" in worst.attacks:
        checks["square-only"] = (int((worst.by == worst.attacks.index("Square")).sum()), len(x))
    side = torch.as_tensor(ball.high - ball.low).expand(x.shape[1:]).flatten()
    whole = Ball(ball.norm, float(side.max() if ball.norm == "linf" else side.norm()), ball.low, ball.high)
    missed = ~apgd_targeted(target.logits, here, label, whole, rng=rng, steps=30).fooled
    checks["unbounded"] = (int(missed.sum()), len(some))
    left = torch.nonzero(worst.by < 0)[:_CHECKED, 0]
    again = apgd_ce(target.logits, x[left], y[left], ball, rng=rng).fooled.sum() if len(left) else 0
    checks["second-start"] = (int(again), len(left))
    return checks


def _flat(target: Target, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[int, int]:
    """Rows whose gradient is 0 or no number."""
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(target.logits(z), y), z)
    size = slope.flatten(1).abs().amax(1)
    return int((~size.isfinite() | (size == 0)).sum()), len(x)
