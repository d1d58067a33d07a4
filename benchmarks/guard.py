"""Does a guard keep its promise, and what does it cost? python -m benchmarks.guard writes docs/guard.md

ResNet-20 on CIFAR-10 at 99 % precision, 95 % sure: what it answers, and how often the promise is broken. CLINC150's
intents and the questions outside them, with and without a guard and a fallback. About four minutes on one core; needs
the shared data.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import runpy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.carve import halve
from uncork.data.split import Split
from uncork.derived.isotonic import fit_isotonic
from uncork.derived.temperature import best_temperature
from uncork.models.adapt import adapt, as_model
from uncork.models.base import Model, Output, logits_of
from uncork.models.isotonic import Isotonic
from uncork.models.temperature import Tempered
from uncork.remedies.guard import guarded, read
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.stats.binomial import clopper_pearson

DRAWS, ROWS = 500, 2_500
ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "cifar10_resnet20.py"))  # and where the data are

PAGE = """# What a guard promises, and whether it holds

Written by `python -m benchmarks.guard`. A guard answers where the confidence reaches a threshold, and hands the rest
over. The threshold is certified by Learn-then-Test on rows that fitted nothing else: with probability 95 % the answers
are right as often as asked. Figures in brackets are 95 % intervals (Clopper–Pearson).

## ResNet-20 on CIFAR-10, 99 % asked

Certified on one half of the 10,000 test pictures, counted on the other half, which nothing had touched.

{halves}

Is the promise kept? {draws:,} calibrations on {rows:,} rows drawn with replacement from the 10,000, each scored on all
of them, which are then the population. At most 5 % may fall short of 99 %. *Fitted first*: what was fitted on the very
rows that certify, before they did. One number does no harm; a map of as many steps as it likes has learnt those rows by
heart, and the certificate with it: give `guard` rows that an isotonic map has not seen.

{broken}

## CLINC150: intents, and questions outside them

15,000 rows of 150 intents train, 3,000 certify, 4,500 of test and 1,000 out-of-scope questions of test are counted.
The model: logistic regression on words; the fallback: the same on words, pairs of words and parts of words, which takes
{slower:.0f} times as long a row and is asked about what the model is not sure enough of.

{clinc}

Of 1,000 rows of test: right, wrong, handed over; of 1,000 out-of-scope questions: *nonsense*, those answered all the
same. A confidence threshold knows nothing of strangers: it stops those the model happens to be unsure of, and promises
nothing about the rest. `reject` is the remedy for them, with a rate of its own.
"""


class Kept:
    """A model whose logits are known: x holds each row's number."""

    task, has_inputs, accepts_nan, classes = "classification", True, False, None

    def __init__(self, logits: np.ndarray) -> None:
        self.logits, self.n_outputs = logits, logits.shape[1]

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return Output(self.logits[np.asarray(batch)[:, 0].astype(np.int64)])

    def fingerprint(self) -> str:
        return "kept"

    def describe(self) -> dict[str, Any]:
        return {}


def per_1000(hits: np.ndarray) -> str:
    """A share with its interval."""
    found = clopper_pearson(int(hits.sum()), len(hits)).scaled(1000, "per 1,000")
    return f"{found.value:.0f} ({found.low:.0f} to {found.high:.0f})"


def percent(hits: np.ndarray) -> str:
    found = clopper_pearson(int(hits.sum()), len(hits)).scaled(100, "%")
    return f"{found.value:.2f} % ({found.low:.2f} to {found.high:.2f})"


def row(name: str, model: Model, split: Split, strangers: Split | None = None) -> str:
    """A line of a table: precision of the answers, and what becomes of 1,000 rows."""
    logits, answered = read(model, split)
    right = logits.argmax(axis=1) == split.y
    cells = [percent(right[answered]), *map(per_1000, (answered & right, answered & ~right, ~answered))]
    if strangers is not None:
        cells.append(per_1000(read(model, strangers)[1]))
    return f"| {name} | {' | '.join(cells)} |"


def head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def pictures() -> tuple[Kept, Split]:
    """ResNet-20's logits on the test pictures of CIFAR-10."""
    subject = EXAMPLE["subject"]()
    logits = logits_of(adapt(subject, "classification"), subject.test)
    y = np.asarray(subject.test.y, np.int64)
    return Kept(logits), Split(np.arange(len(y))[:, None], y, ids=np.arange(len(y)))


