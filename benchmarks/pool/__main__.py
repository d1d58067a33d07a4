"""Are the pool's answers true, and what do they cost beside its peers'? python -m benchmarks.pool

    --part PART             one part only: labels, confirmed, membership, curve or cost
    --quick                 the cheapest cases of each part, with a page of their own in OUT/quick
    --page                  only write the page from what is there

Results go to OUT/PART/CASE.json (default runs/pool) and are not made again: stopped, it goes on from there. Delete the
files of what has changed. docs/pool.md is written from all that is there. One process with one thread, about half an
hour; the dear cases come last. The data sets are looked for where benchmarks/diagnosis/sets.py says; a case without
its data is skipped with a line saying so.
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
OUT = ROOT / "runs" / "pool"
PARTS = ("labels", "confirmed", "curve", "membership", "cost")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, then writes the page."""
    import torch

    from benchmarks.pool import page

    torch.set_num_threads(1)
    asked = parse(arguments)
    out = asked.out / "quick" if asked.quick else asked.out
    wanted = [case for part in PARTS if asked.part in (None, part) for case in modules()[part].cases(asked.quick)]
    todo = [] if asked.page else [case for case in wanted if not place(out, case).exists()]
    todo.sort(key=lambda case: case.late)
    started = time.perf_counter()
    for done, case in enumerate(todo, start=1):
        try:
            content = run(case)
        except FileNotFoundError as error:
            print(f"{done}/{len(todo)} skipped: {case.part} {case.key}, {error}", flush=True)
            continue
        write(place(out, case), content)
        minutes = (time.perf_counter() - started) / 60
        print(f"{done}/{len(todo)} after {minutes:.1f} min: {case.part} {case.key} {content['cpu']:.1f} s", flush=True)
    designed = {part: modules()[part].cases(asked.quick) for part in PARTS}
    records = {part: load(out, cases) for part, cases in designed.items()}
    missing = {part: [case for case in cases if not place(out, case).exists()] for part, cases in designed.items()}
    text = page.text(records, missing)
    whole = out.resolve() == OUT
    (ROOT / "docs" / "pool.md" if whole else out / "pool.md").write_text(text)
    print(text)


def modules() -> dict[str, Any]:
    from benchmarks.pool import confirmed, cost, curve, labels, membership

    return {"labels": labels, "confirmed": confirmed, "curve": curve, "membership": membership, "cost": cost}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(arguments)


def run(case: Any) -> dict[str, Any]:
    """What a case's part measures, with what it is of and the seconds of processor it took."""
    started = time.process_time()
    found = modules()[case.part].measure(case)
    about = {"name": case.data.name, "net": case.net, "seed": case.seed, "kind": case.kind, "rate": case.rate}
    return {**about, **found, "cpu": time.process_time() - started}


def place(out: Path, case: Any) -> Path:
    return out / case.part / f"{case.key}.json"


def load(out: Path, cases: Sequence[Any]) -> list[dict[str, Any]]:
    return [json.loads(place(out, case).read_text()) for case in cases if place(out, case).exists()]


def write(path: Path, content: dict[str, Any]) -> None:
    from uncork.gather.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
