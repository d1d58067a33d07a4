"""Exact distances of linear models, and attacks that come to the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from uncork.models.adapt import as_model
from uncork.stress.apgd import apgd_ce, apgd_targeted
from uncork.stress.ball import Ball
from uncork.stress.fab import fab_targeted
from uncork.stress.linear import affine, distances

NORMS = ("linf", "l2")


@pytest.fixture(scope="module")
def two(digits: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Eights against the rest."""
    return digits[0].numpy().astype(np.float64), (digits[1].numpy() == 2).astype(int)


@pytest.fixture(scope="module")
def svm(two: tuple[np.ndarray, np.ndarray]) -> LinearSVC:
    return LinearSVC(C=0.1, random_state=0).fit(*two)


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_svm_is_margin_over_the_dual_norm_away(norm: str, two: tuple, svm: LinearSVC) -> None:
    x, y = two
    right = svm.predict(x) == y
    dual = np.abs(svm.coef_).sum() if norm == "linf" else np.sqrt((svm.coef_**2).sum())
    told = affine(as_model(svm, "classification"), x, (64,))
    assert told is not None
    found = distances(*told, x, y, norm)
    assert found[right] == pytest.approx(np.abs(svm.decision_function(x[right])) / dual, rel=1e-4)
    assert (found[~right] == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_attacks_come_to_the_exact_distance(norm: str, two: tuple, svm: LinearSVC, rng: torch.Generator) -> None:
    """Two classes, flat rows, one output: FAB to 1e-4; APGD finds all that lie 1 % within ε and none beyond."""
    x, y = (part[:150] for part in two)
    right = svm.predict(x) == y
    x, y = x[right], y[right]
    exact = distances(*affine(as_model(svm, "classification"), x, (64,)), x, y, norm)
    w, b = torch.from_numpy(svm.coef_), torch.from_numpy(svm.intercept_)
    rows, label = torch.from_numpy(x), torch.from_numpy(y)
    far = torch.tensor(9.0, dtype=torch.float64)

    def logits(z: torch.Tensor) -> torch.Tensor:
        out = z @ w.T + b
        return torch.cat([torch.zeros_like(out), out], 1)

    ball = Ball(norm, 1e-9, -far, far)
    _, least = fab_targeted(logits, rows, label, ball)
    assert least.numpy() == pytest.approx(exact, rel=1e-4)
    eps = float(np.median(exact))
    for attack in (apgd_ce, apgd_targeted):
        fooled = attack(logits, rows, label, Ball(norm, eps, -far, far), rng=rng).fooled.numpy()
        assert fooled[exact < 0.99 * eps].all()
        assert not fooled[exact > 1.0001 * eps].any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_moving_so_far_reaches_another_class_and_no_less_does(norm: str, classes: int) -> None:
    """Along the best direction to each class, 1.001 of the distance turns the decision; no .999 of it does."""
    draw = np.random.default_rng(classes)
    w, b, x = draw.normal(size=(classes, 6)), draw.normal(size=classes), draw.normal(size=(40, 6))
    y = (x @ w.T + b).argmax(1)
    away = distances(w, b, x, y, norm)
    for row in range(40):
        turned = {0.999: False, 1.001: False}
        for k in set(range(classes)) - {y[row]}:
            toward = w[k] - w[y[row]]
            step = np.sign(toward) if norm == "linf" else toward / np.linalg.norm(toward)
            for part in turned:
                moved = x[row] + part * away[row] * step
                turned[part] |= bool((moved @ w.T + b).argmax() != y[row])
        assert turned == {0.999: False, 1.001: True}


def test_scalers_before_a_linear_model_are_part_of_it(two: tuple, digits: tuple) -> None:
    x, y = digits[0].numpy().astype(np.float64), digits[1].numpy()
    for estimator in (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=50)),
        make_pipeline(MinMaxScaler(), PCA(20), SGDClassifier(random_state=0)),
    ):
        estimator.fit(x, y)
        told = affine(as_model(estimator, "classification"), x, (64,))
        assert told is not None
        assert x @ told[0].T + told[1] == pytest.approx(estimator.decision_function(x), abs=1e-8)


def test_one_linear_layer_is_known_and_deeper_ones_are_not(digits: tuple, net: nn.Module) -> None:
    x, y = digits[0].numpy(), digits[1].numpy()
    lone = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 4))
    told = affine(as_model(lone, "classification", preprocess=lambda z: z * 2 - 1), x, (64,))
    assert told is not None
    with torch.no_grad():
        assert x @ told[0].T + told[1] == pytest.approx(lone.eval()(2 * digits[0] - 1).numpy(), abs=1e-3)
    wide, asked = as_model(nn.Linear(600, 2), "classification"), []
    answers = wide.outputs
    wide.outputs = lambda batch, features=False: asked.append(len(batch)) or answers(batch, features)
    assert affine(wide, np.random.default_rng(0).random((5, 600)), (600,)) is not None
    assert max(asked) <= 256  # 600 columns are not moved in one batch, nor held as 600 × 600
    curved = as_model(lone, "classification", preprocess=lambda z: z**2)
    others = (RandomForestClassifier(3).fit(x, y), SVC(kernel="linear").fit(x[:200], y[:200]), net)
    for model in (curved, *(as_model(other, "classification") for other in others)):
        assert affine(model, x, (64,)) is None
