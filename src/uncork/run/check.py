"""A gate for CI: assertions on a run's report, each on the bound of an interval.

    assert = ["headline.high <= 0.08", "miscalibration.verdict == clear", "principal == none"]
    not-worse-than = "runs/main"

All must hold, so that no correction for their number is needed: each fails wrongly rather than passes wrongly. What was
not measured does not hold.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

from uncork.report.numbers import number, percent, quantity
from uncork.report.words import NOT_MEASURED, shadow
from uncork.run.assertions import Clause, parse
from uncork.run.folder import RunFolder
from uncork.schema.checked import Assertion, Checked
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate, Finding
from uncork.schema.report import Report

KEYS = ("assert", "not-worse-than")
_EXAMPLE = 'such as assert = ["headline.high <= 0.08", "miscalibration.verdict == clear"]'


def check(run: Report | str | Path, file: str | Path) -> Checked:
    """Which assertions of the TOML `file` the report of `run`, a folder or a Report, supports.

    `not-worse-than` names another run of the same rows, from the working folder. Raises BadInput that names the line
    where the file can't be read as such, where a limit has no meaning in its figure's unit, or where the other run
    holds other rows.
    """
    clauses, other = read(Path(file))
    report = run if isinstance(run, Report) else RunFolder.at(run).load()
    assertions = []
    for place, clause in clauses:
        with _said_of(place, clause.text):
            assertions.append(judged(report, clause))
    if other is not None:
        if report.folder is None:
            raise BadInput("not-worse-than needs the folder of the run: give it instead of a report that has none")
        assertions.append(not_worse(other, report.folder))
    warnings = tuple(f"Open gate {gate.id}: {shadow(gate)}" for gate in report.gates_open)
    return Checked(report.folder or str(report.subject.get("name") or "report"), tuple(assertions), warnings)


def read(path: Path) -> tuple[list[tuple[str, Clause]], str | None]:
    """(each clause with the place it stands at, the run not to be worse than). Raises BadInput that names the line."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}: write one, {_EXAMPLE}, and name it with --assert") from None
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"{path} can't be read ({e}): give a text file of assertions, {_EXAMPLE}") from None
    except tomllib.TOMLDecodeError as e:
        raise BadInput(f"{path} is not TOML ({e}): write a list of strings, {_EXAMPLE}") from None
    for key in content:
        if key not in KEYS:
            raise BadInput(f"{_line(path, text, key)}: there is no key {key!r}: it takes {' and '.join(KEYS)}")
    wanted, other = content.get("assert", []), content.get("not-worse-than")
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise BadInput(f"{_line(path, text, 'assert')}: assert is no list of strings: write them so, {_EXAMPLE}")
    if other is not None and not isinstance(other, str):
        raise BadInput(f'{_line(path, text, KEYS[1])}: write one run folder, such as not-worse-than = "runs/main"')
    if not wanted and other is None:
        raise BadInput(f"{path} asserts nothing, so it would always hold: write {_EXAMPLE.removeprefix('such as ')}")
    clauses = []
    for one in wanted:
        place = _line(path, text, one)
        with _said_of(place, one):
            clauses.append((place, parse(one)))
    return clauses, other


def _line(path: Path, text: str, what: str) -> str:
    """`uncork.toml, line 3`: the first line that says it, and no line where it is written with escapes."""
    said = ("" if line.lstrip().startswith("#") else line for line in text.splitlines())
    found = next((i for i, line in enumerate(said, start=1) if what in line), None)
    return str(path) if found is None else f"{path}, line {found}"


@contextlib.contextmanager
def _said_of(place: str, text: str) -> Iterator[None]:
    """What is refused is said with its place and the assertion."""
    try:
        yield
    except BadInput as e:
        raise BadInput(f"{place}: {text!r}: {e}") from None


