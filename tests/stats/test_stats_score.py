from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, mean_absolute_error, root_mean_squared_error
from stats_helpers import accept, binary_pass, decided_pass

from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.stats import score as module
from uncork.stats.binomial import bonett_price, clopper_pearson
from uncork.stats.means import mean
from uncork.stats.score import gain, influence, rows, score


def share_right(probability: np.ndarray, y: np.ndarray) -> float:
    return float((probability.argmax(1) == y).mean())


def three_classes(n: int = 400, seed: int = 0, clusters: np.ndarray | None = None) -> PassData:
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return PassData.of_logits(2 * np.eye(3)[y] + rng.normal(size=(n, 3)), y, clusters=clusters)


def test_error_and_accuracy_are_exact_shares_per_1000() -> None:
    passed = three_classes()
    wrong = int((passed.logits.argmax(1) != passed.y).sum())
    for name, k in (("error", wrong), ("accuracy", 400 - wrong)):
        found, truth = score(Metric(name), passed), clopper_pearson(k, 400)
        assert (found.value, found.low, found.high) == pytest.approx((2.5 * k, 1000 * truth.low, 1000 * truth.high))


def test_means_over_rows_equal_references() -> None:
    passed = three_classes()
    probability = np.exp(passed.logits.astype(float))
    probability /= probability.sum(1, keepdims=True)
    found = score(Metric("log-loss"), passed)
    assert found.value == pytest.approx(log_loss(passed.y, probability), abs=2e-3)  # logits are kept in 16 bits
    assert found.value == pytest.approx(passed.loss.mean(), rel=1e-6)
    assert found.se == pytest.approx(stats.sem(passed.loss), rel=1e-5)

    cost = np.array([[0, 1, 5], [2, 0, 1], [0.5, 3, 0]])
    by_hand = [cost[t, p] for t, p in zip(passed.y, passed.predicted, strict=True)]
    found = score(Metric(cost), passed)
    assert (found.value, found.se) == pytest.approx((1000 * np.mean(by_hand), 1000 * stats.sem(by_hand)))


