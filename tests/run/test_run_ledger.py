"""The ledger: what counts as an opening of a test split, and that none is lost."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from uncork import BadInput
from uncork.run import ledger
from uncork.stats.multiplicity import alpha_of_opening


def test_the_same_question_is_no_new_opening() -> None:
    assert [ledger.open_test("rows", q) for q in ("a", "a", "b", "a", "b", "c")] == [1, 1, 2, 1, 2, 3]
    assert ledger.open_test("other rows", "b") == 1
    assert [json.loads(line)["question"] for line in ledger.path().read_text().splitlines()] == ["a", "b", "c", "b"]


def test_openings_spend_less_and_less() -> None:
    first = alpha_of_opening(1)
    assert first == pytest.approx(0.05 * 6 / math.pi**2)
    assert alpha_of_opening(2) == pytest.approx(first / 4)
    assert sum(alpha_of_opening(k) for k in range(1, 10_000)) < 0.05


@pytest.mark.parametrize("damage", ["{", '{"rows": "r"}', "[]", "3", ""])
def test_a_damaged_line(damage: str) -> None:
    ledger.open_test("rows", "a")
    with ledger.path().open("a") as file:
        file.write(damage + "\n")
    before = ledger.path().read_bytes()
    message = rf"line 2 of {ledger.path()} is damaged: it counts the openings of test splits; mend the line, or move"
    with pytest.raises(BadInput, match=message):
        ledger.open_test("rows", "b")
    assert ledger.path().read_bytes() == before


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ledger.path() == tmp_path / "state" / "openings.jsonl"
    monkeypatch.delenv("UNCORK_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert ledger.path() == Path("/x/uncork/openings.jsonl")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert ledger.path() == Path("/h/.local/state/uncork/openings.jsonl")


OPEN = """
import sys
from uncork.run.ledger import open_test
for i in range(30):
    print(open_test("rows", f"{sys.argv[1]}-{i}"))
"""


def test_processes_side_by_side_get_numbers_of_their_own() -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", OPEN, name], stdout=subprocess.PIPE, env=os.environ) for name in "ab"
    ]
    numbers = [int(n) for process in started for n in process.communicate()[0].split()]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(numbers) == list(range(1, 61))
