"""Equally good models, and recipes that are the same but for their seeds, are seldom called better or worse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import diff
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric

CHANCE = 1e-4  # of failing code that is wrong in 5 % of draws, in each test


def seldom(found: diff.Rate) -> bool:
    """Whether so many false verdicts are what a rate of 5 % gives."""
    return bool(stats.binom.sf(found.hits - 1, found.draws, 0.05) >= CHANCE)


@pytest.mark.parametrize("n", [100, 500, 2_000])
@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_equally_good_models(error: float, n: int) -> None:
    """500 draws: at a true rate of .12 this fails in more than 99 %."""
    assert seldom(diff.rate(diff.called([a], [b], "models") != "can't tell" for a, b in diff.pairs(n, error, 500)))


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.0, diff.SEED_SD])
@pytest.mark.parametrize("seeds", diff.SEEDS)
def test_the_same_recipe_from_other_seeds(seeds: int, sd: float) -> None:
    """500 draws. Where seeds matter, rows alone call more than 15 % of pairs of models different: they are, by luck."""
    models, recipes, found = diff.luck(2_000, seeds, sd, 500)
    assert seldom(recipes)
    assert seldom(models) is (sd == 0)
    assert sd == 0 or models.hits > 0.15 * models.draws
    assert seeds < 5 or found.hits > 0.8 * found.draws


@pytest.fixture(scope="module")
def nets() -> list[PassData]:
    return diff.nets(300)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [diff.ERROR, diff.LOG_LOSS], ids=lambda metric: metric.name)
def test_nets_on_digits(metric: Metric, nets: list[PassData]) -> None:
    """300 nets, 75, 50 and 30 comparisons that share none; of 150 pairs of nets rows alone part more than 20 %."""
    assert all(seldom(diff.same_nets(nets, seeds, "recipes", metric)) for seeds in diff.SEEDS)
    models = diff.same_nets(nets, 1, "models", metric)
    assert models.hits > 0.2 * models.draws


def test_mcnemar_counts_discordant_rows() -> None:
    wrong = np.zeros((2, 20), bool)
    assert diff.mcnemar(*map(diff.decided, wrong)) == 1.0
    wrong[0, :8], wrong[1, 7:9] = True, True
    assert diff.mcnemar(*map(diff.decided, wrong)) == pytest.approx(stats.binomtest(7, 8).pvalue)


def test_what_seeds_found_is_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter(range(1, 13))
    monkeypatch.setattr(diff, "luck", lambda *_: (diff.Rate(0, 100), diff.Rate(0, 100), diff.Rate(next(rates), 100)))
    lines, said = diff.of_recipes(100)
    assert len(lines) == 2 + 12
    assert said.startswith("1.0 to 10.0 % with 2 seeds of each, 2.0 to 11.0 % with 3")


def test_a_rate_that_is_too_high_is_found() -> None:
    assert not seldom(diff.Rate(50, 500))
    assert seldom(diff.Rate(35, 500))
