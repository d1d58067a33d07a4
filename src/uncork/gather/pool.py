"""Models retrained by the recipe on designed subsets of train.

What it gathers
---------------
Halves, quarters and eighths of train under fresh permutations, stratified, with groups and exact copies kept together;
models of all of train; and arms, with one thing changed, on the rows and seeds of plain ones. Arms are screened at half
size, out of sample on train, always on four halves; beyond a learning rate that gains there one 8 times further is too.
The best of a question, unless it is no better than the recipe, is trained on all of train from seeds of its own and
judged on validation: the screen chooses, what it chose is measured afresh. Every model takes the number of steps that
the recipe takes on all of train. The outputs of each on train and on validation are kept. Of heads on a frozen
encoder's features (`_heads`) all of this holds, but that they have no width.

How it streams
--------------
Each model is stored when it is done and not trained again: a run that is killed goes on from there. The pool itself is
put together from them. 2 bytes per model, row and class, at most 4 GB.

What it costs
-------------
One training by the recipe for each model, four for the arm of four times the steps; timed on a few steps in a worker
that has as many beside it as there are cores. Where the time given is used up, no further model is begun, and what is
not whole is left out. Of a pool that the user brought, one forward pass of each model, and nothing of predictions.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from uncork.data.split import Split
from uncork.derived.arms import best, screened, seed_variances
from uncork.derived.label_errors import flagged
from uncork.gather._contract import Context, Training, gatherer
from uncork.gather._given import gather_given, price_given
from uncork.gather._heads import NO_WIDTH, pooled
from uncork.gather._members import (
    WIDTH,
    Member,
    MemberData,
    Work,
    of_arm,
    parameters,
    scaled_width,
    stacks,
    time_training,
    train_members,
)
from uncork.gather._tree import balanced, eighths, repeated, rows_of, together
from uncork.schema.pool import FURTHER, QUESTIONS, SIZES, Pool, PoolData
from uncork.schema.seeds import generator
from uncork.train.recipe import Recipe

ARM_HALVES = 4
FLAGGING_HALVES = 8  # at most so many say which labels are flagged, so that a larger pool flags the same rows
RARE = 0.5  # of an even share: a class with less is rare, as in the probe
MOST_BYTES = 4e9
_START = 3.0  # seconds until the workers are there


def price(request: Pool, context: Context) -> float:
    """Of everything that may be trained: every question's best arm is counted at full size too."""
    if context.given is not None:
        return price_given(context.given, context) if request.full else 0.0
    context = pooled(context)
    if not context.training or withheld(request, context):
        return 0.0
    arms, _ = possible(request, context)
    chosen = [max(of, key=lambda arm: of_arm(context.training, arm).seconds) for of in arms.values()]
    asked = [m.arm for m in base(request, arms)] + chosen * request.full
    asked += [arm for arm in named(arms) if arm in FURTHER] * ARM_HALVES
    return _START + sum(of_arm(context.training, arm).seconds for arm in asked) / context.fan.workers if asked else 0.0


@gatherer(Pool, price=price, stored=False)
def gather(request: Pool, context: Context) -> PoolData:
    if context.given is not None:
        return gather_given(context.given, context)
    context = pooled(context)
    if reason := withheld(request, context):
        return assemble(context, None, [], {}, {"pool": reason})
    cut = Cut(context)
    request, too_few = cut.possible(request)
    arms, impossible = possible(request, context)
    left_out = {**impossible, **too_few}
    asked = base(request, arms)
    done = run(asked, cut, context)
    data = assemble(context, cut, asked, done, left_out)

    # What comes next depends on what has been seen of train alone; validation judges it.
    for following in (further, confirming):
        added = following(request, arms, data, cut)
        if not added:
            continue
        asked += added
        done |= run(added, cut, context)
        data = assemble(context, cut, asked, done, left_out)
    return replace(
        data,
        flagged=cut.flagged,
        parameters=parameters(context.subject.recipe, named(arms)),
        seed_variances=seed_variances(data, context.facts.metric),
    )


