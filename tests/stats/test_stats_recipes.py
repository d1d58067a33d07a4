"""Gains of very models and of recipes whose seeds are independent, and intervals at another level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stats_helpers import accept, binary_pass, decided_pass

from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.stats.crossed import gain_of_recipes, gain_over_seeds
from uncork.stats.multiplicity import at_level
from uncork.stats.score import gain, mean_gain

ERROR, MAE, AUC = Metric("error"), Metric("mae"), Metric("auc")


def of_errors(errors: np.ndarray, clusters: np.ndarray | None = None) -> list[PassData]:
    """Regressions with these absolute errors (s, n)."""
    return [PassData.of_values(e, np.zeros(len(e)), clusters=clusters) for e in errors]


def sides(seeds: tuple[int, int], n: int = 300, sd: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = 5 + rng.normal(size=n)
    made = [rows + 0.5 * rng.normal(size=n) + rng.normal(0, sd, (s, 1)) + 0.3 * rng.normal(size=(s, n)) for s in seeds]
    return made[0], made[1]


def test_one_model_each_is_the_gain() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    before, after = (decided_pass(rng.random(200) < p, y) for p in (0.3, 0.2))
    assert mean_gain(ERROR, [before], [after]) == gain(ERROR, before, after)


def test_a_model_twice_says_no_more_than_once() -> None:
    """The average over copies is the model itself, and more copies are no more rows."""
    a, b = sides((1, 1))
    once = gain(MAE, *of_errors(np.concatenate([a, b])))
    twice = mean_gain(MAE, of_errors(np.repeat(a, 2, axis=0)), of_errors(np.repeat(b, 3, axis=0)))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


def test_very_models_are_a_paired_t_of_row_means() -> None:
    a, b = sides((3, 2))
    found = mean_gain(MAE, of_errors(a), of_errors(b))
    change = a.mean(axis=0) - b.mean(axis=0)
    assert found.value == pytest.approx(change.mean())
    assert found.se == pytest.approx(stats.sem(change))


def test_a_function_of_several_models_is_averaged() -> None:
    a, b = sides((2, 3), n=60)
    metric = Metric(lambda p, y: float(np.abs(p - y).mean()), higher_is_better=False)
    found = mean_gain(metric, of_errors(a), of_errors(b))
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.low < found.value < found.high


@pytest.mark.parametrize("seeds", [(3, 3), (2, 6)])
def test_recipes_by_formula(seeds: tuple[int, int]) -> None:
    """Welch's variance of the seeds' means, plus what rows add; its d.f. for equally many, else each side's own."""
    a, b = sides(seeds)
    found = gain_of_recipes(MAE, of_errors(a), of_errors(b))
    parts = [x.mean(axis=1).var(ddof=1) / len(x) for x in (a, b)]
    residuals = [x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean() for x in (a, b)]
    n = a.shape[1]
    left = sum(np.square(r).sum() / (n * (n - 1) * len(r) * (len(r) - 1)) for r in residuals)
    rows = np.var(a.mean(axis=0) - b.mean(axis=0), ddof=1) / n - left
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.se == pytest.approx(np.sqrt(sum(parts) + rows), rel=1e-6)
    assert found.se_seeds == pytest.approx(np.sqrt(sum(parts)))
    assert found.seeds == sum(seeds)
    if seeds[0] == seeds[1]:
        df = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False).df
        quantiles = [(sum(parts), stats.t.ppf(0.975, df))]
    else:
        quantiles = [(p, stats.t.ppf(0.975, s - 1)) for p, s in zip(parts, seeds, strict=True)]
    t = sum(p * q for p, q in [*quantiles, (rows, stats.t.ppf(0.975, n - 1))]) / (sum(parts) + rows)
    assert found.high - found.value == pytest.approx(t * found.se, rel=1e-6)


def test_the_order_of_seeds_and_rows_is_nothing() -> None:
    a, b = sides((3, 4))
    rng = np.random.default_rng(1)
    rows = rng.permutation(a.shape[1])
    one = gain_of_recipes(MAE, of_errors(a), of_errors(b))
    other = gain_of_recipes(MAE, of_errors(a[::-1][:, rows]), of_errors(b[rng.permutation(4)][:, rows]))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_seeds_that_differ_widen_what_rows_alone_say() -> None:
    """The seeds' s.d. is .2, the rows' part of the error .03: these very models differ, the recipes may not."""
    a, b = (of_errors(x) for x in sides((3, 3), seed=3))
    models, recipes = mean_gain(MAE, a, b), gain_of_recipes(MAE, a, b)
    assert models.value == pytest.approx(recipes.value)
    assert recipes.se > 2 * models.se


