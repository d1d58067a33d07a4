"""How do corrections hold on a real net? python benchmarks/patch.py writes docs/patch.md

ResNet-20 on CIFAR-10 (examples/cifar10_resnet20.py, which says where the data are looked for): mistakes on one half of
its test pictures are corrected as `uncork patch` does, and tried on their near copies and on the other half, which
nothing was calibrated on. About three minutes on one core; `--quick` (ten corrections alone) prints the page instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uncork import Split, Subject, audit, patch
from uncork.data.near import near_copies
from uncork.derived.patches import BREAKS, deciding, distances, reach
from uncork.models.base import Model, logits_of
from uncork.models.patched import Places, places
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.patch import Patching
from uncork.schema.seeds import generator
from uncork.stats.binomial import clopper_pearson

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SIZES = (10, 100)
SHARES = (0.0002, BREAKS, 0.005, 0.02)
RUNS = 15

PAGE = """# Named mistakes, mended without training

Written by `python benchmarks/patch.py`. ResNet-20 on CIFAR-10's {pictures:,} test pictures, of which it gets {errors}
wrong. {half:,} of them are validation; mistakes among these, drawn at random, are given to `uncork patch` with their
labels. A correction holds within a radius in the {width} features before the last layer, calibrated on the right rows
of one half of validation so that all corrections together break about 1 right row in 1,000. Shares with 95 % intervals
(Clopper-Pearson; Korn-Graubard where several copies are of one picture).

## What corrections do

*Near copies*: two with noise of a twentieth of the pixels' standard deviation, two moved by a pixel, of each corrected
picture; share decided right without and with the corrections. *Kept*: of the copies that the first ten corrections mend
by themselves, those still mended with all. *Same bits*: of the {other:,} test pictures that are not validation, those
whose ten numbers are the same, bit for bit. *Broken*, *repaired*: of 1,000 of these, right before and wrong now, and
the reverse: other mistakes than the corrected are not mended by the way.

| corrections | rows mended | near copies, before | near copies, after | kept | same bits | broken | repaired |
|---|---|---|---|---|---|---|---|
{holds}

Without the last of them the files are those from before these were made, byte for byte, and without any the net's
answers to all {pictures:,} pictures are the first, bit for bit: {reverted}.

## What the radius costs

{most} corrections, with radii for other shares of right rows broken; `uncork patch` takes {breaks}.

| asked: broken of 1,000 | near copies, after | broken | repaired |
|---|---|---|---|
{radii}

## What it costs to answer

Time with {most} corrections over time without, medians of runs in turns: {ratio_one} for one picture, {ratio_many} for
256 at once.
"""


class Given:
    """The subject, its run, and what the net says of all rows."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(ROOT / "examples"))
        from cifar10_resnet20 import subject

        self.subject: Subject = subject()
        self.report = audit(self.subject, pool="off", probes=["unguaranteed-errors"], out=folder / "run")
        context = admit(self.subject, describe_only=False, seed=0, fan=Executor()).context
        self.model, self.classes = context.model, context.facts.classes
        self.validation, self.others = context.split("validation"), context.split("test")
        self.here, self.there = (places(self.model, s, np.arange(len(s))) for s in (self.validation, self.others))
        wrong = np.flatnonzero(self.here.decided != self.validation.y)
        self.wrong = generator(0, "benchmark", "patch").permutation(wrong)

    def corrections(self, count: int) -> dict[str, str]:
        rows = self.wrong[:count]
        return {f"validation:{self.validation.ids[row]}": self.classes[self.validation.y[row]] for row in rows}


