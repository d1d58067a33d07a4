"""Rows of validation told from train's: known AUCs, planted shifts, and what must not be told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor

from uncork import Split, Subject
from uncork.derived.two_sample import effect
from uncork.gather import two_sample as module
from uncork.gather._contract import Context
from uncork.gather.two_sample import balance, gather
from uncork.planted.data import SETS
from uncork.planted.faults import FAULTS
from uncork.planted.ground import lay
from uncork.schema.artifacts import TwoSample, TwoSampleData
from uncork.schema.finding import Estimate
from uncork.testing.gatherers import check_gatherer

Rows = tuple[Any, np.ndarray]
Told = Callable[..., tuple[TwoSampleData, Estimate]]


@pytest.fixture
def told(context_of: Callable[..., Context]) -> Told:
    """Train and validation → what is gathered of them, and the effect."""

    def of(train: Rows, validation: Rows, *, groups: Sequence[Any] = (None, None), seed: int = 0) -> Any:
        regression = train[1].dtype.kind == "f"
        dummy = DummyRegressor() if regression else DummyClassifier()
        subject = Subject(
            dummy.fit(np.zeros((len(train[1]), 1)), train[1]),
            train=Split(*train, groups=groups[0]),
            validation=Split(*validation, groups=groups[1]),
            test=Split(*validation),
            metric="rmse" if regression else "error",
        )
        data = gather.gather(TwoSample(), context_of(subject, seed=seed))
        return data, effect(data, "regression" if regression else "classification")

    return of


def rows(n: int, seed: Any, columns: int = 12, classes: int = 3, shares: Any = None) -> Rows:
    """Normal columns; the class moves the second and the third."""
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, size=n, p=shares)
    x = rng.normal(size=(n, columns)).astype(np.float32)
    x[:, 1:3] += 2 * y[:, None]
    return x, y


def moved(given: Rows, by: float) -> Rows:
    x = given[0].copy()
    x[:, 0] += by
    return x, given[1]


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, TwoSample(), context, measured=("seconds",))


def test_random_splits_are_alike(told: Told) -> None:
    """At a true 95 %, 40 intervals hold .5 less often than the region's end with a chance of 1 in 1,000; one reaches
    beyond .6 with a chance below 1e-5 (fixed seeds)."""
    found = [told(rows(700, (0, seed)), rows(400, (1, seed)), seed=seed)[1] for seed in range(40)]
    assert sum(e.low <= 0.5 <= e.high for e in found) >= stats.binom.ppf(1e-3, 40, 0.95)
    assert max(e.low for e in found) < 0.6


def test_a_known_shift_is_approached_from_below(told: Told) -> None:
    """Means 1 s.d. apart: no score has an AUC above Φ(1 / √2) = .760. One column of 12 in 3,500 rows each comes within
    .02; s.e. .006."""
    data, found = told(rows(3500, 0), moved(rows(3500, 1), 1.0))
    best = stats.norm.cdf(1 / np.sqrt(2))
    assert best - 0.03 < found.value < best + 0.015
    assert found.low < best
    few = told(rows(150, 0, 60), moved(rows(100, 1, 60), 1.0))[1]
    assert 0.5 < few.value < found.value
    assert len(data) == 7000


def test_other_shares_of_classes_tell_nothing(told: Told) -> None:
    """Shares from .8 to .1 shift inputs by more than 1 s.d. over all rows, and by nothing within a class. The interval
    misses .5 in 5 % of draws (fixed seed)."""
    data, found = told(rows(1500, 0, shares=[0.8, 0.1, 0.1]), rows(1500, 1, shares=[0.1, 0.1, 0.8]))
    assert found.low <= 0.5 <= found.high < 0.6
    within = stats.mannwhitneyu(*(data.score[(data.fold == 0) & (data.new == new)] for new in (True, False)))
    assert abs(within.statistic / (data.fold == 0).sum() ** 2 * 4 - 0.5) < 0.1  # it was not fitted to the shares either


def test_wrong_labels_of_train_tell_nothing(told: Told) -> None:
    """A third of train's labels are drawn anew: at most a sixth of the pairs could tell, in either direction. The
    interval misses .5 in about 5 % of draws (fixed seed)."""
    x, y = rows(1500, 0)
    rng = np.random.default_rng(5)
    wrong = np.where(rng.random(1500) < 0.33, rng.integers(3, size=1500), y)
    found = told((x, wrong), rows(1000, 1))[1]
    assert found.low <= 0.5 <= found.high < 0.6


def test_random_splits_of_real_rows_are_alike(told: Told, digits: Rows) -> None:
    """Digits, 600 rows each: as for `test_random_splits_are_alike`."""
    (x, y), found = digits, []
    for seed in range(40):
        train, validation = np.split(np.random.default_rng(seed).permutation(len(y))[:1200], 2)
        found.append(told((x[train], y[train]), (x[validation], y[validation]), seed=seed)[1])
    assert sum(e.low <= 0.5 <= e.high for e in found) >= stats.binom.ppf(1e-3, 40, 0.95)
    assert max(e.low for e in found) < 0.6


@pytest.mark.parametrize("data", ["mnist-5k", "digits"])
def test_the_planted_shift_is_found_and_other_faults_are_not(told: Told, data: str) -> None:
    ground = lay(SETS[data], 0)
    for severity in FAULTS["shift"].severities:
        planted = FAULTS["shift"].plant(ground, severity).faulty
        assert told(planted.train, planted.validation)[1].low > 0.6
    for name in ("wrong-labels", "imbalance", "leaked-examples", "scarce-data"):
        other = FAULTS[name].plant(ground, FAULTS[name].usual).faulty
        low = told(other.train, other.validation)[1].low
        assert low is None or low < 0.55


def test_what_is_blanked_though_it_has_no_mean(told: Told) -> None:
    """Columns about 0 lose their spread, and no mean moves: absolute values tell."""
    train, validation = rows(600, 0, 300), rows(400, 1, 300)
    train[0][:, 200:240] = 0
    assert told(train, validation)[1].low > 0.95


def test_groups_and_copies_stay_in_one_fold(told: Told) -> None:
    train, validation = rows(300, 0), rows(200, 1)
    validation[0][:50] = train[0][:50]
    data, _ = told(train, validation, groups=(np.arange(300) // 3, [f"v{i // 2}" for i in range(200)]))
    first = {c: data.fold[data.clusters == c] for c in np.unique(data.clusters)}
    assert all(len(np.unique(fold)) == 1 for fold in first.values())
    np.testing.assert_array_equal(data.clusters[:50], data.clusters[300:350])
    assert len(np.unique(data.clusters[:300:3])) < 100  # copies link groups
    plain, _ = told(train, validation)
    np.testing.assert_array_equal(plain.fold[:50], plain.fold[300:350])
    # A group of the same name is the same group in the other split.
    shared, _ = told(rows(90, 0), rows(90, 1), groups=(np.arange(90) // 3, np.arange(90) // 3))
    np.testing.assert_array_equal(shared.clusters[:90], shared.clusters[90:])


def test_groups_that_differ_by_nature_are_no_shift(told: Told) -> None:
    """Each group of 10 lies somewhere of its own. Rows taken for the unit would miss .5 in 40 % or more of draws; at a
    true 95 %, 40 intervals hold it less often than the region's end with a chance of 1 in 1,000 (fixed seeds)."""
    held = []
    for seed in range(40):
        places = 2 * np.random.default_rng((2, seed)).normal(size=(110, 12)).repeat(10, axis=0).astype(np.float32)
        train, validation = rows(700, (0, seed)), rows(400, (1, seed))
        shifted = (train[0] + places[:700], train[1]), (validation[0] + places[700:], validation[1])
        groups = np.arange(70).repeat(10), 70 + np.arange(40).repeat(10)
        found = told(*shifted, groups=groups, seed=seed)[1]
        held.append(found.low <= 0.5 <= found.high)
    assert sum(held) >= stats.binom.ppf(1e-3, 40, 0.95)


