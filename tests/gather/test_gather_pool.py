"""The pool: which models there are, what each was trained on and how long, and what is left when time is short."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather import pool as module
from uncork.gather._contract import Context, Training
from uncork.gather._members import STACK, Member, changed, of_arm, scaled_width
from uncork.gather.pool import base, gather, possible, time_members
from uncork.gather.store import Store
from uncork.schema.errors import UncorkError
from uncork.schema.pool import FURTHER, QUESTIONS, Pool, PoolData
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit

SMALL = Pool(halves=4, quarters=4, eighths=8, full=2)
ALL = Pool(halves=4, full=2, questions=tuple(QUESTIONS))


def build(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


RECIPE = Recipe(build, epochs=2, batch_size=20, lr=0.02)


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (x[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(np.int64)


def subject(n: int = 101, *, recipe: Any = RECIPE, y: Any = None, **changes: Any) -> Subject:
    x, labels = rows(n, 1)
    given = {
        "train": Split(x, labels if y is None else y),
        "validation": Split(*rows(60, 2)),
        "test": Split(*rows(60, 3)),
    }
    return Subject(build(), **{**given, "recipe": recipe, **changes})


@pytest.fixture
def context(context_of: Callable[..., Context]) -> Context:
    return context_of(subject())


def made(request: Pool, context: Context) -> PoolData:
    data: PoolData = gather.gather(request, context)
    return data


def test_every_row_is_in_and_out_of_equally_many_models_of_each_size(context: Context) -> None:
    data = made(SMALL, context)
    assert len(data) == 4 + 4 + 8 + 2
    for size in (1, 2, 4, 8):
        members = data.members(size)
        times = data.trained_on[members].sum(axis=0)
        assert (times == len(members) / size).all()


def test_every_model_takes_the_recipes_steps_on_all_of_train(context: Context) -> None:
    """101 rows in batches of 20, 2 epochs: 12 steps, whatever part of the rows a model gets."""
    data = made(SMALL, context)
    assert data.matched
    assert (data.steps == 12).all()


def test_a_member_is_the_recipe_on_its_rows(context: Context) -> None:
    data = made(Pool(halves=2), context)
    train, validation = context.split("train"), context.split("validation")
    for i in data.members(2):
        seed = integer_seed(0, "pool", 2, int(data.permutation[i]), int(data.part[i]))
        fitted = fit(RECIPE, train.subset(data.trained_on[i]), seed=seed, steps=12).module
        with torch.no_grad():
            logits = fitted(torch.from_numpy(validation.take(np.arange(60)))).numpy()
        assert (data.validation_pass(i).predicted == logits.argmax(axis=1)).all()
        assert data.validation_pass(i).loss == pytest.approx(
            np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(60), validation.y], abs=5e-3
        )


def test_groups_and_copies_are_never_on_both_sides(context_of: Callable[..., Context]) -> None:
    x, y = rows(120, 1)
    x[7] = x[3]
    groups = np.arange(120) // 6
    data = made(Pool(halves=4), context_of(subject(train=Split(x, y, groups=groups))))
    for g in range(20):
        seen = data.trained_on[:, groups == g]
        assert (seen.all(axis=1) | ~seen.any(axis=1)).all()
    assert (data.trained_on[:, 7] == data.trained_on[:, 3]).all()


def test_arms_have_the_rows_of_their_plain_twins(context: Context) -> None:
    data = made(ALL, context)
    for arm in ("lr-over-8", "lr-x8", "decay-x30", "steps-x4", "width-x4", "width-over-4"):
        plain, other = data.pairs(2, arm)
        assert len(other) == 4
        assert (data.trained_on[plain] == data.trained_on[other]).all()
        assert data.steps[other[0]] == (48 if arm == "steps-x4" else 12)
        assert not np.array_equal(data.on_validation[plain], data.on_validation[other])
    assert data.parameters[""] == 8 * 5 + 9 * 2
    assert data.parameters["width-x4"] == 32 * 5 + 33 * 2
    assert data.parameters["width-over-4"] == 2 * 5 + 3 * 2
    assert data.left_out == {"balanced": "no class is rare"}


def test_only_the_best_arm_of_a_question_is_trained_on_all_of_train(context: Context, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "best", lambda data, metric, question: {"tuning": "lr-x8"}.get(question))
    data = made(ALL, context)
    confirmed = {arm for arm, size in zip(data.arm, data.size, strict=True) if arm and size == 1}
    assert confirmed - {"drop-flagged"} == {"lr-x8"}
    other = data.pairs(1, "lr-x8")[1]
    assert len(other) == 2
    assert data.trained_on[other].all()


@pytest.mark.parametrize(("factor", "further"), [(1e-3, {"lr-x64"}), (300.0, {"lr-over-64"})])
def test_a_search_goes_on_where_it_gets_better(
    factor: float, further: set[str], context_of: Callable[..., Context]
) -> None:
    recipe = RECIPE.replace(lr=factor * RECIPE.lr, epochs=8)
    data = made(Pool(halves=4, full=2, questions=("tuning",)), context_of(subject(recipe=recipe)))
    assert set(data.arm) & set(FURTHER) == further
    assert further == {arm for arm, size in zip(data.arm, data.size, strict=True) if arm and size == 1}


def test_flagged_rows_are_left_out_of_their_arm_and_of_nothing_else(context_of: Callable[..., Context]) -> None:
    x, y = rows(400, 1)
    wrong = np.zeros(400, bool)
    wrong[:40] = True
    y = np.where(x[:, 0] > 0, 1, 0)
    context = context_of(subject(train=Split(x, np.where(wrong, 1 - y, y)), recipe=RECIPE.replace(epochs=8)))
    data = made(Pool(halves=8, full=2, questions=("labels",)), context)
    plain, cleaned = data.pairs(1, "drop-flagged")
    assert len(cleaned) == 2
    assert (data.trained_on[cleaned] == ~data.flagged).all()
    assert data.flagged[wrong].mean() > 0.5 > 10 * data.flagged[~wrong].mean()
    assert data.trained_on[plain].all()


def test_nothing_is_flagged_where_labels_are_learnt_by_all(context_of: Callable[..., Context]) -> None:
    x = np.repeat(np.eye(4, dtype=np.float32)[:2], 60, axis=0) + 0.01 * rows(120, 1)[0]
    context = context_of(subject(train=Split(x, np.repeat([0, 1], 60)), recipe=RECIPE.replace(epochs=20)))
    data = made(Pool(halves=4, full=2, questions=("labels",)), context)
    assert not data.flagged.any()
    assert "drop-flagged" not in data.arm


def test_a_smaller_request_gets_the_same_models(context: Context) -> None:
    large, small = Pool(halves=8, quarters=4, full=3, questions=("tuning",)), Pool(halves=4, full=2)
    prefix, own = made(large, context).prefix(small), made(small, context)
    assert prefix.arm == own.arm
    for name in ("size", "permutation", "part", "steps", "included", "on_train", "on_validation"):
        assert np.array_equal(getattr(prefix, name), getattr(own, name)), name


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(8), nn.Dropout(0.5), nn.LayerNorm(8)], ids=lambda m: type(m).__name__)
def test_random_and_counting_layers_and_augmentation_are_the_same_again(
    layer: nn.Module, context_of: Callable[..., Context]
) -> None:
    def with_layer() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), type(layer)(0.5 if isinstance(layer, nn.Dropout) else 8), nn.Linear(8, 2))

    def noisy(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return batch + 0.1 * torch.randn(batch.shape, generator=generator)

    context = context_of(subject(recipe=RECIPE.replace(build=with_layer, augment=noisy)))
    request = Pool(halves=2, eighths=8)
    one, other = made(request, context), made(request, context)
    assert np.array_equal(one.on_train, other.on_train)
    assert len(one) == 10


def test_a_regression_has_values_and_no_labels_to_flag(context_of: Callable[..., Context]) -> None:
    def target(n: int, seed: int) -> Split:
        x, _ = rows(n, seed)
        return Split(x, x[:, 0] + 0.1 * x[:, 1])

    recipe = RECIPE.replace(build=lambda: nn.Linear(4, 1), epochs=20, lr=0.05)
    given = {"train": target(100, 1), "validation": target(60, 2), "test": target(60, 3)}
    context = context_of(Subject(nn.Linear(4, 1), **given, recipe=recipe, metric="rmse"))
    data = made(Pool(halves=4, full=2, questions=("labels", "balance", "tuning")), context)
    assert data.on_validation.dtype == np.float32
    assert data.on_validation.shape[2] == 1
    assert data.left_out["drop-flagged"] == data.left_out["balanced"] == "a regression has no classes"
    error = np.sqrt(data.validation_pass(int(data.members(1)[0])).loss.mean())
    assert error < 0.7 * np.std(given["validation"].y)


def test_a_diverged_arm_is_left_out_with_its_reason(context_of: Callable[..., Context]) -> None:
    def explode(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, y) * (float("nan") if outputs.abs().max() > 9 else 1.0)

    recipe = RECIPE.replace(loss=explode, epochs=6, lr=0.03)
    data = made(Pool(halves=4, full=2, questions=("tuning",)), context_of(subject(recipe=recipe)))
    assert "diverged" in data.left_out["lr-x8"]
    assert "lr-x8" not in data.arm
    assert len(data.pairs(2, "lr-over-8")[1]) == 4


def test_a_diverged_plain_model_takes_its_permutation_with_it(context_of: Callable[..., Context]) -> None:
    def fussy(train: Split, seed: int) -> Any:
        if seed == integer_seed(0, "pool", 2, 1, 0):
            raise UncorkError("training diverged")
        return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)

    data = made(Pool(halves=4, full=1), context_of(subject(recipe=fussy)))
    assert data.permutation[data.members(2)].tolist() == [0, 0]
    assert data.left_out["halves"] == "training diverged"


@pytest.mark.parametrize(("units", "there"), [(5, {1, 2, 4}), (3, {1, 2}), (1, {1})])
def test_sizes_that_train_cant_be_cut_into_are_left_out(
    units: int, there: set[int], context_of: Callable[..., Context]
) -> None:
    x, y = rows(101, 1)
    data = made(SMALL, context_of(subject(train=Split(x, y, groups=np.arange(101) % units))))
    assert set(data.size) == there
    assert data.left_out["eighths"] == f"train has {units} groups or distinct rows, too few to cut it so"


def test_what_the_users_own_code_fails_at_is_left_out(context_of: Callable[..., Context]) -> None:
    def picky(train: Split, seed: int) -> Any:
        if len(train) < 80:
            raise KeyError("too few")
        return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)

    data = made(Pool(halves=2, full=2), context_of(subject(recipe=picky)))
    assert set(data.size) == {1}
    assert data.left_out["halves"] == "KeyError: 'too few'"


def test_a_finished_screen_stays_when_time_is_up_for_the_rest(context: Context, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "best", lambda data, metric, question: "lr-x8")
    monkeypatch.setattr(module, "screened", lambda data, metric, arm: None)
    request = Pool(halves=4, full=2, questions=("tuning",))
    members = len(base(request, {"tuning": ("lr-over-8", "lr-x8")}))

    class Some(type(context.fan)):  # type: ignore[misc]
        """As if time were up after one of the confirming models."""

        left = members + 1

        def each(self, function: Any, jobs: Any) -> Any:
            for job in jobs:
                if self.left == 0:
                    return
                self.left -= 1
                yield function(*job)

    data = made(request, dataclasses.replace(context, fan=Some()))
    assert len(data.pairs(2, "lr-x8")[1]) == 4
    assert len(data.pairs(1, "lr-x8")[1]) == 0
    assert "give a larger --budget" in data.left_out["lr-x8"]


def test_copies_between_validation_and_train_are_counted(context_of: Callable[..., Context]) -> None:
    x, y = rows(101, 1)
    validation = Split(*rows(60, 2))
    x[:6] = validation.take(np.arange(6))
    data = made(Pool(halves=2), context_of(subject(train=Split(x, y), validation=validation)))
    assert data.repeated == pytest.approx(0.1)


def test_a_callable_can_be_retrained_but_not_changed(context_of: Callable[..., Context]) -> None:
    def recipe(train: Split, seed: int) -> LogisticRegression:
        return LogisticRegression().fit(train.take(np.arange(len(train))), train.y)

    data = made(dataclasses.replace(ALL, halves=4), context_of(subject(recipe=recipe)))
    assert not data.matched
    assert set(data.arm) <= {"", "drop-flagged"}
    assert data.left_out["lr-x8"].startswith("the recipe is a callable")
    assert data.parameters == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"recipe": None}, "no recipe was given"), ({"train": None}, "no train split was given")],
)
def test_without_a_recipe_or_train_there_are_no_models_but_a_reason(
    changes: dict[str, Any], why: str, context_of: Callable[..., Context]
) -> None:
    context = context_of(subject(**changes))
    data = made(ALL, context)
    assert len(data) == 0
    assert data.left_out["pool"].startswith(why)
    assert gather.price(ALL, dataclasses.replace(context, training={"": Training(9.0)})) == 0
    assert time_members(ALL, context) == {}


def test_too_large_a_pool_is_withheld(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert "GB: give a sample of train" in made(SMALL, context).left_out["pool"]


def test_what_is_trained_is_not_trained_again(context: Context, tmp_path: Path) -> None:
    kept = dataclasses.replace(context, store=Store(tmp_path, "me"))
    first = made(ALL, kept)

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    class NoFan:
        workers = 2
        each = never

    again = made(ALL, dataclasses.replace(kept, fan=NoFan()))
    for name in ("on_train", "on_validation", "included", "flagged", "seconds"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name


def test_after_the_deadline_nothing_is_begun_and_only_what_is_whole_counts(context: Context, tmp_path: Path) -> None:
    nothing = made(SMALL, dataclasses.replace(context, deadline=0.0))
    assert len(nothing) == 0
    assert "give a larger --budget" in nothing.left_out["halves"]

    class Some:
        """Stops as if time were up after 8 models: 1 full, 2 halves, 4 quarters, 1 eighth."""

        workers = 2

        def each(self, function: Any, jobs: Any) -> Any:
            return (function(*job) for job, _ in zip(jobs, range(8), strict=False))

    store = Store(tmp_path, "me")
    data = made(SMALL, dataclasses.replace(context, fan=Some(), store=store))
    assert [len(data.members(size)) for size in (1, 2, 4, 8)] == [1, 2, 4, 0]
    assert {"full", "halves", "eighths"} <= set(data.left_out)
    whole = made(SMALL, dataclasses.replace(context, store=store))
    alone = made(SMALL, context)
    assert np.array_equal(whole.on_train, alone.on_train)
    assert whole.left_out == {}


def test_the_price_counts_every_training(context: Context) -> None:
    training = {"": Training(2.0), "width-x4": Training(10.0), "width-over-4": Training(1.0)}
    timed = dataclasses.replace(context, training=training)
    assert gather.price(Pool(halves=4, full=2), timed) == pytest.approx(3 + 6 * 2.0 / 2)
    steps = Pool(halves=4, full=2, questions=("steps",))
    assert gather.price(steps, timed) == pytest.approx(3 + (6 * 2.0 + 6 * 8.0) / 2)
    wide = Pool(halves=4, full=2, questions=("capacity",))
    assert gather.price(wide, timed) == pytest.approx(3 + (6 * 2.0 + 6 * 10.0) / 2)
    assert gather.price(Pool(), timed) == 0
    assert of_arm(training, "lr-x8") == Training(2.0)


def test_a_few_steps_tell_the_price(context: Context) -> None:
    found = time_members(ALL, context)
    assert found.keys() == {"", "width-x4", "width-over-4"}
    assert all(0 < t.seconds < 60 and t.stack in (1, STACK) for t in found.values())


def test_a_recipe_that_diverges_is_timed_all_the_same(context_of: Callable[..., Context]) -> None:
    def explode(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, y) * float("nan")

    context = context_of(subject(recipe=RECIPE.replace(loss=explode)))
    assert time_members(Pool(full=2), context)[""].seconds > 0
    data = made(Pool(halves=2, full=2), context)
    assert len(data) == 0
    assert "diverged" in data.left_out["full"]


def test_stacked_members_are_the_same_up_to_rounding(context: Context) -> None:
    stacked = dataclasses.replace(context, training={"": Training(1.0, STACK), "width-x4": Training(1.0, STACK)})
    one, other = made(ALL, context), made(ALL, stacked)
    assert one.arm == other.arm
    assert np.array_equal(one.included, other.included)
    assert np.array_equal(one.steps, other.steps)
    assert np.allclose(one.on_train.astype(np.float32), other.on_train.astype(np.float32), atol=5e-3)


def test_stacks_keep_the_order_and_every_worker_busy(context: Context) -> None:
    stacked = dataclasses.replace(context, training={"": Training(1.0, STACK), "width-x4": Training(1.0, 1)})
    members = base(ALL, {"tuning": ("lr-x8",), "steps": ("steps-x4",), "capacity": ("width-x4",)})
    found = module.stacks(members, stacked.training, stacked.fan.workers, 1000)
    assert [m for stack in found for m in stack if m.arm in ("", "lr-x8")] == members[: 2 + 4 + 4]
    assert sorted(len(stack) for stack in found if stack[0].arm in ("", "lr-x8")) == [5, 5]
    assert [len(stack) for stack in found if stack[0].arm == "steps-x4"] == [2, 2]
    assert [len(stack) for stack in found if stack[0].arm == "width-x4"] == [1] * 4
    assert all(len(stack) == 1 for stack in module.stacks(members, context.training, context.fan.workers, 1000))


def test_what_is_trained_first_says_most() -> None:
    order = base(Pool(halves=4, quarters=4, eighths=8, full=2, questions=("tuning",)), {"tuning": ("lr-x8",)})
    kinds = [(m.size, m.arm) for m in order]
    assert kinds == [
        (1, ""),
        *[(2, "")] * 2,
        *[(4, "")] * 4,
        *[(8, "")] * 8,
        (1, ""),
        *[(2, "")] * 2,
        *[(2, "lr-x8")] * 4,
    ]
    assert len(set(order)) == len(order)


def test_arms_need_halves_and_full_models_beside_them(context: Context) -> None:
    arms, why = possible(Pool(halves=2, full=2, questions=("tuning",)), context)
    assert arms == {}
    assert set(why) == {"lr-over-8", "lr-x8", "lr-over-64", "lr-x64"}


@pytest.mark.parametrize(
    ("arm", "name", "value"),
    [("lr-over-8", "lr", 0.0025), ("lr-x8", "lr", 0.16), ("lr-x64", "lr", 1.28), ("decay-x30", "weight_decay", 0.3)],
)
def test_an_arm_changes_one_thing(arm: str, name: str, value: float) -> None:
    recipe, settings = changed(RECIPE, arm, 12)
    assert settings == {"steps": 12}
    assert getattr(recipe, name) == pytest.approx(value)
    assert recipe.replace(**{name: getattr(RECIPE, name)}) == RECIPE


def test_widths_multiply_the_builds_own() -> None:
    assert scaled_width(RECIPE, "width-x4") == 32
    assert scaled_width(RECIPE.replace(build=lambda width=1.0: build(int(8 * width))), "width-over-4") == 0.25
    assert scaled_width(RECIPE.replace(build=lambda width=None: build(8)), "width-x4") is None
    assert scaled_width(RECIPE.replace(build=lambda: build(8)), "width-x4") is None


def test_dropped_rows_are_part_of_a_models_name() -> None:
    assert Member(1, 0, 0, "drop-flagged", "a").key() != Member(1, 0, 0, "drop-flagged", "b").key()
