from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from stats_helpers import accept

from uncork.stats.binomial import clopper_pearson
from uncork.stats.mixture import mixture_share

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from coverage_cases.pool import APART, NEAR, margins


def separate(n: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `wrong` of n rows have margins among those of spikes, the others none."""
    rng = np.random.default_rng(0)
    observed = np.where(np.arange(n) < wrong, -5.0, 5.0) + 0.1 * rng.normal(size=n)
    return observed, -4.0 + rng.uniform(0, 0.5, size=(n, 2))


SLOW = pytest.mark.slow


def test_all_spikes_below_is_the_share_of_rows_below() -> None:
    observed, spiked = separate(200, 20)
    found, rows = mixture_share(observed, spiked, np.random.default_rng(0)), clopper_pearson(20, 200)
    assert found.value == pytest.approx(0.1, rel=0.01)  # a spike or two lie above the other half's threshold
    assert found.low == pytest.approx(rows.low, rel=0.1)
    assert found.high == pytest.approx(rows.high, rel=0.1)
    assert (found.n, found.unit, found.se) == (200, "share", None)


@pytest.mark.parametrize("wrong", [0.0, 0.1, *(pytest.param(share, marks=SLOW) for share in (0.05, 0.2, 0.4))])
def test_finds_a_known_share(wrong: float) -> None:
    """1,000 rows. The mean is within a tenth, and .003; spread is what `high` says. Chance of failing: 1e-4 a case."""
    rng, trials = np.random.default_rng(1), 200
    found = [mixture_share(*margins(wrong, APART, 1.5, rng, 1000), rng) for _ in range(trials)]
    values = np.array([e.value for e in found])
    assert accept(sum(e.low <= wrong <= e.high for e in found), trials, 0.95)
    assert values.mean() == pytest.approx(wrong, rel=0.1, abs=0.003)
    if wrong:
        above = np.mean([e.high for e in found]) - values.mean()
        assert 1.6 * values.std() < above < 2.9 * values.std()
    else:
        assert max(e.low for e in found) == 0
        assert values.max() < 0.012


@pytest.mark.parametrize("wrong", [0.0, pytest.param(0.2, marks=SLOW)])
def test_is_a_bound_where_right_labels_look_wrong(wrong: float) -> None:
    """A tenth of right labels are as low as wrong ones: .1 + .9 ρ is found, and `high` is a bound still."""
    rng, trials = np.random.default_rng(2), 200
    found = []
    for _ in range(trials):
        observed, spiked = margins(wrong + 0.1 * (1 - wrong), APART, 1.5, rng, 1000)
        found.append(mixture_share(observed, spiked, rng))
    assert accept(sum(e.high >= wrong for e in found), trials, 0.975)
    assert np.mean([e.value for e in found]) == pytest.approx(wrong + 0.1 * (1 - wrong), abs=0.01)


def test_overlap_moves_it_up_by_little() -> None:
    rng, trials = np.random.default_rng(3), 200
    found = [mixture_share(*margins(0.1, NEAR, 2.0, rng, 1000), rng) for _ in range(trials)]
    assert accept(sum(e.low <= 0.1 <= e.high for e in found), trials, 0.95)
    assert 0.1 < np.mean([e.value for e in found]) < 0.13


def flipped(wrong: float, classes: int, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of an out-of-sample model, and labels of which a share is wrong, uniformly."""
    truth = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 7
    labels = np.where(rng.random(n) < wrong, (truth + rng.integers(1, classes, size=n)) % classes, truth)
    return log_softmax(logits, axis=1), labels


def margins_of_labels(logs: np.ndarray) -> np.ndarray:
    top = np.sort(logs, axis=1)
    return logs - np.where(logs == top[:, -1:], top[:, -2:-1], top[:, -1:])


@pytest.mark.parametrize("wrong", [0.1, 0.4])
def test_spikes_that_land_on_the_true_label(wrong: float) -> None:
    """Both other labels of a row as spikes: a half of those on wrong rows are true; of the model's choice, all.

    Wrong and right labels lie so far apart that it does not matter that wrong ones are random and choices are not.
    """
    rng = np.random.default_rng(4)
    uniform, raw, chosen = [], [], []
    for _ in range(30):
        logs, labels = flipped(wrong, 3, rng, 2000)
        every, rows = margins_of_labels(logs), np.arange(2000)
        others = np.stack([every[rows, (labels + k) % 3] for k in (1, 2)], axis=1)
        uniform.append(mixture_share(every[rows, labels], others, rng, lands=1 / 2).value)
        raw.append(mixture_share(every[rows, labels], others, rng).value)
        chosen.append(mixture_share(every[rows, labels], others.max(axis=1), rng, lands=1.0).value)
    assert np.mean(uniform) == pytest.approx(wrong, abs=0.01)
    assert np.mean(raw) == pytest.approx(wrong / (1 - wrong / 2), abs=0.01)
    assert np.mean(chosen) == pytest.approx(wrong, abs=0.01)


def test_choice_as_noise_and_as_spike() -> None:
    """Wrong labels are the model's second choice, and so are the spikes: on wrong rows those are true labels."""
    rng, found = np.random.default_rng(5), []
    for _ in range(30):
        logs, labels = flipped(0.0, 4, rng, 2000)
        every, rows = margins_of_labels(logs), np.arange(2000)
        second = np.argsort(logs, axis=1)[:, -2]
        labels = np.where(rng.random(2000) < 0.3, second, labels)
        others = every.copy()
        others[rows, labels] = -np.inf
        found.append(mixture_share(every[rows, labels], others.max(axis=1), rng, lands=1.0).value)
    assert np.mean(found) == pytest.approx(0.3, abs=0.01)


def test_same_for_rows_in_any_order() -> None:
    observed, spiked = margins(0.1, APART, 1.5, np.random.default_rng(6), 300)
    order = np.random.default_rng(7).permutation(300)
    groups = np.arange(300) // 3
    for clusters in (None, groups):
        shuffled = None if clusters is None else clusters[order]
        first = mixture_share(observed, spiked, np.random.default_rng(8), clusters=clusters)
        again = mixture_share(observed[order], spiked[order], np.random.default_rng(8), clusters=shuffled)
        assert (first.low, first.value, first.high) == pytest.approx((again.low, again.value, again.high))


def test_copies_add_no_rows() -> None:
    """On average over 30 draws as wide as without the copies, or a little wider, as groups' degrees of freedom are few.

    Where copies are taken as independent it is half as wide.
    """
    widths, groups = [], np.repeat(np.arange(500), 4)
    for trial in range(30):
        observed, spiked = margins(0.2, APART, 1.5, np.random.default_rng((9, trial)), 500)
        copies, rng = (observed[groups], spiked[groups]), np.random.default_rng(trial)
        found = mixture_share(observed, spiked, rng), mixture_share(*copies, rng, clusters=groups)
        assert [e.n for e in found] == [500, 500]
        widths.append([e.high - e.low for e in found])
    alone, copied = np.mean(widths, axis=0)
    assert 0.95 < copied / alone < 1.25


def test_too_few_rows_or_no_spikes() -> None:
    rng = np.random.default_rng(0)
    for n, k in ((0, 1), (39, 1), (100, 0)):
        found = mixture_share(np.zeros(n), np.zeros((n, k)), rng)
        assert (found.value, found.determined) == (None, False)
        assert "undetermined" in found.method
    rows = np.arange(100) // 5
    assert not mixture_share(np.zeros(100), np.zeros(100), rng, clusters=rows).determined
