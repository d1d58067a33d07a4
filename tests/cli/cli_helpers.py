"""What the tests of the command line share: subject files, and what a command said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: What every subject file below begins with.
PRELUDE = """
import numpy as np
import torch
from torch import nn
from uncork import Metric, Predictions, Recipe, Split, Subject, load_weights

rng = np.random.default_rng(0)
x = rng.normal(size=(400, 4)).astype("float32")
y = (x[:, 0] + 0.5 * rng.normal(size=400) > 0).astype("int64")
test, train = Split(x[:300], y[:300]), Split(x[300:], y[300:])

def build():
    torch.manual_seed(0)
    return nn.Linear(4, 2)

net = build()
"""

HEALTHY = "subject = Subject(net, test=test, train=train)\n"


@dataclass(frozen=True)
class Said:
    """What one command did: its exit code, and what it said where."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The last line of stderr: `uncork: …`; further lines of the same message included."""
        return "uncork: " + self.err.rpartition("uncork: ")[2].strip()


Cli = Callable[..., Said]


def left_behind(folder: Path) -> list[str]:
    """What lies in the folder besides the subject's own files."""
    return sorted(
        p.name for p in folder.iterdir() if p.suffix not in (".py", ".pt", ".csv") and p.name != "__pycache__"
    )
