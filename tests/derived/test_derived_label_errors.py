"""Wrong labels: planted ones are found, ranked first, and counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncork.derived.label_errors import (
    LOOKALIKE,
    RANDOM,
    Noise,
    errors_of_labels,
    flagged,
    margins,
    noise,
    noise_by_relabelling,
    ranking,
    suggested,
)
from uncork.derived.out_of_sample import log_probabilities, probabilities
from uncork.schema.finding import Estimate
from uncork.schema.pool import PoolData
from uncork.stats.binomial import clopper_pearson
from uncork.stats.confident import flag
from uncork.testing.artifacts import relabelled
from uncork.testing.pools import a_pool


def planted(share: float, n: int = 1500, classes: int = 3, seed: int = 0, error: float = 0.1) -> PoolData:
    return a_pool(n, 20, classes=classes, flipped=share, seed=seed, error=error, full=0)


def wrong(pool: PoolData) -> np.ndarray:
    return pool.y != np.arange(len(pool.y)) % pool.on_train.shape[2]


def test_margins_suggestions_and_order_row_by_row() -> None:
    pool = planted(0.2, n=120, classes=4)
    log_p = log_probabilities(pool)
    for i in range(120):
        others = [c for c in range(4) if c != pool.y[i]]
        likeliest = max(others, key=lambda c, i=i: log_p[i, c])
        assert suggested(pool)[i] == likeliest
        assert margins(pool)[i] == pytest.approx(log_p[i, pool.y[i]] - log_p[i, likeliest])
    assert sorted(ranking(pool)) == list(range(120))
    assert (np.diff(margins(pool)[ranking(pool)]) >= 0).all()
    np.testing.assert_array_equal(flagged(pool), flag(probabilities(pool), pool.y))


def test_planted_labels_come_first() -> None:
    """Average precision no worse than by the reference library's score, from the same probabilities."""
    from cleanlab.rank import get_label_quality_scores
    from sklearn.metrics import average_precision_score

    pool = planted(0.1, n=900)
    place = np.empty(900)
    place[ranking(pool)] = np.arange(900)
    theirs = get_label_quality_scores(pool.y, probabilities(pool).astype(float), method="normalized_margin")
    mine = average_precision_score(wrong(pool), -place)
    assert mine >= average_precision_score(wrong(pool), -theirs) - 0.005
    assert mine > 0.95
    first = ranking(pool)[:50]
    assert np.mean(suggested(pool)[first] == first % 3) >= 0.9


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.4])
def test_rate_of_random_errors(classes: int, share: float) -> None:
    """20 pools; at a true 95 % fewer than 15 intervals cover with a chance below 1 in 1,000 (fixed seeds)."""
    found = [noise(planted(share, classes=classes, seed=s), np.random.default_rng(s))[0].rate for s in range(20)]
    covered = sum(rate.low <= share <= rate.high for rate in found)
    assert covered >= stats.binom.ppf(1e-3, 20, 0.95)
    assert np.mean([rate.value for rate in found]) == pytest.approx(share, abs=0.02)


def lookalikes(share: float, seed: int) -> PoolData:
    """Wrong labels are the models' second choice, as a pool has them that has not learnt the labels."""
    clean = planted(0.0, n=2000, classes=5, seed=seed)
    second = clean.on_train[clean.members(2)].astype(float).sum(axis=0)
    truth = np.arange(2000) % 5
    second[np.arange(2000), truth] = -np.inf
    rows = np.random.default_rng((seed, 1)).permutation(2000)[: round(share * 2000)]
    y = truth.copy()
    y[rows] = second.argmax(axis=1)[rows]
    return a_pool(2000, 20, classes=5, seed=seed, full=0, memorised=False, y=y)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_the_two_noise_models_bracket_lookalikes(share: float) -> None:
    """Where errors are look-alikes, random spikes find too few of them, and look-alike ones no fewer than there are."""
    for seed in range(5):
        random, alike = noise(lookalikes(share, seed), np.random.default_rng(seed))
        assert (random.kind, alike.kind) == (RANDOM, LOOKALIKE)
        assert random.rate.value <= alike.rate.value
        assert alike.rate.high >= share
        assert alike.rate.value == pytest.approx(share, abs=0.05)


def test_two_classes_have_one_noise_model() -> None:
    assert [m.kind for m in noise(planted(0.1, classes=2), np.random.default_rng(0))] == [RANDOM]


