"""The contract that every gatherer keeps, checked on one request.

    from uncork.testing.gatherers import check_gatherer

    check_gatherer(gather, Pass("validation"), context)

It raises AssertionError with a sentence that says which rule is broken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from uncork.gather._contract import Context
from uncork.gather.store import decode, encode
from uncork.schema.artifacts import Request
from uncork.schema.contract import Gatherer
from uncork.testing.documentation import missing_sections
from uncork.testing.measurements import random_state

BATCH_SIZES = (1, 7, 256)


def check_gatherer(
    gatherer: Gatherer, request: Request, context: Context, *, measured: Sequence[str] = (), rtol: float = 1e-5
) -> None:
    """`request`: one that the gatherer answers for the subject of `context`.

    `measured`: fields that tell of the machine, such as seconds; they may differ from run to run, but not in type.
    `rtol`: by how much 32-bit numbers may differ between batch sizes (kernels sum in another order); 16-bit numbers
    may differ by a unit in the last place. Whole numbers and texts may not differ at all.
    """
    missing = missing_sections(gatherer.doc, gatherer.sections)
    assert not missing, f"{gatherer.id}: the docstring of its file lacks the sections {missing}"
    assert isinstance(request, gatherer.request), f"{gatherer.id}: answers {gatherer.request.__name__}, not {request}"
    price = gatherer.price(request, context)
    assert math.isfinite(price), f"{gatherer.id}: its price is {price} seconds"
    assert price >= 0, f"{gatherer.id}: its price is {price} seconds"
    state = random_state()
    data = gatherer.gather(request, context)
    assert random_state() == state, f"{gatherer.id}: it draws from a global random state: draw from context.seed"
    _compare(gatherer.id, data, gatherer.gather(request, context), "a second run gives", measured, 0.0)
    for size in BATCH_SIZES:
        streamed = gatherer.gather(request, dataclasses.replace(context, batch_size=size))
        _compare(gatherer.id, data, streamed, f"batches of {size} give", measured, rtol)
    _compare(gatherer.id, data, decode(encode(data)), "the store gives back", (), 0.0)


def _compare(id: str, one: Any, other: Any, what: str, measured: Sequence[str], rtol: float) -> None:
    assert type(one) is type(other), f"{id}: {what} {type(other).__name__}, not {type(one).__name__}"
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        place = f"{id}: {what} another {field.name}"
        if dataclasses.is_dataclass(a):
            _compare(id, a, b, what, measured, rtol)
        elif isinstance(a, np.ndarray):
            assert isinstance(b, np.ndarray), f"{place}: {type(b).__name__}"
            assert a.dtype == b.dtype, f"{place}: {b.dtype} for {a.dtype}"
            if field.name not in measured:
                assert a.shape == b.shape, f"{place}: shape {b.shape} for {a.shape}"
                assert _near(a, b, rtol), f"{place}"
        elif field.name not in measured:
            assert a == b or _near_values(a, b, rtol), f"{place}: {b} for {a}"
            assert type(a) is type(b), f"{place}: {type(b).__name__} for {type(a).__name__}"


def _near(a: np.ndarray, b: np.ndarray, rtol: float) -> bool:
    if not rtol or a.dtype.kind != "f":
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    loose = max(rtol, float(np.finfo(a.dtype).eps))
    return bool(np.allclose(a, b, rtol=loose, atol=10 * rtol, equal_nan=True))


def _near_values(a: Any, b: Any, rtol: float) -> bool:
    """Numbers, and tuples of numbers."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(_near_values(x, y, rtol) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rtol) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
