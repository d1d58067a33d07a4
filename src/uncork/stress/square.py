"""Square: random search that needs the model's outputs alone.

Andriushchenko et al., "Square attack: a query-efficient black-box adversarial attack via random search", ECCV 2020
(arXiv 1912.00049): the margin is the loss; the share of x that a query changes starts at .8 and falls by their
schedule. Images change in squares; rows of columns, which have no neighbours, in random sets of columns, each with a
sign of its own.

Added: a query that changes nothing is kept too, so that the search drifts over the plateaus of trees; and `reached`,
the smallest margins that gradients got to. After 1,000 queries a row leaves the batch where Square's is no smaller: it
is there to notice gradients that mislead, and on such a row they do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uncork.stress.ball import Ball
from uncork.stress.found import Found, Logits, margins
from uncork.stress.layout import Layout

if TYPE_CHECKING:
    from jaxtyping import Float, Int

QUERIES = 5_000
FEWEST = 1_000  # queries of a row on which gradients got further
_SHARE = 0.8
_HALVED = (10, 50, 200, 500, 1_000, 2_000, 4_000, 6_000, 8_000)  # after so many queries of 10,000


def square(
    logits: Logits,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    ball: Ball,
    *,
    rng: torch.Generator,
    queries: int = QUERIES,
    reached: Float[Tensor, " n"] | None = None,
) -> Found:
    """At most so many forward passes of each row. Rows that are fooled leave the batch."""
    found, layout = Found.nothing(x), Layout.of(x.shape[1:])
    propose = _signs if ball.norm == "linf" else _moved
    rows, z = torch.arange(len(x)), x.clone()
    margin = torch.full((len(x),), torch.inf, dtype=x.dtype)
    first = _stripes if ball.norm == "linf" else _tiles
    new = ball.project(x + layout.rows(first(len(x), layout, ball, rng).to(x.dtype)), x)
    for query in range(1, queries + 1):
        with torch.no_grad():
            seen = margins(logits(new), y[rows]).to(x.dtype)
        gone = found.see(rows, new, seen)
        better = seen <= margin
        z[better], margin[better] = new[better], seen[better]
        if reached is not None and query >= FEWEST:
            gone = gone | (margin >= reached[rows])
        if gone.any():
            rows, z, margin = rows[~gone], z[~gone], margin[~gone]
        if not len(rows):
            break
        here = x[rows]
        delta = propose(layout.apart(z - here), share(query, queries), layout, ball, rng)
        new = ball.project(here + layout.rows(delta), here)
    return found


def share(query: int, queries: int) -> float:
    """Of x, that a query changes: .8, halved along the schedule, which is stretched to the number of queries."""
    at = query * 10_000 // queries
    return float(_SHARE / 2 ** sum(at > after for after in _HALVED))


def _sign(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return (2 * torch.randint(0, 2, shape, generator=rng) - 1).float()


def _stripes(n: int, layout: Layout, ball: Ball, rng: torch.Generator) -> Tensor:
    """(n, c, m) of ±ε: one sign for each column of a channel's pixels."""
    drawn = _sign((n, layout.channels, 1, layout.width), rng)
    stripes: Tensor = ball.eps * drawn.expand(-1, -1, max(layout.height, 1), -1).flatten(2)
    return stripes


def _signs(delta: Tensor, part: float, layout: Layout, ball: Ball, rng: torch.Generator) -> Tensor:
    """`delta` (b, c, m) with ±ε in a random window of each row."""
    at = layout.window(len(delta), layout.side(part), rng)
    drawn = _sign((len(delta), layout.channels, 1 if layout.height else at.shape[1]), rng).to(delta.dtype)
    at = at[:, None].expand(-1, layout.channels, -1)
    return delta.scatter(2, at, (ball.eps * drawn).expand(at.shape))


def _tiles(n: int, layout: Layout, ball: Ball, rng: torch.Generator) -> Tensor:
    """(n, c, m) of norm ε: a fifth of each side wide, with opposite halves."""
    if not layout.height:
        drawn = _sign((n, 1, layout.width), rng)
        return _sized(drawn, ball)
    delta = torch.zeros(n, layout.channels, layout.height, layout.width)
    side = max(min(layout.height, layout.width) // 5, 1)
    for top in range(0, layout.height - side + 1, side):
        for left in range(0, layout.width - side + 1, side):
            tile = layout.bump(n, side, rng).view(n, 1, side, side) * _sign((n, layout.channels, 1, 1), rng)
            delta[:, :, top : top + side, left : left + side] = tile
    return _sized(delta.flatten(2), ball)


def _moved(delta: Tensor, part: float, layout: Layout, ball: Ball, rng: torch.Generator) -> Tensor:
    """`delta` (b, c, m) with the norm of one random window of each row moved to another."""
    b, c, _ = delta.shape
    side = layout.side(part, odd=True)
    to, off = (layout.window(b, side, rng)[:, None].expand(-1, c, -1) for _ in range(2))
    held = delta.gather(2, to)
    union = torch.zeros_like(delta).scatter(2, to, 1.0).scatter(2, off, 1.0)
    freed = (delta.square() * union).sum(2, keepdim=True)
    spare = (ball.eps**2 - delta.square().flatten(1).sum(1)).clamp_min(0)[:, None, None] / c
    new = layout.bump(b, side, rng)[:, None].to(delta.dtype) * _sign((b, c, 1), rng).to(delta.dtype)
    new = new + held / held.norm(dim=2, keepdim=True).clamp_min(1e-12)
    new = new / new.norm(dim=2, keepdim=True).clamp_min(1e-12) * (spare + freed).sqrt()
    moved = delta.scatter(2, off, 0.0).scatter(2, to, new)
    return _sized(moved, ball)


def _sized(delta: Tensor, ball: Ball) -> Tensor:
    """Of norm ε."""
    sized: Tensor = ball.eps * delta / delta.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
    return sized
