from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import polygamma
from stats_helpers import accept, binary_pass, decided_pass

from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.stats.crossed import SeedVariance, crossed, gain_over_seeds, gains, moderate, seed_variance
from uncork.stats.means import mean
from uncork.stats.score import gain


def _draw(rng: np.random.Generator, seeds: int, n: int, row: float, seed: float, rest: float) -> np.ndarray:
    """D_si of the model with mean 0 and the three standard deviations."""
    return row * rng.normal(size=n) + seed * rng.normal(size=(seeds, 1)) + rest * rng.normal(size=(seeds, n))


def _anova(values: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of rows, seeds and residuals, by loops."""
    seeds, n = values.shape
    grand = sum(sum(line) for line in values) / (seeds * n)
    of_row = [sum(values[s, i] for s in range(seeds)) / seeds for i in range(n)]
    of_seed = [sum(values[s, i] for i in range(n)) / n for s in range(seeds)]
    rest = sum((values[s, i] - of_row[i] - of_seed[s] + grand) ** 2 for s in range(seeds) for i in range(n))
    rows = seeds * sum((r - grand) ** 2 for r in of_row) / (n - 1)
    return rows, n * sum((m - grand) ** 2 for m in of_seed) / (seeds - 1), rest / ((n - 1) * (seeds - 1))


@pytest.mark.parametrize(("seeds", "n"), [(2, 5), (3, 40), (8, 12)])
def test_equal_to_the_anova_by_loops(seeds: int, n: int) -> None:
    values = _draw(np.random.default_rng(n), seeds, n, 1.0, 0.7, 0.5) + 3
    of_rows, of_seeds, rest = _anova(values)
    found = crossed(values, unit="x")
    assert found.value == pytest.approx(values.mean())
    assert found.se_seeds**2 == pytest.approx(of_seeds / (n * seeds))
    assert found.se**2 == pytest.approx((of_seeds + of_rows - rest) / (n * seeds))
    assert (found.n, found.seeds) == (n, seeds)
    parts = {seeds - 1: found.se_seeds**2, n - 1: found.se**2 - found.se_seeds**2}
    t = sum(part * stats.t.ppf(0.975, df) for df, part in parts.items()) / found.se**2
    assert (found.low, found.high) == pytest.approx((found.value - t * found.se, found.value + t * found.se))
    assert stats.t.ppf(0.975, found.df) == pytest.approx(t)
    assert min(parts) <= found.df <= max(parts)


def test_parts_below_zero_count_as_zero() -> None:
    """Rows that vary less than residuals alone would make them, and seeds likewise."""
    apart = np.array([[1.0, -1, 1, -1], [-1, 1, -1, 1.2]])
    rows, seeds, rest = _anova(apart)
    assert rows < rest
    assert seeds < rest
    found = crossed(apart, unit="x")
    assert found.se**2 == pytest.approx(rest / 8)  # V = MS_residual/n over two seeds, no rows' part
    assert found.se == pytest.approx(found.se_seeds)
    assert found.df == pytest.approx(1)


def test_all_rows_alike_leave_a_t_test_of_the_seeds() -> None:
    means = np.array([0.3, 0.9, -0.2, 0.4])
    found = crossed(np.tile(means[:, None], 50), unit="x")
    low, high = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.se_seeds == pytest.approx(found.se)


def test_all_seeds_alike_leave_a_t_test_of_the_rows() -> None:
    each = np.random.default_rng(0).exponential(size=30)
    found, rows = crossed(np.tile(each, (3, 1)), unit="x"), mean(each, unit="x")
    assert (found.low, found.high) == pytest.approx((rows.low, rows.high))
    assert found.se_seeds == pytest.approx(0)


def test_copies_of_rows_in_clusters_do_not_shrink_the_interval() -> None:
    values = _draw(np.random.default_rng(1), 3, 30, 1.0, 0.2, 0.6)
    once = crossed(values, unit="x")
    copied = crossed(np.repeat(values, 9, axis=1), clusters=np.repeat(np.arange(30) * 7 - 20, 9), unit="x")
    assert (copied.low, copied.high, copied.se_seeds) == pytest.approx((once.low, once.high, once.se_seeds))
    assert copied.n == 30
    assert "groups" in copied.method


def test_one_seed_speaks_of_this_very_model() -> None:
    each = np.random.default_rng(2).normal(size=40)
    found, rows = crossed(each[None], unit="x"), mean(each, unit="x")
    assert (found.low, found.high, found.se, found.df) == (rows.low, rows.high, rows.se, rows.df)
    assert "of this very model" in found.method
    assert (found.seeds, found.se_seeds) == (1, None)
    wider = crossed(each[None], unit="x", prior=SeedVariance(0.04, 5))
    assert wider.se**2 == pytest.approx(0.04 + rows.se**2)
    assert wider.se_seeds == pytest.approx(0.2)
    assert "pooled over arms" in wider.method


def test_nothing_varies() -> None:
    same = np.full((3, 20), 0.1)
    found = crossed(same, unit="x")
    assert not found.determined
    assert (found.value, found.seeds, found.se_seeds) == (pytest.approx(0.1), 3, None)
    assert "undetermined" in found.method
    bounded = crossed(np.zeros((3, 20)), unit="x", bounds=(-1, 1))
    alone = mean(np.zeros(20), unit="x", bounds=(-1, 1))
    assert (bounded.low, bounded.high) == pytest.approx((alone.low, alone.high))
    assert not crossed(np.zeros((3, 1)), unit="x").determined
    assert not crossed(np.array([[1.0, 2.0], [2.0, 2.0]]), clusters=np.zeros(2, int), unit="x").determined
    assert crossed(np.zeros((2, 0)), unit="x").value is None
    assert crossed(np.array([[1.0, 0.9], [1.0, 0.7]]), unit="x", bounds=(0, 1)).high == 1
    with pytest.raises(ValueError, match="one line of rows for each seed"):
        crossed(np.zeros(5), unit="x")


def test_posterior_by_hand() -> None:
    values = _draw(np.random.default_rng(3), 3, 20, 1.0, 2.0, 0.1)
    own = seed_variance(values)
    assert own.variance == pytest.approx(values.mean(axis=1).var(ddof=1))
    assert own.df == 2
    found = crossed(values, unit="x", prior=SeedVariance(0.5, 6))
    assert found.se_seeds**2 == pytest.approx((6 * 0.5 + 2 * own.variance) / 8 / 3)
    assert seed_variance(values[:1]) is None


def test_pooling_few_arms_and_equal_ones() -> None:
    assert moderate([1.0, 4.0], [2, 4]) == SeedVariance(3.0, 6.0)
    assert moderate([1.0, 1.0, 1.0, 1.0], [2, 2, 2, 2]) == SeedVariance(1.0, 8.0)
    assert moderate([], []) is None
    assert moderate([0.0, 0.0, 0.0], [2, 2, 2]) is None
    assert moderate([0.0, 1.0, 1.0, 0.5], [2, 2, 2, 2]).variance > 0


def test_prior_solves_its_moment_equation() -> None:
    """1/d = 1/d₀ + 1/Σd, where trigamma(d₀/2) is what log-variances vary by beyond their own trigamma(d/2)."""
    v = np.array([0.01, 1.0, 0.2, 9.0, 0.5])
    prior = moderate(v, np.full(5, 4.0))
    estimated = 1 / (1 / prior.df - 1 / 20)
    assert polygamma(1, estimated / 2) == pytest.approx(np.log(v).var(ddof=1) - polygamma(1, 2), rel=1e-6)
    assert prior.variance >= v.mean()


def test_many_arms_give_the_prior_back() -> None:
    """4,000 arms of 3 d.f. with true s₀² = 2, d₀ = 6: both within 15 % (4 standard errors of d₀ and more)."""
    rng = np.random.default_rng(4)
    truth = 2 * 6 / rng.chisquare(6, 4000)
    prior = moderate(truth * rng.chisquare(3, 4000) / 3, np.full(4000, 3.0))
    assert prior.df == pytest.approx(6, rel=0.15)
    assert prior.variance == pytest.approx(3, rel=0.15)  # the pooled one, s₀² d₀/(d₀ − 2), which is larger


@pytest.mark.parametrize(("seeds", "n"), [(3, 100), (3, 1000), (8, 100), (8, 1000)])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
def test_covers_rows_and_seeds_and_rows_alone_would_not(seeds: int, n: int, ratio: float) -> None:
    """Seeds' part of the s.e. `ratio` times the rows'. Chance of failing correct code: 1e-4 a case."""
    rng, trials, hits, rows_only = np.random.default_rng([seeds, n]), 400, 0, 0
    for _ in range(trials):
        values = _draw(rng, seeds, n, 1.0, ratio * np.sqrt(seeds / n), 0.3)
        found, rows = crossed(values, unit="x"), mean(values.mean(axis=0), unit="x")
        hits += found.low <= 0 <= found.high
        rows_only += rows.low <= 0 <= rows.high
    assert accept(hits, trials, 0.95)
    if ratio >= 1:
        assert not accept(rows_only, trials, 0.95)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_covers_with_a_prior_of_three_other_arms(seeds: int, n: int) -> None:
    """The true variances of the arms differ: inverse χ² of 8 d.f. At least .93 (`moderate` says .93–.97).

    Chance of failing correct code: 1e-4 a case.
    """
    rng, trials, hits = np.random.default_rng([seeds, n, 1]), 300, 0
    for _ in range(trials):
        sigma = 1.5 * np.sqrt(8 / rng.chisquare(8, 4) / n)
        own, *others = (_draw(rng, k, n, 1.0, s, 0.3) for k, s in zip((seeds, 3, 3, 3), sigma, strict=True))
        seen = [seed_variance(o) for o in others]
        found = crossed(own, unit="x", prior=moderate([v.variance for v in seen], [v.df for v in seen]))
        hits += found.low <= 0 <= found.high
    assert accept(hits, trials, 0.93)


@pytest.mark.parametrize("n", [100, 1000])
def test_one_seed_covers_this_model_and_not_the_recipe(n: int) -> None:
    """Chance of failing correct code: 1e-4 a case."""
    rng, trials, this, recipe = np.random.default_rng(n), 1000, 0, 0
    for _ in range(trials):
        luck = 2 / np.sqrt(n) * rng.normal()
        found = crossed(rng.normal(size=(1, n)) + luck, unit="x")
        this += found.low <= luck <= found.high
        recipe += found.low <= 0 <= found.high
    assert accept(this, trials, 0.95, exact=True)
    assert not accept(recipe, trials, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_never_far_below_its_level_at_few_seeds(seeds: int) -> None:
    """Over the whole range of ratios: .94 with 1 d.f., .95 from 2. Chance of failing correct code: 1e-3 for all."""
    rng, trials = np.random.default_rng(seeds), 4000
    for ratio in (0.0, 0.1, 0.3, 1.0, 3.0, 9.0):
        hits = 0
        for _ in range(trials):
            found = crossed(_draw(rng, seeds, 50, 1.0, ratio * np.sqrt(seeds / 50), 0.0), unit="x")
            hits += found.low <= 0 <= found.high
        assert accept(hits, trials, 0.935 if seeds == 2 else 0.95)


def _pair(rng: np.random.Generator, n: int, seeds: int, seed: float) -> tuple[list[PassData], list[PassData]]:
    """Wrong where a row's difficulty plus a training's luck plus noise exceeds a threshold: .10 before, .08 after."""
    difficulty, sd = rng.normal(size=n), np.sqrt(1 + seed**2 + 0.25)

    def side(error: float) -> list[PassData]:
        latent = difficulty + seed * rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=(seeds, n))
        return [decided_pass(wrong, np.zeros(n, int)) for wrong in latent > stats.norm.isf(error) * sd]

    return side(0.10), side(0.08)


@pytest.mark.parametrize(("seeds", "n"), [(3, 100), (8, 1000)])
def test_gain_in_error_covers(seeds: int, n: int) -> None:
    """Chance of failing correct code: 1e-4 a case."""
    rng, trials, hits = np.random.default_rng(seeds), 100, 0
    for _ in range(trials):
        found = gain_over_seeds(Metric("error"), *_pair(rng, n, seeds, 0.2))
        hits += found.low <= 20 <= found.high
    assert accept(hits, trials, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("seeds", [3, 8])
def test_gains_in_auc_and_rmse_cover(seeds: int, n: int) -> None:
    """Scores and predictions with a noise whose size is the training's luck. Chance of failing: 1e-4 a case."""
    rng, trials, auc, rmse = np.random.default_rng([seeds, n]), 200, 0, 0
    luck = 0.1 * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    area = [np.mean(stats.norm.cdf(1.2 / np.sqrt(2 * (1 + (size + luck) ** 2)))) for size in (1.0, 0.6)]
    root = [np.mean(np.sqrt(0.36 + (size + luck) ** 2)) for size in (1.0, 0.6)]
    y = (np.arange(n) < n // 4).astype(int)
    for _ in range(trials):
        x = rng.normal(size=n)
        noise = [[(s + 0.1 * rng.normal()) * rng.normal(size=n) for _ in range(seeds)] for s in (1.0, 0.6)]
        scored = [[binary_pass(x + 1.2 * y + e, y) for e in side] for side in noise]
        valued = [[PassData.of_values(0.6 * x + e, np.zeros(n)) for e in side] for side in noise]
        found = gain_over_seeds(Metric("auc"), *scored)
        auc += found.low <= area[1] - area[0] <= found.high
        found = gain_over_seeds(Metric("rmse"), *valued)
        rmse += found.low <= root[0] - root[1] <= found.high
    assert accept(auc, trials, 0.95)
    assert accept(rmse, trials, 0.95)


@pytest.mark.parametrize("kind", ["error", "accuracy", "log-loss", "auc"])
def test_gain_over_one_seed_is_the_gain(kind: str) -> None:
    rng = np.random.default_rng(5)
    y = np.tile([0, 1], 60)
    before, after = (binary_pass(rng.normal(size=120) + slope * y, y) for slope in (0.5, 2.0))
    found, plain = gain_over_seeds(Metric(kind), [before], [after]), gain(Metric(kind), before, after)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)
    assert found.value > 0
    assert "of this very model" in found.method
    several = gain_over_seeds(Metric(kind), [before] * 3, [after] * 3)  # trainings that all came out the same
    assert several.value == pytest.approx(plain.value)
    assert several.se == pytest.approx(plain.se, rel=0.02)
    assert several.seeds == 3


def test_rarer_class_decides_the_degrees_of_freedom() -> None:
    rng, y = np.random.default_rng(8), (np.arange(400) < 12).astype(int)
    before, after = (binary_pass(rng.normal(size=400) + slope * y, y) for slope in (0.5, 2.0))
    plain = gain(Metric("auc"), before, after)
    assert plain.df < 30
    assert gain_over_seeds(Metric("auc"), [before] * 3, [after] * 3).df == pytest.approx(plain.df)


def test_gain_is_the_mean_of_the_seeds_gains() -> None:
    before, after = _pair(np.random.default_rng(6), 80, 4, 0.3)
    for kind in ("error", "accuracy", "log-loss"):
        metric = Metric(kind)
        each = [gain(metric, b, a).value for b, a in zip(before, after, strict=True)]
        assert gains(metric, before, after).mean(axis=1) == pytest.approx(each)
        assert gain_over_seeds(metric, before, after).value == pytest.approx(np.mean(each))


def test_one_model_against_several_says_so() -> None:
    before, after = _pair(np.random.default_rng(7), 80, 3, 0.3)
    found = gain_over_seeds(Metric("error"), before[:1], after)
    assert found.value == pytest.approx(np.mean([gain(Metric("error"), before[0], a).value for a in after]))
    assert found.method.endswith("against this very model")
    assert gain_over_seeds(Metric("error"), before, after[:1]).method.endswith("of this very model")
    assert found.seeds == 3


def test_gain_where_nothing_changes_or_nothing_can_be_said() -> None:
    y = np.zeros(40, int)
    same = [decided_pass(np.arange(40) < 4, y)] * 3
    found = gain_over_seeds(Metric("error"), same, same)
    plain = gain(Metric("error"), same[0], same[0])
    assert found.value == 0
    assert found.low < 0 < found.high
    assert found.high == pytest.approx(plain.high, rel=0.1)
    grouped = [decided_pass(np.arange(40) < 4, y, np.arange(40) // 4)] * 3
    assert gain_over_seeds(Metric("error"), grouped, grouped).high > 0
    rare = [binary_pass(np.random.default_rng(s).normal(size=40), (np.arange(40) < 5).astype(int)) for s in range(6)]
    assert not gain_over_seeds(Metric("auc"), rare[:3], rare[3:]).determined
    common = [binary_pass(np.random.default_rng(0).normal(size=40), np.tile([0, 1], 20))] * 3
    assert not gain_over_seeds(Metric("auc"), common, common).determined
    with pytest.raises(ValueError, match="two_level"):
        gain_over_seeds(Metric(lambda p, y: 0.0, higher_is_better=True), same, same)
    with pytest.raises(ValueError, match="equally many"):
        gain_over_seeds(Metric("error"), same[:2], same)
    with pytest.raises(ValueError, match="same rows and labels"):
        gain_over_seeds(Metric("error"), same, [*same[:2], decided_pass(y == 1, y + 1)])


@pytest.mark.parametrize("each", [1, 10], ids=["rows", "groups"])
def test_rare_costly_rows_do_not_fake_a_gain(each: int) -> None:
    """B pays 1 more on a tenth of the rows and 10 less on a hundredth, in groups alike: no gain on average.

    200 rows. In 300 draws the interval lies above 0, where 2.5 % may: more than 16 with a chance below .001. Without a
    row added at either bound it did so in about 40 % of the draws.
    """
    metric, rng, above = Metric([[0, 1], [10, 0]]), np.random.default_rng(0), 0
    for _ in range(300):
        clusters = np.arange(200) // each
        u = rng.random(len(np.unique(clusters)))[clusters]
        y = (u < 0.01).astype(np.int64)  # rare, and B decides it right
        before = _decided(np.zeros(200, np.int64), y, clusters)
        more = (u > 0.9).astype(np.int64)
        after = _decided(np.where(y == 1, 1, more), y, clusters)
        above += (gain_over_seeds(metric, [before] * 3, [after] * 3).low or -1.0) > 0
    assert above <= 16


def _decided(decisions: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> PassData:
    return PassData.of_logits(4.0 * np.eye(2, dtype=np.float32)[decisions], y, clusters=clusters)
