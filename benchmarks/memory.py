"""Peak memory of an audit of 1,000,000 rows against one of 100,000: python benchmarks/memory.py

Each audit runs in a process of its own on a memory map of so many rows × 64 features, through a small net; the figure
is the process's peak resident memory. The aim: at most 300 MB apart.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FEATURES, CLASSES = 64, 10


def make(path: Path, rows: int) -> None:
    """A memory map of random rows, written in pieces."""
    data = np.lib.format.open_memmap(path, "w+", np.float32, (rows, FEATURES))
    rng = np.random.default_rng(0)
    for start in range(0, rows, 50_000):
        data[start : start + 50_000] = rng.normal(size=(min(50_000, rows - start), FEATURES))
    data.flush()


def audit_once(folder: Path, rows: int) -> None:
    """Runs in its own process: describes `rows` rows and prints seconds and peak memory."""
    import torch

    import uncork

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(FEATURES, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))
    x = np.load(folder / f"{rows}.npy", mmap_mode="r")
    y = np.random.default_rng(1).integers(CLASSES, size=rows)
    train = uncork.Split(x[:10_000].copy(), y[:10_000])
    subject = uncork.Subject(net, test=uncork.Split(x, y), train=train)
    started = time.perf_counter()
    uncork.audit(subject, out=folder / f"run-{rows}", describe_only=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"rows": rows, "seconds": round(seconds, 1), "peak_mb": round(peak)}))


def main() -> None:
    if len(sys.argv) == 3:
        audit_once(Path(sys.argv[1]), int(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        results = []
        for rows in (100_000, 1_000_000):
            make(Path(name) / f"{rows}.npy", rows)
            command = [sys.executable, __file__, name, str(rows)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(results[-1])
    print(f"apart: {results[1]['peak_mb'] - results[0]['peak_mb']} MB (aim: 300)")


if __name__ == "__main__":
    main()
