"""A mistake that was corrected comes back as soon as its row looks a little different.

What it measures
----------------
How well mistakes of this model can be patched without training again, as `uncork patch` does, before anyone patches:
100 of them at once, tried on their own rows, on near copies of these, and on rows that no correction is about.

Why it limits the model
-----------------------
A mistake that was reported and can't be mended by tomorrow stays in use until the next training. A correction that
holds for the one row alone mends nothing, as no row comes twice; one that reaches too far breaks what was right.

Estimator
---------
`stubborn`: share of the near copies of corrected rows that are still decided wrong; at most .1 is asked. Copies are
changed by noise of a twentieth of a standard deviation, by one pixel or step, or by one word less; those equal to their
row are left out. Beside it `unpatched`, the same without patches. `mended_rows`: share of the corrected rows themselves
that are right then. `broken` and `repaired`: per 1,000 rows of the other half of validation, which no correction saw,
those that were right and are wrong with all patches, and the reverse. `retained`: of the near copies that the first ten
corrections mend by themselves, share that all corrections together still mend. Shares of copies: Korn-Graubard over
corrected rows; of rows: Clopper-Pearson, over groups Korn-Graubard. Headroom, exposed: predictions per 1,000 that are
mistakes and would come back as near copies, by t over the rows among which the mistakes were found, plus `broken`.
The radii are set so that about 1 in 1,000 right rows is broken: what can't be mended at that price is stubborn.

When it misleads
----------------
A near copy is taken to have its row's label, which noise or a shift may change. Copies are made at random: a mistake
that comes back under other light, or in other words, is another row. Under ten mistakes nothing is said. The half that
calibrates is like the other by design; after a shift patches may break more. A wrong label is patched in as it is.

Remedies and their safety
-------------------------
`patch` (checked): `uncork patch RUN corrections.csv` for mistakes that someone names. What stays stubborn needs
training.

Example
-------
>>> import numpy as np
>>> from uncork.testing.artifacts import facts
>>> from uncork.testing.patches import patches
>>> for stubborn in (0.02, 0.5):
...     found = measure(patches=patches(stubborn=stubborn), facts=facts(), rng=np.random.default_rng(0))
...     print(found.estimates["stubborn"].high < 0.1, found.estimates["stubborn"].low > 0.1)
True False
False True

References
----------
Sinitsin et al., Editable neural networks, ICLR 2020. Mitchell et al., Memory-based model editing at scale, ICML 2022
(success, locality, generality, retention). Barber et al., Predictive inference with the jackknife+, Annals of
Statistics 49, 2021.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from uncork.probes._contract import probe
from uncork.schema.artifacts import Facts, FactsData
from uncork.schema.finding import Detail, Estimate, Limit, Measurement, NotApplicable
from uncork.schema.patches import Patches, PatchesData
from uncork.stats.binomial import share
from uncork.stats.means import difference, mean

if TYPE_CHECKING:
    from jaxtyping import Bool

FEWEST = 10
TOLERATED = 0.1
FIRST = 10


@probe(
    tier="defect",
    column="trust",
    title="Mistakes can be patched, and stay mended",
    failure_title="A mistake that was corrected comes back in another form",
    requires={"patches": Patches(), "facts": Facts()},
    remedies=("patch",),
    preview=True,
)
def measure(*, patches: PatchesData, facts: FactsData, rng: np.random.Generator) -> Measurement | NotApplicable:
    mistakes = len(patches.counted)
    if mistakes < FEWEST:
        return NotApplicable(f"{mistakes} mistakes on half of validation: {FEWEST} are needed to say how patches hold")
    if not patches.counted.any():
        return NotApplicable("no near copies could be made of these rows: how patches hold on them can't be tried")
    right_before, right_after = patches.before == patches.y, patches.after[-1] == patches.y
    estimates = {
        "stubborn": _of_copies(~patches.near[-1], patches),
        "unpatched": _of_copies(~patches.near_before, patches),
        "mended_rows": share(patches.mends[-1], patches.looked_at[:mistakes]).scaled(1, "share of corrected rows"),
        "broken": share(right_before & ~right_after, patches.clusters).scaled(1000, "per 1,000 other rows"),
        "repaired": share(~right_before & right_after, patches.clusters).scaled(1000, "per 1,000 other rows"),
        "retained": _retained(patches),
    }
    return Measurement(
        estimates,
        headroom=_exposed(patches, estimates["broken"]),
        against=Limit("stubborn", at_most=TOLERATED),
        details=(_by_count(patches),),
        summary=_say(estimates, mistakes, patches),
    )


def _of_copies(hit: Bool[np.ndarray, "m c"], patches: PatchesData, first: int | None = None) -> Estimate:
    """Share of the near copies (of the `first` corrections) that differ from their row and are hit."""
    counted = patches.counted[:first]
    mistakes = np.repeat(patches.looked_at[: len(counted)], counted.shape[1]).reshape(counted.shape)
    return share(hit[:first][counted], mistakes[counted]).scaled(1, "share of near copies")


def _retained(patches: PatchesData) -> Estimate:
    """Of what the first corrections mend by themselves, as far as their number was tried."""
    alone = int(np.flatnonzero(patches.counts <= FIRST)[-1])
    few = int(patches.counts[alone])
    mended = replace(patches, counted=patches.counted & patches.near[alone] & ~patches.near_before)
    return _of_copies(patches.near[-1], mended, few)


def _exposed(patches: PatchesData, broken: Estimate) -> Estimate:
    """Mistakes that come back, over all rows looked at for them, and what patches break."""
    mistakes, counted = len(patches.counted), patches.counted
    back = (~patches.near[-1] & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    per_row = np.concatenate([back, np.zeros(len(patches.looked_at) - mistakes)])
    unit = "predictions per 1,000"
    come_back = mean(per_row, clusters=patches.looked_at, unit=unit, bounds=(0, 1), skewed=True).scaled(1000, unit)
    return difference(come_back, broken.scaled(-1, unit), unit=unit)


def _by_count(patches: PatchesData) -> Detail:
    """What became of rows as more and more were patched at once."""
    rows = []
    right = patches.before == patches.y
    for count, mends, near, after in zip(patches.counts, patches.mends, patches.near, patches.after, strict=True):
        counted, now = patches.counted[:count], after == patches.y
        rows.append(
            [
                int(count),
                int(mends[:count].sum()),
                round(100 * float(near[:count][counted].mean()), 1) if counted.any() else None,
                round(1000 * float((right & ~now).mean()), 2),
                round(1000 * float((~right & now).mean()), 2),
            ]
        )
    columns = ["patched at once", "rows mended", "near copies right, %", "broken per 1,000", "repaired per 1,000"]
    return Detail("table", "More and more patches", {"columns": columns, "rows": rows})


def _say(estimates: dict[str, Estimate], mistakes: int, patches: PatchesData) -> str:
    stubborn, unpatched = (100 * (estimates[name].value or 0.0) for name in ("stubborn", "unpatched"))
    lost = f" {patches.inseparable} can't be told from right rows." if patches.inseparable else ""
    return (
        f"Of near copies of {mistakes} mistakes {unpatched:.0f} % are decided wrong as the model is, {stubborn:.0f} % "
        f"once these are patched, in the space of its {patches.space}; "
        f"{estimates['broken'].value or 0.0:.1f} of 1,000 other rows are broken.{lost}"
    )
