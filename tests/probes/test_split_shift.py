"""split-shift: brute force, no shift covered, planted shifts found, other shares of classes are no shift."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from uncork.probes.split_shift import measure
from uncork.schema.artifacts import TwoSampleData
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import a_two_sample, facts, no_two_sample
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(
    pool: PoolData, metric: Any = "error", two_sample: TwoSampleData | None = None, **known: Any
) -> dict[str, Any]:
    """Inputs can't be told apart unless `two_sample` says so."""
    metric = metric if isinstance(metric, Metric) else Metric(metric)
    known = {"classes": ("cat", "dog", "fox"), **known}
    return {
        "pool": pool,
        "two_sample": a_two_sample() if two_sample is None else two_sample,
        "facts": facts(metric=metric, **known),
    }


def drawn_with(
    share: dict[str, list[float]], rates: list[float], n: int = 400, v: int = 300, seed: int = 0
) -> PoolData:
    """Classes drawn with these shares, wrong at their own rates, the same in both splits; models err on half the same
    rows."""
    rng, k = np.random.default_rng((seed, 3)), len(rates)
    y, new = (rng.choice(k, size, p=share[name]) for name, size in (("train", n), ("validation", v)))
    outputs = []
    for labels in (y, new):
        hard, logits = rng.normal(size=len(labels)), np.full((4, len(labels), k), -5.0)
        for member in range(4):
            luck = np.sqrt(0.5) * (hard + rng.normal(size=len(labels)))
            said = np.where(luck < stats.norm.ppf(np.array(rates)[labels]), (labels + 1) % k, labels)
            logits[member, np.arange(len(labels)), said] = 3.0
        outputs.append(logits.astype(np.float16))
    pool = pool_of(n, v, classes=k, seed=seed)
    return dataclasses.replace(pool, y=y, validation_y=new, on_train=outputs[0], on_validation=outputs[1])


def pool_of(n: int = 800, v: int = 500, **changes: Any) -> PoolData:
    return a_pool(n=n, v=v, halves=4, full=0, **changes)


