"""Processes to run jobs in: of this machine (loky), or of a dask or ray cluster.

What travels is pickled by cloudpickle on every backend, so that modules named by file go by value. Both function and
answer are bytes to the backend: nothing it does to objects or exceptions can make results differ.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol
from unittest.mock import patch

import cloudpickle
import numpy as np
from joblib import cpu_count

from uncork.schema.errors import BadInput, UncorkError

#: Arrays from this size on are shared by the workers of a machine; smaller ones are copied for each job.
SHARED_BYTES = 1 << 20
#: One thread in each worker, said before any library starts its own.
ONE_THREAD = {f"{of}_NUM_THREADS": "1" for of in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")}
ONE_THREAD["VECLIB_MAXIMUM_THREADS"] = "1"
#: Bytes that arrays in a file are aligned to.
ALIGNED = 64
#: Seconds to wait for a cluster to answer.
PATIENCE = 30
#: This machine, to itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: Seconds after which idle processes end.
IDLE = 300


class Workers(Protocol):
    """Processes that know the function. A job goes in, and its answer comes out, as bytes."""

    def count(self) -> int:
        """How many jobs can run at once."""

    def submit(self, arguments: bytes) -> Future[bytes]: ...

    def lost(self, error: BaseException) -> bool:
        """Whether the error means that the worker is gone. Raises UncorkError where the whole cluster is."""


def local_count() -> int:
    # At least two: one would leave no way to go on beside a job that hangs in native code.
    return max(2, int(cpu_count()))


# What travels


def pickled(what: Any) -> bytes:
    return bytes(cloudpickle.dumps(what))


def packed(what: Any) -> Function:
    """A function for workers. Its large arrays are not copied."""
    large: list[memoryview] = []

    def within(buffer: pickle.PickleBuffer) -> bool:
        with suppress(BufferError):  # not contiguous: copied
            raw = buffer.raw()
            if raw.nbytes >= SHARED_BYTES:
                large.append(raw)
                return False
        return True

    # A module named by package.module was found from the current folder.
    path = tuple(dict.fromkeys([*filter(None, sys.path), os.getcwd()]))
    return Function(cloudpickle.dumps(what, protocol=5, buffer_callback=within), large, path)


def opened(answer: bytes) -> Any:
    """The result. Raises what the job raised, with the worker's traceback as its cause."""
    done, what = pickle.loads(answer)
    if done:
        return what
    error, trace = what
    raise error from InWorker(trace)


class InWorker(Exception):
    """The traceback in the worker, where an exception came from."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# In the worker

_TURN = threading.Lock()


@dataclass(frozen=True)
class Function:
    """What all jobs share: a pickled function, its large arrays, and where its modules are looked for."""

    packed: Any
    large: list[Any]
    path: tuple[str, ...]

    def __call__(self, arguments: bytes) -> bytes:
        """One job. The answer is (True, result), or (False, (exception, traceback))."""
        with _TURN:  # a cluster's process may have many threads, but torch's random state is one for all of them
            try:
                sys.path.extend(place for place in self.path if place not in sys.path)
                # Unpickled for each job, so that none sees what another left in it.
                function = pickle.loads(self.packed, buffers=[memoryview(array).toreadonly() for array in self.large])
                given = pickle.loads(arguments)
                if "torch" in sys.modules:
                    sys.modules["torch"].set_num_threads(1)
                return pickled((True, function(*given)))
            except (Exception, SystemExit) as error:
                return pickled((False, (_portable(error), traceback.format_exc())))

    def shipped(self) -> Function:
        """As arrays, which clusters send and share well."""
        return replace(self, large=[np.frombuffer(part, dtype=np.uint8) for part in self.large])


def _portable(error: BaseException) -> BaseException:
    """The exception, or one that says the same where it can't travel."""
    with suppress(Exception):
        pickle.loads(pickled(error))
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def run(function: Function, arguments: bytes) -> bytes:
    return function(arguments)


# loky


