"""Rows of another format are handed over; rows like train's are not, and no decision is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from uncork import BadInput, Predictions, Split, Subject, load_treated
from uncork.models.adapt import adapt, as_model
from uncork.models.contracted import Contracted, InputContract, learn
from uncork.remedies._contract import Case
from uncork.remedies.contract import apply
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.stress.formats import formats_of
from uncork.testing.remedies import check_remedy

CaseOf = Callable[..., Case]


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class Loud(nn.Module):
    """Answers infinity where a value is missing."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).nan_to_num(nan=torch.inf)


def test_keeps_the_contract(ground: Callable[..., Subject], case_of: CaseOf) -> None:
    """Two rows of validation lack a value: the model answers infinity to them, and the contract hands them over."""

    def make() -> Case:
        subject = ground()
        x = subject.validation.take(np.arange(500))
        x[[3, 8], 5] = np.nan
        return case_of(subject.replace(model=Loud(subject.model), validation=Split(x, subject.validation.y)))

    check_remedy(apply, make)
    model = apply.apply(make()).subject.model
    out = model.outputs(make().subject.validation.take(np.arange(10)))
    assert not out.answered[[3, 8]].any()
    assert np.isfinite(out.logits).all()


def test_formats_are_stopped_and_the_rows_own_is_not(ground: Callable[..., Subject], case_of: CaseOf) -> None:
    subject = ground()
    treated = apply.apply(case_of(subject))
    model, x = treated.subject.model, subject.validation.take(np.arange(500))
    out, given = model.outputs(x), adapt(subject, "classification").outputs(x)
    np.testing.assert_array_equal(out.logits, given.logits)
    assert treated.amount == (~out.answered).sum() <= 10
    for name in ("× 4", "× 255", "÷ 255", "0–1 as −1–1", "one value missing"):
        changed = formats_of(x)[name](x, np.full(500, 0.4))
        assert model.outputs(changed).answered.mean() < 0.05, name
        assert name in treated.changes.split("it lets pass")[0]
    with pytest.raises(BadInput, match="type 'u'"):
        model.outputs((255 * x).astype(np.uint8))
    with pytest.raises(BadInput, match="shape"):
        model.outputs(x[:, :32])
    assert model.check(x[out.answered]) == ()
    said = model.check(255 * x[:5])
    assert said[0].endswith("5 such rows")
    assert "255 in row 0" in " ".join(said)


def test_false_refusals_are_rare_on_rows_not_learnt_from(digits: Any) -> None:
    """The margin is chosen at 1 in 1,000 on half of train: of other rows at most 1 in 50, over five draws of train."""
    x = digits[0]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(1797)
        contract = learn([x[order[:600]]])
        assert contract.broken(x[order[600:]]).any(axis=1).mean() < 0.02


def test_tables_know_whole_numbers_categories_and_gaps(case_of: CaseOf) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.integers(18, 90, 400), "rate": rng.normal(size=400), "kind": rng.choice(["a", "b"], 400)}
    )
    frame.loc[::9, "rate"] = np.nan
    contract = learn([frame[:200], frame[200:]])
    assert contract.broken(frame).sum() == 0
    cases = {
        "age": frame.assign(age=frame["age"] + 0.5),
        "rate": frame.assign(rate=1000.0),
        "kind": frame.assign(kind="c"),
    }
    for column, changed in cases.items():
        broken = contract.broken(changed)
        assert broken[:, list(frame.columns).index(column)].all()
        assert broken.sum() == 400
        assert f"column {column}" in contract.check(changed)[0]
    assert contract.broken(frame.assign(age=np.nan))[:, 0].all()
    assert "columns" in contract.check(frame[["rate", "age", "kind"]])[0]


def test_texts(case_of: CaseOf) -> None:
    texts = [f"a review of number {i} that says what it says" for i in range(200)]
    y = np.arange(200) % 2
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, y)
    subject = Subject(model, validation=Split(texts[100:], y[100:]), train=Split(texts[:100], y[:100]), test=None)
    contracted = apply.apply(case_of(subject, n_classes=2)).subject.model
    answered = contracted.outputs([texts[0], "", texts[0].upper(), "ночь " * 8]).answered
    assert answered.tolist() == [True, False, False, False]


def test_a_model_that_refuses_what_is_missing_is_asked_about_the_rest() -> None:
    """scikit-learn refuses a batch for one NaN; behind a contract that row alone is handed over."""
    x = np.random.default_rng(0).normal(size=(200, 3))
    inner = as_model(LogisticRegression().fit(x, x[:, 0] > 0), "classification")
    model = Contracted(inner, learn([x]))
    some = x[:4].copy()
    some[1, 2] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        inner.outputs(some)
    out = model.outputs(some)
    assert out.answered.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(out.logits[[0, 2, 3]], inner.outputs(x[[0, 2, 3]]).logits)
    assert not out.logits[1].any()
    alone = model.outputs(some[1:2])
    assert (alone.answered.tolist(), alone.logits.shape) == ([False], (1, 2))
    with pytest.raises(BadInput, match="refuses"):  # of what it should take, it is asked no second time
        Contracted(as_model(LogisticRegression().fit(x[:, :2], x[:, 0] > 0), "classification"), learn([x])).outputs(x)


def test_without_train_half_of_validation_teaches(ground: Callable[..., Subject], case_of: CaseOf) -> None:
    treated = apply.apply(case_of(ground().replace(train=None, recipe=None)))
    assert "from 250 rows" in treated.changes


def test_regression_is_contracted_too(case_of: CaseOf) -> None:
    x = np.random.default_rng(0).normal(size=(300, 4))
    model = LinearRegression().fit(x, x[:, 0])
    subject = Subject(
        model, validation=Split(x[:150], x[:150, 0]), train=Split(x[150:], x[150:, 0]), test=None, metric="rmse"
    )
    contracted = apply.apply(case_of(subject, task="regression")).subject.model
    assert contracted.task == "regression"
    assert not contracted.outputs(100 * x[:5]).answered.any()


def test_saved_and_loaded_it_refuses_the_same(ground: Callable[..., Subject], case_of: CaseOf, tmp_path: Path) -> None:
    subject = apply.apply(case_of(ground())).subject
    x = subject.validation.take(np.arange(60))
    x[:20] *= 50
    save_treated(tmp_path, subject, subject.model, ["contract: this"])
    again = load_treated(tmp_path, net)
    before, after = subject.model.outputs(x), again.outputs(x)
    np.testing.assert_array_equal(before.logits, after.logits)
    np.testing.assert_array_equal(before.answered, after.answered)
    assert not after.answered[:20].any()
    assert again.fingerprint() == subject.model.fingerprint()


def test_json_gives_it_back() -> None:
    import json
    from dataclasses import asdict

    frame = pd.DataFrame({"n": [1.0, 2.5, np.nan, 3.0] * 5, "k": list("abab") * 5})
    contract = learn([frame])
    assert InputContract.of_json(json.loads(json.dumps(asdict(contract)))) == contract


def test_a_row_is_checked_in_microseconds(digits: Any) -> None:
    """The fastest of ten batches of 256 rows of 64 numbers takes under 100 µs a row; 2 to 10 µs are usual."""
    contract, x = learn([digits[0]]), digits[0][:256]
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        contract.broken(x)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) / 256 < 1e-4


def test_predictions_have_no_inputs(case_of: CaseOf) -> None:
    p = np.full((40, 2), 0.5)
    subject = Subject(Predictions(), validation=Split(p, np.arange(40) % 2), test=None)
    with pytest.raises(Unavailable, match="only predictions"):
        apply.apply(case_of(subject, n_classes=2))
