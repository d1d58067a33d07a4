"""1,000,000 rows × 100 classes of predictions: seconds and memory of every probe that needs no model.

python -m benchmarks.scale            # writes docs/scale.md and docs/scale.svg; about 5 minutes on 1 core
python -m benchmarks.scale --quick    # up to 125,000 rows; prints the table
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from uncork.report.svg import corners, fit, line, text

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIZES = (62_500, 125_000, 250_000, 500_000, 1_000_000)
CLASSES, BESIDE = 100, 10_000
PROBES = ("domain-shift", "miscalibration", "rare-classes", "unguaranteed-errors", "unrecognised-inputs")
REST = "all the rest of an audit"

PAGE = """# A million rows of predictions

Written by `python -m benchmarks.scale`. Predictions of 100 classes, memory-mapped 32-bit probabilities, as validation;
10,000 rows each of test, of shifted and of strangers. Every probe that needs no model, in an audit and a process of
its own, on one thread. CPU seconds by rows of validation; *all the rest of an audit*: reading and checking the rows,
hashing them, the pass, the headline, and what is imported. *Slope*: of log seconds over log rows with its 95 %
interval (t on 3 degrees of freedom); 1 is linear, less is a fixed part. *Peak*: resident memory of the process; of the
rest, the least of them. The most of all was {most:.2f} GB at {rows:,} rows; asked are at most 3.

{table}

![CPU seconds over rows](scale.svg)
"""

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #6a737d; }
.tick { text-anchor: middle; } .end { text-anchor: end; } polyline { fill: none; stroke-width: 2; }
.grid { stroke: #8b949e; stroke-opacity: .3; } .linear { stroke: #8b949e; stroke-dasharray: 5 4; stroke-width: 1; }
.c0 { --c: #0a7fc4; } .c1 { --c: #d5661a; } .c2 { --c: #2e9e5b; } .c3 { --c: #a05cc0; } .c4 { --c: #a88a00; }
.c5 { --c: #6a737d; } polyline[class^=c] { stroke: var(--c); } text.name, circle { fill: var(--c); }
"""


def probabilities(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """(n, K) float32 of a fair model that is somewhat too sure: the label's logit is 3 above the others on average."""
    z = 1.5 * rng.standard_normal((len(y), CLASSES), np.float32)
    z[np.arange(len(y)), y] += 3
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def make(folder: Path, rows: int) -> None:
    """Predictions of validation as a memory map, written in pieces, and three small splits beside it."""
    rng = np.random.default_rng(0)
    for name, n in (("validation", rows), ("test", BESIDE), ("shifted", BESIDE), ("strangers", BESIDE)):
        y = rng.integers(CLASSES, size=n)
        p = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, CLASSES))
        for start in range(0, n, 50_000):
            p[start : start + 50_000] = probabilities(rng, y[start : start + 50_000])
        p.flush()
        np.save(folder / f"{name}-y.npy", y)


