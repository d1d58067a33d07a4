"""Which remedies are worth trying, in which order, and what one training costs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from uncork.gather._contract import Context
from uncork.remedies._contract import remedies as known_remedies
from uncork.schema.contract import Remedy
from uncork.schema.errors import BadInput
from uncork.schema.finding import Finding
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe

STEP = 3.0  # forward passes that a training step takes: one forward, and a backward of about two
_TIERS = {"gate": 0, "defect": 1, "investment": 2}


def worth_trying(
    findings: Sequence[Finding],
    asked: Sequence[str] | None,
    delta: float,
    *,
    order: Sequence[str] = (),
    given: Collection[str] = (),
) -> list[tuple[Remedy, Finding]]:
    """(remedy, finding) in the order of trying: by tier, what is fitted on validation after what trains.

    `order`: ids of investments, which are tried in it. Asked for, or with evidence `given` for it, a remedy is tried in
    any case; what is `on_request`, or makes the model smaller or faster at some loss, only so.
    """
    known = known_remedies()
    for id in asked or ():
        if id not in known:
            raise BadInput(f"there is no remedy {id!r}: choose from {', '.join(known)}")
    chosen: dict[str, Finding] = {}
    for finding in findings:
        for id in finding.remedies:
            if id not in known or id in chosen:
                continue
            by_itself = not known[id].on_request and _open(finding, delta)
            if id in given or by_itself if asked is None else id in asked:
                chosen[id] = finding
    missing = [id for id in asked or () if id not in chosen]
    if missing:
        raise BadInput(f"{missing[0]} mends no finding of this report: its probe was left out or is not applicable")
    # What is fitted on validation comes last: training again would undo it.
    pairs = [(known[id], finding) for id, finding in chosen.items()]
    rank = {id: position for position, id in enumerate(order)}
    return sorted(
        pairs,
        key=lambda pair: (
            pair[0].yardstick != "gate",
            pair[0].fits_on_validation,
            pair[0].hands_over,
            pair[0].combines,
            _TIERS[pair[1].tier],
            rank.get(pair[1].id, len(rank)),
        ),
    )


def _open(finding: Finding, delta: float) -> bool:
    """Whether it is worth trying to mend: proven, or undetermined and at least δ as far as is known."""
    if finding.column == "cost" or finding.verdict not in ("bottleneck", "undetermined"):
        return False
    if finding.verdict == "bottleneck" or finding.column != "quality" or finding.tier == "gate":
        return True
    return finding.headroom is not None and finding.headroom.value is not None and finding.headroom.value >= delta


def seconds_of_training(context: Context, timed: Mapping[str, Any] | None) -> float:
    """Seconds of one training: as the audit timed it, else from the speed of a forward pass, a callable by doing it.

    Without a recipe, of one epoch over train, or over the shifted rows where there is no train either.
    """
    subject, recipe = context.subject, context.subject.recipe
    if recipe is None or subject.train is None:
        rows = subject.train if subject.train is not None else subject.shifted
        return 0.0 if rows is None else STEP * len(rows) * context.seconds_per_row
    # The audit's is of one among many that were trained at once, or of a head alone, where that was possible.
    known = float(timed["training"][""].seconds) if timed is not None and "" in timed["training"] else 0.0
    if isinstance(recipe, Recipe):
        alone = STEP * recipe.steps(len(subject.train)) * recipe.batch_size * context.seconds_per_row
        return max(known, alone)
    if known:
        return known
    started = time.perf_counter()
    fit_any(recipe, subject.train, integer_seed(context.seed, "price"))
    return time.perf_counter() - started
