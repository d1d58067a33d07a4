"""Shares of independent rows, worked out exactly; all of the classes' at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.binomial import bonett_price, clopper_pearson, wilson
from uncork.stats.means import difference
from uncork.stats.simultaneous import shares_by_class

NEGLIGIBLE = 1e-9  # probability of an outcome that may be left out: below 1e-4 in all, and never counted as covered


def outcomes(n: int, share: float) -> range:
    return range(int(stats.binom.ppf(NEGLIGIBLE, n, share)), int(stats.binom.isf(NEGLIGIBLE, n, share)) + 1)


def of_one_share(interval: Callable[[int, int], Estimate], share: float, n: int) -> tuple[float, float]:
    counts = np.array(outcomes(n, share))
    weight = stats.binom.pmf(counts, n, share)
    found = [interval(int(k), n) for k in counts]
    covered = np.array([e.low <= share <= e.high for e in found])
    width = np.array([(e.high - e.low) / 2 for e in found])
    return float(weight @ covered), float(weight @ width / weight.sum())


def on_average(n: int) -> tuple[float, float]:
    """Wilson over all shares between .02 and .5: 97 of them."""
    each = [of_one_share(wilson, share, n) for share in np.linspace(0.02, 0.5, 97)]
    coverage, width = np.mean(each, axis=0)
    return float(coverage), float(width)


def of_paired_shares(first: float, second: float, n: int) -> tuple[float, float]:
    """Bonett–Price, summed over both discordant counts (a trinomial)."""
    truth, total, covered, width = first - second, 0.0, 0.0, 0.0
    for a in outcomes(n, first):
        rest = second / (1 - first)
        counts = np.array(outcomes(n - a, rest))
        weight = stats.binom.pmf(a, n, first) * stats.binom.pmf(counts, n - a, rest)
        for b, w in zip(counts, weight, strict=True):
            e = bonett_price(a, int(b), n)
            total, covered = total + w, covered + w * (e.low <= truth <= e.high)
            width += w * (e.high - e.low) / 2
    return covered, width / total


def of_two_samples(first: float, second: float, n: int) -> tuple[float, float]:
    """MOVER, summed over both counts: n rows and n / 2."""
    ones = [(stats.binom.pmf(k, n, first), clopper_pearson(k, n)) for k in outcomes(n, first)]
    others = [(stats.binom.pmf(k, n // 2, second), clopper_pearson(k, n // 2)) for k in outcomes(n // 2, second)]
    total = covered = width = 0.0
    for v, one in ones:
        for w, other in others:
            e = difference(one, other, unit="share")
            total, covered = total + v * w, covered + v * w * (e.low <= first - second <= e.high)
            width += v * w * (e.high - e.low) / 2
    return covered, width / total


def grouped_hits(rng: np.random.Generator, n: int, share: float, size: int, alike: float) -> tuple[np.ndarray, ...]:
    """(hits, groups) of rows in groups whose own shares are Beta with intra-class correlation `alike`."""
    concentration = 1 / alike - 1
    groups = np.arange(n) // size
    own = rng.beta(share * concentration, (1 - share) * concentration, n // size)
    return rng.random(n) < own[groups], groups


def by_class(rng: np.random.Generator, n: int) -> Draw:
    share = np.linspace(0.05, 0.4, 10)
    y = rng.integers(10, size=n)
    found = shares_by_class(rng.random(n) < share[y], y, 10)
    each = [held(e, s) for e, s in zip(found, share, strict=True)]
    known = [d for d in each if d is not None]
    return all(covered for covered, _ in known), float(np.mean([half for _, half in known]))


def exact_share(share: float) -> Case:
    name, how = "binomial.clopper_pearson", partial(of_one_share, clopper_pearson, share)
    return Case(name, f"a share of {100 * share:g} %", exact=how)


CASES = (
    *(exact_share(share) for share in (0.02, 0.1, 0.5)),
    Case("binomial.wilson", "average over shares .02 to .5", exact=on_average, promise="about"),
    Case(
        "binomial.bonett_price", "10 % mended, 4 % broken", exact=partial(of_paired_shares, 0.1, 0.04), promise="about"
    ),
    Case(
        "binomial.bonett_price", "2 % mended, 2 % broken", exact=partial(of_paired_shares, 0.02, 0.02), promise="about"
    ),
    Case("means.difference (MOVER)", "shares .1 − .05, n and n / 2 rows", exact=partial(of_two_samples, 0.1, 0.05)),
    Case("simultaneous.shares_by_class", "10 classes, all at once", by_class),
)
