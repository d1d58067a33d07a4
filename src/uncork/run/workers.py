"""Processes to run jobs in: what travels to them, and those of this machine (loky). `clusters` has dask and ray.

What travels is pickled by cloudpickle on every backend, so that modules named by file go by value. Both function and
answer are bytes to the backend: nothing it does to objects or exceptions can make results differ.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cloudpickle
import numpy as np
from joblib import cpu_count

#: Arrays from this size on are shared by the workers of a machine; smaller ones are copied for each job.
SHARED_BYTES = 1 << 20
#: One thread in each worker, said before any library starts its own.
ONE_THREAD = {f"{of}_NUM_THREADS": "1" for of in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")}
ONE_THREAD["VECLIB_MAXIMUM_THREADS"] = "1"
#: Bytes that arrays in a file are aligned to.
ALIGNED = 64
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
