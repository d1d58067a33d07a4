"""Which of many settings, ordered beforehand from the mildest on, keep a risk below a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from jaxtyping import Int


def last_within(hits: Int[np.ndarray, " t"], n: int, limit: float, *, level: float = 0.95) -> int | None:
    """The last setting up to which each has a risk of at most `limit`, which holds with probability `level` for it.

    `hits`: of n rows, those that each setting does harm to. Each test is an exact binomial at 1 − level; the first that
    fails ends the sequence, so that a true risk above the limit is passed with probability 1 − level at most, however
    many settings there are (Learn then Test with fixed-sequence testing: Angelopoulos et al., arXiv 2110.01052). The
    settings and their order must not follow from these rows. None where the first fails. Unit: one row, independent.
    """
    passed = special.bdtr(np.asarray(hits, np.float64), n, limit) <= 1 - level
    count = len(passed) if passed.all() else int(np.argmin(passed))
    return count - 1 if count else None
