"""wrong-family from rows to verdict, on tables whose truth is planted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context, Training
from uncork.gather.forward import gather as passes
from uncork.gather.trial import gather
from uncork.probes.wrong_family import measure
from uncork.schema.artifacts import Pass, Trial, TrialData
from uncork.schema.finding import Measurement
from uncork.schema.seeds import generator
from uncork.testing.probes import verdict

COLUMNS, VALIDATION = 12, 3000
Rule = Callable[[np.ndarray], np.ndarray]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(COLUMNS, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


RECIPE = Recipe(net, epochs=8, batch_size=64, lr=3e-3)


def measured(
    context_of: Callable[..., Context], rule: Rule, seed: int, train: int = 1200
) -> tuple[TrialData, Measurement, str]:
    """Rows of uniform columns, classes drawn with the log-odds that the rule gives."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(train + 2 * VALIDATION, COLUMNS)).astype(np.float32)
    y = (rule(x) + rng.logistic(size=len(x)) > 0).astype(int)
    parts = np.split(np.arange(len(x)), [train, train + VALIDATION])
    splits = dict(zip(("train", "validation", "test"), (Split(x[rows], y[rows]) for rows in parts), strict=True))
    subject = Subject(RECIPE.fit(splits["train"], seed=seed), recipe=RECIPE, **splits)
    context = dataclasses.replace(context_of(subject, seed=seed), training={"": Training(0.1)})
    trial = gather.gather(Trial(), context)
    artifacts: dict[str, Any] = {
        "validation": passes.gather(Pass("validation"), context),
        "trial": trial,
        "facts": context.facts,
    }
    found = measure(**artifacts, rng=generator(seed))
    assert isinstance(found, Measurement)
    assert {row[-1] for row in found.details[0].data["rows"]} == {4}  # of every family, and of the recipe
    return trial, found, verdict(measure, artifacts)


@pytest.mark.slow
def test_steps_among_irrelevant_columns_are_for_trees(context_of: Callable[..., Context]) -> None:
    """The gain over the net, and over the net tuned, is above 50 per 1,000, nine standard errors over δ."""
    trial, found, said = measured(context_of, lambda x: 6 * (((x[:, 0] > 0.5) ^ (x[:, 1] > -0.5)) - 0.5), 0)
    assert trial.winner in ("gbdt", "xgboost", "lightgbm")
    assert said == "bottleneck"
    assert found.headroom is not None
    for gained in (found.headroom, found.estimates["rival_over_tuned_model"]):
        assert gained.value > 50
        assert gained.low > 5


@pytest.mark.slow
def test_a_linear_model_ties_with_a_hundredth_of_the_numbers(context_of: Callable[..., Context]) -> None:
    """The net has learnt the line, too: it isn't accused, and the summary says how few numbers would do."""
    trial, found, said = measured(context_of, lambda x: 2 * x @ np.linspace(-1, 1, COLUMNS), 0, train=4000)
    assert (trial.winner, trial.numbers, trial.model_numbers) == ("linear", 13, 1538)
    assert "of 13 numbers where the model has 1,538" in found.summary
    assert said in ("clear", "undetermined")
    assert found.headroom is not None
    assert abs(found.headroom.value) < 5


@pytest.mark.slow
def test_where_the_net_is_right_it_is_not_accused(context_of: Callable[..., Context]) -> None:
    """A ridge across all columns: every rival errs on 50 of 1,000 rows more, at the least."""
    for seed in (2, 3):
        _, found, said = measured(context_of, lambda x: 4 * np.abs(x @ np.linspace(-1, 1, COLUMNS)) - 6, seed)
        assert said == "clear"
        assert found.headroom is not None
        assert found.headroom.high < -50
