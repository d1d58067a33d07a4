"""Heads on a frozen encoder's features: what they are, and that nothing else passes for them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import BadInput, Predictions, Recipe, Split, Subject, audit
from uncork.gather import _heads as module
from uncork.gather._contract import Context, Training
from uncork.gather._heads import heads
from uncork.gather._members import Member
from uncork.gather.pool import gather, time_members
from uncork.gather.store import Store
from uncork.schema.pool import QUESTIONS, Pool, PoolData
from uncork.schema.report import Report
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit

INPUTS, WIDTH, CLASSES, FLIPPED = 12, 24, 5, 0.2
SMALL = Pool(halves=4, full=2)


class Net(nn.Module):
    """A frozen random encoder, the same each time, and a head."""

    def __init__(self, norm: nn.Module | None = None, *, frozen: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.encoder = nn.Sequential(nn.Linear(INPUTS, WIDTH), norm or nn.Identity(), nn.ReLU())
        self.encoder.requires_grad_(not frozen)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.scale * self.head(self.encoder(x))
        return outputs


class Still(nn.BatchNorm1d):
    """Of a frozen encoder: it never counts."""

    def train(self, mode: bool = True) -> Still:
        super().train(False)
        return self


RECIPE = Recipe(Net, epochs=30, batch_size=50, lr=0.01)
CENTRES = np.random.default_rng(5).normal(size=(CLASSES, INPUTS))


def split(n: int, seed: int, *, flipped: float = 0.0, **beside: Any) -> Split:
    rng = np.random.default_rng(seed)
    truth = rng.integers(CLASSES, size=n)
    x = (CENTRES[truth] + 0.5 * rng.normal(size=(n, INPUTS))).astype(np.float32)
    wrong = rng.permutation(n)[: round(n * flipped)]
    y = truth.copy()
    y[wrong] = (truth[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    return Split(x, y, **beside)


def subject(model: Any = None, *, n: int = 200, flipped: float = 0.0, **changes: Any) -> Subject:
    given = {"train": split(n, 1, flipped=flipped), "validation": split(150, 2), "test": split(150, 3)}
    given |= {"recipe": RECIPE, "name": "heads", **changes}
    if model is None:
        model = fit(given["recipe"], given["train"], seed=0).module
    return Subject(model, **given)


def of_heads(context: Context) -> Context:
    return dataclasses.replace(context, heads=heads(context))


def made(request: Pool, context: Context) -> PoolData:
    data: PoolData = gather.gather(request, context)
    return data


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def here(context_of: Callable[..., Context]) -> Iterator[None]:
    """Audits train in this process."""
    with pytest.MonkeyPatch.context() as patch:
        fan = context_of(subject(Net())).fan
        patch.setattr("uncork.run.audit.Executor", lambda *_: fan)
        yield


@pytest.fixture(scope="module")
def audited(here: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    probes = ["wrong-labels", "excess-capacity"]
    out = tmp_path_factory.mktemp("heads") / "run"
    return audit(subject(n=800, flipped=FLIPPED), pool="head", probes=probes, out=out)


def test_planted_labels_are_found(audited: Report) -> None:
    """Fixed seeds; at 95 % the interval misses the truth for 1 seed in 20 of correct code."""
    rate = audited.finding("wrong-labels").estimates["noise_if_random"]
    assert rate.low < FLIPPED < rate.high
    assert rate.high - rate.low < 0.15


def test_the_report_says_what_was_retrained(audited: Report) -> None:
    assert module.NOTE in audited.subject["notes"]
    assert "a linear head has no width" in audited.finding("excess-capacity").reason


def test_a_member_is_a_linear_layer_trained_on_the_features_of_its_rows(context_of: Callable[..., Context]) -> None:
    """Alone and stacked; what is stored has 16 bits, so that a logit of 8 is told to .004."""
    plain = context_of(subject())
    train, net = plain.split("train"), Net()
    with torch.no_grad():
        features = net.encoder(torch.from_numpy(train.take(np.arange(len(train))))).half().float()
    recipe = RECIPE.replace(build=partial(nn.Linear, WIDTH, CLASSES))
    on_features = Split(features.numpy(), train.y)
    for stack in (1, 16):
        data = made(SMALL, dataclasses.replace(of_heads(plain), training={"": Training(0.1, stack)}))
        assert len(data) == 6
        assert (data.steps == RECIPE.steps(200)).all()
        for i in range(len(data)):
            size, permutation, part = (int(a[i]) for a in (data.size, data.permutation, data.part))
            seed = integer_seed(0, "pool", size, permutation, part)
            fitted = fit(recipe, on_features.subset(data.trained_on[i]), seed=seed, steps=RECIPE.steps(200)).module
            with torch.no_grad():
                logits = fitted(features)
            shifted = logits - logits.max(dim=1, keepdim=True).values
            assert np.allclose(data.on_train[i], shifted.numpy(), rtol=2e-3, atol=5e-3)


def test_halves_hold_out_and_copies_stay_together(context_of: Callable[..., Context]) -> None:
    rng = np.random.default_rng(0)
    x, y = split(200, 1).take(np.arange(200)), split(200, 1).y
    assert y is not None
    x[7] = x[3]
    copies = heads(context_of(subject(train=Split(x, y))))
    assert isinstance(copies, Subject)
    assert copies.train.groups[7] == copies.train.groups[3]  # whatever rounding makes of their features
    assert len(set(copies.train.groups)) == 199
    train = Split(x, y, ids=[f"row {i}" for i in range(200)], groups=rng.integers(60, size=200))
    data = made(SMALL, of_heads(context_of(subject(train=train))))
    seen = data.trained_on[data.members(2)]
    assert (seen[0::2] ^ seen[1::2]).all()
    assert (seen[:, 7] == seen[:, 3]).all()
    for group in range(60):
        own = seen[:, train.groups == group]
        assert (own.all(axis=1) | ~own.any(axis=1)).all()
    assert (data.y == y).all()


def test_arms_of_a_head(context_of: Callable[..., Context]) -> None:
    context = of_heads(context_of(subject(n=60)))
    data = made(Pool(halves=4, full=1, questions=tuple(QUESTIONS)), context)
    assert data.left_out["width-x4"] == data.left_out["width-over-4"] == module.NO_WIDTH
    assert len(data.pairs(2, "steps-x4")[1]) == len(data.pairs(2, "lr-x8")[1]) == 4
    assert data.parameters == {"": (WIDTH + 1) * CLASSES}
    assert list(time_members(SMALL, context)) == [""]
    assert gather.price(SMALL, dataclasses.replace(context, training={"": Training(9.0)})) > 0


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (partial(Net, frozen=False), "encoder.0.weight"),
        (lambda: Net(nn.BatchNorm1d(WIDTH)), "encoder.1.running_mean"),
    ],
)
def test_an_encoder_that_the_recipe_trains_is_withheld(
    build: Callable[[], Net], name: str, context_of: Callable[..., Context]
) -> None:
    """Of a model that was not trained at all, too: what training would do is what matters. BatchNorm has buffers."""
    recipe = RECIPE.replace(build=build)
    for model in (None, build()):
        data = made(SMALL, of_heads(context_of(subject(model, recipe=recipe))))
        reason = data.left_out["pool"]
        assert not len(data)
        assert reason.startswith(f"the encoder was fitted on train, as far as can be told: {name} is another")
        assert "falsifies label errors, curves, membership and churn; pool='auto'" in reason


def test_an_encoder_that_was_tuned_before_is_withheld(context_of: Callable[..., Context]) -> None:
    tuned = fit(RECIPE.replace(build=partial(Net, frozen=False), epochs=1), split(200, 1), seed=0).module
    reason = heads(context_of(subject(tuned)))
    assert isinstance(reason, str)
    assert "encoder.0.weight is another in the model than recipe.build makes it" in reason


def test_an_encoder_that_build_shares_is_withheld_where_it_is_trained_and_left_as_it_was(
    context_of: Callable[..., Context],
) -> None:
    """Then what build makes, the model and what is trained are one and the same object."""
    for frozen in (True, False):
        shared = Net(frozen=frozen)
        before = {name: tensor.clone() for name, tensor in shared.encoder.state_dict().items()}
        recipe = RECIPE.replace(build=lambda net=shared: net)
        found = heads(context_of(subject(shared, recipe=recipe)))
        assert isinstance(found, Subject) == frozen
        assert all(torch.equal(before[name], tensor) for name, tensor in shared.encoder.state_dict().items())


def test_a_norm_that_never_counts_is_part_of_a_frozen_encoder(context_of: Callable[..., Context]) -> None:
    context = context_of(subject(recipe=RECIPE.replace(build=lambda: Net(Still(WIDTH)))))
    assert isinstance(heads(context), Subject)


def callable_recipe(train: Split, seed: int) -> LogisticRegression:
    return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": callable_recipe(split(200, 1), 0), "recipe": callable_recipe}, "heads take a torch module"),
        ({"recipe": callable_recipe, "model": Net()}, "heads take a torch module, the train split and a Recipe"),
        ({"recipe": None, "model": Net()}, "no recipe was given"),
        ({"train": None, "model": Net()}, "no train split was given"),
        ({"model": Net(scale=2.0)}, "no head can be told from the encoder (features: none: the logits are not W f + b"),
        ({"features": "encoder"}, "no head can be told from the encoder (features: input of encoder, as told)"),
    ],
)
def test_withheld_with_the_reason(changes: dict[str, Any], why: str, context_of: Callable[..., Context]) -> None:
    data = made(SMALL, of_heads(context_of(subject(**changes))))
    assert not len(data)
    assert data.left_out["pool"].startswith(why)


def test_of_predictions_it_is_withheld() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(CLASSES), 100)
    given = Subject(Predictions(), test=Split(p, p.argmax(axis=1)), name="p")
    found = audit(given, pool="head", probes=["wrong-labels"], out="run").finding("wrong-labels")
    assert found.verdict == "not-applicable"
    assert found.reason.startswith("only predictions were given")


def test_too_large_features_are_withheld(context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert str(heads(context_of(subject()))).startswith("the features would take")


def test_a_layer_that_the_user_named_is_used_where_it_makes_the_logits(context_of: Callable[..., Context]) -> None:
    assert isinstance(heads(context_of(subject(features="head"))), Subject)


def test_a_folder_holds_heads_or_whole_nets(here: None) -> None:
    given = subject(n=60, recipe=RECIPE.replace(epochs=1))
    kept = {}
    for pool, other in (("head", "auto"), ("auto", "head")):
        audit(given, pool=pool, probes=["retraining-churn"], out=pool)
        kept[pool] = {path.name for path in Path(pool, "artifacts").glob("member-*")}
        assert kept[pool]
        with pytest.raises(BadInput, match=r"holds the run of another subject \(pool differs\)"):
            audit(given, pool=other, probes=["retraining-churn"], out=pool)
        audit(given, pool=pool, probes=["retraining-churn"], out=pool)
        assert kept[pool] == {path.name for path in Path(pool, "artifacts").glob("member-*")}
    assert not kept["head"] & kept["auto"]
    assert json.loads(Path("head/subject.json").read_text())["fingerprints"]["pool"] == "heads"


def test_whole_nets_are_not_told_from_stored_heads_and_the_other_way_round(
    context_of: Callable[..., Context], tmp_path: Path
) -> None:
    """Even under one identity, such as `treat` gives the store of an audit."""
    store = Store(tmp_path, "one")
    plain = dataclasses.replace(context_of(subject()), store=store)
    made(SMALL, of_heads(plain))
    assert store.get(Member(1, 0, 0)) is None
    late = dataclasses.replace(of_heads(plain), deadline=0.0)
    assert len(made(SMALL, late)) == 6
    assert len(made(SMALL, dataclasses.replace(plain, deadline=0.0))) == 0


def test_features_are_gathered_once(context_of: Callable[..., Context], tmp_path: Path) -> None:
    context, store = context_of(subject()), Store(tmp_path, "one")
    first = heads(context, store)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("pass-*")}
    again = heads(context, Store(tmp_path, "one"))
    assert isinstance(first, Subject)
    assert isinstance(again, Subject)
    assert len(files) == 2
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("pass-*")}
    everything = np.arange(200)
    assert (first.train.take(everything) == again.train.take(everything)).all()


def test_features_that_do_not_fit_the_budget_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from uncork.run import audit as run

    admit = run.admit

    def slow(*given: Any, **settings: Any) -> Any:
        admitted = admit(*given, **settings)
        return dataclasses.replace(admitted, context=dataclasses.replace(admitted.context, seconds_per_row=9.0))

    monkeypatch.setattr(run, "admit", slow)
    found = audit(subject(), pool="head", budget="10m", probes=["wrong-labels"], out="run").finding("wrong-labels")
    assert found.reason == "the features would take about 3150 s, and 600 s were given: give a larger --budget"
