"""Which unlabelled rows to label next, by the strategy that surely beat random rows on train, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uncork.data.split import Split
from uncork.derived.label_multiplier import strategy_gains
from uncork.gather import label_cost
from uncork.gather._contract import Context
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.progress import Progress, Silent, working
from uncork.run.worth import seconds_of_training
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.finding import Estimate
from uncork.schema.label_cost import LabelCost
from uncork.schema.seeds import generator
from uncork.schema.subject import Subject
from uncork.stats.multiplicity import lower_bound
from uncork.train.acquire import STRATEGIES, answers
from uncork.train.recipe import Recipe

COMPARED = LabelCost(further=False)
TRAININGS = label_cost.trainings(COMPARED)


@dataclass(frozen=True)
class Acquisition:
    """ids: of the rows of `unlabelled` to label, the first first. strategy: what ranked them. gains: of each strategy
    over random rows, in the metric's display unit, as simulated; empty where the strategy was given."""

    ids: list[Any]
    strategy: str
    gains: Mapping[str, Estimate] = field(default_factory=dict)


def acquire(
    subject: Subject,
    n: int,
    strategy: str = "auto",
    *,
    seed: int = 0,
    backend: str = "loky",
    address: str | None = None,
    progress: Progress | None = None,
) -> Acquisition:
    """The n rows of `subject.unlabelled` to label next; all of them where there are fewer.

    `strategy`: "random", "margin", "typical" or "badge" (`uncork.train.acquire`); "auto" simulates: from 15 % of train
    each buys as many rows again from the rest, a model is trained on both and judged on validation, in five repeats,
    which takes 25 trainings. The one that gains most over random rows is taken if its lower bound, corrected for how
    many there are, is above 0; else random rows. Raises BadInput where n or the strategy is none, Unavailable where
    something is missing.
    """
    if strategy not in ("auto", *STRATEGIES):
        raise BadInput(f"strategy {strategy!r} is not known: use auto or one of {', '.join(STRATEGIES)}")
    if n < 1:
        raise BadInput(f"n is {n}: give how many rows can be labelled, 1 or more")
    if not isinstance(subject.unlabelled, Split):
        raise BadInput("there are no rows to choose from: give Subject(unlabelled=Split(x))")
    fan = Executor(backend, address)
    context = admit(subject, describe_only=False, seed=seed, fan=fan).context
    if context.facts.task != "classification":
        raise Unavailable("rows to label are chosen by class probabilities: a regression has none")
    if strategy == "auto" and context.facts.metric.kind == "callable":
        raise Unavailable(f"{context.facts.metric.name} is a function, which five repeats can't judge: name a strategy")
    gains: dict[str, Estimate] = {}
    if strategy == "auto":
        # What a callable takes is not known before it is called.
        each = seconds_of_training(context, None) if isinstance(subject.recipe, Recipe) else 0.0
        left = TRAININGS * each / min(fan.workers, label_cost.REPEATS)
        with working(progress or Silent(), f"trying strategies, {TRAININGS} trainings", left):
            gains = simulated(context)
        strategy = surely_best(gains)
    logits, features = answers(context.model, subject.unlabelled)
    rows = STRATEGIES[strategy](logits, features, min(n, len(logits)), generator(seed, "acquire", strategy))
    return Acquisition(subject.unlabelled.ids[rows].tolist(), strategy, gains)


def simulated(context: Context) -> dict[str, Estimate]:
    """What each strategy gains over random rows on validation: mean over rows and repeats, crossed."""
    return strategy_gains(label_cost.simulated(COMPARED, context), context.facts.metric)


def surely_best(gains: Mapping[str, Estimate]) -> str:
    """The strategy of largest gain whose lower bound, corrected for all of them, is above 0; else "random"."""
    sure = {
        name: gain.value
        for name, gain in gains.items()
        if gain.value is not None and (lower_bound(gain, len(gains)) or 0.0) > 0
    }
    return max(sure, key=lambda name: sure[name]) if sure else "random"
