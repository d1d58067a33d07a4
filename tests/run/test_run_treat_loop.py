"""The loop of treatment: seeds and budgets, what is measured again, what is only planned, and what may be lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_helpers import build, small
from torch import nn
from treat_helpers import ALL, PARTS, Draws, Here, Table, World, a_finding, answering, bench_of, trains

from uncork import BadInput, Metric, Report, Subject, audit, load_treated, treat
from uncork.remedies._contract import remedies
from uncork.run import bench as bench_module
from uncork.run import ledger
from uncork.run.verdict import predicted_of
from uncork.run.verify import verify
from uncork.run.worth import worth_trying
from uncork.schema.artifacts import PassData
from uncork.schema.contract import Remedy
from uncork.schema.finding import Estimate
from uncork.stats.crossed import gain_over_seeds
from uncork.stats.multiplicity import alpha_of_opening, p_value

ERROR = Metric("error")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """All work in this process, and no table kept on disk."""
    fan = Here()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uncork.run.treat.Executor", lambda *_: fan)
    monkeypatch.setattr("uncork.run.trained.code_fingerprint", lambda _: "")
    return fan


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Remedy]:
    """The remedies there are: those that a test plants."""
    planted: dict[str, Remedy] = {}
    monkeypatch.setattr("uncork.run.worth.known_remedies", lambda: planted)
    return planted


def audited(subject: Subject, *probes: str) -> Report:
    return audit(subject, out="run", probes=probes or ("miscalibration",))


# Seeds.


def passes(world: World, side: int, seeds: list[int], part: int, **changes: Any) -> list[PassData]:
    rows = PARTS[part]
    tables = [world.model(side, seed, **changes) for seed in seeds]
    return [PassData.of_logits(table.logits[rows], world.y[rows]) for table in tables]


def test_what_trains_is_judged_by_the_mean_over_rows_and_seeds(here: Here, known: dict[str, Remedy]) -> None:
    """On validation and on test: `gain_over_seeds` of the models themselves."""
    world = World(3, by_seed=0.05)
    known["isotonic"] = trains(Draws(world, 1, better=0.9), Draws(world, 2), id="isotonic")
    report = treat(audited(world.subject(world.model(0, 0))), remedies=["isotonic"])
    (treatment,) = report.treatments
    assert (treatment.seeds, treatment.trainings, treatment.verdict) == (5, 10.0, "helps")
    trained = [(treated.changes, seed) for _, treated, seed in here.jobs]
    seeds = [seed for changes, seed in trained if changes == "planted"]
    assert [seed for changes, seed in trained if changes != "planted"] == seeds, "each seed has its control"
    assert len(set(seeds)) == 5

    old, new, beside = (
        [passes(world, side, drawn, part, **better) for part in (0, 1)]
        for side, drawn, better in ((0, [0], {}), (1, seeds, {"better": 0.9}), (2, seeds, {}))
    )
    assert same(treatment.on_validation, gain_over_seeds(ERROR, old[0], new[0]))
    assert (treatment.stage, treatment.realised.seeds) == ("test", 5)
    assert same(treatment.realised, gain_over_seeds(ERROR, old[1], new[1]))
    assert same(treatment.against_control, gain_over_seeds(ERROR, beside[1], new[1]))
    # What is proven is the first seed's model, not the mean of them.
    errors = [1000 * (passed.predicted != passed.y).mean() for passed in new[1]]
    assert report.verification.after.value == pytest.approx(errors[0])
    assert errors[0] not in errors[1:]


def same(one: Estimate, other: Estimate) -> bool:
    found = [(e.value, e.low, e.high, e.se, e.df, e.n, e.seeds) for e in (one, other)]
    return found[0] == pytest.approx(found[1])


@dataclasses.dataclass
class Nets:
    """Linear nets about a direction, another for each seed."""

    weight: tuple[float, float]

    def __call__(self, subject: Any, seed: int) -> nn.Module:
        net, generator = build(), torch.Generator().manual_seed(seed)
        towards = torch.tensor([*self.weight, 0.0, 0.0]) + 0.05 * torch.randn(4, generator=generator)
        with torch.no_grad():
            net.weight.copy_(torch.stack([-towards, towards]))
            net.bias.zero_()
        return net.eval()


def misled(**changes: Any) -> Subject:
    """Looks at the second feature as much as at the first, which alone tells."""
    return small().replace(model=Nets((1.2, 1.2))(None, 0), **changes)


def test_the_first_seeds_model_is_saved(here: Here, known: dict[str, Remedy]) -> None:
    known["isotonic"] = trains(Nets((1.2, 0.0)), Nets((1.2, 1.2)), id="isotonic")
    report = treat(audited(misled()), remedies=["isotonic"])
    (treatment,) = report.treatments
    assert (treatment.verdict, treatment.model) == ("helps", "treated")
    first = next(seed for _, treated, seed in here.jobs if treated.changes == "planted")
    saved = load_treated("run", build)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    expected = Nets((1.2, 0.0))(None, first)(torch.from_numpy(x)).detach().numpy()
    assert np.allclose(saved.outputs(x).logits, expected, atol=1e-6)
    assert json.loads(Path("run/treated/treated.json").read_text())["changes"] == ["isotonic: planted"]


@pytest.mark.parametrize(("budget", "seeds"), [(61, 5), (45, 3), (25, 0)])
def test_seeds_by_budget(
    budget: float, seeds: int, here: Here, known: dict[str, Remedy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 s a training, two at a time: 5 seeds of remedy and control take 50 s, and 3 take 30."""
    monkeypatch.setattr("uncork.run.treat.seconds_of_training", lambda *_: 10.0)
    known["isotonic"] = trains(Nets((1.2, 0.0)), Nets((1.2, 1.2)), id="isotonic")
    (treatment,) = treat(audited(misled()), remedies=["isotonic"], budget=budget).treatments
    assert len(here.jobs) == 2 * seeds
    if seeds:
        assert (treatment.seeds, treatment.verdict, treatment.trainings) == (seeds, "helps", 2.0 * seeds)
    else:
        assert treatment.verdict == "not-applicable"
        dear = "would take about 30 s, more than is left of the budget: give a larger --budget"
        assert treatment.reason == dear