def withheld(request: Pool, context: Context) -> str:
    """Why nothing can be retrained here; "" where it can."""
    subject = context.subject
    if not context.facts.has_inputs:
        return "only predictions were given: retraining needs the rows and a recipe"
    if subject.train is None:
        return "no train split was given: give Subject(train=...)"
    if subject.recipe is None:
        return "no recipe was given: give Subject(recipe=Recipe(...)), or a function (train, seed) -> model"
    if isinstance(context.heads, str):
        return context.heads
    models = len(base(request, QUESTIONS)) + request.full * len(request.questions)
    models += ARM_HALVES * len(FURTHER) * ("tuning" in request.questions)
    size = 2 * models * (len(subject.train) + len(context.split("validation"))) * max(1, len(context.facts.classes))
    if size > MOST_BYTES:
        return f"the outputs of {models} models would take {size / 1e9:.0f} GB: give a sample of train"
    return ""


def possible(request: Pool, context: Context) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """(arms by question, reasons of those that can't be trained here)."""
    arms: dict[str, tuple[str, ...]] = {}
    reasons: dict[str, str] = {}
    for question in request.questions:
        why = {arm: _impossible(arm, request, context) for arm in QUESTIONS[question]}
        reasons |= {arm: reason for arm, reason in why.items() if reason}
        if kept := tuple(arm for arm, reason in why.items() if not reason):
            arms[question] = kept
    return arms, reasons


def _impossible(arm: str, request: Pool, context: Context) -> str:
    recipe, facts = context.subject.recipe, context.facts
    if request.halves < ARM_HALVES or not request.full:
        return f"it takes {ARM_HALVES} halves and models of all of train beside it"
    if arm in ("drop-flagged", "balanced"):
        if facts.task != "classification":
            return "a regression has no classes"
        counts = np.array(facts.class_counts)
        if arm == "balanced" and not (counts * np.count_nonzero(counts) < RARE * counts.sum()).any():
            return "no class is rare"
    elif not isinstance(recipe, Recipe):
        return "the recipe is a callable, whose settings can't be changed: give a Recipe"
    elif arm in WIDTH and context.heads is not None:
        return NO_WIDTH
    elif arm in WIDTH and scaled_width(recipe, arm) is None:
        return "recipe.build takes no width: let it be build(width=...) with a number as default"
    return ""


def named(arms: Mapping[str, Sequence[str]]) -> list[str]:
    return [arm for question in arms.values() for arm in question]


