"""reject: far strangers that the model is sure of are handed over, its own rows no more often than stated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from uncork import Split, Subject, load_treated
from uncork.models.adapt import adapt
from uncork.models.base import Output
from uncork.models.guarded import HandedOver
from uncork.models.predictions import Predictions
from uncork.models.rejecting import Rejecting, alike, read
from uncork.models.temperature import Tempered
from uncork.remedies.reject import apply, fitted, independent
from uncork.run.save import save_treated
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.strangers import StrangersData
from uncork.testing.remedies import check_remedy
from uncork.testing.strangers import strangers

MEANS = 4 * np.eye(3, 4)


def clusters(n: int, seed: int, far: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three Gaussians about 4 on an axis each; `far`: times as far out, in the same directions."""
    y = np.arange(n) % 3
    return (far * MEANS[y] + np.random.default_rng(seed).normal(size=(n, 4))).astype(np.float32), y


def linear() -> nn.Module:
    """The best classifier of these clusters; its features are its inputs. The farther out, the surer it is."""
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(MEANS))
        net[0].bias.fill_(-8.0)
    return net


def subject(validation: int = 800, **changes: Any) -> Subject:
    given = {"train": Split(*clusters(900, 0)), "validation": Split(*clusters(validation, 1)), "test": None}
    return Subject(linear(), **{**given, **changes})


def seen(**scores: float) -> StrangersData:
    """Strangers of whom scores tell by so much."""
    data = strangers(1000, 1000)
    apart = np.stack([np.random.default_rng(i).normal(size=2000) for i in range(len(scores))], axis=1)
    apart += data.of("given")[:, None] * np.array(list(scores.values()))
    return dataclasses.replace(data, scores=tuple(scores), strangeness=apart.astype(np.float32))


FAR = {"strangers": seen(probability=0.0, energy=0.0, mahalanobis=5.0, knn=1.0)}


def out(model: Any, x: np.ndarray, features: bool = False) -> Output:
    return model.outputs(x, features)


def test_sure_strangers_are_handed_over_and_known_rows_seldom(case_of: Callable[..., Any]) -> None:
    """The stated 5 % holds with probability .95 over draws of 800 rows; on 20,000 fresh rows it holds here by 4 s.d."""
    case = case_of(subject(), n_classes=3, **FAR)
    treated = apply.apply(case)
    model = treated.subject.model
    least = next(j for j in range(1, 801) if stats.binom.cdf(j - 1, 800, 0.95) >= 0.95)
    assert (model.detector.name, model.rows, treated.amount) == ("mahalanobis", 800, 800 - least)
    far, _ = clusters(2000, 2, far=4.0)
    sure = adapt(case.subject, "classification").outputs(far).logits
    assert np.exp(sure - sure.max(axis=1, keepdims=True)).sum(axis=1).max() < 1.001  # surer than 99.9 %
    assert not out(model, far).answered.any()
    fresh, _ = clusters(20_000, 3)
    assert 0.02 < (~out(model, fresh).answered).mean() <= 0.05


def test_no_decision_changes(case_of: Callable[..., Any]) -> None:
    case = case_of(subject(), n_classes=3, **FAR)
    treated, (x, _) = apply.apply(case), clusters(300, 5)
    before, after = out(adapt(case.subject, "classification"), x, True), out(treated.subject.model, x, True)
    np.testing.assert_array_equal(before.logits, after.logits)
    np.testing.assert_array_equal(before.features, after.features)
    assert out(treated.subject.model, x).features is None


def test_the_score_is_the_one_that_told_strangers(case_of: Callable[..., Any]) -> None:
    for best in ("probability", "energy", "knn"):
        told = {name: 5.0 * (name == best) for name in ("probability", "energy", "mahalanobis", "knn")}
        treated = apply.apply(case_of(subject(), n_classes=3, strangers=seen(**told)))
        assert treated.subject.model.detector.name == best
        assert best in treated.changes


def test_the_control_hands_as_many_over_whichever_they_are(case_of: Callable[..., Any]) -> None:
    case = case_of(subject(20_000), n_classes=3, **FAR)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    x = case.subject.validation.take(np.arange(20_000))
    share = treated.amount / 20_000
    assert (~out(control.subject.model, x).answered).mean() == pytest.approx(share, abs=0.007)  # 4 s.d.
    assert out(control.subject.model, clusters(500, 2, far=4.0)[0]).answered.mean() > 0.85


