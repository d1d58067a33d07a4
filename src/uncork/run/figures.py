"""The figures that every treatment shows before and after, whatever it was meant to mend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.data.split import Split
from uncork.derived.confidence import confidence, correct
from uncork.derived.order import ordered
from uncork.gather._contract import Context, gatherers
from uncork.gather.forward import forward
from uncork.schema.artifacts import PassData, Profile, ProfileData
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.report import SideEffect
from uncork.schema.seeds import generator
from uncork.stats.binomial import share
from uncork.stats.calibration import calibration_error, equal_mass_bins
from uncork.stats.means import mean
from uncork.stats.quantiles import median
from uncork.stats.score import score
from uncork.stats.simultaneous import shares_by_class

LOG_LOSS = Metric("log-loss")
AUC = Metric("auc")
MOST_ROWS = 2000  # of train, to tell them from rows that were not trained on; of validation, with noise
NOISE = 0.1  # standard deviations


def figures(metric: Metric, passed: PassData) -> dict[str, Estimate]:
    """The subject's metric; for a classifier also its log-loss, calibration error, and the error of its worst class."""
    found = {metric.name: score(metric, passed)}
    if passed.task == "classification":
        found[LOG_LOSS.name] = score(LOG_LOSS, passed)
        rows = ordered(passed)
        sure = confidence(rows)
        found["calibration error"] = calibration_error(sure, correct(rows), equal_mass_bins(sure))
        errors = shares_by_class(~correct(rows), rows.y, rows.logits.shape[1], unit="share wrong")
        found["worst class"] = max((e for e in errors if e.n), key=lambda e: e.value or 0.0)
    return found


def side_effects(metric: Metric, before: PassData, after: PassData) -> tuple[SideEffect, ...]:
    """Each figure on the same rows before and after; where rows are handed over, how many."""
    first, second = figures(metric, before), figures(metric, after)
    if not (before.answered.all() and after.answered.all()):
        first["handed over"], second["handed over"] = _handed_over(before), _handed_over(after)
    return tuple(SideEffect(name, first[name], second[name]) for name in first)


def _handed_over(passed: PassData) -> Estimate:
    return share(~passed.answered, passed.clusters).scaled(1000, "rows per 1,000")


def of_the_model(context: Context, passed: PassData) -> dict[str, Estimate]:
    """What the model's own makes: its latency, its metric under noise, how well its loss tells train's rows from
    validation's.

    Under noise: on up to 2,000 of `passed`'s rows, values moved by normal noise of a tenth of their column's standard
    deviation, of pictures and the like of all values'; nothing where rows are no floats. Membership: AUC of the loss
    attack (Yeom et al., CSF 2018), .5 for chance; a lower bound on what leaks.
    """
    profile: ProfileData = gatherers()[Profile].gather(Profile(), context)
    found = {"latency of one row": median(1000 * profile.single_seconds, unit="ms")}
    if (noisy := _under_noise(context, passed)) is not None:
        found[f"{context.facts.metric.name} under noise"] = noisy
    train = context.subject.train
    if train is not None and train.y is not None and context.facts.has_inputs:
        rng = generator(context.seed, "membership of train")
        rows = np.sort(rng.permutation(len(train))[:MOST_ROWS])
        seen = forward(context.model, train, rows=rows, batch_size=context.batch_size, name="train")
        loss = np.concatenate([seen.loss, passed.loss])
        member = np.arange(len(loss)) < len(seen)
        clusters = np.concatenate([seen.clusters, passed.clusters + seen.clusters.max(initial=-1) + 1])
        logits = np.stack([np.zeros_like(loss), -loss], axis=1)
        attacked = PassData.of_logits(logits, member.astype(np.int64), clusters=clusters)
        found["membership"] = score(AUC, attacked)
    return found


def _under_noise(context: Context, passed: PassData) -> Estimate | None:
    """The metric on rows of validation with noise; None where they are no floats, or the model can't take others."""
    split, rng = context.split("validation"), generator(context.seed, "noise")
    rows = np.sort(rng.permutation(passed.rows)[:MOST_ROWS])
    x = split.take(rows) if context.facts.has_inputs and split.kind == "array" else None
    if x is None or split.y is None or x.dtype.kind != "f" or not np.isfinite(x).all():
        return None
    spread = x.std(axis=0 if x.ndim == 2 else None, dtype=np.float64)
    moved = (x + NOISE * spread * rng.normal(size=x.shape)).astype(x.dtype)
    groups = None if split.groups is None else split.groups[rows]
    try:
        return score(context.facts.metric, forward(context.model, Split(moved, split.y[rows], groups=groups)))
    except Exception:  # of a model that looks its rows up, among others
        return None


def churn(passes: Sequence[PassData]) -> Estimate | None:
    """Share of rows on which two trainings decide otherwise, the mean over pairs; None where there are none to compare.

    Unit: rows, or groups of them; the trainings are taken as they are.
    """
    if len(passes) < 2 or passes[0].task != "classification":
        return None
    decided = np.stack([p.predicted for p in passes])
    pairs = [decided[i] != decided[j] for i in range(len(passes)) for j in range(i)]
    apart = 1000 * np.mean(pairs, axis=0)
    return mean(apart, clusters=passes[0].clusters, unit="decisions per 1,000", bounds=(0.0, 1000.0), skewed=True)