def test_a_callable_metric_needs_eight_seeds(here: Here, known: dict[str, Remedy]) -> None:
    """It has no linearisation, and fewer say nothing of the variance between seeds."""
    known["isotonic"] = trains(Nets((1.2, 0.0)), Nets((1.2, 1.2)), id="isotonic")
    metric = Metric(share_wrong, delta=0.005, higher_is_better=False)
    (treatment,) = treat(audited(misled(metric=metric)), remedies=["isotonic"]).treatments
    assert (treatment.seeds, len(here.jobs), treatment.on_validation.seeds) == (8, 16, 8)
    assert treatment.verdict == "helps"


def share_wrong(p: np.ndarray, y: np.ndarray) -> float:
    return float((p.argmax(axis=1) != y).mean())


# What is measured again.


WORLD = World(2, by_seed=0.0)


def sure(mean: float, times: float, key: int, y: np.ndarray) -> Table:
    """Margins of N(m, 2m) are calibrated, right with probability Φ(√(m/2)); `times` makes them as much too sure."""
    margin = times * np.random.default_rng([9, key]).normal(mean, np.sqrt(2 * mean), ALL)
    return answering(y, margin)


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """(fingerprint of the model, ids of the probes) of each time that findings are measured again."""
    seen: list[tuple[str, list[str]]] = []
    examine = bench_module.examine

    def watched(context: Any, store: Any, probes: Any, *rest: Any) -> Any:
        seen.append((context.model.fingerprint(), [probe.id for probe in probes]))
        return examine(context, store, probes, *rest)

    monkeypatch.setattr(bench_module, "examine", watched)
    return seen


