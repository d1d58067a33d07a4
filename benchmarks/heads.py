"""Peak memory and time of 32 heads on 100,000 × 512 features of 100 classes: python benchmarks/heads.py

A process of its own makes rows with planted class means, each a feature vector already (a frozen encoder that passes
them on), and gathers the pool of heads as an audit does: features stored, 32 halves trained in two workers and stored,
put together. Printed are the seconds of each part, the share of unseen rows that a half gets right beside what the
means themselves do, and the peak of what the process and its workers hold together: the sum of their proportional set
sizes, in which a page that several share counts once, read five times a second from /proc (Linux). The rows as given
(205 MB) are part of it. The aim: under 4 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROWS, FEATURES, CLASSES, HEADS = 100_000, 512, 100, 32
OTHERS = 2_000  # rows of validation and of test
INTERVAL = 0.2  # seconds
SPREAD = 0.15  # of the class means; the noise has 1


def held_mb(root: int) -> list[float]:
    """Proportional set sizes of a process and of its descendants, in this order."""
    found = []
    family = {root}
    for pid in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with contextlib.suppress(OSError):  # it has ended
            if pid == root or int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) in family:
                family.add(pid)
                pss = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
                found.append(int(pss[1]) * 1024 / 1e6 if pss else 0.0)
    return found


def net() -> object:
    import torch

    return torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(FEATURES, CLASSES))


def once(folder: Path, stack: int) -> None:
    """Runs in its own process, and prints what it took. `stack`: heads trained at once, 0 for what is timed as best."""
    import uncork
    from uncork.gather._contract import Training
    from uncork.gather._heads import heads
    from uncork.gather.pool import gather, time_members
    from uncork.gather.store import Store
    from uncork.run.admit import admit
    from uncork.run.executor import Executor
    from uncork.schema.pool import Pool

    rng = np.random.default_rng(0)
    means = (SPREAD * rng.normal(size=(CLASSES, FEATURES))).astype(np.float32)

    def split(n: int) -> uncork.Split:
        y = rng.integers(CLASSES, size=n)
        x = rng.standard_normal((n, FEATURES), dtype=np.float32)
        x += means[y]
        return uncork.Split(x, y)

    recipe = uncork.Recipe(net, epochs=2, batch_size=512, lr=3e-3)
    splits = {"train": split(ROWS), "validation": split(OTHERS), "test": split(OTHERS)}
    subject = uncork.Subject(net(), **splits, recipe=recipe)
    seconds, started = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        seconds[name] = round(time.perf_counter() - started, 1)
        started = time.perf_counter()

    fan, request = Executor(), Pool(halves=HEADS)
    context = admit(subject, describe_only=False, seed=0, fan=fan).context
    lap("admit")
    store = Store(folder, "heads")
    context = replace(context, store=store, heads=heads(context, store))
    lap("features")
    context = replace(context, training={"": Training(1.0, stack)} if stack else time_members(request, context))
    lap("timing")
    data = gather.gather(request, context)
    lap("heads")
    assert len(data) == HEADS, data.left_out
    unseen = ~data.trained_on[0]
    x, y = splits["train"].take(np.flatnonzero(unseen)), data.y[unseen]
    right = {
        "half": float((data.on_train[0][unseen].argmax(axis=1) == y).mean()),
        "means": float(((x @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1) == y).mean()),
    }
    print(json.dumps({"stack": context.training[""].stack, "seconds": seconds, "right": right}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stack", type=int, default=0, help="heads trained at once; default: what is timed as best")
    parser.add_argument("--in", dest="folder", type=Path)
    given = parser.parse_args()
    if given.folder is not None:
        once(given.folder, given.stack)
        return
    peak: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--in", name, "--stack", str(given.stack)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                peak = max(peak, held_mb(process.pid), key=sum)
                time.sleep(INTERVAL)
            found = json.loads(process.communicate()[0].splitlines()[-1])
    print(f"{HEADS} heads on {ROWS:,} × {FEATURES} features, {CLASSES} classes, at most {found['stack']} at once")
    print("seconds: " + ", ".join(f"{what} {taken}" for what, taken in found["seconds"].items()))
    print(f"right on unseen rows: {found['right']['half']:.3f}, by the planted means {found['right']['means']:.3f}")
    print(f"peak: {sum(peak):,.0f} MB (aim: 4,000), of each process {', '.join(f'{mb:.0f}' for mb in peak)}")


if __name__ == "__main__":
    main()
