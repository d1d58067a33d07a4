"""The page of one case: safe, loads nothing, and shows what the case says."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from uncork.report.case import opening, page, render
from uncork.report.html import POLICY
from uncork.report.pixels import png
from uncork.schema.case import Attack, Case, Map, Near, Odds, Picture, Shown
from uncork.schema.finding import Detail, Estimate

from .handmade import NASTY
from .test_html import Page

PICTURE = Picture(2, 3, bytes(range(18)))
WHERE = Detail("map", "Where", {"x": [0.0, 1.0], "y": [0.0, 2.0], "group": ["right", "this case"]}, "t-SNE.")
CASE = Case(
    run="runs/a",
    name="digits",
    split="validation",
    id="17",
    label="3",
    decided="8",
    right=False,
    answered=True,
    odds=(Odds("8", 0.7, 0.6, True), Odds("3", 0.29, 0.38, True), Odds("1", 1e-6, 1e-5, False)),
    temperature=1.7,
    coverage=0.9,
    set_of=400,
    within=None,
    shown=Shown(picture=PICTURE),
    space="features of the model",
    neighbours=(Near("4", "3", "", 0.25, Shown(picture=PICTURE)),),
    mistakes=(Near("9", "3", "8", 0.5, Shown(picture=PICTURE)),),
    baseline="mean of train",
    maps=(Map("occlusion", PICTURE, (), 0.2, 0.7, 0.1, 0.6, Estimate(0.3, 0.2, 0.4, "probability", 48, "t")),),
    members=3,
    trained_on="all of train",
    votes={"3": 2, "8": 1},
    attack=Attack("linf", 0.01, 0.03, "3"),
    where=WHERE,
    absent={},
)
NASTY_CASE = replace(
    CASE,
    name=NASTY,
    run=NASTY,
    id=NASTY,
    label=NASTY,
    decided=NASTY,
    odds=(Odds(NASTY, 0.7, 0.6, True),),
    shown=Shown(text=NASTY),
    neighbours=(Near(NASTY, NASTY, NASTY, 1.0, Shown(text=NASTY)),),
    mistakes=(Near(NASTY, NASTY, NASTY, 1.0, Shown(values=((NASTY, NASTY), ("b", 1.5)))),),
    maps=(Map("occlusion", None, ((NASTY, 1.0), ("b", -0.4)), 0.2, 0.7, 0.1, 0.6),),
    votes={NASTY: 3},
    absent={"map": NASTY},
)


def said(case: Case, width: int = 80) -> str:
    file = io.StringIO()
    render(case, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("case", [CASE, NASTY_CASE])
def test_the_page_is_closed_and_loads_nothing(case: Case) -> None:
    text = page(case)
    read = Page(text)
    assert text.startswith("<!doctype html>")
    assert not read.open
    assert ("meta", "content", POLICY) in read.attributes
    assert not {"script", "iframe", "object", "form", "base"} & set(read.tags)
    assert all(value.startswith("data:") for _, name, value in read.attributes if name in ("src", "href"))
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]


def test_the_page_says_it_all() -> None:
    text = " ".join(Page(page(CASE)).text.split())
    for part in (
        "The model decides 8, which is wrong: the label is 3.",
        "It gives 8 a probability of 0.70; 0.60 calibrated.",
        "The set that holds the truth of 90 % of such rows: 8, 3.",
        "the probability goes from 0.70 to 0.10; with random ones to 0.60.",
        "On this run's sample its ranks lower the probability by 0.30 (0.20 to 0.40) more than random ones.",
        "3 models, trained again by the recipe on all of train: 2 decide 3, 1 decide 8.",
        "A change of 0.01 in L∞ makes it 3: within the threat declared, 0.03.",
        "taken for 8",
        "t-SNE.",
    ):
        assert part in text
    assert "Not told" not in text
    assert "no threat was declared" in page(replace(CASE, attack=None, absent={"attack": "no threat was declared"}))


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("case", [CASE, NASTY_CASE])
def test_the_summary_fits(case: Case, width: int) -> None:
    assert max(map(cell_len, said(case, width).splitlines())) <= min(width, 100)
    assert "\x1b" not in said(case)


def test_other_cases() -> None:
    value = replace(CASE, right=None, decided="2.5", label="3.1", odds=(), within=(1.0, 4.0), temperature=None)
    assert opening(value)[:2] == [
        "The model predicts 2.5; the target is 3.1.",
        "The interval that holds the truth of 90 % of such rows: 1 to 4.",
    ]
    empty = replace(CASE, odds=(Odds("8", 0.4, 0.4, False),))
    assert any("it is empty, as no class" in line for line in opening(empty))
    assert "nothing is decided by it" in opening(replace(CASE, split="test"))[-1]
    assert "hands this row over; it would have decided 8" in opening(replace(CASE, answered=False))[0]
    assert "No change was found in L2" in page(replace(CASE, attack=Attack("l2", None, 0.5, "")))
    assert page(replace(CASE, maps=(), neighbours=(), mistakes=(), votes={}, members=0, attack=None, where=None))


def test_the_picture_is_a_png_that_decodes_to_its_bytes() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(256, size=(5, 7, 3), dtype=np.uint8)
    raw = base64.b64decode(png(Picture(5, 7, rgb.tobytes())).removeprefix("data:image/png;base64,"))
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(raw):
        size = struct.unpack(">I", raw[at : at + 4])[0]
        kind, content = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]
        assert struct.unpack(">I", raw[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + content)
        chunks[kind], at = content, at + 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (7, 5, 8, 2, 0, 0, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 22)
    assert (lines[:, 0] == 0).all()
    np.testing.assert_array_equal(lines[:, 1:].reshape(5, 7, 3), rgb)
