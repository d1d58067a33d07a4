"""An audit that retrains a pool, killed with kill -9 at any moment: given again it goes on, and reports the same."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import small, split, timeless
from torch import nn

from uncork import Recipe, audit
from uncork.gather._contract import Training
from uncork.gather._members import Member, train_members
from uncork.gather.store import checksum
from uncork.run.folder import RunFolder
from uncork.run.workers import local_count

QUESTIONS = ["wrong-labels", "mistuned-training", "missing-capacity", "scarce-data"]
LONGEST = 120  # seconds of one run
WORKERS = local_count()
HERE = str(Path(__file__).parent)

#: Dies while the first file whose name begins with `dying` is being written: it is there whole, but not yet renamed.
RUN = "from test_pool_resume import run; run('{log}', {stack}, '{dying}')"


def build(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


def logged(log: str, work: Any, batch: list[tuple[Member, np.ndarray]]) -> Any:
    """`train_members`, which says in a file what it begins."""
    with open(log, "a") as file:
        file.write(json.dumps([member.key() for member, _ in batch]) + "\n")
    return train_members(work, batch)


def run(log: str, stack: int, dying: str) -> None:
    """What is killed: an audit in the folder it is started in. The engine comes from plan.json once that is there."""
    from uncork.gather import pool
    from uncork.run import examine

    started = Path("run/plan.json").exists()

    def timed(*_: Any) -> dict[str, Training]:
        assert not started, "the times of the stopped run are taken over"
        return {arm: Training(0.1, stack) for arm in ("", "width-x4", "width-over-4")}

    fsync = os.fsync

    def mortal(handle: int) -> None:
        if dying and Path(os.readlink(f"/proc/self/fd/{handle}")).name.startswith(dying):
            os.killpg(0, signal.SIGKILL)
        fsync(handle)

    os.fsync = mortal
    examine.time_members = timed
    pool.train_members = functools.partial(logged, log)
    recipe = Recipe(build, epochs=40, batch_size=50, lr=0.02)
    audit(small(train=split(300, 1), recipe=recipe), probes=QUESTIONS, out="run", budget="1h")


@dataclass
class Chain:
    """The same command given again and again in one folder, killed each time but the last."""

    place: Path
    stack: int
    kept: dict[str, int] = field(default_factory=dict)
    kills: int = 0

    def __post_init__(self) -> None:
        self.place.mkdir()

    @property
    def log(self) -> Path:
        return self.place / "log"

    def begun(self) -> list[tuple[str, ...]]:
        """The jobs that were begun, in this order: the members of each."""
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def members(self) -> dict[str, int]:
        """The stored members, with the time of writing."""
        return {p.name: p.stat().st_mtime_ns for p in self.place.glob("run/artifacts/member-*")}

    def trains(self, least: int) -> Callable[[], bool]:
        """Whether so many members are stored, and the command to be given trains."""
        before = len(self.begun())
        return lambda: len(self.members()) >= least and len(self.begun()) > before

    @contextmanager
    def started(self, dying: str = "") -> Iterator[subprocess.Popen[str]]:
        """The command, given; its process group is killed at the end, unless it is done by then."""
        paths = [HERE, *filter(None, [os.environ.get("PYTHONPATH")])]
        with subprocess.Popen(
            [sys.executable, "-c", RUN.format(log=self.log, stack=self.stack, dying=dying)],
            cwd=self.place,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(self.place)},
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def killed(self, when: Callable[[], bool], delay: float = 0.0, dying: str = "") -> None:
        """Gives the command, and kills it `delay` seconds after `when`."""
        with self.started(dying) as process:
            until = time.monotonic() + LONGEST
            while process.poll() is None and not when():
                assert time.monotonic() < until, "it hangs"
                time.sleep(0.005)
            time.sleep(delay)
            if process.poll() is not None:
                assert process.stderr is not None
                assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
        self.kills += process.returncode != 0  # a run may also be done by then
        self.check(process.pid)

    def finished(self) -> dict[str, Any]:
        """Gives the command for the last time; the report, without times."""
        with self.started() as process:
            _, said = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, said
        self.check(process.pid)
        return self.report()

    def report(self) -> dict[str, Any]:
        return timeless(RunFolder(self.place / "run").load())

    def check(self, session: int) -> None:
        """Nobody is left of the run, what it stored is whole, and nothing that was there before is written again."""
        until = time.monotonic() + 5
        while left := processes(session):
            assert time.monotonic() < until, f"processes {left} go on"
            time.sleep(0.05)
        now = self.members()
        assert {name: now.get(name) for name in self.kept} == self.kept
        for path in self.place.glob("run/artifacts/[!.]*"):
            assert path.stem.rsplit("-", 1)[1] == checksum(path.read_bytes()), "half-written"
        for path in self.place.glob("run/*.json"):
            json.loads(path.read_text())
        self.kept = now


def processes(session: int) -> list[int]:
    """The living processes of a session, which outlasts whoever began it."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = place.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # gone by now
            continue
        if int(own) == session and state != "Z":
            found.append(int(place.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stack", [1, 6], ids=["one by one", "stacked"])
def test_killed_at_any_moment_and_given_again(stack: int, tmp_path: Path) -> None:
    """Five random moments for each engine; and while plan.json, and while a member is being written."""
    whole = Chain(tmp_path / "whole", stack)
    before = time.monotonic()
    with whole.started() as process:
        while process.poll() is None and not whole.begun():
            time.sleep(0.005)
        start = time.monotonic() - before
        process.wait(LONGEST)
    rest = time.monotonic() - before - start
    expected = whole.report()
    jobs, total = Counter(whole.begun()), len(whole.members())
    assert sum(len(job) for job in jobs) == total > 30
    assert set(jobs.values()) == {1}
    assert max(map(len, jobs)) == stack

    rng = np.random.default_rng(stack)
    chain = Chain(tmp_path / "killed", stack)
    if stack == 1:
        chain.killed(lambda: False, dying=".plan.json.")
        assert not (chain.place / "run" / "plan.json").exists()
    chain.killed(lambda: True, delay=start * rng.random())
    for part in range(4):
        least = int((part + rng.random()) / 5 * total)  # so that on a busy machine the kill rarely comes too late
        chain.killed(chain.trains(least), delay=rest / len(jobs) * rng.random())
        if stack == part == 1:
            chain.killed(lambda: False, dying=".member-")
    stored, begun = len(chain.members()), len(chain.begun())
    assert chain.finished() == expected
    assert len(chain.members()) == total

    # What was stored is not trained again: of each kill no more than what the workers had in hand.
    found = chain.begun()
    assert set(found) == set(jobs)
    assert sum(Counter(found).values()) - len(jobs) <= chain.kills * WORKERS
    if stack == 1:
        assert len(found) - begun == total - stored
    assert chain.kills >= 4, "all but the last, which may come late"
