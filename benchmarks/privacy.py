"""What does differential privacy hide, and what does it cost? python benchmarks/privacy.py writes docs/privacy.md

On scikit-learn's digits: nets trained by a recipe, and by the same recipe with DP-SGD at several budgets. The attack is
the audit's own (`membership-leakage`: sixteen models of half of train). About two minutes on one core; `--quick` (one
budget) prints the page instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import gatherers
from uncork.models.adapt import as_model
from uncork.probes.membership_leakage import FEWEST, measure
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Estimate, Measurement
from uncork.schema.metric import Metric
from uncork.schema.pool import Pool
from uncork.schema.seeds import generator
from uncork.stats.crossed import gain_of_recipes
from uncork.stats.score import score
from uncork.train.loop import fit_any
from uncork.train.private import ACCOUNTANT, Private

BUDGETS = (32.0, 8.0, 2.0, 0.5)
TRAIN, WRONG, SEEDS = 1200, 0.1, 5
DOCS = Path(__file__).resolve().parents[1] / "docs"
ERROR = Metric("error")

PAGE = """# What differential privacy hides, and what it costs

Written by `python benchmarks/privacy.py`. A net (64 → 128 → 10) on {train:,} rows of scikit-learn's digits, {wrong:.0%}
of their labels turned, {epochs} epochs: it learns them by heart. *ε*: what the {accountant} accountant counts for a
model of all of train, at δ = {delta:.2g}, for one row more or less; noise multiplier beside it, sampling rate
{rate:.3g}, {steps} steps, gradients clipped at {clip:g}. *TPR, AUC*: the audit's attack (online LiRA, sixteen models of
half of train, each of them the target in turn; 95 %, over rows and targets): members found at 1 % false alarms, chance
.01, and AUC, chance .5. *At most*: what no attack on any (ε, δ) model
exceeds at that rate (Kairouz, Oh & Viswanath, ICML 2015). *Errors*: of models of
all of train on {test} rows, per 1,000, {seeds} seeds; *paid*: more than without privacy, 95 % over rows and seeds.

| ε | noise | TPR at 1 % | at most | AUC | errors | paid |
|---|---|---|---|---|---|---|
{lines}

The attack finds far less than a budget allows: the budget is a promise about the worst row and any attacker.

An interval of the TPR that ends below .01 is chance: where members and others are alike, as with so little budget, 1 to
4 % of the intervals do (simulated). At ε = .5, gathered anew from 20 seeds, the mean is .0093 ± .0003, and 19 of the 20
intervals hold .01.
"""


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


RECIPE = Recipe(net, epochs=25, batch_size=100, lr=1e-2)


def subject(recipe: Recipe | Private) -> Subject:
    """Labels of a tenth of train are another digit: there is something to be learnt by heart."""
    x, y = load_digits(return_X_y=True)
    rng = generator(0, "privacy")
    x, order = (x / 16).astype(np.float32), rng.permutation(len(y))
    x, y = x[order], y[order]
    turned = rng.permutation(TRAIN)[: round(WRONG * TRAIN)]
    y[turned] = (y[turned] + rng.integers(1, 10, len(turned))) % 10
    parts = np.split(np.arange(len(y)), [TRAIN, TRAIN + 100])
    train, validation, test = (Split(x[part], y[part]) for part in parts)
    return Subject(net(), train=train, validation=validation, test=test, recipe=recipe)


class Inline:
    """Trains in this process."""

    workers = 1

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [function(*job) for job in jobs]

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        return (function(*job) for job in jobs)


def leaked(recipe: Recipe | Private) -> dict[str, Estimate]:
    """The estimates of the audit's finding."""
    context = admit(subject(recipe), describe_only=False, seed=0, fan=Inline()).context
    pool = gatherers()[Pool].gather(Pool(halves=FEWEST), context)
    found = measure(pool=pool, facts=context.facts, rng=generator(0, "privacy"))
    assert isinstance(found, Measurement), found.reason
    return found.estimates


def trained(recipe: Recipe | Private) -> list[PassData]:
    """Models of all of train, on test."""
    given = subject(recipe)
    fitted = [fit_any(recipe, given.train, seed) for seed in range(SEEDS)]
    rows = given.test.take(np.arange(len(given.test)))
    return [PassData.of_logits(as_model(m, "classification").outputs(rows).logits, given.test.y) for m in fitted]


def most_found(epsilon: float, delta: float, fpr: float = 0.01) -> float:
    """The largest true positive rate of any attack on an (ε, δ) model: Kairouz, Oh & Viswanath, ICML 2015."""
    return min(1.0, np.exp(epsilon) * fpr + delta, 1 - np.exp(-epsilon) * (1 - delta - fpr))


def line(recipe: Recipe | Private, before: Sequence[PassData]) -> str:
    found, passes = leaked(recipe), trained(recipe)
    tpr, auc, errors = shown(found["tpr"]), shown(found["auc"]), np.mean([score(ERROR, p).value or 0.0 for p in passes])
    if not isinstance(recipe, Private):
        return f"| none | | {tpr} | 1 | {auc} | {errors:.1f} | |"
    spent = recipe.spent(TRAIN)
    at_most = most_found(spent.epsilon, spent.delta)
    paid = interval(gain_of_recipes(ERROR, passes, before))
    return f"| {spent.epsilon:.2f} | {spent.noise:.2f} | {tpr} | {at_most:.3f} | {auc} | {errors:.1f} | {paid} |"


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def page(budgets: Sequence[float]) -> str:
    before, stated = trained(RECIPE), Private(RECIPE).spent(TRAIN)
    recipes: list[Recipe | Private] = [RECIPE, *(Private(RECIPE, epsilon=epsilon) for epsilon in budgets)]
    return PAGE.format(
        train=TRAIN,
        wrong=WRONG,
        epochs=RECIPE.epochs,
        accountant=ACCOUNTANT,
        delta=stated.delta,
        rate=stated.rate,
        steps=stated.steps,
        clip=stated.clip,
        test=len(before[0]),
        seeds=SEEDS,
        lines="\n".join(line(recipe, before) for recipe in recipes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one budget; prints the page")
    quick = parser.parse_args().quick
    text = page((8.0,) if quick else BUDGETS)
    if not quick:
        (DOCS / "privacy.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
