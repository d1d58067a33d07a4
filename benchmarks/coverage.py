"""Simulates the coverage of every interval that uncork.stats makes: python benchmarks/coverage.py

Writes docs/coverage.md. With `--quick` (a tenth of the draws) or `--only WORD` (cases whose name holds it) the tables
are printed instead. The cases stand in coverage_cases/. Exits with 1 where a cell is outside its region.
"""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import math
from pathlib import Path

from coverage_cases import ABOUT, CHANCE, Case, Cell, all_cases, block, blocks, cell, draws_at, simulate
from joblib import Parallel, delayed

OUT = Path(__file__).parents[1] / "docs" / "coverage.md"
QUICK = 10

INTRO = f"""# Coverage of the intervals

Written by `python benchmarks/coverage.py`. No number on this page is written by hand but those that "is known to be
about" introduces, which the cases state.

A cell says how often the interval held the truth over independent draws of the data, and ± its mean half-width, in the
unit of the figure. Rows of the tables are intervals under a condition, columns are sizes. The truth of every case is
known in closed form or by quadrature, never from a sample. `=` marks coverage worked out over all outcomes, without
simulation. `u12`: in 12 % of the draws the interval was undetermined; coverage is then over the others.

The third column is what the interval promises: `≥ .95` at least 95 %, `≈ .95` about 95 %, which is taken to be
{0.95 - ABOUT:.1%} or more: most intervals here rest on normal theory. A cell is **bold** where it lies below its
binomial region: an interval that keeps its promise would cover in so few draws with a chance below {CHANCE:g}. More
than was promised is no fault, and no upper end is looked at; the half-width says what it costs.
Over each column stands in brackets how many draws its cells have; a row with another number says so.
`tests/stats/test_stats_coverage.py` simulates the same cases with a twelfth of the draws, where that leaves 150.
"""


def number(x: float, digits: int = 3) -> str:
    return f"{x:.{digits}f}".lstrip("0")


def width(x: float) -> str:
    """Two significant digits."""
    if not math.isfinite(x):
        return ""
    digits = max(0, 1 - math.floor(math.log10(x))) if x > 0 else 0
    return " ±" + (number(x, digits) if x < 1 else f"{x:.{digits}f}")


def text(case: Case, of: Cell) -> str:
    if math.isnan(of.coverage):
        return "undetermined"
    share = ("=" if of.draws == 0 else "") + number(of.coverage)
    share = f"**{share}**" if of.below(case.promised) else share
    lost = of.undetermined / max(1, of.draws + of.undetermined)
    return share + width(of.half_width) + (f" u{100 * lost:.0f}" if lost >= 0.005 else "")


def tables(cases: list[Case], cells: dict[tuple[int, int], Cell], part: int) -> str:
    pieces = []
    for title in dict.fromkeys(case.table for case in cases):
        rows = [(i, case) for i, case in enumerate(cases) if case.table == title]
        sizes = rows[0][1].sizes
        usual = max(case.draws for _, case in rows)
        heads = [f"{size:,} ({draws_at(usual, size) // part:,})" for size in sizes]
        pieces += [
            f"\n## {title}\n",
            f"| interval | condition | promise | {' | '.join(heads)} |",
            "|---|---|---|" + "---|" * len(sizes),
        ]
        for i, case in rows:
            sign = "≥" if case.promise == "at least" else "≈"
            fewer = [f"{draws_at(case.draws, size) // part:,}" for size in sizes]
            note = f" ({', '.join(dict.fromkeys(fewer))} draws)" if case.draw and case.draws != usual else ""
            shown = " | ".join(text(case, cells[i, size]) for size in sizes)
            pieces.append(f"| {case.name} | {case.condition}{note} | {sign} {number(case.level, 2)} | {shown} |")
    return "\n".join(pieces) + "\n"


def shortfalls(cases: list[Case], cells: dict[tuple[int, int], Cell]) -> str:
    """Every cell outside the region of its promise, with what is known of it."""
    lines = []
    for (i, size), found in cells.items():
        case = cases[i]
        if found.below(case.promised):
            known = f"known to be about {number(case.short[size], 2)}" if size in case.short else "NOT EXPLAINED"
            what = f"{case.name}, {case.condition}, {size:,}"
            lines.append(f"* {what}: {number(found.coverage)}, {known}. {case.why}".rstrip())
    stale = [
        f"* {case.name}, {case.condition}, {size:,}: no longer, though the case states it."
        for i, case in enumerate(cases)
        for size in case.short
        if not cells[i, size].below(case.promised)
    ]
    return "\n## What falls short\n\n" + ("\n".join(lines + stale) or "Nothing.") + "\n"


def measure(cases: list[Case], part: int) -> dict[tuple[int, int], Cell]:
    """Every cell, blocks of draws in parallel."""
    jobs = [
        (i, size, which, many)
        for i, case in enumerate(cases)
        for size in case.sizes
        for which, many in enumerate(blocks(draws_at(case.draws, size) // part) if case.draw else [0])
    ]
    parallel = Parallel(n_jobs=2, return_as="generator")
    drawn: dict[tuple[int, int], list] = {}
    cells = {}
    for job, result in zip(jobs, parallel(delayed(work)(cases[i], *rest) for i, *rest in jobs), strict=True):
        if isinstance(result, Cell):
            cells[job[:2]] = result
        else:
            drawn.setdefault(job[:2], []).extend(result)
    return {
        (i, size): cells.get((i, size)) or cell(drawn[i, size]) for i, case in enumerate(cases) for size in case.sizes
    }


def work(case: Case, size: int, which: int, many: int) -> list | Cell:
    return block(case, size, which, many) if case.draw else simulate(case, size, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws, printed only")
    parser.add_argument("--only", default="", help="cases whose name holds this, printed only")
    asked = parser.parse_args()
    cases = [case for case in all_cases() if asked.only in case.name]
    if not cases:
        names = ", ".join(sorted({case.name for case in all_cases()}))
        parser.error(f"no case has {asked.only!r} in its name: there are {names}")
    part = QUICK if asked.quick else 1
    cells = measure(cases, part)
    page = INTRO + tables(cases, cells, part) + shortfalls(cases, cells)
    if asked.quick or asked.only:
        print(page[len(INTRO) :])
    else:
        OUT.write_text(page)
    wrong = [(cases[i], size, why) for (i, size), found in cells.items() if (why := cases[i].outside(size, found))]
    print(f"{len(cells)} cells, {len(wrong)} outside their region")
    for case, size, why in wrong:
        print(f"{case.name}, {case.condition}, {size:,}: {why}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
