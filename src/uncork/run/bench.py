"""Where remedies are tried: applied, judged on validation beside their control, kept or dropped."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uncork.data.carve import halve
from uncork.data.split import Split
from uncork.data.thirds import thirds, unlike
from uncork.derived.copies import TOLERATED, copies
from uncork.gather._contract import Context, gatherers
from uncork.gather.fingerprints import hash_rows
from uncork.gather.forward import forward
from uncork.gather.store import Store
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.probes._contract import registered
from uncork.remedies._contract import Case, Treated, remedies
from uncork.run.examine import Examined, examine, failure
from uncork.run.figures import churn, of_the_model, side_effects
from uncork.run.measure import run_probe
from uncork.run.progress import Progress
from uncork.run.rank import judge, quality_family
from uncork.run.savings import saving, with_saving
from uncork.run.trained import Trainer
from uncork.run.verdict import fewer, predicted_of, verdict_of
from uncork.run.verify import Attempt
from uncork.run.yardstick import View, Yardstick, yardstick
from uncork.schema.artifacts import PassData
from uncork.schema.contract import Remedy
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import SideEffect, Treatment, TreatmentVerdict
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.two_level import MIN_SEEDS

#: Models of a remedy that trains, and as many of its control. A mean over fewer can't be told from one seed's luck.
SEEDS = 3
MOST_SEEDS = 5
#: Judged by measuring a finding again, which is of one model: a gate is closed or open, there is no mean to take.
ONE_MODEL = ("gate", "finding")


@dataclass
class Bench:
    """The model as it stands, and what was kept so far.

    `present`: the treated subject up to now. `baseline`: what proof is measured from, the original model with open
    gates closed. `examined`: the findings that remedies are chosen by, and what they were read from. `training`:
    seconds of one training. While nothing kept was fitted on validation, all of it judges; from then on the half not
    fitted on.
    """

    present: Context
    examined: Examined
    store: Store
    delta: float
    evidence: Mapping[str, Any]
    training: float = 0.0

    def __post_init__(self) -> None:
        self.baseline = self.present
        self.changes: list[str] = []
        split = self.present.split("validation")
        self._fit_rows, self._judge_rows = halve(split, integer_seed(self.present.seed, "treat"))
        self._fitted_on_validation = False
        self._train = self.present.subject.train
        self._passes: dict[tuple[str, str, bytes], PassData] = {}
        self._learnt: np.ndarray | None = None  # unlabelled rows that remedies may learn from
        self.round = 1

    @property
    def fewest(self) -> int:
        """Models of a remedy that trains, below which nothing can be said of its mean."""
        return MIN_SEEDS if self.present.facts.metric.kind == "callable" else SEEDS

    def seeds(self, remedy: Remedy, left: float) -> int:
        """How many models of the remedy, and of its control, are trained in `left` seconds; 0 where too few can be."""
        for seeds in (1,) if remedy.yardstick in ONE_MODEL else (max(MOST_SEEDS, self.fewest), self.fewest):
            if self.seconds_of(remedy, seeds) <= left:
                return seeds
        return 0

    def seconds_of(self, remedy: Remedy, seeds: int) -> float:
        """What trying one remedy takes: its trainings, and judging all models on validation."""
        trainings = self.trainings(remedy, seeds)
        models = 1 + 2 * (1 if remedy.fits_on_validation else seeds)
        workers = min(self.present.fan.workers, 2 * seeds)
        return trainings * self.training / workers + models * self._seconds("validation")

    def trainings(self, remedy: Remedy, seeds: int = SEEDS) -> float:
        """What trying a remedy is priced at, in trainings by the recipe."""
        return float(remedy.price(self.present.subject, seeds))

    def seconds_of_proof(self, attempts: Sequence[Attempt]) -> float:
        """Of every model that took part, on test."""
        return (2 + sum(len(a.after) + len(a.control) for a in attempts)) * self._seconds("test")

    def _seconds(self, name: str) -> float:
        return len(self.present.split(name)) * self.present.seconds_per_row

    def attempt(self, remedy: Remedy, finding: Finding, seeds: int = SEEDS) -> Attempt:
        """Applies one remedy and its control, judges both on validation, and keeps the remedy where it helps."""
        started = time.perf_counter()
        before = self.present
        case = self._case(remedy, finding)
        treated = remedy.apply(case)
        control = remedy.control(case, treated)
        seeds = 1 if remedy.yardstick in ONE_MODEL else seeds
        after, beside = self._models(remedy, (treated, control), seeds)
        judged_by = yardstick(remedy, finding, before)
        if remedy.yardstick == "gate":
            realised, against, verdict = self._judge_gate(finding, before, after[0], beside[0])
        else:
            realised, against, verdict = self._judge(remedy, judged_by, before, after, beside)
        saved = saving(remedy, before, after[0], self._judging(remedy))
        verdict, unsaved = with_saving(verdict, saved)
        kept = verdict in ("helps", "closed")
        treatment = Treatment(
            remedy=remedy.id,
            finding=finding.id,
            safety=remedy.safety,
            stage="validation",
            verdict=verdict,
            kept=kept,
            predicted=predicted_of(remedy, finding),
            realised=realised,
            against_control=against,
            on_validation=realised,
            side_effects=(*([saved] if saved else []), *self._side_effects(remedy, before, after, beside)),
            changes=treated.changes,
            reason="; ".join(part for part in (f"control: {control.changes}", treated.measured, unsaved) if part),
            seeds=len(after),
            round=self.round,
            trainings=self.trainings(remedy, seeds),
            seconds=time.perf_counter() - started,
        )
        if kept:
            self._keep(remedy, treated, after[0])
        return Attempt(treatment, judged_by, before, after, beside, self._margin(remedy), saved)

    def left_out(
        self, remedy: Remedy, finding: Finding, reason: str, verdict: TreatmentVerdict = "not-applicable"
    ) -> Treatment:
        """A remedy that was not tried, or not to the end."""
        return Treatment(
            remedy.id,
            finding.id,
            remedy.safety,
            "validation",
            verdict,
            kept=False,
            predicted=predicted_of(remedy, finding),
            reason=reason,
            round=self.round,
        )

    def planned(self, remedy: Remedy, finding: Finding, left: float) -> Treatment:
        """A remedy that would be tried, and what it would take, were all of `left` seconds for it."""
        try:
            seeds = self.seeds(remedy, left) or self.fewest
            trainings, seconds = self.trainings(remedy, seeds), self.seconds_of(remedy, seeds)
        except Exception as error:  # a build that can't be scaled, among others
            return self.left_out(remedy, finding, failure(error), "error")
        by_recipe = trainings and self.present.subject.recipe is not None
        reason = f"about {seconds:.0f} s" + (f", {trainings:.3g} trainings by the recipe" if by_recipe else "")
        return replace(self.left_out(remedy, finding, reason, "planned"), trainings=trainings, seconds=seconds)

    def examine_again(self, tried: Collection[str], seconds: float, progress: Progress) -> None:
        """Measures what remedies not yet `tried` could mend, in half of `seconds`; what that is too short for stays."""
        before = {finding.id: finding for finding in self.examined.findings}
        probes = [p for p in registered().values() if p.id in before and set(p.remedies) - set(tried)]
        if seconds <= 0 or not probes:
            return
        store = self.store.apart(self.present.model.fingerprint())
        found = examine(self.present, store, probes, seconds / 2, self.delta, progress)
        before |= {f.id: f for f in found.findings if f.verdict not in ("not-run", "error")}
        self.examined = replace(found, findings=tuple(before.values()))
        if "" in found.context.training:
            self.training = found.context.training[""].seconds
        self.round += 1

    def _case(self, remedy: Remedy, finding: Finding) -> Case:
        context = self.present
        subject = context.subject.without_test()
        if remedy.fits_on_validation:
            subject = subject.replace(validation=context.split("validation").subset(self._fitting(remedy)))
        if labelled(subject):
            subject = subject.replace(shifted=self._adapting(remedy))
        if isinstance(subject.unlabelled, Split):
            subject = subject.replace(unlabelled=self._unlabelled())
        return Case(
            subject=subject,
            finding=finding,
            artifacts={**self.examined.artifacts(finding), **self._evidence()},
            task=context.facts.task,
            n_classes=len(context.facts.classes),
            seed=integer_seed(context.seed, "remedy", remedy.id),
            rng=generator(context.seed, "remedy", remedy.id),
            fan=context.fan,
        )

    def _adapting(self, remedy: Remedy) -> Split | None:
        """The third of the shifted rows that a remedy may see; None where they can't be cut. Raises Unavailable where
        they are to judge it, and can't."""
        shifted = self.present.split("shifted")
        judged = remedy.yardstick == "shifted"
        try:
            adapt = thirds(shifted).adapt
        except BadInput as error:
            if not judged:
                return None
            raise Unavailable(f"shifted can't judge a remedy: {error}") from None
        if judged:
            refuse_copies(shifted, adapt, self.present.split("validation"))
        return shifted.subset(adapt)

    def _unlabelled(self) -> Split | None:
        """The unlabelled rows that neither judge nor prove; None where all do."""
        splits = [self.present.split(name) for name in ("validation", "test")]
        unlabelled: Split = self.present.subject.unlabelled
        if self._learnt is None:
            known = np.concatenate([hash_rows(split) for split in splits])
            self._learnt = np.flatnonzero(~copies(hash_rows(unlabelled), known))
        return unlabelled.subset(self._learnt) if len(self._learnt) else None

    def _models(self, remedy: Remedy, sides: Sequence[Treated], seeds: int) -> list[tuple[Context, ...]]:
        """Of each side its models, from the same seeds, so that they differ by the remedy alone; all side by side."""
        drawn = [integer_seed(self.present.seed, "remedy", remedy.id, "model", s) for s in range(seeds)]
        jobs = [(side, seed) for side in sides if side.train is not None for seed in drawn]
        about = f"{self.present.model.fingerprint()} {remedy.id}"
        made = iter(Trainer(self.present.fan, self.store.folder)(jobs, about) if jobs else [])
        return [
            tuple(self._context(side.subject.replace(model=next(made))) for _ in drawn)
            if side.train is not None
            else (self._context(side.subject),)
            for side in sides
        ]

    def _context(self, subject: Subject) -> Context:
        """A treated subject with the splits it is judged and proven on, which no remedy can have changed."""
        here = self.present.subject
        given = {name: getattr(here, name) for name in ("test", "validation", "shifted", "unlabelled")}
        whole = subject.replace(**given)
        model, facts = adapt(whole, self.present.facts.task), self.present.facts
        return self.present.of(whole, aligned(model, facts.classes) if facts.task == "classification" else model)

    def _evidence(self) -> dict[str, Any]:
        """What the user gave along, for the rows of train that are still there."""
        given, train = dict(self.evidence), self.present.subject.train
        if train is None or train is self._train:
            return given
        kept = np.isin(self._train.ids, train.ids)
        there = {str(i) for i in train.ids}
        if "drop" in given:
            given["drop"] = [i for i in given["drop"] if str(i) in there]
        if "labels" in given:
            given["labels"] = {i: label for i, label in given["labels"].items() if str(i) in there}
        if "out_of_fold" in given:
            given["out_of_fold"] = np.asarray(given["out_of_fold"])[kept]
            if kept.sum() != len(train):  # rows have joined that nothing was foretold of
                del given["out_of_fold"]
        return given

    def _fitting(self, remedy: Remedy) -> np.ndarray:
        """Rows of validation that a remedy is fitted on: of what certifies answers, none that the model was fitted on.

        A map of probabilities fitted on the same rows voids a certificate: simulated, 33 % of promises of 95 % break.
        """
        return self._judge_rows if self._fitted_on_validation and remedy.hands_over else self._fit_rows

    def _judging(self, remedy: Remedy) -> np.ndarray:
        if not remedy.fits_on_validation and not self._fitted_on_validation:
            return np.arange(len(self.present.split("validation")))
        return self._fit_rows if self._fitting(remedy) is self._judge_rows else self._judge_rows

    def _outputs(self, context: Context, rows: np.ndarray, name: str = "validation") -> PassData:
        key = (context.model.fingerprint(), name, rows.tobytes())
        if key not in self._passes:
            split = context.split(name)
            self._passes[key] = forward(context.model, split, rows=rows, batch_size=context.batch_size, name=name)
        return self._passes[key]

    def _on_shifted(self, context: Context) -> PassData:
        """A model's outputs on the third of the shifted rows that judges."""
        return self._outputs(context, thirds(context.split("shifted")).judge, "shifted")

    def _judge(
        self,
        remedy: Remedy,
        judged_by: Yardstick,
        before: Context,
        after: Sequence[Context],
        control: Sequence[Context],
    ) -> tuple[Estimate, Estimate, TreatmentVerdict]:
        """Over rows, and over the seeds of what was trained; of the model that stood before as it is."""
        rows = self._judging(remedy)
        view = View(
            lambda model: self._outputs(model, rows),
            lambda model: _validated(model, rows),
            on_shifted=self._on_shifted,
        )
        realised, against = judged_by.gain(view, [before], after), judged_by.gain(view, control, after)
        margin = self._margin(remedy)
        return realised, against, verdict_of(realised.shifted(margin), against.shifted(margin))

    def _margin(self, remedy: Remedy) -> float:
        """What of the metric may be lost."""
        return self.delta if remedy.yardstick == "tolerance" else 0.0

    def _judge_gate(
        self, finding: Finding, before: Context, after: Context, control: Context
    ) -> tuple[Estimate | None, Estimate | None, TreatmentVerdict]:
        """A gate's remedy is judged by measuring the gate again; what it gains is what still stood in the way."""
        states = [self._gate(finding, context) for context in (before, after, control)]
        judged_by = states[0].against.estimate if states[0].against else ""
        figures = [state.estimates.get(judged_by) for state in states]
        closed = states[1].verdict == "clear"
        return fewer(figures[0], figures[1]), fewer(figures[2], figures[1]), "closed" if closed else "still-open"

    def _gate(self, finding: Finding, context: Context) -> Finding:
        probe = registered()[finding.id]
        outcome = run_probe(probe, context, lambda request: gatherers()[type(request)].gather(request, context))
        return judge(probe, outcome, delta=self.delta, family=quality_family(), seconds=0.0)

    def _side_effects(
        self, remedy: Remedy, before: Context, after: Sequence[Context], control: Sequence[Context]
    ) -> tuple[SideEffect, ...]:
        """Of the model before and the one that may be kept; how models of the control and of the remedy differ.

        Of a remedy for shifted rows on those of validation that correspond to none it has seen; none where all do.
        """
        rows = self._judging(remedy)
        if remedy.yardstick == "shifted":
            shifted = before.split("shifted")
            rows = rows[unlike(before.split("validation").subset(rows), shifted.subset(thirds(shifted).adapt))]
        if not len(rows):
            return ()
        old, new = self._outputs(before, rows), self._outputs(after[0], rows)
        first, second = of_the_model(before, old), of_the_model(after[0], new)
        found = [SideEffect(name, first[name], second[name]) for name in first if name in second]
        apart = [churn([self._outputs(c, rows) for c in side]) for side in (control, after)]
        if apart[0] is not None and apart[1] is not None:
            found.append(SideEffect("retraining churn", apart[0], apart[1]))
        return (*side_effects(before.facts.metric, old, new), *found)

    def _keep(self, remedy: Remedy, treated: Treated, after: Context) -> None:
        if treated.train is not None:
            self.training *= steps_of(treated.subject) / max(1, steps_of(self.present.subject))
            undone = [f"{id}: " for id, other in remedies().items() if other.combines]
            self.changes = [change for change in self.changes if not change.startswith(tuple(undone))]
        self.present = after
        self.changes.append(f"{remedy.id}: {treated.changes}")
        self._fitted_on_validation |= remedy.fits_on_validation
        if remedy.yardstick == "gate":
            # What follows is measured from the model whose figures can be trusted; what is stored is of the old train.
            self.baseline = after
            self.examined = replace(self.examined, context=after, store=None)


