"""vector-scaling: what was planted class by class is undone, and nothing is gained where one temperature is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from uncork import Split, Subject
from uncork.models.adapt import adapt
from uncork.models.base import logits_of
from uncork.models.predictions import Predictions
from uncork.remedies.vector_scaling import apply
from uncork.schema.artifacts import PassData
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.stats.calibration import calibration_error
from uncork.stats.classwise_calibration import top_label_bins
from uncork.stats.score import mean_gain
from uncork.testing.remedies import check_remedy


def stated(n: int, seed: int, factor: tuple[float, ...] = (0.4, 1.0, 0.7), added: float = 0.8) -> Split:
    """Labels drawn from p^factor, the first class's moved; the rows are p."""
    rng = np.random.default_rng(seed)
    z = 2.5 * rng.normal(size=(n, 3))
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    y = (log_p * factor + [added, 0, 0] + rng.gumbel(size=(n, 3))).argmax(axis=1)
    return Split(softmax(z, axis=1), y)


def judged(treated: Any, split: Split) -> PassData:
    model = adapt(treated.subject.replace(validation=split), "classification")
    return PassData.of_logits(logits_of(model, split), split.y)


def gains(case: Any, fresh: Split) -> tuple[Estimate, Estimate]:
    """(log-loss gained over the model as it was, over the control)."""
    treated = apply.apply(case)
    after, control = judged(treated, fresh), judged(apply.control(case, treated), fresh)
    before = PassData.of_logits(np.log(fresh.take(np.arange(len(fresh)))), fresh.y)
    return tuple(mean_gain(Metric("log-loss"), [old], [after]) for old in (before, control))


def top_label(passed: PassData) -> Estimate:
    p = softmax(passed.logits.astype(float), axis=1)
    sure, right = p.max(axis=1), passed.predicted == passed.y
    return calibration_error(sure, right, top_label_bins(sure, passed.predicted))


def test_what_is_planted_class_by_class_is_undone_where_a_temperature_cannot(case_of: Callable[..., Any]) -> None:
    case = case_of(Subject(Predictions(), test=None, validation=stated(3000, 0)), n_classes=3)
    fresh = stated(6000, 1)
    over, against = gains(case, fresh)
    assert over.low > 0.02
    assert against.low > 0.02
    treated = apply.apply(case)
    control = apply.control(case, treated)
    assert top_label(judged(control, fresh)).low > 0.05
    assert top_label(judged(treated, fresh)).low < 0.01
    assert "fitted on 3000 rows" in treated.changes
    assert control.changes.startswith("one temperature, ")


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_nothing_is_gained_where_one_number_is_right(case_of: Callable[..., Any], factor: float) -> None:
    """Calibrated, and three times too sure: 20 draws; a gain over the control is proven in at most 2.5 % (chance of
    failing correct code 2e-3), as unavailable it can't be."""
    proven = tried = 0
    for seed in range(20):
        subject = Subject(Predictions(), test=None, validation=stated(400, seed, (factor,) * 3, 0.0))
        try:
            _, against = gains(case_of(subject, n_classes=3, seed=seed), stated(400, seed + 100, (factor,) * 3, 0.0))
        except Unavailable:
            continue
        tried += 1
        proven += against.low is not None and against.low > 0
    assert proven <= 3
    assert tried < 20


def test_it_says_where_the_temperature_is_enough(case_of: Callable[..., Any]) -> None:
    subject = Subject(Predictions(), test=None, validation=stated(60, 0, (1.0,) * 3, 0.0))
    with pytest.raises(Unavailable, match="on 60 rows of validation no class needs more than the temperature"):
        apply.apply(case_of(subject, n_classes=3))


def test_keeps_the_contract(case_of: Callable[..., Any]) -> None:
    check_remedy(apply, lambda: case_of(Subject(Predictions(), test=None, validation=stated(1000, 3)), n_classes=3))


def test_a_regression_has_no_classes(case_of: Callable[..., Any]) -> None:
    subject = Subject(Predictions(), test=None, validation=stated(100, 0))
    with pytest.raises(Unavailable, match="class probabilities"):
        apply.apply(case_of(subject, task="regression"))
