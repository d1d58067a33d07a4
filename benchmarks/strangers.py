"""Strangers to a small net on MNIST: letters, digits left out in training, noise; and what `reject` does about them.

python -m benchmarks.strangers            # writes docs/strangers.md; about 3 minutes on 2 cores
python -m benchmarks.strangers --quick    # two digits left out; prints the page
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import zoom
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.data.carve import halve
from uncork.gather._contract import Context, Training
from uncork.gather.strangers import gather
from uncork.models.base import Model, logits_of
from uncork.models.rejecting import read
from uncork.probes.unrecognised_inputs import measure
from uncork.remedies._contract import Case
from uncork.remedies.reject import apply
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.finding import Estimate, Measurement
from uncork.schema.seeds import generator
from uncork.schema.strangers import Strangers, StrangersData
from uncork.stats.binomial import clopper_pearson
from uncork.stats.tolerance import upper_threshold

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DOCS = Path(__file__).resolve().parents[1] / "docs"
DRAWS, STATED, LEVEL = 2_000, 0.05, 0.95
TRAIN, VALIDATION = 6_000, 4_000

PAGE = """# Shown a letter, what does a net for digits say?

Written by `python -m benchmarks.strangers`. A small convolutional net, trained on {train:,} digits of MNIST, wrong on
{error} of the 10,000 test images. Strangers: 2,000 letters of notMNIST; rows of a digit, to a net trained without it,
for {digits} digits drawn at random; noise. Half of the strangers choose a score, the other half measures. Intervals are
95 %.

## By kind of stranger and score

FPR: strangers that pass where 95 % of known rows are expected to. *n*: known rows and strangers, or digits left out.

{table}

## The verdict

* With notMNIST given: {given}
* With none given, by digits left out: {left_out}

## What `reject` does

Fitted to train, its threshold set on {setting:,} rows of validation, as `uncork treat` does it; the rows below chose
nothing. Chosen by letters: {by_letters}. Chosen by digits left out: {by_digits}.

| | as it was | `reject`, by letters | `reject`, by digits left out |
|---|---|---|---|
{reject}

As it was, the model answers all of them: those said to pass are surer than the 5 % of known rows it is least sure of.
Digits of USPS are no strangers but a shift: scanned otherwise, and enlarged from 16 to 20 pixels. A row takes
{before:.0f} µs as it was and {after:.0f} µs with `reject` by letters, in batches of 256 on one thread.

## How often the stated rate holds

