from __future__ import annotations

import time

import numpy as np

from uncork.models.clock import side_by_side
from uncork.stats.quantiles import median


def test_each_work_once_a_round_in_a_changing_order_after_warming_up() -> None:
    said: list[str] = []
    seconds = side_by_side([lambda: said.append("a"), lambda: said.append("b")], 20, warm_up=3)
    assert seconds.shape == (20, 2)
    assert (seconds > 0).all()
    assert len(said) == 2 * 23
    rounds = ["".join(said[i : i + 2]) for i in range(0, len(said), 2)]
    assert set(rounds) == {"ab", "ba"}  # all alike with chance 2^-22


def test_a_planted_sleep_is_found() -> None:
    seconds = side_by_side([lambda: time.sleep(0.004), lambda: time.sleep(0.001)], 9, warm_up=1)
    faster = median(seconds[:, 0] / seconds[:, 1], unit="times faster")
    assert faster.low is not None
    assert faster.low > 1
    assert np.median(seconds[:, 0]) >= 0.004
