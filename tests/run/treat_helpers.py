"""Treatments without training: models that look their answers up, and work that is done in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uncork import Split, Subject
from uncork.gather.store import Store
from uncork.models.base import Output
from uncork.probes._contract import registered
from uncork.remedies._contract import Treated
from uncork.run.admit import admit
from uncork.run.bench import Bench
from uncork.run.examine import Examined
from uncork.run.rank import unmeasured
from uncork.schema.contract import Remedy
from uncork.schema.finding import Finding

VALIDATION, TEST, TRAIN = 400, 400, 60
ALL = VALIDATION + TEST + TRAIN
PARTS = np.split(np.arange(ALL), [VALIDATION, VALIDATION + TEST])


class Here:
    """Does in this process what an Executor does in others, and keeps what it was given."""

    workers = 2

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, ...]] = []

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        return list(self.each(function, jobs))

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        for job in jobs:
            self.jobs.append(job)
            yield function(*job)


class Table:
    """A model whose logits are known: x holds each row's number."""

    task, has_inputs, accepts_nan, classes, n_outputs = "classification", True, False, None, 2

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = np.asarray(logits, np.float32)

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return Output(self.logits[np.asarray(batch)[:, 0].astype(np.int64)])

    def fingerprint(self) -> str:
        return hashlib.blake2b(self.logits.tobytes(), digest_size=8).hexdigest()

    def describe(self) -> dict[str, Any]:
        return {"kind": "table", "parameters": None, "bytes": None, "feature_layer": None, "features": "", "note": ""}


def answering(y: np.ndarray, margin: np.ndarray) -> Table:
    """The model that is right where `margin` (the label's logit less the other's) is above 0."""
    logits = np.zeros((len(y), 2))
    logits[np.arange(len(y)), y] = margin
    return Table(logits)


class World:
    """Rows as hard for all models as they are, and trainings that vary about that: margin = ease_i − s_s − e_si.

    Of models with no effect of the `seed` itself all are equally good on the population of rows.
    """

    def __init__(self, seed: int, *, by_seed: float, residual: float = 0.4) -> None:
        rng = np.random.default_rng([seed, 1])
        self.seed, self.by_seed, self.residual = seed, by_seed, residual
        self.y, self.ease = rng.integers(2, size=ALL), rng.normal(0.9, 1.0, ALL)

    def model(self, *key: int, better: float = 0.0) -> Table:
        rng = np.random.default_rng([self.seed, *key])
        drawn = self.by_seed * rng.normal() + self.residual * rng.normal(size=ALL)
        return answering(self.y, self.ease + better - drawn)

    def subject(self, model: Table, **changes: Any) -> Subject:
        # Rows of their own in each world, so that each has a test split of its own.
        x = np.c_[np.arange(ALL), np.full(ALL, self.seed)].astype(np.float32)
        splits = {n: Split(x[at], self.y[at]) for n, at in zip(("validation", "test", "train"), PARTS, strict=True)}
        return Subject(model, **{**splits, "name": "world", **changes})


@dataclass
class Draws:
    """Trains: another model of the world for each seed. `side`: what tells independent trainings apart."""

    world: World
    side: int
    better: float = 0.0

    def __call__(self, subject: Subject, seed: int) -> Table:
        return self.world.model(self.side, seed, better=self.better)


def trains(train: Callable[..., Any], beside: Callable[..., Any], **changes: Any) -> Remedy:
    """A remedy whose models, and whose control's `beside` them, are made by these (subject, seed) → model."""
    settled: dict[str, Any] = {
        "id": "drop-examples",
        "title": "a planted remedy",
        "safety": "checked",
        "yardstick": "metric",
        "fits_on_validation": False,
        "apply": lambda case: Treated(case.subject, "planted", train, compute=1.0),
        "control": lambda case, treated: Treated(case.subject, "as it is", beside, compute=1.0),
        "price": lambda subject, seeds: 2.0 * seeds,
        "doc": "",
    }
    return Remedy(**{**settled, **changes})


def bench_of(subject: Subject, folder: Path, delta: float = 5.0) -> Bench:
    """The subject on the bench, as `treat` puts it there."""
    context = admit(subject, describe_only=False, seed=0, fan=Here()).context
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder, "")
    return Bench(context, Examined(context, (), store), store, delta, {})


def a_finding(id: str = "miscalibration") -> Finding:
    probe = registered()[id]
    return replace(unmeasured(probe, "undetermined", ""), remedies=probe.remedies)
