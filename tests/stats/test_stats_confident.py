"""Confident learning: flags as the reference library does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.schema.finding import Estimate
from uncork.stats.binomial import share
from uncork.stats.confident import contradicts, flag, thresholds, worth


def noisy_probabilities(seed: int, n: int = 800, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, classes))
    y = (logits + rng.gumbel(scale=1.5, size=logits.shape)).argmax(axis=1)
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize("seed", range(5))
def test_flags_equal_cleanlabs(seed: int) -> None:
    from cleanlab.filter import find_label_issues

    p, y = noisy_probabilities(seed)
    theirs = find_label_issues(y, p, filter_by="confident_learning", n_jobs=1)
    assert 20 < theirs.sum() < 700
    assert np.mean(flag(p, y) == theirs) >= 0.998


def test_flags_by_hand() -> None:
    """Average own probability: .6 for class 0, .5 for class 1, none for class 2, which no row has."""
    p = np.array([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.45, 0.55, 0.0], [0.05, 0.05, 0.9]])
    y = np.array([0, 0, 1, 1, 0])
    assert np.isclose(p[[2, 3], 1].mean(), 0.475)
    # Row 1: class 1 reaches its average. Row 2: class 0 is likelier but below its average (.417): .5 is above it.
    assert flag(p, y).tolist() == [False, True, True, False, False]


def test_a_row_whose_likeliest_class_is_its_label_is_not_contradicted() -> None:
    p = np.array([[0.6, 0.4], [0.99, 0.01], [0.95, 0.05], [0.7, 0.3]])
    y = np.array([0, 0, 0, 1])
    assert not flag(p, y)[0]  # class 1 reaches its average of .3, but class 0 is likelier still


def test_what_if_another_label_stood_there() -> None:
    """Row by row: the flag that another label would have got, by the thresholds of the labels that are there."""
    p, y = noisy_probabilities(0)
    fixed = thresholds(p, y)
    labels = np.stack([y, (y + 1) % 5, (y + 3) % 5], axis=1)
    would = contradicts(p, fixed, labels)
    assert np.array_equal(would[:, 0], flag(p, y))
    for i in range(0, len(y), 20):
        reach = [c for c in range(5) if p[i, c] >= fixed[c]]
        best = max(reach, key=lambda c, i=i: p[i, c], default=None)
        expected = [best is not None and best != label and p[i].argmax() != label for label in labels[i]]
        assert would[i].tolist() == expected


def test_a_class_without_rows_flags_none() -> None:
    p = np.array([[0.1, 0.1, 0.8], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
    assert thresholds(p, np.array([0, 0, 1])).tolist() == pytest.approx([0.15, 0.8, np.inf])
    assert flag(p, np.array([0, 0, 1])).tolist() == [False, False, False]


def test_a_share_is_exact_over_rows_and_wider_over_groups() -> None:
    flagged = np.arange(200) % 10 == 0
    alone, groups = share(flagged, np.arange(200)), share(np.repeat(flagged, 5), np.repeat(np.arange(200), 5))
    exact = stats.binomtest(20, 200).proportion_ci(method="exact")
    assert (alone.low, alone.high) == pytest.approx((exact.low, exact.high))
    assert groups.value == pytest.approx(0.1)
    assert groups.high - groups.low > 0.9 * (alone.high - alone.low)


def rated(low: float, value: float, high: float) -> Estimate:
    return Estimate(value, low, high, "share", 1000, "made")


@pytest.mark.parametrize("lands", [0.0, 0.25, 1.0])
def test_worth_undoes_what_spikes_on_wrong_labels_add(lands: float) -> None:
    """ρ = .2, recall .9, false flags .05, of 10,000 rows: s and f as the docstring has them."""
    rho, recall, false = 0.2, 0.9, 0.05
    s, f = (1 - rho * lands) * recall + rho * lands * false, rho * recall + (1 - rho) * false
    flagged, spikes = np.arange(10_000) < round(10_000 * f), np.arange(10_000) < round(10_000 * s)
    found = worth(flagged, spikes.astype(float), rated(0.19, rho, 0.21), lands=lands, clusters=np.arange(10_000))
    assert found[0].value == pytest.approx(recall, abs=1e-3)
    assert found[1].value == pytest.approx(rho * recall / f, abs=1e-3)
    for estimate in found:
        assert 0 <= estimate.low < estimate.value < estimate.high <= 1


def test_worth_carries_the_interval_of_the_rate() -> None:
    """No spike lands: precision is ρ · recall / flags and the luck of so many draws; recall does not depend on ρ."""
    rng = np.random.default_rng(0)
    flagged, spikes, own = rng.random(2000) < 0.2, rng.random(2000), np.arange(2000)
    narrow, wide = (worth(flagged, spikes, rated(0.1 - w, 0.1, 0.1 + w), lands=0.0, clusters=own) for w in (0.0, 0.05))
    assert (narrow[0].low, narrow[0].high) == pytest.approx((wide[0].low, wide[0].high))
    of = int(flagged.sum())
    for found, rates in ((narrow[1], (0.1, 0.1)), (wide[1], (0.05, 0.15))):
        least, most = (
            rate * end / flagged.mean() for rate, end in zip(rates, (wide[0].low, wide[0].high), strict=True)
        )
        assert found.low == pytest.approx(stats.binom.ppf(0.025, of, least) / of)
        assert found.high == pytest.approx(stats.binom.ppf(0.975, of, most) / of)


def test_worth_is_undetermined_rather_than_certain() -> None:
    own, spikes = np.arange(500), np.full(500, 0.9)
    _, empty = worth(np.zeros(500, bool), spikes, rated(0.0, 0.0, 0.01), lands=0.1, clusters=own)
    assert empty.value is None
    unknown = worth(own < 9, spikes, Estimate(None, None, None, "share", 500, "made"), lands=0.1, clusters=own)
    assert [e.low for e in unknown] == [None, None]
    half, _ = worth(own < 250, spikes, rated(0.48, 0.5, 0.5), lands=1.0, clusters=own)
    assert half.value is None
    _, sure = worth(own < 50, spikes, rated(0.2, 0.25, 0.3), lands=0.0, clusters=own)
    assert sure.low == pytest.approx(0.025 ** (1 / 50))
    assert (sure.value, sure.high) == (1, 1)
