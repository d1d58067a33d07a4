"""One thread a process, and a ledger of openings of the test run's own."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCORK_STATE", str(tmp_path / "state"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice-minutes", type=float, default=None, help="stop starting tests after so many minutes")
    parser.addoption("--slice-seed", default="0", help="decides the order of a slice")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A slice runs in an order of its own for each seed, so that over many runs every slow test has its turn."""
    if config.getoption("--slice-minutes") is not None:
        seed = str(config.getoption("--slice-seed"))
        items.sort(key=lambda item: hashlib.blake2b(f"{seed}:{item.nodeid}".encode()).digest())


_STARTED = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--slice-minutes")
    if minutes is not None and time.monotonic() - _STARTED > 60 * minutes:
        pytest.skip(f"the slice's {minutes:g} minutes are over; another seed has this test")


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not on this machine")
    return SHARED


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are run here, each with a copy of its own: starting workers takes longer than most tests' work."""
    import torch

    from uncork.run.executor import Executor

    def each(self: Executor, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        content = cloudpickle.dumps(function)
        for job in jobs:
            with torch.random.fork_rng():
                done = cloudpickle.loads(content)(*job)
            yield done

    monkeypatch.setattr(Executor, "each", each)
