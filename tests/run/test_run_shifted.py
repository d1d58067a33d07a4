"""Shifted rows from audit to proof: a third adapts, another judges, the last proves; and labels on a budget."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from treat_helpers import Table, answering, bench_of

from uncork import Recipe, Split, Subject, audit, treat
from uncork.data.thirds import thirds
from uncork.probes._contract import registered
from uncork.remedies._contract import Treated
from uncork.report.words import verified
from uncork.run.rank import unmeasured
from uncork.run.verify import verify
from uncork.schema.contract import Remedy
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.report import Report
from uncork.schema.seeds import generator

SIZES = {"validation": 300, "test": 300, "shifted": 600}
CUTS = dict(zip(SIZES, np.split(np.arange(1200), np.cumsum(list(SIZES.values()))[:-1]), strict=True))
Y = np.random.default_rng(0).integers(2, size=1200)


def table(wrong: dict[str, float], seed: int) -> Table:
    """Wrong on these shares of the splits' rows."""
    rng = np.random.default_rng([seed, 7])
    margin = np.ones(1200)
    for name, share in wrong.items():
        margin[CUTS[name][rng.random(SIZES[name]) < share]] = -1.0
    return answering(Y, margin)


OLD = table({"validation": 0.1, "test": 0.1, "shifted": 0.5}, 0)
NEW = table({"validation": 0.2, "test": 0.2, "shifted": 0.1}, 1)
OTHER = table({"validation": 0.1, "test": 0.1, "shifted": 0.5}, 2)


def subject(model: Any = OLD, *, first: int = 0, **beside: Any) -> Subject:
    """`first`: a number that tells these rows from another world's."""
    x = np.c_[np.arange(1200), np.full(1200, first)].astype(np.float32)
    splits = {name: Split(x[at], Y[at], **beside.get(name, {})) for name, at in CUTS.items()}
    return Subject(model, **splits, name="shifted")


def planted(after: Table, seen: list[Any] | None = None) -> Remedy:
    def apply(case: Any) -> Treated:
        if seen is not None:
            seen.append(case.subject.shifted.take(np.arange(len(case.subject.shifted)))[:, 0].astype(int))
        return Treated(case.subject.replace(model=after), "planted")

    return Remedy(
        id="adapt-batchnorm",
        title="planted",
        safety="checked",
        yardstick="shifted",
        fits_on_validation=False,
        apply=apply,
        control=lambda case, treated: Treated(case.subject.replace(model=OTHER), "another"),
        price=lambda subject, seeds: 0.0,
        doc="",
    )


def error(model: Table, rows: np.ndarray) -> float:
    return 1000 * float(np.mean(model.logits[rows].argmax(axis=1) != Y[rows]))


FINDING = unmeasured(registered()["domain-shift"], "bottleneck", "")


def test_each_third_has_its_own_part(tmp_path: Path) -> None:
    """Seen, judged and proven on rows apart, exactly; the old rows' loss is shown beside both."""
    seen: list[np.ndarray] = []
    bench = bench_of(subject(), tmp_path)
    attempt = bench.attempt(planted(NEW, seen), FINDING)
    parts = [CUTS["shifted"][part] for part in thirds(bench.present.split("shifted"))]
    assert seen[0].tolist() == parts[0].tolist()
    t = attempt.treatment
    assert t.realised is not None
    assert t.realised.value == pytest.approx(error(OLD, parts[1]) - error(NEW, parts[1]))
    assert t.against_control.value == pytest.approx(error(OTHER, parts[1]) - error(NEW, parts[1]))
    assert (t.verdict, t.kept) == ("helps", True)
    beside = next(e for e in t.side_effects if e.name == "error")
    assert (beside.before.value, beside.after.value) == (
        error(OLD, CUTS["validation"]),
        error(NEW, CUTS["validation"]),
    )
    check, (proven,) = verify(bench.baseline, bench.present, [attempt])
    assert (check.proven, check.yardstick, check.opening, proven.verdict) == (True, "error on shifted", 1, "helps")
    assert check.gain.value == pytest.approx(error(OLD, parts[2]) - error(NEW, parts[2]))
    assert check.after.value == pytest.approx(error(NEW, parts[2]))
    lost = next(e for e in check.side_effects if e.name == "error")
    assert lost.after.value == pytest.approx(error(NEW, CUTS["test"]))
    assert len(bench.present.split("shifted")) == 600


def test_what_does_not_help_there_is_dropped(tmp_path: Path) -> None:
    """Better on validation alone counts for nothing."""
    better = table({"validation": 0.0, "test": 0.0, "shifted": 0.5}, 3)
    t = bench_of(subject(), tmp_path).attempt(planted(better), FINDING).treatment
    assert (t.verdict, t.kept) == ("undetermined", False)