def line(given: Given, found: Patching) -> str:
    """What corrections do, as a row of the table."""
    after = logits_of(found.model, given.others)
    before, y = given.there.logits, given.others.y
    was, now = (logits.argmax(axis=1) == y for logits in (before, after))
    n = len(y)
    names = ("success", "near_unpatched", "near", "retained")
    cells = [interval(found.estimates[name].scaled(100, "%")) for name in names]
    cells += [interval(clopper_pearson(int((before == after).all(axis=1).sum()), n).scaled(100, "%"))]
    cells += [interval(clopper_pearson(int(hit.sum()), n).scaled(1000, "")) for hit in (was & ~now, ~was & now)]
    return f"| {len(found.corrected)} | {' | '.join(f'{cell} %' for cell in cells[:5])} | {' | '.join(cells[5:])} |"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def patched_and_back(given: Given, sizes: Sequence[int], folder: Path) -> tuple[list[Patching], bool]:
    """(what came of each number of corrections, each added to those before; whether files and answers are what they
    were before the last were made, and before any)."""
    found, files, named = [], [], [given.corrections(size) for size in sizes]
    for corrections in named:
        found.append(patch(given.report, corrections, out=folder))
        files.append(contents(folder))
    same = True
    if len(sizes) > 1:
        patch(given.report, revert=[id for id in named[-1] if id not in named[-2]], out=folder)
        same = contents(folder) == files[-2]
    none = patch(given.report, revert=list(named[max(0, len(sizes) - 2)]), out=folder).model
    for split, where in ((given.validation, given.here), (given.others, given.there)):
        same &= logits_of(none, split).tobytes() == where.logits.tobytes()
    return found, same


def by_share(given: Given, count: int) -> list[str]:
    """What radii of other sizes mend and break."""
    split, y = given.validation, given.validation.y
    assert y is not None
    rows = given.wrong[:count]
    near = near_copies(split, rows, generator(0, "benchmark", "near"))
    copies = [places(given.model, Split(copy), np.arange(len(copy))) for copy in near.copies]
    right = np.flatnonzero(given.here.decided == y)[::2]  # half of validation's, as calibrates there
    centres, labels = given.here.points[rows], y[rows]
    lines = []
    for share in SHARES:
        radii = reach(centres, labels, given.here.points[right], y[right], right, share)

        def decided(where: Places, radii: np.ndarray = radii) -> np.ndarray:
            which = deciding(distances(where.points, centres), np.nan_to_num(radii))
            return np.where(which >= 0, labels[which], where.decided)

        mended = np.mean([decided(copy) == labels for copy in copies])
        was, now = (found == given.others.y for found in (given.there.decided, decided(given.there)))
        counts = [clopper_pearson(int(hit.sum()), len(was)).scaled(1000, "") for hit in (was & ~now, ~was & now)]
        cells = [f"{1000 * share:g}", f"{100 * mended:.1f} %", *map(interval, counts)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def ratio(plain: Model, patched: Model, batch: np.ndarray, runs: int) -> str:
    """Time of the second over that of the first, in turns."""
    seconds: list[list[float]] = [[], []]
    for _ in range(runs):
        for model, taken in zip((plain, patched), seconds, strict=True):
            started = time.perf_counter()
            model.outputs(batch)
            taken.append(time.perf_counter() - started)
    return f"{np.median(seconds[1]) / np.median(seconds[0]):.2f}"


def page(folder: Path, sizes: Sequence[int], runs: int) -> str:
    given = Given(folder)
    found, back = patched_and_back(given, sizes, folder / "patched")
    model, x = found[-1].model, given.others.take(np.arange(256))
    errors = len(given.wrong) + int((given.there.decided != given.others.y).sum())
    return PAGE.format(
        pictures=len(given.validation) + len(given.others),
        errors=errors,
        half=len(given.validation),
        other=len(given.others),
        width=given.here.points.shape[1],
        holds="\n".join(line(given, each) for each in found),
        reverted="yes" if back else "NO",
        most=sizes[-1],
        breaks=f"{1000 * BREAKS:g}",
        radii="\n".join(by_share(given, sizes[-1])),
        ratio_one=ratio(given.model, model, x[:1], 20 * runs),
        ratio_many=ratio(given.model, model, x, runs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten corrections alone; prints the page")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        text = page(Path(folder), SIZES[:1] if quick else SIZES, 3 if quick else RUNS)
    if not quick:
        (DOCS / "patch.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
