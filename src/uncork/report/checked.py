"""What `uncork check` found: in a terminal, as JUnit XML, and as Markdown for a pull request."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from uncork.report.numbers import clean
from uncork.schema.checked import Checked

_WIDEST = 100
_WORDS = {True: "holds", False: "FAILS"}
_STYLES = {True: "green", False: "bold red"}
#: What Markdown or HTML would read as more than text.
_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|<>&@~$\"':]")


def render(checked: Checked, console: Console) -> None:
    """Prints every assertion with what the report says of it: 80 columns, readable without colour."""
    width = min(console.width, _WIDEST)

    def say(text: str, style: str = "", indent: int = 0) -> None:
        shown = Text(clean(text), style=style, overflow="fold")
        console.print(Padding(shown, (0, 0, 0, indent), expand=False), width=width)

    say(f"uncork check · {checked.run}", "bold")
    for assertion in checked.assertions:
        console.print()
        say(f"{_WORDS[assertion.holds]}  {assertion.text}", _STYLES[assertion.holds])
        say(assertion.found, indent=7)
    console.print()
    say(verdict(checked), _STYLES[checked.holds])
    for warning in checked.warnings:
        say(warning, "bold red")


def verdict(checked: Checked) -> str:
    """`1 of 3 assertions fails.`, or that all hold."""
    failed, all_ = len(checked.failed), len(checked.assertions)
    if all_ == 1:
        return f"The assertion {'fails' if failed else 'holds'}."
    return f"{failed} of {all_} assertions {'fails' if failed == 1 else 'fail'}." if failed else f"All {all_} hold."


def junit(checked: Checked) -> str:
    """Text of a JUnit XML file: a test case for each assertion, its reason in the failure."""
    counts = {"tests": str(len(checked.assertions)), "failures": str(len(checked.failed)), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(f"uncork check {checked.run}"), **counts})
    for assertion in checked.assertions:
        about = {"classname": _xml(f"uncork {checked.run}"), "name": _xml(assertion.text)}
        case = ElementTree.SubElement(suite, "testcase", about)
        if assertion.holds:
            ElementTree.SubElement(case, "system-out").text = _xml(assertion.found)
        else:
            failure = ElementTree.SubElement(case, "failure", {"message": _xml(assertion.found)})
            failure.text = _xml(f"{assertion.text}: {assertion.found}")
    if checked.warnings:
        ElementTree.SubElement(suite, "system-err").text = _xml("\n".join(checked.warnings))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Without the two characters beyond `clean` that XML has no place for."""
    return clean(text).replace("\ufffe", "�").replace("\uffff", "�")


def markdown(checked: Checked) -> str:
    """A table of the assertions, those that fail first, every cell plain text."""
    lines = [f"### {'✅' if checked.holds else '❌'} uncork check {plain(checked.run)}", "", f"{verdict(checked)}", ""]
    lines += [f"> ⚠️ {plain(warning)}\n" for warning in checked.warnings]
    lines += ["| | assertion | found |", "|---|---|---|"]
    for assertion in (*checked.failed, *(a for a in checked.assertions if a.holds)):
        lines.append(f"| {_WORDS[assertion.holds]} | {plain(assertion.text)} | {plain(assertion.found)} |")
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text that no Markdown reads as more, on one line."""
    return _MARKUP.sub(lambda m: f"&#{ord(m[0])};", " ".join(clean(text).split()))
