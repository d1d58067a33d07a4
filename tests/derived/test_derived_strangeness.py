"""Scores of strangeness against reference libraries and a closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.neighbors import NearestNeighbors

from uncork.derived.recognised import auroc, best_score, passed_share, passing
from uncork.derived.strangeness import NEIGHBOURS, are_logits, detectors, energy, unsureness
from uncork.testing.strangers import strangers


def rows(n: int, d: int = 6, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated Gaussians with a mean for each class."""
    rng = np.random.default_rng(seed)
    mix, means = rng.normal(size=(d, d)), 4 * rng.normal(size=(classes, d))
    y = np.arange(n) % classes
    return means[y] + rng.normal(size=(n, d)) @ mix, y


def test_mahalanobis_is_scikit_learns() -> None:
    x, y = rows(300)
    fresh, _ = rows(50, seed=1)
    own = detectors(np.zeros((300, 3)), x, y)["mahalanobis"](np.zeros((50, 3)), fresh)
    means = np.stack([x[y == c].mean(axis=0) for c in range(3)])
    reference = LedoitWolf(assume_centered=True).fit(x - means[y])
    np.testing.assert_allclose(own, np.min([reference.mahalanobis(fresh - mean) for mean in means], axis=0), rtol=1e-6)
    # With many rows nothing is shrunk: that is the plain covariance's distance.
    x, y = rows(60_000)
    own = detectors(np.zeros((60_000, 3)), x, y)["mahalanobis"](np.zeros((50, 3)), fresh)
    means = np.stack([x[y == c].mean(axis=0) for c in range(3)])
    plain = EmpiricalCovariance(assume_centered=True).fit(x - means[y])
    np.testing.assert_allclose(own, np.min([plain.mahalanobis(fresh - mean) for mean in means], axis=0), rtol=0.02)


def test_knn_is_scikit_learns() -> None:
    x, y = rows(1500)
    fresh, _ = rows(1100, seed=1)  # more than are compared at a time
    own = detectors(np.zeros((1500, 3)), x, y)["knn"](np.zeros((1100, 3)), fresh)
    one, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, fresh))
    distances, _ = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(one).kneighbors(other)
    np.testing.assert_allclose(own, distances[:, -1], rtol=1e-6, atol=1e-7)
    few = detectors(np.zeros((4, 3)), x[:4], y[:4])["knn"](np.zeros((1100, 3)), fresh)  # of fewer, the farthest
    np.testing.assert_allclose(few, np.linalg.norm(other[:, None] - one[:4], axis=2).max(axis=1), rtol=1e-6)


def test_scores_of_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 20, (200, 5)).astype(np.float32)
    np.testing.assert_allclose(energy(logits), -logsumexp(logits.astype(float), axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.exp(-unsureness(logits)), softmax(logits.astype(float), axis=1).max(axis=1))
    # Where the probability rounds to 1, what is surer still comes before.
    sure = np.array([[0, 50.0], [0, 60.0], [0, 600.0]], np.float32)
    assert (np.diff(unsureness(sure)[:2]) < 0).all()
    assert are_logits(logits)
    assert not are_logits(np.log(softmax(logits.astype(float), axis=1)))


def test_what_never_varies_does_no_harm() -> None:
    """Units that never fire, and a model without features."""
    x, y = rows(100)
    x[:, 2] = 0.0
    found = detectors(np.ones((100, 3)), x, y)
    assert list(found) == ["probability", "energy", "mahalanobis", "knn"]
    for detector in found.values():
        assert np.isfinite(detector(np.ones((100, 3)), x)).all()
    assert np.isfinite(detectors(np.ones((9, 3)), np.zeros((9, 2)), y[:9])["mahalanobis"](x[:9], np.ones((9, 2)))).all()
    assert list(detectors(np.ones((100, 3)), None, y)) == ["probability", "energy"]


@pytest.mark.parametrize("distance", [0.0, 2.0, 4.0])
def test_the_auroc_of_two_gaussians(distance: float) -> None:
    """Known rows N(0, I) of one class, strangers N(μ, I): squared distances are χ² and noncentral χ².

    4 standard errors of the AUROC and a bit for the fitted mean: a chance below 1e-4 of failing.
    """
    d, n = 5, 4000
    rng = np.random.default_rng(int(distance))
    x, known = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    far = rng.normal(size=(n, d))
    far[:, 0] += distance
    detector = detectors(np.zeros((n, 2)), x, np.zeros(n, int))["mahalanobis"]
    score = np.r_[detector(np.zeros((n, 2)), known), detector(np.zeros((n, 2)), far)]
    data = strangers(n, n)
    data = dataclasses.replace(data, strangeness=score[:, None].astype(np.float32), chooses=np.zeros(2 * n, bool))

    def above(t: float) -> float:
        beyond = stats.ncx2.sf(t, d, distance**2) if distance else stats.chi2.sf(t, d)
        return float(stats.chi2.pdf(t, d) * beyond)

    truth = integrate.quad(above, 0, 80)[0]
    found = auroc(data, "probability", "given")
    assert found.value == pytest.approx(truth, abs=4 * found.se + 0.005)


def test_a_score_is_chosen_on_one_half_and_judged_on_the_other() -> None:
    data = strangers(4000, 4000, apart=0.5, beside=2.5)
    assert best_score(data, 0.05) == "knn"
    # What the other half says plays no part in the choice, nor the half that chooses in the figure.
    turned = data.strangeness.copy()
    judges = ~data.chooses & data.of("given")
    turned[judges] = turned[judges][:, ::-1]
    assert best_score(dataclasses.replace(data, strangeness=turned), 0.05) == "knn"
    first = passed_share(data, passing(data, 0.05), "given")
    spoilt = data.strangeness.copy()
    spoilt[data.chooses & data.of("given")] = -9.0
    other = dataclasses.replace(data, strangeness=spoilt)
    assert passed_share(other, passing(other, 0.05), "given") == first


def test_classes_left_out_are_the_units() -> None:
    data = strangers(800, 100, apart=1.0, classes=6)
    found = auroc(data, "probability", "left-out")
    each = [
        auroc(
            dataclasses.replace(data, model=np.where(data.model == c, c, -1).astype(np.int16)),
            "probability",
            "left-out",
        )
        for c in range(1, 7)
    ]
    assert found.n == 6
    assert found.df == 5
    assert found.value == pytest.approx(np.mean([e.value for e in each if e.value is not None]), abs=0.02)
    share = passed_share(data, passing(data, 0.05), "left-out")
    assert share.n == 6
    assert "6 classes left out" in share.method