The {pool:,} rows of validation and test are the population: {draws:,} random draws of {setting:,} of them, with
replacement, set the threshold by letters anew. At most {stated:.0%} of the population is then rejected in {held:.1%} ±
{se:.1%} of the draws, where {level:.0%} are stated; {mean:.2%} on average.
"""


def build() -> nn.Module:
    convolutions = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1)]
    return nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


RECIPE = Recipe(build, epochs=4, batch_size=64, lr=4e-3)


def scaled(images: np.ndarray) -> np.ndarray:
    """(n, 28, 28) bytes → (n, 1, 28, 28) in [0, 1]."""
    return (images[:, None] / np.float32(255)).astype(np.float32)


def ground() -> tuple[Subject, np.ndarray, np.ndarray, np.ndarray]:
    """(the subject, letters, digits of USPS, their labels)."""
    mnist, usps = np.load(DATA / "mnist.npz"), np.load(DATA / "usps.npz")
    x, y = scaled(mnist["x_train"]), mnist["y_train"].astype(np.int64)
    train = Split(x[:TRAIN], y[:TRAIN])
    rest = slice(TRAIN, TRAIN + VALIDATION)
    subject = Subject(
        RECIPE.fit(train, seed=0),
        train=train,
        validation=Split(x[rest], y[rest]),
        test=Split(scaled(mnist["x_test"]), mnist["y_test"].astype(np.int64)),
        recipe=RECIPE,
    )
    letters = scaled(np.load(DATA / "notmnist_test.npz")["x"])
    shifted = usps["x_test"].reshape(-1, 16, 16).astype(np.float32)
    shifted = (shifted - shifted.min()) / (shifted.max() - shifted.min())
    # As large as MNIST's digits: 20 pixels in a frame of 28.
    large = np.clip(zoom(shifted, (1, 20 / 16, 20 / 16), order=1), 0, 1)
    large = np.pad(large, ((0, 0), (4, 4), (4, 4)))[:, None]
    return subject, letters, large, usps["y_test"].astype(np.int64)


def context_of(subject: Subject) -> Context:
    admitted = admit(subject, describe_only=False, seed=0, fan=Executor()).context
    return replace(admitted, training={"": Training(10.0)})


def found(data: StrangersData, context: Context) -> Measurement:
    outcome = measure(strangers=data, facts=context.facts, rng=generator(0, "strangers"))
    assert isinstance(outcome, Measurement)
    return outcome


def shown(share: Estimate) -> str:
    return f"{100 * (share.value or 0):.1f} % ({100 * (share.low or 0):.1f} to {100 * (share.high or 0):.1f})"


def counted(hits: np.ndarray) -> str:
    return shown(clopper_pearson(int(hits.sum()), len(hits)))


def said(measured: Measurement) -> str:
    return f"{measured.summary} The first with its interval: {shown(measured.estimates['unrecognised'])}."


def answered(model: Model, split: Split) -> np.ndarray:
    mask = read(model, split, np.arange(len(split)), "rows").answered
    assert mask is not None
    return mask


def microseconds(model: Model, batch: np.ndarray) -> float:
    model.outputs(batch)
    spent = []
    for _ in range(20):
        start = time.perf_counter()
        model.outputs(batch)
        spent.append(time.perf_counter() - start)
    return 1e6 * float(np.median(spent)) / len(batch)


def treated(context: Context, data: StrangersData) -> Any:
    """The model with `reject`, as `treat` makes it, on half of validation."""
    rows, _ = halve(context.split("validation"), 1)
    subject = context.subject.without_test().replace(validation=context.split("validation").subset(rows))
    case = Case(subject, None, {"strangers": data}, "classification", 10, 0, generator(0, "strangers", "reject"))
    return apply.apply(case).subject.model


def coverage(model: Any, context: Context, setting: int, draws: int) -> tuple[float, float, int]:
    """(share of draws that keep to the stated rate, mean rate, rows of the population)."""
    scores = []
    for name in ("validation", "test"):
        split = context.split(name)
        out = read(model.inner, split, np.arange(len(split)), name)
        scores.append(model.detector(out.logits, out.features))
    population, rng = np.concatenate(scores), generator(0, "strangers", "coverage")
    rates = []
    for _ in range(draws):
        threshold = upper_threshold(rng.choice(population, setting), STATED, LEVEL)
        assert threshold is not None
        rates.append(float((population > threshold).mean()))
    return float(np.mean(np.array(rates) <= STATED)), float(np.mean(rates)), len(population)


def lines(models: Sequence[Any], context: Context, usps: np.ndarray, usps_y: np.ndarray) -> list[list[str]]:
    """What the models make of rows of test and of USPS; the first answers all."""
    made = []
    for what, split in (("test rows", context.split("test")), ("rows of USPS", Split(usps, usps_y))):
        wrong = logits_of(context.model, split).argmax(axis=1) != split.y
        masks = [answered(model, split) for model in models]
        made.append([f"{what[0].upper()}{what[1:]} handed over", "none", *(counted(~mask) for mask in masks[1:])])
        made.append([f"Errors among the {what} answered", *(counted(wrong[mask]) for mask in masks)])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two digits left out; prints the page")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    subject, letters, usps, usps_y = ground()
    request = Strangers(left_out=2) if quick else Strangers()
    bare, given = context_of(subject), context_of(subject.replace(strangers=Split(letters)))
    of_letters, of_digits = gather.gather(Strangers(left_out=0), given), gather.gather(request, bare)
    before = [found(of_letters, given), found(of_digits, bare)]
    models = [bare.model, treated(given, of_letters), treated(bare, of_digits)]
    passing = [
        ["Letters that pass", shown(before[0].estimates["unrecognised"])],
        ["Rows of digits left out that pass", shown(before[1].estimates["unrecognised"])],
    ]
    for model in models[1:]:
        for line, asked, context in zip(passing, (Strangers(left_out=0), request), (given, bare), strict=True):
            after = found(gather.gather(asked, context.of(context.subject, model)), context)
            line.append(shown(after.estimates["unrecognised"]))
    kinds = before[0].details[0].data["rows"] + [r for r in before[1].details[0].data["rows"] if r[0] == "left-out"]
    columns = ["strangers", "score", "n", "AUROC", "FPR at 95 % TPR"]
    draws, batch = DRAWS // (10 if quick else 1), bare.split("test").take(np.arange(256))
    held, mean, pool = coverage(models[1], bare, models[1].rows, draws)
    of_test = lines(models, bare, usps, usps_y)
    page = PAGE.format(
        train=TRAIN,
        error=of_test[1][1],
        digits=len(of_digits.left_out),
        table="\n".join(f"| {' | '.join(map(str, row))} |" for row in [columns, ["---"] * 5, *kinds]),
        given=said(before[0]),
        left_out=said(before[1]),
        setting=models[1].rows,
        by_letters=models[1].detector.name,
        by_digits=models[2].detector.name,
        reject="\n".join(f"| {' | '.join(line)} |" for line in [*passing, *of_test]),
        before=microseconds(bare.model, batch),
        after=microseconds(models[1], batch),
        draws=draws,
        pool=pool,
        stated=STATED,
        held=held,
        se=(held * (1 - held) / draws) ** 0.5,
        level=LEVEL,
        mean=mean,
    )
    if not quick:
        (DOCS / "strangers.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
