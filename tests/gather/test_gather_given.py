"""A pool that was brought: what it becomes, and what doesn't fit the subject."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from uncork import BadInput, Pool, Predictions, Recipe, Split
from uncork.derived.out_of_sample import fold_score, log_probabilities, probabilities, values
from uncork.gather._contract import Context, gatherers
from uncork.gather._given import fingerprint, settled
from uncork.gather.pool import price, time_members
from uncork.probes import wrong_labels
from uncork.probes._contract import registered
from uncork.run.measure import run_probe
from uncork.schema.finding import NotApplicable
from uncork.schema.given_pool import GivenPool
from uncork.schema.metric import Metric
from uncork.schema.pool import FOLD, PoolData
from uncork.stats.means import mean
from uncork.testing.artifacts import facts, relabelled
from uncork.testing.pools import a_pool
from uncork.testing.probes import check_probe

ASKED = Pool(halves=8, quarters=4, eighths=8, full=3, questions=("labels", "tuning", "balance"))
N = 120


def build(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))


def net(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def rows(n: int, seed: int, regression: bool = False) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return Split(x, x[:, 0] + 0.3 * rng.normal(size=n) if regression else np.arange(n) % 3)


@pytest.fixture
def context(context_of: Callable[..., Context]) -> Context:
    return context_of(model=net(9), train=rows(N, 0), validation=rows(60, 1), test=rows(60, 2))


@pytest.fixture
def regression(context_of: Callable[..., Context]) -> Context:
    train, validation, test = (rows(n, seed, regression=True) for seed, n in enumerate((N, 60, 60)))
    model = LinearRegression().fit(train.take(np.arange(N)), train.y)
    return context_of(model=model, metric="mae", train=train, validation=validation, test=test)


def drawn(repeats: int = 1, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return (
        [rng.dirichlet(np.ones(3), N) for _ in range(repeats)],
        [rng.permutation(np.arange(N) % (4 + r)) for r in range(repeats)],
    )


def gathered(given: GivenPool, context: Context, request: Pool = ASKED) -> PoolData:
    ready = dataclasses.replace(context, given=settled(given, context))
    pool: PoolData = gatherers()[Pool].gather(request, ready)
    return pool


def test_predictions_become_a_model_for_each_fold_of_each_repeat(context: Context) -> None:
    p, folds = drawn(2)
    pool = gathered(Pool.from_predictions(p, folds), context)
    assert len(pool) == 9
    assert (pool.size == FOLD).all()
    assert list(zip(pool.permutation.tolist(), pool.part.tolist(), strict=True)) == [
        *((0, k) for k in range(4)),
        *((1, k) for k in range(5)),
    ]
    for i in range(9):
        out = folds[pool.permutation[i]] == pool.part[i]
        assert np.array_equal(pool.trained_on[i], ~out)
        assert np.allclose(np.exp(pool.on_train[i, out].astype(float)), p[pool.permutation[i]][out], rtol=0.01)
        assert (pool.on_train[i, ~out] == 0).all()
    assert pool.on_validation.shape == (9, 0, 3)
    assert len(pool.validation_y) == len(pool.validation_clusters) == 0
    assert pool.brought
    assert set(pool.left_out) >= {"halves", "quarters", "eighths", "full", "tuning", "lr-x8", "drop-flagged"}
    assert all("it takes a recipe" in why for why in pool.left_out.values())
    assert "pool" not in pool.left_out


def test_a_row_is_judged_by_one_prediction_of_each_repeat(context: Context) -> None:
    p, folds = drawn(3)
    pool = gathered(Pool.from_predictions(p, folds), context)
    log = np.mean([np.log(x) for x in p], axis=0)
    expected = np.exp(log) / np.exp(log).sum(axis=1, keepdims=True)
    assert np.allclose(probabilities(pool), expected, atol=5e-3)
    one = gathered(Pool.from_predictions(p[0], folds[0]), context)
    assert np.allclose(probabilities(one), p[0], atol=2e-3)


def test_the_score_of_folds_takes_rows_for_the_unit(context: Context) -> None:
    p, folds = drawn(2)
    pool = gathered(Pool.from_predictions(p, folds), context)
    wrong = np.mean([x.argmax(axis=1) != pool.y for x in p], axis=0)
    found = fold_score(pool, Metric("error"))
    expected = mean(wrong, unit="", bounds=(0, 1), skewed=True)
    assert (found.value, found.low, found.high) == pytest.approx(
        (1000 * wrong.mean(), 1000 * expected.low, 1000 * expected.high)
    )
    assert "of these 9 folds" in found.method
    assert (found.n, found.unit) == (N, "errors per 1,000")


def test_ids_put_rows_in_order(context_of: Callable[..., Context]) -> None:
    train = rows(N, 0)
    named = Split(train.take(np.arange(N)), train.y, ids=[f"row {i}" for i in range(N)])
    context = context_of(model=net(9), train=named, validation=rows(60, 1), test=rows(60, 2))
    (p,), (folds,) = drawn()
    order = np.random.default_rng(1).permutation(N)
    given = Pool.from_predictions(p[order], folds[order], ids=named.ids[order])
    assert np.array_equal(settled(given, context).predictions[0], p)
    assert np.array_equal(settled(given, context).folds[0], folds)
    assert fingerprint(settled(given, context)) == fingerprint(settled(Pool.from_predictions(p, folds), context))


def test_values_of_a_regression(regression: Context) -> None:
    predicted, folds = np.random.default_rng(0).normal(size=N), np.arange(N) % 5
    pool = gathered(Pool.from_predictions(predicted, folds), regression)
    assert np.allclose(values(pool), predicted, rtol=1e-6)


def test_one_column_is_of_the_second_of_two_classes(context_of: Callable[..., Context]) -> None:
    cuts = {name: Split(rows(n, i).take(np.arange(n)), np.arange(n) % 2) for i, (name, n) in enumerate(SIZES.items())}
    context = context_of(model=nn.Linear(4, 2), **cuts)
    p = np.random.default_rng(0).random(N)
    given = settled(Pool.from_predictions(p, np.arange(N) % 4), context)
    assert np.allclose(given.predictions[0], np.stack([1 - p, p], axis=1))


SIZES = {"train": N, "validation": 60, "test": 60}


def test_predictions_for_predictions(context_of: Callable[..., Context]) -> None:
    """No model and no rows: equal probabilities are no copies of a row."""
    cuts = {name: Split(np.tile([0.5, 0.25, 0.25], (n, 1)), np.arange(n) % 3) for name, n in SIZES.items()}
    context = context_of(model=Predictions(), **cuts)
    (p,), (folds,) = drawn()
    pool = gathered(Pool.from_predictions(p, folds), context)
    assert len(np.unique(pool.clusters)) == N
    assert log_probabilities(pool).shape == (N, 3)
    with pytest.raises(BadInput, match="checkpoints take rows to run on"):
        settled(Pool.from_checkpoints([net(0), net(1)]), context)


# Tables.


def written(folder: Path, columns: dict[str, Any], name: str = "oof.csv") -> str:
    import pyarrow
    from pyarrow import csv, parquet

    table, path = pyarrow.table(columns), str(folder / name)
    if name.endswith(".csv"):
        csv.write_csv(table, path)
    else:
        parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("name", ["oof.csv", "oof.parquet"])
def test_a_table_in_any_order_of_rows_and_columns(tmp_path: Path, context: Context, name: str) -> None:
    p, folds = drawn(2)
    ids, repeat = np.tile(np.arange(N), 2), np.repeat([1, 2], N)
    both, fold = np.concatenate(p), np.concatenate(folds)
    order = np.random.default_rng(2).permutation(2 * N)
    columns = {"p_2": both[:, 2], "p_0": both[:, 0], "p_1": both[:, 1], "fold": fold, "repeat": repeat, "id": ids}
    path = written(tmp_path, {key: column[order] for key, column in columns.items()}, name)
    given = settled(Pool.from_predictions(path, ids="id"), context)
    expected = settled(Pool.from_predictions(p, folds), context)
    for mine, theirs in ((given.predictions, expected.predictions), (given.folds, expected.folds)):
        assert all(np.allclose(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_table_with_names_of_its_own(tmp_path: Path, context: Context) -> None:
    (p,), (folds,) = drawn()
    names = np.array(["north", "south", "east", "west"])[folds]
    path = written(tmp_path, {"a": p[:, 0], "b": p[:, 1], "c": p[:, 2], "part": names, "noise": np.arange(N) / 7})
    given = settled(Pool.from_predictions(path, "part", columns=["a", "b", "c"]), context)
    assert np.allclose(given.predictions[0], p)
    assert len(np.unique(given.folds[0])) == 4
    with pytest.raises(BadInput, match="no probability columns were found"):
        settled(Pool.from_predictions(path, "part"), context)


def test_a_table_of_a_regression(tmp_path: Path, regression: Context) -> None:
    predicted = np.random.default_rng(0).normal(size=N)
    path = written(tmp_path, {"pred": predicted, "weight": predicted + 1, "fold": np.arange(N) % 3})
    assert np.allclose(settled(Pool.from_predictions(path), regression).predictions[0][:, 0], predicted)
    other = written(tmp_path, {"a": predicted, "b": predicted, "fold": np.arange(N) % 3}, "other.csv")
    with pytest.raises(BadInput, match="predicted values are one column, but none was found among a, b"):
        settled(Pool.from_predictions(other), regression)


def test_one_column_of_a_table_is_of_the_class_it_is_named_for(
    tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    cuts = {name: Split(rows(n, i).take(np.arange(n)), np.arange(n) % 2) for i, (name, n) in enumerate(SIZES.items())}
    context = context_of(model=nn.Linear(4, 2), classes=("cat", "dog"), **cuts)
    p = np.random.default_rng(0).random(N)
    for column, second in (("p_dog", p), ("p_cat", 1 - p), ("p", p)):
        path = written(tmp_path, {column: p, "fold": np.arange(N) % 3})
        assert np.allclose(settled(Pool.from_predictions(path), context).predictions[0][:, 1], second)


def columns_of(**changes: Any) -> dict[str, Any]:
    (p,), (folds,) = drawn()
    known = {f"p_{k}": p[:, k] for k in range(3)} | {"fold": folds, "id": np.arange(N), "repeat": np.zeros(N, int)}
    return {name: column for name, column in {**known, **changes}.items() if column is not None}


@pytest.mark.parametrize(
    ("changes", "settings", "why"),
    [
        ({"fold": None}, {}, "has no column 'fold': it has p_0, p_1, p_2, id, repeat"),
        ({}, {"ids": "name"}, "has no column 'name'"),
        ({"fold": [None, *([1] * (N - 1))]}, {}, "column 'fold' has no value in row 0"),
        ({"p_1": np.full(N, 2.0)}, {}, "column 'p_1' holds 2 in row 0, which is no probability"),
        ({"p_1": np.zeros(N)}, {}, "row 0 sum to"),
        ({"p_2": None, "p_x": np.full(N, 0.1)}, {}, "columns are p_0, p_1, p_x, but the classes are 0, 1, 2"),
        ({"repeat": np.minimum(np.arange(N), 1)}, {}, "the repeats in column 'repeat' have 1, 119 rows"),
        ({"repeat": np.arange(N) % 2}, {"ids": "id"}, "don't hold the same ids"),
        ({"id": np.arange(N) + 5}, {"ids": "id"}, "hold '120', which is no id of train: ids look like '0'"),
        ({"id": np.arange(N) // 2}, {"ids": "id"}, "hold the id '0' twice"),
        ({"fold": np.zeros(N, int)}, {}, "names one fold only"),
    ],
)
def test_a_bad_table(tmp_path: Path, context: Context, changes: Any, settings: Any, why: str) -> None:
    path = written(tmp_path, columns_of(**changes))
    with pytest.raises(BadInput, match=why):
        settled(Pool.from_predictions(path, **settings), context)


def test_a_table_that_is_not_there(context: Context) -> None:
    with pytest.raises(BadInput, match="no such file"):
        settled(Pool.from_predictions("nowhere.csv"), context)


# What doesn't fit the subject.


@pytest.mark.parametrize(
    ("p", "folds", "ids", "why"),
    [
        (np.full((50, 3), 1 / 3), np.arange(50) % 2, None, "have 50 rows, but train has 120"),
        (np.full((N, 4), 0.25), np.arange(N) % 2, None, "have 4 columns, but there are 3 classes \\(0, 1, 2\\)"),
        (np.full(N, 0.5), np.arange(N) % 2, None, "have one column, but there are 3 classes"),
        (np.full((50, 3), 1 / 3), np.arange(50) % 2, np.arange(50), "lack '50': give one for each of the 120 rows"),
    ],
)
def test_bad_predictions(context: Context, p: np.ndarray, folds: np.ndarray, ids: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        settled(Pool.from_predictions(p, folds, ids=ids), context)


def test_of_two_classes_one_column_is_a_probability(context_of: Callable[..., Context]) -> None:
    cuts = {name: Split(rows(n, i).take(np.arange(n)), np.arange(n) % 2) for i, (name, n) in enumerate(SIZES.items())}
    context = context_of(model=nn.Linear(4, 2), **cuts)
    with pytest.raises(BadInput, match="row 0 include -3"):
        settled(Pool.from_predictions(np.full(N, 4.0), np.arange(N) % 4), context)


def test_a_pool_is_of_train(context_of: Callable[..., Context]) -> None:
    context = context_of(model=net(9), validation=rows(60, 1), test=rows(60, 2))
    with pytest.raises(BadInput, match="no train split was given"):
        settled(Pool.from_predictions(*drawn()), context)


def test_too_large_a_pool(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.gather._given.MOST_BYTES", 1000)
    with pytest.raises(BadInput, match=r"would take .* GB: bring fewer repeats or folds"):
        settled(Pool.from_predictions(*drawn()), context)


# Checkpoints.


def test_checkpoints_become_models_of_all_of_train(context: Context) -> None:
    nets = [net(seed) for seed in range(4)]
    pool = gathered(Pool.from_checkpoints(nets), context)
    assert pool.members(1).tolist() == [0, 1, 2, 3]
    assert pool.trained_on.all()
    for i, module in enumerate(nets):
        for split, outputs in (
            (context.split("train"), pool.on_train),
            (context.split("validation"), pool.on_validation),
        ):
            with torch.inference_mode():
                logits = module.eval()(torch.as_tensor(split.take(np.arange(len(split))))).numpy()
            logits = logits - logits.max(axis=1, keepdims=True)
            assert np.allclose(outputs[i].astype(float), logits, atol=2e-3)
    assert "full" not in pool.left_out
    assert all("only checkpoints were brought" in why for why in pool.left_out.values())
    assert np.array_equal(pool.validation_y, context.split("validation").y)


def test_checkpoints_of_estimators_and_of_regressions(context: Context, regression: Context) -> None:
    train = context.split("train")
    x, y = train.take(np.arange(N)), train.y
    found = gathered(Pool.from_checkpoints([LogisticRegression(C=c).fit(x, y) for c in (0.1, 1, 10)]), context)
    assert found.on_validation.shape == (3, 60, 3)
    train = regression.split("train")
    models = [LinearRegression().fit(train.take(at), train.y[at]) for at in (np.arange(60), np.arange(50, N))]
    pool = gathered(Pool.from_checkpoints(models), regression)
    assert np.allclose(pool.on_train[1, :, 0], models[1].predict(train.take(np.arange(N))), rtol=1e-5)


def test_checkpoints_from_files(tmp_path: Path, context: Context) -> None:
    for seed in range(2):
        torch.save(net(seed).state_dict(), tmp_path / f"{seed}.pt")
    given = Pool.from_checkpoints([tmp_path / "0.pt", str(tmp_path / "1.pt")])
    with pytest.raises(BadInput, match=r"checkpoint 0: .*0.pt' is a path: give recipe=Recipe"):
        settled(given, context)
    known = dataclasses.replace(context, subject=context.subject.replace(recipe=Recipe(build, epochs=1)))
    assert [m.fingerprint() for m in settled(given, known).models] == [
        m.fingerprint() for m in settled(Pool.from_checkpoints([net(0), net(1)]), context).models
    ]


class Sure(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 3), float("nan"))


@pytest.mark.parametrize(
    ("models", "why"),
    [
        ([net(0), net(0)], "checkpoints 0 and 1 have the same weights"),
        ([net(0), nn.Linear(4, 2)], "checkpoint 1 has 2 outputs, but there are 3 classes"),
        ([net(0), nn.Linear(5, 3)], "checkpoint 1: "),
        ([net(0), "weights"], "checkpoint 1: 'weights' is a path"),
        ([net(0), 7], "checkpoint 1: model is of type int"),
        ([net(0), LogisticRegression()], "checkpoint 1: "),
    ],
)
def test_bad_checkpoints(context: Context, models: Sequence[Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        settled(Pool.from_checkpoints(models), context)


def test_a_checkpoint_that_gives_nan_is_named(context: Context) -> None:
    with pytest.raises(BadInput, match="checkpoint 1: the model's output holds NaN"):
        gathered(Pool.from_checkpoints([net(0), Sure()]), context)


# Every probe.

#: They measure the checkpoint or the rows themselves, and use a pool where there is one.
WITHOUT_A_POOL = {"overfitting", "rare-classes", "split-shift", "opaque-decisions"}


@pytest.mark.parametrize("kind", ["predictions", "repeats", "checkpoints", "few"])
@pytest.mark.parametrize(
    "id", [i for i, p in registered().items() if any(isinstance(r, Pool) for r in p.requires.values())]
)
def test_every_probe_copes(id: str, kind: str, context: Context) -> None:
    """A measurement or a reason that says what it would take; predictions answer wrong-labels alone."""
    nets = [net(seed) for seed in range(3)]
    given = {
        "predictions": lambda: Pool.from_predictions(*drawn()),
        "repeats": lambda: Pool.from_predictions(*drawn(8)),
        "checkpoints": lambda: Pool.from_checkpoints(nets),
        "few": lambda: Pool.from_checkpoints(nets[:2]),
    }[kind]()
    ready = dataclasses.replace(context, given=settled(given, context))

    def fetch(request: Any) -> Any:
        data = gatherers()[type(request)].gather(ASKED if isinstance(request, Pool) else request, ready)
        return data.prefix(request) if isinstance(request, Pool) else data

    found = run_probe(registered()[id], ready, fetch)
    answering = {"wrong-labels"} if kind in ("predictions", "repeats") else set()
    answering |= {"retraining-churn", "single-model", "irreproducible-recipe"} if kind == "checkpoints" else set()
    assert isinstance(found, NotApplicable) == (id not in answering | WITHOUT_A_POOL)
    if isinstance(found, NotApplicable):
        assert "brought: " in found.reason
        assert "it takes a recipe" in found.reason


def test_wrong_labels_keeps_the_contract_with_folds() -> None:
    """Each row judged by one of two folds, and by one of each of four repeats."""
    for m in (2, 8):
        nothing = np.zeros(0, np.int64)
        changes = {"size": np.full(m, FOLD), "brought": True, "validation_y": nothing, "validation_clusters": nothing}
        folds = a_pool(400, 0, halves=m, full=0, flipped=0.1, on_validation=np.zeros((m, 0, 3), np.float16), **changes)
        about = {"facts": facts(classes=("a", "b", "c")), "relabelled": relabelled()}
        check_probe(wrong_labels.measure, lambda folds=folds, about=about: {"pool": folds, **about})


def test_nothing_is_timed_or_trained(context: Context) -> None:
    """Even where there is a recipe."""
    known = dataclasses.replace(context, subject=context.subject.replace(recipe=Recipe(build, epochs=1)))
    for given, seconds in (
        (Pool.from_predictions(*drawn()), 0.0),
        (Pool.from_checkpoints([net(0), net(1)]), 2 * (N + 60) * context.seconds_per_row),
    ):
        ready = dataclasses.replace(known, given=settled(given, known))
        assert time_members(ASKED, ready) == {}
        assert price(ASKED, ready) == pytest.approx(seconds)
        assert set(gatherers()[Pool].gather(ASKED, ready).arm) == {""}


def test_fingerprints_tell_what_was_brought(context: Context) -> None:
    p, folds = drawn(2)
    given = [
        Pool.from_predictions(p[0], folds[0]),
        Pool.from_predictions(p[0], folds[1]),
        Pool.from_predictions(p[1], folds[0]),
        Pool.from_predictions(p, folds),
        Pool.from_checkpoints([net(0), net(1)]),
        Pool.from_checkpoints([net(1), net(0)]),
    ]
    prints = [fingerprint(settled(each, context)) for each in given]
    assert len(set(prints)) == len(given)
    assert fingerprint(settled(Pool.from_predictions(p[0], folds[0]), context)) == prints[0]
