"""MiniLM that easy texts leave early, and a student of it: python -m benchmarks.early_exit writes docs/early_exit.md

Intents of CLINC150 by a linear head on MiniLM, as in examples/minilm_text.py; about 7 minutes of one core. `--quick`
prints a smaller run instead of writing the page.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from uncork import Split
from uncork.models.base import logits_of
from uncork.models.clock import side_by_side
from uncork.models.early_exit import Certificate, EarlyExit, Head, RandomExit
from uncork.models.torch_model import TorchModel
from uncork.remedies.distil import Distilled, Size
from uncork.report.numbers import interval
from uncork.schema.finding import Estimate
from uncork.stats.binomial import bonett_price, clopper_pearson
from uncork.stats.ratios import geometric_mean
from uncork.train.distil import taught
from uncork.train.early_exit import Told, certified, fit_heads, told
from uncork.train.encoders import fine_tune

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import minilm_text as example

ROOT = Path(__file__).resolve().parents[1]
LIMITS = (5, 10, 20)  # of 1,000 rows that may be harmed
CURVE = (0.95, 0.75, 0.5)
ALONE = (0, 1, 2)  # heads at which all rows leave
DEPTH, EPOCHS, RATE = 2, 3, 4e-4  # of the student; the rate was the better of two on rows of validation
BATCH, SINGLES = 32, 16  # texts of a round, in one batch and one by one
SEED = 0
WHOLE = "the whole net"

PAGE = """# Early exits and a student: MiniLM on CLINC150

Written by `python -m benchmarks.early_exit` with torch {torch} and Python {python}, one thread, {spent:.0f} s of the
processor. The net is all-MiniLM-L6-v2, six layers, with a linear head fitted on {train:,} questions of {classes}
intents; the encoder is as it was published. Errors are of {test:,} questions of test. All ways are timed side by side
in {rounds} rounds, each way once a round in another order, on {singles} questions one by one and on {batch} in one
batch, other questions every round, tokens and all; *times faster*: the geometric mean over rounds of the whole net's
seconds over the way's. Intervals are 95 %: exact of errors, over paired rows of what is lost (negative: gained), t over
rounds of times.

{table}

*Early exit, at most … harmed*: linear heads after the embeddings and after layers 1 to {last}, taught the net's own
probabilities on train; one threshold for all, the lowest at which with 95 % probability at most so many of 1,000 rows
are answered wrongly by a head and rightly by the whole net, certified on {fitted:,} rows of validation, as
`treat --remedies early-exit` does. *Threshold*: not certified, the curve. *At random*: as many rows leave at each head
as at {middle} per 1,000, whichever they are: what it is worth to choose the sure ones. *All after*: every row leaves
there. *Student*: the first {depth} layers, begun from the net's own with a head fitted on them, and all trained on for
{epochs} epochs of AdamW at {rate:g}, by the net's answers and features beside the labels, or for as many steps by the
labels alone. Operations are those of matrix products, counted.

Where rows of test leave, and how many are harmed:

{exits}

