"""When a remedy helps, and what was promised of it."""

from __future__ import annotations

from uncork.probes._contract import registered
from uncork.schema.contract import Remedy
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import TreatmentVerdict


def verdict_of(realised: Estimate, against: Estimate) -> TreatmentVerdict:
    """`helps` needs both intervals above 0: over the model before, and over the control."""
    if realised.low is not None and against.low is not None and realised.low > 0 and against.low > 0:
        return "helps"
    if realised.high is not None and realised.high < 0:
        return "hurts"
    return "undetermined"


def predicted_of(remedy: Remedy, finding: Finding) -> Estimate | None:
    """What the probe promised of this remedy, in the remedy's unit: an estimate of its own, or the headroom.

    Bounds of what any remedy could gain are no promise of this one.
    """
    own = finding.estimates.get(f"{remedy.id.replace('-', '_')}_gain")
    if own is not None:
        return own
    probe, headroom = registered().get(finding.id), finding.headroom
    promised = probe is not None and probe.promises == remedy.id and finding.column == "quality"
    return headroom if promised and headroom is not None and headroom.value is not None else None


def fewer(before: Estimate | None, after: Estimate | None) -> Estimate | None:
    """Difference of two counted shares: exact, since all rows were looked at. None for what was not counted."""
    if before is None or after is None or before.value is None or after.value is None:
        return None
    if not before.low == before.value == before.high or not after.low == after.value == after.high:
        return None
    fewer = before.value - after.value
    return Estimate(fewer, fewer, fewer, f"fewer {before.unit}", before.n, before.method)
