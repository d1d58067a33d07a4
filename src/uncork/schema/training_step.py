"""Where the wall time of one training step goes, and what other ways of taking it need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from uncork.schema.artifacts import Request

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: The first two ways: rows read, prepared and learnt from, as in training; and a batch that is held ready.
LOADED, HELD = "as it is", "batch held ready"
COMPILED, BATCH_OF = "torch.compile", "batch of "
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingStep(Request):
    """The recipe's training step, taken apart and timed.

    `compiled`: by torch.compile too, which takes up to a minute; on a GPU it is tried in any case.
    """

    compiled: bool = False
    kind: ClassVar[str] = "training-step"

    def label(self) -> str:
        return "one training step"


@dataclass(frozen=True, eq=False)
class TrainingStepData:
    """Answer to `TrainingStep`.

    ways (w,): `LOADED`, `HELD`, then others with the batch held: a precision, `COMPILED`, `BATCH_OF` so many rows.
    rows (w,): rows that a step of each takes. seconds (r, w): wall time of a step, side by side. missing: ways that
    failed, and why. peak_seconds (r,): of a square matrix product of `peak_flops` operations, in the same precision and
    rounds.
    flops: of forward and backward of one step, multiplications and additions of matrix products, convolutions and
    attention. padding (b,): share of each batch's tokens that is padding; none where there are no tokens.
    parts (p,): what a step is made of, in order; part_seconds (b, p): wall time; part_flops (p,): forward, of modules.
    precision: of `PRECISIONS`, the recipe's training. batch_size: the recipe's.
    """

    ways: tuple[str, ...]
    rows: Int[np.ndarray, " w"]
    seconds: Float[np.ndarray, "r w"]
    missing: dict[str, str]
    peak_seconds: Float[np.ndarray, " r"]
    peak_flops: int
    flops: int
    padding: Float[np.ndarray, " b"]
    parts: tuple[str, ...]
    part_seconds: Float[np.ndarray, "b p"]
    part_flops: Int[np.ndarray, " p"]
    precision: str
    batch_size: int
    device: str
    threads: int
