"""What a Subject and a Behaviour refuse: each with the place and the way out, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork import BadInput, Behaviour, Split, Subject

TEST = Split(np.array([[0.0], [1.0]]), [0, 1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"require": {"linf": "8/255"}}, r"require\['linf'\] is '8/255': give a number"),
        ({"require": {"linf": 0}}, "give how far x may be moved, above 0"),
        ({"require": {"linf": 0.1, "l2": 1}}, "declares two threats: give one of linf, l2"),
        ({"require": {"ece": 2}}, "give a share between 0 and 1"),
        ({"require": {"luck": 0.5}}, r"require\['luck'\] is not known: use one of ece"),
        ({"behaviours": ["x"]}, r"behaviours holds a str: give Behaviour\(name, ...\)"),
        ({"behaviours": Behaviour("b", change=lambda x, u: x)}, "behaviours is of type Behaviour: give a list"),
    ],
)
def test_a_subject_that_can_not_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Subject(None, test=TEST, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give templates with expected or varied, or a change of rows"),
        ({"templates": "a {x}", "slots": {"x": ["b"]}, "expected": "yes"}, "templates is one text: give a list"),
        ({"templates": ["a {x"], "slots": {"x": ["b"]}, "expected": "yes"}, r"'a \{x' can't be read"),
        ({"templates": ["a {}"], "slots": {}, "expected": "yes"}, r"a slot of 'a \{\}' has no name"),
        ({"templates": ["a {x}"], "slots": {}, "expected": "yes"}, r"slots has nothing for \{x\}"),
    ],
)
def test_a_behaviour_that_can_not_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Behaviour("mine", **given)


def test_requirements_are_the_users_or_the_defaults() -> None:
    subject = Subject(None, test=TEST, require={"ece": 0.1, "l2": 3})
    assert subject.requirements["ece"] == 0.1
    assert subject.requirements["l2"] == 3
    assert "linf" not in subject.requirements
    assert subject.requirements["precision"] == 0.99
