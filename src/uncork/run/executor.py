"""Fan-out: which job runs when, in processes of its own; `workers` and `clusters` have the processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from uncork.run.clusters import dask, ray
from uncork.run.workers import Loky, Workers, local_count, opened, packed, pickled
from uncork.schema.errors import BadInput, UncorkError

BACKENDS = ("loky", "dask", "ray")
#: The package that an extra of the same name as the backend brings.
PACKAGES = {"dask": "distributed", "ray": "ray"}
#: How often a job is handed out whose worker is lost.
TRIES = 3


class Executor:
    """Runs a function on many tuples of arguments, in at least two processes with one thread each.

    `backend`: "loky" for processes of this machine; "dask" or "ray" for the cluster at `address`, or for one on this
    machine that is started for the work and stopped after it. What all jobs share belongs into the function
    (`functools.partial`): it travels once, and its large arrays are shared, read-only. Each job gets a fresh copy of
    everything else, so none sees what another left in it. Raises BadInput where the backend can't be used.
    """

    def __init__(self, backend: str = "loky", address: str | None = None) -> None:
        if backend not in BACKENDS:
            raise BadInput(f"backend {backend!r} is not known: use one of {', '.join(BACKENDS)}")
        if backend in PACKAGES and find_spec(PACKAGES[backend]) is None:
            raise BadInput(f"backend {backend!r} needs an extra: pip install 'uncork[{backend}]'")
        if address is not None and backend == "loky":
            raise BadInput(f"address {address!r} is of a cluster: say which kind, backend dask or ray")
        self._backend, self._address = backend, address
        self._loky = Loky()

    def __reduce__(self) -> tuple[Any, ...]:
        return Executor, (self._backend, self._address)

    @property
    def workers(self) -> int:
        """How many jobs prices take to run side by side: this machine's cores, of a cluster no more."""
        return local_count()

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results in the order of the jobs. Raises what a job raises."""
        # The jobs travel with the function: an array that several of them hold is sent once.
        done = dict(self.each(_Numbered(function, list(jobs)), ((i,) for i in range(len(jobs)))))
        return [done[i] for i in range(len(jobs))]

    def each(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """The results as they are completed, each once. Raises what a job raises.

        A job is drawn from `jobs` only when a worker is free for it and the results so far were taken: let `jobs` end
        to hand out no more. A job whose worker is lost (killed, out of memory) is handed out again; lost twice, it
        waits for all others and is tried once more, alone. Raises UncorkError at the end where that fails, too.
        """
        once = packed(function)
        if self._backend == "loky":
            opening = self._loky.opened(once)
        else:
            opening = (dask if self._backend == "dask" else ray)(once, self._address)
        with opening as workers:
            yield from _Run(workers, jobs).results()


@dataclass(frozen=True)
class _Numbered:
    """Jobs that are all known beforehand, by their index."""

    function: Callable[..., Any]
    jobs: list[tuple[Any, ...]]

    def __call__(self, index: int) -> tuple[int, Any]:
        return index, self.function(*self.jobs[index])


@dataclass
class _Job:
    number: int
    arguments: bytes
    told: str
    tries: int = 0


class _Run:
    """The jobs of one call: which are running, and which go out again."""

    def __init__(self, workers: Workers, jobs: Iterable[tuple[Any, ...]]) -> None:
        self._workers = workers
        self._fresh = (_Job(i, pickled(job), _told(i, job)) for i, job in enumerate(jobs))
        self._running: dict[Future[bytes], _Job] = {}
        self._again: deque[_Job] = deque()
        self._alone: deque[_Job] = deque()
        self._given_up: list[_Job] = []

    def results(self) -> Iterator[Any]:
        while self._hand_out():
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                job = self._running.pop(future)
                error = future.exception() if not future.cancelled() else None
                if future.cancelled() or (error is not None and self._workers.lost(error)):
                    self._put_back(job)
                else:
                    yield opened(future.result())
        if self._given_up:
            raise UncorkError(
                f"{', '.join(job.told for job in self._given_up)}: the process was lost {TRIES} times, the last time "
                "with no other job beside it. Most often memory runs out: free some, or use a machine that has more. "
                "All other jobs are done: give the same command again to go on"
            )

    def _hand_out(self) -> bool:
        """Gives jobs to free workers. False where nothing is left to wait for."""
        while len(self._running) < self._workers.count():
            job = self._again.popleft() if self._again else next(self._fresh, None)
            # Alone, so that it is neither short of memory because of others nor takes them along.
            if job is None and self._alone and not self._running:
                job = self._alone.popleft()
            if job is None:
                break
            job.tries += 1
            self._running[self._workers.submit(job.arguments)] = job
        return bool(self._running)

    def _put_back(self, job: _Job) -> None:
        if job.tries >= TRIES:
            self._given_up.append(job)
        elif job.tries == TRIES - 1:
            self._alone.append(job)
        else:
            self._again.append(job)


def _told(number: int, arguments: tuple[Any, ...]) -> str:
    """A job in a message: its number, and those of its arguments that are short to say."""
    short = [str(a) for a in arguments if isinstance(a, int | float | str) and len(str(a)) <= 40]
    return f"job {number}" + (f" ({', '.join(short)})" if short else "")
