"""narrow: a quarter of the width costs nothing where it was too much, and shows what it costs where it was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recipe_helpers import SOUND, error, estimator, net, of_width, same_weights, subject_of

from uncork.remedies.narrow import apply
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


@pytest.mark.parametrize(("width", "loses"), [(512, False), (16, True)])
def test_what_it_loses_is_what_the_width_was_worth(case_of: CaseOf, digits: Digits, width: int, loses: bool) -> None:
    """Over 3 seeds .006 of 512 units, s.d. .001, and .43 of 16, s.d. .06."""
    x, y = digits
    case = case_of(subject_of(of_width(width).replace(epochs=15), x[:500], y[:500]))
    treated, train, fresh = apply.apply(case), case.subject.train, (x[1000:], y[1000:])
    lost = error(treated, train, *fresh) - error(apply.control(case, treated), train, *fresh)
    assert (lost > 0.1) == loses
    assert (lost < 0.015) != loses


def test_the_net_is_a_quarter_as_wide_and_judged_by_the_tolerance(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    case = case_of(subject_of(of_width(32), x[:100], y[:100]))
    treated = apply.apply(case)
    assert same_weights(treated.train(treated.subject, 1), of_width(8).fit(case.subject.train, seed=1))
    assert "4 times narrower" in treated.changes
    assert treated.compute < 0.3
    assert apply.control(case, treated).compute == 1
    assert apply.yardstick == "tolerance"
    one = case_of(subject_of(of_width(1), x[:100], y[:100]))
    with pytest.raises(Unavailable, match="as many parameters"):  # one unit is the least there can be
        apply.apply(one)


def test_keeps_the_contract(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    check_remedy(apply, lambda: case_of(subject_of(of_width(16), x[:200], y[:200])))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="takes no width"):
        apply.apply(case_of(subject_of(SOUND.replace(build=lambda: net()), x[:100], y[:100])))
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