def test_regression_metrics() -> None:
    """RMSE's s.e. by the delta method against the spread of 4,000 bootstrap replicates (Monte Carlo s.d. 1.1 %)."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=600)
    passed = PassData.of_values(y + rng.standard_t(8, size=600), y)
    assert score(Metric("mae"), passed).value == pytest.approx(mean_absolute_error(y, passed.predicted))
    found = score(Metric("rmse"), passed)
    assert found.value == pytest.approx(root_mean_squared_error(y, passed.predicted), rel=1e-6)
    square = (passed.predicted - y) ** 2
    replicates = np.sqrt(square[rng.integers(600, size=(4000, 600))].mean(axis=1))
    assert found.se == pytest.approx(replicates.std(), rel=0.06)


def test_rmse_of_a_perfect_model_is_undetermined() -> None:
    y = np.arange(20.0)
    found = score(Metric("rmse"), PassData.of_values(y, y))
    assert found.value == 0
    assert not found.determined


@pytest.mark.parametrize("clusters", [None, np.arange(200) // 4])
def test_rmse_has_the_roots_of_the_mean_squares_ends(clusters: np.ndarray | None) -> None:
    residuals = np.random.default_rng(2).standard_t(5, size=200)
    passed = PassData.of_values(residuals, np.zeros(200), clusters=clusters)
    found, square = score(Metric("rmse"), passed), mean(passed.loss, clusters=clusters, unit="RMSE", skewed=True)
    assert (found.value, found.low, found.high) == pytest.approx(np.sqrt([square.value, square.low, square.high]))
    value, each = influence(Metric("rmse"), passed)
    linear = mean(value + each, clusters=clusters, unit="RMSE")
    assert (found.value, found.se, found.df) == pytest.approx((linear.value, linear.se, linear.df))
    outlier = score(Metric("rmse"), PassData.of_values(np.r_[100.0, np.zeros(4)], np.zeros(5)))
    assert outlier.low == 0.0


def test_costs_reach_to_what_a_row_can_cost_and_change_by() -> None:
    """Nobody erred: what 0 of n says, at the greatest cost of any row; paired, at the widest row of the matrix."""
    cost = np.array([[0, 1, 2], [7, 4, 6], [0.5, 3, 0]])
    y = np.zeros(50, int)
    passed = decided_pass(np.zeros(50, bool), y)
    elsewhere = clopper_pearson(0, 50).high
    found, gained = score(Metric(cost), passed), gain(Metric(cost), passed, passed)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 7000 * elsewhere))
    assert (gained.value, gained.low, gained.high) == pytest.approx((0, -3000 * elsewhere, 3000 * elsewhere))
    passed, other = three_classes(), three_classes(seed=0).take(np.arange(400))
    each = rows(Metric(cost), passed)
    more = mean(np.r_[each, 0, 7], unit="")
    found = score(Metric(cost), other)
    assert (found.low, found.high, found.n) == pytest.approx((1000 * more.low, 1000 * more.high, 400))


@pytest.mark.parametrize("cost", [np.zeros((3, 3)), np.outer([1.0, 2.0, 3.0], np.ones(3))])
def test_what_no_prediction_can_change_is_not_known_without_width(cost: np.ndarray) -> None:
    passed = three_classes()
    found = gain(Metric(cost), passed, passed)
    assert found.value == 0
    assert not found.determined


def test_callables_are_bootstrapped() -> None:
    passed = three_classes()
    metric = Metric(share_right, higher_is_better=True)
    found, exact = score(metric, passed), score(Metric("accuracy"), passed)
    assert found.value == pytest.approx(exact.value / 1000)
    binomial_se = np.sqrt(found.value * (1 - found.value) / 400)
    assert found.se == pytest.approx(binomial_se, rel=0.12)  # 999 resamples: Monte Carlo s.d. 2.2 %
    assert score(metric, passed) == found
    better = three_classes(seed=0)
    assert gain(metric, passed, better).value == 0


@pytest.mark.parametrize("name", ["error", "accuracy"])
@pytest.mark.parametrize("grouped", [False, True])
def test_gains_are_positive_where_better(name: str, grouped: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=500)
    bad = rng.random(500) < 0.3
    good = bad & (rng.random(500) < 0.5)
    clusters = np.arange(500) // 5 if grouped else None
    before, after = decided_pass(bad, y, clusters), decided_pass(good, y, clusters)
    found, back = gain(Metric(name), before, after), gain(Metric(name), after, before)
    assert found.value == pytest.approx(2 * (bad.sum() - good.sum()))
    assert found.low > 0
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    if not grouped:
        truth = bonett_price(int((bad & ~good).sum()), int((good & ~bad).sum()), 500).scaled(1000, "")
        assert (found.low, found.high, found.se) == pytest.approx((truth.low, truth.high, truth.se))


def test_every_metric_gains_when_better_and_nothing_when_equal() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(2, size=400)
    noise = rng.normal(size=400)
    worse, better = binary_pass(0.5 * (2 * y - 1) + noise, y), binary_pass(1.5 * (2 * y - 1) + noise, y)
    for spec in ("error", "accuracy", "log-loss", "auc", np.array([[0, 1], [3, 0]])):
        assert gain(Metric(spec), worse, better).low > 0
        assert gain(Metric(spec), better, worse).high < 0
        assert gain(Metric(spec), better, better).value == 0
    target = rng.normal(size=400)
    far, near = (PassData.of_values(target + s * noise, target) for s in (1.0, 0.5))
    for spec in ("mae", "rmse"):
        assert gain(Metric(spec), far, near).low > 0
        assert gain(Metric(spec), near, far).high < 0
    metric = Metric(share_right, higher_is_better=True)
    assert gain(metric, worse, better).low > 0
    assert gain(metric, better, worse).high < 0


def test_pairing_narrows_correlated_models() -> None:
    """Errors that overlap by nine tenths: var of the difference falls; unpaired it would be the sum of the two."""
    rng = np.random.default_rng(4)
    target = rng.normal(size=500)
    shared = rng.normal(size=500)
    a, b = (PassData.of_values(target + shared + 0.1 * rng.normal(size=500), target) for _ in range(2))
    y = rng.integers(2, size=500)
    c, d = (binary_pass(y + shared + 0.2 * rng.normal(size=500), y) for _ in range(2))
    for metric, one, other in ((Metric("rmse"), a, b), (Metric("mae"), a, b), (Metric("auc"), c, d)):
        unpaired = np.hypot(score(metric, one).se, score(metric, other).se)
        assert gain(metric, one, other).se < 0.5 * unpaired


@pytest.mark.parametrize("spec", ["error", "accuracy", "log-loss", "auc"])
def test_copied_rows_in_clusters_do_not_narrow(spec: str) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    s = y + rng.normal(size=120)
    once = binary_pass(s, y)
    copied = binary_pass(np.repeat(s, 6), np.repeat(y, 6), clusters=np.repeat(np.arange(120), 6))
    narrow = binary_pass(np.repeat(s, 6), np.repeat(y, 6))
    wide, honest, wrong = (score(Metric(spec), p) for p in (copied, once, narrow))
    assert wide.high - wide.low > 0.9 * (honest.high - honest.low)
    assert wrong.high - wrong.low < 0.6 * (honest.high - honest.low)


def test_influences_have_mean_zero_and_add_up() -> None:
    y = np.repeat([0, 1], [70, 50])
    passed = binary_pass(y + np.random.default_rng(0).normal(size=120), y)
    for spec in ("error", "log-loss", "auc"):
        value, each = influence(Metric(spec), passed)
        assert each.mean() == pytest.approx(0, abs=1e-12)
        assert value == pytest.approx(score(Metric(spec), passed).value / Metric(spec).scale)
    with pytest.raises(ValueError, match="linearisation"):
        influence(Metric(share_right, higher_is_better=True), passed)
    with pytest.raises(ValueError, match="mean over rows"):
        rows(Metric("auc"), passed)


def test_unpaired_passes_are_refused() -> None:
    one, other = three_classes(100), three_classes(100, seed=1)
    with pytest.raises(ValueError, match="same rows"):
        gain(Metric("error"), one, other)
    with pytest.raises(ValueError, match="same rows"):
        gain(Metric("error"), one, one.take(np.arange(50)))


def test_bonett_price_gain_covers() -> None:
    """Error .10 → .06 with dependent errors, n = 300, 1,000 draws. Wanted ≥ .945. Chance 1e-4."""
    rng = np.random.default_rng(9)
    held = 0
    y = np.zeros(300, int)
    for _ in range(1000):
        u = rng.random(300)
        bad, good = u < 0.10, (u < 0.045) | (u > 0.985)
        e = gain(Metric("error"), decided_pass(bad, y), decided_pass(good, y))
        held += e.low <= 40 <= e.high
    assert accept(held, 1000, 0.945)


def test_a_callables_outputs_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = module.softmax
    monkeypatch.setattr(module, "softmax", lambda *a, **k: calls.append(0) or original(*a, **k))
    metric = Metric(share_right, higher_is_better=True)
    score(metric, three_classes())
    assert len(calls) == 1
    gain(metric, three_classes(), three_classes())
    assert len(calls) == 3


def test_a_callable_may_fail_on_a_resample() -> None:
    """12 of 400 rows are positive: a resample holds none of them with a chance of 5e-6, fewer than 5 of them in 1 %."""
    y = np.r_[np.ones(12, int), np.zeros(388, int)]

    def picky(probability: np.ndarray, y: np.ndarray) -> float:
        if y.sum() < 5:
            raise ValueError("too few of a class")
        return float(probability[y == 1, 1].mean())

    passed = binary_pass(y + np.random.default_rng(0).normal(size=400), y)
    assert score(Metric(picky, higher_is_better=True), passed).determined


def test_rows_handed_over_are_no_wrong_answers() -> None:
    """8 of 10 rows are decided, 3 of them wrong; handing a wrong row over mends it, a right one breaks nothing."""
    y = np.zeros(10, np.int64)
    logits = np.tile([1.0, 0.0], (10, 1))
    logits[:4] = [0.0, 1.0]
    answered = np.ones(10, bool)
    answered[[3, 9]] = False
    metric = Metric("wrong-answers")
    before, after = PassData.of_logits(logits, y), PassData.of_logits(logits, y, answered=answered)
    assert score(metric, before).value == 400
    assert score(metric, after).value == 300
    assert score(Metric("error"), after).value == 400, "what it would have decided stays as it was"
    assert gain(metric, before, after).value == pytest.approx(100)
    assert gain(metric, before, after) == bonett_price(1, 0, 10).scaled(1000, metric.unit)
