"""What every part is made of: a case, its rows and recipe, the pool as an audit trains it, and the peers' models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork import Split, Subject
from uncork.gather._contract import Context, Training
from uncork.gather._members import STACK, Member, MemberData, train_members
from uncork.gather.pool import gather, work_of
from uncork.planted.data import DataSet
from uncork.planted.ground import Ground, lay
from uncork.run.admit import admit
from uncork.schema.errors import UncorkError
from uncork.schema.pool import Pool, PoolData


@dataclass(frozen=True)
class Case:
    """One file of results. `kind`, `rate`: the labels that are flipped. `late`: dear, so measured after all others."""

    part: str
    data: DataSet
    seed: int
    net: str = "mlp"
    kind: str = ""
    rate: float = 0.0
    late: bool = False

    @property
    def key(self) -> str:
        return "--".join(
            [self.data.name, self.net, *([self.kind, f"{self.rate:g}"] if self.kind else []), str(self.seed)]
        )


class BatchNormCNN(nn.Module):
    """Three convolutions with BatchNorm, pooled over the picture. `width` multiplies the channels."""

    def __init__(self, classes: int, width: float = 1.0, *, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for out in (max(1, round(width * c)) for c in (16, 32, 64)):
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = out
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(x))
        return logits


@cache
def loaded(load: Callable[[], tuple[np.ndarray, np.ndarray]], flat: bool) -> tuple[np.ndarray, np.ndarray]:
    x, y = load()
    return (x.reshape(len(x), -1) if flat else x), y


def cut(data: DataSet, *, flat: bool = False, **changes: Any) -> DataSet:
    """A data set with other sizes and no dropout. `flat`: pictures as rows, for an MLP."""
    kind = {"kind": "text"} if flat else {}
    settings = {"spare": 0, "test": 200, "dropout": 0.0, **kind, **changes}
    return replace(data, load=partial(loaded, data.load, flat), **settings)


def ground_of(case: Case) -> Ground:
    ground = lay(case.data, case.seed)
    if case.net == "batch-norm":
        build = partial(BatchNormCNN, case.data.classes, channels=ground.train[0].shape[1])
        return ground.replace(recipe=ground.recipe.replace(build=build))
    return ground


class Here:
    """A fan of one: jobs run in this process, one after the other."""

    workers = 1

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        return list(self.each(function, jobs))

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        for job in jobs:
            yield function(*job)


def context_of(case: Case, ground: Ground, y: np.ndarray | None = None, *, stacked: bool | None = None) -> Context:
    """The context of an audit of `ground`, with other labels of train. MLPs are stacked, convolutions are not."""
    train = Split(ground.train[0], ground.train[1] if y is None else y)
    subject = Subject(
        ground.recipe.make(),
        train=train,
        validation=Split(*ground.validation),
        test=Split(*ground.test),
        recipe=ground.recipe,
        metric="error",
    )
    context = admit(subject, describe_only=False, seed=case.seed, fan=Here()).context
    stack = STACK if (case.net == "mlp" if stacked is None else stacked) else 1
    return replace(context, training={"": Training(0.0, stack)})


def pool_of(context: Context, **counts: Any) -> PoolData:
    """What the audit's gatherer answers. Raises UncorkError where a model is missing."""
    data: PoolData = gather.gather(Pool(**counts), context)
    if lost := {name: why for name, why in data.left_out.items() if name != "balanced"}:
        raise UncorkError(f"not all of the pool was trained: {lost}")
    return data


def trained(context: Context, rows: Sequence[np.ndarray], *, family: int) -> list[MemberData]:
    """Models on other rows of train, by the same engine for as many steps each. `family`: tells their seeds apart."""
    work, stack = work_of(context), context.training[""].stack
    jobs = [(Member(family, k, 0), chosen) for k, chosen in enumerate(rows)]
    found = [
        data for start in range(0, len(jobs), stack) for _, data in train_members(work, jobs[start : start + stack])
    ]
    if failed := [data.failed for data in found if data.failed]:
        raise UncorkError(failed[0])
    return found
