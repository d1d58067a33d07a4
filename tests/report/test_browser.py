"""The report in a browser, as its reader meets it: nothing asked of the network, and everything at hand."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from uncork.report.html import render
from uncork.schema.report import Report

from . import chromium
from .chromium import Chromium
from .handmade import NASTY, beside, nasty_beside, nasty_report, treated_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.binary() is None, reason="no Chromium here: apt-get install chromium"),
]
SHOWN = "[...document.querySelectorAll('[data-finding]:not([hidden])')].map(c => c.dataset.name)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    started = Chromium(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render(treated_report(), beside()))
    return path


def choose(browser: Chromium, id: str, value: str) -> None:
    """Types into a field, or takes an option of a list."""
    browser.ask(
        f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('input')) }})(document.getElementById({id!r}))"
    )


def test_asks_for_nothing_and_complains_of_nothing(browser: Chromium, tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(report, beside()))
    browser.open(path)
    assert [r for r in browser.requests if not r.startswith("data:")] == [path.resolve().as_uri()]
    assert browser.complaints == []
    browser.ask("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert browser.ask("window.ran === undefined")  # the policy holds: another script does not run
    assert browser.complaints


def test_hostile_names_and_texts_are_text(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(nasty_report(), nasty_beside()))
    browser.open(path, width=400)
    assert browser.complaints == []
    assert browser.ask("document.scripts.length") == 1
    assert browser.ask("[...document.images].every(i => i.src.startsWith('data:image/png') && i.naturalWidth)")
    assert browser.ask("document.querySelector('h1').textContent") == NASTY.replace("\x1b", "�")
    assert browser.ask("document.documentElement.scrollWidth") == 400


def test_filters_by_text_column_and_verdict(browser: Chromium, page: Path) -> None:
    browser.open(page)
    everything = [f.id for f in treated_report().findings]
    assert sorted(browser.ask(SHOWN)) == sorted(everything)
    choose(browser, "verdict", "not-run")
    assert browser.ask(SHOWN) == ["single-model"]
    assert browser.ask("document.getElementById('count').textContent") == f"1 of {len(everything)} findings"
    assert browser.ask("document.querySelectorAll('[data-group]:not([hidden])').length") == 1
    choose(browser, "verdict", "")
    choose(browser, "column", "trust")
    assert browser.ask(SHOWN) == ["adversarial-fragility"]
    choose(browser, "column", "")
    choose(browser, "text", "contradict  LABELS")
    assert browser.ask(SHOWN) == ["wrong-labels"]
    browser.ask("location.hash = '#undertraining'")  # a link to what is filtered away shows it again
    browser.until(f"{SHOWN}.length === {len(everything)}")


def test_sorts_cards_within_their_group_and_tables_by_a_column(browser: Chromium, page: Path) -> None:
    browser.open(page)
    quality = "[...document.querySelector('#undertraining').parentElement.querySelectorAll('[data-finding]')]"
    ranked = browser.ask(f"{quality}.map(c => c.dataset.name)")
    choose(browser, "order", "size")
    by_size = ["wrong-labels", "undertraining", "missing-capacity", "wrong-family", "rare-classes"]
    assert browser.ask(f"{quality}.map(c => c.dataset.name)") == by_size
    choose(browser, "order", "name")
    assert browser.ask(f"{quality}.map(c => c.dataset.name)") == sorted(by_size)
    choose(browser, "order", "rank")
    assert browser.ask(f"{quality}.map(c => c.dataset.name)") == ranked
    browser.ask("window.t = document.querySelector('#wrong-labels .piece table.sortable')")
    column = "[...t.tBodies[0].rows].map(r => r.cells[0].textContent)"
    for once, expected in enumerate((["17", "403"], ["403", "17"])):
        browser.ask("t.tHead.querySelector('button').click()")
        assert browser.ask(column) == expected
        assert browser.ask("t.tHead.querySelector('th').ariaSort") == ("ascending", "descending")[once]


def test_expands_and_collapses(browser: Chromium, page: Path) -> None:
    browser.open(page)
    count = "document.querySelectorAll('#findings details[open]').length"
    there = browser.ask("document.querySelectorAll('#findings details').length")
    assert 0 < browser.ask(count) < there
    browser.ask("document.getElementById('expand').click()")
    assert browser.ask(count) == there
    browser.ask("document.getElementById('collapse').click()")
    assert browser.ask(count) == 0


def test_copies_a_command(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser("Page.bringToFront")
    browser.ask("document.querySelector('#wrong-labels .copy').click()")
    browser.until("document.querySelector('#wrong-labels .copy').textContent === 'Copied'")
    expected = "uncork treat runs/digits-mlp --remedies relabel,drop-examples"
    assert browser.ask("navigator.clipboard.readText()") == expected


def test_downloads_what_to_relabel(browser: Chromium, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.ask("document.querySelector('a[download=\"relabel.csv\"]').click()")
    browser.ask("new Promise(done => setTimeout(done, 300))")
    for _ in range(50):
        if (tmp_path / "relabel.csv").exists():
            break
        browser.ask("new Promise(done => setTimeout(done, 100))")
    with (tmp_path / "relabel.csv").open() as file:
        assert list(csv.reader(file)) == [["id", "label"], ["id-17", "dog"]]


def test_light_and_dark_by_system_and_by_hand(browser: Chromium, page: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(page)
    light = browser.ask(colour)
    assert browser.ask("theme.textContent") == "Dark"
    browser.ask("theme.click()")
    dark = browser.ask(colour)
    assert (dark != light, browser.ask("theme.textContent")) == (True, "Light")
    browser.open(page, dark=True)
    assert browser.ask(colour) == dark
    browser.ask("theme.click()")
    assert browser.ask(colour) == light


def test_by_keyboard(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.className") == "skip"
    browser.press("Enter", 13, "\r")
    browser.until("document.activeElement.id === 'findings'")
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.id") == "text"
    for _ in range(60):
        browser.press("Tab", 9)
        if browser.ask("document.activeElement.localName") == "summary":
            break
    before = browser.ask("document.activeElement.parentElement.open")
    browser.press("Enter", 13, "\r")
    assert browser.ask("document.activeElement.parentElement.open") is not before


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_nothing_is_wider_than_the_screen(browser: Chromium, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.ask("document.getElementById('expand').click()")
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_without_script_everything_is_visible(browser: Chromium, page: Path) -> None:
    browser.open(page, script=False)
    # With scripts off the page can't be asked; its drawn text can.
    taken = browser("DOMSnapshot.captureSnapshot", computedStyles=[])
    drawn = " ".join(taken["strings"][i] for i in taken["documents"][0]["layout"]["text"] if i >= 0)
    for f in treated_report().findings:
        assert f.title in drawn
        assert f.reason in drawn
    for said in ("Ambiguous is not wrong.", "spike-in bounded", "torch", "2.13.0"):
        assert said in drawn
    assert "Expand all" not in drawn


def test_prints_what_is_folded_and_no_buttons(browser: Chromium, page: Path) -> None:
    browser.open(page, media="print", dark=True)
    assert browser.ask("document.querySelectorAll('details:not([open])').length") > 0
    folded = "[...document.querySelectorAll('details:not(.manual, .about) > :not(summary)')]"
    assert browser.ask(f"{folded}.length") > 4
    assert browser.ask(f"{folded}.every(e => e.checkVisibility() && e.parentElement.offsetHeight > e.offsetHeight)")
    assert browser.ask("getComputedStyle(document.querySelector('.tools')).display") == "none"
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.skipif(importlib.util.find_spec("axe_core_python") is None, reason="pip install axe-core-python")
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(browser: Chromium, tmp_path: Path, report: Report, dark: bool) -> None:
    found = importlib.util.find_spec("axe_core_python")
    assert found is not None
    assert found.origin is not None
    path = tmp_path / "report.html"
    path.write_text(render(dataclasses.replace(report), beside()))
    browser.open(path, width=400 if dark else 1200, dark=dark)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.ask((Path(found.origin).parent / "axe.min.js").read_text() + ";0")
    seen = browser.ask("axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))")
    assert [v for v in seen if v[1] in ("serious", "critical")] == []
    browser.ask("document.body.append(new Image())")  # it would have said so
    assert browser.ask("axe.run({runOnly: ['image-alt']}).then(r => r.violations.length)") == 1
