"""What pruning costs and saves: python -m benchmarks.pruning writes docs/pruning.md

ResNet-20 on CIFAR-10, pruned by three importances and taken apart into layers of low rank, all trained on for as many
steps; and on MNIST a pruned net beside a narrow one from scratch and a distilled one, all of the same sizes. Data and
weights are looked for where `examples/cifar10_resnet20.py` says; about twelve minutes of CPU. `--quick` prints a
smaller run instead of writing the page.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from uncork import Metric, Recipe, Split
from uncork.derived.gains import gain_of
from uncork.derived.speed import times_faster
from uncork.models.adapt import as_model
from uncork.models.clock import side_by_side
from uncork.remedies._smaller import Setting, answers, leave_gradients, recalibrated, tuned_on
from uncork.report.numbers import interval
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate
from uncork.stats.score import score
from uncork.train.distil import distilled, taught
from uncork.train.low_rank import low_rank, ranks_of
from uncork.train.pruning import IMPORTANCES, pruned

ROOT = Path(__file__).resolve().parents[1]
ERROR = Metric("error")

PAGE = """# What pruning costs and saves

Written by `python -m benchmarks.pruning`, on one thread of {machine}.

## ResNet-20 on CIFAR-10

A checkpoint of 270 thousand parameters, pruned by this share of the channels of each layer that can be: the first of
each block's two, since shortcuts that pad channels tie the rest. Channels go by the L2 norm of their weights, by
Taylor's importance on 512 rows of train, or at random. *Low rank*: every layer in two that keep 80 % of its squared
singular values, where that takes fewer operations. All, the whole net too, are then trained on for {steps} steps of 64
rows of train (SGD, learning rate .01, cosine, no augmentation), one seed, and judged on {judged:,} test rows: errors
per 1,000, and those lost against the whole net with the same further steps, paired by row, 95 % intervals over rows. As
it was given the net makes {given}. Times side by side, eager torch; intervals over ten stretches of rounds.

| net | parameters | errors per 1,000 | lost | lost before training on | times faster, batch 1 | batch 64 |
|---|---|---|---|---|---|---|
{resnet}

## Narrow, prune or distil

A convolutional net on {rows:,} rows of MNIST, judged on {mnist_judged:,} test rows, {seeds} seeds. The three small
nets have the same layers, a quarter of the channels in each: *prune* takes the others out of the trained net by
magnitude and trains on for a fifth of the recipe's steps; *narrow* trains a fresh one by the recipe; *distil* trains a
fresh one for as many steps on the answers and features of the trained net. Lost against the trained net with the same
further steps as *prune*; intervals over rows and seeds.

| net | steps | parameters | errors per 1,000 | lost | times faster, batch 1 | batch 64 |
|---|---|---|---|---|---|---|
{mnist}

