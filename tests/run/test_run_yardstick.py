"""What a remedy is judged by when its finding is measured again: on the rows that judge, with the right sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from treat_helpers import World, answering, bench_of

from uncork.probes._contract import registered
from uncork.remedies._contract import Treated
from uncork.run.rank import unmeasured
from uncork.run.verify import verify
from uncork.run.yardstick import ByFinding, View
from uncork.schema.contract import Remedy


def remedy(after: Any, beside: Any, **changes: Any) -> Remedy:
    """One that is judged by its finding, and makes these models."""
    return Remedy(
        **{
            "id": "isotonic",
            "title": "planted",
            "safety": "checked",
            "yardstick": "finding",
            "fits_on_validation": True,
            "apply": lambda case: Treated(case.subject.replace(model=after), "planted"),
            "control": lambda case, treated: Treated(case.subject.replace(model=beside), "as it is"),
            "price": lambda subject, seeds: 0.0,
            "doc": "",
            **changes,
        }
    )


@pytest.fixture
def world() -> World:
    return World(0, by_seed=0.0, residual=0.0)


def precise(world: World) -> Any:
    """A model that is right wherever the world's are, and on nine of ten of the other rows."""
    wrong = world.ease < 0
    sure = np.where(wrong & (np.arange(len(wrong)) % 10 > 0), 1.0, world.ease)
    return answering(world.y, sure)


@pytest.mark.parametrize(("better", "verdict"), [(True, "helps"), (False, "undetermined")])
def test_the_finding_is_measured_again(better: bool, verdict: str, world: World, tmp_path: Path) -> None:
    """Precision is asked for (at least): more of it is a gain; the same model gains nothing."""
    model = world.model(0)
    bench = bench_of(world.subject(model), tmp_path)
    finding = unmeasured(registered()["unguaranteed-errors"], "bottleneck", "")
    attempt = bench.attempt(remedy(precise(world) if better else model, model), finding)
    t = attempt.treatment
    rows = bench._judge_rows
    error = [np.mean(m.logits[rows].argmax(axis=1) != world.y[rows]) for m in (model, precise(world))]
    assert t.realised is not None
    assert t.realised.value == pytest.approx(error[0] - error[1] if better else 0.0)
    assert (t.verdict, t.seeds, t.kept) == (verdict, 1, better)


def test_it_is_proven_on_test(world: World, tmp_path: Path) -> None:
    """Rows of test stand where the probe measures."""
    model = world.model(0)
    bench = bench_of(world.subject(model), tmp_path)
    finding = unmeasured(registered()["unguaranteed-errors"], "bottleneck", "")
    attempt = bench.attempt(remedy(precise(world), model), finding)
    check, (t,) = verify(bench.baseline, bench.present, [attempt])
    test = bench.present.split("test")
    at = np.asarray(test.take(np.arange(len(test))))[:, 0].astype(int)
    error = [np.mean(m.logits[at].argmax(axis=1) != world.y[at]) for m in (model, precise(world))]
    assert (check.proven, check.yardstick, t.verdict, t.stage) == (True, "unguaranteed-errors", "helps", "test")
    assert check.gain.value == pytest.approx(error[0] - error[1])
    assert check.after.value == pytest.approx(1 - error[1])


def test_what_is_to_be_small_gains_by_falling(world: World, tmp_path: Path) -> None:
    """The calibration error may be at most so much: less of it is a gain."""
    cool, hot = answering(world.y, world.ease), answering(world.y, 20 * world.ease)
    bench = bench_of(world.subject(hot), tmp_path)
    view = View(lambda context: pytest.fail("no row score is asked for"), lambda context: context)
    contexts = [bench._context(bench.present.subject.replace(model=m)) for m in (hot, cool)]
    gain = ByFinding("miscalibration").gain(view, contexts[:1], contexts[1:])
    assert gain.value is not None
    assert gain.value > 0
    assert len(view.measured) == 2


def test_what_can_not_be_measured_again_is_undetermined(world: World, tmp_path: Path) -> None:
    """Below 100 rows miscalibration is not applicable."""
    bench = bench_of(world.subject(world.model(0)), tmp_path)
    few = bench.present.split("validation").subset(np.arange(50))
    context = replace(bench.present, subject=bench.present.subject.replace(validation=few))
    view = View(lambda context: pytest.fail("no row score is asked for"), lambda context: context)
    found = ByFinding("miscalibration").gain(view, [context], [context])
    assert (found.value, found.low) == (None, None)
    assert "50 rows" in ByFinding("miscalibration").score(view, context).method


def test_what_certifies_answers_is_fitted_on_rows_that_nothing_was_fitted_on(world: World, tmp_path: Path) -> None:
    """The first is fitted on one half and judged on the other; once it is kept, what hands rows over takes that one."""
    seen: list[set[int]] = []

    def fitting(model: Any) -> Any:
        def apply(case: Any) -> Treated:
            seen.append(set(case.subject.validation.take(np.arange(len(case.subject.validation)))[:, 0].astype(int)))
            return Treated(case.subject.replace(model=model), "planted")

        return apply

    model, better = world.model(0), precise(world)
    bench = bench_of(world.subject(model), tmp_path)
    finding = unmeasured(registered()["unguaranteed-errors"], "bottleneck", "")
    first = remedy(better, model, yardstick="metric", apply=fitting(better))
    assert bench.attempt(first, finding).treatment.kept
    for yardstick, on_request in (("wrong-answers", False), ("finding", True), ("finding", False), ("metric", False)):
        tried = remedy(better, model, yardstick=yardstick, on_request=on_request, apply=fitting(better))
        bench.attempt(tried, finding)
    fit, judge = set(bench._fit_rows), set(bench._judge_rows)
    assert seen == [fit, judge, judge, fit, fit]
    assert not fit & judge
