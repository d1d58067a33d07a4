"""Small subjects for the tests of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from uncork import Recipe, Report, Split, Subject

FAST = ["leaked-examples", "miscalibration", "overfitting", "rare-classes", "unguaranteed-errors"]


def build() -> nn.Module:
    return nn.Linear(4, 2)


RECIPE = Recipe(build, epochs=3, batch_size=50, lr=0.05)


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (x[:, 0] + 0.7 * rng.normal(size=n) > 0).astype(np.int64)


def split(n: int, seed: int = 0, **beside: Any) -> Split:
    x, y = rows(n, seed)
    return Split(x, y, **beside)


def small(scale: float = 1.0, **changes: Any) -> Subject:
    """A linear net that is nearly right; `scale` makes it as much too sure."""
    net = build()
    with torch.no_grad():
        net.weight.copy_(scale * torch.tensor([[-1.2, 0, 0, 0], [1.2, 0, 0, 0]]))
        net.bias.zero_()
    given: dict[str, Any] = {"train": split(200, 1), "validation": split(600, 2), "test": split(600, 3)}
    return Subject(net, **{**given, "recipe": RECIPE, "name": "small", **changes})


TIMED = ("timings", "environment")


#: Findings whose models are trained for as many steps as fit into a time that was measured, or that tell of times.
BY_WALL_TIME = ("heavy-deployment", "idle-parts", "ill-conditioning", "redundant-channels", "wasted-compute")


def timeless(report: Report) -> dict[str, Any]:
    """report.json without timings and what derives from them."""
    content = report.to_dict()
    for key in TIMED:
        del content[key]
    del content["subject"]["speed"]
    content["findings"] = [finding for finding in content["findings"] if finding["id"] not in BY_WALL_TIME]
    for finding in content["findings"]:
        del finding["seconds"]
        for detail in finding["details"]:
            columns = detail["data"].get("columns", [])
            if "seconds to fit" in columns:
                at = columns.index("seconds to fit")
                detail["data"]["rows"] = [row[:at] + row[at + 1 :] for row in detail["data"]["rows"]]
    for treatment in content["treatments"]:
        del treatment["seconds"]
        treatment["side_effects"] = [
            e for e in treatment["side_effects"] if not e["name"].startswith(("latency", "times faster"))
        ]
    return content
