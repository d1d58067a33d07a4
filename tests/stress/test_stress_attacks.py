"""The attacks: verified from outside, against one another, and on nets that hide their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from uncork.models.adapt import as_model
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Guarded
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.scaled import Scaled
from uncork.models.temperature import Tempered
from uncork.run.load import Loaded
from uncork.schema.certificate import Certificate
from uncork.stress.apgd import apgd_ce, apgd_targeted, dlr
from uncork.stress.ball import Ball
from uncork.stress.fab import fab_targeted
from uncork.stress.found import Found
from uncork.stress.frozen import frozen
from uncork.stress.square import share, square
from uncork.stress.standard import Worst, attacked
from uncork.stress.target import target_of

Rows = tuple[Tensor, Tensor]
EPS = {"linf": 0.13, "l2": 0.7}


def whole(model: Any, rows: Rows, ball: Ball, preprocess: Any = None, **options: Any) -> Worst:
    adapted = model if hasattr(model, "outputs") else as_model(model, "classification", preprocess=preprocess)
    adapted.outputs(rows[0][:2].numpy())
    target = target_of(adapted, rows[0], lambda z: z.numpy())
    return attacked(target, *rows, ball, seed=0, **options)


def one(name: str, net: nn.Module, rows: Rows, ball: Ball) -> Found:
    rng = torch.Generator().manual_seed(0)
    run: dict[str, Callable[[], Found]] = {
        "ce": lambda: apgd_ce(net, *rows, ball, rng=rng),
        "dlr": lambda: apgd_targeted(net, *rows, ball, rng=rng),
        "fab": lambda: fab_targeted(net, *rows, ball)[0],
        "square": lambda: square(net, *rows, ball, rng=rng, queries=400),
    }
    return run[name]()


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("name", ["ce", "dlr", "fab", "square"])
def test_what_is_said_to_fool_does_within_ball_and_box(
    name: str, norm: str, net: nn.Module, right: Rows, ball: Callable[..., Ball]
) -> None:
    around = ball(norm, EPS[norm])
    found = one(name, net, right, around)
    wrong = net(found.x).argmax(1) != right[1]
    assert torch.equal(wrong, found.fooled)
    delta = (found.x - right[0]).flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert size.max() <= EPS[norm] * (1 + 1e-5) + 1e-6
    assert found.x.min() >= 0
    assert found.x.max() <= 1
    assert 0.15 < found.fooled.float().mean() < 0.6  # neither weak nor trivial


@pytest.mark.parametrize("norm", ["linf", pytest.param("l2", marks=pytest.mark.slow)])
def test_no_attack_finds_much_that_the_others_miss(
    norm: str, net: nn.Module, right: Rows, ball: Callable[..., Ball]
) -> None:
    """On a small smooth net the three by gradients agree to 2 rows of 120, and Square finds nothing beyond."""
    by = {name: one(name, net, right, ball(norm, EPS[norm])).fooled for name in ("ce", "dlr", "fab", "square")}
    counts = [int(by[name].sum()) for name in ("dlr", "fab")]
    assert abs(counts[0] - counts[1]) <= 2
    assert int(by["ce"].sum()) >= counts[0] - 4
    assert not (by["square"] & ~(by["ce"] | by["dlr"] | by["fab"])).any()


@pytest.mark.slow
def test_giving_up_early_loses_nothing(
    net: nn.Module, right: Rows, ball: Callable[..., Ball], monkeypatch: Any
) -> None:
    early = [one(name, net, right, ball("linf", 0.13)).fooled for name in ("ce", "dlr", "fab")]
    monkeypatch.setattr("uncork.stress.apgd._FAIR", 1e9)
    monkeypatch.setattr("uncork.stress.fab._FAIR", 1e9)
    late = [one(name, net, right, ball("linf", 0.13)).fooled for name in ("ce", "dlr", "fab")]
    for a, b in zip(early, late, strict=True):
        assert int((a != b).sum()) <= 1


@pytest.mark.parametrize("norm", ["linf", pytest.param("l2", marks=pytest.mark.slow)])
def test_the_worst_case_is_of_all_attacks(norm: str, net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    around = ball(norm, EPS[norm])
    worst = whole(net, right, around, queries=400)
    found = worst.by >= 0
    assert torch.equal(net(worst.x).argmax(1) != right[1], found)
    assert around.holds(worst.x, right[0]).all()
    assert (worst.distance[found] <= EPS[norm] * (1 + 1e-5) + 1e-6).all()
    assert (worst.distance[~found] > EPS[norm]).all()
    fooled = [int((worst.by == i).sum()) for i in range(4)]
    assert worst.tried == tuple(120 - sum(fooled[:i]) for i in range(4))
    assert worst.checks["unbounded"] == (0, 50)
    assert worst.checks["flat-margin"][0] == worst.checks["square-only"][0] == worst.checks["second-start"][0] == 0


@pytest.mark.slow
def test_smaller_balls_are_read_from_the_distances(net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    """Three quarters of ε by the smallest changes found at ε, and attacked anew: within 3 rows of 120."""
    at = whole(net, right, ball("linf", 0.13), queries=200).distance
    anew = whole(net, right, ball("linf", 0.0975), queries=200).by >= 0
    assert abs(int((at <= 0.0975).sum()) - int(anew.sum())) <= 3


@pytest.mark.slow
def test_the_run_is_the_seeds_and_leaves_the_module_as_it_was(
    net: nn.Module, right: Rows, ball: Callable[..., Ball]
) -> None:
    state = torch.get_rng_state()
    net.train()
    net[0].weight.requires_grad_(True)
    try:
        one_, two = (whole(net, right, ball("linf", 0.13), queries=100) for _ in range(2))
        assert net.training
        assert net[0].weight.requires_grad
        assert net[0].weight.grad is None
    finally:
        net.eval().requires_grad_(False)
    assert torch.equal(one_.x, two.x)
    assert torch.equal(one_.by, two.by)
    assert torch.equal(torch.get_rng_state(), state)


class Shy(nn.Module):
    """The net's logits times 10,000: cross-entropy is exactly 0 and has no gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = 1e4 * self.net(x)
        return out


