"""The cases of benchmarks/coverage.py with a twelfth of the draws, and that they could fail."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from dataclasses import replace
from inspect import getmembers, isfunction, signature
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import uncork.stats

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from coverage_cases import ABOUT, CHANCE, Case, Cell, all_cases, block, draws_at, held, simulate

from uncork.schema.finding import Estimate

PART, FEWEST = 12, 150  # fewer draws than these tell too little
CELLS = [
    (case, size)
    for case in all_cases()
    for size in case.sizes
    if case.exact or draws_at(case.draws, size) // PART >= FEWEST
]
# Makers of intervals that others' cases hold.
WITHIN = {
    "share": "binomial.clopper_pearson",
    "korn_graubard": "score.score error (Korn–Graubard)",
    "of_two_classes": "score.score auc (DeLong, logit)",
    "t_over": "crossed",
    "top_label_errors": "calibration.calibration_error",
    "classwise_errors": "calibration.calibration_error",
    "coverages": "binomial.clopper_pearson",
    "with_error": "binomial.clopper_pearson",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "size"), [pytest.param(*c, id=f"{c[0].name}, {c[0].condition}, {c[1]}") for c in CELLS]
)
def test_keeps_its_promise_or_what_is_known_of_it(case: Case, size: int) -> None:
    """Chance of failing correct code 2e-4 in each cell; true coverage of .83 fails 9 in 10 times with the fewest draws,
    150, and of .88 with the 416 that most cells have."""
    found = simulate(case, size, draws_at(case.draws, size) // PART)
    assert not case.outside(size, found)


def test_every_interval_has_a_case() -> None:
    named = {case.name for case in all_cases()}
    words = {word for name in named for word in re.split(r"[ .]", name)}
    for module in pkgutil.iter_modules(uncork.stats.__path__):
        found = importlib.import_module(f"uncork.stats.{module.name}")
        for name, function in getmembers(found, isfunction):
            makes_one = "Estimate" in str(signature(function).return_annotation)
            if makes_one and function.__module__ == found.__name__ and not name.startswith("_"):
                assert name in words or WITHIN.get(name) in named, f"{module.name}.{name}"


def test_cases_are_consistent() -> None:
    cases = all_cases()
    assert len({(case.name, case.condition) for case in cases}) == len(cases)
    for case in cases:
        assert (case.draw is None) != (case.exact is None)
        assert case.sizes == next(other.sizes for other in cases if other.table == case.table)
        assert set(case.short) <= set(case.sizes)
        assert all(known < case.promised for known in case.short.values())
        assert bool(case.short) == bool(case.why)


def narrowed(by: float) -> Case:
    """A normal mean of known s.d. whose interval is `by` times as wide as it should be."""

    def draw(rng: np.random.Generator, n: int) -> tuple[bool, float]:
        half = by * stats.norm.ppf(0.975) / np.sqrt(n)
        mean = float(rng.normal(size=n).mean())
        return held(Estimate(mean, mean - half, mean + half, "x", n, "z"), 0.0)

    return Case("z", f"times {by}", draw, sizes=(10,))


def test_93_in_place_of_95_is_found_with_the_tables_draws() -> None:
    """Of 5,000 draws at least 4,691 must cover: true coverage .93 reaches that with a chance of .011."""
    by = stats.norm.ppf(0.965) / stats.norm.ppf(0.975)
    short, right = (simulate(narrowed(b), 10, 5_000) for b in (by, 1.0))
    assert short.below(0.95)
    assert not right.below(0.95)
    known = replace(narrowed(by), short={10: 0.93}, why="too narrow")
    assert not short.below(known.known(10))


def test_the_regions_lower_end() -> None:
    k = next(k for k in range(1001) if stats.binom.cdf(k, 1000, 0.95) >= CHANCE)
    assert not Cell(k / 1000, 1.0, 1000, 0).below(0.95)
    assert Cell((k - 1) / 1000, 1.0, 1000, 0).below(0.95)
    assert Cell(0.9499, 1.0, 0, 0).below(0.95)  # exact
    assert not Cell(0.95, 1.0, 0, 0).below(0.95)
    about = replace(narrowed(1.0), promise="about")
    assert about.promised == pytest.approx(0.95 - ABOUT)


def test_undetermined_draws_are_counted_apart() -> None:
    answers = iter([None, (True, 1.0), (False, 3.0), None, (True, 2.0)])
    found = simulate(Case("x", "", lambda rng, n: next(answers)), 100, 5)
    assert (found.coverage, found.half_width) == pytest.approx((2 / 3, 2.0))
    assert (found.draws, found.undetermined) == (3, 2)
    none = simulate(case := Case("x", "", lambda rng, n: None), 100, 5)
    assert np.isnan(none.coverage)
    assert case.outside(100, none) == "5 of 5 draws are undetermined"
    assert not replace(case, undetermined={100: 1.0}).outside(100, none)


def test_same_draws_every_time_and_of_their_own() -> None:
    case = narrowed(1.0)
    assert simulate(case, 10, 700) == simulate(case, 10, 700)
    drawn = [block(*which, 500) for which in ((case, 10, 0), (case, 10, 1), (replace(case, condition="other"), 10, 0))]
    assert all(one != other for one, other in combinations(drawn, 2))
