"""Signs that gradients mislead an attack, so that what it finds says little."""

from __future__ import annotations

from uncork.schema.attacks import AttackedData
from uncork.schema.finding import Detail
from uncork.stats.binomial import clopper_pearson

#: What is looked at: (what it would mean, the share from which on it is a sign).
LOOKED_AT = {
    "flat-margin": ("the margin has no gradient", 0.05),
    "flat-entropy": ("the cross-entropy has no gradient", 0.05),
    "square-only": ("fooled by outputs alone, after gradients failed", 0.01),
    "unbounded": ("not fooled by any change within the range of x", 0.05),
    "second-start": ("fooled from a second random start only", 0.05),
    "noise": ("fooled by random noise at the rim of the ball", 1.0),
}
#: Those in whose presence the white-box attacks say too little.
_BLINDING = ("flat-margin", "square-only", "unbounded")


def noticed(attacked: AttackedData) -> tuple[str, ...]:
    """Names of the checks whose share, by its Clopper–Pearson interval, is above what may be."""
    return tuple(
        name
        for name, (hits, n) in attacked.checks.items()
        if n and (clopper_pearson(hits, n).low or 0.0) > LOOKED_AT[name][1]
    )


def blind(attacked: AttackedData) -> bool:
    """Whether attacks by gradients say too little of this model."""
    return any(name in _BLINDING for name in noticed(attacked))


def signs(attacked: AttackedData) -> tuple[Detail, ...]:
    """The table of checks, where there were any."""
    if not attacked.checks:
        return ()
    seen = noticed(attacked)
    rows = [
        [LOOKED_AT[name][0], hits, n, "a sign of masking" if name in seen else ""]
        for name, (hits, n) in attacked.checks.items()
    ]
    table = {"columns": ["check", "rows", "of", ""], "rows": rows}
    return (Detail("table", "Do gradients mislead?", table, note="A constant model shows the same signs."),)
