"""What changing one thing in the recipe gains: screened at half size on train, confirmed at full size on validation.

A screen picks the arm and may call the question futile; it is no headroom, since what is gained at half size is often
less at full, and the best of several looks better than it is. The confirmed gain is: other models, on rows that took
no part in the choice.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uncork.derived.confidence import outputs
from uncork.derived.gains import gain_of
from uncork.derived.words import interval
from uncork.schema.artifacts import PassData
from uncork.schema.finding import Detail, Estimate
from uncork.schema.metric import Metric
from uncork.schema.pool import FURTHER, QUESTIONS, PoolData
from uncork.stats.crossed import SeedVariance, crossed, gains, moderate, seed_variance
from uncork.stats.halves import complementary
from uncork.stats.means import mean
from uncork.stats.score import influence

#: Arms in words.
WORDS = {
    "drop-flagged": "the flagged rows left out",
    "lr-over-8": "a learning rate 8 times smaller",
    "lr-x8": "a learning rate 8 times larger",
    "lr-over-64": "a learning rate 64 times smaller",
    "lr-x64": "a learning rate 64 times larger",
    "decay-x30": "30 times the weight decay",
    "steps-x4": "4 times as many steps",
    "width-x4": "layers 4 times as wide",
    "balanced": "rows of rarer classes repeated until as frequent",
    "width-over-4": "layers 4 times narrower",
}
#: Asked what it costs, not what it gains: confirmed unless it surely loses more than δ.
TOLERATED = "excess"
#: Arms without models of half size: nothing screens them.
UNSCREENED = ("drop-flagged",)
_SHARES = ("error", "accuracy")
_LARGER = 0.5
_Screens = dict[tuple[Metric, str], Estimate | None]
_KNOWN: weakref.WeakKeyDictionary[PoolData, _Screens] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Answer:
    """What the pool says of a question.

    arm: the one confirmed, with its `gain` on validation; where there is none, `why`. bound: bounds only, of what any
    of the question's arms gains, where all of them were screened and none gained.
    """

    question: str
    arm: str | None = None
    gain: Estimate | None = None
    bound: Estimate | None = None
    why: str = ""

    @property
    def headroom(self) -> Estimate | None:
        """The confirmed gain, or bounds, or None where something is missing."""
        return self.gain or self.bound

    @property
    def sentence(self) -> str:
        """For a summary."""
        if self.gain is None or self.arm is None:
            return f"No change of the recipe is confirmed at full size: {self.why}."
        verb = "loses" if (self.gain.value or 0.0) < 0 else "gains"
        shown = self.gain.scaled(-1, self.gain.unit) if verb == "loses" else self.gain
        form = ".1f" if shown.unit.endswith("per 1,000") else ".3g"
        much = "" if shown.value is None else f" {shown.value:{form}}{interval(shown, form)} {shown.unit}"
        return f"With {WORDS[self.arm]} the recipe {verb}{much} at full size, on validation."


def gain_or(answer: Answer, most: Estimate | None, delta: float) -> Estimate | None:
    """The confirmed gain, or `most`, bounds of what any remedy could gain, where it is unknown or surely below δ.

    For bottlenecks of which the arm is one remedy among others: its failing does not speak for them.
    """
    gain = answer.gain
    return most if gain is None or gain.high is None or gain.high < delta else gain


def unanswered(pool: PoolData, question: str) -> str | None:
    """Why nothing was tried that answers the question, with how to mend it; None where something was."""
    if "pool" in pool.left_out:
        return pool.left_out["pool"]
    arms = QUESTIONS[question]
    if any(a in pool.arm or _diverged(pool, a) for a in arms):
        return None
    return _missing(pool, question, arms[0], "halves")


def screens(pool: PoolData, metric: Metric, question: str) -> dict[str, Estimate]:
    """`screened` of each arm of a question that has one, as estimates by name."""
    found = {f"{a}_at_half_size": screened(pool, metric, a) for a in QUESTIONS[question]}
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def screened(pool: PoolData, metric: Metric, arm: str) -> Estimate | None:
    """What the arm gains over the plain halves at half size, on the rows of train that the half did not see.

    Display unit, positive where better. Unit: the permutation, whole ones only; None where there is none. As the halves
    of a permutation are judged on each other's rows, the difference between them holds the rows' variance too
    (`complementary`), but for what a row does to training and to judging at once. Two permutations may agree by chance,
    so it is no narrower than the interval over rows of the gain as it is (`mean`; not for callable metrics). Worked out
    once for a pool.
    """
    known = _KNOWN.setdefault(pool, {})
    if (metric, arm) not in known:
        known[metric, arm] = _screened(pool, metric, arm)
    return known[metric, arm]


def _screened(pool: PoolData, metric: Metric, arm: str) -> Estimate | None:
    pairs = {
        (pool.permutation[half], pool.part[half]): (half, new) for half, new in zip(*pool.pairs(2, arm), strict=True)
    }
    whole = sorted({r for r, _ in pairs if {(r, 0), (r, 1)} <= pairs.keys()})
    if not whole:
        return None
    trained_on, by_half, by_row = pool.trained_on, np.zeros((len(whole), 2)), np.zeros(len(pool.y))
    for i, j in np.ndindex(by_half.shape):
        members = pairs[whole[i], j]
        unseen = np.flatnonzero(~trained_on[members[0]])
        before, after = (pool.train_pass(int(m)).take(unseen) for m in members)
        by_half[i, j] = metric.sign * metric.scale * (_value(metric, before) - _value(metric, after))
        if metric.kind != "callable":
            by_row[unseen] += gains(metric, [before], [after])[0] / len(whole)
    if not np.isfinite(by_half).all():
        return None
    bounds = (-metric.scale, metric.scale) if metric.kind in _SHARES else None
    found = complementary(by_half, unit=metric.unit, bounds=bounds)
    if metric.kind == "callable":
        return found
    skewed = metric.kind not in ("auc", "rmse")
    over_rows = mean(by_row, clusters=pool.clusters, unit=metric.unit, bounds=bounds, skewed=skewed)
    over_rows = over_rows.shifted(by_half.mean() - by_row.mean())
    return max(over_rows, found, key=_width)


def _width(estimate: Estimate) -> float:
    return -1.0 if estimate.low is None or estimate.high is None else estimate.high - estimate.low


def best(pool: PoolData, metric: Metric, question: str) -> str | None:
    """The arm of a question that is worth confirming: the one that gains most in the screen, if it gains at all.

    None: futile, or nothing to screen. "excess" is worth confirming unless its loss is surely above δ. An arm without a
    screen of its own always is.
    """
    arms = _tried(pool, question)
    if arms and all(a in UNSCREENED for a in arms):
        return arms[0]
    screens = {a: found for a in arms if (found := screened(pool, metric, a)) is not None}
    if not screens:
        return None
    arm = max(screens, key=lambda a: screens[a].value or 0.0)
    if question != TOLERATED:
        return arm if (screens[arm].value or 0.0) > 0 else None
    high = screens[arm].high
    return None if high is not None and high < -delta(pool, metric) else arm


def delta(pool: PoolData, metric: Metric) -> float:
    """δ at what the plain models score on validation, in the display unit."""
    for size in (1, 2):
        members = pool.members(size)
        if len(members):
            return metric.delta_at(metric.scale * _value(metric, pool.validation_pass(int(members[0]))))
    return metric.delta_at(0.0)


def confirmed(pool: PoolData, metric: Metric, question: str) -> Answer:
    """What the question's best arm gains at full size, on validation, over the plain models of the same seeds.

    Estimand: the mean over rows and training seeds (`gain_over_seeds`), other confirmed arms' seed variances as prior.
    Not confirmed: with a model that diverged, with fewer than 2 seeds, where the screen was futile or is not there.
    """
    if "pool" in pool.left_out:
        return Answer(question, why=pool.left_out["pool"])
    arm = best(pool, metric, question)
    if arm is None:
        arms = _tried(pool, question)
        absent = [a for a in arms if screened(pool, metric, a) is None]
        if absent:
            return Answer(question, why=_missing(pool, question, absent[0], "halves"))
        return Answer(question, bound=_bound(pool, metric, arms), why=_futile(pool, question, arms))
    paired, changed = pool.pairs(1, arm)
    if _diverged(pool, arm) or len(changed) < max(2, len(pool.members(1))):
        return Answer(question, why=_missing(pool, question, arm, "full"))
    before, after = ([pool.validation_pass(int(i)) for i in side] for side in (paired, changed))
    prior = None if metric.kind == "callable" else _prior(pool, metric, arm, before, after)
    return Answer(question, arm, gain_of(metric, before, after, prior=prior))


def plain(pool: PoolData, metric: Metric) -> dict[str, Estimate]:
    """What models of all of train score by the recipe, on `train` and on `validation`; nothing for callable metrics.

    Display unit; the mean over rows and training seeds (`crossed`).
    """
    members = pool.members(1)
    if metric.kind == "callable" or not len(members):
        return {}
    found = {}
    for name, of in (("train", pool.train_pass), ("validation", pool.validation_pass)):
        passes = [of(int(i)) for i in members]
        values = metric.scale * np.stack([value + each for value, each in (influence(metric, p) for p in passes)])
        bounds = (0.0, metric.scale) if metric.kind in (*_SHARES, "auc") else None
        found[name] = crossed(values, clusters=passes[0].clusters, unit=metric.unit, bounds=bounds)
    return found


def arm_table(pool: PoolData, metric: Metric, questions: Sequence[str]) -> Detail:
    """Each arm: its gain at half size and, where confirmed, at full size, with intervals, or why not."""
    lines = []
    for question in questions:
        answer = confirmed(pool, metric, question)
        for arm in (a for a in QUESTIONS[question] if _reached(pool, a) or a in pool.left_out):
            half, full = screened(pool, metric, arm), answer.gain if answer.arm == arm else None
            ends = [None if e is None else getattr(e, end) for e in (half, full) for end in ("value", "low", "high")]
            lines.append([WORDS[arm], *ends, "" if full else _note(pool, arm, half, answer)])
    columns = [f"{end} at {size} size" for size in ("half", "full") for end in ("gain", "low", "high")]
    return Detail(
        "table",
        f"One thing changed in the recipe: what it gains ({metric.unit})",
        {"columns": ["change", *columns, "note"], "rows": lines},
        note="Half size: on rows of train that the models did not see. Full size: on validation, same seeds.",
    )


def _note(pool: PoolData, arm: str, half: Estimate | None, answer: Answer) -> str:
    """Why an arm has no gain at full size."""
    if arm in pool.left_out:
        return pool.left_out[arm]
    if half is not None and (half.value or 0.0) <= 0 and answer.question != TOLERATED:
        return "gains nothing at half size"
    return answer.why if answer.arm is None else "gains less at half size than another"


def _value(metric: Metric, passed: PassData) -> float:
    """The metric on these rows, raw."""
    if metric.kind == "callable":
        return float(metric.spec(outputs(passed), passed.y))
    return influence(metric, passed)[0]


def seed_variances(pool: PoolData, metric: Metric) -> dict[str, tuple[float, float]]:
    """Variance between the seeds of each confirmed arm's models of all of train, with its degrees of freedom.

    Of the metric on validation, in its display unit. Nothing of callables, which have no linearisation.
    """
    found = {}
    for arm in sorted(set(pool.arm) - {""}) if metric.kind != "callable" else ():
        passes = [pool.validation_pass(int(i)) for i in pool.members(1, arm)]
        if len(passes) >= 2 and not _diverged(pool, arm):
            parts = [influence(metric, passed) for passed in passes]
            values = np.stack([metric.scale * (value + each) for value, each in parts])
            if (own := seed_variance(values, clusters=pool.validation_clusters)) is not None:
                found[arm] = (own.variance, own.df)
    return found


def _prior(
    pool: PoolData, metric: Metric, arm: str, before: Sequence[PassData], after: Sequence[PassData]
) -> SeedVariance | None:
    """What the other arms' seed variances say of this one's gain: twice theirs, as it is a difference of two models.

    Not of their gains, which share the plain models: those are small or large together, by one and the same luck. None
    where this arm's own is larger (beyond the median of F). Simulated coverage at 95 %, 3 seeds, without noise of rows
    .97 with one to five arms like it, .95 where its variance is 2 to 8 times theirs (without the F test down to .75);
    with 500 and 2,000 rows .95 to 1.00, at .7 to .95 of the width that 3 seeds alone have.
    """
    unlike = QUESTIONS[TOLERATED]  # asked for though worse: a net too narrow varies otherwise than those that may help
    known = [found for other, found in pool.seed_variances.items() if other != arm and other not in unlike]
    others = moderate([variance for variance, _ in known], [df for _, df in known])
    own = seed_variance(gains(metric, before, after), clusters=pool.validation_clusters)
    if others is None or own is None or arm in unlike:
        return None
    prior = SeedVariance(2 * others.variance, others.df)
    return None if own.variance > prior.variance * stats.f.ppf(_LARGER, own.df, prior.df) else prior


def _bound(pool: PoolData, metric: Metric, arms: Sequence[str]) -> Estimate | None:
    """Between nothing and the largest upper end of the screens, too low no oftener than one of them is.

    No less than its standard error: a sure loss at half size does not prove that there is nothing at all to gain.
    """
    screens = [found for a in arms if (found := screened(pool, metric, a)) is not None]
    if not screens or not all(found.determined for found in screens):
        return None
    most = max(screens, key=lambda found: found.high or 0.0)
    high = max(most.high or 0.0, most.se or 0.0)
    method = "bounds only: between nothing and what the screen at half size leaves possible"
    return Estimate(None, 0.0, high, most.unit, most.n, method)


def _futile(pool: PoolData, question: str, arms: Sequence[str]) -> str:
    if not arms:
        return pool.left_out[QUESTIONS[question][0]]
    if question == TOLERATED:
        return f"with {WORDS[arms[0]]} it surely loses more than δ at half size"
    names = [f"with {WORDS[a]}" for a in arms]
    return f"{names[0]} it gains nothing at half size" if len(names) == 1 else _neither(names)


def _neither(names: Sequence[str]) -> str:
    return f"neither {' nor '.join(names)} does it gain anything at half size"


def _missing(pool: PoolData, question: str, arm: str, size: str) -> str:
    """Why an arm has too few models. Of an arm that is not whole the gatherer keeps none, and names the reason."""
    for name in (arm, *_tried(pool, question), size):
        if name in pool.left_out:
            return pool.left_out[name]
    if arm in UNSCREENED and not pool.flagged.any():
        return "no row of train is flagged"
    return f"too few models with {WORDS[arm]}"


def _tried(pool: PoolData, question: str) -> list[str]:
    """A question's arms, but for those that diverged, and further ones that the search did not come to."""
    return [a for a in QUESTIONS[question] if not _diverged(pool, a) and _reached(pool, a)]


def _reached(pool: PoolData, arm: str) -> bool:
    return arm not in FURTHER or arm in pool.arm


def _diverged(pool: PoolData, arm: str) -> bool:
    """A recipe of which one model diverged is none to change to: it counts as tried, and as gaining nothing."""
    return "diverged" in pool.left_out.get(arm, "")
