"""Members trained per second: stacked against one by one: python benchmarks/engines.py

Both engines have 2 loky workers of 1 thread each, train the same members and send nothing back. In the process engine
each worker trains its members with `fit`, one after another; in the stacked one as one stack of K. Ratios are measured
in pairs (process, stacked, process, stacked …), so that a machine whose speed drifts moves both; printed are the
median ratio and its range over the pairs, of wall time and of the workers' own processor time, which says more where
others use the machine. Aim: at least 3 for 64-64-10. `--threads` adds one stack of K in this process with 2 threads:
on a crowded machine its threads wait for one another, and it can be slower than the process engine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import nn

from uncork import Recipe, Split
from uncork.planted.nets import SmallCNN
from uncork.train.loop import fit
from uncork.train.stacked import Job, fit_stacked

ROWS, WORKERS, PAIRS = 4000, 2, 5
STACKS = (16, 32)


def dense(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# How a net is made, the shape of a row, and the steps: a second or so of the process engine.
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "64-64-10": (partial(dense, 64, 64, 10), (64,), 100),
    "196-64-10": (partial(dense, 196, 64, 10), (196,), 80),
    "784-128-64-10": (partial(dense, 784, 128, 64, 10), (784,), 25),
    "small CNN, 14 × 14": (partial(SmallCNN, 14, 10, 0.5), (1, 14, 14), 6),
}


def one_by_one(jobs: list[Job], train: Split) -> float:
    """Processor seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    for job in jobs:
        fit(job.recipe, train.subset(job.rows), seed=job.seed, steps=job.steps)
    return time.process_time() - start


def stacked(jobs: list[Job], train: Split, threads: int = 1) -> float:
    """Processor seconds."""
    torch.set_num_threads(threads)
    start = time.process_time()
    fit_stacked(jobs, train)
    return time.process_time() - start


def timed(work: Callable[[], list[float]]) -> tuple[float, float]:
    """Wall seconds, and processor seconds of all workers."""
    start = time.perf_counter()
    processor = sum(work())
    return time.perf_counter() - start, processor


def compare(
    title: str, members: int, pairs: int, one: Callable[[], list[float]], other: Callable[[], list[float]]
) -> None:
    one(), other()
    taken = np.array([(timed(one), timed(other)) for _ in range(pairs)])  # (pairs, engines, wall and processor)
    rates = members / np.median(taken[:, :, 0], axis=0)
    ratios = np.sort(taken[:, 0] / taken[:, 1], axis=0)
    wall, processor = (f"{np.median(r):.2f} ({r[0]:.2f} to {r[-1]:.2f})" for r in ratios.T)
    print(f"{title:<36} {rates[0]:>9.2f} {rates[1]:>9.2f}  {wall:<22} {processor}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    parser.add_argument("--threads", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"members per second; {ROWS // 2} rows each, batches of 128, AdamW, {given.pairs} pairs")
    print(f"{'':<36} {'processes':>9} {'stacked':>9}  {'ratio, wall':<22} ratio, processor")
    with Parallel(n_jobs=WORKERS, backend="loky") as pool:

        def in_workers(engine: Callable[..., float], jobs: list[Job], train: Split) -> list[float]:
            return list(pool(delayed(engine)(jobs[i::WORKERS], train) for i in range(WORKERS)))

        def in_threads(jobs: list[Job], train: Split) -> list[float]:
            return [stacked(jobs, train, threads=WORKERS)]

        for name in given.nets:
            build, shape, steps = NETS[name]
            train = Split(rng.normal(size=(ROWS, *shape)).astype(np.float32), rng.integers(10, size=ROWS))
            recipe = Recipe(build, epochs=1)
            jobs = [Job(rng.permutation(ROWS)[: ROWS // 2], i, steps, recipe) for i in range(WORKERS * max(STACKS))]
            for k in STACKS:
                these = jobs[: WORKERS * k]
                processes = partial(in_workers, one_by_one, these, train)
                compare(
                    f"{name}, K = {k}", len(these), given.pairs, processes, partial(in_workers, stacked, these, train)
                )
                if given.threads:
                    processes = partial(in_workers, one_by_one, these[:k], train)
                    compare(
                        f"{name}, K = {k}, threads", k, given.pairs, processes, partial(in_threads, these[:k], train)
                    )


if __name__ == "__main__":
    main()
