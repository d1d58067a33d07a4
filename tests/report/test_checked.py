from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from rich.cells import cell_len
from rich.console import Console

from uncork.report.checked import junit, markdown, render, verdict
from uncork.schema.checked import Assertion, Checked

from .handmade import NASTY

HOLDS = Assertion("headline.high <= 0.09", True, "high is 85.3 errors per 1,000; the limit is 90")
FAILS = Assertion("miscalibration.verdict == clear", False, "it is bottleneck: 33 (23 to 42) predictions per 1,000")
RUN = Checked("runs/demo", (HOLDS, FAILS), ("Open checked leaked-examples: don't trust the headline.",))
NASTY_RUN = Checked(NASTY, (Assertion(NASTY, False, NASTY + "\ufffe | a\n| b `c` @someone\n# head"), HOLDS), (NASTY,))


def shown(checked: Checked, width: int = 80) -> str:
    file = io.StringIO()
    render(checked, Console(file=file, width=width))
    return file.getvalue()


def test_the_terminal_says_what_fails_and_why() -> None:
    text = shown(RUN)
    assert "holds  headline.high <= 0.09\n" in text
    assert "FAILS  miscalibration.verdict == clear\n       it is bottleneck: 33 (23 to 42)" in text
    assert text.index("1 of 2 assertions fails.") < text.index("Open checked leaked-examples")
    for checked in (RUN, NASTY_RUN):
        assert max(cell_len(line) for line in shown(checked).splitlines()) <= 80
    assert "\x1b" not in shown(NASTY_RUN)
    assert "[red]" in shown(NASTY_RUN)


def test_the_verdict_counts() -> None:
    assert verdict(Checked("r", (HOLDS,))) == "The assertion holds."
    assert verdict(Checked("r", (FAILS,))) == "The assertion fails."
    assert verdict(Checked("r", (HOLDS, HOLDS))) == "All 2 hold."
    assert verdict(Checked("r", (FAILS, HOLDS, FAILS))) == "2 of 3 assertions fail."


def test_junit_has_a_case_for_each_and_the_reason() -> None:
    suites = ElementTree.fromstring(junit(RUN))
    assert (suites.get("tests"), suites.get("failures")) == ("2", "1")
    cases = suites.findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == [HOLDS.text, FAILS.text]
    assert cases[0].find("failure") is None
    assert cases[1].find("failure").get("message") == FAILS.found
    assert suites.find("testsuite/system-err").text == RUN.warnings[0]
    assert ElementTree.fromstring(junit(Checked("r", (HOLDS,)))).find("testsuite/system-err") is None


def test_junit_escapes_everything() -> None:
    suites = ElementTree.fromstring(junit(NASTY_RUN))
    assert len(list(suites.iter())) == len(list(ElementTree.fromstring(junit(RUN)).iter()))
    name = suites.find("testsuite/testcase").get("name")
    assert "<script>alert(1)</script>" in name
    assert not re.search("[\x00-\x08\x0b-\x1f\ufffe\uffff]", "".join(suites.itertext()) + name)


def test_markdown_is_one_table_those_that_fail_first() -> None:
    lines = markdown(RUN).splitlines()
    assert lines[0] == "### ❌ uncork check runs/demo"
    assert "| FAILS | miscalibration.verdict == clear |" in lines[-2]
    assert lines[-1].startswith("| holds | headline.high &#60;= 0.09 |")
    assert markdown(Checked("r", (HOLDS,))).startswith("### ✅")


def test_markdown_is_text_whatever_it_says() -> None:
    text = markdown(NASTY_RUN)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [4, 4, 4, 4]
    for row in (row for row in text.splitlines() if "script" in row):
        body = row.removeprefix("### ").removeprefix("> ")
        assert not re.search(r"[<>`*@\[\]]|#(?!\d+;)", body), row