def test_keeps_the_contract() -> None:
    def null(seed: int) -> dict[str, Any]:
        return given(pool_of(3000, 3000, seed=seed), two_sample=a_two_sample(seed=seed))

    check_probe(measure, lambda: given(pool_of()), null=null, seeds=40)
    check_probe(measure, lambda: given(no_pool(), two_sample=a_two_sample(apart=1)))
    check_probe(measure, lambda: given(pool_of(), two_sample=no_two_sample()))
    groups = {"clusters": np.arange(800) // 4, "validation_clusters": np.arange(500) // 4}
    check_probe(measure, lambda: given(pool_of(**groups), "log-loss"))


@pytest.mark.parametrize("changes", [{"flipped_validation": 0.06}, {"flipped": 0.06}])
def test_a_planted_shift_is_found_either_way(changes: dict[str, float]) -> None:
    """6 % of labels wrong in one split add 48 to 52 per 1,000 to its error, as 10 % of three classes' are wrong."""
    measured = measure(**given(pool_of(8000, 8000, **changes)), rng=generator(0))
    found = measured.estimates
    truth = 60 * (1 - 0.1 - 0.1 / 2) * (1 if "flipped_validation" in changes else -1)
    assert found["shift"].low <= truth <= found["shift"].high
    # Only the harder side opens the gate: wrong labels of train are another finding.
    easier = "flipped" in changes
    assert verdict(measure, given(pool_of(8000, 8000, **changes))) == ("clear" if easier else "bottleneck")
    assert ("Validation is the easier one" in measured.summary) == easier


def test_rows_that_repeat_by_nature_are_not_compared() -> None:
    pool = dataclasses.replace(pool_of(2000, 2000), repeated=0.05)
    outcome = measure(**given(pool, two_sample=no_two_sample()), rng=generator(0))
    assert isinstance(outcome, NotApplicable)
    assert outcome.reason.startswith("5 % of the rows of validation also stand in train")
    alone = measure(**given(pool), rng=generator(0))
    assert (alone.against.estimate, "shift" in alone.estimates) == ("two_sample_auc", False)
    assert "Models' errors are not compared: 5 % of the rows" in alone.summary


def test_no_shift_with_much_evidence_is_clear() -> None:
    assert verdict(measure, given(pool_of(20_000, 20_000))) == "clear"


def test_a_shift_of_the_tolerated_size_is_not_called_clear() -> None:
    """True shift 2 δ = 10 per 1,000: clear is wrong, and comes at 2.5 % or less. 60 draws exceed the region's end once
    in 1,000 (fixed seeds)."""
    share = 0.01 / 0.85
    pools = (pool_of(10_000, 10_000, flipped_validation=share, seed=seed) for seed in range(60))
    wrong = sum(verdict(measure, given(pool)) == "clear" for pool in pools)
    assert wrong <= stats.binom.ppf(1 - 1e-3, 60, 0.025)


@pytest.mark.parametrize("metric", ["error", "log-loss", "auc"])
def test_no_shift_is_covered(metric: str) -> None:
    """At a true 95 %, 100 intervals cover 0 less often than the region's end with a chance of 1 in 1,000 (fixed
    seeds)."""
    classes = 2 if metric == "auc" else 3
    pools = (pool_of(400, 300, classes=classes, seed=seed, error=0.15) for seed in range(200))
    found = [measure(**given(pool, metric), rng=generator(0)).estimates["shift"] for pool in pools]
    assert sum(s.low <= 0 <= s.high for s in found) >= stats.binom.ppf(1e-3, 200, 0.95)


def test_both_sides_by_brute_force() -> None:
    pool = pool_of(flipped=0.1)
    new, unseen = [], np.full((4, 800), np.nan)
    for member in range(4):
        out = ~pool.trained_on[member]
        unseen[member, out] = (pool.on_train[member].argmax(axis=1) != pool.y)[out]
        new.append((pool.on_validation[member].argmax(axis=1) != pool.validation_y).mean())
    found = measure(**given(pool), rng=generator(0)).estimates
    by_class = [np.nanmean(unseen[:, pool.y == c]) for c in range(3)]
    at_shares = float(np.bincount(pool.validation_y) / 500 @ by_class)
    assert abs(at_shares - np.nanmean(unseen)) > 1e-4  # flips make the shares differ
    assert found["validation"].value == pytest.approx(1000 * np.mean(new))
    assert found["unseen_train"].value == pytest.approx(1000 * at_shares)
    assert found["shift"].value == pytest.approx(1000 * (np.mean(new) - at_shares))
    right = measure(**given(pool, "accuracy"), rng=generator(0)).estimates["shift"]
    assert right.value == pytest.approx(found["shift"].value)


def test_auc_is_the_mean_of_the_models() -> None:
    pool = pool_of(classes=2, error=0.2)
    sides = {"new": [], "unseen": []}
    for member in range(4):
        out = ~pool.trained_on[member]
        score = np.diff(pool.on_train[member].astype(float), axis=1)[:, 0]
        sides["unseen"].append(roc_auc_score(pool.y[out], score[out]))
        sides["new"].append(
            roc_auc_score(pool.validation_y, np.diff(pool.on_validation[member].astype(float), axis=1)[:, 0])
        )
    found = measure(**given(pool, "auc"), rng=generator(0)).estimates["shift"]
    assert found.value == pytest.approx(np.mean(sides["unseen"]) - np.mean(sides["new"]), abs=1e-6)


def test_shift_of_the_labels() -> None:
    """Thirds against a half and two quarters: the largest difference is 1/6, which all classes' intervals hold."""
    pool = pool_of(3000, 2000)
    other = dataclasses.replace(pool, validation_y=np.array([0, 0, 1, 2])[np.arange(2000) % 4])
    found = measure(**given(other), rng=generator(0)).estimates["label_shift"]
    assert found.value == pytest.approx(1 / 6)
    assert 0.1 < found.low < 1 / 6 < found.high < 0.23
    same = measure(**given(pool), rng=generator(0)).estimates["label_shift"]
    assert same.low == 0


def test_shift_of_the_labels_covers() -> None:
    """Both splits drawn, one class 5 points oftener. The intervals hold at 95 % or more; 200 cover less often than the
    region's end with a chance of 1 in 1,000 (fixed seeds)."""
    pool, covered = pool_of(400, 300), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, new = rng.choice(3, 400, p=[0.4, 0.3, 0.3]), rng.choice(3, 300, p=[0.45, 0.28, 0.27])
        found = measure(**given(dataclasses.replace(pool, y=y, validation_y=new)), rng=generator(0))
        covered += found.estimates["label_shift"].low <= 0.05 <= found.estimates["label_shift"].high
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)


def test_regression() -> None:
    rng = np.random.default_rng(0)
    y, new = rng.normal(size=2000), rng.normal(0.5, 1, size=1500)
    pool = pool_of(2000, 1500)
    pool = dataclasses.replace(
        pool,
        task="regression",
        y=y,
        validation_y=new,
        on_train=(y + rng.normal(size=(4, 2000)))[:, :, None].astype(np.float32),
        on_validation=(new + rng.normal(0, 1.3, size=(4, 1500)))[:, :, None].astype(np.float32),
    )
    artifacts = given(pool, "rmse", task="regression", classes=())
    check_probe(measure, lambda: artifacts)
    found = measure(**artifacts, rng=generator(0)).estimates
    assert found["shift"].low <= 0.3 <= found["shift"].high
    assert found["label_shift"].low <= 0.5 <= found["label_shift"].high
    assert verdict(measure, artifacts) == "bottleneck"


