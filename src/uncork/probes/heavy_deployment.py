"""Answering takes longer than it has to.

What it measures
----------------
How long one row takes, at the median and in the slowest one of ten and of a hundred, on one thread and on all; rows a
second by rows at once; peak memory; bytes. For a torch module also by torch.compile and by onnxruntime.

Why it limits the model
-----------------------
Time, memory and energy are paid with every prediction; on a phone, or where somebody waits, they decide whether a model
can be used at all.

Estimator
---------
`latency_p50`, `latency_p90`, `latency_p99`: of one row, by the model as it is, on the number of threads at which its
median is lowest; order statistics, unit: one run of a random row of validation, runs taken as independent. The upper
end of p99 takes 368 runs; of fewer it is unknown. `throughput`: rows a second of the model as it is, at the size of
batch where it is largest, from the median of its runs.
`times_faster`: median time of one row by the model as it is over that of the fastest other engine that decides alike
on all rows that were looked up, both on the threads that suit them best. What is compared is chosen on the first
quarter of the runs; the factor comes from the rest: the ratio of medians in each of ten stretches of time, geometric
mean, t on the logarithms. Runs that follow one another share what the machine is busy with, so that they are no units;
stretches are taken as independent. The factor and its ends are 1 or more: nobody has to change the engine.
The verdict: too slow where p99 is surely above `require={"latency_ms": ...}`; where none is stated, where another
engine is surely more than 1.25 times faster.
Headroom: `times_faster`. Of equal decisions in n rows, no more than 3 / n may be otherwise with 95 % confidence.

When it misleads
----------------
Times are this machine's, under its load of that hour: only what was timed side by side can be compared. Another
processor has another order of engines. An engine that the model is not run by (TensorRT, CoreML) may be faster still.
Batches are few runs each: their order is rough. Peak memory counts what the allocators keep.

Remedies and their safety
-------------------------
`export` writes the file that onnxruntime runs. `quantise` (checked) takes eight bits, `half` (checked) sixteen,
`low-rank` (checked) factors matrices, `distil` (checked) trains a smaller net on what this one says, `early-exit`
(checked) stops where the answer is clear. All are tried when they are asked for, judged by what is lost and what is
really saved.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.deployment import deployment
>>> found = measure(deployment=deployment(faster=3.0), facts=facts(), rng=np.random.default_rng(0))
>>> found.estimates["times_faster"].low > 2.5, found.estimates["latency_p99"].high is not None
(True, True)

References
----------
Conover, Practical nonparametric statistics, 1999, §3.2. Reddi et al., MLPerf inference benchmark, ISCA 2020 (tail
latency). Hoefler & Belli, Scientific benchmarking of parallel computing systems, SC 2015.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.deployment import fastest, latency, throughput
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.deployment import Deployment, DeploymentData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.quantiles import median

TOLERATED = 1.25  # times faster, not worth a change
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@probe(
    tier="defect",
    column="cost",
    title="Answering takes no longer than it has to",
    failure_title="Answering takes longer than it has to",
    requires={"deployment": Deployment(), "facts": Facts()},
    remedies=("export", "quantise", "half", "low-rank", "distil", "early-exit"),
    preview=True,
)
def measure(*, deployment: DeploymentData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    data, most = deployment, facts.require.get("latency_ms")
    own, engine, faster = fastest(data)
    estimates = {f"latency_{name}": latency(data, own, q) for name, q in QUANTILES.items()}
    estimates |= {"throughput": throughput(data, 0), "times_faster": faster}
    against = Limit("times_faster", at_most=TOLERATED) if most is None else Limit("latency_p99", at_most=most)
    return Measurement(
        estimates,
        headroom=faster,
        against=against,
        details=(_table(data), _curve(data)),
        summary=_summary(data, own, engine, estimates),
    )


def _table(data: DeploymentData) -> Detail:
    rows = []
    for i, name in enumerate(data.engines):
        for t, threads in enumerate(data.threads):
            times = [latency(data, (i, t), q).value for q in QUANTILES.values()]
            swept = data.sizes / np.median(data.batch[i, t], axis=1)
            best = None if np.isnan(swept).all() else int(swept.argmax())
            memory = data.memory[i]
            rows.append(
                [
                    name,
                    threads,
                    *[None if x is None else round(x, 3) for x in times],
                    None if best is None else int(data.sizes[best]),
                    None if best is None else round(float(swept[best]), 1),
                    None if best is None else round(1000 * float(np.quantile(data.batch[i, t, best], 0.9)), 3),
                    int(data.bytes[i]) or None,
                    None if np.isnan(memory) else int(memory),
                    int(data.flips[i]),
                ]
            )
    columns = ["engine", "threads", "p50 ms", "p90 ms", "p99 ms", "best batch", "rows a second", "p90 ms of a batch"]
    missing = [f"{name} was not measured: {why}" for name, why in data.missing.items()]
    missing += [f"memory was not measured: {data.no_memory}"] * bool(data.no_memory)
    return Detail(
        "table",
        f"One row at a time ({data.single.shape[2]} runs), and batches of {data.sizes[0]} to {data.sizes[-1]}",
        {"columns": [*columns, "bytes", "peak bytes", f"other decisions in {data.rows}"], "rows": rows},
        note=". ".join(missing),
    )


def _curve(data: DeploymentData) -> Detail:
    """Of the model as it is, on one thread."""
    found = [median(size / seconds, unit="") for size, seconds in zip(data.sizes, data.batch[0, 0], strict=True)]
    ends = {end: [getattr(e, end) for e in found] for end in ("low", "high")}
    known = all(x is not None for values in ends.values() for x in values)
    return Detail(
        "curve",
        f"Rows a second by rows at once ({data.engines[0]}, one thread)",
        {
            "x": [float(size) for size in data.sizes],
            "y": [e.value for e in found],
            "low": ends["low"] if known else None,
            "high": ends["high"] if known else None,
            "x_label": "rows at once",
            "y_label": "rows a second",
            "diagonal": False,
        },
    )


def _summary(data: DeploymentData, own: tuple[int, int], engine: tuple[int, int], found: dict[str, Estimate]) -> str:
    middle, slow, faster = found["latency_p50"], found["latency_p99"], found["times_faster"]
    said = f"One row takes {middle.value:.3g} ms{interval(middle, '.3g')}, 1 of 100 more than {slow.value:.3g} ms"
    said += interval(slow, ".3g") if slow.high is not None else f" (upper end unknown from {slow.n} runs)"
    said += f", by {data.engines[0]} on {data.threads[own[1]]} thread{'s' * (data.threads[own[1]] > 1)}."
    if engine == own or faster.value is None:
        return f"{said} No other engine that decides alike was faster."
    name = data.engines[engine[0]]
    quicker = f"{faster.value:.2f} times as fast{interval(faster, '.2f')}"
    return f"{said} {name} is {quicker}, and decides {data.rows} rows alike."
