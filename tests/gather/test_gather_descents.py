from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.descents import gather
from uncork.schema.descents import SHARES, Descents
from uncork.schema.errors import Unavailable
from uncork.testing.gatherers import check_gatherer

FAST = Descents(others=("adamw", "muon"))


class Linear(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 1, bias=False))


def subject(scales: np.ndarray, n: int = 400, **recipe: Any) -> Subject:
    """Columns of these scales, each of the same weight in y."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3 * n, 8)) * scales
    y = (x / scales).sum(axis=1) + rng.normal(0, 0.1, 3 * n)
    parts = [
        Split(part.astype(np.float32), target) for part, target in zip(np.split(x, 3), np.split(y, 3), strict=True)
    ]
    torch.manual_seed(0)
    settings = {"epochs": 4, "lr": 0.01, "optimizer": "sgd", "batch_size": 50, "weight_decay": 0.0} | recipe
    return Subject(
        Linear(), train=parts[0], validation=parts[1], test=parts[2], metric="rmse", recipe=Recipe(Linear, **settings)
    )


@pytest.mark.slow
def test_curvature_of_a_linear_regression_is_known(context_of: Callable[..., Context]) -> None:
    """The Hessian of a mean of squares is 2 XᵀX / n, in closed form, batch by batch."""
    scales = np.array([5.0, 3, 2, 1, 1, 1, 1, 1])
    given = subject(scales)
    found = gather.gather(FAST, context_of(given))
    x = given.train.take(np.arange(400)).astype(np.float64)
    assert found.sharpness.shape == (1,)
    assert found.batch_rows == 400
    np.testing.assert_allclose(found.sharpness[0], np.linalg.eigvalsh(2 * x.T @ x / 400)[-1], rtol=1e-4)
    assert found.parameters == 8
    assert not given.model[0].weight.grad


@pytest.mark.slow
def test_a_steep_column_slows_plain_descent_down(context_of: Callable[..., Context]) -> None:
    """Scales from 1 to 30: rates of sgd that don't diverge make no way in the flat columns; adamw does."""
    found = gather.gather(FAST, context_of(subject(np.geomspace(1, 30, 8), lr=1e-3, epochs=6)))
    assert found.names[found.finalists[0]] == "sgd"
    assert found.loss.shape == (2, 5, len(SHARES))
    assert found.rates.shape == (3, 5)
    np.testing.assert_allclose(found.rates[0, :3], [1e-3 / 3, 1e-3, 3e-3])
    around = [[1e-3 / 9, 1e-3 / 27], [1e-3 / 3**0.5, 1e-3 * 3**0.5], [9e-3, 27e-3]]
    np.testing.assert_allclose(found.rates[0, 3:], around[found.screened[0, :3].argmin()])
    # Of a mean over the 80 held rows, whose losses differ by far less than ten times the largest mean.
    for i, best in enumerate(found.chosen):
        others = np.delete(found.behind[i], best)
        assert found.behind[i, best] == 0
        assert ((others > 0) & (others < 10 * found.screened[i].max() / np.sqrt(80)) | np.isnan(others)).all()
    assert (found.steps >= 1).all()
    assert found.steps[0] == 48
    # More time never hurts by much, and equal time means fewer steps of what is slower.
    pace = np.median(found.step_seconds[0] / found.step_seconds[1:], axis=1)
    np.testing.assert_allclose(found.steps[1:], 48 * pace, atol=0.51)


@pytest.mark.slow
def test_what_was_chosen_was_chosen_inside_train(context_of: Callable[..., Context]) -> None:
    given = subject(np.ones(8))
    one = gather.gather(FAST, context_of(given))
    other = given.replace(validation=given.validation.with_y(given.validation.y + 100))
    two = gather.gather(FAST, context_of(other))
    if (one.steps == two.steps).all():  # the pace is measured, and moves
        np.testing.assert_array_equal(one.screened, two.screened)
    assert two.loss.min() > 5000


@pytest.mark.slow
def test_keeps_the_contract(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    from uncork.gather import descents as module

    clock = lambda works, rounds, **_: np.ones((rounds, len(works)))  # noqa: E731
    monkeypatch.setattr(module, "side_by_side", clock)
    check_gatherer(gather, FAST, context_of(subject(np.ones(8), n=120)))


def test_what_can_not_be_tried_says_why(context_of: Callable[..., Context]) -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    given = subject(np.ones(8), n=120)
    bare = given.replace(model=Bare(), recipe=given.recipe.replace(build=Bare))
    assert "no matrix" in gather.gather(FAST, context_of(bare)).missing["muon"]
    with pytest.raises(Unavailable, match="give Subject"):
        gather.gather(FAST, context_of(given.replace(recipe=lambda train, seed: Linear())))
