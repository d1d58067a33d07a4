"""Where remedies are tried: applied, judged on validation beside their control, kept or dropped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uncork.data.carve import halve
from uncork.gather._contract import Context, gatherers
from uncork.gather.forward import forward
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.probes._contract import registered
from uncork.remedies._contract import Case, Treated
from uncork.run.figures import LOG_LOSS, side_effects
from uncork.run.folder import RunFolder
from uncork.run.measure import bind, run_probe
from uncork.run.plan import make_plan
from uncork.run.rank import judge, quality_family
from uncork.run.verify import Attempt
from uncork.schema.artifacts import PassData, Request
from uncork.schema.contract import Remedy
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import SideEffect, Treatment, TreatmentVerdict
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.score import gain
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe


@dataclass
class Bench:
    """The model as it stands, and what was kept so far.

    `present`: the treated subject up to now. `baseline`: what proof is measured from, the original model with open
    gates closed. While nothing kept was fitted on validation, all of it judges; from then on the half not fitted on.
    """

    present: Context
    folder: RunFolder
    about: dict[str, Any]
    delta: float
    evidence: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.baseline = self._audited = self.present
        self.changes: list[str] = []
        split = self.present.split("validation")
        self._fit_rows, self._judge_rows = halve(split, integer_seed(self.present.seed, "treat"))
        self._fitted_on_validation = False
        self._train = self.present.subject.train
        self._passes: dict[tuple[str, int], PassData] = {}

    def price_of_training(self) -> float:
        """Seconds of one training. A Recipe's step costs about three forward passes; a callable is timed once."""
        subject, recipe = self.present.subject, self.present.subject.recipe
        if recipe is None or subject.train is None:
            return 0.0
        if isinstance(recipe, Recipe):
            return 3.0 * recipe.steps(len(subject.train)) * recipe.batch_size * self.present.seconds_per_row
        started = time.perf_counter()
        fit_any(recipe, subject.train, integer_seed(self.present.seed, "price"))
        return time.perf_counter() - started

    def price_of_judging(self) -> float:
        """Seconds of fitting on half of validation and judging three models on all of it."""
        return 4.0 * len(self.present.split("validation")) * self.present.seconds_per_row

    def price_of_proof(self, attempts: int) -> float:
        """Seconds of every model that took part on test."""
        return (2 + 2 * attempts) * len(self.present.split("test")) * self.present.seconds_per_row

    def attempt(self, remedy: Remedy, finding: Finding) -> Attempt:
        """Applies one remedy and its control, judges both on validation, and keeps the remedy where it helps."""
        started = time.perf_counter()
        before = self.present
        case = self._case(remedy, finding)
        treated = remedy.apply(case)
        control = remedy.control(case, treated)
        after, beside = self._context(treated.subject), self._context(control.subject)
        if remedy.yardstick == "gate":
            realised, against, verdict = self._judge_gate(finding, before, after, beside)
        else:
            realised, against, verdict = self._judge(remedy, before, after, beside)
        kept = verdict in ("helps", "closed")
        treatment = Treatment(
            remedy=remedy.id,
            finding=finding.id,
            safety=remedy.safety,
            stage="validation",
            verdict=verdict,
            kept=kept,
            predicted=_predicted(remedy, finding),
            realised=realised,
            against_control=against,
            on_validation=realised,
            side_effects=self._side_effects(remedy, before, after),
            changes=treated.changes,
            reason=f"control: {control.changes}",
            seconds=time.perf_counter() - started,
        )
        if kept:
            self._keep(remedy, treated, after)
        yardstick = LOG_LOSS if remedy.yardstick == "log-loss" else before.facts.metric
        return Attempt(treatment, yardstick, before, after, beside)

    def _case(self, remedy: Remedy, finding: Finding) -> Case:
        context = self.present
        subject = context.subject.without_test()
        if remedy.fits_on_validation:
            subject = subject.replace(validation=context.split("validation").subset(self._fit_rows))
        return Case(
            subject=subject,
            finding=finding,
            artifacts={**self._artifacts(finding), **self._evidence()},
            task=context.facts.task,
            n_classes=len(context.facts.classes),
            seed=integer_seed(context.seed, "remedy", remedy.id),
            rng=generator(context.seed, "remedy", remedy.id),
        )

    def _artifacts(self, finding: Finding) -> dict[str, Any]:
        """What the finding's probe read, from the store, and gathered again where it is no longer there."""
        probe, store = registered()[finding.id], self.folder.store(self.about)
        plan = make_plan([probe], self.baseline, float("inf"))

        # What is stored is of the subject as it was audited; of a pool what was trained, and no more.
        audited = self.baseline is self._audited
        context = replace(self.baseline, store=store if audited else None, deadline=0.0)

        def fetch(request: Request) -> Any:
            covering = plan.covering(request)
            stored = store.get(covering) if audited else None
            return gatherers()[type(covering)].gather(covering, context) if stored is None else stored

        return bind(probe, self.baseline, fetch)

    def _context(self, subject: Subject) -> Context:
        """A treated subject with the splits it is judged and proven on, which no remedy can have changed."""
        here = self.present.subject
        whole = subject.replace(test=here.test, validation=here.validation)
        model, facts = adapt(whole, self.present.facts.task), self.present.facts
        return self.present.of(whole, aligned(model, facts.classes) if facts.task == "classification" else model)

    def _evidence(self) -> dict[str, Any]:
        """What the user gave along, for the rows of train that are still there."""
        given, train = dict(self.evidence), self.present.subject.train
        if train is None or train is self._train:
            return given
        kept = np.isin(self._train.ids, train.ids)
        if "drop" in given:
            there = {str(i) for i in train.ids}
            given["drop"] = [i for i in given["drop"] if str(i) in there]
        if "out_of_fold" in given:
            given["out_of_fold"] = np.asarray(given["out_of_fold"])[kept]
        return given

    def _judging(self, fitted: bool) -> np.ndarray:
        if fitted or self._fitted_on_validation:
            return self._judge_rows
        return np.arange(len(self.present.split("validation")))

    def _outputs(self, context: Context, rows: np.ndarray) -> PassData:
        key = (context.model.fingerprint(), len(rows))  # all of validation, or the half that judges
        if key not in self._passes:
            split = context.split("validation")
            self._passes[key] = forward(
                context.model, split, rows=rows, batch_size=context.batch_size, name="validation"
            )
        return self._passes[key]

    def _judge(
        self, remedy: Remedy, before: Context, after: Context, control: Context
    ) -> tuple[Estimate, Estimate, TreatmentVerdict]:
        rows = self._judging(remedy.fits_on_validation)
        passes = [self._outputs(c, rows) for c in (before, after, control)]
        metric = LOG_LOSS if remedy.yardstick == "log-loss" else before.facts.metric
        realised, against = gain(metric, passes[0], passes[1]), gain(metric, passes[2], passes[1])
        return realised, against, verdict_of(realised, against)

    def _judge_gate(
        self, finding: Finding, before: Context, after: Context, control: Context
    ) -> tuple[Estimate | None, Estimate | None, TreatmentVerdict]:
        """A gate's remedy is judged by measuring the gate again; what it gains is what still stood in the way."""
        states = [self._gate(finding, context) for context in (before, after, control)]
        judged_by = states[0].against.estimate if states[0].against else ""
        figures = [state.estimates.get(judged_by) for state in states]
        closed = states[1].verdict == "clear"
        return _fewer(figures[0], figures[1]), _fewer(figures[2], figures[1]), "closed" if closed else "still-open"

    def _gate(self, finding: Finding, context: Context) -> Finding:
        probe = registered()[finding.id]
        outcome = run_probe(probe, context, lambda request: gatherers()[type(request)].gather(request, context))
        return judge(probe, outcome, delta=self.delta, family=quality_family(), seconds=0.0)

    def _side_effects(self, remedy: Remedy, before: Context, after: Context) -> tuple[SideEffect, ...]:
        rows = self._judging(remedy.fits_on_validation)
        return side_effects(before.facts.metric, self._outputs(before, rows), self._outputs(after, rows))

    def _keep(self, remedy: Remedy, treated: Treated, after: Context) -> None:
        self.present = after
        self.changes.append(f"{remedy.id}: {treated.changes}")
        self._fitted_on_validation |= remedy.fits_on_validation
        if remedy.yardstick == "gate":
            # What follows is measured from the model whose figures can be trusted.
            self.baseline = after


def verdict_of(realised: Estimate, against: Estimate) -> TreatmentVerdict:
    """`helps` needs both intervals above 0: over the model before, and over the control."""
    if realised.low is not None and against.low is not None and realised.low > 0 and against.low > 0:
        return "helps"
    if realised.high is not None and realised.high < 0:
        return "hurts"
    return "undetermined"


def _predicted(remedy: Remedy, finding: Finding) -> Estimate | None:
    """What the probe promised of this remedy, in the remedy's unit."""
    own = finding.estimates.get(f"{remedy.id.replace('-', '_')}_gain")
    return own or (finding.headroom if remedy.yardstick == "metric" else None)


def _fewer(before: Estimate | None, after: Estimate | None) -> Estimate | None:
    """Difference of two counted shares: exact, since all rows were looked at. None for what was not counted."""
    if before is None or after is None or before.value is None or after.value is None:
        return None
    if not before.low == before.value == before.high or not after.low == after.value == after.high:
        return None
    fewer = before.value - after.value
    return Estimate(fewer, fewer, fewer, f"fewer {before.unit}", before.n, before.method)