@pytest.mark.parametrize(("classes", "share", "error"), [(2, 0.1, 0.1), (3, 0.2, 0.1), (10, 0.1, 0.1), (10, 0.1, 0.35)])
def test_recall_and_precision_are_those_of_the_planted_labels(classes: int, share: float, error: float) -> None:
    """Recall is a chance: on average over 15 pools. Precision is that of each list: at a true 95 % fewer than 10 of 15
    intervals cover with a chance below 1 in 10,000 (fixed seeds)."""
    recalls, covered, precisions = [], 0, []
    for seed in range(15):
        pool = planted(share, classes=classes, seed=seed, error=error)
        bad, flags = wrong(pool), flagged(pool)
        model = noise(pool, np.random.default_rng(seed))[0]
        recalls.append(model.recall.value - flags[bad].mean())
        precisions.append(model.precision.value - bad[flags].mean())
        covered += model.precision.low <= bad[flags].mean() <= model.precision.high
    assert np.mean(recalls) == pytest.approx(0, abs=0.02)
    assert np.mean(precisions) == pytest.approx(0, abs=0.06)
    assert covered >= 10


def test_many_classes_take_a_sample_of_other_labels() -> None:
    pool = planted(0.1, n=1500, classes=30)
    random, _ = noise(pool, np.random.default_rng(0))
    assert random.rate.low <= 0.1 <= random.rate.high


def test_too_few_rows_are_undetermined() -> None:
    models = noise(planted(0.1, n=30), np.random.default_rng(0))
    assert all(e.low is None for m in models for e in (m.rate, m.recall, m.precision))
    assert errors_of_labels(models).high is None


def test_errors_of_labels_by_hand() -> None:
    def made(kind: str, rate: tuple[float, float], recall: float | None) -> Noise:
        middle = Estimate(sum(rate) / 2, *rate, "share", 100, "made")
        of = Estimate(recall, recall, recall, "share", 100, "made")
        return Noise(kind, middle, of, of)

    both = errors_of_labels([made(RANDOM, (0.1, 0.2), 0.5), made(LOOKALIKE, (0.15, 0.3), 0.8)])
    assert (both.value, both.low, both.high) == (None, pytest.approx(50), pytest.approx(300))
    assert errors_of_labels([made(RANDOM, (0.1, 0.2), None)]).low == 0


def test_groups_are_the_unit() -> None:
    """Each row five times over: the interval is that of the groups."""
    one = planted(0.2, n=400)
    five = np.repeat(np.arange(400), 5)
    bits = np.packbits(one.trained_on[:, five], axis=1)
    known = {"included": bits, "on_train": one.on_train[:, five], "y": one.y[five], "flagged": np.zeros(2000, bool)}
    many = a_pool(400, 20, full=0, flipped=0.2, clusters=five, **known)
    rate = noise(many, np.random.default_rng(0))[0].rate
    assert rate.n == 400
    assert rate.high - rate.low > 0.05


def labelled_anew(pool: PoolData, rows: int, seed: int) -> tuple[Estimate, Estimate]:
    """The share by random rows with their true labels, and by these rows alone."""
    drawn = np.random.default_rng((seed, 2)).permutation(len(pool.y))[:rows]
    truth = {int(row): int(row) % pool.on_train.shape[2] for row in drawn}
    found = noise_by_relabelling(pool, relabelled(truth))
    assert found is not None
    return found, clopper_pearson(int(wrong(pool)[drawn].sum()), rows, unit="share")


@pytest.mark.parametrize(
    ("share", "error", "kind", "width"),
    [(0.1, 0.05, "random", 0.7), (0.2, 0.05, "random", 0.6), (0.1, 0.4, "random", 1.0), (0.1, 0.1, "alike", 0.8)],
)
def test_rows_labelled_anew_cover_whatever_the_noise(share: float, error: float, kind: str, width: float) -> None:
    """200 audits; at a true 95 % fewer intervals cover than asked with a chance below 1 in 1,000 (fixed seeds).

    Where the models are good, the interval is narrower than that of the rows alone by `width` on average.
    """
    covered, widths = 0, []
    for seed in range(200):
        pool = planted(share, n=1000, seed=seed, error=error) if kind == "random" else lookalikes(share, seed)
        found, alone = labelled_anew(pool, 150, seed)
        covered += found.low <= wrong(pool).mean() <= found.high
        widths.append((found.high - found.low) / (alone.high - alone.low))
    assert covered >= stats.binom.ppf(1e-3, 200, 0.95)
    assert np.mean(widths) <= width
    assert max(widths) <= 1


def test_rows_labelled_anew_by_hand() -> None:
    """All rows, or none: only they count."""
    pool = planted(0.2, n=60)
    found, alone = labelled_anew(pool, 60, 0)
    assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)
    assert found.value == pytest.approx(0.2)
    assert noise_by_relabelling(pool, relabelled()) is None
