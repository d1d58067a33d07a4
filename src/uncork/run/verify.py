"""The only module that runs a model on test: to describe it, to prove what was kept, and for a comparison that asks for
test. Whatever is judged on test is counted in the ledger first. It chooses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from uncork.data.thirds import thirds, unlike
from uncork.derived.copies import copies
from uncork.gather._contract import Context
from uncork.gather.forward import forward
from uncork.gather.store import Store
from uncork.run import ledger
from uncork.run.figures import side_effects
from uncork.run.identity import answers_key, shifted_rows, test_rows
from uncork.run.progress import Progress, working
from uncork.run.savings import with_saving
from uncork.run.yardstick import ByMetric, ByShifted, View, Yardstick
from uncork.schema.artifacts import FingerprintsData, Pass, PassData
from uncork.schema.finding import Estimate
from uncork.schema.report import Headline, SideEffect, Treatment, TreatmentVerdict, Verification
from uncork.stats.multiplicity import alpha_of_opening, holm, p_value
from uncork.stats.score import score


def headline(context: Context, prints: FingerprintsData, store: Store, progress: Progress) -> tuple[Headline, float]:
    """What the model does on test, and the seconds it took; without leaked rows too, where there are any."""
    started = time.perf_counter()
    described = context.subject.test is context.subject.validation
    request = Pass("validation" if described else "test")
    with working(progress, request.label(), len(context.split("test")) * context.seconds_per_row):
        passed = store.get(request)
        if passed is None:
            passed = on_test(context)
            store.put(request, passed)
    metric = context.facts.metric
    whole = score(metric, passed)
    clean, note = None, ""
    leaked = copies(prints.validation if described else prints.test, prints.train)
    if leaked.any() and context.facts.has_inputs:
        note = f"{int(leaked.sum())} of {len(leaked)} test rows also stand in train."
        if not leaked.all():
            clean = score(metric, passed.take(~leaked))
    shown = Headline(
        metric.name, whole.value, whole.low, whole.high, len(passed), whole.unit, whole.method, clean, note
    )
    return shown, time.perf_counter() - started


def on_test(context: Context) -> PassData:
    """The model's outputs on test."""
    return forward(context.model, context.split("test"), batch_size=context.batch_size, name="test")


@dataclass(frozen=True)
class Attempt:
    """One remedy that was tried: the model before it, those after it and its controls by seed, and how it was judged.

    The first model after it is the one that is kept. `margin`: what may be lost, in the yardstick's display unit.
    `saved`: what may be gained for it, measured on validation; None where nothing was to be saved.
    """

    treatment: Treatment
    yardstick: Yardstick
    before: Context
    after: tuple[Context, ...]
    control: tuple[Context, ...]
    margin: float = 0.0
    saved: SideEffect | None = None


def verify(
    original: Context, final: Context, attempts: Sequence[Attempt]
) -> tuple[Verification, tuple[Treatment, ...]]:
    """Opens test once: the final model against the original first and, only if that holds, Holm over every attempt.

    `original`: the model that treatment began with, after open gates were closed. The k-th opening of the same rows
    is tested at α · 6 / (π² k²). The final model is proven on the third of the shifted rows that is kept for it where a
    remedy for them was kept, in the subject's metric where one for that was, else in the yardstick of what was kept.
    One-sided tests; rows, or groups of rows, are the unit.
    """
    kept = [a.yardstick for a in attempts if a.treatment.kept]
    metric = original.facts.metric
    yardstick = next((own for own in (ByShifted(metric), ByMetric(metric)) if own in kept), kept[0])
    elsewhere = any(isinstance(a.yardstick, ByShifted) for a in attempts)
    question, opened = _question(original, final, attempts), [test_rows(original)]
    opened += [shifted_rows(original)] if elsewhere else []
    opening = max(ledger.open_test(rows, question) for rows in opened)
    alpha = alpha_of_opening(opening)
    outputs = _once(on_test)
    view = View(outputs, _on_test_rows, on_shifted=_once(_on_last_third))
    margin = min(a.margin for a in attempts if a.treatment.kept and a.yardstick == yardstick)
    gained = yardstick.gain(view, [original], [final])
    p = p_value(gained.shifted(margin))
    proven = p is not None and p <= alpha
    seen = [_unseen(outputs(c), c, elsewhere) for c in (original, final)]
    verification = Verification(
        opening=opening,
        alpha=alpha,
        before=yardstick.score(view, original),
        after=yardstick.score(view, final),
        gain=gained,
        proven=proven,
        yardstick=yardstick.name,
        margin=margin,
        side_effects=side_effects(metric, *seen) if len(seen[0]) else (),
    )
    if not proven:
        return verification, ()
    return verification, _attempts_on_test(attempts, view, alpha)


def _once(look: Callable[[Context], PassData]) -> Callable[[Context], PassData]:
    """The same, for each model once."""
    passes: dict[str, PassData] = {}

    def outputs(context: Context) -> PassData:
        key = context.model.fingerprint()
        if key not in passes:
            passes[key] = look(context)
        return passes[key]

    return outputs


def _on_last_third(context: Context) -> PassData:
    """The model's outputs on the third of the shifted rows that nothing was chosen on."""
    shifted = context.split("shifted")
    return forward(context.model, shifted, rows=thirds(shifted).prove, batch_size=context.batch_size, name="shifted")


def _unseen(passed: PassData, context: Context, elsewhere: bool) -> PassData:
    """Without rows of test that correspond to shifted rows which a remedy has seen."""
    if not elsewhere:
        return passed
    shifted, test = context.split("shifted"), context.split("test")
    return passed.take(unlike(test.subset(passed.rows), shifted.subset(thirds(shifted).adapt)))


def _on_test_rows(context: Context) -> Context:
    """The same with test where probes measure."""
    return context.of(context.subject.replace(validation=context.split("test")), context.model)


def _attempts_on_test(attempts: Sequence[Attempt], view: View, alpha: float) -> tuple[Treatment, ...]:
    rows = []
    for attempt in attempts:
        gained, against = (
            attempt.yardstick.gain(view, side, attempt.after) for side in ([attempt.before], attempt.control)
        )
        values = [p_value(gained.shifted(attempt.margin)), p_value(against.shifted(attempt.margin))]
        # Helping means both: better than before, and better than its control. The worse of the two decides.
        rows.append((attempt, gained, against, 1.0 if None in values else max(v for v in values if v is not None)))
    held = holm([row[3] for row in rows], alpha)
    return tuple(
        replace(
            attempt.treatment,
            stage="test",
            verdict=with_saving("helps" if helps else _otherwise(gained.shifted(attempt.margin)), attempt.saved)[0],
            realised=gained,
            against_control=against,
            p_value=p,
        )
        for (attempt, gained, against, p), helps in zip(rows, held, strict=True)
    )


def _otherwise(gained: Estimate) -> TreatmentVerdict:
    return "hurts" if gained.high is not None and gained.high < 0 else "undetermined"


def _question(original: Context, final: Context, attempts: Sequence[Attempt]) -> str:
    asked = [ByMetric(original.facts.metric).key(), answers_key(original), answers_key(final)]
    for attempt in attempts:
        asked += [attempt.treatment.remedy, attempt.yardstick.key()]
        # Of several seeds the first, so that the question is the same however many there was time for.
        asked += [answers_key(c) for c in (attempt.before, attempt.after[0], attempt.control[0])]
    return "|".join(asked)
