"""The model's outputs on a split.

What it gathers
---------------
Logits, decision, loss and margin of every row (see `PassData`), and the penultimate features where they are asked
for. Loss, margin and decision come from 32-bit logits; what is stored of logits and features has 16 bits.

How it streams
--------------
A few batches are in memory at a time; only the small results accumulate, about 60 bytes and 2 bytes per class and row.

What it costs
-------------
One forward pass, in inference mode and eval mode, both set back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.models.base import Model, Output
from uncork.schema.artifacts import Pass, PassData
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator

_FLUSH = 4096  # rows gathered before loss and margin are computed: keeps their overhead off small batches


def price(request: Pass, context: Context) -> float:
    rows = len(context.split(request.split))
    return min(rows, request.rows or rows) * context.seconds_per_row


@gatherer(Pass, price=price)
def gather(request: Pass, context: Context) -> PassData:
    if request.transform or request.variant:
        raise Unavailable(f"no gatherer makes transform={request.transform!r}, variant={request.variant!r} yet")
    split = context.split(request.split)
    rows = np.arange(len(split))
    if request.rows is not None and request.rows < len(split):
        rng = generator(context.seed, "pass", request.split)
        rows = np.sort(rng.permutation(len(split))[: request.rows])
    return forward(
        context.model,
        split,
        rows=rows,
        batch_size=context.batch_size,
        features=request.features,
        name=request.split,
    )


def forward(
    model: Model,
    split: Split,
    *,
    rows: np.ndarray | None = None,
    batch_size: int = 256,
    features: bool = False,
    name: str = "the split",
) -> PassData:
    """One pass of `model` over `split` (its `rows`, in order). Raises BadInput naming the row of a NaN or inf."""
    y = split.y
    assert y is not None
    chosen = np.arange(len(split)) if rows is None else rows
    named, ids = "the row with id" if split.has_ids else "row", split.ids  # without ids: the row of the user's data
    clusters = None if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    parts: list[PassData] = []
    held: list[tuple[np.ndarray, Output]] = []

    def refuse_nan(values: np.ndarray, at: np.ndarray, what: str, remedy: str) -> None:
        bad = _not_finite(values)
        if len(bad):
            raise BadInput(f"{what} holds NaN or inf in {named} {ids[at[bad[0]]]}: {remedy}")

    def flush() -> None:
        at = np.concatenate([rows for rows, _ in held])
        outputs = [output for _, output in held]
        logits = np.concatenate([output.logits for output in outputs])
        refuse_nan(logits, at, f"{name}: the model's output", "check the weights, the preprocessing and the inputs")
        known = {
            "rows": at,
            "features": _joined([output.features for output in outputs]),
            "clusters": None if clusters is None else clusters[at],
            "answered": _joined([output.answered for output in outputs]),
        }
        if model.task == "classification":
            parts.append(PassData.of_logits(logits, y[at], **known))
        else:
            parts.append(PassData.of_values(logits[:, 0], y[at], **known))
        held.clear()

    for start in range(0, len(chosen), batch_size):
        at = chosen[start : start + batch_size]
        batch = split.take(at)
        for what, floats in () if model.accepts_nan else _floats(f"{name}.x", batch):
            refuse_nan(floats, at, what, "impute the value or leave the row out")
        held.append((at, model.outputs(batch, features=features)))
        if sum(len(rows) for rows, _ in held) >= _FLUSH or at[-1] == chosen[-1]:
            flush()
    return parts[0] if len(parts) == 1 else PassData.concatenate(parts)


def _floats(name: str, batch: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of floats in a batch, by name."""
    if isinstance(batch, Mapping):
        for part in batch:
            yield from _floats(f"{name}[{part!r}]", batch[part])
    elif isinstance(batch, np.ndarray) and batch.dtype.kind == "f":
        yield name, batch


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Batches in order; None where the model gave none."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def _not_finite(values: np.ndarray) -> np.ndarray:
    """Rows that hold NaN or inf."""
    # The sum is finite unless a value isn't (or it overflows, which the second look rules out): one cheap pass.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64)
    if np.isfinite(total):
        return np.zeros(0, np.int64)
    return np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