def measured(folder: Path, probe: str, rows: int) -> dict[str, Any]:
    """In a process of its own: one audit with one probe, of the first `rows` rows of validation. CPU seconds."""
    from uncork import Predictions, Split, Subject, audit
    from uncork.run import examine

    def split(name: str, n: int) -> Split:
        return Split(np.load(folder / f"{name}.npy", mmap_mode="r")[:n], np.load(folder / f"{name}-y.npy")[:n])

    spent, run_probe = [], examine.run_probe

    def timed(*given: Any) -> Any:
        started = time.process_time()
        outcome = run_probe(*given)
        spent.append(time.process_time() - started)
        return outcome

    examine.run_probe = timed  # type: ignore[assignment]
    subject = Subject(
        Predictions(),
        validation=split("validation", rows),
        **{name: split(name, BESIDE) for name in ("test", "shifted", "strangers")},
    )
    started = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        finding = audit(subject, probes=[probe], out=Path(out) / "run", budget="2h").findings[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if finding.verdict not in ("bottleneck", "clear", "undetermined"):
        raise SystemExit(f"{probe}: {finding.verdict}: {finding.reason}")
    rest = time.process_time() - started - spent[0]
    return {"probe": probe, "rows": rows, "seconds": spent[0], "rest": rest, "gb": peak / 1e9}


def slope(rows: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """(slope of log seconds over log rows, half of its 95 % interval by t on n − 2 degrees of freedom)."""
    fit = stats.linregress(np.log(rows), np.log(seconds))
    return float(fit.slope), float(stats.t.ppf(0.975, len(rows) - 2) * fit.stderr)


def lines(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Measurements by what they are of, the smallest first; what is no probe's own is the mean over the audits."""
    made = {probe: [one for one in found if one["probe"] == probe] for probe in PROBES}
    sizes = sorted({one["rows"] for one in found})
    rest = [np.mean([one["rest"] for one in found if one["rows"] == n]) for n in sizes]
    least = [min(one["gb"] for one in found if one["rows"] == n) for n in sizes]
    return made | {
        REST: [{"rows": n, "seconds": float(s), "gb": gb} for n, s, gb in zip(sizes, rest, least, strict=True)]
    }


def table(made: dict[str, list[dict[str, Any]]]) -> str:
    sizes = [one["rows"] for one in made[REST]]
    head = ["", *(f"{n:,}" for n in sizes), "slope", "peak at the most rows, GB"]
    body = []
    for name, ones in made.items():
        value, half = slope(sizes, [one["seconds"] for one in ones]) if len(ones) > 2 else (float("nan"),) * 2
        seconds = [f"{one['seconds']:.3g}" for one in ones]
        body.append(
            [name, *seconds, f"{value:.2f} ({value - half:.2f} to {value + half:.2f})", f"{ones[-1]['gb']:.2f}"]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---", *["--:"] * (len(head) - 1)], *body])


def picture(made: dict[str, list[dict[str, Any]]]) -> str:
    """CPU seconds over rows, both on logarithmic axes, beside a line of slope 1."""
    every = [one for ones in made.values() for one in ones]
    across = fit([math.log10(one["rows"]) for one in every], 70, 560)
    up = fit([math.log10(one["seconds"]) for one in every], 330, 20)
    parts = [f"<style>{STYLE}</style>"]
    for n in sorted({one["rows"] for one in every}):
        parts += [line(across.at(math.log10(n)), 20, across.at(math.log10(n)), 330, "grid")]
        parts += [text(across.at(math.log10(n)), 348, f"{n:,}", "tick")]
    for power in range(math.ceil(up.low), math.floor(up.high) + 1):
        parts += [line(70, up.at(power), 560, up.at(power), "grid")]
        parts += [text(62, up.at(power) + 4, f"{10.0**power:g} s", "end")]
    middle = (up.low + up.high) / 2
    ends = [(x, middle + x - (across.low + across.high) / 2) for x in (across.low, across.high)]
    parts.append(f'<polyline class="linear" points="{corners(ends, across, up)}"/>')
    ordered = sorted(made.items(), key=lambda item: -item[1][-1]["seconds"])
    at = -100.0
    for i, (name, ones) in enumerate(ordered):
        points = [(math.log10(one["rows"]), math.log10(one["seconds"])) for one in ones]
        parts.append(f'<polyline class="c{i}" points="{corners(points, across, up)}"/>')
        parts += [f'<circle class="c{i}" cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3"/>' for x, y in points]
        at = max(at + 16, up.at(points[-1][1]) + 4)  # names don't overlap
        parts.append(text(568, at, name, f"name c{i}"))
    parts.append(text(315, 368, "rows (dashed: linear)", "tick"))
    opening = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 380" width="760" height="380"'
    return f'{opening} role="img" aria-label="CPU seconds of each probe over rows">{"".join(parts)}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 125,000 rows; prints the table")
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "PROBE", "ROWS"), help="one measurement; prints JSON")
    asked = parser.parse_args()
    if asked.one:
        folder, probe, rows = asked.one
        print(json.dumps(measured(Path(folder), probe, int(rows))))
        return
    found, sizes = [], SIZES[:2] if asked.quick else SIZES
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), max(sizes))
        for probe in PROBES:
            for rows in sizes:
                command = [sys.executable, "-m", "benchmarks.scale", "--one", folder, probe, str(rows)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
                print(found[-1], file=sys.stderr, flush=True)
    made = lines(found)
    page = PAGE.format(most=max(one["gb"] for one in found), rows=max(sizes), table=table(made))
    if not asked.quick:
        (DOCS / "scale.md").write_text(page)
        (DOCS / "scale.svg").write_text(picture(made))
    print(page)


if __name__ == "__main__":
    main()
