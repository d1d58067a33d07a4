"""The plan: the pool shrinks before a probe goes, and a run that goes on decides as before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from run_helpers import small

from uncork import audit
from uncork.gather._contract import Context, Training
from uncork.gather.pool import gather as pool_gatherer
from uncork.probes._contract import registered
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.plan import Plan, make_plan
from uncork.schema.pool import QUESTIONS, SEEDS, Pool
from uncork.testing.pools import a_pool

pytestmark = pytest.mark.usefixtures("in_this_process")

READERS = ["wrong-labels", "mistuned-training", "undertraining", "retraining-churn"]


@pytest.fixture
def context() -> Context:
    """One training takes 10 s, it is said."""
    found = admit(small(), describe_only=False, seed=0, fan=Executor()).context
    return dataclasses.replace(found, training={"": Training(10.0)})


def planned(context: Context, budget: float, **settings: Any) -> tuple[Plan, Pool]:
    plan = make_plan([registered()[id] for id in READERS], context, budget, **settings)
    pool = plan.covering(Pool())
    assert isinstance(pool, Pool)
    return plan, pool


def test_requests_are_merged(context: Context) -> None:
    plan, pool = planned(context, 1e9)
    assert pool == Pool(halves=8, full=SEEDS, questions=("labels", "tuning", "steps"))
    assert plan.left_out == {}
    assert sum(isinstance(p.request, Pool) for p in plan.planned) == 1


def test_the_pool_shrinks_before_a_probe_goes(context: Context) -> None:
    whole = pool_gatherer.price(planned(context, 1e9)[1], context)
    plan, pool = planned(context, whole - 1)
    assert pool == Pool(halves=8, full=3, questions=("labels", "tuning", "steps"))
    assert set(plan.left_out) == {"seeds"}
    fewer = pool_gatherer.price(pool, context)
    plan, pool = planned(context, fewer - 1)
    assert pool == Pool(halves=8, full=3, questions=("labels", "tuning"))
    assert plan.not_run == {}
    assert set(plan.left_out) == {"seeds", "steps", "steps-x4"}
    assert plan.left_out["steps"].startswith(
        f"would take about {(4 * 40 + 3 * 40) / 2:.0f} s more, and {fewer - 1:.0f} s"
    )


def test_whatever_the_budget_the_plan_fits_it_or_has_no_pool(context: Context) -> None:
    for budget in (1.0, 50.0, 100.0, 150.0, 250.0, 400.0, 1000.0):
        plan, pool = planned(context, budget)
        assert pool == Pool() or pool_gatherer.price(pool, context) <= budget
        assert plan.not_run == {}


def test_a_probe_of_which_nothing_is_left_is_not_run_and_the_price_is_told(context: Context) -> None:
    plan, _ = planned(context, 200.0)
    assert "steps" in plan.left_out
    probes = registered()
    assert plan.unanswered(probes["undertraining"]) == plan.left_out["steps"]
    assert plan.unanswered(probes["retraining-churn"]) == ""
    assert plan.unanswered(probes["miscalibration"]) == ""
    none, _ = planned(context, 1.0)
    assert none.unanswered(probes["wrong-labels"]) == none.left_out["pool"]


def test_switched_off_nothing_is_retrained(context: Context) -> None:
    plan, pool = planned(context, 1e9, no_pool="it was switched off")
    assert pool == Pool()
    assert plan.left_out == {"pool": "it was switched off"}


def test_a_probe_gets_its_own_part_of_the_pool_and_why_it_is_less(context: Context) -> None:
    plan, _ = planned(context, 200.0)
    data = a_pool(60, 50, halves=8, full=3)
    part = plan.part(Pool(halves=4, full=2), data)
    assert (len(part.members(2)), len(part.members(1))) == (4, 2)
    assert part.left_out["steps"] == plan.left_out["steps"]


def test_a_run_that_goes_on_takes_over_the_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = ["retraining-churn"]
    audit(small(), out=tmp_path / "run", probes=probes, seed=1)
    before = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert before["timed"]["training"][""][0] > 0

    def never(*_: object) -> None:
        raise AssertionError("timed again")

    monkeypatch.setattr("uncork.run.examine.time_members", never)
    audit(small(), out=tmp_path / "run", probes=probes, seed=1)
    assert json.loads((tmp_path / "run" / "plan.json").read_text()) == before


@pytest.mark.slow
def test_a_damaged_plan_is_made_again(tmp_path: Path) -> None:
    first = audit(small(), out=tmp_path / "run", probes=["retraining-churn"])
    (tmp_path / "run" / "plan.json").write_text("{")
    again = audit(small(), out=tmp_path / "run", probes=["retraining-churn"])
    assert again.finding("retraining-churn").estimates == first.finding("retraining-churn").estimates


def test_a_recipe_that_cant_train_costs_no_other_finding(tmp_path: Path) -> None:
    def broken(train: object, seed: int) -> None:
        raise KeyError("no such column")

    report = audit(small(recipe=broken), out=tmp_path / "run", probes=["retraining-churn", "miscalibration"])
    assert report.finding("miscalibration").verdict in ("clear", "bottleneck", "undetermined")
    churn = report.finding("retraining-churn")
    assert churn.verdict == "not-run"
    assert churn.reason == "the recipe can't be trained here (KeyError: 'no such column')"


def test_every_question_has_a_reader() -> None:
    asked = {
        q
        for probe in registered().values()
        for r in probe.requires.values()
        if isinstance(r, Pool)
        for q in r.questions
    }
    assert asked == set(QUESTIONS)
