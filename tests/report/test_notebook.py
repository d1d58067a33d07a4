from __future__ import annotations

from html.parser import HTMLParser

from uncork.report.notebook import render
from uncork.report.words import NOT_MEASURED, opening
from uncork.schema.report import Report

from .handmade import NASTY, nasty_report, quality_report, treated_report

ALLOWED = {"div", "p", "strong", "table", "tbody", "tr", "th", "td", "code", "br"}


class Seen(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_says_what_the_report_says(report: Report) -> None:
    seen = Seen(render(report))
    assert set(seen.tags) <= ALLOWED
    assert seen.attributes <= {"style", "colspan"}
    if report.subject.get("name") != NASTY:
        assert all(line in seen.text for line in opening(report))
        for f in report.findings:
            assert f.id in seen.text
            assert f.verdict not in NOT_MEASURED or f.reason in seen.text


def test_user_text_is_text() -> None:
    page = render(nasty_report())
    assert "<script>alert(1)</script>" in Seen(page).text
    assert "<script" not in page
    assert "\x1b" not in page


def test_a_notebook_finds_it() -> None:
    assert quality_report()._repr_html_() == render(quality_report())
    assert "21 (9 to 33) errors per 1,000" in Seen(render(treated_report())).text