@pytest.mark.parametrize(
    ("train", "validation", "rates"),
    [
        ([0.5, 0.5], [0.8, 0.2], [0.3, 0.05]),
        ([0.03, 0.97], [0.6, 0.4], [0.05, 0.05]),
    ],
)
def test_other_shares_of_classes_are_no_shift(train: list[float], validation: list[float], rates: list[float]) -> None:
    """The first is 75 per 1,000 harder by its shares alone; in the second 60 % of validation are of a class with 12
    rows in train, which may all be right by chance. At a true 95 %, 100 intervals cover 0 less often than the region's
    end with a chance of 1 in 1,000 (fixed seeds)."""
    shares, covered = {"train": train, "validation": validation}, []
    for seed in range(100):
        shift = measure(**given(drawn_with(shares, rates, seed=seed)), rng=generator(0)).estimates["shift"]
        if shift.low is not None:
            covered.append(shift.low <= 0 <= shift.high)
    assert len(covered) > 95
    assert sum(covered) >= stats.binom.ppf(1e-3, len(covered), 0.95)


def test_other_shares_do_not_open_the_gate_and_are_named() -> None:
    pool = drawn_with({"train": [0.5, 0.5], "validation": [0.8, 0.2]}, [0.3, 0.05], 20_000, 20_000)
    assert verdict(measure, given(pool)) == "clear"
    found = measure(**given(pool), rng=generator(0))
    assert "on unseen train at validation's shares of the classes" in found.summary
    assert "Shares of a class differ by up to 0.30" in found.summary
    plain = np.mean([(out.argmax(axis=1) != pool.y).mean() for out in pool.on_train])
    assert found.estimates["validation"].value - 1000 * plain > 60  # what would have opened it


def test_a_class_of_one_row_leaves_it_undetermined() -> None:
    pool = pool_of()
    y = np.where((pool.y == 2) & (np.arange(800) > 2), 0, pool.y)
    artifacts = given(dataclasses.replace(pool, y=y))
    assert verdict(measure, artifacts) == "undetermined"
    assert "train has too few rows of class fox to compare them" in measure(**artifacts, rng=generator(0)).summary
    # Inputs that are surely different decide all the same.
    assert verdict(measure, {**artifacts, "two_sample": a_two_sample(apart=1)}) == "bottleneck"


@pytest.mark.parametrize(("apart", "expected"), [(0.0, "clear"), (0.2, "clear"), (1.0, "bottleneck")])
def test_inputs_alone_decide_where_nothing_is_retrained(apart: float, expected: str) -> None:
    """AUC .50, .56 and .76: the middle one is surely different, and surely less than .6 matters."""
    two_sample = a_two_sample(5000, 5000, apart=apart)
    artifacts = given(no_pool("no recipe"), two_sample=two_sample)
    assert verdict(measure, artifacts) == expected
    found = measure(**artifacts, rng=generator(0))
    truth = stats.norm.cdf(apart / np.sqrt(2))
    auc = found.estimates["two_sample_auc"]
    assert auc.low <= truth <= auc.high
    assert (auc.low > 0.5) == (apart > 0)
    assert "Models' errors are not compared: no recipe." in found.summary
    assert ("they differ" in found.summary) == (expected == "bottleneck")


def test_which_of_the_two_judges() -> None:
    harder, alike = pool_of(8000, 8000, flipped_validation=0.06), pool_of(8000, 8000)
    apart = a_two_sample(2000, 2000, apart=1)
    for pool, two_sample, judge, expected in (
        (harder, None, "shift", "bottleneck"),
        (alike, apart, "two_sample_auc", "bottleneck"),
        (harder, apart, "two_sample_auc", "bottleneck"),
        (alike, None, "shift", "clear"),
        (harder, no_two_sample(), "shift", "bottleneck"),
    ):
        artifacts = given(pool, two_sample=two_sample)
        assert measure(**artifacts, rng=generator(0)).against.estimate == judge
        assert verdict(measure, artifacts) == expected
    said = measure(**given(alike, two_sample=no_two_sample("rows are text")), rng=generator(0)).summary
    assert "Inputs are not compared: rows are text." in said


def test_not_applicable() -> None:
    nothing = given(no_pool("no recipe"), two_sample=no_two_sample("no inputs"))
    assert measure(**nothing, rng=generator(0)) == NotApplicable("no recipe; no inputs")
    few = measure(**given(a_pool(halves=2), two_sample=no_two_sample()), rng=generator(0))
    assert isinstance(few, NotApplicable)
    mine = Metric(lambda p, y: 0.0, higher_is_better=False, name="mine")
    assert isinstance(measure(**given(pool_of(), mine, no_two_sample()), rng=generator(0)), NotApplicable)


def test_clear_takes_both_halves() -> None:
    """Errors are surely alike. An AUC about its limit (Φ(.36 / √2) = .6) is neither met nor exceeded."""
    alike = pool_of(20_000, 20_000)
    for apart, wanted in ((0.0, "clear"), (0.36, "undetermined"), (1.5, "bottleneck")):
        assert verdict(measure, given(alike, two_sample=a_two_sample(apart=apart))) == wanted
