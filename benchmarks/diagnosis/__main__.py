"""Scores auditors on subjects with known faults: python -m benchmarks.diagnosis

    --quick                 a few severe faults of quality on the cheaper open sets: at most 15 minutes on two cores
    --half open             only the sets that thresholds may be set on; the frozen ones wait
    --auditors uncork,random
    --auditor my.module:name   one more auditor: (subject, seed) -> [(finding, headroom, low, high), …]
    --subjects my.module:list  cases made elsewhere: a list of objects with the members of `cases.Case`
    --score                 only score what is there

Results go to OUT/CASE/NAME.json (default runs/diagnosis) and are not made again: stopped, it goes on from there. Delete
the files of what has changed. The whole benchmark, of all auditors here and no other, writes docs/diagnosis.md and
.svg; a part of it, or another OUT, a page of its own in OUT, unless --docs says where. The data sets are looked for
where sets.py says.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "runs" / "diagnosis"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # jobs stand side by side: one thread each


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing, then scores."""
    from joblib import Parallel, delayed

    from benchmarks.diagnosis import page, scores
    from benchmarks.diagnosis.auditors import AUDITORS

    asked = parse(arguments)
    cases = chosen(asked)
    named = asked.auditors.split(",") if asked.auditors else list(AUDITORS)
    if unknown := set(named) - set(AUDITORS):
        raise SystemExit(f"there is no auditor {', '.join(sorted(unknown))}: choose from {', '.join(AUDITORS)}")
    for spec in asked.auditor:
        if not callable(resolve(spec)):
            raise SystemExit(f"{spec} can't be called: an auditor is a function (subject, seed) -> answers")
    jobs = [] if asked.score else [(case, missing(asked, case, named)) for case in cases]
    jobs = [job for job in jobs if job[1]]
    # In a random order a run that is stopped has seen a fair sample of all.
    order = np.random.default_rng(0).permutation(len(jobs))
    started = time.perf_counter()
    work = (delayed(run)(*jobs[i], asked.out) for i in order)
    lines = Parallel(n_jobs=asked.jobs, return_as="generator_unordered", batch_size=1)(work)
    for done, line in enumerate(lines, start=1):
        print(f"{done}/{len(jobs)} after {(time.perf_counter() - started) / 60:.1f} min: {line}", flush=True)
    records = scores.load(asked.out, [case.key for case in cases])
    if not records:
        raise SystemExit(f"{asked.out} holds no result of these cases: run them first, without --score")
    docs = asked.docs or (ROOT / "docs" if is_whole(asked) else asked.out)
    page.write(records, docs, designed=len(cases))
    print((docs / "diagnosis.md").read_text())


def is_whole(asked: argparse.Namespace) -> bool:
    """Whether this is the benchmark as it is published, no part of it and nobody else's answers in it."""
    part = asked.quick or asked.subjects or asked.half != "all" or asked.auditors or asked.auditor
    return not part and asked.out.resolve() == OUT


def missing(asked: argparse.Namespace, case: Any, named: Sequence[str]) -> list[str]:
    """What is still to be measured of a case. Baselines name quality alone, so the other columns are not theirs."""
    theirs = [name for name in named if name == "uncork" or case.column in ("quality", "healthy")]
    return [name for name in ("truth", *theirs, *asked.auditor) if not place(asked.out, case, name).exists()]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--half", choices=("open", "frozen", "all"), default="all")
    parser.add_argument("--auditors", help="names, with commas; default all")
    parser.add_argument("--auditor", action="append", default=[], metavar="MODULE:NAME")
    parser.add_argument("--subjects", metavar="MODULE:LIST")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args(arguments)


def chosen(asked: argparse.Namespace) -> list[Any]:
    """The cases asked for. Raises SystemExit where nothing is left, or the data are not there."""
    from benchmarks.diagnosis.cases import design, quick
    from benchmarks.diagnosis.sets import FOLDER

    if asked.subjects:
        cases = resolve(asked.subjects)
        members = ("key", "group", "column", "frozen", "subject", "truth")
        if not isinstance(cases, list | tuple) or any(not hasattr(c, m) for c in cases for m in members):
            raise SystemExit(f"{asked.subjects} is no list of cases: each has {', '.join(members)}")
    else:
        if not FOLDER.is_dir():
            raise SystemExit(f"there is no {FOLDER}: set UNCORK_SHARED to the folder of the data (see sets.py)")
        cases = quick() if asked.quick else design()
    cases = [case for case in cases if asked.half in ("all", "frozen" if case.frozen else "open")]
    if not cases:
        raise SystemExit("no case is left to run: widen --half, or look at the list that --subjects names")
    return cases


def resolve(spec: str) -> Any:
    """What MODULE:NAME names."""
    module, _, name = spec.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(f"{spec} can't be found ({error}): give module:name, importable from here") from None


def place(out: Path, case: Any, name: str) -> Path:
    return out / case.key / f"{name.replace(':', '.')}.json"


def run(case: Any, names: Sequence[str], out: Path) -> str:
    """A case's truth and the auditors' answers, each into its file. A case that can't be made is said, and left."""
    import torch

    torch.set_num_threads(1)
    said = []
    try:
        subject = case.subject() if set(names) != {"truth"} else None
        for name in names:
            started = time.perf_counter()
            if name == "truth":
                content = {**case.truth().as_json(), "key": case.key, "group": case.group, "frozen": case.frozen}
            else:
                content = answered(name, subject)
            write(place(out, case, name), content)
            said.append(f"{name} {time.perf_counter() - started:.1f} s{' FAILED' if content.get('error') else ''}")
    except Exception as error:
        said.append(f"FAILED, and is left out: {type(error).__name__}: {error}")
    return f"{case.key}: {', '.join(said)}"


def answered(name: str, subject: Any) -> dict[str, Any]:
    """What an auditor says of a subject, and how long it took."""
    from benchmarks.diagnosis.auditors import AUDITORS

    started, answers, error = time.perf_counter(), [], ""
    try:
        auditor = AUDITORS[name] if name in AUDITORS else resolve(name)
        answers = [list(answer) for answer in auditor(subject, 0)]
    except Exception:
        error = traceback.format_exc()
    return {"answers": answers, "seconds": time.perf_counter() - started, "error": error}


def write(path: Path, content: dict[str, Any]) -> None:
    from uncork.gather.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