def labelled(subject: Subject) -> bool:
    """Whether a remedy can be judged on shifted rows."""
    return subject.shifted is not None and subject.shifted.y is not None


def refuse_copies(shifted: Split, adapt: np.ndarray, validation: Split) -> None:
    """Raises Unavailable where shifted rows that judge a remedy are copies of those it sees, whatever their ids.

    Tables of few values repeat by nature: as often as rows of validation do among themselves.
    """
    rows = hash_rows(shifted)
    shared = copies(np.delete(rows, adapt, axis=0), rows[adapt])
    _, which, times = np.unique(hash_rows(validation), axis=0, return_inverse=True, return_counts=True)
    if shared.mean() - (times[which] > 1).mean() > TOLERATED / 1000:
        raise Unavailable(
            f"{int(shared.sum())} shifted rows that would judge are copies of rows that the remedy sees: leave them "
            "out, or give copies one group, Split(..., groups=...)"
        )


def _validated(context: Context, rows: np.ndarray) -> Context:
    """The same with these rows of validation alone."""
    few = context.split("validation").subset(rows)
    return context.of(context.subject.replace(validation=few), context.model)


def steps_of(subject: Subject) -> int:
    """Optimiser steps of one training; 1 where the recipe doesn't say."""
    recipe, train = subject.recipe, subject.train
    return int(recipe.steps(len(train))) if hasattr(recipe, "steps") and train is not None else 1