def base(request: Pool, arms: Mapping[str, Sequence[str]]) -> list[Member]:
    """Plain models and the arms that are screened, so that whatever is trained first says most."""

    def plain(size: int, start: int, end: int) -> list[Member]:
        return [Member(size, index // size, index % size) for index in range(start, end)]

    members = plain(1, 0, min(1, request.full)) + plain(2, 0, min(2, request.halves))
    members += plain(4, 0, request.quarters) + plain(8, 0, request.eighths)
    members += plain(1, 1, request.full) + plain(2, 2, request.halves)
    for question, of in arms.items():
        if question != "labels":
            members += [member for arm in of if arm not in FURTHER for member in screening(arm)]
    return members


def screening(arm: str) -> list[Member]:
    return [Member(2, k // 2, k % 2, arm) for k in range(ARM_HALVES)]


def further(request: Pool, arms: Mapping[str, Sequence[str]], data: PoolData, cut: Cut) -> list[Member]:
    """The arms beyond those that gain in the screen."""
    members = []
    for arm in (a for a in named(arms) if a in FURTHER):
        nearer = screened(data, cut.context.facts.metric, FURTHER[arm])
        if nearer is not None and (nearer.value or 0.0) > 0:
            members += screening(arm)
    return members


def confirming(request: Pool, arms: Mapping[str, Sequence[str]], data: PoolData, cut: Cut) -> list[Member]:
    """Each question's best arm on all of train. Which rows are flagged is settled here."""
    members = []
    for question in arms:
        if question == "labels":
            halves = data.members(2)
            if len(halves) < ARM_HALVES:
                continue
            cut.flagged = flagged(data.take(halves[:FLAGGING_HALVES]))
            arm = "drop-flagged" if cut.flagged.any() else None
        else:
            arm = best(data, cut.context.facts.metric, question)
        if arm is not None:
            dropped = cut.hash() if arm == "drop-flagged" else ""
            members += [Member(1, seed, 0, arm, dropped) for seed in range(request.full)]
    return members


class Cut:
    """Which rows each model is trained on."""

    def __init__(self, context: Context) -> None:
        train = context.split("train")
        assert train.y is not None
        self.context, self.y, self.flagged = context, train.y, np.zeros(len(train), bool)
        self.together, self.repeated = together(train), repeated(train, context.split("validation"))
        self._eighths: dict[int, np.ndarray] = {}

    def possible(self, request: Pool) -> tuple[Pool, dict[str, str]]:
        """The request without the sizes that train can't be cut into, and why."""
        units = len(np.unique(self.together))
        short = [name for name, size in SIZES if size > units]
        why = f"train has {units} groups or distinct rows, too few to cut it so"
        counts = {name: 0 if name in short else getattr(request, name) for name, _ in SIZES}
        return Pool(**counts, questions=request.questions), dict.fromkeys(short, why)

    def rows(self, member: Member) -> np.ndarray:
        """Positions in train, repeated where the arm repeats them."""
        chosen = np.arange(len(self.y))
        seed, permutation = self.context.seed, member.permutation
        if member.size > 1:
            if permutation not in self._eighths:
                made = eighths(self.y, self.together, seed=seed, permutation=permutation)
                self._eighths[permutation] = made
            chosen = rows_of(self._eighths[permutation], member.size, member.part)
        if member.arm == "drop-flagged":
            return chosen[~self.flagged[chosen]]
        if member.arm == "balanced":
            rng = generator(seed, "pool", "balanced", member.size, permutation, member.part)
            return balanced(chosen, self.y, rng)
        return chosen

    def hash(self) -> str:
        return hashlib.blake2b(np.packbits(self.flagged).tobytes(), digest_size=8).hexdigest()


def run(members: Sequence[Member], cut: Cut, context: Context) -> dict[Member, MemberData]:
    """The models, from the store or trained. None is begun after the deadline."""
    store = context.store
    done = {m: data for m in members if store is not None and (data := store.get(m)) is not None}
    # Stacks are made of all members, done or not, so that a run that goes on makes the same ones.
    made = stacks(members, context.training, context.fan.workers, bytes_of(context))
    todo = [stack for stack in made if any(m not in done for m in stack)]
    if not todo:
        return done

    def jobs() -> Iterator[tuple[list[tuple[Member, np.ndarray]]]]:
        for stack in todo:
            if context.deadline is not None and time.monotonic() > context.deadline:
                return
            yield ([(member, cut.rows(member)) for member in stack],)

    for results in context.fan.each(partial(train_members, work_of(context)), jobs()):
        for member, data in results:
            if store is not None and member not in done:
                store.put(member, data)
            done.setdefault(member, data)
    return done


def bytes_of(context: Context) -> int:
    """Of one model's outputs."""
    rows = len(context.split("train")) + len(context.split("validation"))
    return 2 * rows * max(1, len(context.facts.classes))


def work_of(context: Context) -> Work:
    subject, facts, train = context.subject, context.facts, context.split("train")
    steps = subject.recipe.steps(len(train)) if isinstance(subject.recipe, Recipe) else 0
    return Work(
        recipe=subject.recipe,
        train=train,
        validation=context.split("validation"),
        preprocess=subject.preprocess,
        task=facts.task,
        classes=facts.classes,
        batch_size=context.batch_size,
        seed=context.seed,
        steps=steps,
    )


def time_members(request: Pool, context: Context) -> dict[str, Training]:
    """What a training takes by arm, as far as arms differ in it; nothing where there is nothing to retrain.

    Raises what the recipe raises where it can't train on these data.
    """
    context = pooled(context)
    arms = timed_arms(request, context)
    if not arms:
        return {}
    work = work_of(context)
    # Side by side, as the members will be.
    timed = context.fan(partial(time_training, work), [(arm,) for arm in [*arms, ""]])
    return dict(zip(arms, timed[:-1], strict=True))


def timed_arms(request: Pool, context: Context) -> list[str]:
    """The arms to time: "" for the recipe itself, and those of another width; none where nothing is retrained."""
    context = pooled(context)
    if request == Pool() or context.given is not None or withheld(request, context):
        return []
    return ["", *(arm for arm in named(possible(request, context)[0]) if arm in WIDTH)]


def unfinished(members: Sequence[Member], done: Mapping[Member, MemberData]) -> dict[str, str]:
    """Why sizes and arms are not whole: by arm, or by size for plain models."""
    names = {1: "full", 2: "halves", 4: "quarters", 8: "eighths"}
    reasons: dict[str, str] = {}
    for member in members:
        name = member.arm or names[member.size]
        if member not in done:
            reasons.setdefault(name, "the time given was used up before all of it was trained: give a larger --budget")
        elif done[member].failed:
            reasons.setdefault(name, done[member].failed)
    return reasons


def whole(members: Sequence[Member], done: Mapping[Member, MemberData]) -> list[Member]:
    """The models that can be used: plain ones in permutations with all parts, of an arm the sizes that are whole."""
    lacking = {(member.arm, member.size) for member in members if member not in done or done[member].failed}
    kept = []
    for member, data in done.items():
        parts = [Member(member.size, member.permutation, part) for part in range(member.size)]
        complete = all(p in done and not done[p].failed for p in parts)
        if not data.failed and ((member.arm, member.size) not in lacking if member.arm else complete):
            kept.append(member)
    return sorted(kept, key=lambda m: (m.arm, m.size, m.permutation, m.part))


def grouped(split: Split | None) -> np.ndarray:
    """Which rows the user keeps together; each by itself where nothing is said."""
    if split is None or split.groups is None:
        return np.arange(0 if split is None else len(split))
    return np.unique(split.groups, return_inverse=True)[1]


def assemble(
    context: Context,
    cut: Cut | None,
    asked: Sequence[Member],
    done: dict[Member, MemberData],
    left_out: Mapping[str, str],
) -> PoolData:
    """The members as one artifact, whose outputs `done` then shares; none where there are none."""
    validation, train = context.split("validation"), context.subject.train
    y = np.zeros(0, np.int64) if train is None or train.y is None else train.y
    members = whole(asked, done)
    k = len(context.facts.classes) if context.facts.task == "classification" else 1
    kind = np.float16 if context.facts.task == "classification" else np.float32
    included = np.zeros((len(members), -(-len(y) // 8)), np.uint8)
    on_train = np.zeros((len(members), len(y), k), kind)
    on_validation = np.zeros((len(members), len(validation), k), kind)
    for i, member in enumerate(members):
        seen = np.zeros(len(y), bool)
        assert cut is not None
        seen[cut.rows(member)] = True
        included[i] = np.packbits(seen)
        on_train[i], on_validation[i] = done[member].on_train, done[member].on_validation
        done[member] = replace(done[member], on_train=on_train[i], on_validation=on_validation[i])  # held once
    assert validation.y is not None
    return PoolData(
        task=context.facts.task,
        size=np.array([m.size for m in members], np.int64),
        permutation=np.array([m.permutation for m in members], np.int64),
        part=np.array([m.part for m in members], np.int64),
        arm=tuple(m.arm for m in members),
        steps=np.array([done[m].steps for m in members], np.int64),
        seconds=np.array([done[m].seconds for m in members], np.float64),
        included=included,
        on_train=on_train,
        on_validation=on_validation,
        y=y,
        clusters=grouped(train) if cut is None else cut.together,
        validation_y=validation.y,
        validation_clusters=grouped(validation),
        flagged=np.zeros(len(y), bool),
        left_out={**left_out, **unfinished(asked, done)},
        matched=isinstance(context.subject.recipe, Recipe),
        parameters={},
        repeated=0.0 if cut is None else cut.repeated,
    )
