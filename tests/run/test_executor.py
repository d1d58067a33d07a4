"""Fan-out over processes: every result once, whatever happens to a worker, the same on every backend."""

from __future__ import annotations

import json
import os
import pickle
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from uncork.run.executor import Executor
from uncork.run.source import load_subject
from uncork.schema.errors import BadInput, UncorkError


def only_with(package: str, extra: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"uncork[{extra}] is not installed")


CLUSTERS = [
    pytest.param("dask", marks=only_with("distributed", "dask")),
    pytest.param("ray", marks=only_with("ray", "ray")),
]


@pytest.fixture(scope="module")
def loky() -> Executor:
    return Executor()


def square(i: int) -> tuple[int, int]:
    return i, i * i


def test_every_result_once(loky: Executor) -> None:
    assert sorted(loky.each(square, [(i,) for i in range(20)])) == [(i, i * i) for i in range(20)]
    assert list(loky.each(square, [])) == []
    assert loky(square, [(i,) for i in range(7)]) == [(i, i * i) for i in range(7)]


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_results_come_as_they_are_completed(loky: Executor) -> None:
    assert list(loky.each(nap, [(1.5,), (0.01,), (0.02,)])) == [0.01, 0.02, 1.5]
    assert loky(nap, [(0.3,), (0.01,)]) == [0.3, 0.01]


def test_jobs_are_drawn_when_a_worker_is_free(loky: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.run.workers.local_count", lambda: 2)
    drawn: list[int] = []

    def jobs() -> Iterator[tuple[int]]:
        for i in range(6):
            drawn.append(i)
            yield (i,)

    for taken, _ in enumerate(loky.each(square, jobs())):
        assert len(drawn) <= taken + 2
    assert drawn == list(range(6))


def test_no_more_jobs_after_a_time(loky: Executor) -> None:
    stop = time.monotonic() + 1.5

    def jobs() -> Iterator[tuple[float]]:
        while time.monotonic() < stop:
            yield (0.2,)

    list(loky.each(nap, [(0.0,)] * 4))  # the processes are up
    stop = time.monotonic() + 1.5
    assert len(list(loky.each(nap, jobs()))) >= 4
    assert time.monotonic() - stop < 1.0


def where(_: int) -> tuple[int, int, str | None]:
    time.sleep(0.2)
    return os.getpid(), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def die_once(folder: Path, i: int) -> int:
    """Job 3 kills its process the first time."""
    marker = folder / f"died-{i}"
    if i == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def die_always(i: int) -> int:
    if i == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return i


def fail(i: int) -> int:
    if i == 2:
        raise KeyError("two")
    return i


class TwoArguments(Exception):
    """Can be pickled, not unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def fail_badly() -> None:
    raise TwoArguments(1, 2)


def trained(x: torch.Tensor, seed: int) -> tuple[int, list[float]]:
    """A few steps of a small net with dropout, all of whose randomness is torch's."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 1))
    steps = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        steps.zero_grad()
        (net(x[torch.randperm(len(x))[:32]]) ** 2).mean().backward()
        steps.step()
    return seed, torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.randn(200, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def loky_trained(loky: Executor, x: torch.Tensor) -> list[tuple[int, list[float]]]:
    return loky(partial(trained, x), [(seed,) for seed in range(6)])


def mutate(shared: np.ndarray, small: list[int], _: int) -> tuple[bool, int]:
    small.append(0)
    return shared.flags.writeable, len(small)


SUBJECT = """
import numpy as np
from torch import nn
from uncork import Split, Subject

OFFSET = 100

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) + OFFSET

x = np.zeros((4, 2), dtype="float32")
subject = Subject(Net(), test=Split(x, np.array([0, 1, 0, 1])))
"""


def lowest(model: Any, i: int) -> tuple[int, float]:
    return i, float(model(torch.zeros(3, 2)).detach().min())


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        "loky",
        pytest.param("dask", marks=[only_with("distributed", "dask"), pytest.mark.slow]),
        pytest.param("ray", marks=[only_with("ray", "ray"), pytest.mark.slow]),
    ],
)
def test_a_backend(backend: str, tmp_path: Path, x: torch.Tensor, loky_trained: list[tuple[int, list[float]]]) -> None:
    fan = Executor(backend)

    # The same results to the bit.
    assert sorted(fan.each(partial(trained, x), [(seed,) for seed in range(6)])) == loky_trained

    # Two processes or more, with one thread each, and none of them this one.
    seen = fan(where, [(i,) for i in range(8)])
    assert len({pid for pid, *_ in seen} - {os.getpid()}) >= 2
    assert {tuple(rest) for _, *rest in seen} == {(1, "1")}

    # A worker that is killed half-way: all results all the same, each once.
    assert sorted(fan.each(partial(die_once, tmp_path), [(i,) for i in range(12)])) == list(range(12))
    assert (tmp_path / "died-3").exists()

    # A class that stands in a file, in a function and in a job.
    (tmp_path / "subject.py").write_text(SUBJECT)
    model = load_subject(f"{tmp_path}/subject.py:subject").model
    assert all(99 < value < 101 for _, value in fan.each(partial(lowest, model), [(0,), (1,)]))
    assert all(99 < value < 101 for _, value in fan(lowest, [(model, 0), (model, 1)]))

    # Large arrays are shared and can't be spoilt; what is small is fresh for each job.
    shared = partial(mutate, np.zeros(1 << 18), [])
    assert list(fan.each(shared, [(i,) for i in range(6)])) == [(False, 1)] * 6

    with pytest.raises(KeyError, match="two"):
        list(fan.each(fail, [(i,) for i in range(4)]))


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker(loky: Executor) -> None:
    results = loky.each(die_always, [(i,) for i in range(6)])
    assert sorted(next(results) for _ in range(5)) == [0, 2, 3, 4, 5]
    with pytest.raises(UncorkError, match=r"^job 1 \(1\): the process was lost 3 times"):
        next(results)
    assert list(loky.each(square, [(2,)])) == [(2, 4)]


