"""What a case's record says was gained of what: pure functions of what the runner wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.diagnosis.cases import COLUMNS, Answer
from benchmarks.diagnosis.scores import RIGHT, Promise, class_of, right
from uncork.report.numbers import interval
from uncork.schema.finding import Estimate

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """A promise and what it belongs to. `kept`: the treatment was. `own`: it is in the subject's metric, and in δ."""

    promise: Promise
    group: str
    part: str
    kept: bool
    own: bool


def estimate(stored: Mapping[str, Any] | None) -> Estimate | None:
    return None if stored is None else Estimate(**stored)


def gain(record: Record) -> Estimate:
    """What the final model gains on test: surely nothing where nothing was kept."""
    return estimate(record["gain"]) or Estimate(0.0, 0.0, 0.0, record["unit"], 0, "nothing was kept")


def judged(record: Record) -> list[Record]:
    """The treatments that were tried to the end."""
    return [t for t in record["treatments"] if t.get("on_test")]


def kept(record: Record) -> list[Record]:
    return [t for t in record["treatments"] if t["kept"]]


def named(record: Record) -> Answer | None:
    """The first finding of quality that the audit names."""
    found = [Answer(*answer) for answer in record["named"]]
    return next((a for a in found if COLUMNS.get(a.finding, "quality") == "quality"), None)


def share_of(record: Record) -> float | None:
    """Realised over the oracle's gain; None where the plant doesn't make the case faulty, or the gain is unknown."""
    value = gain(record).value
    if class_of(record["truth"]) != "faulty" or value is None:
        return None
    return value / float(record["truth"]["oracle"]["value"])


def enough(record: Record) -> bool:
    """Whether a faulty case regained RIGHT of the oracle's gain."""
    found = share_of(record)
    return found is not None and found >= RIGHT - 1e-9


def sure(record: Record) -> bool:
    """Whether the noise of realised and oracle's gain leaves no doubt of `enough`: half-widths add as squares."""
    realised, needed = gain(record), Estimate(**record["truth"]["oracle"]).scaled(RIGHT, "")
    if not realised.determined or not needed.determined:
        return False
    over = realised.value - needed.value
    low, high = (realised, needed) if over > 0 else (needed, realised)
    return abs(over) > math.hypot(low.value - low.low, high.high - high.value)


def why(record: Record) -> str:
    """What stands between the realised gain and enough of the oracle's."""
    answer, of = named(record), {t["remedy"]: t for t in record["treatments"]}
    said = [] if answer else ["nothing was named"]
    if answer and not right(record["truth"], answer):
        said.append(f"not the plant ({', '.join(record['truth']['findings'])}) was named")
    listed = record["remedies"].get(answer.finding, ()) if answer else ()
    if answer and not listed:
        said.append(f"{answer.finding} has no remedy")
    for remedy in listed:
        if remedy not in of:
            said.append(f"{remedy} was not tried")
        elif not of[remedy].get("on_test"):
            said.append(f"{remedy} was left out: {of[remedy]['reason']}")
        elif not of[remedy]["kept"]:
            seen = [interval(estimate(of[remedy][name])) for name in ("on_validation", "against_control")]
            said.append(f"{remedy} was dropped: {seen[0]} over the model before, {seen[1]} over its control")
    return "; ".join([*said, "what was kept regains no more" if kept(record) else "nothing was kept"])


def promises(record: Record, part: str) -> list[Held]:
    """The treatments with a predicted interval and a realised gain, in δ where they are in the subject's metric."""
    found = []
    for t in judged(record):
        predicted, realised = estimate(t["predicted"]), Estimate(**t["on_test"])
        if predicted is None or not predicted.determined or realised.value is None:
            continue
        own = realised.unit == record["unit"]
        scale = record["delta"] if own else 1.0
        low, high, value = predicted.low / scale, predicted.high / scale, realised.value / scale
        middle = (low + high) / 2 if predicted.value is None else predicted.value / scale
        # The end that faces the prediction; an unknown one is taken for no error, which makes the test stricter.
        facing = realised.low if value > middle else realised.high
        error = 0.0 if facing is None else abs(facing / scale - value)
        promise = Promise(middle, low, high, value, error, 0.0, record["group"])
        found.append(Held(promise, record["group"], part, t["kept"], own))
    return found


def hurt(record: Record) -> bool:
    """Whether test shows that what was kept does harm, in the metric or in a kept remedy's own yardstick."""
    looks = [gain(record), *(Estimate(**t["on_test"]) for t in kept(record))]
    return any(look.high is not None and look.high < 0 for look in looks)
