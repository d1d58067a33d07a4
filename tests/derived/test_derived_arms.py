"""Arms: screened by brute force, confirmed with the coverage promised, and a reason wherever there is no answer."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from uncork.derived.arms import (
    WORDS,
    Answer,
    arm_table,
    best,
    confirmed,
    delta,
    gain_or,
    plain,
    screened,
    screens,
    seed_variances,
    unanswered,
)
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.pool import QUESTIONS, PoolData
from uncork.testing.pools import a_pool, no_pool

ERROR = Metric("error")
BUDGET = "the time given was used up"


def regression(pool: PoolData, gain: float = 0.0, seed: int = 0) -> PoolData:
    """The same design, in a regression of noise 1 + .1: arms have so much less, √((1 − gain)² + .1²)."""
    rng = np.random.default_rng(seed)
    y, v = rng.normal(size=len(pool.y)), rng.normal(size=len(pool.validation_y))
    noise = {name: rng.normal(size=len(of)) for name, of in (("train", y), ("validation", v))}
    outputs: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for arm in pool.arm:
        for name, of in (("train", y), ("validation", v)):
            size = (1 - gain) if arm else 1
            outputs[name].append(of + size * noise[name] + 0.1 * rng.normal(size=len(of)))
    stacked = {f"on_{name}": np.array(each, np.float32)[:, :, None] for name, each in outputs.items()}
    return dataclasses.replace(pool, task="regression", y=y, validation_y=v, **stacked)


def test_every_arm_has_words() -> None:
    assert set(WORDS) == {arm for arms in QUESTIONS.values() for arm in arms}


@pytest.mark.parametrize("metric", [ERROR, Metric("accuracy"), Metric("log-loss"), Metric(1 - np.eye(3))])
def test_screen_by_brute_force(metric: Metric) -> None:
    """Paired differences over the rows that each half did not see; V = mean of (D1 − D2)²/4, t on 2 d.f."""
    pool = a_pool(200, 50, arms={"width-x4": -0.05})
    each = np.zeros((2, 2))
    for r, j in np.ndindex(2, 2):
        found = []
        for arm in ("", "width-x4"):
            at = next(i for i in pool.members(2, arm) if (pool.permutation[i], pool.part[i]) == (r, j))
            unseen = ~pool.trained_on[at]
            assert unseen.sum() == 100
            logits = pool.on_train[at][unseen].astype(float)
            y = pool.y[unseen]
            if metric.kind == "log-loss":
                found.append(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(100), y]))
            else:
                found.append(1000 * np.mean(logits.argmax(1) != y))
        each[r, j] = found[0] - found[1]
    got = screened(pool, metric, "width-x4")
    assert got is not None
    tolerance = {"rel": 1e-3} if metric.kind == "log-loss" else {"rel": 1e-12}  # losses are kept in 32 bits
    assert got.value == pytest.approx(each.mean(), **tolerance)
    half = stats.t.ppf(0.975, 2) * np.sqrt(np.square(each[:, 0] - each[:, 1]).mean() / 4)
    assert got.high >= each.mean() + 0.999 * half
    if "halves" in got.method:
        assert got.high == pytest.approx(each.mean() + half, **tolerance)
    assert got.unit == metric.unit


def test_halves_that_agree_by_chance_do_not_narrow_the_screen() -> None:
    """Nothing changed by the arm: all four differences are 0, and the rows say how little that proves."""
    pool = a_pool(400, 50, arms={"width-x4": 0.0})
    found = screened(pool, ERROR, "width-x4")
    assert found is not None
    assert found.value == 0
    assert found.high == pytest.approx(1000 * (1 - 0.025 ** (1 / 400)))
    assert confirmed(pool, ERROR, "capacity").bound.high == found.high


def test_screen_of_metrics_that_are_no_means() -> None:
    pool = a_pool(400, 100, classes=2, arms={"steps-x4": -0.05})
    auc = Metric("auc")
    of_area = screened(pool, auc, "steps-x4")
    mine = Metric(lambda p, y: float(np.mean(p.argmax(axis=1) == y)), higher_is_better=True, name="mine")
    of_mine, as_error = screened(pool, mine, "steps-x4"), screened(pool, ERROR, "steps-x4")
    assert of_area is not None
    assert of_mine is not None
    assert as_error is not None
    assert of_mine.value == pytest.approx((as_error.value or 0) / 1000)
    gains = []
    for half, changed in zip(*pool.pairs(2, "steps-x4"), strict=True):
        unseen = ~pool.trained_on[half]
        margins = (np.diff(pool.on_train[i][unseen].astype(float))[:, 0] for i in (changed, half))
        gains.append(np.subtract(*(roc_auc_score(pool.y[unseen], m) for m in margins)))
    assert of_area.value == pytest.approx(np.mean(gains), abs=1e-9)


def test_regression_is_screened_and_confirmed() -> None:
    """RMSE: from √1.01 to √(.9² + .1²), a gain of .0994."""
    truth = np.sqrt(1.01) - np.sqrt(0.82)
    pool = regression(a_pool(3000, 3000, arms={"decay-x30": 0.0}, confirmed=("decay-x30",)), gain=0.1)
    metric = Metric("rmse")
    answer = confirmed(pool, metric, "regularisation")
    assert answer.arm == "decay-x30"
    assert answer.gain is not None
    assert answer.gain.low < truth < answer.gain.high
    assert delta(pool, metric) == pytest.approx(0.01 * np.sqrt(1.01), rel=0.1)
    assert plain(pool, metric)["validation"].value == pytest.approx(np.sqrt(1.01), rel=0.05)


def test_screens_and_confirmed_gains_cover_what_was_planted() -> None:
    """Gain 50 per 1,000 at either size. Of 200 intervals at a true 95 % fewer than 179 hold it with a chance of 1 in
    1,000 (fixed seeds), for each of the two."""
    held = np.zeros(2, int)
    for seed in range(200):
        pool = a_pool(300, 300, halves=4, error=0.2, arms={"width-x4": -0.05}, confirmed=("width-x4",), seed=seed)
        gain = confirmed(pool, ERROR, "capacity").gain
        for i, found in enumerate((screened(pool, ERROR, "width-x4"), gain)):
            held[i] += found is not None and found.low <= 50 <= found.high
    assert (held >= stats.binom.ppf(1e-3, 200, 0.95)).all(), held


def test_best_is_the_arm_that_gains_most_if_it_gains() -> None:
    assert best(a_pool(2000, 50, arms={"lr-over-8": -0.02, "lr-x8": -0.05}), ERROR, "tuning") == "lr-x8"
    assert best(a_pool(2000, 50, arms={"lr-over-8": 0.02, "lr-x8": 0.05}), ERROR, "tuning") is None
    assert best(a_pool(), ERROR, "tuning") is None
    assert best(no_pool(), ERROR, "tuning") is None


def test_a_narrower_net_is_worth_confirming_unless_it_surely_loses() -> None:
    assert best(a_pool(2000, 50, arms={"width-over-4": 0.002}), ERROR, "excess") == "width-over-4"
    assert best(a_pool(2000, 50, arms={"width-over-4": 0.1}), ERROR, "excess") is None
    why = confirmed(a_pool(2000, 50, arms={"width-over-4": 0.1}), ERROR, "excess").why
    assert "surely loses more than δ" in why


def test_what_has_no_screen_is_worth_confirming() -> None:
    pool = a_pool(flagged=np.arange(400) < 9)
    assert best(pool, ERROR, "labels") == "drop-flagged"
    assert screened(pool, ERROR, "drop-flagged") is None
    assert confirmed(a_pool(), ERROR, "labels").why == "no row of train is flagged"


def test_the_confirmed_arm_is_chosen_on_train_alone() -> None:
    """Validation says otherwise, and is not asked which."""
    arms = {"lr-over-8": -0.08, "lr-x8": -0.04}
    pool = a_pool(2000, 500, arms=arms, confirmed=tuple(arms))
    swapped = pool.on_validation.copy()
    for i in pool.members(1, "lr-over-8"):
        swapped[i] = -swapped[i]
    answer = confirmed(dataclasses.replace(pool, on_validation=swapped), ERROR, "tuning")
    assert answer.arm == "lr-over-8"
    assert answer.gain is not None
    assert answer.gain.high < 0
    assert "the recipe loses" in answer.sentence


def test_futile_is_bounded_by_the_larger_upper_end() -> None:
    pool = a_pool(2000, 50, error=0.2, arms={"lr-over-8": 0.0, "lr-x8": 0.1})
    answer = confirmed(pool, ERROR, "tuning")
    ends = [found.high for found in screens(pool, ERROR, "tuning").values()]
    assert answer.gain is None
    assert answer.headroom == answer.bound
    assert answer.bound is not None
    assert (answer.bound.value, answer.bound.low, answer.bound.high) == (None, 0.0, max(ends))
    assert answer.why.startswith("neither with a learning rate 8 times smaller nor")


def test_a_sure_loss_bounds_by_more_than_nothing() -> None:
    answer = confirmed(a_pool(2000, 50, arms={"steps-x4": 0.3}), ERROR, "steps")
    assert answer.bound is not None
    assert 0 == answer.bound.low < answer.bound.high < 20


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: no_pool("no recipe was given"), "no recipe was given"),
        (lambda: a_pool(left_out={"lr-over-8": BUDGET, "lr-x8": BUDGET}), BUDGET),
        (lambda: a_pool(halves=0, left_out={"halves": BUDGET}), BUDGET),
        (lambda: a_pool(2000, 50, arms={"lr-x8": 0.05}, left_out={"lr-over-8": BUDGET}), BUDGET),
        (lambda: a_pool(2000, 50, arms={"lr-x8": -0.05}, left_out={"lr-over-8": BUDGET}), BUDGET),
        (lambda: a_pool(2000, 50, arms={"lr-x8": -0.05, "lr-over-8": 0.1}, left_out={"full": BUDGET}), BUDGET),
        (lambda: a_pool(2000, 50, arms={"lr-x8": -0.05, "lr-over-8": 0.1}), "too few models with a learning rate"),
        (lambda: a_pool(arms={"lr-x8": -0.05}, confirmed=("lr-x8",), full=1), "left out|used up|too few"),
    ],
)
def test_without_an_answer_there_is_a_reason_and_no_headroom(made: Any, why: str) -> None:
    answer = confirmed(made(), ERROR, "tuning")
    assert re.search(why, answer.why)
    assert answer.headroom is None
    assert answer.sentence.startswith("No change of the recipe is confirmed at full size: ")


def test_an_arm_that_lacks_a_seed_is_not_confirmed() -> None:
    pool = a_pool(2000, 100, arms={"steps-x4": -0.05}, confirmed=("steps-x4",))
    fewer = pool.take([i for i in range(len(pool)) if i != pool.members(1, "steps-x4")[1]])
    assert confirmed(pool, ERROR, "steps").gain is not None
    assert confirmed(fewer, ERROR, "steps").headroom is None


def test_an_arm_that_diverged_gains_nothing() -> None:
    diverged = {"lr-x8": "training diverged at step 3 (loss nan): lower lr, which is 8"}
    pool = a_pool(2000, 100, error=0.2, arms={"lr-over-8": 0.05}, left_out=diverged)
    answer = confirmed(pool, ERROR, "tuning")
    assert answer.bound is not None
    assert "8 times larger" not in answer.why
    gained = a_pool(2000, 100, arms={"lr-over-8": -0.05}, confirmed=("lr-over-8",), left_out=diverged)
    assert confirmed(gained, ERROR, "tuning").arm == "lr-over-8"
    both = dict.fromkeys(QUESTIONS["tuning"], diverged["lr-x8"])
    assert "diverged" in confirmed(a_pool(left_out=both), ERROR, "tuning").why
    assert unanswered(a_pool(left_out=both), "tuning") is None


def test_unanswered_only_where_nothing_was_tried() -> None:
    assert unanswered(no_pool("no recipe"), "steps") == "no recipe"
    assert unanswered(a_pool(left_out={"width-x4": "takes no width"}), "capacity") == "takes no width"
    assert unanswered(a_pool(), "steps") == "too few models with 4 times as many steps"
    assert unanswered(a_pool(arms={"lr-x8": 0.1}, left_out={"lr-over-8": BUDGET}), "tuning") is None


def test_a_callable_metric_has_a_gain_but_no_interval_from_few_seeds() -> None:
    mine = Metric(lambda p, y: float(np.mean(p.argmax(axis=1) != y)), higher_is_better=False, name="mine")
    pool = a_pool(2000, 300, arms={"steps-x4": -0.05}, confirmed=("steps-x4",))
    answer, same = confirmed(pool, mine, "steps"), confirmed(pool, ERROR, "steps")
    assert answer.gain is not None
    assert same.gain is not None
    assert answer.gain.value == pytest.approx(same.gain.value / 1000)
    assert answer.gain.low is None
    assert plain(pool, mine) == {}
    many = a_pool(2000, 300, full=8, arms={"steps-x4": -0.05}, confirmed=("steps-x4",))
    gain = confirmed(many, mine, "steps").gain
    assert gain is not None
    assert gain.low < 0.05 < gain.high


def test_plain_models_on_train_and_validation() -> None:
    found = plain(a_pool(2000, 2000, error=0.2), ERROR)
    assert (found["train"].value, found["train"].low) == (0, 0)
    assert found["train"].high > 0
    assert found["validation"].low < 200 < found["validation"].high


def test_a_remedy_that_fails_does_not_speak_for_others() -> None:
    def gain(low: float, high: float) -> Answer:
        return Answer("balance", "balanced", Estimate((low + high) / 2, low, high, "u", 9, "m"))

    most = Estimate(None, 0.0, 90.0, "u", 9, "bounds only")
    assert gain_or(gain(-3, 2), most, 5) is most
    assert gain_or(gain(7, 20), most, 5).low == 7
    assert gain_or(Answer("balance", why="none"), most, 5) is most


def test_table_is_json_and_says_why_not() -> None:
    arms = {"lr-over-8": -0.05, "lr-x8": -0.01, "steps-x4": 0.05}
    pool = a_pool(2000, 500, arms=arms, confirmed=("lr-over-8",), left_out={"width-x4": BUDGET})
    data = arm_table(pool, ERROR, ("tuning", "steps", "capacity")).data
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert all(len(row) == len(data["columns"]) for row in data["rows"])
    notes = [row[-1] for row in data["rows"]]
    assert notes == ["", "gains less at half size than another", "gains nothing at half size", BUDGET]
    assert data["rows"][0][4] == confirmed(pool, ERROR, "tuning").gain.value


def test_other_arms_seeds_narrow_the_interval_unless_this_one_varies_more() -> None:
    metric = Metric("error")
    pool = a_pool(2000, 2000, arms={"lr-over-8": -0.05}, confirmed=("lr-over-8",))
    alone = confirmed(pool, metric, "tuning").gain
    like = dataclasses.replace(pool, seed_variances={"lr-over-8": (1.0, 2.0), "steps-x4": (200.0, 2.0)})
    helped = confirmed(like, metric, "tuning").gain
    assert helped.value == alone.value
    assert helped.df > alone.df
    quiet = dataclasses.replace(pool, seed_variances={"steps-x4": (1e-6, 2.0)})
    assert confirmed(quiet, metric, "tuning").gain == alone


def test_seed_variances_are_between_the_models_of_all_of_train() -> None:
    pool = a_pool(2000, 2000, arms={"lr-over-8": -0.05, "steps-x4": 0.0}, confirmed=("lr-over-8",))
    found = seed_variances(pool, Metric("error"))
    assert found.keys() == {"lr-over-8"}
    passes = [pool.validation_pass(int(i)) for i in pool.members(1, "lr-over-8")]
    errors = [1000 * np.mean(p.predicted != p.y) for p in passes]
    variance, df = found["lr-over-8"]
    assert df == 2
    assert variance >= np.var(errors, ddof=1) - 1e-9  # no less than what the rows make it
    assert seed_variances(pool, Metric(lambda p, y: 0.0, higher_is_better=False)) == {}