def of_halves(model: Kept, split: Split) -> list[str]:
    lines = head("", "precision of the answers", "right", "wrong", "handed over")
    certifies, untouched = (split.subset(half) for half in halve(split, 0))
    lines.append(row("as it is", model, untouched))
    for asked in (0.99, 0.98, 0.95):
        guard = guarded(model, certifies, precision=asked)
        lines.append(row(f"guard, {100 * asked:g} % asked: confidence ≥ {guard.threshold:.4f}", guard, untouched))
    return lines


def broken(model: Kept, split: Split, fit: Callable[[Model, Split], Model], name: str) -> str:
    """How often the answers of the whole population are right less often than was certified on a draw of it."""
    rng, short, shares = generator(0, "guard", name), 0, []
    for _ in range(DRAWS):
        drawn = split.subset(rng.integers(len(split), size=ROWS))
        try:
            guard = guarded(fit(model, drawn), drawn, precision=0.99)
        except Unavailable:
            shares.append(0.0)
            continue
        logits, answered = read(guard, split)
        short += bool((logits.argmax(axis=1) == split.y)[answered].mean() < 0.99)
        shares.append(float(answered.mean()))
    low, middle, high = 100 * np.quantile(shares, (0.05, 0.5, 0.95))
    missed = percent(np.arange(DRAWS) < short)
    return f"| {name} | {missed} | {middle:.0f} % ({low:.0f} to {high:.0f}) |"


def cooled(model: Model, split: Split) -> Model:
    return Tempered(model, best_temperature(logits_of(model, split), split.y))


def mapped(model: Model, split: Split) -> Model:
    logits = logits_of(model, split)
    return Isotonic(model, fit_isotonic(logits, split.y, logits.shape[1]), len(split))


def questions() -> tuple[Model, Model, dict[str, Split]]:
    """(a model on words, one on parts of words too, splits of CLINC150 with labels by position)."""
    import pyarrow.parquet as pq
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    warnings.simplefilter("ignore", ConvergenceWarning)
    table = pq.read_table(EXAMPLE["shared"]("text_clinc150.parquet")).to_pydict()
    part, text, label = (np.array(table[name], dtype=object) for name in ("split", "text", "label"))
    names = sorted(set(label[part == "train"]))
    place = {name: k for k, name in enumerate(names)}
    splits = {
        name: Split(text[part == name].tolist(), np.array([place.get(one, 0) for one in label[part == name]]))
        for name in ("train", "val", "test", "oos_test")
    }
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=3, sublinear_tf=True)
    pairs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    texts, y = text[part == "train"].tolist(), splits["train"].y
    words = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=100)).fit(texts, y)
    more = make_pipeline(make_union(pairs, parts), LogisticRegression(C=30, max_iter=40)).fit(texts, y)
    return as_model(words, "classification"), as_model(more, "classification"), splits


def of_questions() -> tuple[list[str], float]:
    """(the table, how many times as long the fallback takes)."""
    import time

    model, fallback, splits = questions()
    seconds = []
    for one in (model, fallback):
        started = time.perf_counter()
        read(one, splits["test"])
        seconds.append(time.perf_counter() - started)
    lines = head("", "precision of the answers", "right", "wrong", "handed over", "nonsense")
    test, strangers = splits["test"], splits["oos_test"]
    lines.append(row("the model as it is", model, test, strangers))
    lines.append(row("the fallback as it is", fallback, test, strangers))
    for asked in (0.95, 0.98, 0.99):
        for name, second in (("guard", None), ("guard and fallback", fallback)):
            told = f"{name}, {100 * asked:g} % asked"
            try:
                lines.append(
                    row(told, guarded(model, splits["val"], precision=asked, fallback=second), test, strangers)
                )
            except Unavailable as why:
                lines.append(f"| {told} | none: {str(why).split('; ')[0]} | | | | |")
    return lines, seconds[1] / seconds[0]


def main() -> None:
    model, split = pictures()
    fitted = {"nothing": lambda model, split: model, "a temperature": cooled, "an isotonic map": mapped}
    short = head("fitted first", "calibrations that fall short", "answered: median, 5 to 95 % of calibrations")
    short += [broken(model, split, fit, name) for name, fit in fitted.items()]
    clinc, slower = of_questions()
    tables = {"halves": of_halves(model, split), "broken": short, "clinc": clinc}
    page = PAGE.format(draws=DRAWS, rows=ROWS, slower=slower, **{name: "\n".join(t) for name, t in tables.items()})
    (DOCS / "guard.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