def retrained(mean: float, times: float) -> tuple[Subject, Remedy]:
    """A model too sure of itself, and a remedy for it that trains: to such margins."""
    old = sure(2.0, 4.0, 0, WORLD.y)
    remedy = trains(lambda subject, seed: sure(mean, times, seed, WORLD.y), lambda subject, seed: old, id="isotonic")
    return WORLD.subject(old, require={"ece": 0.08}), remedy


def test_what_has_become_clear_is_treated_no_further(known: dict[str, Remedy], examined: list[Any]) -> None:
    subject, known["isotonic"] = retrained(40.0, 1.0)  # never wrong, and knows it
    known["temperature"] = remedies()["temperature"]
    report = audited(subject)
    assert report.finding("miscalibration").verdict == "bottleneck"
    (treatment,) = treat(report).treatments
    assert (treatment.remedy, treatment.kept, treatment.round) == ("isotonic", True, 1)
    assert [probes for _, probes in examined] == [["miscalibration"]]
    assert examined[0][0] != subject.model.fingerprint()


def test_what_is_still_open_is_treated_in_the_next_round(
    here: Here, known: dict[str, Remedy], examined: list[Any]
) -> None:
    subject, known["isotonic"] = retrained(8.0, 6.0)  # better, and as much too sure as before
    known["temperature"] = remedies()["temperature"]
    report = audited(subject)
    first, second = treat(report).treatments
    assert [(t.remedy, t.round) for t in (first, second)] == [("isotonic", 1), ("temperature", 2)]
    assert len(examined) == 1, "what does not train changes nothing that was measured"
    # What is promised of it is what an audit of the model that stands now would promise.
    seed = next(seed for _, treated, seed in here.jobs if treated.changes == "planted")
    now = audit(subject.replace(model=sure(8.0, 6.0, seed, WORLD.y)), out="now", probes=["miscalibration"])
    assert same(second.predicted, now.finding("miscalibration").estimates["temperature_gain"])
    assert not same(second.predicted, report.finding("miscalibration").estimates["temperature_gain"])


def test_what_was_asked_for_is_tried_without_measuring_again(known: dict[str, Remedy], examined: list[Any]) -> None:
    subject, known["isotonic"] = retrained(40.0, 1.0)
    known["temperature"] = remedies()["temperature"]
    tried = treat(audited(subject), remedies=["temperature", "isotonic"]).treatments
    assert [(t.remedy, t.round) for t in tried] == [("isotonic", 1), ("temperature", 1)]
    assert examined == []


def test_what_is_not_kept_changes_nothing(known: dict[str, Remedy], examined: list[Any]) -> None:
    subject, known["isotonic"] = retrained(1.0, 4.0)
    known["temperature"] = remedies()["temperature"]
    first, second = treat(audited(subject)).treatments
    assert (first.kept, second.remedy, second.round, examined) == (False, "temperature", 1, [])


# What is only planned.


