"""The contract that every remedy keeps, checked on a small case.

    from uncork.testing.remedies import check_remedy

    check_remedy(apply, make_case)      # make_case: () -> a fresh Case; its subject has no test split

It raises AssertionError with a sentence that says which rule is broken.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle
import numpy as np

from uncork.models.adapt import adapt
from uncork.models.base import Output
from uncork.models.predictions import Predictions
from uncork.remedies._contract import Case, Treated
from uncork.schema.contract import Remedy
from uncork.schema.subject import Subject
from uncork.testing.documentation import missing_sections
from uncork.testing.measurements import arrays_of, random_state
from uncork.train.recipe import Recipe

BATCH = 64
SEED = 0


class Tripwire:
    """Stands where the test split would be: whoever uses it in any way has broken the rule."""

    def __init__(self, remedy: str) -> None:
        object.__setattr__(self, "_remedy", remedy)

    def _trip(self, *_: Any) -> Any:
        raise AssertionError(f"{object.__getattribute__(self, '_remedy')}: it reaches for the test split")

    __getattr__ = __len__ = __iter__ = __getitem__ = __bool__ = __setattr__ = _trip


def check_remedy(remedy: Remedy, make_case: Callable[[], Case]) -> None:
    """`make_case`: a fresh case in which the remedy applies: same data, same seed, a new `rng` every time.

    The subject must have labels as class indices and a validation split; applying and its control run twice.
    """
    missing = missing_sections(remedy.doc, remedy.sections)
    assert not missing, f"{remedy.id}: the docstring of its file lacks the sections {missing}"
    case = _wired(make_case(), remedy.id)
    before, state = _content(case), random_state()
    treated = remedy.apply(case)
    control = remedy.control(case, treated)
    _check_treated(remedy, case, treated, "the treated subject")
    _check_treated(remedy, case, control, "the control")
    answers = [_answers(case, side) for side in (treated, control)]
    for name, digest in _content(case).items():
        assert digest == before[name], f"{remedy.id}: it changed the {name} it was given: work on a copy"
    assert random_state() == state, f"{remedy.id}: it draws from a global random state: draw from case.rng"
    after, beside = answers
    assert not _alike(after, beside), f"{remedy.id}: treated model and control answer alike: nothing is compared"
    if not remedy.as_is and isinstance(case.subject.recipe, Recipe):  # the steps of other recipes can't be set
        assert control.compute >= treated.compute, (
            f"{remedy.id}: the control takes {control.compute:g} trainings, the remedy {treated.compute:g}: give it as "
            "many, or say as_is where more would flatter the remedy"
        )
    given = _answers(case, Treated(case.subject, "as it was"))
    if remedy.safety == "safe" and case.task == "classification":
        moved = int((given.logits.argmax(axis=1) != after.logits.argmax(axis=1)).sum())
        assert not moved, f"{remedy.id}: is declared safe, but changes {moved} of {len(given.logits)} decisions"
    again = _wired(make_case(), remedy.id)
    repeated = remedy.apply(again)
    _check_same(remedy, treated, after, again, repeated, "the treated model")
    _check_same(remedy, control, beside, again, remedy.control(again, repeated), "the control")
    price = remedy.price(case.subject, 3)
    assert math.isfinite(price), f"{remedy.id}: its price is {price} trainings"
    assert price >= 0, f"{remedy.id}: its price is {price} trainings"
    trains = treated.train is not None or treated.compute > 0
    assert price or not trains, f"{remedy.id}: it trains, but its price is no training"


def _wired(case: Case, remedy: str) -> Case:
    """The case with a tripwire for test; not where splits hold probabilities, which `adapt` checks in all of them."""
    assert case.subject.test is None, f"{remedy}: make_case gives a subject with a test split: use .without_test()"
    if isinstance(case.subject.model, Predictions):
        return case
    return replace(case, subject=case.subject.replace(test=Tripwire(remedy)))


def _check_treated(remedy: Remedy, case: Case, treated: Treated, what: str) -> None:
    assert isinstance(treated, Treated), f"{remedy.id}: {what} is {type(treated).__name__}, not Treated"
    assert isinstance(treated.subject, Subject), f"{remedy.id}: {what} holds no Subject"
    assert treated.subject.test is case.subject.test, f"{remedy.id}: {what} has a test split of its own"
    assert treated.changes, f"{remedy.id}: {what} does not say what was changed"
    assert treated.compute >= 0, f"{remedy.id}: {what} takes {treated.compute:g} trainings"


def _check_same(remedy: Remedy, one: Treated, answer: Output, again: Case, other: Treated, what: str) -> None:
    same = _alike(answer, _answers(again, other))
    told = (one.changes, one.amount, one.compute) == (other.changes, other.amount, other.compute)
    assert same and told, f"{remedy.id}: {what} differs between two runs under the same seed"  # noqa: PT018


def _alike(one: Output, other: Output) -> bool:
    """The same logits, and the same rows answered."""
    first, second = (np.ones(len(o.logits), bool) if o.answered is None else o.answered for o in (one, other))
    return np.array_equal(one.logits, other.logits) and np.array_equal(first, second)


def _answers(case: Case, treated: Treated) -> Output:
    """What the model answers; of one that is to be trained, from a seed, as another process would train it."""
    validation, subject = case.subject.validation, treated.subject
    if treated.train is not None:
        side = cloudpickle.loads(cloudpickle.dumps(replace(treated, subject=subject.replace(test=None))))
        subject = subject.replace(model=side.train(side.subject, SEED))
    model = adapt(subject.replace(validation=validation), case.task)
    return model.outputs(validation.take(np.arange(min(BATCH, len(validation)))))


def _content(case: Case) -> dict[str, str]:
    """A hash of everything the remedy was given: splits, weights, artifacts."""
    content = {"model": adapt(case.subject, case.task).fingerprint()}
    for name in ("train", "validation"):
        split = getattr(case.subject, name)
        if split is not None:
            x = split.take(np.arange(len(split)))
            content[f"{name} split"] = _digest(pickle.dumps((x, split.y, split.ids, split.groups)))
    for name, array in arrays_of(dict(case.artifacts)):
        content[f"artifact {name}"] = _digest(array.tobytes())
    return content


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
