"""The exported net says another thing than the model.

What it measures
----------------
On how many rows of validation the model, exported to ONNX and run by onnxruntime, decides or scores otherwise than the
model itself. Beside it whether batches of 1, 7 and 64 rows agree, whether the file answers alike when asked twice, and
how a file in eight bits decides.

Why it limits the model
-----------------------
What was measured is the model; what is deployed is the file. Dropout that was left on, code that hangs on the batch, an
operator that is translated wrongly: none raises an error, and all are found only by asking both.

Estimator
---------
`mismatch`: rows whose class differs, or one of whose logits (whose value) by more than a thousandth of the logits'
standard deviation, which sums in another order don't reach; per 1,000. `flips`: rows of another class. Each end of the
intervals holds with 95 %, so that no such row among n bounds their share by 1 − .05^(1/n), the rule of three: .03 % of
10,000. Clopper–Pearson; unit: one row, one group where there are groups (Korn–Graubard). `flips_int8`: the same of the
file in eight bits, for which nothing is judged: that rounds on purpose.
The verdict: a mismatch where surely more than 5 in 1,000 rows differ, none where surely fewer do.

When it misleads
----------------
The file is run by onnxruntime on this machine's processor: others, and other runtimes, sum in other orders. Rows unlike
validation's may take another path through the code. Random answers of the model itself count as a mismatch too, and are
one.

Remedies and their safety
-------------------------
None: where the answers differ from call to call, switch off in eval mode what draws at random; else bring the model's
code to what the exporter takes.

Example
-------
>>> import numpy as np
>>> from uncork.testing.exported import exported
>>> found = measure(exported=exported(10_000), rng=np.random.default_rng(0))
>>> found.estimates["flips"].value, round(found.estimates["flips"].high, 2)
(0.0, 0.3)

References
----------
Clopper & Pearson, Biometrika 26, 1934. Hanley & Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA
249, 1983 (the rule of three).
"""

from __future__ import annotations

import numpy as np

from uncork.probes._contract import probe
from uncork.schema.exported import Exported, ExportedData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.binomial import share

ROUNDING = 1e-3  # of the logits' standard deviation
TOLERATED = 5.0  # rows of 1,000
LEVEL = 0.9  # of two ends, each of which holds with .95


@probe(
    tier="defect",
    column="cost",
    title="The exported net says what the model says",
    failure_title="The exported net says another thing than the model",
    requires={"exported": Exported()},
    remedies=(),
    preview=True,
)
def measure(*, exported: ExportedData, rng: np.random.Generator) -> Measurement | NotApplicable:
    data = exported
    rounding = ROUNDING * data.spread
    flipped = data.decided[:, 0] != data.decided[:, 1]
    estimates = {"mismatch": _rows(flipped | (data.gap > rounding), data), "flips": _rows(flipped, data)}
    if len(data.decided_int8):
        estimates["flips_int8"] = _rows(data.decided[:, 0] != data.decided_int8, data)
    return Measurement(
        estimates,
        against=Limit("mismatch", at_most=TOLERATED),
        details=(_files(data), _sizes(data)),
        summary=_summary(data, estimates, rounding),
    )


def _rows(hit: np.ndarray, data: ExportedData) -> Estimate:
    return share(hit, data.clusters, level=LEVEL).scaled(1000, "per 1,000 rows")


def _files(data: ExportedData) -> Detail:
    rows = [["32 bits", data.bytes, float(data.gap.max()), int((data.decided[:, 0] != data.decided[:, 1]).sum())]]
    if len(data.decided_int8):
        flips = int((data.decided[:, 0] != data.decided_int8).sum())
        rows.append(["8 bits", data.bytes_int8, float(data.gap_int8.max()), flips])
    columns = ["file", "bytes", "largest difference of a logit", "rows of another class"]
    note = f"8 bits not measured: {data.why_no_int8}." if data.why_no_int8 else ""
    title = f"The model against its files, on {len(data.gap):,} rows"
    return Detail("table", title, {"columns": columns, "rows": rows}, note=note)


def _sizes(data: ExportedData) -> Detail:
    rows = [[int(size), float(gap)] for size, gap in zip(data.sizes, data.by_size, strict=True)]
    return Detail(
        "table",
        "The file against itself, by rows at once",
        {"columns": ["rows at once", "largest difference of a logit"], "rows": rows},
        note=f"On {data.few} rows, from the audit's batches.",
    )


def _summary(data: ExportedData, estimates: dict[str, Estimate], rounding: float) -> str:
    worst, n = float(data.gap.max()), len(data.gap)
    flips, mismatch = ((estimates[name].value or 0.0) * n / 1000 for name in ("flips", "mismatch"))
    said = [f"Of {n:,} rows {flips:.0f} get another class, {mismatch:.0f} differ; no logit by more than {worst:.2g}."]
    if data.again > rounding:
        said.append("The file answers the same rows otherwise when asked again: something in it draws at random.")
    elif data.by_size.max() > rounding:
        said.append("What it says of a row hangs on how many rows it is asked about at once.")
    else:
        said.append(f"Batches of {', '.join(map(str, data.sizes))} agree.")
    return " ".join(said)
