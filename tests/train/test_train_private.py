"""Private training: ε by closed forms and another accountant, steps by clipping by hand, noise by its size."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import nn

from uncork import Recipe, Split
from uncork.schema.errors import BadInput, MissingExtra, Unavailable
from uncork.train import private
from uncork.train.private import Private, check_layers, least_noise, spent_by

N, D, K = 40, 5, 3
RNG = np.random.default_rng(0)
ROWS = Split(RNG.normal(size=(N, D)).astype(np.float32), RNG.integers(0, K, N))


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, K))


#: Every row in every step.
WHOLE = Recipe(build, epochs=3, batch_size=N, lr=0.5, optimizer="sgd", weight_decay=0.0)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def gaussian_epsilon(noise: float, delta: float) -> float:
    """The smallest ε of one Gaussian mechanism of sensitivity 1 (Balle & Wang, ICML 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        first = stats.norm.cdf(1 / (2 * noise) - epsilon * noise)
        return float(first - math.exp(epsilon) * stats.norm.cdf(-1 / (2 * noise) - epsilon * noise) - delta)

    return float(optimize.brentq(excess, 0, 60))


def sampled_epsilon(noise: float, rate: float, delta: float) -> float:
    """The same of one step on a Poisson sample, by both hockey-stick divergences on a grid."""
    z = np.linspace(-12, 13, 200_001)
    without = stats.norm.pdf(z, 0, noise)
    with_row = (1 - rate) * without + rate * stats.norm.pdf(z, 1, noise)

    def excess(epsilon: float) -> float:
        pairs = ((with_row, without), (without, with_row))
        found = [np.trapezoid(np.maximum(p - math.exp(epsilon) * q, 0), z) for p, q in pairs]
        return float(max(found) - delta)

    return float(optimize.brentq(excess, 1e-3, 20))


@pytest.mark.parametrize(("noise", "steps"), [(0.8, 1), (4.0, 16)])
def test_epsilon_of_whole_batches_is_the_closed_forms(noise: float, steps: int) -> None:
    """T Gaussian steps on the same rows are one with noise / √T. PRV gives an upper bound, .01 apart by its grid."""
    exact = gaussian_epsilon(noise / math.sqrt(steps), 1e-5)
    assert exact <= spent_by("prv", noise, 1.0, steps, 1e-5) < exact + 0.03


def test_epsilon_of_one_sampled_step_is_the_integrals() -> None:
    exact = sampled_epsilon(1.0, 0.3, 1e-3)
    assert exact <= spent_by("prv", 1.0, 0.3, 1, 1e-3) < exact + 0.03
    assert exact < gaussian_epsilon(1.0, 1e-3)


def test_the_least_noise_keeps_the_budget_by_two_accountants() -> None:
    """Rényi's bound is the looser one, by about a tenth."""
    steps = (0.125, 16, 0.1 / 400)
    noise, epsilon = least_noise(8.0, 0.1 / 400, 0.125, 16)
    assert epsilon == spent_by("prv", noise, *steps)
    assert 7.6 < epsilon <= 8.0
    assert spent_by("prv", 0.97 * noise, *steps) > 8.0
    assert epsilon < spent_by("rdp", noise, *steps) < 1.25 * epsilon


def by_hand(clip: float) -> torch.Tensor:
    """WHOLE's steps with each row's gradient found and clipped by itself."""
    with torch.random.fork_rng():
        torch.manual_seed(private.integer_seed(0, "train"))
        module = build()
    optimizer = private.make_optimizer(WHOLE, module)
    x, y = torch.from_numpy(ROWS.take(np.arange(N))), torch.from_numpy(ROWS.y)
    for step in range(WHOLE.epochs):
        summed = [torch.zeros_like(p) for p in module.parameters()]
        for i in range(N):
            module.zero_grad()
            nn.functional.cross_entropy(module(x[i : i + 1]), y[i : i + 1]).backward()
            norm = torch.sqrt(sum((p.grad**2).sum() for p in module.parameters()))
            for total, p in zip(summed, module.parameters(), strict=True):
                total += p.grad * min(1.0, clip / float(norm))
        for total, p in zip(summed, module.parameters(), strict=True):
            p.grad = total / N
        optimizer.param_groups[0]["lr"] = WHOLE.lr * private.lr_factor("cosine", step, WHOLE.epochs)
        optimizer.param_groups[-1]["lr"] = optimizer.param_groups[0]["lr"]
        optimizer.step()
    return weights(module)


@pytest.mark.parametrize("clip", [0.3, 1e6])
@pytest.mark.parametrize("at_once", [2**26, 1])
def test_steps_are_those_clipped_by_hand(clip: float, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "least_noise", lambda *_: (1e-9, 8.0))
    monkeypatch.setattr(private, "_AT_ONCE", at_once)
    trained = Private(WHOLE, clip=clip)(ROWS, 0)
    torch.testing.assert_close(weights(trained), by_hand(clip), rtol=1e-3, atol=1e-4)
    assert not trained.training
    assert not torch.allclose(by_hand(0.3), by_hand(1e6), atol=1e-2)


def test_the_noise_is_as_large_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step from the same weights with and without: σ · clip / rows · lr. 1,099 weights: 2 % standard error."""
    wide = WHOLE.replace(build=lambda: nn.Sequential(nn.Linear(D, 121), nn.Tanh(), nn.Linear(121, K)), epochs=1)
    found = []
    for noise in (1e-9, 2.0):
        monkeypatch.setattr(private, "least_noise", lambda *_, noise=noise: (noise, 8.0))
        found.append(weights(Private(wide, clip=0.7)(ROWS, 1)))
    apart = found[1] - found[0]
    assert float(apart.std()) == pytest.approx(2.0 * 0.7 / N * wide.lr, rel=0.1)


def test_it_is_reproducible_and_quiet_and_takes_empty_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of one row in 40 on average: a third of 80 are empty."""
    monkeypatch.setattr(private, "least_noise", lambda *_: (0.5, 15.9))
    recipe = WHOLE.replace(batch_size=1, epochs=2, optimizer="adamw", lr=1e-2)
    given = Private(recipe, preprocess=lambda x: 2 * x, epsilon=16, delta=1e-3)
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two, other = given(ROWS, 3), given(ROWS, 3), given(ROWS, 4)
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not hasattr(next(one.parameters()), "grad_sample")
    assert Private(WHOLE).spent(N).rate == 1
    said = str(given.spent(N))
    assert "at δ = 0.001 by the PRV accountant" in said
    assert "sampling rate 0.025, 80 steps, gradients clipped at 1" in said


class Remembers(nn.Module):
    """Trainable, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(3))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), "GroupNorm"),
        (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False)), "GroupNorm"),
        (nn.LSTM(5, 4), "no gradients row by row"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), "row by row"),
        (Remembers(), "no gradients row by row: .*buffers"),  # Opacus' validator lets it pass, and its wrapper doesn't
    ],
)
def test_layers_that_mix_rows_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        check_layers(lambda: module)
    check_layers(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.LazyLinear(2)))


@pytest.mark.parametrize("settings", [{"epsilon": 0.0}, {"epsilon": 33.0}, {"delta": 1.0}, {"clip": math.inf}])
def test_budgets_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(settings))):
        Private(WHOLE, **settings)


def test_a_budget_below_the_accountants_reach_is_refused() -> None:
    with pytest.raises(BadInput, match="too low for the accountant"):
        least_noise(0.02, 1e-4, 0.1, 100)


def test_without_opacus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opacus", None)
    with pytest.raises(MissingExtra, match=r"uncork\[dp\]"):
        check_layers(build)
