"""Ball and box: projections against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from uncork.stress.ball import Ball
from uncork.stress.layout import Layout

NORMS = ("linf", "l2")


@pytest.mark.parametrize("norm", NORMS)
def test_what_is_projected_lies_in_ball_and_box(norm: str, rng: torch.Generator) -> None:
    low, high = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([1.0, 2.0, 0.5])
    ball = Ball(norm, 0.3, low, high)
    x = low + (high - low) * torch.rand(500, 3, generator=rng)
    for z in (x + torch.randn(500, 3, generator=rng), ball.start(x, rng) + 1e-3):
        assert ball.holds(ball.project(z, x), x).all()
    assert ball.holds(ball.start(x, rng), x).all()
    assert not ball.holds(x + torch.tensor([0.0, 0.0, 0.1]), x).any()
    assert not ball.holds(ball.project(x, x) + 0.31, x).any()


@pytest.mark.parametrize("norm", NORMS)
def test_the_rim_is_reached_where_the_box_lets_it(norm: str, rng: torch.Generator) -> None:
    ball = Ball(norm, 0.3, torch.tensor(-9.0), torch.tensor(9.0))
    x = torch.zeros(50, 7)
    assert torch.allclose(ball.size(ball.start(x, rng)), torch.tensor(0.3))


@pytest.mark.parametrize("norm", NORMS)
def test_the_smallest_move_to_a_plane_in_the_box_is_the_solvers(norm: str) -> None:
    """SLSQP on 20 random planes in 5 columns; in L∞ by its bound t as a sixth unknown."""
    draw = np.random.default_rng(0)
    low, high = np.zeros(5), np.ones(5)
    ball = Ball(norm, 1.0, torch.from_numpy(low), torch.from_numpy(high))
    for _ in range(20):
        z, w, goal = draw.random(5), draw.normal(size=5), draw.normal()
        room = np.abs(w) @ np.where(w * goal > 0, high - z, z - low)
        if abs(goal) > 0.95 * room:
            continue
        one = [torch.from_numpy(np.array([a])) for a in (z, w, goal)]
        move = ball.onto(*one)[0].numpy()
        assert w @ move == pytest.approx(goal, abs=1e-5)
        assert ((z + move >= low - 1e-9) & (z + move <= high + 1e-9)).all()
        assert _size(norm, move) == pytest.approx(_solved(norm, z, w, goal), rel=1e-3)


def _size(norm: str, move: np.ndarray) -> float:
    return float(np.linalg.norm(move, np.inf if norm == "linf" else 2))


def _solved(norm: str, z: np.ndarray, w: np.ndarray, goal: float) -> float:
    bounds = [(-a, 1 - a) for a in z]
    meets = {"type": "eq", "fun": lambda v: w @ v[:5] - goal}
    if norm == "l2":
        found = minimize(lambda v: v @ v, np.zeros(5), bounds=bounds, constraints=meets, tol=1e-12)
        return float(np.sqrt(found.fun))
    within = {"type": "ineq", "fun": lambda v: np.concatenate([v[5] - v[:5], v[5] + v[:5]])}
    start = np.r_[np.zeros(5), 1.0]
    found = minimize(lambda v: v[5], start, bounds=[*bounds, (0, 2)], constraints=[meets, within], tol=1e-12)
    return float(found.fun)


def test_a_plane_out_of_reach_is_approached_as_far_as_the_box_lets_it() -> None:
    ball = Ball("linf", 1.0, torch.tensor(0.0), torch.tensor(1.0))
    move = ball.onto(torch.full((1, 3), 0.5), torch.ones(1, 3), torch.tensor([9.0]))
    assert torch.equal(move, torch.full((1, 3), 0.5))


@pytest.mark.parametrize(
    ("shape", "channels", "height"),
    [((64,), 1, 0), ((8, 6), 1, 8), ((3, 8, 6), 3, 8), ((8, 6, 3), 3, 8), ((9, 8, 7), 1, 0), ((2, 3, 4, 5), 1, 0)],
)
def test_a_row_is_taken_apart_and_put_together_again(shape: tuple[int, ...], channels: int, height: int) -> None:
    layout = Layout.of(shape)
    x = torch.randn(4, *shape)
    apart = layout.apart(x)
    assert (layout.channels, layout.height) == (channels, height)
    assert apart.shape[:2] == (4, channels)
    assert torch.equal(layout.rows(apart), x)
    if shape == (8, 6, 3):
        assert torch.equal(apart[0, 2].view(8, 6), x[0, :, :, 2])


def test_windows_are_squares_of_neighbours(rng: torch.Generator) -> None:
    layout = Layout.of((8, 6))
    at = layout.window(200, 3, rng)
    rows, columns = at // 6, at % 6
    assert (rows.amax(1) - rows.amin(1) == 2).all()
    assert (columns.amax(1) - columns.amin(1) == 2).all()
    assert at.unique().numel() == 48  # every pixel has its turn; by chance one has none below 1e-3
    assert (layout.bump(9, 4, rng).norm(dim=1) - 1).abs().max() < 1e-6
