"""Does `uncork diff` tell a better model, or a better recipe, from luck? python benchmarks/diff.py writes docs/diff.md

Pairs of models that are equally good, and of recipes that are the same but for their seeds: how often one is called
better all the same. Simulated, and nets trained on scikit-learn's digits. About three minutes on one core; `--quick`
(a tenth of the draws) prints the page instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from uncork.run.diff import verdict
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.crossed import gain_of_recipes
from uncork.stats.score import mean_gain

ERROR, LOG_LOSS = Metric("error"), Metric("log-loss")
ROWS, RATES, SEEDS = (100, 500, 2_000), (0.02, 0.1, 0.3), (2, 3, 5)
SEED_SD = 0.01  # of the error of a training, where seeds matter
GAIN = 0.03  # planted, where there is one
DRAWS, NETS, QUICK = 2_000, 900, 10
DOCS = Path(__file__).resolve().parents[1] / "docs"

PAGE = """# Is B really better than A?

Written by `python benchmarks/diff.py`. `uncork diff` says "better" or "worse" of B where the 95 % interval of what B
gains leaves out 0. Here nothing is to be found unless a gain is named: every such verdict is false, and 5 % of them may
be. Behind each figure: draws, and ± its binomial standard error.

## Two models, equally good

Both are wrong on a row with the row's own probability, independently; {draws:,} draws. *McNemar*: the exact test of the
discordant rows, which is conservative. *Agree*: share of draws in which the two say the same.

{models}

## Two recipes, the same but for the seeds

Each training is wrong on a row with the row's own probability and its own luck (s.d. {sd:g} per 1,000, or none), on
the same rows for both recipes; {draws:,} draws. *These very models*: one training of each, rows alone. That one of two
such models is better is often true, by luck; it is false of the recipes. *The two ways of training*: so many seeds of
each, rows × seeds. *Finds {gain:g}*: how often, where B makes {gain:g} errors per 1,000 fewer.

{recipes}

## Nets on digits, the same but for the seeds

{nets} nets of 16 hidden units, 600 rows to train on, 1,197 to be judged on. Comparisons share no net.

{trained}

Two seeds of each side are enough for an interval, but a wide one. A recipe that makes {gain:g} errors per 1,000 fewer
was found, from the worst line above to the best, in {found}.
"""


class Rate(NamedTuple):
    """How often something happened."""

    hits: int
    draws: int

    def __str__(self) -> str:
        share = self.hits / self.draws
        return f"{100 * share:.1f} % ± {100 * (share * (1 - share) / self.draws) ** 0.5:.1f}"


def rate(verdicts: Iterable[bool]) -> Rate:
    found = list(verdicts)
    return Rate(sum(found), len(found))


def decided(wrong: np.ndarray) -> PassData:
    """A pass of class 0 that is wrong where asked."""
    return PassData.of_logits(
        np.stack([np.zeros(len(wrong)), np.where(wrong, 1.0, -1.0)], axis=1), np.zeros(len(wrong), int)
    )


def called(before: Sequence[PassData], after: Sequence[PassData], of: str, metric: Metric = ERROR) -> str:
    """The verdict of these models, or of the recipes they are trainings of."""
    gain = (gain_of_recipes if of == "recipes" else mean_gain)(metric, before, after)
    return verdict(gain)


def hardness(rng: np.random.Generator, n: int, mean: float) -> np.ndarray:
    """(n,) each row's probability of an error: few rows are hard, most easy."""
    return rng.beta(0.4 * mean, 0.4 * (1 - mean), n)


def mcnemar(before: PassData, after: PassData) -> float:
    """The exact two-sided p-value of the discordant rows."""
    wrong = before.predicted != before.y, after.predicted != after.y
    discordant = int((wrong[0] != wrong[1]).sum())
    return float(stats.binomtest(int((wrong[0] & ~wrong[1]).sum()), discordant).pvalue) if discordant else 1.0


def pairs(n: int, error: float, draws: int) -> Iterator[tuple[PassData, PassData]]:
    """Two models whose errors can be exchanged, on rows drawn anew each time."""
    rng = generator(0, "diff", "models", n, int(1000 * error))
    for _ in range(draws):
        wrong = rng.random((2, n)) < hardness(rng, n, error)
        yield decided(wrong[0]), decided(wrong[1])


def trainings(rng: np.random.Generator, hard: np.ndarray, seeds: int, sd: float, gain: float = 0.0) -> list[PassData]:
    """Models of one recipe, on the same rows."""
    luck = rng.normal(0, sd, (seeds, 1)) - gain
    return [decided(wrong) for wrong in rng.random((seeds, len(hard))) < hard + luck]


