"""Training takes longer than its arithmetic does.

What it measures
----------------
How many times as many rows a second the recipe's training could take in, on this machine, learning the same; and where
the wall time of a step goes: reading rows, each module, backward, optimiser, padding; beside the machine's peak.

Why it limits the model
-----------------------
Time that a processor waits, or spends on moving numbers about, could have been more epochs, more trials, more data.

Estimator
---------
All ways of taking a step are timed in the same rounds, in another order each round; a factor is that of medians over
stretches of rounds: geometric mean, t on the logarithms (`derived/speed.py`).
`stall`: share of a step spent on reading, preparing and augmenting rows, 1 − t(batch held ready) / t(as it is).
`times_faster`: rows a second of the fastest way that learns the same over those as it is, the headroom: of a batch held
ready, as workers that read ahead would have it, and on a GPU of torch.compile too. It is picked on even rounds and
measured on odd ones. `other_batch`: of the best of half, twice and four times the batch, over the recipe's;
`other_precision`: of bfloat16 in place of float32, or the other way round; both with batches held ready. These learn
something else: they are no headroom before a training has shown that they learn as much.
`utilisation`: operations of forward and backward, counted (2 for a multiplication and addition; matrix products,
convolutions, attention), over wall time, as a share of what one large matrix product does a second in the same
precision and threads. `padding`: share of tokens that are padding; mean over batches.
The verdict: wasteful where `times_faster` is surely above 1.25.

When it misleads
----------------
Workers that read ahead need processors of their own; where all are busy with the step they gain less. Files that were
read lately come from memory; reads that wait only now and then hardly show in medians. A light net can't reach the
peak, whatever is done. What is not counted (norms, activations) takes time. Where batches differ in length operations
are the middle of 11 batches', whose luck the interval of `utilisation` does not hold.

Remedies and their safety
-------------------------
`faster-training` (checked): the batch that learns from most rows a second, its learning rate scaled, kept where it
surely loses less than δ. Ask for it by name where rows come fast enough. The rest is advice: read ahead in workers (a
DataLoader with `num_workers` and `prefetch_factor`), hold what fits in memory, sort texts by length, train by the
precision and compiler that the table shows to pay.

Example
-------
>>> import numpy as np
>>> from uncork.testing.training_step import training_step
>>> found = measure(step=training_step(stall=0.5), rng=np.random.default_rng(0))
>>> round(found.estimates["stall"].value, 1), found.headroom.low > 1.9
(0.5, True)

References
----------
Mohan et al., Analyzing and mitigating data stalls in DNN training, VLDB 2021. Chowdhery et al., PaLM, JMLR 24, 2023
(utilisation of model FLOPs). McCandlish et al., An empirical model of large-batch training, arXiv 1812.06162, 2018.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.training_step import best_batch, best_way, faster_than, stall, utilisation
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.training_step import HELD, LOADED, PRECISIONS, TrainingStep, TrainingStepData
from uncork.stats.means import mean
from uncork.stats.quantiles import median

TOLERATED = 1.25  # times faster, not worth a change


@probe(
    tier="defect",
    column="cost",
    title="Training takes little longer than its arithmetic does",
    failure_title="Training takes longer than its arithmetic does",
    requires={"step": TrainingStep()},
    remedies=("faster-training",),
    preview=True,
)
def measure(*, step: TrainingStepData, rng: np.random.Generator) -> Measurement | NotApplicable:
    (way, faster), batch = best_way(step), best_batch(step)
    other = next(precision for precision in PRECISIONS if precision != step.precision)
    found = {
        "times_faster": faster,
        "stall": stall(step),
        "utilisation": utilisation(step),
        "padding": mean(step.padding, unit="share of tokens", bounds=(0.0, 1.0)) if len(step.padding) else None,
        "other_batch": None if batch is None else batch[1],
        "other_precision": faster_than(step, other) if other in step.ways else None,
    }
    estimates = {name: estimate for name, estimate in found.items() if estimate is not None}
    return Measurement(
        estimates,
        headroom=faster,
        against=Limit("times_faster", at_most=TOLERATED),
        details=(_ways(step), _parts(step)),
        summary=_summary(step, way, estimates),
    )


def _ways(data: TrainingStepData) -> Detail:
    rows = []
    for at, way in enumerate(data.ways):
        faster = faster_than(data, way, LOADED)
        per_second = round(float(data.rows[at] / np.median(data.seconds[:, at])), 1)
        rows.append([way, int(data.rows[at]), per_second, faster.value, faster.low, faster.high])
    missing = "; ".join(f"{way}: {why}" for way, why in data.missing.items())
    threads = f"{data.threads} thread{'s' * (data.threads > 1)}"
    return Detail(
        "table",
        f"Ways of taking a step ({data.device}, {threads})",
        {"columns": ["way", "rows a step", "rows a second", "times faster", "low", "high"], "rows": rows},
        note=f"Not measured: {missing}." if missing else "",
    )


def _parts(data: TrainingStepData) -> Detail:
    total, rows = float(np.median(data.part_seconds.sum(axis=1))), []
    for at, part in enumerate(data.parts):
        spent = median(1000 * data.part_seconds[:, at], unit="ms")
        share = float(np.median(data.part_seconds[:, at])) / total
        rows.append(
            [part, spent.value, spent.low, spent.high, round(share, 3), round(int(data.part_flops[at]) / 1e6, 1)]
        )
    return Detail(
        "table",
        "Where the time of a step goes",
        {"columns": ["part", "ms", "low", "high", "share", "million operations, forward"], "rows": rows},
        note="Medians; intervals by order statistics. Modules that a wrapper alone holds are shown, not the wrapper.",
    )


def _summary(data: TrainingStepData, way: str, estimates: dict[str, Estimate]) -> str:
    waiting, faster, used = estimates["stall"], estimates["times_faster"], estimates.get("utilisation")
    said = []
    if waiting.value is not None:
        said.append(f"Reading and preparing rows takes {waiting.value:.0%} of a step.")
    if faster.value is not None:
        how = "With batches held ready" if way == HELD else f"By {way}, batches held ready,"
        said.append(f"{how} it learns from {faster.value:.2f} times as many rows a second{interval(faster, '.2f')}.")
    if used is not None and used.value is not None:
        said.append(f"A step whose batch is ready does {used.value:.0%} of what a matrix product does a second.")
    return " ".join(said)
