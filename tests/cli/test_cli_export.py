"""`uncork export`: what it writes and says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Cli

pytest.importorskip("onnxscript")

BODY = """
net.weight.data, net.bias.data = torch.tensor([[-9.0, 0, 0, 0], [9.0, 0, 0, 0]]), torch.zeros(2)
subject = Subject(net, test=Split(x[:100], y[:100]), validation=Split(x[100:300], y[100:300]))
"""


@pytest.mark.slow
def test_export_writes_one_file(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    assert cli("audit", subject_file(BODY), "--probes", "miscalibration", "--pool", "off", "-q").code == 0
    said = cli("export", "runs/s", "m.onnx")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[:2] == [
        "of 200 rows of validation, given another class: 0",
        "answered by one of the two, handed over by the other: 0",
    ]
    assert lines[2].startswith("largest difference of a logit: ")
    size = (tmp_path / "m.onnx").stat().st_size
    assert lines[3] == f"m.onnx: {size:,} bytes; takes x; gives class, confidence, answered, logits"
    for arguments, message in (
        (("runs/s", "m.onnx", "--which", "treated"), "runs/s holds no treated.json"),
        (("runs/s", "m.onnx", "--which", "best"), "which is 'best': give audited, treated, patched"),
        (("runs/s", "nowhere/m.onnx"), "nowhere"),
        (("runs/none", "m.onnx"), "runs/none"),
    ):
        refused = cli("export", *arguments)
        assert refused.code == 2
        assert message in refused.message
    assert (tmp_path / "m.onnx").stat().st_size == size


def test_help_says_which_models_there_are(cli: Cli) -> None:
    said = cli("export", "--help")
    assert said.code == 0
    assert "audited|treated|patched" in said.out