Limits, thresholds and settings were set before test was looked at.
"""


@dataclass(frozen=True)
class Way:
    """A way to answer: its model, what it answers (n,), where rows leave (n,), and its share of the operations."""

    model: Any
    decided: np.ndarray
    left: np.ndarray
    cost: float


def indexed(split: Split, classes: Sequence[str]) -> Split:
    place = {name: i for i, name in enumerate(classes)}
    return split.with_y(np.array([place[label] for label in split.y]))


def only(inner: TorchModel, head: Head) -> EarlyExit:
    """Every row leaves at this head."""
    return EarlyExit(inner, [head], Certificate(0.0, 1.0, 0.0, 0, 0))


def rates(said: Told, threshold: float) -> list[float]:
    """The share that leaves at each head, of the rows that come to it."""
    left = said.left(threshold)
    return [float((left == i).sum() / max(1, (left >= i).sum())) for i in range(len(said.sure))]


def exiting(model: EarlyExit, test: Split) -> Way:
    """Run as it is, rows leaving its batches."""
    answers = [model.answers(batch) for _, batch in test.batches(256)]
    left = np.concatenate([at for _, at in answers])
    shares = np.array([*(head.share for head in model.heads), 1.0])
    decided = np.concatenate([logits.argmax(axis=1) for logits, _ in answers])
    return Way(model, decided, left, float(shares[left].mean()))


def exits(inner: TorchModel, train: Split, fitting: Split, test: Split) -> tuple[dict[str, Way], int, int]:
    """(the whole net and all that leaves it early, the limit in the middle, the number of heads)."""
    heads = fit_heads(inner, train, SEED)
    fitted = told(inner, heads, fitting)
    found = {limit: certified(fitted, fitting.y, limit=limit / 1000, level=0.95) for limit in LIMITS}
    known = {limit: EarlyExit(inner, heads, one) for limit, one in found.items() if one is not None}
    middle = sorted(known)[len(known) // 2]
    models = {f"early exit, at most {limit} per 1,000 harmed": model for limit, model in known.items()}
    for threshold in CURVE:
        models[f"early exit, threshold {threshold:g}"] = EarlyExit(inner, heads, Certificate(threshold, 1, 0, 0, 0))
    like = known[middle]
    models["early exit, at random"] = RandomExit(like, rates(fitted, like.certificate.threshold), SEED)
    for i in ALONE:
        place = f"layer {i}" if i else "the embeddings"
        models[f"all after {place}"] = only(inner, heads[i])
    whole = Way(inner, logits_of(inner, test).argmax(axis=1), np.full(len(test), len(heads)), 1.0)
    return {WHOLE: whole, **{name: exiting(model, test) for name, model in models.items()}}, middle, len(heads)


def students(inner: TorchModel, subject: Any, train: Split, test: Split, epochs: int) -> dict[str, Way]:
    """Taught, and by the labels alone."""
    net: Any = inner.module
    recipe = fine_tune(subject.preprocess.folder, inner.n_outputs, epochs=epochs, lr=RATE)
    share = DEPTH / net.encoder.depth
    size = Size(f"{DEPTH} layers", recipe.replace(build=partial(recipe.build, depth=DEPTH)), share, net)
    made = {}
    for how, teacher in (("taught", taught(inner, train)), ("by labels alone", None)):
        trained = Distilled(size, recipe.steps(len(train)), teacher)(subject.replace(train=train), SEED)
        model = TorchModel(trained, task="classification", preprocess=subject.preprocess)
        decided = logits_of(model, test).argmax(axis=1)
        made[f"student of {DEPTH} layers, {how}"] = Way(model, decided, np.zeros(len(test), int), share)
    return made


def timed(ways: Mapping[str, Way], split: Split, rounds: int, size: int, at_once: bool) -> dict[str, Estimate]:
    """How many times faster each way is than the first."""
    starts = {name: itertools.count() for name in ways}

    def work(name: str, way: Way) -> Callable[[], None]:
        def run() -> None:
            first = next(starts[name]) * size % (len(split) - size)
            rows = np.arange(first, first + size)
            for part in [rows] if at_once else np.split(rows, size):
                way.model.outputs(split.take(part))

        return run

    seconds = side_by_side([work(*way) for way in ways.items()], rounds, seed=SEED)
    return {
        name: geometric_mean(seconds[:, 0] / seconds[:, i], unit="times faster") for i, name in enumerate(ways) if i
    }


def table(ways: Mapping[str, Way], y: np.ndarray, single: Mapping[str, Any], batch: Mapping[str, Any]) -> str:
    columns = ["way", "errors per 1,000", "lost per 1,000", "operations", "times faster, one by one"]
    rows = [[*columns, f"in batches of {BATCH}"], ["---"] * 6]
    whole = ways[WHOLE].decided != y
    for name, way in ways.items():
        wrong = way.decided != y
        error = clopper_pearson(int(wrong.sum()), len(wrong)).scaled(1000, "per 1,000")
        lost = bonett_price(int((wrong & ~whole).sum()), int((whole & ~wrong).sum()), len(wrong)).scaled(1000, "")
        against = ["", f"{100 * way.cost:.0f} %", "1", "1"]
        if name != WHOLE:
            against = [interval(lost), against[1], interval(single[name]), interval(batch[name])]
        rows.append([name, interval(error), *against])
    return lines(rows)


def where(ways: Mapping[str, Way], y: np.ndarray, heads: int) -> str:
    """Of the certified ways."""
    columns = ["way", "embeddings", *(f"layer {i}" for i in range(1, heads)), "end", "harmed per 1,000"]
    rows = [columns, ["---"] * len(columns)]
    for name, way in ways.items():
        if "harmed" in name:
            harm = (way.decided != y) & (ways[WHOLE].decided == y)
            shares = [f"{100 * (way.left == i).mean():.0f} %" for i in range(heads + 1)]
            rows.append([name, *shares, interval(clopper_pearson(int(harm.sum()), len(y)).scaled(1000, ""))])
    return lines(rows)


def measured(quick: bool) -> str:
    began = time.process_time()
    subject = example.clinc150(*((600, 600, 300) if quick else (3000, 3000, 3000)), strangers=1)
    train, validation, test = (indexed(s, subject.classes) for s in (subject.train, subject.validation, subject.test))
    inner = TorchModel(subject.model, task="classification", preprocess=subject.preprocess)
    inner.outputs(train.take(np.arange(64)))
    fitting = validation.subset(np.random.default_rng(SEED).permutation(len(validation))[: len(validation) // 2])
    ways, middle, heads = exits(inner, train, fitting, test)
    print(f"{time.process_time() - began:.0f} s", flush=True)
    epochs, rounds = (1, 6) if quick else (EPOCHS, 30)
    ways |= students(inner, subject, train, test, epochs)
    print(f"{time.process_time() - began:.0f} s", flush=True)
    single = timed(ways, test, rounds, SINGLES, at_once=False)
    batch = timed(ways, test, rounds, BATCH, at_once=True)
    return PAGE.format(
        torch=torch.__version__.split("+")[0],
        python=platform.python_version(),
        spent=time.process_time() - began,
        train=len(train),
        test=len(test),
        classes=len(subject.classes),
        rounds=rounds,
        singles=SINGLES,
        batch=BATCH,
        table=table(ways, test.y, single, batch),
        last=heads - 1,
        fitted=len(fitting),
        middle=middle,
        depth=DEPTH,
        epochs=epochs,
        rate=RATE,
        exits=where(ways, test.y, heads),
    )


def lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    text = measured(quick)
    if not quick:
        (ROOT / "docs" / "early_exit.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
