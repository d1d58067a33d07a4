from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from uncork.report import brief
from uncork.report.html import policy, render
from uncork.report.numbers import clean, interval
from uncork.report.words import opening
from uncork.schema.beside import Beside, Cases, Mistake
from uncork.schema.case import Picture, Shown
from uncork.schema.finding import Detail
from uncork.schema.report import Report

from .handmade import (
    NASTY,
    beside,
    errors,
    gates_report,
    nasty_beside,
    nasty_report,
    nothing_applicable_report,
    quality_report,
    treated_report,
)

VOID = {"meta", "link", "br", "input", "img"}
ELEMENTS = (
    "html head meta title link style script body main header section article figure figcaption details summary "
    "h1 h2 h3 h4 p a b span code pre br div dl dt dd ul ol li table thead tbody tr th td img blockquote "
    "button label input select option svg g line text circle rect path polygon polyline"
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


def test_loads_nothing_and_runs_one_known_script(report: Report) -> None:
    text = render(report, beside())
    assert text.startswith("<!doctype html>")
    page = Page(text)
    assert not page.open
    assert set(page.tags) <= set(ELEMENTS.split())
    names = {name for _, name, _ in page.attributes}
    assert not {n for n in names if n.startswith("on") or n in ("srcset", "style", "action", "xlink:href")}
    places = {value for _, name, value in page.attributes if name in ("href", "src")}
    assert {p.partition(",")[0] for p in places if not p.startswith("#")} <= {
        "data:",
        "data:text/csv;charset=utf-8",
        "data:image/png;base64",
    }
    assert not re.search(r"url\(|@import|https?://", text)
    assert ("meta", "content", policy()) in page.attributes
    assert page.tags.count("script") == page.tags.count("style") == 1
    for tag in ("script", "style"):
        own = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert own is not None
        digest = base64.b64encode(hashlib.sha256(own[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy()
    assert "unsafe" not in policy()
    text.encode()  # no lone surrogates


def test_every_link_on_the_page_leads_somewhere(report: Report) -> None:
    attributes = Page(render(report, beside())).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {v[1:] for _, name, v in attributes if name == "href" and v.startswith("#")} <= set(ids)
    assert {i for _, name, v in attributes if name == "aria-labelledby" for i in v.split()} <= set(ids)


def test_same_words_as_the_terminal(report: Report) -> None:
    page = Page(render(report)).text.replace("\xa0", " ")
    for line in opening(report):
        assert clean(line) in page


def test_nasty_text_stands_there_as_text() -> None:
    page = Page(render(nasty_report(), nasty_beside()))
    assert page.text.count("<script>alert(1)</script>") > 30
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
        for effect in t.side_effects:
            assert f"{effect.name}{interval(effect.before)}{interval(effect.after)}{effect.after.unit}" in text
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


def test_a_card_has_its_manual_and_its_rows() -> None:
    text = render(quality_report(), beside())
    page = Page(text).text
    for said in ("Which labels are contradicted.", "Ambiguous is not wrong.", "A book, 2021.", "When relabel fails"):
        assert said in page
    assert "Ambiguous" not in Page(render(quality_report())).text
    picture = re.search(r'<img class="pixels" src="data:image/png;base64,([^"]+)"', text)
    assert picture is not None
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
    assert "train id-17" in page
    assert "A text of a row" in page
    assert "says: dog" in page  # the surest mistake


def test_pairs_stand_side_by_side() -> None:
    data = {
        "columns": ["split", "row", "row of train", "distance"],
        "rows": [["validation", 5, 17, 0.1], ["test", 9, 1, 2.0]],
    }
    leak = dataclasses.replace(quality_report().findings[0], details=(Detail("table", "Copies", data),))
    text = Page(render(dataclasses.replace(quality_report(), findings=(leak,)), beside())).text
    assert "validation id-5 beside train id-17" in text
    assert text.count(" beside train ") == 1  # of the other pair no row is known


def test_downloads_hold_the_table_as_it_is() -> None:
    formula = Detail("table", "T", {"columns": ["a", "b"], "rows": [["=1+1", 1 / 3], ['x,"y"', None]]})
    found = dataclasses.replace(quality_report().findings[0], details=(formula,))
    page = Page(render(dataclasses.replace(quality_report(), findings=(found,)), beside()))
    files = [unquote(v.partition(",")[2]) for _, name, v in page.attributes if name == "href" and "csv" in v]
    rows = list(csv.reader(io.StringIO(files[-1])))
    assert rows == [["a", "b"], ["'=1+1", str(1 / 3)], ['x,"y"', ""]]
    assert files[0] == "id,label\nid-17,dog\n"  # relabel.csv, to the letter
    assert "uncork treat runs/digits-mlp --labels relabel.csv" in page.text


def test_the_brief_says_what_to_do_first() -> None:
    gates, treated, bare = gates_report(), treated_report(), quality_report()
    assert brief.steps(gates)[0].command == "uncork treat runs/digits-mlp --remedies deduplicate"
    assert brief.steps(treated)[0].text == "Use the treated model in runs/digits-mlp/treated (relabel): proven on test."
    assert treated.verification is not None
    unproven = dataclasses.replace(treated, verification=dataclasses.replace(treated.verification, proven=False))
    assert brief.steps(unproven)[0].text.startswith("Keep the model as it is: relabel helped on validation")
    unopened = dataclasses.replace(treated, verification=None)
    assert brief.steps(unopened)[0].text.endswith("is better on validation; test was not opened for it.")
    assert brief.steps(nothing_applicable_report())[0].text.startswith("Nothing could be measured here")
    clear = dataclasses.replace(bare, findings=(bare.findings[2],), principal=())
    assert brief.steps(clear)[0].text.startswith("Nothing here is worth mending")
    bounds = dataclasses.replace(bare.findings[4], remedies=("rebalance",))
    trial = brief.steps(dataclasses.replace(bare, findings=(bounds,), principal=()))[0]
    assert trial.command == "uncork treat runs/digits-mlp --remedies rebalance"
    assert [s.finding for s in brief.steps(bare)[:2]] == ["wrong-labels", "undertraining"]
    assert brief.right_and_wrong(bare) == "Of 1,000 predictions about 917 are right and 83 wrong (70 to 97)."
    assert [(r.name, r.proof) for r in brief.removals(treated)][:2] == [
        ("relabel", "realised, proven on test"),
        ("schedule", "tried, undetermined, dropped"),
    ]
    assert any(
        "a gain under 15 errors per 1,000 would likely have gone unproven" in line for line in brief.unseen(bare)
    )
    assert "3 of 10 questions have no answer" in brief.unseen(bare)[-1]
    assert not any("The splits agree" in line for line in brief.unseen(gates))  # a gate promises no gain
    assert brief.costs(bare)[0].command == "uncork treat runs/digits-mlp --dry-run"


def test_stays_small_with_as_many_pictures_as_are_kept() -> None:
    noise = np.random.default_rng(0)
    look = {i: (f"id-{i}", Shown(picture=Picture(64, 64, noise.bytes(3 * 64 * 64)))) for i in range(24)}
    cases = Cases({"train": look, "validation": look}, tuple(Mistake(i, "a", "b", 0.9) for i in range(12)))
    rows = {"split": "train", "rows": list(range(24)), "columns": [], "values": [[]] * 24}
    pairs = {"columns": ["split", "row", "row of train"], "rows": [["validation", i, i] for i in range(12)]}
    kept = (Detail("examples", "A", rows), Detail("examples", "B", rows), Detail("table", "C", pairs))
    found = dataclasses.replace(quality_report().findings[0], details=kept)
    text = render(dataclasses.replace(quality_report(), findings=(found,)), Beside(cases=cases))
    assert text.count("<img") == 24 + 24 + 2 * 12 + 12
    assert len(text.encode()) < 3_000_000
