"""Two nets where they were not made for: what it costs, what one would have guessed, and what remedies regain.

python -m benchmarks.shift            # writes docs/shift.md; about 6 minutes of one core
python -m benchmarks.shift --quick    # fewer rows, one seed; prints the page
"""

from __future__ import annotations

import argparse
import os
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from uncork import Recipe, Split, Subject, load_weights
from uncork.data.carve import halve
from uncork.data.thirds import thirds, unlike
from uncork.gather._contract import Context
from uncork.gather.forward import forward
from uncork.gather.shifted import gather
from uncork.gather.shifted_labels import gather as gather_labels
from uncork.gather.shifted_labels import settled
from uncork.models.adapt import adapt
from uncork.probes.domain_shift import measure
from uncork.remedies import adapt_batchnorm, fine_tune, reweight
from uncork.remedies._contract import Case, Treated
from uncork.run.admit import admit
from uncork.schema.artifacts import PassData
from uncork.schema.contract import Remedy
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate, Measurement
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.schema.shifted import Shifted, ShiftedLabels
from uncork.stats.score import mean_gain, score

DATA = Path(os.environ.get("UNCORK_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data"))
ROOT = Path(__file__).resolve().parents[1]
DOCS, EXAMPLE = ROOT / "docs", runpy.run_path(str(ROOT / "examples" / "cifar10_resnet20.py"))
ERROR, SEEDS = Metric("error"), 3
LABELS = (100, 300)

PAGE = """# Where it is used next

Written by `python -m benchmarks.shift`. Errors per 1,000 with 95 % intervals. A third of the shifted rows, by a hash of
ids, is what remedies see, a third judges them, and the last, which the audit does not read, is there to prove what
`treat` keeps. Guesses without labels have intervals that cover sampling only.

## ResNet-20, from CIFAR-10 to the same pictures stored anew as JPEG

A third party's net and a third party's JPEG files: the first 1,000 test pictures. Validation: the first {pictures:,}
test pictures, so that each shifted row has its counterpart. On the full set the net is known to fall from 91.73 to
81.03 %, by 107 errors per 1,000.

{jpeg}

## Digits, from MNIST to USPS

A small net with BatchNorm, trained on {train:,} digits of MNIST; USPS' test digits, scanned otherwise, enlarged from 16
to 28 pixels. No row corresponds to another.

{usps}

## Reading it

* `guess misses`: by how much a guess without labels is off the measured figure, more than its interval allows or not.
* Gains are of the mean of {seeds} models over rows (of adapted statistics one), over the net as it was; a control gets
  the same compute on rows of train. `old rows`: validation, without rows whose counterpart the remedy has seen.
* A remedy that gains on shifted rows and loses on the old ones makes another model, not a better one.
"""


