"""Does `uncork acquire` gain over random rows? python benchmarks/acquire.py writes docs/acquire.md

As `uncork acquire --strategy auto` tries it: from 15 % of train each strategy buys as many rows again, a net is trained
on both and judged on validation, in five repeats. On scikit-learn's digits, with their labels and with labels by
chance. About a minute on one core; `--quick` (the smallest train alone) prints the page instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.remedies._contract import one_by_one
from uncork.report.numbers import interval
from uncork.run.acquire import simulated, surely_best
from uncork.run.admit import admit

ROWS, STEPS = (200, 400, 800), 12_000  # of train; epochs times its rows
DOCS = Path(__file__).resolve().parents[1] / "docs"

PAGE = """# Which rows to label next?

Written by `python benchmarks/acquire.py`. From 15 % of train each strategy buys as many rows again; figures are what
that gains over as many random rows, in errors per 1,000 on validation, five repeats, 95 % over rows and repeats.
*Taken*: what `uncork acquire` ranks by, a strategy only where its lower bound, one-sided at 95 % and by Bonferroni over
the three, is above 0. Where labels are coin flips nothing can gain, and random rows should be taken.

| data | rows of train | margin | typical | badge | taken |
|---|---|---|---|---|---|
{lines}
"""


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def line(name: str, x: np.ndarray, y: np.ndarray, rows: int, steps: int = STEPS) -> str:
    """What each strategy gains from so many rows of train; half of the others are validation, half test."""
    order = np.random.default_rng(rows).permutation(len(y))
    parts = np.split(order, [rows, rows + (len(y) - rows) // 2])
    train, validation, test = (Split(x[part], y[part]) for part in parts)
    recipe = Recipe(net, epochs=max(1, steps // rows), batch_size=50, lr=1e-2)
    subject = Subject(net(), train=train, validation=validation, test=test, recipe=recipe)
    gains = simulated(admit(subject, describe_only=False, seed=0, fan=one_by_one).context)
    return f"| {name} | {rows} | {' | '.join(map(interval, gains.values()))} | {surely_best(gains)} |"


def page(sizes: Sequence[int]) -> str:
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    labels = {"digits": y, "digits, labels by chance": np.random.default_rng(1).integers(0, 10, len(y))}
    return PAGE.format(lines="\n".join(line(name, x, of, rows) for name, of in labels.items() for rows in sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest train alone; prints the page")
    quick = parser.parse_args().quick
    text = page(ROWS[:1] if quick else ROWS)
    if not quick:
        (DOCS / "acquire.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
