"""Orders of rows to label: by hand, against the definition, and none twice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from uncork.train.acquire import STRATEGIES, badge, margin, typical


def drawn(n: int, k: int = 3, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("budget", [1, 7, 40])
def test_none_is_chosen_twice_and_the_seed_decides(name: str, budget: int) -> None:
    logits, features = drawn(40)
    first, same = (STRATEGIES[name](logits, features, budget, np.random.default_rng(3)) for _ in range(2))
    assert len(set(first.tolist())) == len(first) == budget
    assert first.min() >= 0
    assert first.max() < 40
    np.testing.assert_array_equal(first, same)


def test_margin_is_the_difference_of_the_two_largest() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.4, 0.38, 0.22], [0.9, 0.05, 0.05], [0.34, 0.33, 0.33]])
    assert margin(np.log(p), p, 3, np.random.default_rng(0)).tolist() == [3, 1, 0]


def test_typical_rows_are_the_middles_of_clusters() -> None:
    """Three heaps of 50, 40 and 30 rows and 5 far strangers: one near each middle, the largest first, no stranger."""
    rng = np.random.default_rng(0)
    middles, sizes = np.array([[0, 0], [30, 0], [0, 30]]), (50, 40, 30)
    heaps = [m + rng.normal(size=(s, 2)) for m, s in zip(middles, sizes, strict=True)]
    x = np.concatenate([*heaps, [[5, 5], [25, 5], [5, 25], [3, -5], [-5, 3]]])
    chosen = typical(np.zeros((len(x), 2)), x, 3, np.random.default_rng(0))
    for row, middle in zip(chosen, middles, strict=True):
        assert np.linalg.norm(x[row] - middle) < 0.8


def test_badges_distances_are_those_of_the_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the odds of k-means++ on the gradients written out, the same generator draws the same rows."""
    logits, features = drawn(60)
    p = softmax(logits.astype(float), axis=1)
    p[np.arange(60), p.argmax(axis=1)] -= 1
    gradient = (p[:, :, None] * features.astype(float)[:, None, :]).reshape(60, -1)
    rng, chosen = np.random.default_rng(5), [int((gradient**2).sum(axis=1).argmax())]
    while len(chosen) < 12:
        away = np.min([((gradient - gradient[c]) ** 2).sum(axis=1) for c in chosen], axis=0)
        chosen.append(int(rng.choice(60, p=away / away.sum())))
    assert badge(logits, features, 12, np.random.default_rng(5)).tolist() == chosen


def test_copies_are_left_for_last() -> None:
    logits, features = (np.concatenate([a[:5]] * 4) for a in drawn(5))
    first = badge(logits, features, 20, np.random.default_rng(0))
    assert sorted((first[:5] % 5).tolist()) == [0, 1, 2, 3, 4]
    assert sorted(first.tolist()) == list(range(20))
