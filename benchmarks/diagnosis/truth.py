"""What every remedy is really worth in a planted case: each one applied, retrained over seeds, scored on test.

The auditors see none of this. Remedies with a choice (which learning rate) choose on validation with a seed of its
own; all are then trained with the seeds of the faulty models and compared with them, row by row, on test with its true
labels. A remedy whose first seed gains less than a quarter of δ is not trained with more: it is no right answer.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.diagnosis.cases import SEEDS_APART, Truth, metric_of
from uncork import Metric, Split
from uncork.gather.forward import forward
from uncork.gather.trial import fit_rival
from uncork.models.adapt import as_model
from uncork.planted.faults import Planted
from uncork.planted.ground import Ground
from uncork.schema.artifacts import PassData
from uncork.schema.errors import UncorkError
from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator
from uncork.stats.crossed import gain_over_seeds, gains, moderate, seed_variance
from uncork.stats.score import gain, score

SEEDS = 3
CHOOSING = 99
FAMILIES = ("linear", "knn", "gbdt")
#: Findings whose remedies are tried in every case.
MENU = (
    "wrong-labels",
    "mistuned-training",
    "undertraining",
    "overfitting",
    "missing-capacity",
    "wrong-family",
    "rare-classes",
    "scarce-data",
)


def training_seed(case_seed: int, k: int) -> int:
    return SEEDS_APART * case_seed + k


def outputs(ground: Ground, model: Any, split: str) -> PassData:
    """A model's outputs on test with its true labels, or on validation with the labels given."""
    x, y = getattr(ground, split)
    task = "classification" if ground.data.classes else "regression"
    labels = ground.test_truth if split == "test" else y
    return forward(as_model(model, task), Split(x, labels), name=split)


def rebalanced(ground: Ground) -> Ground | None:
    """Rows of rarer classes are repeated until all classes are as frequent; None where they nearly are."""
    x, y = ground.train
    size = np.bincount(y, minlength=ground.data.classes)
    if size.max() <= 1.5 * size[size > 0].min():
        return None
    rng = generator(ground.seed, "rebalanced")
    rows = np.concatenate(
        [np.arange(len(y))] + [rng.choice(np.flatnonzero(y == k), size.max() - n) for k, n in enumerate(size) if n]
    )
    return ground.replace(train=(x[rows], y[rows]), train_truth=ground.train_truth[rows])


def remedies(planted: Planted) -> dict[str, list[Ground]]:
    """For each finding the grounds to choose from in which its remedy was applied."""
    ground, healthy = planted.faulty, planted.repaired
    recipe, sound = ground.recipe, healthy.recipe
    x, y = ground.train
    with_spare = (np.concatenate([x, ground.spare[0]]), np.concatenate([y, ground.spare[1]]))

    def of(**changes: Any) -> Ground:
        return ground.replace(recipe=recipe.replace(**changes))

    found = {
        "mistuned-training": [of(lr=lr) for f in (1 / 8, 1, 8) if (lr := f * sound.lr) != recipe.lr],
        "undertraining": [of(epochs=max(4 * recipe.epochs, sound.epochs))],
        "overfitting": [
            of(weight_decay=30 * sound.weight_decay),
            of(epochs=max(1, recipe.epochs // 3)),
            of(build=partial(recipe.build, dropout=0.5)),
        ],
        "missing-capacity": [of(build=partial(recipe.build, width=2.0))],
        "scarce-data": [ground.replace(train=with_spare)],
    }
    if (ground.train_truth != y).any():
        found["wrong-labels"] = [ground.replace(train=(x, ground.train_truth))]
    if ground.data.classes and (balanced := rebalanced(ground)) is not None:
        found["rare-classes"] = [balanced]
    return found


class Bench:
    """One case's models, trained as they are asked for."""

    def __init__(self, planted: Planted, seed: int) -> None:
        self.planted, self.seed = planted, seed
        self.metric = metric_of(planted.faulty.data.classes)
        self.before = list(self.models(planted.faulty))

    def models(self, ground: Ground) -> Iterator[PassData]:
        """Outputs on test of one model after the other, each with a seed of its own."""
        for k in range(SEEDS):
            yield outputs(ground, ground.fit(training_seed(self.seed, k)), "test")

    def chosen(self, options: list[Ground]) -> Ground:
        """The best on validation, with a seed of its own; one that diverges is the worst."""
        if len(options) == 1:
            return options[0]

        def badness(ground: Ground) -> float:
            try:
                passed = outputs(ground, ground.fit(training_seed(self.seed, CHOOSING)), "validation")
            except UncorkError:
                return math.inf
            return score(self.metric, passed).value or 0.0

        return min(options, key=badness)

    def rival(self) -> PassData:
        """The family that is best on validation, fitted on train, on test."""
        ground = self.planted.faulty
        (x, y), cut = ground.train, len(ground.validation[1])
        fresh = np.concatenate([ground.validation[0], ground.test[0]])
        task, of = ("classification", PassData.of_logits) if ground.data.classes else ("regression", PassData.of_values)
        flat = [a.reshape(len(a), -1) for a in (x, fresh)]
        fitted = [fit_rival(f, flat[0], y, flat[1], task, ground.data.classes, self.seed)[0] for f in FAMILIES]
        badness = [score(self.metric, of(found[:cut], ground.validation[1])).value or 0.0 for found in fitted]
        return of(fitted[int(np.argmin(badness))][cut:], ground.test_truth)

    def promising(self, models: Iterator[PassData]) -> list[PassData]:
        """Outputs under each seed; under the first alone where that gains next to nothing."""
        first = next(models)
        found = gain(self.metric, self.before[0], first).value or 0.0
        return [first] if found < (self.metric.delta or 0.0) / 4 else [first, *models]


def measure(planted: Planted, *, findings: tuple[str, ...], column: str, seed: int) -> Truth:
    """The truth of one case. Outside the quality column only the repair itself is measured."""
    started = time.perf_counter()
    bench = Bench(planted, seed)
    after: dict[str, list[PassData]] = {}
    if findings:
        after["oracle"] = list(bench.models(planted.repaired))
    if column in ("quality", "healthy"):
        for finding, options in remedies(planted).items():
            try:
                after[finding] = bench.promising(bench.models(bench.chosen(options)))
            except UncorkError:  # diverged: no remedy
                continue
        after["wrong-family"] = [bench.rival()] * SEEDS
    estimates = {k: dataclasses.asdict(e) for k, e in together(bench.metric, bench.before, after).items()}
    oracle = estimates.pop("oracle", None)
    if oracle is not None and len(findings) == 1:
        estimates[findings[0]] = oracle
    return Truth(
        column=column,
        findings=findings,
        metric=bench.metric.name,
        unit=bench.metric.unit,
        delta=bench.metric.delta or 0.0,
        before=dataclasses.asdict(score(bench.metric, bench.before[0])),
        oracle=oracle,
        gains=estimates,
        seconds=time.perf_counter() - started,
    )


def together(metric: Metric, before: list[PassData], after: dict[str, list[PassData]]) -> dict[str, Estimate]:
    """Each remedy's gain over rows and seeds; its variance over seeds is moderated by that of the other remedies."""

    spread = {}
    for finding, models in after.items():
        own = seed_variance(gains(metric, before[: len(models)], models))
        if own is not None:
            spread[finding] = own
    found = {}
    for finding, models in after.items():
        others = [own for other, own in spread.items() if other != finding]
        prior = moderate([own.variance for own in others], [own.df for own in others])
        found[finding] = gain_over_seeds(metric, before[: len(models)], models, prior=prior)
    return found
