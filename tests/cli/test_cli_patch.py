"""`uncork patch`: what it says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli_helpers import Cli

#: Right but for five rows of validation, alike and far from all others.
BODY = """
x[295:300] = np.float32([8, 8, 8, 8]) + 0.05 * x[295:300]
y[295:300] = 0
net.weight.data, net.bias.data = torch.tensor([[-9.0, 0, 0, 0], [9.0, 0, 0, 0]]), torch.zeros(2)
subject = Subject(net, test=Split(x[:100], y[:100]), validation=Split(x[100:300], y[100:300]))
"""


def test_patch_and_take_it_back(cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    assert cli("audit", subject_file(BODY), "--probes", "miscalibration", "--pool", "off", "-q").code == 0
    (tmp_path / "c.csv").write_text("id,label\n195,0\n196,0\n")
    said = cli("patch", "runs/s", "c.csv")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "of the rows named, decided as asked: 1.00 (0.16 to 1.00)"
    assert [line.split(":")[0] for line in lines[1:3]] == [
        "of near copies of the mistakes, decided right before",
        "of near copies of the mistakes, decided right now",
    ]
    assert lines[-1] == "corrections: 2; the model: load_treated('runs/s/patched')"
    assert cli("patch", "runs/s", "c.csv", "-q").out == ""
    assert (
        cli("patch", "runs/s", "--revert", "195,196").out
        == "no correction; the model: load_treated('runs/s/patched')\n"
    )
    for arguments, message in (
        ((), "there is nothing to correct: give a table with columns id and label"),
        (("none.csv",), "none.csv: there is no such file"),
        (("--revert", "195"), "holds no correction of validation:195: it holds none"),
        (("c.csv", "--on", "nowhere"), "on is 'nowhere': there are rows of"),
    ):
        refused = cli("patch", "runs/s", *arguments)
        assert refused.code == 2
        assert message in refused.message