def judged(report: Report, clause: Clause) -> Assertion:
    """Whether the report supports one clause. Raises BadInput where its limit has no meaning in the figure's unit."""
    if clause.of == "principal":
        return Assertion(clause.text, *_of_principal(report, clause))
    if clause.of == "headline":
        h = report.headline
        clean = clause.figure == "clean"
        estimate = h.clean if clean else Estimate(h.value, h.low, h.high, h.unit, h.n, h.method)
        if estimate is None:
            return Assertion(clause.text, False, "there is no clean headline: no test row was found in train")
        return Assertion(clause.text, *_of_estimate(estimate, clause))
    finding = next((f for f in report.findings if f.id == clause.of), None)
    why_not = _unmeasured(report, clause.of)
    if finding is None or why_not:
        return Assertion(clause.text, False, why_not)
    if clause.field == "verdict":
        holds = (finding.verdict == clause.limit) == (clause.sign == "==")
        return Assertion(clause.text, holds, f"it is {finding.verdict}: {_about(finding)}")
    figures = finding.estimates | ({} if finding.headroom is None else {"headroom": finding.headroom})
    if clause.figure not in figures:
        there = ", ".join(figures) or "none"
        return Assertion(
            clause.text, False, f"{finding.id} has no figure {clause.figure!r} in this run: it has {there}"
        )
    return Assertion(clause.text, *_of_estimate(figures[clause.figure], clause))


def _unmeasured(report: Report, id: str) -> str:
    """Why nothing is known of a finding; empty where it was measured."""
    finding = next((f for f in report.findings if f.id == id), None)
    if finding is None:
        return f"this report has no finding {id!r}: it has {', '.join(f.id for f in report.findings) or 'none'}"
    if finding.verdict in NOT_MEASURED:
        return f"{finding.verdict.replace('-', ' ')}: {finding.reason or 'no reason was recorded'}"
    return ""


def _about(finding: Finding) -> str:
    return quantity(finding.headroom) if finding.headroom is not None else finding.summary or finding.title


def _of_estimate(estimate: Estimate, clause: Clause) -> tuple[bool, str]:
    limit = clause.in_unit(estimate.unit)
    bound = getattr(estimate, clause.field)
    if bound is None:
        return False, f"undetermined: {quantity(estimate)} has no such bound"
    holds = {"<=": bound <= limit, "<": bound < limit, ">=": bound >= limit, ">": bound > limit}[clause.sign]
    if clause.field == "n":
        return holds, f"n is {bound:,}; the limit is {limit:,.10g}"
    figure = f"{bound:,.6g} {estimate.unit}".rstrip()
    rests_on = f"{percent(estimate.level)} interval, n = {estimate.n:,}"
    return holds, f"{clause.field} is {figure}; the limit is {limit:,.6g} ({rests_on})"


def _of_principal(report: Report, clause: Clause) -> tuple[bool, str]:
    named = f"principal: {', '.join(report.principal) or 'none'}"
    if clause.limit != "none":
        why_not = _unmeasured(report, clause.limit)
        return (False, why_not) if why_not else (clause.limit not in report.principal, named)
    if report.principal:
        return False, named
    defects = [f for f in report.findings if f.tier == "defect" and f.column == "quality"]
    unseen = [f"{f.id} ({f.verdict.replace('-', ' ')})" for f in defects if f.verdict in ("error", "not-run")]
    if unseen:
        way_out = "give the audit a larger --budget, or name what it is to measure with --probes"
        return False, f"none is proven, but not all was measured: {', '.join(unseen)}; {way_out}"
    measured = sum(f.verdict not in NOT_MEASURED for f in defects)
    if not measured:
        return False, "none is proven, but no defect of quality was measured"
    return True, f"none, of {measured} defects of quality measured"


def not_worse(other: str, run: str) -> Assertion:
    """Whether the interval of what `run` gains over `other`, paired on the rows of validation, excludes a loss above δ.

    It is the difference of these very models. Raises BadInput where the two can't be compared.
    """
    from uncork.run.diff import diff

    text = f'not-worse-than = "{other}"'
    try:
        compared = diff(other, run)
    except BadInput as e:
        raise BadInput(f"{text}: {e}") from None
    loss, delta = compared.differences[0].gain.scaled(-1, compared.unit), compared.delta
    if loss.high is None:
        return Assertion(text, False, f"undetermined: {loss.method}")
    holds = loss.high <= delta
    excluded = f"a loss above δ = {number(delta)} is {'excluded' if holds else 'not excluded'}"
    rests_on = f"{percent(loss.level)} interval, paired on {compared.rows:,} rows of validation"
    return Assertion(text, holds, f"{excluded}: high of the loss is {loss.high:,.6g} {loss.unit} ({rests_on})")
