"""deduplicate: exactly the leaked rows go, and the gate closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.gather.fingerprints import gather
from uncork.probes.leaked_examples import measure
from uncork.remedies.deduplicate import apply
from uncork.run.admit import admit
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.schema.errors import Unavailable
from uncork.testing.artifacts import a_pass, facts, fingerprints
from uncork.testing.probes import verdict
from uncork.testing.remedies import check_remedy

COPIES = np.r_[3, 40:60, 499]


def prints_of(subject: Subject) -> FingerprintsData:
    def no_fan(function: Any, jobs: Any) -> list[Any]:
        raise AssertionError("fingerprints are gathered in this process")

    context: Context = admit(subject, describe_only=False, seed=0, fan=no_fan).context
    return gather.gather(Fingerprints(), context)


@pytest.fixture
def leaky(ground: Callable[..., Subject], digits: Any) -> Subject:
    """Rows COPIES of train also stand in validation (the first ten) and in test."""
    x, y = digits
    validation, test = x[500:1000].copy(), x[1000:1500].copy()
    validation[100:110], test[:12] = x[COPIES[:10]], x[COPIES[10:]]
    return ground().replace(validation=Split(validation, y[500:1000]), test=Split(test, y[1000:1500]))


def test_exactly_the_leaked_rows_go_and_the_gate_closes(leaky: Subject, case_of: Callable[..., Any]) -> None:
    prints = prints_of(leaky)
    before = {"fingerprints": prints, "validation": a_pass(500, error=0.1), "facts": facts()}
    assert verdict(measure, before) == "bottleneck"
    treated = apply.apply(case_of(leaky.without_test(), fingerprints=prints))
    assert treated.amount == len(COPIES)
    assert np.array_equal(treated.subject.train.ids, np.setdiff1d(np.arange(500), COPIES))
    after = prints_of(treated.subject.replace(test=leaky.test))
    assert verdict(measure, {**before, "fingerprints": after}) == "clear"
    assert after.train.shape == (478, 16)
    for name in ("validation", "test"):
        assert np.array_equal(getattr(after, name), getattr(prints, name))


def test_the_control_drops_as_many_and_leaves_the_gate_open(leaky: Subject, case_of: Callable[..., Any]) -> None:
    prints = prints_of(leaky)
    case = case_of(leaky.without_test(), fingerprints=prints)
    treated = apply.apply(case)
    control = apply.control(case, treated)
    assert len(control.subject.train) == len(treated.subject.train)
    after = prints_of(control.subject.replace(test=leaky.test))
    given = {"fingerprints": after, "validation": a_pass(500, error=0.1), "facts": facts()}
    assert verdict(measure, given) == "bottleneck"


def test_it_trains_for_as_many_steps_as_on_all_of_train(leaky: Subject, case_of: Callable[..., Any]) -> None:
    treated = apply.apply(case_of(leaky.without_test(), fingerprints=prints_of(leaky)))
    assert treated.train.settings["steps"] == leaky.recipe.steps(500)


def test_keeps_the_contract(leaky: Subject, case_of: Callable[..., Any]) -> None:
    prints = prints_of(leaky)
    check_remedy(apply, lambda: case_of(leaky.without_test(), fingerprints=prints))


@pytest.mark.parametrize(
    ("validation", "changes", "why"),
    [
        (np.arange(900, 950), {}, "no row of train"),
        (np.arange(500), {}, "every row of train"),
        (np.arange(10), {"recipe": None}, r"Recipe\(\.\.\.\)"),
    ],
)
def test_not_possible_says_why(
    ground: Callable[..., Subject],
    case_of: Callable[..., Any],
    validation: np.ndarray,
    changes: dict[str, Any],
    why: str,
) -> None:
    prints = fingerprints(train=np.arange(500), validation=validation, test=np.arange(2000, 2010))
    with pytest.raises(Unavailable, match=why):
        apply.apply(case_of(ground().replace(**changes), fingerprints=prints))
