"""What every remedy is really worth in a planted case: each one applied, retrained over seeds, scored on test.

The auditors see none of this. Remedies with a choice (which learning rate) choose on validation with a seed of its
own; all are then trained with the seeds of the faulty models and compared with them, row by row, on test with its true
labels. A remedy whose first seed lies surely under a quarter of δ, given how seeds vary, is not trained with more.
"""

from __future__ import annotations

import dataclasses
import math
import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks.diagnosis.cases import SEEDS_APART, Truth, metric_of
from uncork import Metric, Split
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.planted.faults import Planted
from uncork.planted.ground import Ground
from uncork.schema.artifacts import PassData
from uncork.schema.errors import UncorkError
from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator
from uncork.stats.crossed import SeedVariance, gain_over_seeds, gains, moderate, seed_variance
from uncork.stats.score import gain, score
from uncork.train.rivals import fit_rival

#: Training seeds of the faulty models and of the repaired ones; of each remedy.
ORACLE_SEEDS, SEEDS = 5, 3
CHOOSING = 99
FAMILIES = ("linear", "knn", "gbdt")


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
    return ground.trained_on(x[rows], y[rows], ground.train_truth[rows])


def remedies(planted: Planted) -> dict[str, list[Ground]]:
    """For each finding the grounds to choose from in which its remedy was applied."""
    ground, recipe, sound = planted.faulty, planted.faulty.recipe, planted.repaired.recipe
    (x, y), (more_x, more_y) = ground.train, ground.spare

    def of(**changes: Any) -> Ground:
        return ground.replace(recipe=recipe.replace(**changes))

    whole = np.concatenate([x, more_x]), np.concatenate([y, more_y]), np.concatenate([ground.train_truth, more_y])
    found = {
        "mistuned-training": [of(lr=lr) for f in (1 / 8, 1, 8) if (lr := f * sound.lr) != recipe.lr],
        "undertraining": [of(epochs=4 * recipe.epochs)],
        "overfitting": [
            of(weight_decay=30 * sound.weight_decay),
            of(epochs=max(1, recipe.epochs // 3)),
            of(build=partial(recipe.build, dropout=0.5)),
        ],
        "missing-capacity": [of(build=partial(recipe.build, width=2.0))],
        "scarce-data": [ground.trained_on(*whole)],
    }
    if recipe.steps(len(y)) < sound.steps(len(planted.repaired.train[1])) / 4:
        found["undertraining"] = [of(epochs=sound.epochs)]
    if (ground.train_truth != y).any():
        found["wrong-labels"] = [ground.replace(train=(x, ground.train_truth))]
    if ground.data.classes and (balanced := rebalanced(ground)) is not None:
        found["rare-classes"] = [balanced]
    return found


def alike(one: Ground, other: Ground) -> bool:
    """Whether the same models come of both."""
    same_rows = all(np.array_equal(a, b) for a, b in zip(one.train, other.train, strict=True))
    return same_rows and one.recipe == other.recipe and one.finish is other.finish


class Bench:
    """One case's models, trained as they are asked for."""

    def __init__(self, planted: Planted, seed: int) -> None:
        self.planted, self.seed = planted, seed
        self.metric = metric_of(planted.faulty.data.classes)
        self.delta = self.metric.delta or 0.0
        self.before = self.models(planted.faulty, ORACLE_SEEDS)
        self.oracle: list[PassData] = []

    def model(self, ground: Ground, k: int) -> PassData:
        """Outputs on test of the model that the k-th training seed gives."""
        return outputs(ground, ground.fit(training_seed(self.seed, k)), "test")

    def models(self, ground: Ground, seeds: int) -> list[PassData]:
        return [self.model(ground, k) for k in range(seeds)]

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

    def remedied(self, options: list[Ground]) -> list[PassData]:
        """Outputs under each seed of the option chosen; under the first alone where that is surely futile."""
        ground = self.chosen(options)
        if self.oracle and alike(ground, self.planted.repaired):
            return self.oracle
        first = self.model(ground, 0)
        noise = math.sqrt(2) * float(np.std([score(self.metric, b).value or 0.0 for b in self.before], ddof=1))
        if (gain(self.metric, self.before[0], first).value or 0.0) + 2 * noise < self.delta / 4:
            return [first]
        return [first, *(self.model(ground, k) for k in range(1, SEEDS))]


def measure(planted: Planted, *, findings: tuple[str, ...], column: str, seed: int) -> Truth:
    """The truth of one case. Outside the quality column only the repair itself is measured."""
    started = time.perf_counter()
    bench = Bench(planted, seed)
    after: dict[str, list[PassData]] = {}
    if findings:
        after["oracle"] = bench.oracle = bench.models(planted.repaired, ORACLE_SEEDS)
    if column in ("quality", "healthy"):
        for finding, options in remedies(planted).items():
            try:
                after[finding] = bench.remedied(options)
            except UncorkError:  # diverged: no remedy
                continue
        after["wrong-family"] = [bench.rival()]
    estimates = {k: dataclasses.asdict(e) for k, e in gains_of(bench.metric, bench.before, after).items()}
    return Truth(
        column=column,
        findings=findings,
        metric=bench.metric.name,
        unit=bench.metric.unit,
        delta=bench.delta,
        before=dataclasses.asdict(score(bench.metric, bench.before[0])),
        oracle=estimates.pop("oracle", None),
        gains=estimates,
        seconds=time.perf_counter() - started,
    )


def gains_of(metric: Metric, before: list[PassData], after: dict[str, list[PassData]]) -> dict[str, Estimate]:
    """What each remedy gains, over rows and training seeds.

    Remedies are compared with the same faulty models, so that one's seed variance tells little new of another's: only
    where a remedy was given up after one seed is the others' taken for it, with one remedy's degrees of freedom.
    A rival family has no training seed of its own, and is compared with every faulty model.
    """
    spread = [
        own
        for models in after.values()
        if len(models) > 1 and (own := seed_variance(gains(metric, before[: len(models)], models))) is not None
    ]
    pooled = moderate([own.variance for own in spread], [own.df for own in spread])
    prior = None if pooled is None else SeedVariance(pooled.variance, min(own.df for own in spread))
    return {
        finding: gain_over_seeds(metric, before, models)
        if finding == "wrong-family"
        else gain_over_seeds(metric, before[: len(models)], models, prior=prior if len(models) == 1 else None)
        for finding, models in after.items()
    }