def test_openings_of_the_last_third_are_counted_whatever_the_test_rows(tmp_path: Path) -> None:
    """Another remedy, and other test rows: the second opening of the same shifted rows; of other ones the first."""
    bench = bench_of(subject(), tmp_path / "a")
    verify(bench.baseline, bench.present, [bench.attempt(planted(NEW), FINDING)])
    fresh = subject(first=1).replace(shifted=subject().shifted)
    bench = bench_of(fresh, tmp_path / "b")
    newer = table({"validation": 0.2, "test": 0.2, "shifted": 0.1}, 4)
    again, _ = verify(bench.baseline, bench.present, [bench.attempt(planted(newer), FINDING)])
    assert again.opening == 2
    bench = bench_of(subject(first=2), tmp_path / "c")
    check, _ = verify(bench.baseline, bench.present, [bench.attempt(planted(NEW), FINDING)])
    assert check.opening == 1


def test_old_rows_of_which_a_remedy_saw_another_version_do_not_count(tmp_path: Path) -> None:
    """The first 300 of shifted are versions of validation's rows, the others of test's: those that were adapted to are
    left out of what is lost on the old ones."""
    names = [f"p{i}" for i in range(600)]
    beside = {"validation": {"ids": names[:300]}, "test": {"ids": names[300:]}, "shifted": {"ids": names}}
    bench = bench_of(subject(**beside), tmp_path)
    attempt = bench.attempt(planted(NEW), FINDING)
    adapted = thirds(bench.present.split("shifted")).adapt
    here, there = (np.setdiff1d(rows, adapted) for rows in (np.arange(300), np.arange(300, 600)))
    old = next(e for e in attempt.treatment.side_effects if e.name == "error")
    assert old.after.value == pytest.approx(error(NEW, CUTS["validation"][here]))
    check, _ = verify(bench.baseline, bench.present, [attempt])
    lost = next(e for e in check.side_effects if e.name == "error")
    assert lost.after.value == pytest.approx(error(NEW, CUTS["test"][there - 300]))
    assert lost.after.n == len(there)


def test_shifted_rows_that_cannot_be_cut_stop_no_other_remedy(tmp_path: Path) -> None:
    """All of one place, which is their group: nothing of them can judge, and the rest goes on."""
    bench = bench_of(subject(shifted={"groups": np.zeros(600)}), tmp_path)
    seen: list[Any] = []

    def apply(case: Any) -> Treated:
        seen.append(case.subject.shifted)
        return Treated(case.subject.replace(model=NEW), "planted")

    other = replace(planted(NEW), yardstick="metric", apply=apply)
    elsewhere = unmeasured(registered()["miscalibration"], "bottleneck", "")
    assert bench.attempt(other, elsewhere).treatment.verdict in ("hurts", "undetermined")
    assert seen == [None]
    with pytest.raises(Unavailable, match="shifted can't judge a remedy: 600 rows with 1 groups"):
        bench.attempt(planted(NEW), FINDING)


def test_copies_of_what_a_remedy_sees_judge_nothing(tmp_path: Path) -> None:
    """Each shifted row 20 times, under ids of their own: one in two judging rows would have been learnt by heart."""
    x = np.repeat(np.arange(30.0), 20).astype(np.float32)[:, None] + np.float32([[600, 0]])
    copied = Split(x, Y[CUTS["shifted"]])
    bench = bench_of(subject().replace(shifted=copied), tmp_path / "a")
    with pytest.raises(Unavailable, match="shifted rows that would judge are copies of rows that the remedy sees"):
        bench.attempt(planted(NEW), FINDING)
    apart = Split(x, Y[CUTS["shifted"]], groups=np.arange(600) // 20)
    bench = bench_of(subject().replace(shifted=apart), tmp_path / "b")
    assert bench.attempt(planted(NEW), FINDING).treatment.realised is not None


def test_old_rows_all_of_which_correspond_to_what_was_seen_show_no_loss(tmp_path: Path) -> None:
    """Test is of one group, which the remedy has seen: proven on shifted all the same, without figures of test."""
    groups = np.array([f"g{i % 6}" for i in range(600)])
    seen = groups[thirds(subject(shifted={"groups": groups}).shifted).adapt][0]
    bench = bench_of(subject(shifted={"groups": groups}, test={"groups": [seen] * 300}), tmp_path)
    check, _ = verify(bench.baseline, bench.present, [bench.attempt(planted(NEW), FINDING)])
    assert check.side_effects == ()
    assert check.yardstick == "error on shifted"


def test_unlabelled_rows_that_judge_or_prove_teach_nothing(tmp_path: Path) -> None:
    """Half of the unlabelled rows stand in validation or test: a remedy sees the others alone, of all of them none."""
    x = np.c_[np.arange(2400), np.zeros(2400)].astype(np.float32)
    for rows, left in ((np.r_[0:600, 1200:1800], np.arange(1200, 1800)), (np.arange(600), None)):
        seen: list[Any] = []

        def apply(case: Any, seen: list[Any] = seen) -> Treated:
            seen.append(case.subject.unlabelled)
            return Treated(case.subject.replace(model=NEW), "planted")

        bench = bench_of(subject().replace(unlabelled=Split(x[rows])), tmp_path / str(len(rows)))
        bench.attempt(replace(planted(NEW), apply=apply), FINDING)
        assert bench.present.subject.unlabelled is not None
        if left is None:
            assert seen == [None]
        else:
            assert (seen[0].take(np.arange(len(left)))[:, 0] == left).all()


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 3))


