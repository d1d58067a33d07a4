"""What an audit's parts cost beside the bare work: python benchmarks/speed.py

Ratios are measured in pairs within one run (A B A B …), so that a machine whose speed drifts moves both; printed are
the median ratio and its 95 % interval by order statistics. Aims: the Pass at most 1.1 times a bare inference loop of
the same batch size; the post-hoc probes at most a tenth of that loop for 10,000 × 10 logits; `import uncork` under
0.3 s and `uncork --help` under 0.5 s.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from uncork import Split
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.planted.nets import SmallCNN
from uncork.probes._contract import registered
from uncork.schema.seeds import generator
from uncork.stats.quantiles import median
from uncork.testing.artifacts import calibrated_pass, facts

ROWS, BATCH, PAIRS = 10_000, 256, 9
POST_HOC = ("miscalibration", "unguaranteed-errors", "rare-classes", "overfitting")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(name: str, ours: Callable[[], object], bare: Callable[[], object], aim: float) -> None:
    """Prints the median of ours/bare over pairs measured side by side."""
    ours(), bare()
    pairs = [(seconds(ours), seconds(bare)) for _ in range(PAIRS)]
    found = median(np.array([a / b for a, b in pairs]), unit="")
    alone = np.median(np.array(pairs), axis=0)
    print(
        f"{name:<50} {found.value:5.3f} ({found.low:.3f} to {found.high:.3f}), aim {aim}; "
        f"{alone[0]:.3f} s against {alone[1]:.3f} s"
    )


def bare_loop(net: nn.Module, x: torch.Tensor) -> None:
    with torch.inference_mode():
        for start in range(0, len(x), BATCH):
            net(x[start : start + BATCH])


def wide_cnn(channels: int) -> nn.Module:
    """Six convolutions at full width: about the work per picture of a ResNet-20."""
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [nn.Conv2d(1 if i == 0 else channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)).eval()


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 1, 28, 28)).astype(np.float32)
    y = rng.integers(10, size=ROWS)
    passed = calibrated_pass(ROWS, classes=10)
    probes = [registered()[name] for name in POST_HOC]
    given = {"validation": passed, "train": passed, "facts": facts(class_counts=(1000,) * 10)}

    def measure_all() -> None:
        for probe in probes:
            read = {name: given[name] for name in probe.requires}
            probe.measure(**read, rng=generator(0, probe.id))

    print(f"{ROWS} rows, batches of {BATCH}, {torch.get_num_threads()} threads, {PAIRS} pairs")
    for name, net, rows in (
        ("small CNN", SmallCNN(28, 10).eval(), ROWS),
        ("six wide convolutions", wide_cnn(32), ROWS // 5),
    ):
        loop = partial(bare_loop, net, torch.from_numpy(x[:rows]))
        ours = partial(forward, as_model(net, "classification"), Split(x[:rows], y[:rows]), batch_size=BATCH)
        ratio(f"Pass / bare loop, {name}, {rows} rows", ours, loop, 1.1)
    loop = partial(bare_loop, SmallCNN(28, 10).eval(), torch.from_numpy(x))
    ratio("post-hoc probes / bare loop, small CNN", measure_all, loop, 0.1)
    for name, command in (
        ("import uncork", [sys.executable, "-c", "import uncork"]),
        ("uncork --help", [sys.executable, "-m", "uncork.cli.app", "--help"]),
    ):
        runs = [seconds(partial(subprocess.run, command, check=True, capture_output=True)) for _ in range(PAIRS)]
        empty = [seconds(partial(subprocess.run, [sys.executable, "-c", ""], check=True)) for _ in range(PAIRS)]
        print(f"{name:<50} {np.median(runs):5.3f} s, python alone {np.median(empty):.3f} s")


if __name__ == "__main__":
    main()
