"""Another optimiser reaches the same loss in less time.

What it measures
----------------
How much sooner the best of several other optimisers reaches the loss on validation that the recipe's own ends at: in
wall time, with as many learning rates tried. Beside it, how sharply the training loss bends at the audited weights.

Why it limits the model
-----------------------
Where the loss is steep in some directions and flat in others, a step that is small enough for the steep ones makes
little way in the flat ones. Preconditioning evens them out; time spent on steps too small is time lost.

Estimator
---------
`times_faster`: time of the recipe over that in which the other optimiser reaches the recipe's last loss, both at the
best of five learning rates, chosen on a fifth of train; geometric mean over training seeds, t on the logarithms. Each
is trained for the recipe's wall time, half and a quarter of it, with a schedule of its own; between them the loss is
taken as linear in the logarithm of time; beyond a factor of 4 nothing was measured. Wall time counts steps at the pace
measured side by side on this machine. The optimiser was chosen on train too, so that validation confirms one. The table
has for each the rates around its best that one standard error over the held rows can't tell from it.
`loss_gained`: what it ends below the recipe in the same time.
`sharpness`: the largest eigenvalue of the training loss' Hessian, t over batches; Lanczos' value lies below it by at
most the residual that is shown. `sharpness_times_rate`: it times the recipe's learning rate, which plain gradient
descent can't exceed 2 by for long, nor with momentum .9 3.8 (it is (2 + 2β) / η); it hovers there where the rate is as
large as it may be (Cohen et al.). For other optimisers it is no criterion. `trace`: the sum of all eigenvalues.
The verdict: slow where the factor is surely above 1.25.

When it misleads
----------------
Five rates are a small search: who needs finer tuning looks worse. On another machine steps have another price. The
loss is the usual one, whatever `recipe.loss` says. The Hessian is that of eval mode, on batches, whose largest
eigenvalue lies above that of all rows.

Remedies and their safety
-------------------------
`precondition` (checked) trains with that optimiser in the recipe's wall time.

Example
-------
>>> import numpy as np
>>> from uncork.testing.descents import descents
>>> found = measure(descents=descents(faster=2.0), rng=np.random.default_rng(0))
>>> found.estimates["times_faster"].low > 1.5, round(found.estimates["sharpness_times_rate"].value, 1)
(True, 3.1)

References
----------
Cohen et al., Gradient descent on neural networks typically occurs at the edge of stability, ICLR 2021. Liu et al.,
Muon is scalable for LLM training, arXiv 2502.16982, 2025. Vyas et al., SOAP: improving and stabilizing Shampoo using
Adam, ICLR 2025. Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, 2023 (wall time, equal
tuning).
"""

from __future__ import annotations

import numpy as np

from uncork.derived.descents import MOST, loss_gained, rates_within, times_faster
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.descents import SHARES, Descents, DescentsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.means import mean

TOLERATED = 1.25  # times faster, not worth a change
LIMITS = {"sgd": 3.8}  # of sharpness times rate: momentum .9


@probe(
    tier="defect",
    column="cost",
    title="No other optimiser reaches the same loss much sooner",
    failure_title="Another optimiser reaches the same loss in less time",
    requires={"descents": Descents()},
    remedies=("precondition",),
    preview=True,
)
def measure(*, descents: DescentsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    if len(descents.finalists) < 2:
        why = "; ".join(descents.missing.values()) or "all of them diverged"
        return NotApplicable(f"there is no other optimiser to compare with: {why}")
    winner = descents.names[descents.finalists[1]]
    faster = times_faster(descents, 1)
    estimates = {"times_faster": faster, "loss_gained": loss_gained(descents, 1), **_curvature(descents)}
    return Measurement(
        estimates,
        headroom=faster,
        against=Limit("times_faster", at_most=TOLERATED),
        details=(_table(descents), _curves(descents)),
        summary=_summary(descents, winner, faster, estimates),
    )


def _curvature(data: DescentsData) -> dict[str, Estimate]:
    if data.why_flat:
        return {}
    sharpness = mean(data.sharpness, unit=f"largest eigenvalue, batches of {data.batch_rows}")
    return {
        "sharpness": sharpness,
        "sharpness_times_rate": sharpness.scaled(data.lr, "η λmax"),
        "trace": mean(data.trace, unit="sum of eigenvalues"),
    }


def _table(data: DescentsData) -> Detail:
    final = {int(i): _finite(data.loss[f, :, 0].mean()) for f, i in enumerate(data.finalists)}
    rows = [
        [
            name,
            float(data.rates[i, data.chosen[i]]),
            "none" if (near := rates_within(data, i)) is None else f"{near[0]:.2g} to {near[1]:.2g}",
            round(1000 * float(np.median(data.step_seconds[i])), 3),
            int(data.steps[i]),
            _finite(data.screened[i].min()),
            final.get(i),
        ]
        for i, name in enumerate(data.names)
    ]
    columns = [
        "optimiser",
        "best rate",
        "as good",
        "ms a step",
        "steps in equal time",
        "loss, held-out fifth",
        "loss, validation",
    ]
    missing = "; ".join(f"{name}: {why}" for name, why in data.missing.items())
    as_good = "As good: rates that one standard error over rows can't tell from the best, of one training each."
    return Detail(
        "table",
        f"{data.rates.shape[1]} learning rates each, in equal wall time",
        {"columns": columns, "rows": rows},
        note=f"{as_good} Not tried: {missing}." if missing else as_good,
    )


def _curves(data: DescentsData) -> Detail:
    return Detail(
        "curve",
        f"Loss of {data.names[data.finalists[1]]} by the share of the recipe's time",
        {
            "x": [float(share) for share in SHARES[::-1]],
            "y": [_finite(value) for value in data.loss[1].mean(axis=0)[::-1]],
            "low": None,
            "high": None,
            "x_label": "share of the recipe's time",
            "y_label": f"loss on validation (the recipe ends at {data.loss[0, :, 0].mean():.4g})",
            "diagonal": False,
        },
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _summary(data: DescentsData, winner: str, faster: Estimate, estimates: dict[str, Estimate]) -> str:
    if faster.value is None:
        said = f"{winner} is the best of {len(data.names) - 1} others."
    else:
        least = "at least " if faster.value >= MOST else ""
        said = (
            f"{winner}, the best of {len(data.names) - 1} others, reaches the recipe's loss {least}{faster.value:.2f} "
            f"times as fast{interval(faster, '.2f')}."
        )
    rate, limit = estimates.get("sharpness_times_rate"), LIMITS.get(data.names[0])
    if data.why_flat:
        return f"{said} Curvature is not known: {data.why_flat}."
    if rate is None or rate.value is None or limit is None:
        return said
    at = "at" if rate.value > 0.8 * limit else "below"
    return f"{said} Sharpness times learning rate is {rate.value:.2f}, {at} its limit of {limit}."
