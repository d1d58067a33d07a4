"""A treatment that is stopped goes on: what was trained is not trained again, and the report is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from run_helpers import rows, small, timeless
from torch import nn
from treat_helpers import Here, trains

from uncork import Recipe, Report, Split, Subject, audit, treat
from uncork.schema.seeds import integer_seed
from uncork.train.loop import fit

LONGEST = 120  # seconds of one run
HERE = str(Path(__file__).parent)
RUN = "from test_run_treat_resume import run; run('{log}', {dying})"


def build() -> nn.Module:
    return nn.Linear(4, 2)


RECIPE = Recipe(build, epochs=4, batch_size=20, lr=0.05)


def subject() -> Subject:
    """Trained on wrong labels: of 10 rows 4 are wrong."""
    x, y = rows(200, 1)
    return small(scale=-0.2, train=Split(x, y), recipe=RECIPE)


@dataclass
class Logged:
    """Trains by the recipe; writes each (side, seed) down, and fails at the `last`-th."""

    log: str
    side: str
    last: int = 0

    def __call__(self, subject: Subject, seed: int) -> nn.Module:
        with open(self.log, "a") as file:
            file.write(f"{self.side} {seed}\n")
        if self.last and len(begun(self.log)) >= self.last:
            raise KeyboardInterrupt
        steps = None if self.side == "planted" else 1
        return fit(subject.recipe, subject.train, seed=integer_seed(seed, "resume"), steps=steps).module


def begun(log: str | Path) -> list[str]:
    return Path(log).read_text().splitlines() if Path(log).exists() else []


def remedy(log: str, last: int = 0) -> Any:
    return trains(Logged(log, "planted", last), Logged(log, "control", last), id="isotonic")


@pytest.fixture
def treated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Treats the run in `folder`, in this process, until the `last`-th model is begun; a ledger for each folder."""
    # What tells trainings apart is not the file that they are written down in, nor when they fail.
    monkeypatch.setattr("uncork.run.trained.code_fingerprint", lambda train: getattr(train, "side", ""))
    monkeypatch.setattr("uncork.run.treat.Executor", lambda *_: Here())

    def go(folder: str, last: int = 0) -> Report:
        place = tmp_path / folder
        monkeypatch.setenv("UNCORK_STATE", str(place / "state"))
        if not (place / "run").exists():
            audit(subject(), out=place / "run", probes=["miscalibration"])
        known = {"isotonic": remedy(str(place / "log"), last)}
        monkeypatch.setattr("uncork.run.worth.known_remedies", lambda: known)
        return treat(place / "run", remedies=["isotonic"], subject=subject())

    return go


def told(report: Report) -> dict[str, Any]:
    """The report without times."""
    content = timeless(report)
    for treatment in content["treatments"]:
        treatment["side_effects"] = [e for e in treatment["side_effects"] if not e["name"].startswith("latency")]
    return content


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("run/artifacts/trained-*.safetensors"))


def test_what_was_trained_is_not_trained_again(treated: Callable[..., Report], tmp_path: Path) -> None:
    expected = told(treated("whole"))
    jobs = begun(tmp_path / "whole/log")
    assert len(set(jobs)) == len(jobs) == 10
    assert expected["treatments"][0]["verdict"] == "helps"

    with pytest.raises(KeyboardInterrupt):
        treated("stopped", last=5)
    assert len(kept(tmp_path / "stopped")) == 4, "the fifth was only begun"
    assert not (tmp_path / "stopped/run/treated").exists()
    assert told(treated("stopped")) == expected
    again = Counter(begun(tmp_path / "stopped/log"))
    assert again == Counter(jobs) + Counter({jobs[4]: 1})
    assert [p.name for p in kept(tmp_path / "stopped")] == [p.name for p in kept(tmp_path / "whole")]

    # Given once more it trains nothing, and opens test no further.
    assert told(treated("stopped")) == expected
    assert Counter(begun(tmp_path / "stopped/log")) == again


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def other_weights(content: bytes) -> bytes:
    """One bit of the last weight: still a file that can be read."""
    return content[:-1] + bytes([content[-1] ^ 64])


@pytest.mark.parametrize("damage", [half, other_weights, lambda content: b""], ids=["half", "a bit", "empty"])
def test_what_is_damaged_is_trained_again(
    damage: Callable[[bytes], bytes], treated: Callable[..., Report], tmp_path: Path
) -> None:
    expected = told(treated("run"))
    path = kept(tmp_path / "run")[0]
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert told(treated("run")) == expected
    assert len(begun(tmp_path / "run/log")) == 11
    assert whole in [p.read_bytes() for p in kept(tmp_path / "run")]


def test_another_train_is_trained_anew(treated: Callable[..., Report], tmp_path: Path) -> None:
    """The same remedy, seeds and recipe: what was kept of other labels is not taken for it."""
    from uncork.remedies._contract import Treated
    from uncork.run.trained import Trainer

    train, folder = subject().train, tmp_path / "models"
    folder.mkdir()
    make = Trainer(Here(), folder)
    log = str(tmp_path / "log")
    for y in (train.y, 1 - train.y, train.y):
        make([(Treated(subject().replace(train=train.with_y(y)), "", Logged(log, "planted")), 0)], "")
    make([(Treated(subject().replace(recipe=RECIPE.replace(lr=0.1)), "", Logged(log, "planted")), 0)], "")
    make([(Treated(subject(), "", Logged(log, "planted")), 1)], "")
    make([(Treated(subject(), "", Logged(log, "planted")), 0)], "another model before")
    assert len(begun(log)) == 5
    assert len(list(folder.iterdir())) == 5


# Killed.


def run(log: str, dying: int) -> None:
    """What is killed: the treatment of the run in the folder it is started in, as the `dying`-th model is written."""
    from uncork.run import trained, worth

    keep, written = trained._keep, 0

    def mortal(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == dying:
            os.killpg(0, signal.SIGKILL)
        keep(*arguments)

    trained._keep = mortal
    known = {"isotonic": remedy(log)}
    worth.known_remedies = lambda: known  # type: ignore[assignment]
    if not Path("run").exists():
        audit(subject(), out="run", probes=["miscalibration"])
    treat("run", remedies=["isotonic"], subject=subject())


def given(place: Path, dying: int = 0) -> int:
    """The command in a process group of its own; its exit status."""
    place.mkdir(exist_ok=True)
    paths = [HERE, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(log="log", dying=dying)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "UNCORK_STATE": str(place / "state")},
        start_new_session=True,
        timeout=LONGEST,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.slow
def test_killed_and_given_again(tmp_path: Path) -> None:
    """kill -9 as the third model is to be written; real processes train."""
    assert given(tmp_path / "whole") == 0
    expected = told(Report.from_json((tmp_path / "whole/run/report.json").read_text()))
    place = tmp_path / "killed"
    assert given(place, dying=3) == -signal.SIGKILL
    assert len(kept(place)) == 2
    stored = {p.name: p.stat().st_mtime_ns for p in kept(place)}
    assert given(place) == 0
    assert told(Report.from_json((place / "run/report.json").read_text())) == expected
    now = {p.name: p.stat().st_mtime_ns for p in kept(place)}
    assert {name: now[name] for name in stored} == stored
    assert list(now) == [p.name for p in kept(tmp_path / "whole")]
