from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from uncork.report.html import POLICY, render
from uncork.report.numbers import clean, interval
from uncork.report.words import opening
from uncork.schema.finding import Detail
from uncork.schema.report import Report

from .handmade import NASTY, errors, nasty_report, nothing_applicable_report, quality_report, treated_report

VOID = {"meta", "link", "br"}
ELEMENTS = (
    "html head meta title link style body main header section article figure figcaption details summary "
    "h1 h2 h3 p span code pre br div dl dt dd table thead tbody tr th td "
    "svg g line text circle rect path polygon polyline"
)


class Page(HTMLParser):
    """The elements, attributes and text of a page; notes what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_loads_nothing_and_runs_nothing(report: Report) -> None:
    text = render(report)
    assert text.startswith("<!doctype html>")
    page = Page(text)
    assert not page.open
    assert set(page.tags) <= set(ELEMENTS.split())
    names = {name for _, name, _ in page.attributes}
    assert not {n for n in names if n.startswith("on") or n in ("src", "srcset", "style", "action", "xlink:href")}
    assert {value for _, name, value in page.attributes if name == "href"} == {"data:,"}
    assert not re.search(r"url\(|@import|https?://", text)
    assert ("meta", "content", POLICY) in page.attributes
    assert "script-src" not in POLICY
    assert "default-src 'none'" in POLICY
    text.encode()  # no lone surrogates


def test_same_words_as_the_terminal(report: Report) -> None:
    page = Page(render(report)).text.replace("\xa0", " ")
    for line in opening(report):
        assert clean(line) in page


def test_nasty_text_stands_there_as_text() -> None:
    page = Page(render(nasty_report()))
    assert page.text.count("<script>alert(1)</script>") > 20
    assert page.text.count(clean(NASTY)) > 20
    assert "\x1b" not in page.text


def test_svg_is_well_formed(report: Report) -> None:
    for picture in re.findall(r"<svg.*?</svg>", render(report), re.DOTALL):
        ElementTree.fromstring(picture)


def test_figures_are_the_reports() -> None:
    report = treated_report()
    text = Page(render(report)).text
    for f in report.findings:
        for e in ([f.headroom] if f.headroom else []) + list(f.estimates.values()):
            assert interval(e) in text
            assert e.method in text
    for t in report.treatments:
        for gain in (t.predicted, t.realised, t.against_control):
            assert gain is None or interval(gain) in text
    assert "beside it, on validation: log-loss 0.310 (0.280 to 0.340) → 0.290 (0.260 to 0.320) nats" in text
    assert "uncork treat runs/digits-mlp --remedies relabel,drop-examples" in text


def test_reasons_are_never_hidden() -> None:
    for report in (quality_report(), nothing_applicable_report()):
        text = Page(render(report)).text
        for f in report.findings:
            assert f.reason in text
            assert f.id in text


def test_undetermined_says_what_could_have_been_seen() -> None:
    text = Page(render(quality_report())).text
    assert "A headroom under 15 would likely have gone unproven; about 4,100 rows would settle it." in text


def test_one_heading_of_the_first_rank_and_none_skipped(report: Report) -> None:
    ranks = [int(t[1]) for t in Page(render(report)).tags if t in ("h1", "h2", "h3")]
    assert ranks.count(1) == 1
    assert ranks[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(ranks))


@pytest.mark.parametrize("kind", ["table", "examples", "curve", "histogram", "matrix", "map"])
def test_evidence_of_the_wrong_form_is_named_and_sinks_nothing(kind: str) -> None:
    base = quality_report()
    broken = Detail(kind, "Broken", {"x": [1], "rows": 3})  # type: ignore[arg-type]
    first = dataclasses.replace(base.findings[0], details=(broken,))
    text = Page(render(dataclasses.replace(base, findings=(first,)))).text
    assert f"This evidence does not have the form of a {kind}" in text


def test_headrooms_are_not_summed() -> None:
    text = Page(render(quality_report())).text
    assert "must not be added up" in text
    assert interval(errors(33, 15.2, 51.4)) not in text


def test_what_was_read_back_renders_the_same(report: Report) -> None:
    again = dataclasses.replace(Report.from_json(report.to_json()), folder=report.folder)
    assert render(again) == render(report)
