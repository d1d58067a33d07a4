"""Workers of a dask or ray cluster, or of one on this machine that is started for the work and stopped after it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any
from unittest.mock import patch

from uncork.run.workers import ONE_THREAD, Function, Workers, local_count, run
from uncork.schema.errors import BadInput, UncorkError

#: Seconds to wait for a cluster to answer.
PATIENCE = 30
#: This machine, to itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


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
