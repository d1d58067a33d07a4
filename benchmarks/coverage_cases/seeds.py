"""Rows and training seeds at once, members of half the size, and the trials of a search."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from coverage_cases.scores import AUC, ERROR, MAE, decided, two_class
from scipy import stats

from uncork.schema.artifacts import PassData
from uncork.stats.crossed import crossed, gain_of_recipes, gain_over_seeds, moderate, seed_variance
from uncork.stats.halves import complementary
from uncork.stats.score import mean_gain
from uncork.stats.tuning import gain_of_more, share_beyond_best, tuning_curve
from uncork.stats.two_level import two_level

SEEDS, HALVES, SEARCH = "Rows, over training seeds", "Permutations of complementary halves", "Trials of a search"
ARMS = 4  # others, of 3 seeds each, that seed variances are pooled over
GAIN = 0.02  # share of errors
SEED_SD = 0.01  # of the gain between trainings
WORST = ((2, 2, 10), (3, 3, 5), (3, 10, 10))  # seeds of two recipes, and the ratio of s.d. that covers least
PERMUTATIONS, TRIALS = (1, 2, 4, 8), (8, 16, 48)


def error_differences(rng: np.random.Generator, seeds: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(differences of two models' errors by seed and row, each seed's own mean gain).

    3 % of rows are mended and 1 % broken under every seed; each seed mends 5 % of the others and breaks 5 %, more or
    fewer with its luck.
    """
    luck = np.clip(rng.normal(0, SEED_SD / (2 * 0.96), seeds), -0.05, 0.05)
    kind, u = rng.random(n), rng.random((seeds, n))
    by_luck = np.where(u < 0.05 + luck[:, None], 1.0, np.where(u > 0.95 + luck[:, None], -1.0, 0.0))
    return np.where(kind < 0.03, 1.0, np.where(kind < 0.04, -1.0, by_luck)), GAIN + 2 * 0.96 * luck


def errors_over_seeds(seeds: int, pooled: bool, rng: np.random.Generator, n: int) -> Draw:
    prior = None
    if pooled:
        arms = [seed_variance(error_differences(rng, 3, n)[0]) for _ in range(ARMS)]
        prior = moderate([v.variance for v in arms], [v.df for v in arms])
    return held(crossed(error_differences(rng, seeds, n)[0], unit="share", prior=prior), GAIN)


def this_very_model(rng: np.random.Generator, n: int) -> Draw:
    values, own = error_differences(rng, 1, n)
    return held(crossed(values, unit="share"), own[0])


