"""Numbers to add to the logits so that decisions cost least.

Adding an offset to the logits moves every threshold between two classes at once: of two classes it is the cut point, of
more a threshold for each. Source: Elkan, The foundations of cost-sensitive learning, IJCAI 2001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ROUNDS = 10


def cheapest_offset(
    logits: Float[np.ndarray, "n k"], y: Int[np.ndarray, " n"], cost: Float[np.ndarray, "k k"]
) -> tuple[Float[np.ndarray, " k"], float, float]:
    """(offset, mean cost without it, mean cost with it) on these rows; `cost[true, decided]`.

    One class after the other gets the number that costs least while the rest stand still, the smallest change among
    those that cost alike; exact for each, by trying every cut between rows. Of two classes that is the optimum. Of
    more, it goes on until no class gains any more, 10 rounds at most, and may stop at a local optimum.
    """
    logits = logits.astype(np.float64)
    k = logits.shape[1]
    offset = np.zeros(k)
    before = now = _mean_cost(logits, y, cost)
    for _ in range(ROUNDS):
        start = now
        for c in [1] if k == 2 else range(k):
            step = _best_step(logits + offset, y, cost, c)
            trial = offset.copy()
            trial[c] += step
            if (reached := _mean_cost(logits + trial, y, cost)) < now:
                offset, now = trial, reached
        if now == start:
            break
    return offset, before, now


def _mean_cost(logits: np.ndarray, y: np.ndarray, cost: np.ndarray) -> float:
    return float(cost[y, logits.argmax(axis=1)].mean())


def _best_step(logits: np.ndarray, y: np.ndarray, cost: np.ndarray, c: int) -> float:
    """What to add to the logit of class c; a row is decided for it once the step is above its lag."""
    others = logits.copy()
    others[:, c] = -np.inf
    rival = others.argmax(axis=1)
    lag = others[np.arange(len(y)), rival] - logits[:, c]
    order = np.argsort(lag)
    lag, change = lag[order], (cost[y, c] - cost[y, rival])[order]
    # Cut i decides the first i rows for c; between equal lags there is none.
    total = np.concatenate([[0.0], np.cumsum(change)])
    cuts = np.concatenate([[lag[0] - 1], (lag[:-1] + lag[1:]) / 2, [lag[-1] + 1]])
    possible = np.concatenate([[True], np.diff(lag) > 1e-5, [True]])
    total, cuts = total[possible], cuts[possible]
    cheapest = np.flatnonzero(total <= total.min() + 1e-12)
    return float(cuts[cheapest[np.abs(cuts[cheapest]).argmin()]])
