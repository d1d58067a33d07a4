"""What answering costs: time, memory and bytes, by the engine that runs the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int

#: Rows at once that are tried, as far as there are so many.
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Deployment(Request):
    """The model as it is, compiled, and as an ONNX file, timed side by side.

    `runs`: of one row, on one thread and on all; fewer where they take too long. `compiled`: whether to compile, which
    takes most of a minute. `memory`: whether to measure peaks, each in a process of its own.
    """

    runs: int = 400
    compiled: bool = True
    memory: bool = True
    kind: ClassVar[str] = "deployment"

    def label(self) -> str:
        return "speed, memory and size by engine"


@dataclass(frozen=True, eq=False)
class DeploymentData:
    """Answer to `Deployment`. Wall times in seconds on this machine.

    engines (e,): the model as it is first. missing: engines that were not measured, and why. threads (t,): 1, and all
    there are where there are more. single (e, t, runs): one row at a time, another one each run, the same for all
    engines and numbers of threads, which take turns. sizes (s,): rows at once. batch (e, t, s, rounds): of so many
    rows, one number of threads after the other; NaN where an engine was not run.
    flips (e,): rows of `rows` that an engine decides otherwise than the model as it is, or values that move by a
    hundredth of their s.d.; gap (e,): the largest difference of a logit or value. bytes (e,): of weights or of the
    file, 0 where they are not known. memory (e,): peak bytes of a process that loads the model and runs the largest of
    `sizes`, beyond those of the libraries alone; NaN where it was not measured, for the reason in no_memory.
    """

    engines: tuple[str, ...]
    missing: dict[str, str]
    threads: tuple[int, ...]
    single: Float[np.ndarray, "e t runs"]
    sizes: Int[np.ndarray, " s"]
    batch: Float[np.ndarray, "e t s rounds"]
    rows: int
    flips: Int[np.ndarray, " e"]
    gap: Float[np.ndarray, " e"]
    bytes: Int[np.ndarray, " e"]
    memory: Float[np.ndarray, " e"]
    no_memory: str
    device: str
