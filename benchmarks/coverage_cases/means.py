"""Means, medians, bootstrapped figures, families of questions and power."""

from __future__ import annotations

from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.bootstrap import bootstrap
from uncork.stats.means import difference, mean
from uncork.stats.multiplicity import lower_bound
from uncork.stats.power import detectable
from uncork.stats.quantiles import median, quantile
from uncork.stats.ratios import geometric_mean
from uncork.stats.simultaneous import together

FAMILY = 8


def normal_rows(rng: np.random.Generator, n: int, skewed: bool = False) -> Draw:
    return held(mean(rng.normal(size=n), unit="x", skewed=skewed), 0)


def unlike_zero(rng: np.random.Generator, n: int) -> Draw:
    """One row in 10 is exponential of mean 3, the others are 0."""
    return held(mean((rng.random(n) < 0.1) * rng.exponential(3, n), unit="x", skewed=True), 0.3)


def exponential_rows(rng: np.random.Generator, n: int, skewed: bool = False) -> Draw:
    return held(mean(rng.exponential(size=n), unit="x", skewed=skewed), 1)


def lognormal_rows(rng: np.random.Generator, n: int, skewed: bool = False) -> Draw:
    return held(mean(rng.lognormal(size=n), unit="x", skewed=skewed), np.exp(0.5))


def grouped_rows(rng: np.random.Generator, n: int, skewed: bool = False) -> Draw:
    """Correlation .5 in groups of 5."""
    groups = np.arange(n) // 5
    values = rng.normal(size=n // 5)[groups] + rng.normal(size=n)
    return held(mean(values, clusters=groups, unit="x", skewed=skewed), 0)


def costly_copies(rng: np.random.Generator, n: int) -> Draw:
    """Groups of 5 copies, of value 5, 1 or 0, which is also as far as one can go."""
    values = rng.choice([5.0, 1.0, 0.0], n // 5, p=[0.04, 0.1, 0.86])
    found = mean(np.repeat(values, 5), clusters=np.arange(n) // 5, unit="x", bounds=(0, 5), skewed=True)
    return held(found, 0.3)


def two_samples(rng: np.random.Generator, n: int) -> Draw:
    few, many = rng.normal(0, 3, n // 5), rng.normal(1, 1, n)
    return held(difference(mean(many, unit="x"), mean(few, unit="x"), unit="x"), 1)


def middle(rng: np.random.Generator, n: int) -> Draw:
    return held(median(rng.lognormal(size=n), unit="x"), 1)


def percentile(rng: np.random.Generator, n: int) -> Draw:
    """The 90th percentile of log-normal values."""
    return held(quantile(rng.lognormal(size=n), 0.9, unit="x"), float(np.exp(stats.norm.ppf(0.9))))


def factors(rng: np.random.Generator, n: int) -> Draw:
    """n / 20 log-normal ratios with a median of 2, as of training seeds."""
    return held(geometric_mean(2 * rng.lognormal(sigma=0.5, size=n // 20), unit="x"), 2)


def f1(rng: np.random.Generator, n: int, each: int = 1) -> Draw:
    """F1 = 2 TP / (2 TP + FP + FN) at 20 % true positives, 10 % false ones, 8 % missed; in groups, of equal rows."""
    kind = np.repeat(rng.choice(4, n // each, p=[0.2, 0.1, 0.08, 0.62]), each)
    top, bottom = np.array([2.0, 0, 0, 0])[kind], np.array([2.0, 1, 1, 0])[kind]

    def figure(chosen: np.ndarray) -> float:
        return top[chosen].sum() / bottom[chosen].sum()

    return held(bootstrap(figure, np.arange(n) // each, rng, unit="F1"), 0.4 / 0.58)


def family(rng: np.random.Generator, n: int) -> Draw:
    found = [mean(values, unit="x") for values in rng.normal(size=(FAMILY, n))]
    bounds = [lower_bound(e, FAMILY) for e in found]
    return max(bounds) <= 0, float(np.mean([e.value - b for e, b in zip(found, bounds, strict=True)]))


def correlated(rng: np.random.Generator, n: int) -> Draw:
    """Five means of the same rows, correlation .5."""
    values = rng.normal(size=n) + rng.normal(size=(5, n))
    each = [held(e, 0) for e in together([mean(v, unit="x") for v in values])]
    return all(covered for covered, _ in each), float(np.mean([half for _, half in each]))


def proven(rng: np.random.Generator, n: int) -> Draw:
    """Whether a headroom of the size called detectable at the true standard error is proven above δ = 1."""
    known = Estimate(0.0, None, None, "x", n, "t", 2 / np.sqrt(n), n - 1)
    found = mean(rng.normal(detectable(known, 1.0, FAMILY), 2, n), unit="x")
    return lower_bound(found, FAMILY) > 1.0, np.nan


CASES = (
    Case("means.mean (t)", "normal rows", normal_rows),
    Case("means.mean (t)", "exponential rows (skewness 2)", exponential_rows, promise="about"),
    Case(
        "means.mean (t)",
        "log-normal rows (skewness 6)",
        lognormal_rows,
        promise="about",
        short={100: 0.92},
        why="A few rows decide: t reaches too little beyond the side of the long tail. `skewed`, below, holds.",
    ),
    *(
        Case("means.mean (Hall)", condition, partial(draw, skewed=True), promise="about")
        for condition, draw in (
            ("normal rows", normal_rows),
            ("exponential rows (skewness 2)", exponential_rows),
            ("log-normal rows (skewness 6)", lognormal_rows),
        )
    ),
    Case("means.mean (Hall)", "one row in 10 is not 0", unlike_zero, promise="about"),
    Case("means.mean (t over groups)", "groups of 5, correlation .5", grouped_rows),
    Case(
        "means.mean (Hall over groups)",
        "groups of 5, correlation .5",
        partial(grouped_rows, skewed=True),
        promise="about",
    ),
    Case("means.mean (t over groups, rows added)", "groups of 5 copies, 4 % cost 5", costly_copies, promise="about"),
    Case("means.difference (Welch)", "n rows, and n / 5 of 3 times the s.d.", two_samples, promise="about"),
    Case("quantiles.median", "log-normal rows", middle),
    Case("ratios.geometric_mean", "n / 20 log-normal ratios", factors, promise="about"),
    Case("quantiles.quantile", "90th percentile of log-normal rows", percentile),
    Case("bootstrap (BCa, percentile at 10,000)", "F1 over rows", f1, promise="about", draws=1_000),
    Case(
        "bootstrap (BCa, percentile at 10,000)",
        "F1 over groups of 5",
        partial(f1, each=5),
        promise="about",
        draws=500,
        undetermined={100: 0.04},
    ),
    Case("bootstrap (normal)", "F1 over rows", f1, sizes=(30_000,), promise="about", draws=1_000, table="Many rows"),
    Case("multiplicity.lower_bound", f"{FAMILY} normal means, all at once", family, draws=4_000),
    Case("simultaneous.together", "5 means of the same rows, all at once", correlated, draws=4_000),
    Case("power.detectable", "proven in 80 %", proven, level=0.8, promise="about"),
)