@dataclass(frozen=True)
class _File:
    """A function in a file, for the workers of a machine to map into memory: large arrays are there once."""

    name: str
    sizes: tuple[int, ...]
    path: tuple[str, ...]

    @classmethod
    def written(cls, folder: str, function: Function) -> _File:
        parts = [function.packed, *function.large]
        name = os.path.join(folder, "function")
        with open(name, "wb") as file:
            for part in parts:
                file.write(part)
                file.write(bytes(-len(part) % ALIGNED))
        return cls(name, tuple(len(part) for part in parts), function.path)

    def __call__(self, arguments: bytes) -> bytes:
        with open(self.name, "rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        parts, start = [], 0
        for size in self.sizes:
            parts.append(mapped[start : start + size])
            start += size + -size % ALIGNED
        return Function(parts[0], parts[1:], self.path)(arguments)


def _settle() -> None:
    """Leaves Ctrl-C to the first process, which then ends the others; ends with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Loky:
    """Processes of this machine. They stay for the next call, and end when idle or no longer referred to."""

    def __init__(self) -> None:
        self._pool: Any = None

    @contextmanager
    def opened(self, function: Function) -> Iterator[Workers]:
        from joblib.externals.loky.backend import resource_tracker

        with tempfile.TemporaryDirectory(prefix="uncork-") as folder:
            resource_tracker.register(folder, "folder")  # removes it should this process be killed
            try:
                yield _LokyWorkers(self, _File.written(folder, function))
            except BaseException:
                self._end()
                raise
            finally:
                resource_tracker.unregister(folder, "folder")

    def submit(self, file: _File, arguments: bytes) -> Future[bytes]:
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        with suppress(BrokenProcessPool):
            if self._pool is not None:
                return self._pool.submit(file, arguments)  # type: ignore[no-any-return]
        self._pool = ProcessPoolExecutor(local_count(), timeout=IDLE, env=ONE_THREAD, initializer=_settle)
        return self._pool.submit(file, arguments)  # type: ignore[no-any-return]

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


@dataclass(frozen=True)
class _LokyWorkers:
    loky: Loky
    file: _File

    def count(self) -> int:
        return local_count()

    def submit(self, arguments: bytes) -> Future[bytes]:
        return self.loky.submit(self.file, arguments)

    def lost(self, error: BaseException) -> bool:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        return isinstance(error, TerminatedWorkerError)


# dask


@contextmanager
def dask(function: Function, address: str | None) -> Iterator[Workers]:
    """Workers of the dask cluster whose scheduler is at `address`; None: of one on loopback, for this call only."""
    distributed = import_module("distributed")
    with ExitStack() as stack:
        there = address or stack.enter_context(_dask_cluster(distributed))
        try:
            client = stack.enter_context(distributed.Client(there, set_as_default=False, timeout=PATIENCE))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise BadInput(f"no dask cluster with workers answers at {there}: {error}") from None
        workers = _DaskWorkers(client, function)
        try:
            yield workers
        finally:
            workers.cancel()


@contextmanager
def _dask_cluster(distributed: Any) -> Iterator[str]:
    """The address of a scheduler in this process that has workers on this machine. Nothing listens but on loopback."""
    # One loss fails a job at once: losses are counted by the caller. There are no pages to serve.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.scheduler.http.routes": []}
    with import_module("dask").config.set(settings):
        cluster = distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
    # Workers that dask itself starts would run the user's script again. A limit on memory would have dask pause them.
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
    command += ["--nworkers", str(local_count()), "--nthreads", "1", "--memory-limit", "0"]
    command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
    command += ["--death-timeout", str(PATIENCE)]
    environment = {"DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]", "DASK_LOGGING__DISTRIBUTED": "critical"}
    # As on loky, a worker may have children, which a DataLoader needs.
    environment |= {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    with (
        cluster,
        subprocess.Popen(command, env={**os.environ, **ONE_THREAD, **environment}, start_new_session=True) as it,
    ):
        try:
            yield cluster.scheduler_address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(it.pid, signal.SIGKILL)


class _DaskWorkers:
    def __init__(self, client: Any, function: Function) -> None:
        self._client, self._function = client, function.shipped()
        self._executor = client.get_executor(pure=False)
        self._there: Any = None

    def count(self) -> int:
        return max(2, len(self._client.ncores()))

    def submit(self, arguments: bytes) -> Future[bytes]:
        if self._there is None:
            self._there = self._client.scatter(self._function, broadcast=True, hash=False)
        return self._executor.submit(run, self._there, arguments)  # type: ignore[no-any-return]

    def lost(self, error: BaseException) -> bool:
        if self._client.status != "running":
            raise UncorkError("the dask scheduler is gone: start it, and give the same command again to go on")
        self._there = None  # the lost worker may have had the only copy
        return isinstance(error, import_module("distributed").KilledWorker)

    def cancel(self) -> None:
        self._executor.shutdown(wait=False)


# ray


@contextmanager
def ray(function: Function, address: str | None) -> Iterator[Workers]:
    """Workers of the ray cluster at `address`; None: of a node on loopback, for this call only."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when ray is imported and by what it starts
    module = import_module("ray")
    if address is None and module.is_initialized():  # the user's own session, which stays
        with _ray_workers(module, function) as workers:
            yield workers
        return
    terminated = signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="uncork-", ignore_cleanup_errors=True) as folder:
        beside: dict[str, Any] = {"address": address}
        if address is None:
            beside = {"num_cpus": local_count(), "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
            beside |= {"address": "local", "include_dashboard": False}
        try:
            host = "localhost" if address is None else address.removeprefix("ray://").rpartition(":")[0].strip("[]")
            if address is not None and host:
                # Ray itself would try for minutes.
                socket.create_connection((host, int(address.rpartition(":")[2])), PATIENCE).close()
            with _only_here(module) if host in LOOPBACK else nullcontext():
                module.init(**beside, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, RuntimeError, ValueError, import_module("ray.exceptions").RayError) as error:
            raise BadInput(f"no ray cluster answers at {address or 'this machine'}: {error}") from None
        try:
            with _ray_workers(module, function) as workers:
                yield workers
        finally:
            module.shutdown()
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminated)