def test_the_control_leaves_out_what_was_handed_over_before(case_of: Callable[..., Any]) -> None:
    """Half of the rows are handed over already: of the other half as many as the detector takes, and no more."""
    before = HandedOver(adapt(subject(), "classification"), 0.5, seed=9)
    case = case_of(subject(4000).replace(model=before), n_classes=3, **FAR)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    models = before, treated.subject.model, control.subject.model
    left = [int(read(m, case.subject.validation, np.arange(4000), "").answered.sum()) for m in models]
    assert treated.amount == left[0] - left[1]
    assert left[2] == pytest.approx(left[1], abs=40)  # 4 s.d. of handing 90 of 2,000 over


def test_rows_already_handed_over_stay_so(case_of: Callable[..., Any]) -> None:
    treated = apply.apply(case_of(subject(), n_classes=3, **FAR)).subject.model
    twice = Rejecting(treated, treated.detector, 1e9, rate=0.05, confidence=0.95, rows=800)
    x, _ = clusters(300, 2, far=2.0)
    np.testing.assert_array_equal(out(twice, x).answered, out(treated, x).answered)
    with pytest.raises(BadInput, match="give a number"):
        Rejecting(treated, treated.detector, np.nan, rate=0.05, confidence=0.95, rows=800)


@pytest.mark.parametrize("score", ["probability", "mahalanobis", "knn"])
def test_it_is_saved_and_loaded(case_of: Callable[..., Any], tmp_path: Path, score: str) -> None:
    case = case_of(subject(), n_classes=3, strangers=seen(**{"probability": 0.0, score: 5.0}))
    treated = apply.apply(case)
    save_treated(tmp_path, treated.subject, treated.subject.model, ["reject: x"])
    again = load_treated(tmp_path, build=lambda: nn.Sequential(nn.Linear(4, 3)))
    x = np.concatenate([clusters(500, 2, far=far)[0] for far in (0.2, 1.0, 3.0)])
    first, second = treated.subject.model.outputs(x), again.outputs(x)
    np.testing.assert_array_equal(first.answered, second.answered)
    assert 0.2 < second.answered.mean() < 0.95
    assert again.describe()["rejects"] == treated.subject.model.describe()["rejects"]


def test_of_rows_in_groups_one_of_each_sets_the_threshold(case_of: Callable[..., Any]) -> None:
    x, y = clusters(800, 1)
    grouped = Split(x, y, groups=np.arange(800) // 4)
    treated = apply.apply(case_of(subject(validation=800).replace(validation=grouped), n_classes=3, **FAR))
    assert treated.subject.model.rows == 200
    rows = independent(grouped, np.arange(100, 200), np.random.default_rng(0))
    assert np.array_equal(rows // 4, np.arange(25, 50))


def test_around_a_model_retrained_what_is_fitted_to_features_is_fitted_anew(case_of: Callable[..., Any]) -> None:
    case = case_of(subject(), n_classes=3, **FAR)
    old = Tempered(apply.apply(case).subject.model, 2.0)
    inner = adapt(case.subject, "classification")
    asked: list[Rejecting] = []

    def refit(rejecting: Rejecting, new: Any) -> Any:
        asked.append(rejecting)
        return fitted(new, "knn", case.subject.train, case.subject.validation, np.arange(800), (0.05, 0.95), 0)

    twin = alike(old, inner, refit)
    assert asked == [old.inner]
    assert isinstance(twin, Tempered)
    assert twin.inner.detector.name == "knn"
    assert old.inner.detector.name == "mahalanobis"
    assert alike(inner, old.inner.inner, refit) is old.inner.inner


def test_refusals(case_of: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="59 are needed"):
        apply.apply(case_of(subject(58), n_classes=3, **FAR))
    with pytest.raises(Unavailable, match="train"):
        apply.apply(case_of(subject(train=None), n_classes=3, **FAR))
    with pytest.raises(Unavailable, match="classifier"):
        apply.apply(case_of(subject(), task="regression", **FAR))
    p = Split(np.full((90, 3), 1 / 3), np.arange(90) % 3)
    told = Subject(Predictions(), train=p, validation=p, test=None)
    with pytest.raises(Unavailable, match="features"):
        apply.apply(case_of(told, n_classes=3, **FAR))


def test_its_price_is_that_of_measuring_classes_left_out_again() -> None:
    assert apply.price(subject(), 3) == 0
    assert apply.price(subject(recipe=lambda train, seed: None), 3) == 15
    assert apply.price(subject(recipe=lambda train, seed: None, strangers=Split(MEANS)), 3) == 0


def test_keeps_the_contract(case_of: Callable[..., Any]) -> None:
    check_remedy(apply, lambda: case_of(subject(), n_classes=3, **FAR))
