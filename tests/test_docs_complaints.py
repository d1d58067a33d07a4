"""docs/complaints.md and its translation: figures stand in the pages beside them, and commands, ids and pages exist."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from uncork.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENGLISH, CHINESE = "complaints.md", "complaints.zh.md"

FIGURE = re.compile(r"[−-]?[\d.,]*\d(?:e[+-]\d+)?(?: %)? (?:\([^()]+ to [^()]+\)|± [\d.]*\d)(?: %)?")
NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
LINK = re.compile(r"\]\(([^)]+)\)")
CODE = re.compile(r"`([^`]+)`")


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without the heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    heads = {at - 1 for at, row in enumerate(cells) if row[0] == "---"}
    return [row for at, row in enumerate(cells) if at not in heads and row[0] != "---"]


def paragraphs(text: str) -> list[str]:
    """What is not in a table, line breaks as spaces."""
    blocks = re.split(r"\n\n|\n(?=\* )", "\n".join(line for line in text.splitlines() if not line.startswith("|")))
    return [" ".join(block.split()) for block in blocks]


@cache
def page(name: str) -> str:
    """A page of docs with every run of spaces as one; empty where there is none."""
    path = DOCS / name
    return " ".join(path.read_text().split()) if path.is_file() else ""


@cache
def ids(folder: str) -> set[str]:
    return {path.stem.replace("_", "-") for path in (ROOT / "src/uncork" / folder).glob("[a-z]*.py")}


@cache
def commands() -> dict[str, set[str]]:
    """The options of each command."""
    group = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in group.commands.items()
    }


def unknown(code: str) -> list[str]:
    """What the code names that uncork has not: a command, an option, a probe, a remedy."""
    if not code.startswith("uncork "):
        names = [code] if re.fullmatch(r"[a-z]+(-[a-z]+)*", code) else []
        return [name for name in names if name not in ids("probes") | ids("remedies")]
    _, command, *words = code.split()
    if command not in commands():
        return [command]
    found = [word for word in words if word.startswith("--") and word not in commands()[command]]
    for option, word in pairwise(words):
        if option in ("--probes", "--remedies"):
            found += sorted(set(word.split(",")) - ids(option.strip("-")))
    if command in ("probes", "remedies"):
        found += [word for word in words if word != "NAME" and word not in ids(command)]
    return found


def unfounded(passage: str) -> list[str]:
    """Figures that no page linked in the passage has; where there are links, other numbers that stand in none too."""
    pages = [page(name) for name in LINK.findall(passage)]
    plain = CODE.sub("", LINK.sub("]", passage))
    quoted = FIGURE.findall(plain)
    if pages:
        quoted += NUMBER.findall(FIGURE.sub(" ", plain))
    return [each for each in quoted if not any(stands(each, text) for text in pages)]


def stands(quoted: str, text: str) -> bool:
    before = (
        r"\d.,−-" if FIGURE.fullmatch(quoted) else r"\d.,"
    )  # a figure with its sign; ResNet-20 is no number below 0
    return re.search(rf"(?<![{before}]){re.escape(quoted)}(?!\d)", text) is not None


def problems(text: str) -> list[str]:
    found = [f"no page {name}" for name in LINK.findall(text) if not (DOCS / name).is_file()]
    found += [f"unknown: {name}" for code in CODE.findall(text) for name in unknown(code)]
    for row in rows(text):
        if len(row) != 4:
            found.append(f"{len(row)} cells: {row[0]}")
        elif not LINK.search(row[2]) and NUMBER.search(row[2]):
            found.append(f"a number without its page: {row[2]}")
    for passage in [cell for row in rows(text) for cell in row[1:]] + paragraphs(text):
        found += [f"not in its page: {quoted} of {passage}" for quoted in unfounded(passage)]
    return found


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_figures_stand_in_their_pages_and_all_that_is_named_exists(name: str) -> None:
    text = (DOCS / name).read_text()
    assert problems(text) == []
    assert len(FIGURE.findall(text)) > 60
    assert (CHINESE if name == ENGLISH else ENGLISH) in LINK.findall(paragraphs(text)[1])


def test_both_languages_say_the_same() -> None:
    english, chinese = ((DOCS / name).read_text() for name in (ENGLISH, CHINESE))
    assert len(rows(english)) == len(rows(chinese))
    for a, b in zip(rows(english), rows(chinese), strict=True):
        for one, other in zip(a, b, strict=True):
            for pattern in (FIGURE, NUMBER, LINK, CODE):
                assert sorted(pattern.findall(one)) == sorted(pattern.findall(other)), (one, other)
    assert english.count("\n## ") == chinese.count("\n## ")
    assert english.count("\n* ") == chinese.count("\n* ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("194 (184 to 203)", "194 (184 to 204)"),  # another interval
        ("75 of 6,735", "76 of 6,735"),  # another count
        ("42.7 % ± 2.3", "42.7 % ± 2.2"),
        ("[guard](guard.md)", "[shift](shift.md)"),  # a page that does not say so
        ("](guard.md)", "](guards.md)"),
        ("uncork diff runs/a", "uncork compare runs/a"),
        ("--probes leaked-examples", "--probes leaked-rows"),
        ("--remedies contract", "--remedy contract"),
        ("`isotonic`", "`isotone`"),
    ],
)
def test_what_is_wrong_is_found(old: str, new: str) -> None:
    line = next(line for line in (DOCS / ENGLISH).read_text().splitlines() if old in line)
    assert problems(line) == []
    assert problems(line.replace(old, new, 1))
