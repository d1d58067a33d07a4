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

os.environ.setdefault("OMP_NUM_THREADS", "1")

from joblib import Parallel, delayed

from uncork import Report, Split, audit
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.planted.data import SETS
from uncork.planted.faults import FAULTS
from uncork.planted.ground import Ground, lay
from uncork.planted.subjects import planted as planted_subject
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


def passes(ground: Ground) -> tuple[list[PassData], PassData]:
    """Outputs on test, with its true labels, of a model of each training seed; and the first one's on validation."""
    models = [as_model(ground.fit(seed), "classification") for seed in range(SEEDS)]
    on_test = [forward(model, Split(ground.test[0], ground.test_truth), name="test") for model in models]
    return on_test, forward(models[0], Split(*ground.validation), name="validation")


def row(fault: str) -> str:
    """One line of the table."""
    import torch

    torch.set_num_threads(1)
    cells = figures(fault) if FAULTS[fault].column == "quality" else ["", "", ""]
    return f"| `{fault}` | {FAULTS[fault].finding} | {' | '.join(cells)} | {', '.join(named(fault)) or 'nothing'} |"


def figures(fault: str) -> list[str]:
    planted = FAULTS[fault].plant(lay(SETS["mnist-5k"], 0), FAULTS[fault].usual)
    (before, faulty), (after, sound) = passes(planted.faulty), passes(planted.repaired)
    cost = gain_over_seeds(METRIC, before, after)
    least = detectable(gain(METRIC, faulty, sound), DELTA, quality_family())
    power = "undetermined" if cost.value is None or least is None else "yes" if cost.value > least else "no"
    return [interval(cost), number(least), power]


def named(fault: str) -> list[str]:
    """What the audit of the demo with this fault shows."""
    with tempfile.TemporaryDirectory() as folder:
        report: Report = audit(planted_subject(fault), out=Path(folder) / "run")
    return [f"`{f.id}`" for f in report.findings if f.verdict == "bottleneck"]


def main() -> None:
    rows = Parallel(n_jobs=os.cpu_count(), batch_size=1)(delayed(row)(fault) for fault in FAULTS)
    head = ["| fault | finding | costs | detectable | power | the audit |", "|---|---|---|---|---|---|"]
    page = PAGE.format(seeds=SEEDS, delta=DELTA, family=quality_family(), table="\n".join(head + list(rows)), text=TEXT)
    (DOCS / "power.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