def test_what_a_job_raises_says_where(loky: Executor) -> None:
    with pytest.raises(KeyError) as raised:
        loky(fail, [(2,)])
    assert 'raise KeyError("two")' in str(raised.value.__cause__)
    with pytest.raises(RuntimeError, match="TwoArguments: 1 and 2"):
        loky(fail_badly, [()])
    with pytest.raises(SystemExit):
        loky(sys.exit, [(3,)])


@pytest.mark.slow
def test_given_up_half_way_nothing_goes_on(loky: Executor) -> None:
    results = loky.each(nap, [(0.01,), (60.0,), (60.0,)])
    assert next(results) == 0.01
    started = time.monotonic()
    results.close()
    assert list(loky.each(nap, [(0.01,)])) == [0.01]
    assert time.monotonic() - started < 30


def test_a_module_of_the_current_folder(loky: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uncork_here.py").write_text(SUBJECT)
    monkeypatch.chdir(tmp_path)
    model = load_subject("uncork_here:subject").model
    assert all(99 < value < 101 for _, value in loky.each(lowest, [(model, 0), (model, 1)]))


def test_killed_its_workers_end_too(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, time
from uncork.run.executor import Executor

def job(i):
    pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)

list(Executor().each(job, [(0,), (1,)]))
"""
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as process:
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    deadline = time.monotonic() + 20
    while any(running(int(path.name)) for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@only_with("distributed", "dask")
def test_a_dask_cluster_at_an_address(x: torch.Tensor, loky_trained: list[tuple[int, list[float]]]) -> None:
    """One worker of four threads, which share torch's random state."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=4, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        fan = Executor("dask", cluster.scheduler_address)
        assert fan(partial(trained, x), [(seed,) for seed in range(6)]) == loky_trained
        assert list(fan.each(square, [(3,)])) == [(3, 9)]  # it goes on after the first call


NODE = """
import sys
from uncork.run.executor import Executor

for _ in Executor("ray").each(str, [(1,)]):
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""
CLIENT = """
import json, sys
from functools import partial
import torch
from test_executor import square, trained
from uncork.run.executor import Executor

x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
fan = Executor("ray", sys.argv[1])
print(json.dumps(fan(partial(trained, x), [(seed,) for seed in range(6)])))
print(json.dumps(list(fan.each(square, [(3,)]))))
"""


@only_with("ray", "ray")
def test_a_ray_node_at_an_address(loky_trained: list[tuple[int, list[float]]]) -> None:
    """A node of the test's own, with a token of its own."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**os.environ, **token, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        address = node.stdout.readline().strip()
        client = [sys.executable, "-c", CLIENT, address]
        said = subprocess.run(client, env=environment, capture_output=True, text=True, timeout=200)
        node.stdin.close()
    assert node.returncode == 0
    trained_there, squared = map(json.loads, said.stdout.splitlines())
    assert [tuple(result) for result in trained_there] == loky_trained
    assert squared == [[3, 9]]


@pytest.mark.parametrize("backend", CLUSTERS)
def test_only_this_machine_is_talked_to(backend: str) -> None:
    psutil = pytest.importorskip("psutil")
    before = {connection.laddr for connection in psutil.net_connections("inet")}
    for _ in Executor(backend).each(nap, [(0.1,), (0.1,)]):
        new = [c for c in psutil.net_connections("inet") if c.laddr not in before]
        places = {address.ip for c in new for address in (c.laddr, c.raddr) if address}
        assert places <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize("backend", CLUSTERS)
def test_nobody_at_the_address(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.run.clusters.PATIENCE", 1)
    with pytest.raises(BadInput, match=f"no {backend} cluster .*127.0.0.1:9"):
        list(Executor(backend, {"dask": "tcp://"}.get(backend, "") + "127.0.0.1:9").each(square, [(1,)]))


def test_what_can_not_be_used_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="'threads' is not known: use one of loky, dask, ray"):
        Executor("threads")
    with pytest.raises(BadInput, match="say which kind, backend dask or ray"):
        Executor("loky", "tcp://127.0.0.1:8786")
    monkeypatch.setattr("uncork.run.executor.find_spec", lambda name: None)
    for backend in ("dask", "ray"):
        with pytest.raises(BadInput, match=rf"pip install 'uncork\[{backend}\]'"):
            Executor(backend)


def test_it_travels() -> None:
    assert pickle.loads(pickle.dumps(Executor()))(square, [(2,)]) == [(2, 4)]