def test_saturated_logits_are_noticed_and_cost_nothing(net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    shy, plain = (whole(model, right, ball("linf", 0.13), queries=200) for model in (Shy(net), net))
    assert shy.checks["flat-entropy"][0] >= 40
    assert plain.checks["flat-entropy"][0] == 0
    assert abs(int((shy.by >= 0).sum()) - int((plain.by >= 0).sum())) <= 2


def test_rounded_inputs_are_noticed(net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    """torch.round has the gradient 0: gradients find nothing but what a random start does, Square does."""
    worst = whole(net, right, ball("linf", 0.15), preprocess=lambda z: torch.round(z * 8) / 8, queries=400)
    assert worst.checks["flat-margin"] == (50, 50)
    assert worst.checks["square-only"][0] >= 30
    assert worst.checks["unbounded"][0] >= 10


def test_a_constant_net_is_never_fooled(right: Rows, ball: Callable[..., Ball]) -> None:
    constant = nn.Linear(64, 4).requires_grad_(False)
    constant.weight.zero_()
    constant.bias.copy_(torch.eye(4)[3])
    rows = right[0][right[1] == 3], right[1][right[1] == 3]
    worst = whole(constant, rows, ball("linf", 0.5), queries=100)
    assert (worst.by < 0).all()
    assert worst.distance.isinf().all()


@pytest.mark.slow
def test_wrappers_keep_their_gradients(net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    inner = as_model(net, "classification")
    inner.outputs(right[0][:2].numpy())
    plain = whole(inner, right, ball("linf", 0.13), queries=50).by >= 0
    scaled = Scaled(inner, [2.0] * 4, [0.0] * 4)
    for model in (Tempered(inner, 3.0), Offset(inner, [0.0] * 4), scaled, Ensemble([inner, inner])):
        target = target_of(model, right[0], lambda z: z.numpy())
        assert target.gradients == "own"
        by = whole(model, right, ball("linf", 0.13), queries=50).by >= 0
        assert int((by != plain).sum()) <= 2
    knots = [(torch.tensor([0.0, 1.0]).numpy(), torch.tensor([0.05, 0.8]).numpy())] * 4
    assert target_of(Isotonic(inner, knots, 100), right[0], lambda z: z.numpy()).gradients == "inner"


def test_a_guard_is_not_taken_for_robustness(net: nn.Module, right: Rows, ball: Callable[..., Ball]) -> None:
    """By the net's gradients alone an attack stops where the guard is unsure, and hands over: only a bound is known.
    What is handed over fools nobody, neither as a fooled row nor as a smaller change."""
    inner = as_model(net, "classification")
    inner.outputs(right[0][:2].numpy())
    model = Guarded(inner, Certificate(0.95, 0.9, 0.95, 60, 0, 60))
    target = target_of(model, right[0], lambda z: z.numpy())
    assert target.gradients == "inner"
    answered = torch.from_numpy(model.outputs(right[0].numpy()).answered)
    assert 0 < answered.sum() < len(answered)
    assert torch.equal(target.queried(right[0]).isnan().all(1), ~answered)
    rows = right[0][answered], right[1][answered]
    worst = attacked(target, *rows, ball("linf", 0.13), seed=0, queries=50)
    fooled = worst.by >= 0
    assert not target.right(worst.x, rows[1])[1][fooled].any()
    assert torch.equal(worst.distance <= 0.13 * (1 + 1e-5), fooled)
    assert fooled.float().mean() < 0.2  # of the net itself half are


def test_a_loaded_model_keeps_its_gradients_and_gets_them_back(net: nn.Module, right: Rows) -> None:
    inner = as_model(net, "classification")
    inner.outputs(right[0][:2].numpy())
    model = Tempered(Loaded(inner), 3.0)
    assert target_of(model, right[0], lambda z: z.numpy()).gradients == "own"
    net[0].weight.requires_grad_(True)
    try:
        held: list[bool] = []

        def stopped() -> None:
            with frozen(model):
                held.append(net[0].weight.requires_grad)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stopped()
        assert held == [False]
        assert net[0].weight.requires_grad
        assert not net[0].bias.requires_grad
    finally:
        net.requires_grad_(False)


@pytest.mark.slow
def test_preprocessing_outside_torch_leaves_square_alone(
    net: nn.Module, right: Rows, ball: Callable[..., Ball]
) -> None:
    worst = whole(net, right, ball("linf", 0.13), preprocess=lambda z: torch.from_numpy(z.numpy() * 1.0), queries=200)
    assert worst.attacks == ("Square",)
    assert int((worst.by == 0).sum()) > 30


def test_dlr_is_the_papers(rng: torch.Generator) -> None:
    """Equation 7 of arXiv 2003.01690, by a sort; with three classes the difference alone."""
    z = torch.randn(50, 7, generator=rng)
    y, t = torch.arange(50) % 7, (torch.arange(50) + 3) % 7
    order = z.sort(1).values
    rows = torch.arange(50)
    by_hand = -(z[rows, y] - z[rows, t]) / (order[:, -1] - (order[:, -3] + order[:, -4]) / 2)
    assert torch.allclose(dlr(z, y, t), by_hand, atol=1e-5)
    few = z[:, :3]
    assert torch.allclose(dlr(few, y % 3, (y + 1) % 3), few[rows, (y + 1) % 3] - few[rows, y % 3])


def test_squares_shrink_by_the_papers_schedule() -> None:
    """Table of arXiv 1912.00049, of 10,000 queries, and stretched to 5,000."""
    asked = {1: 0.8, 10: 0.8, 11: 0.4, 51: 0.2, 201: 0.1, 501: 0.05, 1001: 0.025, 2001: 0.0125, 8001: 0.8 / 512}
    assert {query: share(query, 10_000) for query in asked} == pytest.approx(asked)
    assert share(26, 5_000) == share(52, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 8, 8), (8, 8, 1)])
@pytest.mark.parametrize("norm", EPS)
def test_every_layout_is_attacked_alike(
    shape: tuple[int, ...], norm: str, net: nn.Module, right: Rows, ball: Callable[..., Ball]
) -> None:
    """Flat or as an image: by gradients the same rows, by Square as images more or less."""
    rows = right[0][:60].view(60, *shape), right[1][:60]
    flat = nn.Sequential(nn.Flatten(), net)
    exact = one("dlr", net, (right[0][:60], right[1][:60]), ball(norm, EPS[norm])).fooled
    assert int((one("dlr", flat, rows, ball(norm, EPS[norm])).fooled != exact).sum()) <= 1
    assert one("square", flat, rows, ball(norm, EPS[norm])).fooled.float().mean() > 0.1
    assert not (one("square", flat, rows, ball(norm, EPS[norm])).fooled & ~exact).sum() > 1
