"""Assertions on a report: what they may say, and what they find."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from uncork import BadInput
from uncork.run import check as checks
from uncork.run.assertions import SIGNS, parse
from uncork.run.check import check, judged, not_worse, read
from uncork.schema.checked import Assertion
from uncork.schema.comparison import Compared, Comparison, Difference
from uncork.schema.finding import Estimate, Finding, Verdict
from uncork.schema.report import Headline, Report

ERRORS = "errors per 1,000"


def estimate(value: float | None, low: float | None, high: float | None, unit: str = ERRORS) -> Estimate:
    return Estimate(value, low, high, unit, 1250, "t over rows")


def found(id: str, verdict: Verdict, column: str = "quality", **given: object) -> Finding:
    return Finding(id, "defect", column, id, verdict, **given)  # type: ignore[arg-type]


LABELS = found(
    "wrong-labels",
    "bottleneck",
    headroom=estimate(21, 9, 33),
    estimates={"noise_rate": estimate(0.012, 0.004, 0.02, "share"), "more of a": estimate(3, 1, 5)},
)
CALIBRATION = found("miscalibration", "clear", "trust", estimates={"temperature_gain": estimate(0.1, 0.0, 0.2, "nats")})
BOUNDS = found("overfitting", "undetermined", headroom=estimate(None, 0, None))
REPORT = Report(
    subject={"name": "digits"},
    headline=Headline("error", 73.0, 62.0, 80.0, 2000, ERRORS, "Wilson"),
    principal=("wrong-labels",),
    findings=(
        LABELS,
        CALIBRATION,
        BOUNDS,
        found("undertraining", "not-run", reason="needs 6 min more"),
        found("wrong-family", "error", reason="ValueError: no rows"),
        found("rare-classes", "not-applicable", reason="a regression has no classes"),
    ),
    folder="runs/digits",
)


def of(text: str, report: Report = REPORT) -> Assertion:
    return judged(report, parse(text))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("headline.high <= 0.08", True),  # a share of what counts per 1,000: the bound is 80 itself
        ("headline.high < 0.08", False),
        ("headline.high<=8%", True),
        ("headline.high <= 80 per 1,000", True),
        ("headline.high <= 79.9 per 1000", False),
        ("headline.high <= 0.079", False),
        ("headline.low >= 6.2 %", True),
        ("headline.low > .07", False),
        ("headline.n >= 2000", True),
        ("headline.n > 2000", False),
        ("wrong-labels.noise_rate.high <= 0.02", True),
        ("wrong-labels.noise_rate.high <= 2 %", True),
        ("wrong-labels.noise_rate.high <= 19 per 1,000", False),
        ("wrong-labels.noise_rate.low >= 1e-2", False),
        ("wrong-labels.more of a.high <= 5 per 1,000", True),
        ("wrong-labels.headroom.high <= 0.033", True),
        ("wrong-labels.headroom.n >= 1251", False),
        ("miscalibration.temperature_gain.high <= 0.2", True),
        ("miscalibration.verdict == clear", True),
        ("miscalibration.verdict == 'clear'", True),
        ("overfitting.verdict != bottleneck", True),
        ("overfitting.verdict == clear", False),
        ("wrong-labels.verdict != bottleneck", False),
        ("principal != miscalibration", True),
        ("principal != wrong-labels", False),
        ("principal == none", False),
    ],
)
def test_what_holds(text: str, holds: bool) -> None:
    assert of(text).holds is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "scarce-data.headroom.high <= 0.1",
            "no finding 'scarce-data': it has wrong-labels, miscalibration, overfitting",
        ),
        ("wrong-labels.noise.high <= 0.1", "no figure 'noise' in this run: it has noise_rate, more of a, headroom"),
        ("miscalibration.headroom.high <= 1", "it has temperature_gain"),
        ("overfitting.headroom.high <= 1", "undetermined: at least 0 errors per 1,000 has no such bound"),
        ("headline.clean.high <= 1", "there is no clean headline"),
        # Whatever is asked of it, also what would hold of anything.
        ("undertraining.verdict != bottleneck", "not run: needs 6 min more"),
        ("wrong-family.verdict != bottleneck", "error: ValueError: no rows"),
        ("rare-classes.verdict != bottleneck", "not applicable: a regression has no classes"),
        ("rare-classes.headroom.high <= 1", "not applicable: a regression has no classes"),
        ("principal != undertraining", "not run: needs 6 min more"),
    ],
)
def test_what_was_not_measured_does_not_hold(text: str, why: str) -> None:
    assertion = of(text)
    assert not assertion.holds
    assert why in assertion.found


def test_none_is_principal_only_where_all_was_measured() -> None:
    def without(*ids: str, principal: tuple[str, ...] = ()) -> Report:
        findings = tuple(f for f in REPORT.findings if f.id not in ids)
        return dataclasses.replace(REPORT, principal=principal, findings=findings)

    text, unseen = "principal == none", ("undertraining", "wrong-family")
    assert "undertraining (not run), wrong-family (error); give" in of(text, without()).found
    assert of(text, without(*unseen)) == Assertion(text, True, "none, of 2 defects of quality measured")
    assert "wrong-labels" in of(text, without(*unseen, principal=("wrong-labels",))).found
    nothing = of(text, without(*unseen, "wrong-labels", "overfitting"))
    assert (nothing.holds, nothing.found) == (False, "none is proven, but no defect of quality was measured")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("headline", "that is no assertion: write FIGURE SIGN LIMIT, such as headline.high <= 0.08"),
        ("headline.high <= ", "that is no assertion"),
        ("headline.high => 0.08", "that is no assertion"),
        ("0.02 <= headline.high <= 0.08", "that is no assertion"),
        ("headline.value <= 0.08", "a gate asks for its bound, headline.high"),
        ("headline.value >= 0.08", "a gate asks for its bound, headline.low"),
        ("wrong-labels.noise_rate.value <= 0.08", "a gate asks for its bound, wrong-labels.noise_rate.high"),
        ("headline.high >= 0.08", "would hold of few rows: ask for the other bound, headline.low"),
        ("headline.low < 0.08", "would hold of few rows: ask for the other bound, headline.high"),
        ("headline.high == 0.08", "high takes <= or <, not =="),
        ("headline.n <= 9", "n takes >= or >, not <="),
        ("headline.mean <= 0.08", "headline.mean names no bound: end it in .low, .high, .n or .verdict"),
        ("wrong-labels <= 0.08", "wrong-labels names no bound"),
        ("headline.error.high <= 0.08", "the headline has low, high and n"),
        ("headline.verdict == clear", "the headline has low, high and n"),
        ("wrong-labels.high <= 0.08", "write wrong-labels.headroom.high"),
        ("wrong-labels.noise_rate.verdict == clear", "write wrong-labels.verdict"),
        ("wrong-labels.verdict == open", "there is no verdict 'open': choose bottleneck, clear, undetermined"),
        ("wrong-labels.verdict == error", "there is no verdict 'error'"),
        ("wrong-labels.verdict <= clear", "verdict takes == or !=, not <="),
        ("headline.high <= few", "the limit 'few' is no number: write 0.08, 8 % or 80 per 1,000"),
        ("principal == wrong-labels", "write principal == none, or principal != ID"),
        ("principal <= none", "write principal == none, or principal != ID"),
    ],
)
def test_what_is_no_assertion(text: str, why: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(text)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("headline.high <= 80", "80 is no share: write 80 per 1,000, 8 %, or 0.08"),
        ("miscalibration.temperature_gain.high <= 2 %", "unit is nats: give a plain number instead of 2 %"),
        ("headline.n >= 8 %", "n is a count: give a plain number"),
    ],
)
def test_a_limit_has_a_meaning_in_its_unit(text: str, why: str) -> None:
    with pytest.raises(BadInput) as refused:
        of(text)
    assert why in str(refused.value)


def test_every_bound_has_an_assertion_that_holds_and_one_that_does_not() -> None:
    """`high`, `low` and `n` are compared on the side that they say."""
    limits = {"high": ("0.09", "0.07"), "low": ("0.06", "0.07"), "n": ("1", "9999")}
    for field, (holds, fails) in limits.items():
        for sign in SIGNS[field]:
            assert of(f"headline.{field} {sign} {holds}").holds
            assert not of(f"headline.{field} {sign} {fails}").holds


def gate(path: Path, text: str) -> Path:
    path = path / "uncork.toml"
    path.write_text(text)
    return path


def test_a_file(tmp_path: Path) -> None:
    path = gate(tmp_path, '# a gate\nassert = [\n  "headline.high <= 0.08",\n  "principal == none",\n]\n')
    checked = check(REPORT, path)
    assert [a.holds for a in checked.assertions] == [True, False]
    assert (checked.run, checked.holds, checked.warnings) == ("runs/digits", False, ())
    leak = Finding("leaked-examples", "gate", "quality", "Rows leak", "bottleneck", spoils="the headline")
    leaky = check(dataclasses.replace(REPORT, findings=(leak, *REPORT.findings)), path)
    assert leaky.warnings == ("Open gate leaked-examples: Until it is closed, don't trust the headline.",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            'assert = ["a.verdict == clear",\n"headline.value < 1"]',
            "uncork.toml, line 2: 'headline.value < 1': an estimate",
        ),
        (
            '# headline.high <= 80\nassert = ["headline.high <= 80"]',
            "uncork.toml, line 2: 'headline.high <= 80': the figure counts errors",
        ),
        ("\nasert = []", "uncork.toml, line 2: there is no key 'asert': it takes assert and not-worse-than"),
        ("headline.high <= 0.08", "uncork.toml is not TOML (Expected '=' after a key"),
        ('assert = "principal == none"', "uncork.toml, line 1: assert is no list of strings"),
        ("assert = [1]", "uncork.toml, line 1: assert is no list of strings"),
        ("not-worse-than = 3", "uncork.toml, line 1: write one run folder"),
        ("", "uncork.toml asserts nothing, so it would always hold"),
        ("assert = []", "uncork.toml asserts nothing, so it would always hold"),
        ('not-worse-than = "runs/none"', 'not-worse-than = "runs/none": there is no folder runs/none'),
    ],
)
def test_a_file_that_is_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        check(REPORT, gate(tmp_path, text))
    assert why in str(refused.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file .*none\.toml: write one, such as assert = "):
        read(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "b.toml", tmp_path):
        with pytest.raises(BadInput, match="can't be read"):
            read(path)
    with pytest.raises(BadInput, match="there is no folder runs/none"):
        check("runs/none", gate(tmp_path, 'assert = ["principal == none"]'))


@pytest.mark.parametrize(
    ("low", "high", "holds"),
    [
        (-5.0, 2.0, True),
        (-5.1, 8.0, False),
        (6.0, 9.0, True),
        (-4.0, -1.0, True),
        (None, None, False),
        (None, 3.0, False),
    ],
)
def test_not_worse_is_a_loss_above_delta_excluded(
    low: float | None, high: float | None, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a model that is surely worse, by less than matters; never of one that merely is not surely worse. Of the
    models, whatever is known of the recipes."""
    mine = Difference("models", estimate(-1, low, high), "can't tell", negligible=False)
    recipes = Difference("recipes", estimate(0, -1, 1), "can't tell", negligible=True)
    sides = Compared("runs/main", ()), Compared("runs/digits", ())
    asked = []

    def diff(a: str, b: str) -> Comparison:
        asked.append((a, b))
        return Comparison(*sides, "error", ERRORS, 5.0, "validation", 600, (mine, recipes))

    monkeypatch.setattr("uncork.run.diff.diff", diff)
    assertion = not_worse("runs/main", "runs/digits")
    assert asked == [("runs/main", "runs/digits")]
    assert assertion.holds is holds
    if low is not None:
        excluded = "is excluded" if holds else "is not excluded"
        assert f"δ = 5 {excluded}: high of the loss is {-low:g} errors per 1,000 (95 % interval" in assertion.found
    else:
        assert assertion.found.startswith("undetermined")


def test_the_page_of_the_module_is_what_it_reads(tmp_path: Path) -> None:
    page = checks.__doc__ or ""
    clauses, other = read(
        gate(tmp_path, "\n".join(line.strip() for line in page.splitlines() if line.startswith("    ")))
    )
    assert (len(clauses), other) == (3, "runs/main")


def test_a_report_without_a_folder_is_compared_with_none(tmp_path: Path) -> None:
    nowhere = dataclasses.replace(REPORT, folder=None)
    assert check(nowhere, gate(tmp_path, 'assert = ["headline.high <= 0.08"]')).run == "digits"
    with pytest.raises(BadInput, match="not-worse-than needs the folder of the run"):
        check(nowhere, gate(tmp_path, 'not-worse-than = "runs/main"'))
