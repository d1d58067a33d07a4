"""Fan-out: work in processes of its own, through joblib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from uncork.schema.errors import BadInput

BACKENDS = ("loky",)


class Executor:
    """Runs a function on many tuples of arguments, in processes with one thread each; results in order."""

    def __init__(self, backend: str = "loky") -> None:
        if backend not in BACKENDS:
            raise BadInput(f"backend {backend!r} is not known: use one of {', '.join(BACKENDS)}")
        self._backend = backend

    def __call__(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        from joblib import Parallel, cpu_count, delayed, parallel_config

        # At least two workers: with one, joblib would run the work in this crowded process.
        with parallel_config(self._backend, inner_max_num_threads=1):
            done: list[Any] = Parallel(n_jobs=max(2, cpu_count()))(delayed(function)(*job) for job in jobs)
        return done