def test_both_sides_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    strata, new, fold = rng.integers(3, size=400), rng.random(400) < 0.3, rng.integers(2, size=400)
    strata[new & (fold == 0) & (strata == 2)] = 1
    weight = balance(strata, new, fold)
    for c in range(3):
        for own in (0, 1):
            cell = (strata == c) & (fold == own)
            assert weight[cell & new].sum() == pytest.approx(weight[cell & ~new].sum())
    assert not weight[(strata == 2) & (fold == 0)].any()


def test_a_seeded_sample_of_rows_and_columns(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 150)
    monkeypatch.setattr(module, "MOST_COLUMNS", 30)
    spied: list[np.ndarray] = []
    fit = module.tell_apart
    monkeypatch.setattr(module, "tell_apart", lambda x, *rest: (spied.append(x), fit(x, *rest))[1])
    data, found = told(rows(400, 0, 60), rows(120, 1, 60))
    assert ((~data.new).sum(), data.new.sum()) == (150, 120)
    assert {x.shape[1] for x in spied} == {30}
    assert found.determined


def test_missing_values_tell(told: Told) -> None:
    train, validation = rows(600, 0), rows(500, 1)
    validation[0][::2, 4] = np.nan
    train[0][:, 5] = np.nan
    validation[0][:, 5] = np.nan
    validation[0][3, 6] = np.inf
    found = told(train, validation)[1]
    assert found.low > 0.52


def test_regression(told: Told) -> None:
    (x, y), (new, new_y) = rows(800, 0), rows(500, 1)
    found = told((x, y + 0.5), moved((new, new_y + 0.5), 1.0))[1]
    assert found.low > 0.6


@pytest.mark.parametrize("what", ["text", "lists in a table", "one row", "no train", "only predictions"])
def test_what_can_not_be_told_apart_has_a_reason(told: Told, context: Context, what: str) -> None:
    y = np.arange(40) % 2
    if what in ("no train", "only predictions"):
        blind = dataclasses.replace(context.facts, has_inputs=False)
        changed: Any = {"subject": context.subject.replace(train=None)} if what == "no train" else {"facts": blind}
        data = gather.gather(TwoSample(), dataclasses.replace(context, **changed))
    elif what == "one row":
        x = np.arange(40, dtype=float)[:, None]
        data = told((x, y), (np.zeros((2, 1)), np.array([0, 1])))[0]
    else:
        given: Any = [f"row {i}" for i in range(40)]
        given = pd.DataFrame({"a": [[text] for text in given]}) if what == "lists in a table" else given
        data = told((given, y), (given, y))[0]
    assert data.reason
    assert len(data) == 0