def test_copied_rows_in_groups_say_no_more() -> None:
    a, b = sides((3, 3))
    once = gain_of_recipes(MAE, of_errors(a), of_errors(b))
    groups = np.repeat(np.arange(a.shape[1]), 4)
    copied = (of_errors(np.repeat(x, 4, axis=1), groups) for x in (a, b))
    grouped = gain_of_recipes(MAE, *copied)
    assert (grouped.low, grouped.high, grouped.n) == pytest.approx((once.low, once.high, once.n))
    assert "groups of rows" in grouped.method


def test_recipes_of_the_same_predictions_are_not_sure() -> None:
    """Without a single discordant row the interval still has a width, as one row mended and one broken are added."""
    wrong = np.arange(100) < 10
    same = [decided_pass(wrong, np.zeros(100, int))] * 3
    found = gain_of_recipes(ERROR, same, same)
    assert found.value == 0
    assert -40 < found.low < -10 < 10 < found.high < 40


def test_auc_of_few_of_a_class_is_undetermined() -> None:
    y = (np.arange(100) < 9).astype(int)
    rng = np.random.default_rng(0)
    passes = [binary_pass(rng.normal(size=100) + y, y) for _ in range(5)]
    assert not gain_of_recipes(AUC, passes[:2], passes[2:]).determined


@pytest.mark.parametrize(
    ("metric", "counts"), [(Metric(lambda p, y: 0.0, higher_is_better=True), (2, 2)), (MAE, (1, 3))]
)
def test_what_is_refused(metric: Metric, counts: tuple[int, int]) -> None:
    a, b = (of_errors(x) for x in sides(counts))
    with pytest.raises(ValueError, match="two trainings of each"):
        gain_of_recipes(metric, a, b)


@pytest.mark.parametrize("make", [mean_gain, gain_of_recipes])
def test_other_rows_are_refused(make: object) -> None:
    a, b = sides((2, 2))
    with pytest.raises(ValueError, match="same rows and labels"):
        make(MAE, of_errors(a), of_errors(b[:, 1:]))  # type: ignore[operator]


@pytest.mark.slow
def test_pairing_arbitrary_seeds_wastes_degrees_of_freedom() -> None:
    """2,000 draws, 5 seeds each, no rows' part to speak of: both hold at 95 % (chance 1e-4 each), the unpaired interval
    is narrower on average, as it has more degrees of freedom."""
    rng = np.random.default_rng(0)
    held, widths = np.zeros(2, int), np.zeros(2)
    for _ in range(2000):
        a, b = (of_errors(5 + rng.normal(0, 0.2, (5, 1)) + 0.05 * rng.normal(size=(5, 40))) for _ in range(2))
        for i, found in enumerate((gain_of_recipes(MAE, a, b), gain_over_seeds(MAE, a, b))):
            held[i] += found.low <= 0 <= found.high
            widths[i] += found.high - found.low
    assert accept(held[0], 2000, 0.95)
    assert accept(held[1], 2000, 0.95)
    assert widths[0] < 0.92 * widths[1]


def test_another_level_lengthens_the_arms() -> None:
    normal = Estimate(2.0, 2 - 1.959964, 2 + 1.959964, "x", 50, "z", 1.0)
    assert at_level(normal, 0.99).high - 2 == pytest.approx(2.575829, abs=1e-5)
    skewed = Estimate(0.0, -1.0, 3.0, "x", 50, "t", 1.0, 4)
    found = at_level(skewed, 0.99)
    assert (found.low, found.high) == pytest.approx(
        tuple(x * stats.t.ppf(0.995, 4) / stats.t.ppf(0.975, 4) for x in (-1, 3))
    )
    assert found.level == 0.99
    bounded = Estimate(1.0, 0.9, 1.0, "x", 50, "t (all agree: bounded)")
    assert at_level(bounded, 0.95) is bounded
    assert not at_level(bounded, 0.99).determined