@contextmanager
def _only_here(module: Any) -> Iterator[None]:
    """Keeps ray to the loopback interface: else it looks up this machine's other address and listens on that.

    The process of its dashboard is not started either: though dashboard and statistics are off, it would ask the
    metadata servers of three clouds where it runs.
    """
    private = module._private
    with (
        patch.dict(os.environ, {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}),  # for the processes it starts
        patch.object(private.ray_constants, "ENABLE_RAY_CLUSTER", False, create=True),
        patch.object(private.node.Node, "start_api_server", create=True),
    ):
        yield


@contextmanager
def _ray_workers(module: Any, function: Function) -> Iterator[Workers]:
    workers = _RayWorkers(module, module.put(function.shipped()))
    try:
        yield workers
    finally:
        workers.cancel()


class _RayWorkers:
    def __init__(self, module: Any, there: Any) -> None:
        self._ray, self._there = module, there
        # The losses are counted by the caller.
        self._work = module.remote(num_cpus=1, max_retries=0)(run)
        self._running: dict[Future[bytes], Any] = {}

    def count(self) -> int:
        return max(2, int(self._ray.cluster_resources().get("CPU", 0)))

    def submit(self, arguments: bytes) -> Future[bytes]:
        reference = self._work.remote(self._there, arguments)
        future: Future[bytes] = reference.future()
        self._running = {f: r for f, r in self._running.items() if not f.done()} | {future: reference}
        return future

    def lost(self, error: BaseException) -> bool:
        errors = import_module("ray.exceptions")
        gone = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError)
        return isinstance(error, gone)

    def cancel(self) -> None:
        for future, reference in self._running.items():
            if not future.done():
                self._ray.cancel(reference, force=True)
