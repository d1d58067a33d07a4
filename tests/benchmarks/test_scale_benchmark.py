"""Probes of predictions alone are linear in the rows, and a million fit in 3 GB."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale as module


def test_slope_of_a_power():
    rows = np.array(module.SIZES)
    assert module.slope(rows, 3 * rows**1.5) == pytest.approx((1.5, 0), abs=1e-6)


def test_the_page_keeps_the_promise():
    content = (module.DOCS / "scale.md").read_text()
    rows = [line.strip("|").split("|") for line in content.splitlines() if line.startswith("| ")][2:]
    assert {row[0].strip() for row in rows} == {*module.PROBES, module.REST}
    for row in rows:
        assert float(row[-1]) <= 3, row
        low = re.findall(r"\((-?[\d.]+) to", row[-2])
        assert float(low[0]) <= 1.1, row  # no more than linear, as far as five sizes can tell


@pytest.mark.slow
@pytest.mark.parametrize("probe", module.PROBES)
def test_memory_grows_slowly_enough_for_a_million_rows(tmp_path: Path, probe: str):
    """2,300 bytes a row are what 3 GB at 1,000,000 rows leave, beside 0.6 GB at the start and the map's own 0.1."""
    module.make(tmp_path, 150_000)
    peaks = []
    for rows in (20_000, 150_000):
        command = [sys.executable, "-m", "benchmarks.scale", "--one", str(tmp_path), probe, str(rows)]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
        peaks.append(json.loads(done.stdout.splitlines()[-1])["gb"])
    assert (peaks[1] - peaks[0]) * 1e9 / 130_000 < 2_300