RECIPE = Recipe(build, epochs=10, batch_size=50, lr=1e-2)


def drawn(n: int, seed: int, *, offset: float = 0.0, named: str = "") -> Split:
    rng = generator(seed, "rows")
    y = rng.integers(3, size=n)
    x = 2.0 * np.eye(6)[y] + rng.normal(size=(n, 6)) + offset * np.eye(6)[0]
    return Split(x.astype(np.float32), y, ids=[f"{named}{i}" for i in range(n)] if named else None)


@pytest.fixture(scope="module")
def real() -> Subject:
    train = drawn(400, 0)
    splits = {"train": train, "validation": drawn(400, 1), "test": drawn(400, 2)}
    return Subject(RECIPE.fit(train, seed=0), **splits, shifted=drawn(900, 3, offset=3.0, named="s"), name="real")


def of(report: Report) -> Any:
    return report.finding("domain-shift")


@pytest.mark.usefixtures("in_this_process")
def test_a_shift_is_found_mended_and_proven(real: Subject, tmp_path: Path) -> None:
    """Of the 900 shifted rows a third is not read by the audit; BatchNorm's statistics undo the offset."""
    report = audit(real, probes=["domain-shift"], pool="off", out=tmp_path / "run")
    finding = of(report)
    assert finding.verdict == "bottleneck"
    assert finding.estimates["shifted"].n == 900 - len(thirds(real.shifted).prove)
    assert report.principal == ("domain-shift",)
    after = treat(report, remedies=["adapt-batchnorm"])
    (t,) = after.treatments
    assert (t.verdict, t.stage, t.kept) == ("helps", "test", True)
    assert after.verification.proven
    assert after.verification.yardstick == "error on shifted"
    assert after.verification.gain.n == len(thirds(real.shifted).prove)
    assert t.realised.low > 0
    assert "Proven on shifted rows kept for it: error on shifted is better by" in verified(after.verification)
    # On its own treat leaves the old rows alone.
    alone = treat(audit(real, probes=["domain-shift"], pool="off", out=tmp_path / "alone"))
    assert alone.treatments == ()


@pytest.mark.usefixtures("in_this_process")
def test_labels_on_a_budget_and_brought(real: Subject, tmp_path: Path) -> None:
    """k labels of a labelled shifted; of an unlabelled one to_label.csv, filled in and given to the same run."""
    few = of(audit(real, probes=["domain-shift"], pool="off", labels=60, out=tmp_path / "few"))
    assert "by 60 labels" in few.summary
    assert not (tmp_path / "few" / "to_label.csv").exists()
    shifted = real.shifted
    bare = real.replace(shifted=Split(shifted.take(np.arange(900)), ids=shifted.ids))
    report = audit(bare, probes=["domain-shift"], pool="off", labels=60, out=tmp_path / "run")
    assert of(report).verdict == "undetermined"
    assert of(report).headroom is None
    with (tmp_path / "run" / "to_label.csv").open(newline="") as file:
        asked = [row["id"] for row in csv.DictReader(file)]
    assert len(set(asked)) == 60
    truth = dict(zip(shifted.ids, shifted.y, strict=True))
    with (tmp_path / "filled.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "label"], *([id, truth[id]] for id in asked)])
    again = of(audit(bare, probes=["domain-shift"], pool="off", labels=tmp_path / "filled.csv", out=tmp_path / "run"))
    assert again.verdict == "bottleneck"
    assert "by 60 labels" in again.summary
    assert again.estimates["threshold"] == of(report).estimates["threshold"]
    refused = treat(tmp_path / "run", subject=bare, remedies=["adapt-batchnorm"])
    assert refused.treatments[0].verdict == "not-applicable"
    assert "shifted has no labels" in refused.treatments[0].reason


def test_without_shifted_it_says_what_it_takes(real: Subject, tmp_path: Path) -> None:
    bare = real.replace(shifted=None)
    finding = of(audit(bare, probes=["domain-shift"], pool="off", out=tmp_path / "run"))
    assert (finding.verdict, finding.reason) == (
        "not-applicable",
        "no shifted split was given: give Subject(shifted=...)",
    )
    with pytest.raises(BadInput, match="labels are of rows of shifted, and none was given"):
        audit(bare, labels=50, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
