"""Where the time of a training step goes: python -m benchmarks.waste writes docs/waste.md

A sleep that is planted in the reader of handwritten digits is looked for; the training steps of a small net on digits
and of ResNet-20 on CIFAR-10 are timed in several ways side by side, as the probe `wasted-compute` does; and each block
of a ResNet-20 that a third party trained is passed over, as `idle-parts` does. Real data: see UNCORK_SHARED in
examples/cifar10_resnet20.py. Some minutes. `--quick` prints a smaller run, without the second net.
"""

from __future__ import annotations

import argparse
import os
import runpy
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.derived.idle_parts import losses
from uncork.derived.speed import times_faster
from uncork.derived.training_step import best_batch, faster_than, stall, utilisation
from uncork.gather import idle_parts, training_step
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.idle_parts import IdleParts, IdlePartsData
from uncork.schema.training_step import HELD, LOADED, TrainingStep, TrainingStepData
from uncork.stats.quantiles import median

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "cifar10_resnet20.py"))  # and where the data are
SLEEPS = (0.0, 5e-4, 2e-3, 5e-3)  # seconds a row

PAGE = """# Where the time of a training step goes

Written by `python -m benchmarks.waste` on {device}, {threads} thread, torch {torch}. All ways of taking a step are
timed in the same rounds, in another order each round; 95 % intervals over stretches of rounds.

## A sleep that is planted in the reader

Reading {size} digits takes {size} times the sleep longer; how long each step slept was clocked in the reader, since a
sleep ends late on a busy machine. *Found*: time of a step as it is less that of one whose batch is held ready in the
same round, by order statistics over {rounds} rounds; the ratio is to what that step slept, less what reading takes
without a sleep.

| sleep a row | planted, ms a step | found, ms a step | found / planted | share of the step spent waiting |
|---|---|---|---|---|
{sleeps}

## Ways of taking a step

*Of the peak*: operations of forward and backward over wall time, over those of a product of square matrices of 1,024
rows, with the batch held ready. *Times faster*: rows a second over those of the step as it is.

{nets}
{idle}"""

NET = """### {name}

{flops:.3g} million operations a step; {used} of the peak; {waiting} of the step is spent reading and preparing rows.

| way | rows a step | rows a second | times faster |
|---|---|---|---|
{ways}

{missing}{batch}

| part | ms | share |
|---|---|---|
{parts}
"""

IDLE = """
## Blocks that are passed over

ResNet-20 of a third party on {rows:,} pictures of CIFAR-10: {error:.1f} errors per 1,000 as it is. All intervals hold
together.

| block | parameters | errors per 1,000 more without it | times faster without it |
|---|---|---|---|
{blocks}
"""


class Sleeping:
    """Rows that sleep as they are read, and write down for how long."""

    def __init__(self, x: np.ndarray, seconds: float) -> None:
        self.x, self.seconds, self.slept = x, seconds, list[float]()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> np.ndarray:
        start = time.perf_counter()
        if self.seconds:
            time.sleep(self.seconds)
        self.slept.append(time.perf_counter() - start)
        return self.x[i]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(EXAMPLE["shared"]("mnist.npz"), allow_pickle=False) as data:
        x, y = (data[name][:4000] for name in ("x_train", "y_train"))
    return (x.reshape(len(x), -1) / 255).astype(np.float32), y.astype(np.int64)


def timed(recipe: Recipe, x: Any, y: np.ndarray, prepare: Any = None, *, compiled: bool = False) -> TrainingStepData:
    """x: rows of train; the other splits only have to be there."""
    few = np.stack([np.asarray(x[i]) for i in range(200)])
    parts = {"validation": Split(few, y[:200]), "test": Split(few[:100], y[:100])}
    subject = Subject(recipe.make(), train=Split(x, y), recipe=recipe, preprocess=prepare, **parts)
    context = admit(subject, describe_only=False, seed=0, fan=Executor("loky", None)).context
    data: TrainingStepData = training_step.gather.gather(TrainingStep(compiled=compiled), context)
    return data


