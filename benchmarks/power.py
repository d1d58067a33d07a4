"""Can the demo find what it plants? python benchmarks/power.py writes docs/power.md

For every fault of `uncork demo --plant`: what undoing it gains on test (three training seeds of the faulty and of the
sound recipe, crossed with the rows), beside the smallest headroom that the demo's 2,000 rows of validation would prove
with probability .8, from the paired difference of one faulty and one sound model. And what the audit of the demo says.
About ten minutes on two cores.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from joblib import Parallel, delayed

from uncork import Report, Split, audit
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.planted.data import SETS
from uncork.planted.faults import FAULTS, Planted
from uncork.planted.ground import Ground, lay
from uncork.report.numbers import interval, number
from uncork.run.rank import quality_family
from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.stats.crossed import gain_over_seeds
from uncork.stats.power import detectable
from uncork.stats.score import gain

METRIC, DELTA, SEEDS = Metric("error"), 5.0, 3
DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = """# What the demo can find

Written by `python benchmarks/power.py`. All figures are errors per 1,000.

*Costs*: what undoing the fault gains on the 2,000 rows of test with their true labels, over rows and {seeds} training
seeds. *Detectable*: the smallest headroom that the 2,000 rows of validation would prove to be above δ = {delta:g} with
probability .8, corrected for the {family} registered defects of quality, where a remedy and the model are compared row
by row; it is worked out from the disagreements of one faulty and one sound model. *Power*: whether the fault costs more
than that. *The audit*: what `uncork demo --plant` shows to be a bottleneck; it finds what it has a probe for.

{table}

{text}
"""
TEXT = """A fault whose cost is under the detectable headroom is planted, but is too mild for these rows: there the
right answer is "undetermined". Gates, trust and cost are not found by their errors, and have no detectable headroom."""


def trained(ground: Ground) -> list[Any]:
    """A model of each training seed."""
    return [ground.fit(seed) for seed in range(SEEDS)]


def row(fault: str, sound: list[Any]) -> str:
    """One line of the table. `sound`: the demo's models without a fault, which most repairs come to."""
    import torch

    torch.set_num_threads(1)
    ground = lay(SETS["mnist-5k"], 0)
    planted = FAULTS[fault].plant(ground, FAULTS[fault].usual)
    quality = FAULTS[fault].column == "quality"
    faulty = trained(planted.faulty) if quality else [planted.faulty.fit(0)]
    cells = ["", "", ""]
    if quality:
        cells = figures(planted, faulty, sound if planted.repaired is ground else trained(planted.repaired))
    names = ", ".join(named(planted.faulty, faulty[0])) or "nothing"
    return f"| `{fault}` | {FAULTS[fault].finding} | {' | '.join(cells)} | {names} |"


def figures(planted: Planted, faulty: list[Any], repaired: list[Any]) -> list[str]:
    def on_test(model: Any) -> PassData:
        return forward(as_model(model, "classification"), Split(planted.faulty.test[0], planted.faulty.test_truth))

    def on_validation(ground: Ground, model: Any) -> PassData:
        return forward(as_model(model, "classification"), Split(*ground.validation))

    cost = gain_over_seeds(METRIC, [on_test(m) for m in faulty], [on_test(m) for m in repaired])
    pair = on_validation(planted.faulty, faulty[0]), on_validation(planted.faulty, repaired[0])
    least = detectable(gain(METRIC, *pair), DELTA, quality_family())
    power = "undetermined" if cost.value is None or least is None else "yes" if cost.value > least else "no"
    return [interval(cost), number(least), power]


def named(ground: Ground, model: Any) -> list[str]:
    """What the demo's audit of this model shows to be a bottleneck."""
    with tempfile.TemporaryDirectory() as folder:
        report: Report = audit(ground.subject(model), out=Path(folder) / "run")
    return [f"`{f.id}`" for f in report.findings if f.verdict == "bottleneck"]


def main() -> None:
    sound = trained(lay(SETS["mnist-5k"], 0))
    rows = Parallel(n_jobs=os.cpu_count(), batch_size=1)(delayed(row)(fault, sound) for fault in FAULTS)
    head = ["| fault | finding | costs | detectable | power | the audit |", "|---|---|---|---|---|---|"]
    page = PAGE.format(seeds=SEEDS, delta=DELTA, family=quality_family(), table="\n".join(head + list(rows)), text=TEXT)
    (DOCS / "power.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
