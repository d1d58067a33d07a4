"""The peak of memory that a model takes, measured in a process of its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

from uncork.models.base import Model
from uncork.schema.errors import Unavailable

SECONDS = 120  # after which the process is given up
RUNS = 3
STATUS = Path("/proc/self/status")


def peak_bytes(model: Model, batch: Any) -> float:
    """Bytes at the peak of loading `model` and running `batch`, beyond those of the process with its libraries alone.

    Resident memory as the operating system counts it, which sees what torch and onnxruntime take. Raises Unavailable
    where the process can't load the model.
    """
    try:
        content = cloudpickle.dumps((model, batch))
    except Exception as error:  # whatever a user's model holds
        raise Unavailable(f"the model can't be sent to another process: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(content)
        told = json.dumps([sys.path, str(path)])
        command = [sys.executable, "-c", "from uncork.gather._peak import measured; measured()"]
        try:
            ran = subprocess.run(command, input=told, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"memory could not be measured in another process: {error}") from None
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
        raise Unavailable(f"memory could not be measured in another process: {last}")
    return float(ran.stdout.strip().splitlines()[-1])


def measured() -> None:
    """In the other process: writes the bytes."""
    paths, file = json.loads(sys.stdin.read())
    sys.path[:] = paths
    import torch  # noqa: F401

    with suppress(ImportError):
        import onnxruntime  # noqa: F401
    before = _resident()
    with open(file, "rb") as source:
        model, batch = pickle.load(source)
    for _ in range(RUNS):
        model.outputs(batch)
    sys.stdout.write(f"{_peak() - before}\n")


def _resident() -> int:
    """Bytes that the process holds now; the peak so far is forgotten where the system lets it be."""
    if not STATUS.exists():
        return _peak()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS")


def _peak() -> int:
    """Linux counts this process alone; ru_maxrss would hold the peak of the one that started it, too."""
    if STATUS.exists():
        return _kilobytes("VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