def build() -> nn.Module:
    def block(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(*block(1, 16), *block(16, 32), nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


RECIPE = Recipe(build, epochs=4, batch_size=64, lr=4e-3)


def scaled(images: np.ndarray) -> np.ndarray:
    """(n, h, w) bytes → (n, 1, h, w) in [0, 1]."""
    return (images[:, None] / np.float32(255)).astype(np.float32)


def enlarged(images: np.ndarray) -> np.ndarray:
    """(n, 16, 16) bytes → (n, 28, 28), bilinear."""
    at = np.clip((np.arange(28) + 0.5) * 16 / 28 - 0.5, 0, 15)
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, 15), at - low
    rows = images[:, low] * (1 - part)[:, None] + images[:, high] * part[:, None]
    return np.asarray(rows[:, :, low] * (1 - part) + rows[:, :, high] * part)


def resnet(pictures: int) -> Subject:
    """ResNet-20, the first test pictures as validation, others as test, and the JPEG files, with ids in common."""
    cifar, jpeg = np.load(DATA / "cifar10.npz"), np.load(DATA / "cifar10_jpeg_shift.npz")
    ids = np.array([f"picture {i}" for i in range(10_000)])

    def cut(rows: slice) -> Split:
        return Split(cifar["x_test"][rows], cifar["y_test"][rows], ids=ids[rows])

    return Subject(
        load_weights(EXAMPLE["ResNet20"](), DATA / "weights/resnet20-12fca82f.th"),
        train=Split(cifar["x_train"], cifar["y_train"]),
        validation=cut(slice(pictures)),
        test=cut(slice(pictures, pictures + 300)),
        shifted=Split(jpeg["x_test"], jpeg["y_test"], ids=ids[:1000]),
        preprocess=EXAMPLE["preprocess"],
        classes=EXAMPLE["CLASSES"],
    )


def digits(rows: int) -> Subject:
    mnist, usps = np.load(DATA / "mnist.npz"), np.load(DATA / "usps.npz")
    x, y = scaled(mnist["x_train"]), mnist["y_train"].astype(np.int64)
    train = Split(x[:rows], y[:rows])
    return Subject(
        RECIPE.fit(train, seed=0),
        train=train,
        validation=Split(x[-4000:], y[-4000:]),
        test=Split(scaled(mnist["x_test"][:300]), mnist["y_test"][:300].astype(np.int64)),
        shifted=Split(scaled(enlarged(usps["x_test"])), usps["y_test"].astype(np.int64)),
        recipe=RECIPE,
    )


def here(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """In this process."""
    return [function(*job) for job in jobs]


@dataclass(frozen=True)
class World:
    """A subject, and the outputs that figures are read from."""

    context: Context
    old: PassData

    @classmethod
    def of(cls, subject: Subject) -> World:
        context = admit(subject, describe_only=False, seed=0, fan=here).context  # type: ignore[arg-type]
        return cls(context, forward(context.model, context.split("validation"), name="validation"))

    def found(self, labels: int | None, shifted: Any) -> Measurement:
        """The probe's measurement, with the labels of so many rows, or of all."""
        context = self.context if labels is None else replace(self.context, labels=settled(labels, self.context))
        outcome = measure(
            validation=self.old,
            shifted=shifted,
            labels=gather_labels.gather(ShiftedLabels(), context),
            facts=context.facts,
            rng=generator(0, "shift"),
        )
        assert isinstance(outcome, Measurement)
        return outcome

    def outputs(self, models: Sequence[Any], name: str, rows: np.ndarray) -> list[PassData]:
        subject = self.context.subject
        made = [adapt(subject.replace(model=model), "classification") for model in models]
        return [forward(model, self.context.split(name), rows=rows, name=name) for model in made]


def shown(e: Estimate) -> str:
    ends = "" if e.low is None or e.high is None else f" ({e.low:.0f} to {e.high:.0f})"
    return f"{e.value or 0:.0f}{ends}"


def measured(world: World) -> list[str]:
    shifted = gather.gather(Shifted(), world.context)
    whole = world.found(None, shifted).estimates
    lines = [
        "| | errors per 1,000 |",
        "|---|---|",
        f"| validation, {len(world.old):,} rows | {shown(whole['validation'])} |",
        f"| shifted, {len(shifted):,} rows that the audit reads | {shown(whole['shifted'])} |",
        f"| drop, {whole['drop'].method} | {shown(whole['drop'])} |",
    ]
    for k in LABELS:
        few = world.found(k, shifted).estimates
        lines.append(f"| shifted, by the labels of {k} random rows | {shown(few['shifted'])} |")
        lines.append(f"| drop by them | {shown(few['drop'])} |")
    truth = whole["shifted"]
    for name, what in (("threshold", "thresholded confidence"), ("confidence", "difference of confidences")):
        guess = whole[name]
        off = (guess.value or 0) - (truth.value or 0)
        within = guess.low is not None and guess.high is not None and guess.low <= (truth.value or 0) <= guess.high
        missed = f"{off:+.0f}, {'within' if within else 'outside'} its interval"
        lines.append(f"| guessed without labels, by {what} | {shown(guess)}; guess misses by {missed} |")
    auc = whole["two_sample_auc"]
    lines.append(f"| AUC of telling shifted from validation | {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}) |")
    return lines


def treated(world: World, seeds: int) -> list[str]:
    """Each remedy and its control, on the third that judges and on the old rows."""
    context = world.context
    subject, third = context.subject, thirds(context.split("shifted"))
    adapting = subject.shifted.subset(third.adapt)
    elsewhere = np.flatnonzero(unlike(subject.validation, adapting))
    lines = [
        f"{len(third.adapt)} rows seen, {len(third.judge)} that judge, {len(third.prove)} left to prove; "
        f"{len(elsewhere):,} old rows, of which `reweight` sees half.",
        "",
        "| | shifted after | gained there | gained by the control | old rows before → after | gained on old rows |",
        "|---|---|---|---|---|---|",
    ]
    for remedy in (adapt_batchnorm.apply, reweight.apply, fine_tune.apply):
        lines.append(_line(world, remedy, seeds, elsewhere))
    return lines


def _line(world: World, remedy: Remedy, seeds: int, old: np.ndarray) -> str:
    subject, third = world.context.subject, thirds(world.context.split("shifted"))
    seen = subject.without_test().replace(shifted=subject.shifted.subset(third.adapt))
    if remedy.fits_on_validation:
        fitting, old = (np.intersect1d(old, half) for half in halve(subject.validation, 1))
        seen = seen.replace(validation=subject.validation.subset(fitting))
    case = Case(seen, None, {}, "classification", 10, 0, generator(0, "remedy"))
    try:
        made = remedy.apply(case)
    except Unavailable as why:
        return f"| `{remedy.id}`: not applicable, {why} | | | | | |"
    before = [world.outputs([subject.model], *place)[0] for place in (("shifted", third.judge), ("validation", old))]
    sides = [_models(side, seeds) for side in (made, remedy.control(case, made))]
    there, beside = (world.outputs(side, "shifted", third.judge) for side in sides)
    after_old = world.outputs(sides[0], "validation", old)
    gains = [mean_gain(ERROR, [before[0]], side) for side in (there, beside)]
    after = float(np.mean([score(ERROR, passed).value or 0 for passed in there]))
    kept = float(np.mean([score(ERROR, passed).value or 0 for passed in after_old]))
    return (
        f"| `{remedy.id}`: {made.changes} | {after:.0f} | {shown(gains[0])} | {shown(gains[1])} | "
        f"{score(ERROR, before[1]).value:.0f} → {kept:.0f} | {shown(mean_gain(ERROR, [before[1]], after_old))} |"
    )


def _models(side: Treated, seeds: int) -> list[Any]:
    if side.train is None:
        return [side.subject.model]
    return [side.train(side.subject, seed) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows, one seed; prints the page")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    pictures, train, seeds = (1000, 1000, 1) if quick else (4000, 5000, SEEDS)
    parts = {}
    for name, subject in (("usps", digits(train)), ("jpeg", resnet(pictures))):
        world = World.of(subject)
        parts[name] = "\n".join([*measured(world), "", *treated(world, seeds)])
        print(parts[name], flush=True)
    page = PAGE.format(pictures=pictures, train=train, seeds=seeds, **parts)
    if not quick:
        (DOCS / "shift.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