def of_models(draws: int) -> list[str]:
    lines = ["| rows | errors | called better or worse | McNemar | agree |", "|---|---|---|---|---|"]
    for n in ROWS:
        for error in RATES:
            found = [
                (called([a], [b], "models") != "can't tell", mcnemar(a, b) < 0.05) for a, b in pairs(n, error, draws)
            ]
            ours, theirs = (rate(column) for column in zip(*found, strict=True))
            agree = rate(x == y for x, y in found)
            lines.append(f"| {n:,} | {error:.0%} | {ours} | {theirs} | {agree} |")
    return lines


def luck(n: int, seeds: int, sd: float, draws: int) -> tuple[Rate, Rate, Rate]:
    """(models called, recipes called, recipes that are better found)."""
    rng = generator(0, "diff", "recipes", n, seeds, int(1e6 * sd))
    found = []
    for _ in range(draws):
        hard = 0.1 + 0.8 * hardness(rng, n, 0.1)
        a, b, better = (trainings(rng, hard, seeds, sd, gain) for gain in (0.0, 0.0, GAIN))
        of_one = called(a[:1], b[:1], "models") != "can't tell"
        found.append((of_one, called(a, b, "recipes") != "can't tell", called(a, better, "recipes") == "better"))
    models, recipes, power = (rate(column) for column in zip(*found, strict=True))
    return models, recipes, power


def of_recipes(draws: int) -> tuple[list[str], str]:
    """(the table, what so many seeds found)."""
    power: dict[int, list[float]] = {seeds: [] for seeds in SEEDS}
    head = ["rows", "luck", "seeds of each", "these very models", "the two ways of training", f"finds {1000 * GAIN:g}"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for n in ROWS[1:]:
        for sd in (0.0, SEED_SD):
            for seeds in SEEDS:
                rates = luck(n, seeds, sd, draws)
                power[seeds].append(100 * rates[2].hits / draws)
                lines.append(f"| {n:,} | {1000 * sd:g} | {seeds} | {' | '.join(map(str, rates))} |")
    return lines, found(power)


def found(power: Mapping[int, Sequence[float]]) -> str:
    """How often a better recipe was found, in per cent, by number of seeds."""
    return ", ".join(f"{min(of):.1f} to {max(of):.1f} % with {seeds} seeds of each" for seeds, of in power.items())


def nets(count: int) -> list[PassData]:
    """Nets that differ by their seed alone, judged on the rest of digits."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = load_digits(return_X_y=True)
    order = generator(0, "diff", "digits").permutation(len(y))
    train, rest = order[:600], order[600:]
    passes = []
    for seed in range(count):
        net = MLPClassifier((16,), batch_size=100, learning_rate_init=0.01, max_iter=15, random_state=seed)
        p = net.fit(x[train] / 16, y[train]).predict_proba(x[rest] / 16)
        passes.append(PassData.of_logits(np.log(np.clip(p, 1e-12, 1)), y[rest]))
    return passes


def same_nets(passes: Sequence[PassData], seeds: int, of: str, metric: Metric) -> Rate:
    """How often groups of nets that share none are called better or worse."""
    groups = [passes[i : i + seeds] for i in range(0, len(passes) - seeds + 1, seeds)]
    return rate(called(a, b, of, metric) != "can't tell" for a, b in zip(groups[::2], groups[1::2], strict=False))


def of_nets(count: int) -> list[str]:
    passes = nets(count)
    head = ["metric", "these very models", *(f"the two ways of training, {s} seeds each" for s in SEEDS)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for metric in (ERROR, LOG_LOSS):
        cells = [same_nets(passes, 1, "models", metric), *(same_nets(passes, s, "recipes", metric) for s in SEEDS)]
        lines.append(f"| {metric.name} | {' | '.join(f'{c} ({c.draws} pairs)' for c in cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws; prints the page")
    part = QUICK if parser.parse_args().quick else 1
    recipes, power = of_recipes(DRAWS // part)
    tables = {
        "models": of_models(DRAWS // part),
        "recipes": recipes,
        "trained": of_nets(NETS // part),
    }
    shown = {"draws": DRAWS // part, "nets": NETS // part, "sd": 1000 * SEED_SD, "gain": 1000 * GAIN, "found": power}
    page = PAGE.format(**shown, **{name: "\n".join(lines) for name, lines in tables.items()})
    if part == 1:
        (DOCS / "diff.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