@pytest.mark.parametrize(("budget", "trainings"), [(600, 10), (45, 6), (5, 6)])
def test_a_dry_run_tries_nothing(
    budget: float, trainings: int, here: Here, known: dict[str, Remedy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what would be done in the budget, and what the least would take where that is too short."""

    def never(*_: Any) -> Any:
        raise AssertionError("nothing is tried")

    monkeypatch.setattr("uncork.run.treat.seconds_of_training", lambda *_: 10.0)
    known["isotonic"] = trains(never, never, id="isotonic", apply=never, control=never)
    report = audited(misled())
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    found = treat(report, remedies=["isotonic"], budget=budget, dry_run=True)
    (treatment,) = found.treatments
    assert (treatment.verdict, treatment.kept, treatment.trainings) == ("planned", False, trainings)
    assert treatment.seconds == pytest.approx(5 * trainings, abs=1)
    assert treatment.reason == f"about {5 * trainings} s, {trainings} trainings by the recipe"
    assert found.verification is None
    assert here.jobs == []
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
    assert not ledger.path().exists()
    assert Report.from_json(found.to_json()).treatments == found.treatments


def test_what_a_remedy_raises_is_its_own_result(here: Here, known: dict[str, Remedy]) -> None:
    """Memory that runs out, or a build that can't be widened: the other remedies go on, and a dry run says it too."""

    def burst(*_: Any) -> Any:
        raise MemoryError("no room for so wide a net")

    known["isotonic"] = trains(burst, burst, id="isotonic", price=burst)
    known["temperature"] = trains(burst, burst, id="temperature")
    report = audited(misled())
    for found in (treat(report, dry_run=True), treat(report)):
        verdicts = {t.remedy: (t.verdict, t.reason) for t in found.treatments}
        assert verdicts["isotonic"][0] == "error"
        assert verdicts["isotonic"][1].startswith("MemoryError: no room for so wide a net (in test_run_treat_loop.py")
    assert verdicts["temperature"][0] == "error"
    assert found.verification is None


def test_a_headroom_is_the_promise_of_its_own_remedy_alone() -> None:
    """More steps', not averaged weights', which mend the same finding; and a churn promises no fewer errors."""
    gain = Estimate(20.0, 10.0, 30.0, "errors per 1,000", 400, "t over rows")
    finding = dataclasses.replace(a_finding("undertraining"), headroom=gain)
    known = remedies()
    assert predicted_of(known["schedule"], finding) == gain
    assert predicted_of(known["average-weights"], finding) is None
    assert (
        predicted_of(known["schedule"], dataclasses.replace(finding, headroom=dataclasses.replace(gain, value=None)))
        is None
    )
    churn = dataclasses.replace(a_finding("retraining-churn"), headroom=gain)
    assert predicted_of(known["ensemble"], churn) is None


def test_a_price_that_is_none_stops_before_anything_is_tried(known: dict[str, Remedy]) -> None:
    report = audited(misled())
    with pytest.raises(BadInput, match="price of 'time': give label or gpu-hour"):
        treat(report, price="time=3")


@pytest.mark.parametrize("combines", [False, True])
def test_investments_are_tried_by_gain_per_money(combines: bool, known: dict[str, Remedy]) -> None:
    """Two of them, and a defect that comes before both, whatever they cost; what combines models comes last anyhow."""
    known |= {id: dataclasses.replace(r, combines=combines and r.combines) for id, r in remedies().items()}
    gain = Estimate(20.0, 10.0, 30.0, "errors per 1,000", 400, "t over rows")
    tiers = {"scarce-data": "investment", "single-model": "investment", "wrong-labels": "defect"}
    findings = [
        dataclasses.replace(
            a_finding(id),
            tier=tier,
            column="quality",
            verdict="bottleneck",
            headroom=gain,
        )
        for id, tier in tiers.items()
    ]
    for order in (["scarce-data", "single-model"], ["single-model", "scarce-data"]):
        tried = [finding.id for _, finding in worth_trying(findings, None, 5.0, order=order)]
        assert list(dict.fromkeys(tried)) == ["wrong-labels", *(["scarce-data", "single-model"] if combines else order)]


@pytest.mark.parametrize("on_request", [False, True])
def test_what_decides_which_rows_are_answered_comes_last_and_on_request(
    on_request: bool, known: dict[str, Remedy]
) -> None:
    """Named, it is tried in any case; else only where it is not on request."""
    after, calibrates = (
        dataclasses.replace(remedies()[id], id=id, yardstick=yardstick, on_request=on_request and id == "isotonic")
        for id, yardstick in (("isotonic", "wrong-answers"), ("temperature", "log-loss"))
    )
    known |= {"isotonic": after, "temperature": calibrates}
    finding = dataclasses.replace(
        a_finding("miscalibration"), verdict="bottleneck", column="trust", remedies=("isotonic", "temperature")
    )
    tried = [remedy.id for remedy, _ in worth_trying([finding], None, 5.0)]
    assert tried == ["temperature", *([] if on_request else ["isotonic"])]
    named = [remedy.id for remedy, _ in worth_trying([finding], ["isotonic", "temperature"], 5.0)]
    assert named == ["temperature", "isotonic"]


# What may be lost.


@pytest.mark.parametrize(("better", "verdict"), [(0.0, "helps"), (-0.8, "hurts")])
def test_a_loss_that_is_tolerated(better: float, verdict: str, tmp_path: Path) -> None:
    """δ is 60 errors of 1,000. As good as before: surely no more is lost; 0.8 less ease costs 190, which is too much.

    As good as before does not help where something must be gained.
    """
    world = World(5, by_seed=0.0)
    remedy = trains(Draws(world, 1, better=better), Draws(world, 2), yardstick="tolerance")
    bench = bench_of(world.subject(world.model(0)), tmp_path / "run", delta=60.0)
    attempt = bench.attempt(remedy, a_finding(), 5)
    assert attempt.treatment.verdict == verdict
    assert attempt.margin == 60.0
    expected = passes(world, 1, [seed for _, t, seed in bench.present.fan.jobs if t.changes == "planted"], 0)
    if not better:
        shown = gain_over_seeds(
            ERROR, [PassData.of_logits(world.model(0).logits[PARTS[0]], world.y[PARTS[0]])], expected
        )
        assert same(attempt.treatment.realised, shown), "what is shown is the gain itself"
        again = bench_of(world.subject(world.model(0)), tmp_path / "again", delta=60.0)
        strict = again.attempt(dataclasses.replace(remedy, yardstick="metric"), a_finding(), 5)
        assert strict.treatment.verdict == "undetermined"
        assert strict.margin == 0.0


def test_a_loss_that_may_be_as_large_as_what_is_tolerated_is_not_kept(tmp_path: Path) -> None:
    world = World(5, by_seed=0.0)
    remedy = trains(Draws(world, 1), Draws(world, 2), yardstick="tolerance")
    bench = bench_of(world.subject(world.model(0)), tmp_path, delta=1.0)
    treatment = bench.attempt(remedy, a_finding(), 5).treatment
    assert (treatment.verdict, treatment.kept) == ("undetermined", False)


def test_proven_is_that_no_more_is_lost(tmp_path: Path) -> None:
    """By the margin alone: the model is no better. Beside a remedy that must gain, nothing may be lost."""
    world = World(5, by_seed=0.0)
    bench = bench_of(world.subject(world.model(0)), tmp_path, delta=60.0)
    attempt = bench.attempt(trains(Draws(world, 1), Draws(world, 2), yardstick="tolerance"), a_finding(), 5)
    found, (treatment,) = verify(bench.baseline, bench.present, [attempt])
    assert (found.proven, found.margin, treatment.verdict, found.yardstick) == (True, 60.0, "helps", "error")
    assert p_value(found.gain.shifted(60.0)) <= alpha_of_opening(1) < p_value(found.gain)
    gains = dataclasses.replace(attempt, margin=0.0)
    found, _ = verify(bench.baseline, bench.present, [attempt, gains])
    assert (found.proven, found.margin) == (False, 0.0)


def test_more_than_is_tolerated_is_not_proven(tmp_path: Path) -> None:
    world = World(5, by_seed=0.0)
    bench = bench_of(world.subject(world.model(0)), tmp_path, delta=60.0)
    attempt = bench.attempt(trains(Draws(world, 1, better=-0.8), Draws(world, 2), yardstick="tolerance"), a_finding())
    let = dataclasses.replace(attempt, treatment=dataclasses.replace(attempt.treatment, kept=True))
    found, treatments = verify(bench.baseline, attempt.after[0], [let])
    assert (found.proven, treatments) == (False, ())
