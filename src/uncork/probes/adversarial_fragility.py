"""Small changes of x that an attacker may make turn right decisions into wrong ones.

What it measures
----------------
The share of rows on which the model is right under every attack of AutoAttack's standard set, within the threat that
`require` declares: `{"linf": ε}` or `{"l2": ε}`, in the units of x as given. Without one nothing is attacked.

Why it limits the model
-----------------------
Where someone gains from a wrong answer, the rows that count are not drawn, they are made.

Estimator
---------
`robust_accuracy`: right as they are and under APGD on cross-entropy, targeted APGD on DLR, targeted FAB and Square,
worst case for each row; judged against `require["under_attack"]`. `clean_accuracy`: on the same rows. Both
Clopper-Pearson over rows, Korn-Graubard over groups. Headroom, exposed: rows per 1,000 that are wrong under attack,
or as they are, beyond what the required share allows. Of a linear model the smallest changes are exact, and their
median is told. The curve over ε is read from the smallest change found for each row. Unit: one row of a sample of
validation.

When it misleads
----------------
Attacks bound robustness from above: a better one finds more. Where gradients are masked, or there are none (trees),
attacks find too little: the lower end is then 0, and the finding is never clear. Checks of masking stand in a table.
A row that the model hands over counts as not right as it is, and as held under attack.
The threat is a norm: rotation, blur or another camera are none of it. ε is the same for all columns of a table.

Remedies and their safety
-------------------------
Train on attacked rows, or smooth the model with noise, which certifies its answers (both checked: they cost clean
accuracy).

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.attacks import attacks
>>> for found in (attacks(400, right=0.95, fooled=0.6), attacks(400, right=0.95, fooled=0.0)):
...     measured = measure(attacked=found, facts=facts(), rng=np.random.default_rng(0))
...     print(round(measured.estimates["robust_accuracy"].value, 2), measured.headroom.low > 0)
0.38 True
0.95 False

References
----------
Croce & Hein, Reliable evaluation of adversarial robustness, ICML 2020. Croce & Hein, Fast adaptive boundary attack,
ICML 2020. Andriushchenko et al., Square attack, ECCV 2020. Athalye et al., Obfuscated gradients, ICML 2018.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncork.derived.masking import blind, signs
from uncork.derived.words import interval
from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.attacks import Attacked, AttackedData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.stats.binomial import share
from uncork.stats.quantiles import median

_UNITS = {"linf": "L∞", "l2": "L2"}
_POINTS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of ε, on the curve


@probe(
    tier="defect",
    column="trust",
    title="The model stays right under the declared attack",
    failure_title="Small changes of x turn right decisions into wrong ones",
    requires={"attacked": Attacked(), "facts": Facts()},
    remedies=("harden", "smooth"),
)
def measure(*, attacked: AttackedData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    asked = facts.require["under_attack"]
    robust = share(attacked.clean & (attacked.by < 0), attacked.clusters)
    clean = share(attacked.clean, attacked.clusters)
    bounded = attacked.access in ("black-box", "inner") or blind(attacked)
    if bounded:
        robust = replace(robust, low=0.0, se=None, df=None, method=f"{robust.method}, from above only")
    if attacked.access == "certified":
        robust = replace(robust, high=clean.high, se=None, df=None, method=f"{robust.method}, from below only")
    robust = replace(robust, unit="share right under every attack")
    estimates = {"robust_accuracy": robust, "clean_accuracy": replace(clean, unit="share right")}
    if attacked.access == "exact" and attacked.clean.any():
        unit = f"smallest {_UNITS[attacked.norm]} change, in the units of x"
        estimates["exact_distance"] = median(attacked.distance[attacked.clean], unit=unit)
    return Measurement(
        estimates,
        headroom=robust.scaled(-1000, "predictions per 1,000").shifted(1000 * asked),
        against=Limit("robust_accuracy", at_least=asked),
        details=(_attacks(attacked), _curve(attacked), *signs(attacked)),
        summary=_say(attacked, robust, clean, bounded),
    )


def _attacks(attacked: AttackedData) -> Detail:
    turned = np.bincount(attacked.by[attacked.by >= 0], minlength=len(attacked.attacks))
    rows = [
        [name, tried, int(fooled), f"{(tried - fooled) / max(len(attacked), 1):.3f}", round(seconds, 1)]
        for name, tried, fooled, seconds in zip(attacked.attacks, attacked.tried, turned, attacked.seconds, strict=True)
    ]
    columns = ["attack", "rows tried", "fooled", "share right after it", "seconds"]
    note = " ".join(("Each attack is run on the rows that none before it has fooled.", *attacked.notes))
    return Detail("table", "Attacks", {"columns": columns, "rows": rows}, note=note)


def _curve(attacked: AttackedData) -> Detail:
    at = [attacked.eps * part for part in _POINTS if attacked.access != "black-box" or part <= 1]
    held = [share(attacked.clean & (attacked.distance > max(e, 0)), attacked.clusters) for e in at]
    data = {
        "x": at,
        "y": [e.value for e in held],
        "low": [e.low for e in held],
        "high": [e.high for e in held],
        "x_label": f"{_UNITS[attacked.norm]} change of x",
        "y_label": "share right",
        "diagonal": False,
    }
    note = "From the smallest change that was found for each row; intervals hold one by one."
    return Detail("curve", "Right decisions by the size of the change", data, note=note)


def _say(attacked: AttackedData, robust: Estimate, clean: Estimate, bounded: bool) -> str:
    threat = f"{_UNITS[attacked.norm]} {attacked.eps:.4g}"
    percent = [e.scaled(100, "%") for e in (robust, clean)]
    said = (
        f"Within {threat} the model stays right on {percent[0].value:.1f} %{interval(percent[0])} of rows, "
        f"{percent[1].value:.1f} % as they are"
    )
    how = {
        "exact": "exact, as the model is linear",
        "certified": "certified: no attack within it can do worse",
        "black-box": "by outputs alone: no gradient reaches x, so more may be found",
        "inner": "by the gradients of the model inside: more may be found",
    }.get(attacked.access, "gradients look masked: more may be found" if bounded else "")
    return f"{said}{f'; {how}' if how else ''}."