def asleep(rows: Sleeping, size: int) -> np.ndarray:
    """(rounds,) seconds slept by the step of each round; how many batches were read after them is known."""
    after = training_step.APART
    batches = np.array(rows.slept[-size * (training_step.ROUNDS + after) :]).reshape(-1, size)
    each: np.ndarray = batches[:-after].sum(axis=1)
    return each


def sleeps(size: int) -> str:
    x, y = digits()
    lines, reading = [], 0.0
    for seconds in SLEEPS:
        rows = Sleeping(x, seconds)
        data = timed(Recipe(mlp, epochs=1, batch_size=size), rows, y)
        waited = 1000 * (data.seconds[:, data.ways.index(LOADED)] - data.seconds[:, data.ways.index(HELD)])
        found, planted, ratio = median(waited, unit="ms"), 0.0, ""
        if seconds:
            slept = 1000 * asleep(rows, size)
            planted = float(np.median(slept))
            ratio = interval(median((waited - reading) / slept, unit="found / planted"))
        else:
            reading = float(found.value or 0.0)
        lines.append(
            f"| {1000 * seconds:g} ms | {planted:.3g} | {interval(found)} | {ratio} | {interval(stall(data))} |"
        )
    return "\n".join(lines)


def net(name: str, data: TrainingStepData) -> str:
    ways = []
    for at, way in enumerate(data.ways):
        per_second = data.rows[at] / np.median(data.seconds[:, at])
        faster = "" if way == LOADED else interval(faster_than(data, way, LOADED))
        ways.append(f"| {way} | {data.rows[at]} | {per_second:,.0f} | {faster} |")
    middle = np.median(data.part_seconds, axis=0)
    parts = [
        f"| {part} | {interval(median(1000 * data.part_seconds[:, at], unit='ms'))} | {middle[at] / middle.sum():.1%} |"
        for at, part in enumerate(data.parts)
    ]
    used, batch = utilisation(data), best_batch(data)
    why = "; ".join(f"{way}: {reason}" for way, reason in data.missing.items())
    assert used is not None
    assert batch is not None
    other = (
        f"Of other batches {batch[0]} was picked on half of the rounds: {interval(batch[1])} times as fast on the rest."
    )
    return NET.format(
        name=name,
        flops=data.flops / 1e6,
        used=interval(used),
        waiting=interval(stall(data)),
        ways="\n".join(ways),
        missing=f"Not measured: {why}. " if why else "",
        batch=other,
        parts="\n".join(parts),
    )


def blocks() -> str:
    given = EXAMPLE["subject"]()
    context = admit(given.replace(train=None), describe_only=False, seed=0, fan=Executor("loky", None)).context
    data: IdlePartsData = idle_parts.gather.gather(IdleParts(), context)
    lines = []
    for part in losses(data, given.metric):
        assert part.block is not None
        at = 1 + part.block
        faster = times_faster(data.seconds[:, 0], data.seconds[:, at])
        lines.append(f"| {part.name} | {data.parameters[at]:,} | {interval(part.loss)} | {interval(faster)} |")
    error = 1000 * float((data.outputs[0].argmax(axis=1) != data.y).mean())
    return IDLE.format(rows=len(data.y), error=error, blocks="\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    size = 16
    found = timed(Recipe(mlp, epochs=1, batch_size=64), *digits(), compiled=not quick)
    nets, idle = [net("A net 784–128–64–10 on digits, AdamW, batches of 64", found)], ""
    if not quick:
        with np.load(EXAMPLE["shared"]("cifar10.npz"), allow_pickle=False) as data:
            x, y = data["x_train"][:2000], data["y_train"][:2000].astype(np.int64)
        recipe = Recipe(EXAMPLE["ResNet20"], epochs=1, batch_size=16, optimizer="sgd", lr=0.1)
        nets.append(
            net("ResNet-20 on CIFAR-10, SGD, batches of 16", timed(recipe, x, y, EXAMPLE["preprocess"], compiled=True))
        )
        idle = blocks()
    text = PAGE.format(
        device=found.device,
        threads=found.threads,
        torch=torch.__version__,
        size=size,
        rounds=training_step.ROUNDS,
        sleeps=sleeps(size),
        nets="\n".join(nets),
        idle=idle,
    )
    if not quick:
        (ROOT / "docs" / "waste.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
