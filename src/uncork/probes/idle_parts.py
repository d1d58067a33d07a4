"""Some parts of the model or its recipe do nothing.

What it measures
----------------
What is lost without each part, in the metric: without each block of the model as it is, and without each block and each
trick of the recipe (augmentation, weight decay, schedule, dropout) in models trained from the same seeds.

Why it limits the model
-----------------------
Parts that do nothing cost time, memory and attention with every change, and are copied from net to net.

Estimator
---------
A block passed over gives back what it is given. `loss` of each, on validation: of this very model, mean over rows; of
what was trained without it, mean over rows and seeds, crossed variance components, the seeds' part pooled over arms.
All intervals hold together (Bonferroni over parts), so those below δ may be listed: they are idle, each by itself.
What these rows and seeds resolve, the upper end that no loss at all would have, is said first.
`least_loss`: the smallest of all parts' losses. The verdict: idle parts where its upper end is below δ, none where its
lower end is above.
`times_faster`: wall time of a batch over that without the idle block of most parameters, side by side: the headroom.
`times_fewer_parameters`: counted, without that block.

When it misleads
----------------
Each is left out alone: of two parts that stand in for one another both look idle, and both together may not be. What a
model as it is can't do without, one trained without it may. A trick that does nothing here may do much with less data,
or longer training. A loss below δ is tolerated, not absent. Blocks that change the shape of what they are given are
not tried.

Remedies and their safety
-------------------------
advice: leave the part out of `build` or the recipe, train again and compare with `uncork diff`; one at a time.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.idle_parts import idle_parts
>>> without = {"layer1.0": 0.0, "layer1.1": 0.1}
>>> found = measure(parts=idle_parts(without), facts=facts(), rng=np.random.default_rng(0))
>>> found.details[0].data["rows"][0][0], found.estimates["least_loss"].high < found.against.at_least
('layer1.0', True)

References
----------
Veit et al., Residual networks behave like ensembles of relatively shallow networks, NeurIPS 2016 (blocks left out).
Lipton & Steinhardt, Troubling trends in machine learning scholarship, arXiv 1807.03341, 2018 (which part did it?).
"""

from __future__ import annotations

import numpy as np

from uncork.derived.idle_parts import AS_IT_IS, TRAINED, Part, least, losses
from uncork.derived.speed import times_faster
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.idle_parts import IdleParts, IdlePartsData
from uncork.stats.score import influence


@probe(
    tier="defect",
    column="cost",
    title="Every part that was left out was missed",
    failure_title="Some parts of the model or its recipe do nothing",
    requires={"parts": IdleParts(), "facts": Facts()},
    remedies=(),
    preview=True,
)
def measure(*, parts: IdlePartsData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    metric = facts.metric
    if not parts.blocks and not parts.arms:
        return NotApplicable(f"there is nothing to leave out: {parts.left_out.get('arms', 'no block keeps its shape')}")
    if metric.kind == "callable":
        return NotApplicable(f"what is lost in {metric.name} has no simultaneous intervals: audit with another metric")
    found = sorted(losses(parts, metric), key=lambda part: _end(part.loss.high))
    tolerated = metric.delta_at(metric.scale * influence(metric, parts.without(-1))[0])
    idle = [part for part in found if _end(part.loss.high) < tolerated]
    smallest = least(found)
    estimates = {"least_loss": smallest, **_saved(parts, idle)}
    return Measurement(
        estimates,
        headroom=estimates.get("times_faster"),
        against=Limit("least_loss", at_least=tolerated),
        details=(_table(parts, found, tolerated, metric.unit),),
        summary=f"{_resolved(found, tolerated)}{_said(parts, idle)}",
    )


def _end(high: float | None) -> float:
    return float("inf") if high is None else high


def _saved(data: IdlePartsData, idle: list[Part]) -> dict[str, Estimate]:
    """Time and parameters without the idle block that has most parameters."""
    at = [part.block for part in idle if part.block is not None]
    if not at:
        return {}
    block = 1 + max(at, key=lambda i: int(data.parameters[1 + i]))
    all_of, own = int(data.parameters[0]), int(data.parameters[block])
    fewer = all_of / max(all_of - own, 1)
    return {
        "times_faster": times_faster(data.seconds[:, 0], data.seconds[:, block]),
        "times_fewer_parameters": Estimate(fewer, fewer, fewer, "times fewer parameters", all_of, "counted"),
    }


def _table(data: IdlePartsData, found: list[Part], tolerated: float, unit: str) -> Detail:
    rows = []
    for part in found:
        loss = part.loss
        sure = "idle" if _end(loss.high) < tolerated else ""
        missed = "missed" if loss.low is not None and loss.low >= tolerated else "can't tell"
        size = None if part.block is None else int(data.parameters[1 + part.block])
        rows.append([part.name, part.how, loss.value, loss.low, loss.high, sure or missed, size])
    left_out = "; ".join(f"{name}: {why}" for name, why in data.left_out.items())
    return Detail(
        "table",
        f"What is lost without each part ({unit}, δ = {tolerated:.3g})",
        {"columns": ["part", "left out how", "loss", "low", "high", "verdict", "parameters"], "rows": rows},
        note=f"All intervals hold together. {f'Not tried: {left_out}.' if left_out else ''}".strip(),
    )


def _resolved(found: list[Part], tolerated: float) -> str:
    said = []
    for how, what in ((AS_IT_IS, "these rows"), (TRAINED, "these rows and seeds")):
        known = [p.loss for p in found if p.how == how]
        widths = [loss.high - loss.value for loss in known if loss.high is not None and loss.value is not None]
        if widths:
            coarse = ", too coarse for any claim" if min(widths) >= tolerated else ""
            said.append(f"what is {how} {what} resolve a loss of {min(widths):.3g} {known[0].unit}{coarse}")
    return f"Of {'; of '.join(said)} (δ = {tolerated:.3g}). " if said else ""


def _said(data: IdlePartsData, idle: list[Part]) -> str:
    tried = len(data.blocks) + len(data.arms)
    if not idle:
        return f"None of {tried} parts is surely idle."
    listed = ", ".join(f"{part.name} ({part.how}: loss of {part.loss.value:.3g}{interval(part.loss)})" for part in idle)
    return f"{len(idle)} of {tried} parts do nothing: {listed}."
