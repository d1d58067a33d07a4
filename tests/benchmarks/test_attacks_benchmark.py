"""The benchmark of attacks: its arithmetic, and two nets whose truth is known, on a few rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.attacks import cifar, line, main, mnist, ours, page


def test_slices_are_added_up() -> None:
    slices = [
        {"rows": 100, "clean": 99, "after": [97, 96], "seconds": 2.4},
        {"rows": 100, "clean": 97, "after": [95, 94], "seconds": 2.4},
    ]
    assert line("set", slices) == "| set: 200 | 98.00 % | 95.00 % (91.00 to 97.58) | 96.00, 95.00 | 5 |"


def test_the_page_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = [{"rows": 500, "clean": 460, "after": [0], "seconds": 9.0}]
    (tmp_path / "cifar-8.json").write_text(json.dumps(part))
    text = page(tmp_path)
    assert "| 8/255, uncork: 500 | 92.00 % | 0.00 % (0.00 to 0.74) | 0.00 | 9 |" in text
    assert "Not measured: the standard set; Square alone." in text
    main(["--page", "--out", str(tmp_path)])
    assert capsys.readouterr().out.strip() == text.strip()
    with pytest.raises(SystemExit):
        main(["--part", "svhn", "--out", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_certified_net_holds_as_often_as_proven(shared_data: Path) -> None:
    """At least .941 of all test images hold: of these 40 fewer than 32 with a chance of 1e-3. Some must fall."""
    model, x, y = mnist(shared_data)
    x, y = x[200:240], y[200:240]
    found = ours(model, 0.1)(x, y)
    assert 32 <= found["after"][-1] <= found["clean"]
    alone = ours(model, 0.1, ("Square",))(x, y)
    assert alone["after"][-1] >= found["after"][-1]
    assert ours(model, 0.4)(x, y)["after"][-1] < 8


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_plain_net_falls_at_8_of_255(shared_data: Path) -> None:
    model, x, y = cifar(shared_data)
    found = ours(model, 8 / 255)(x[:32], y[:32])
    assert found["clean"] >= 28
    assert found["after"] == [0, 0, 0, 0]
