"""What do treatments realise of what was promised, and of what undoing the fault gains? python -m benchmarks.treat

    --part PART             one part only: planted, healthy or real
    --cases KEY,KEY         these cases only, as PART's files are named
    --quick                 digits and breast-cancer with a minute for each step, with a page of their own in OUT/quick
    --page                  only write the page from what is there

planted: the faults of quality on the open half of the diagnosis benchmark's data sets; healthy: the same sets without
a fault; real: larger parts of five sets, as they are. Results go to OUT/PART/CASE.json (default runs/treat) and are not
made again: stopped, it goes on from there. Delete the files of what has changed. What undoing a fault gains is read
from runs/diagnosis, and measured where it is not there. docs/treat.md is written from all results that are there. One
case at a time; what an audit and a treatment train runs in processes side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "runs" / "treat"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, then writes the page."""
    import torch

    from benchmarks.treat import page
    from benchmarks.treat.cases import cases
    from benchmarks.treat.measure import measure

    torch.set_num_threads(1)
    asked = parse(arguments)
    out = asked.out / "quick" if asked.quick else asked.out
    designed = cases(quick=asked.quick)
    todo = [] if asked.page else chosen(asked, out, designed)
    started = time.perf_counter()
    for done, (part, case) in enumerate(todo, start=1):
        try:
            write(out / part / f"{case.key}.json", measure(part, case, quick=asked.quick))
            said = "done"
        except Exception as error:
            said = f"FAILED, and is left out: {type(error).__name__}: {error}"
        minutes = (time.perf_counter() - started) / 60
        print(f"{done}/{len(todo)} after {minutes:.1f} min: {part} {case.key} {said}", flush=True)
    places = {part: [out / part / f"{case.key}.json" for case in of] for part, of in designed.items()}
    records = {part: [json.loads(p.read_text()) for p in of if p.exists()] for part, of in places.items()}
    text = page.text(records, {part: [p.stem for p in of if not p.exists()] for part, of in places.items()})
    target = ROOT / "docs" / "treat.md" if out.resolve() == OUT else out / "treat.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    print(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("planted", "healthy", "real"))
    parser.add_argument("--cases", type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(arguments)


def chosen(asked: argparse.Namespace, out: Path, designed: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """(part, case) of what was asked for and is missing. Raises SystemExit for a case that there is none of."""
    wanted = [(part, case) for part, of in designed.items() if asked.part in (None, part) for case in of]
    if unknown := set(asked.cases or ()) - {case.key for _, case in wanted}:
        raise SystemExit(
            f"there is no case {', '.join(sorted(unknown))}: choose from {', '.join(c.key for _, c in wanted)}"
        )
    return [
        (part, case)
        for part, case in wanted
        if (asked.cases is None or case.key in asked.cases) and not (out / part / f"{case.key}.json").exists()
    ]


def write(path: Path, content: dict[str, Any]) -> None:
    from uncork.gather.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