def normal_over_seeds(seeds: int, each: int, rng: np.random.Generator, n: int) -> Draw:
    """Rows' s.d. 1, seeds' .05, residual .7; rows in groups of `each` share their effect."""
    groups = np.arange(n) // each
    rows, of_seeds = rng.normal(size=n // each)[groups], rng.normal(0, 0.05, (seeds, 1))
    return held(crossed(rows + of_seeds + rng.normal(0, 0.7, (seeds, n)), clusters=groups, unit="x"), 0)


def error_gain_over_seeds(seeds: int, rng: np.random.Generator, n: int) -> Draw:
    values, _ = error_differences(rng, seeds, n)
    before, after = [decided(v > 0) for v in values], [decided(v < 0) for v in values]
    return held(gain_over_seeds(ERROR, before, after), 1000 * GAIN)


def auc_gain_over_seeds(seeds: int, rng: np.random.Generator, n: int) -> Draw:
    """Binormal with 30 % positive, shifts 1 and 1.5 that seeds vary by N(0, .1²): E Φ((a + z) / √2) = Φ(a / √2.01)."""
    y = (rng.random(n) < 0.3).astype(int)
    rows = math.sqrt(0.8) * rng.normal(size=n)

    def side(shift: float) -> list:
        noise = rows + math.sqrt(0.2) * rng.normal(size=(seeds, n))
        return [two_class((shift + rng.normal(0, 0.1)) * y + e, y) for e in noise]

    truth = stats.norm.cdf(1.5 / math.sqrt(2.01)) - stats.norm.cdf(1 / math.sqrt(2.01))
    return held(gain_over_seeds(AUC, side(1.0), side(1.5)), truth)


def trainings(rng: np.random.Generator, seeds: int, prone: np.ndarray) -> tuple[list, np.ndarray]:
    """(passes, each seed's luck): rows are wrong in 50 % of trainings where `prone`, else in 3 %, and luck apart."""
    luck = np.clip(rng.normal(0, SEED_SD, seeds), -0.03, 0.03)
    wrong = rng.random((seeds, len(prone))) < np.where(prone, 0.5, 0.03) + luck[:, None]
    return [decided(w) for w in wrong], luck


def recipes(seeds: tuple[int, int], very_models: bool, rng: np.random.Generator, n: int) -> Draw:
    """10 % of rows are prone to errors under one recipe, 6 % under the other, 4 % under both."""
    u = rng.random(n)
    (before, luck), (after, other) = (
        trainings(rng, s, prone) for s, prone in zip(seeds, (u < 0.1, (u > 0.06) & (u < 0.12)), strict=True)
    )
    truth = 1000 * 0.04 * (0.5 - 0.03)
    if very_models:
        return held(mean_gain(ERROR, before, after), truth + 1000 * (luck.mean() - other.mean()))
    return held(gain_of_recipes(ERROR, before, after), truth)


def unequal_recipes(seeds: tuple[int, int], ratio: float, rng: np.random.Generator, n: int) -> Draw:
    """Absolute errors that seeds alone vary: s.d. of a training 1 under one recipe, 1 / `ratio` under the other."""
    before, after = (
        [PassData.of_values(e * np.ones(n), np.zeros(n)) for e in 10 + rng.normal(0, sd, count)]
        for count, sd in zip(seeds, (1.0, 1.0 / ratio), strict=True)
    )
    return held(gain_of_recipes(MAE, before, after), 0)


def auc_of_recipes(rng: np.random.Generator, n: int) -> Draw:
    """As `auc_gain_over_seeds`, 3 against 4 seeds whose s.d. is .05 and .1."""
    y = (rng.random(n) < 0.3).astype(int)
    rows = math.sqrt(0.8) * rng.normal(size=n)

    def side(seeds: int, shift: float, sd: float) -> list:
        noise = rows + math.sqrt(0.2) * rng.normal(size=(seeds, n))
        return [two_class((shift + rng.normal(0, sd)) * y + e, y) for e in noise]

    truth = stats.norm.cdf(1.5 / math.sqrt(2.01)) - stats.norm.cdf(1 / math.sqrt(2.0025))
    return held(gain_of_recipes(AUC, side(3, 1.0, 0.05), side(4, 1.5, 0.1)), truth)


def f1_over_seeds(rng: np.random.Generator, n: int) -> Draw:
    """F1 at 20 % true positives and 18 % mistakes, of which seeds make between .8 and 1.2 times as many; 8 seeds."""
    mistakes = 0.18 * np.linspace(0.8, 1.2, 5)
    own = rng.choice(mistakes, 8)
    u = np.where(rng.random((8, n)) < 0.7, rng.random(n), rng.random((8, n)))
    top = 2.0 * (u < 0.2)
    bottom = top + ((u >= 0.2) & (u < 0.2 + own[:, None]))

    def figure(weights: np.ndarray, seed: int) -> float:
        return float(weights @ top[seed] / (weights @ bottom[seed]))

    return held(two_level(figure, np.arange(n), 8, rng, unit="F1"), float((0.4 / (0.4 + mistakes)).mean()))


def members(rng: np.random.Generator, permutations: int, luck: float) -> np.ndarray:
    """Statistics of members, linear in 400 rows of train with skewed influences of mean 0; s.d. of the mean .05."""
    influence = rng.exponential(size=400) - 1
    order = rng.permuted(np.tile(influence, (permutations, 1)), axis=1)
    return order.reshape(permutations, 2, 200).mean(axis=2) + rng.normal(0, luck, (permutations, 2))


def halves(luck: float, rng: np.random.Generator, permutations: int) -> Draw:
    return held(complementary(members(rng, permutations, luck), unit="x"), 0)


def halves_and_rows(permutations: int, rng: np.random.Generator, n: int) -> Draw:
    of_members = members(rng, permutations, 0.02)[:, :, None]
    rows = rng.normal(size=n) + rng.normal(0, 0.5, (permutations, 2, n))
    return held(complementary(of_members + rows, unit="x"), 0)


def curve(rng: np.random.Generator, trials: int) -> Draw:
    """The median of the best of 1 to 64 trials, all at once; an end that no trial bounds holds."""
    found = tuning_curve(rng.normal(size=trials), 64, unit="x", higher_is_better=True)
    truth = stats.norm.ppf(0.5 ** (1 / np.arange(1, 65)))
    low = [-np.inf if e.low is None else e.low for e in found]
    high = [np.inf if e.high is None else e.high for e in found]
    return bool(((low <= truth) & (truth <= high)).all()), np.nan


def beyond_best(rng: np.random.Generator, trials: int) -> Draw:
    bound = share_beyond_best(trials).high
    return 1 - rng.random(trials).max() <= bound, bound / 2


def gain_of_further(rng: np.random.Generator, trials: int) -> Draw:
    """Uniform scores, lower is better: of m further trials the best beats s by s + ((1 − s)^(m + 1) − 1) / (m + 1)."""
    scores, more = rng.random(trials), trials // 2
    best = scores.min()
    truth = best + ((1 - best) ** (more + 1) - 1) / (more + 1)
    high = gain_of_more(scores, more, unit="x", higher_is_better=False, bounds=(0.0, 1.0)).high
    return truth <= high, high / 2


def over_seeds(name: str, condition: str, draw: partial, promise: str = "about", draws: int = 5_000) -> Case:
    return Case(name, condition, draw, promise=promise, draws=draws, table=SEEDS)


CASES = (
    over_seeds("crossed (one seed)", "error difference of this very model, rows only", this_very_model),
    *(
        over_seeds("crossed", f"error difference, {s} seed{'s' * (s > 1)}{how}", partial(errors_over_seeds, s, pooled))
        for s, pooled, how in (
            (1, True, f", prior of {ARMS} arms"),
            (3, False, ""),
            (3, True, f", prior of {ARMS} arms"),
            (8, False, ""),
        )
    ),
    *(
        over_seeds("crossed", f"normal parts, {s} seeds, {where}", partial(normal_over_seeds, s, each))
        for s in (3, 8)
        for each, where in ((1, "rows"), (5, "groups of 5"))
    ),
    *(
        over_seeds("crossed.gain_over_seeds", f"error, {s} seeds", partial(error_gain_over_seeds, s), draws=2_000)
        for s in (3, 8)
    ),
    over_seeds("crossed.gain_over_seeds", "AUC .76 → .86, 3 seeds", partial(auc_gain_over_seeds, 3), draws=2_000),
    *(
        over_seeds("crossed.gain_of_recipes", f"error, {a} and {b} seeds", partial(recipes, (a, b), False), draws=2_000)
        for a, b in ((2, 2), (3, 3), (3, 8), (8, 8))
    ),
    *(
        over_seeds(
            "crossed.gain_of_recipes",
            f"seeds alone, {a} and {b}, s.d. {ratio} times as large",
            partial(unequal_recipes, (a, b), ratio),
        )
        for a, b, ratio in WORST
    ),
    over_seeds("crossed.gain_of_recipes", "AUC .76 → .86, 3 and 4 seeds", auc_of_recipes, draws=2_000),
    over_seeds("score.mean_gain", "error, 3 and 2 models", partial(recipes, (3, 2), True), draws=2_000),
    over_seeds("two_level", "F1, 8 seeds", f1_over_seeds, draws=1_000),
    *(
        over_seeds("halves.complementary", f"{r} permutations × rows", partial(halves_and_rows, r), draws=2_000)
        for r in (2, 8)
    ),
    *(
        Case("halves.complementary", what, partial(halves, luck), sizes=PERMUTATIONS, promise="about", table=HALVES)
        for luck, what in ((0.0, "linear in train's rows"), (0.05, "and seeds' s.d. as large as the data's"))
    ),
    Case("tuning.tuning_curve", "best of 1 to 64, all at once", curve, sizes=TRIALS, table=SEARCH),
    Case("tuning.share_beyond_best", "one-sided", beyond_best, sizes=TRIALS, table=SEARCH),
    Case("tuning.gain_of_more", "half as many again, one-sided", gain_of_further, sizes=TRIALS, table=SEARCH),
)
