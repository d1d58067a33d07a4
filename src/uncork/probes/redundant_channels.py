"""Channels of the net can go without being missed.

What it measures
----------------
The largest share of each layer's channels that can be pruned from the model so that, after some further training, the
metric on validation falls by no more than δ; how many bytes that saves, and how much time, measured. How many channels
repeat others.

Why it limits the model
-----------------------
Channels that say what others say cost memory, time and energy with every prediction.

Estimator
---------
The ratio and the importance were chosen in a rehearsal inside train (a net of four fifths of it, judged by the last),
so that validation judges one pruned net. `loss`: of it against the dense net with the same further steps, mean over
rows and three seeds of further training, crossed variance components. Channels are redundant where the upper end of the
loss is below δ, needed where its lower end is above. What these rows and seeds resolve, the upper end that no loss at
all would have, is said first: where that is above δ, nothing can be claimed.
`loss_against_checkpoint`: against the model as it was given. `gain_over_random`: over nets with as many channels pruned
at random, the same steps. `gain_over_scratch`: over nets of the pruned one's sizes, trained from scratch by the recipe
in full: where that is not above 0, a smaller net to begin with does as well. `redundant_channels`: those that are a
multiple of another, or nothing, on every row of train, and are merged without a loss there, before others are pruned.
`times_faster`, in batches of 1 and of 64: both nets timed side by side, t on logarithms over ten stretches.
Headroom: the factor by which bytes go down, counted; bounds only while undetermined.

When it misleads
----------------
A loss below δ is tolerated, not absent; rare cases may pay for it. The same share goes from every layer, though some
could spare more. One share is judged: where it is missed, a smaller one may not be. Fewer channels are no promise of as
much less time: small layers are bound by memory and overhead. Layers whose outputs are added or padded in ways that the
dependency graph misreads are left whole. Further training at other settings may recover more.

Remedies and their safety
-------------------------
`prune` (checked): this pruning, done to the model. `low-rank` (checked): layers in two parts of low rank.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.redundant_channels import a_redundancy
>>> tried = a_redundancy(9000, dense=0.05, pruned=0.05)
>>> found = measure(redundancy=tried, facts=facts(), rng=np.random.default_rng(0))
>>> found.headroom.value, found.estimates["loss"].high < found.against.at_least
(2.0, True)

References
----------
Fang et al., DepGraph: towards any structural pruning, CVPR 2023. Molchanov et al., Importance estimation for neural
network pruning, CVPR 2019. Liu et al., Rethinking the value of network pruning, ICLR 2019. Blalock et al., What is the
state of neural network pruning?, MLSys 2020.
"""

from __future__ import annotations

import numpy as np

from uncork.derived.gains import gain_of
from uncork.derived.resolved import factor_within, resolved
from uncork.derived.speed import times_faster
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.redundant_channels import ARMS, Redundancy, RedundancyData
from uncork.stats.score import score


@probe(
    tier="defect",
    column="cost",
    title="The net needs its channels",
    failure_title="Channels of the net can go without being missed",
    requires={"redundancy": Redundancy(), "facts": Facts()},
    remedies=("prune", "low-rank"),
    preview=True,
)
def measure(*, redundancy: RedundancyData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    data, metric = redundancy, facts.metric
    tolerated = metric.delta_at(_mean(data, metric, "dense") or 0.0)
    pruned = data.arm("pruned")

    estimates = {
        "loss": _negative(gain_of(metric, data.arm("dense"), pruned)),
        "loss_against_checkpoint": _negative(gain_of(metric, data.passes(data.checkpoint), pruned)),
        "gain_over_scratch": gain_of(metric, data.arm("from scratch"), pruned),
        "redundant_channels": _counted(data.redundant, "channels", data.channels),
    }
    if data.ratio > 0:
        estimates["gain_over_random"] = gain_of(metric, data.arm("random"), pruned)
    for size, (dense, small) in zip(data.batch_sizes, data.seconds.transpose(0, 2, 1), strict=True):
        estimates["times_faster" if size == 1 else f"times_faster_at_{size}"] = times_faster(dense, small)
    many, few = (int(count) for count in data.parameters)
    return Measurement(
        estimates,
        headroom=factor_within(many / few, estimates["loss"], tolerated, unit="times fewer bytes", n=many),
        against=Limit("loss", at_least=tolerated),
        details=(_rehearsed(data, metric), _judged(data, metric)),
        summary=resolved(estimates["loss"], tolerated) + _said(data, estimates),
    )


def _negative(estimate: Estimate) -> Estimate:
    return estimate.scaled(-1, estimate.unit)


def _counted(count: float, unit: str, n: int) -> Estimate:
    return Estimate(float(count), float(count), float(count), unit, n, "counted")


def _mean(data: RedundancyData, metric: Metric, arm: str) -> float | None:
    values = [value for passed in data.arm(arm) if (value := score(metric, passed).value) is not None]
    return float(np.mean(values)) if values else None


def _rehearsed(data: RedundancyData, metric: Metric) -> Detail:
    def told(loss: float) -> float | None:
        return round(float(loss), 4) if np.isfinite(loss) else None

    rows = [
        [name, f"{ratio:.0%}", told(loss)]
        for name, losses in zip(data.importances, data.rehearsed, strict=True)
        for ratio, loss in zip(data.ratios, losses, strict=True)
    ]
    return Detail(
        "table",
        "Pruned in the rehearsal",
        {"columns": ["importance", "channels pruned", f"lost ({metric.unit})"], "rows": rows},
        note=f"A net of four fifths of train, judged by {data.rehearsal_rows} rows of it that it has not seen; "
        f"{data.ratio:.0%} by {data.importance} was chosen"
        + ("." if data.within else ", though it lost more than δ there."),
    )


def _judged(data: RedundancyData, metric: Metric) -> Detail:
    rows = [[arm, _mean(data, metric, arm)] for arm in ARMS]
    rows.insert(0, ["as it was given", score(metric, data.passes(data.checkpoint)[0]).value])
    seeds = data.outputs.shape[1]
    return Detail(
        "table",
        "On validation",
        {"columns": ["net", f"{metric.name} ({metric.unit})"], "rows": rows},
        note=f"All but the first and the last trained on for {data.steps} steps; means over {seeds} seeds.",
    )


def _said(data: RedundancyData, estimates: dict[str, Estimate]) -> str:
    loss, faster = estimates["loss"], estimates.get("times_faster")
    if data.redundant:
        said = f"{data.redundant} of {data.channels} channels repeat others or are silent on train; merged, they move "
        said += f"outputs on validation by {data.merged_gap:.1g} at most. "
    else:
        said = "No channel repeats another. "
    if loss.value is not None:
        form = ".1f" if loss.unit.endswith("per 1,000") else ".3g"
        verb, shown = ("gains", _negative(loss)) if loss.value < 0 else ("loses", loss)
        much = f"{shown.value:{form}}{interval(shown, form)} {loss.unit}"
        done = f"Pruned by {data.ratio:.0%}" if data.ratio > 0 else "Without these alone"
        said += f"{done}, the net {verb} {much} on validation"
        if faster is not None and faster.value is not None:
            said += f", and answers single rows {faster.value:.2f} times as fast{interval(faster, '.2f')}"
        said += "."
    return said.strip()
