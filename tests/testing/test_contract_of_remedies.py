"""check_remedy names the rule that a remedy breaks, for every rule there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.models.adapt import adapt
from uncork.models.temperature import Tempered
from uncork.remedies._contract import Case, Treated
from uncork.remedies.temperature import apply as sound
from uncork.schema.contract import Remedy
from uncork.schema.seeds import generator
from uncork.testing.remedies import check_remedy

X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
Y = np.arange(90) % 3


def make_case() -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(6, 3)
    train, validation = Split(X[:45].copy(), Y[:45].copy()), Split(X[45:].copy(), Y[45:].copy())
    subject = Subject(net, train=train, validation=validation, test=None)
    return Case(subject, None, {"hints": np.arange(4.0)}, "classification", 3, 0, generator(0, "case"))


def tempered(case: Case, temperature: float = 2.0, **changes: Any) -> Treated:
    model = Tempered(adapt(case.subject.replace(test=None), case.task), temperature)
    return Treated(case.subject.replace(model=model, **changes), "cooled")


def other_net(case: Case, seed: int) -> Treated:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Treated(case.subject.replace(model=nn.Linear(6, 3)), "another net")


def edits_weights(case: Case) -> Treated:
    with torch.no_grad():
        case.subject.model.weight *= 0.5
    return tempered(case)


def edits_rows(case: Case) -> Treated:
    case.subject.train._source._array[0] = 0
    return tempered(case)


def edits_labels(case: Case) -> Treated:
    case.subject.validation.y[0] = 2
    return tempered(case)


def edits_artifacts(case: Case) -> Treated:
    case.artifacts["hints"][0] = 9
    return tempered(case)


def peeks(case: Case) -> Treated:
    return tempered(case, 2.0 if case.subject.test is None or len(case.subject.test) else 1.0)


def draws_globally(case: Case) -> Treated:
    torch.rand(1)
    return tempered(case)


def forgets_the_seed(case: Case) -> Treated:
    return tempered(case, 1 + np.random.default_rng().random())


def smuggles_a_test_split(case: Case) -> Treated:
    return tempered(case, test=case.subject.validation)


def remedy(apply: Callable[[Case], Any], **changes: Any) -> Remedy:
    return dataclasses.replace(sound, id="broken", apply=apply, **changes)


@pytest.mark.parametrize(
    ("apply", "sentence"),
    [
        (edits_weights, "changed the model"),
        (edits_rows, "changed the train split"),
        (edits_labels, "changed the validation split"),
        (edits_artifacts, r"changed the artifact \['hints'\]"),
        (peeks, "reaches for the test split"),
        (lambda case: tempered(case, 2.0 if case.subject.test[0] else 1.0), "reaches for the test split"),
        (lambda case: tempered(case, 2.0 if case.subject.test.y is None else 1.0), "reaches for the test split"),
        (smuggles_a_test_split, "test split of its own"),
        (draws_globally, "global random"),
        (forgets_the_seed, "two runs under the same seed"),
        (lambda case: other_net(case, 1), "declared safe, but changes"),
        (lambda case: Treated(case.subject, "nothing done"), "answer alike"),
        (lambda case: dataclasses.replace(tempered(case), changes=""), "does not say"),
        (lambda case: case.subject, "not Treated"),
    ],
)
def test_each_rule_is_kept_watch_over(apply: Callable[[Case], Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"broken.*{sentence}"):
        check_remedy(remedy(apply), make_case)


def by_recipe() -> Case:
    case = make_case()
    return dataclasses.replace(case, subject=case.subject.replace(recipe=Recipe(lambda: nn.Linear(6, 3), epochs=1)))


def test_the_control_takes_as_much_compute_unless_it_is_as_is_on_purpose() -> None:
    def dear(case: Case) -> Treated:
        return dataclasses.replace(tempered(case), compute=7.0)

    priced = remedy(dear, price=lambda subject, seeds: 7.0)
    with pytest.raises(AssertionError, match="takes 0 trainings, the remedy 7"):
        check_remedy(priced, by_recipe)
    check_remedy(dataclasses.replace(priced, as_is=True), by_recipe)
    check_remedy(priced, make_case)  # no recipe whose steps could be set
    with pytest.raises(AssertionError, match="its price is no training"):
        check_remedy(remedy(dear), make_case)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"doc": sound.doc.replace("Control\n---", "Rival\n---")}, "Control"),
        ({"price": lambda subject, seeds: float("nan")}, "price"),
        ({"price": lambda subject, seeds: -1.0}, "price"),
        (
            {"control": lambda case, treated: other_net(case, int(np.random.default_rng().integers(10**6)))},
            "the control",
        ),
    ],
)
def test_the_rest_is_checked_too(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_remedy(remedy(tempered, **changes), make_case)


def test_one_that_keeps_the_rules_passes() -> None:
    check_remedy(remedy(tempered), make_case)
    check_remedy(remedy(lambda case: other_net(case, 1), safety="checked"), make_case)


def test_a_case_with_a_test_split_is_refused() -> None:
    case = make_case()
    whole = dataclasses.replace(case, subject=case.subject.replace(test=case.subject.validation))
    with pytest.raises(AssertionError, match="without_test"):
        check_remedy(remedy(tempered), lambda: whole)