{said}
"""


def example() -> Any:
    """The module of examples/cifar10_resnet20.py."""
    spec = importlib.util.spec_from_file_location("cifar10_resnet20", ROOT / "examples" / "cifar10_resnet20.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faster(nets: Sequence[nn.Module], batch: torch.Tensor, rounds: int) -> list[Estimate]:
    """Of each net against the first, on the same batch."""

    def work(net: nn.Module) -> Callable[[], Any]:
        return torch.inference_mode()(lambda: net.eval()(batch))

    seconds = side_by_side([work(net) for net in nets], rounds)
    return [times_faster(seconds[:, 0], each) for each in seconds.T]


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def figures(errors: Estimate, lost: Estimate) -> str:
    return f"{errors.value:.1f} | {interval(lost)}"


def resnet(steps: int, judged: int, rounds: int, ratios: Sequence[float]) -> dict[str, Any]:
    from uncork import load_weights

    example_of = example()
    net = load_weights(example_of.ResNet20(), example_of.shared("weights/resnet20-12fca82f.th")).eval()
    with np.load(example_of.shared("cifar10.npz"), allow_pickle=False) as data:
        train, test = (Split(data[f"x_{name}"], data[f"y_{name}"]) for name in ("train", "test"))
    test = test.subset(np.arange(judged))
    recipe = Recipe(example_of.ResNet20, epochs=1, batch_size=64, lr=0.01, optimizer="sgd", weight_decay=1e-4)
    setting = Setting("classification", example_of.preprocess, recipe, steps, 0)
    few = example_of.preprocess(torch.from_numpy(train.take(np.arange(64))))

    made: dict[str, nn.Module] = {"whole": net}
    gradients = partial(leave_gradients, train=train, setting=setting)
    for ratio in ratios:
        for importance in IMPORTANCES:
            small = pruned(net, few[:4], ratio, importance=importance, gradients=gradients)
            made[f"{importance}, {ratio:.0%}"] = recalibrated(small, train, setting)
    made["low rank, 80 %"] = recalibrated(low_rank(net, ranks_of(net, 0.8)), train, setting)

    def judge(module: nn.Module) -> PassData:
        return PassData.of_logits(answers(module, test, setting), test.y)

    before = {name: judge(module) for name, module in made.items()}
    after = {name: judge(tuned_on(module, train, setting, 0)) for name, module in made.items()}
    timed = ["whole", *[f"magnitude, {ratio:.0%}" for ratio in ratios], "low rank, 80 %"]
    ones, many = (faster([made[name] for name in timed], few[:n], rounds) for n in (1, 64))
    speeds = {name: f"{interval(one)} | {interval(more)}" for name, one, more in zip(timed, ones, many, strict=True)}
    speeds["whole"] = "1 | 1"
    lines = []
    for name, module in made.items():
        errors = score(ERROR, after[name])
        whole = name == "whole"
        lost, at_once = (gain_of(ERROR, [side[name]], [after["whole"]]) for side in (after, before))
        like = name if name in speeds else f"magnitude, {name.split(', ')[1]}"
        lines.append(
            f"| {name} | {size(module):,} | {errors.value:.1f} | {'' if whole else interval(lost)} | "
            f"{interval(at_once)} | {speeds[like] if name == like else 'as above | as above'} |"
        )
    return {
        "steps": steps,
        "judged": judged,
        "given": interval(score(ERROR, before["whole"])),
        "resnet": "\n".join(lines),
    }


def build(width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(98 * width, 4 * width),
        nn.ReLU(),
        nn.Linear(4 * width, 10),
    )


def scaled(batch: torch.Tensor) -> torch.Tensor:
    return batch.reshape(-1, 1, 28, 28).float() / 255


def mnist(rows: int, judged: int, seeds: int, rounds: int) -> dict[str, Any]:
    with np.load(example().shared("mnist.npz"), allow_pickle=False) as data:
        train, test = Split(data["x_train"][:rows], data["y_train"][:rows]), Split(data["x_test"], data["y_test"])
    test = test.subset(np.arange(judged))
    recipe = Recipe(build, epochs=6, batch_size=64, lr=2e-3)
    small = recipe.replace(build=partial(build, 4))
    passes: dict[str, list[PassData]] = {name: [] for name in ("whole", "prune", "narrow", "distil")}
    nets: Mapping[str, nn.Module] = {}
    steps = recipe.steps(rows)
    for seed in range(seeds):
        setting = Setting("classification", scaled, recipe, steps // 5, seed)
        net = recipe.fit(train, seed=seed, preprocess=scaled)
        few = scaled(torch.from_numpy(train.take(np.arange(4))))
        cut = recalibrated(pruned(net, few, 0.75), train, setting)
        teacher = taught(as_model(net, "classification", preprocess=scaled), train)
        nets = {
            "whole": tuned_on(net, train, setting, seed),
            "prune": tuned_on(cut, train, setting, seed),
            "narrow": small.fit(train, seed=seed, preprocess=scaled),
            "distil": distilled(small.build, train, teacher, small, seed=seed, preprocess=scaled),
        }
        for name, each in nets.items():
            passes[name].append(PassData.of_logits(answers(each, test, setting), test.y))
    batch = scaled(torch.from_numpy(test.take(np.arange(64))))
    ones, many = (faster(list(nets.values()), batch[:n], rounds) for n in (1, 64))
    taken = {"whole": f"{steps} + {steps // 5}", "prune": f"{steps} + {steps // 5}", "narrow": f"{steps}"}
    taken["distil"] = f"{steps} + {steps}"
    lines = []
    for (name, net), one, more in zip(nets.items(), ones, many, strict=True):
        errors = np.mean([score(ERROR, passed).value for passed in passes[name]])
        lost = "" if name == "whole" else interval(gain_of(ERROR, passes[name], passes["whole"]))
        speed = "1 | 1" if name == "whole" else f"{interval(one)} | {interval(more)}"
        lines.append(f"| {name} | {taken[name]} | {size(net):,} | {errors:.1f} | {lost} | {speed} |")
    compared = {
        "pruned rather than narrow": ("narrow", "prune"),
        "pruned rather than distilled": ("distil", "prune"),
        "distilled rather than narrow": ("narrow", "distil"),
    }
    gains = {what: interval(gain_of(ERROR, passes[a], passes[b])) for what, (a, b) in compared.items()}
    said = "\n".join(f"* {what}: {gain}" for what, gain in gains.items())
    return {
        "rows": rows,
        "mnist_judged": judged,
        "seeds": seeds,
        "mnist": "\n".join(lines),
        "said": f"Gained, side by side, in errors per 1,000:\n\n{said}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    found = resnet(2, 200, 20, (0.5,)) if quick else resnet(300, 3000, 30, (0.25, 0.5, 0.75))
    found |= mnist(500, 500, 2, 20) if quick else mnist(4000, 5000, 3, 60)
    text = PAGE.format(**found, machine="an x86 machine that others shared")
    if not quick:
        (ROOT / "docs" / "pruning.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
