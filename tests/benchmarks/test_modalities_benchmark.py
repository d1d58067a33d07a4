"""docs/modalities.md says what audits of every kind of subject do."""

from __future__ import annotations

import re

import pytest

from benchmarks import modalities as module

PAGE = module.DOCS / "modalities.md"

#: Probes that train much of their own, so that no test takes long; the last part are all others.
PARTS = {
    "unlabelled": ["unused-unlabelled"],
    "labels": ["label-cost", "poor-transfer"],
    "optimisers": ["ill-conditioning"],
    "engines": ["heavy-deployment", "export-mismatch"],
    "parts": ["idle-parts", "redundant-channels", "untried-settings", "wasted-compute"],
    "others": [],
}


def of_page(kind: str) -> dict[str, str]:
    """By probe the reason that the page gives for this kind, "" where it works."""
    content = PAGE.read_text()
    why = dict(line.split(". ", 1) for line in content.splitlines() if re.match(r"\d+\. ", line))
    lines = content.split("## Remedies")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|"))
    cells = {row[0].strip("*"): row[head.index(kind)] for row in rows}
    return {id: "" if cell == "works" else why[re.sub(r"\D", "", cell)] for id, cell in cells.items()}


def without_numbers(told: dict[str, str]) -> dict[str, str]:
    return {id: re.sub(r"[\d.]+", "#", why) for id, why in told.items()}


def test_the_page_is_read_as_it_is_written(tmp_path, monkeypatch):
    told = {"a": dict.fromkeys(module.registered(), ""), "b": dict.fromkeys(module.registered(), "no 1, no 2")}
    told["a"]["overfitting"] = "another"
    monkeypatch.setattr(f"{__name__}.PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(module.page(told, {"a": {"tune": ""}}))
    assert {kind: of_page(kind) for kind in told} == told


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["ONNX file", "predictions only"])
def test_audits_do_what_the_page_says(kind, part, tmp_path):
    """No finding is an error, each that is not applicable says why, and the page agrees.

    Of the two kinds that are trained nowhere: the others take minutes, and the page is made from their audits.
    """
    heavy = {id for ids in PARTS.values() for id in ids}
    probes = PARTS[part] or [id for id in module.registered() if id not in heavy]
    told = without_numbers(module.reasons(module.audited(kind, tmp_path, probes)))
    page = without_numbers(of_page(kind))
    assert told == {id: page[id] for id in probes}
