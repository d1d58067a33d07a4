"""One thread a process, and a ledger of openings of the test run's own."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

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
