"""stubborn-mistakes: patches that hold, patches that don't, and what is exposed."""

from __future__ import annotations

import numpy as np
import pytest

from uncork.probes.stubborn_mistakes import measure
from uncork.schema.finding import Measurement, NotApplicable
from uncork.testing.artifacts import facts
from uncork.testing.patches import patches
from uncork.testing.probes import check_probe, verdict


def found(**given: object) -> Measurement:
    outcome = measure(patches=patches(**given), facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def test_keeps_the_contract() -> None:
    """Null: a tenth of the near copies come back, which is asked."""
    check_probe(
        measure,
        lambda: {"patches": patches(stubborn=0.4, broken=3), "facts": facts()},
        null=lambda seed: {"patches": patches(stubborn=0.1, seed=seed), "facts": facts()},
    )


@pytest.mark.parametrize(("stubborn", "said"), [(0.01, "clear"), (0.1, "undetermined"), (0.3, "bottleneck")])
def test_the_verdict_is_of_near_copies(stubborn: float, said: str) -> None:
    assert verdict(measure, {"patches": patches(stubborn=stubborn), "facts": facts()}) == said


def test_what_is_counted() -> None:
    outcome = found(stubborn=0.25, broken=6, repaired=10)
    estimates = outcome.estimates
    assert estimates["stubborn"].value == pytest.approx(1 - patches(stubborn=0.25).near[-1].mean())
    assert estimates["stubborn"].low < 0.25 < estimates["stubborn"].high
    assert estimates["unpatched"].value == pytest.approx(0.8, abs=0.05)
    assert estimates["mended_rows"].value == 1
    assert (estimates["broken"].value, estimates["repaired"].value) == pytest.approx((3, 5))
    # A tenth of the rows are mistakes, of which a quarter come back; and 3 of 1,000 are broken.
    exposed = outcome.headroom
    assert exposed.value == pytest.approx(100 * estimates["stubborn"].value + 3)
    assert exposed.low < 28 < exposed.high
    assert exposed.high - exposed.low < 20


def test_the_exposed_are_covered() -> None:
    """At a true 95 %, 60 intervals hold 100 × .2 fewer than 51 times with odds of 1 in 1,000 (fixed seeds)."""
    held = [found(stubborn=0.2, seed=seed).headroom for seed in range(60)]
    assert sum(e.low <= 20 <= e.high for e in held) >= 51


def test_what_the_first_keep() -> None:
    """Alone they mend all their copies; with all others at once half of them."""
    data = patches(m=40, stubborn=0.0, unpatched=1.0)
    near = data.near.copy()
    near[-1, :10, :2] = False
    kept = found(m=40, unpatched=1.0, near=near).estimates["retained"]
    assert kept.value == 0.5
    assert kept.n == 10  # mistakes, not copies
    assert found(m=40, unpatched=1.0).estimates["retained"].value == 1


def test_copies_that_are_their_row_do_not_count() -> None:
    counted = np.ones((100, 4), bool)
    counted[:, 1:] = False
    data = patches(stubborn=0.3)
    near = data.near.copy()
    near[:, :, 1:] = True
    assert found(stubborn=0.3, near=near, counted=counted).estimates["stubborn"].value == pytest.approx(
        1 - near[-1, :, 0].mean()
    )


def test_mistakes_of_a_group_are_one() -> None:
    alone = found(stubborn=0.3).estimates["stubborn"]
    data = patches(stubborn=0.3)
    groups = data.looked_at // 10
    near = data.near.copy()
    near[-1] = np.repeat(near[-1, ::10, :1], 10, axis=0)  # of a group all come back, or none
    grouped = found(stubborn=0.3, looked_at=groups, near=near).estimates["stubborn"]
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_too_few_mistakes_say_nothing() -> None:
    for given, why in ((patches(m=9), "9 mistakes"), (patches(counted=np.zeros((100, 4), bool)), "no near copies")):
        outcome = measure(patches=given, facts=facts(), rng=np.random.default_rng(0))
        assert isinstance(outcome, NotApplicable)
        assert why in outcome.reason


def test_more_and_more_patches_are_shown() -> None:
    table = found(stubborn=0.2, inseparable=2).details[0].data
    assert [row[0] for row in table["rows"]] == [1, 3, 10, 30, 100]
    assert "2 can't be told from right rows" in found(inseparable=2).summary
