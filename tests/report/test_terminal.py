from __future__ import annotations

import io

from rich.cells import cell_len
from rich.console import Console

from uncork.report import terminal
from uncork.report.words import MULTIPLICITY, opening
from uncork.schema.report import Report

from .handmade import NASTY, gates_report, nasty_report, nothing_applicable_report, quality_report, treated_report


def shown(report: Report, width: int = 80, color: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=color, color_system="standard" if color else None)
    terminal.render(report, console)
    return file.getvalue()


def squeezed(text: str) -> str:
    """Without the line breaks and padding that wrapping put in."""
    return "".join(text.split())


def test_fits_80_columns_and_opens_with_the_shared_words(report: Report) -> None:
    text = shown(report)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    if report.subject.get("name") != NASTY:
        assert squeezed("".join(opening(report))) in squeezed(text)
    assert squeezed(MULTIPLICITY) in squeezed(text)


def test_fits_40_columns_and_does_not_sprawl_at_300() -> None:
    assert max(map(cell_len, shown(treated_report(), 40).splitlines())) <= 40
    assert max(map(cell_len, shown(treated_report(), 300).splitlines())) <= 100


def test_user_text_is_neither_markup_nor_escape_sequence() -> None:
    text = shown(nasty_report(), color=True)
    assert "[red]" in text
    assert "\x1b[31m Donau" not in text
    assert "�[31m" in text


def test_every_finding_stands_there_with_its_reason() -> None:
    for report in (quality_report(), nothing_applicable_report()):
        text = squeezed(shown(report))
        for f in report.findings:
            assert squeezed(f.id) in text
            assert squeezed(f.reason) in text


def test_open_gates_come_first() -> None:
    text = shown(gates_report())
    assert text.index("Open gate") < text.index("principal bottleneck") < text.index("GATES") < text.index("QUALITY")


def test_treatments_show_predicted_realised_and_control() -> None:
    text = shown(treated_report())
    row = next(line for line in text.splitlines() if line.startswith("relabel "))
    assert [part.strip() for part in row.split("  ") if part.strip()] == [
        "relabel",
        "21 (9 to 33)",
        "18 (6 to 30)",
        "15 (4 to 26)",
        "helps, kept",
    ]
    assert "beside it, on validation: log-loss 0.310" in text
    assert "RuntimeError: no memory" in text
    assert "runs/digits-mlp/report.html" in text
