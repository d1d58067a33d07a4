"""Rows of a split as a matrix: what is fitted beside the model sees tables with categories too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from uncork import Split
from uncork.gather import code_length, fingerprints, two_sample
from uncork.gather._contract import Context
from uncork.gather._matrix import encoder_of, matrix, width
from uncork.schema.artifacts import CodeLength, Fingerprints, TwoSample
from uncork.schema.errors import Unavailable


def table(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Two classes that the category tells apart, and a number that tells nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    job = np.where(rng.random(n) < 0.9, np.where(y == 1, "smith", "baker"), "other")
    return pd.DataFrame({"age": rng.normal(40, 9, n), "job": job}), y


def context_with(context_of: Callable[..., Context], train: Split, validation: Split) -> Context:
    assert train.y is not None
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(train.take(np.arange(len(train))), train.y)
    return context_of(model=model, train=train, validation=validation, test=Split(*table(60, 9)))


def test_an_encoder_is_made_where_it_is_needed() -> None:
    x, y = table(50, 0)
    train = Split(x, y)
    encoder = encoder_of(train, "rivals")
    assert encoder is not None
    assert encoder is encoder_of(train, "rivals")
    assert width(train, encoder) == len(encoder.names) == 4
    made = matrix(train, "train", np.arange(5), "rivals", encoder=encoder)
    np.testing.assert_array_equal(made, encoder(x.iloc[:5]))
    chosen = matrix(train, "train", np.arange(5), "rivals", np.array([3, 1]), encoder)
    np.testing.assert_array_equal(chosen, made[:, [3, 1]])
    numbers = Split(x[["age"]], y)
    assert encoder_of(numbers, "rivals") is None
    np.testing.assert_array_equal(matrix(numbers, "train", np.arange(3), "rivals"), x[["age"]][:3].astype("float32"))
    # None is missing in the first row, so that only the column's type tells.
    nullable = Split(pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}))
    assert encoder_of(nullable, "rivals") is not None
    assert encoder_of(Split(np.zeros((3, 2))), "rivals") is None
    with pytest.raises(Unavailable, match=r"rivals need numbers: train.x: column 'a' holds a list a row"):
        encoder_of(Split(pd.DataFrame({"a": [[1], [2]]})), "rivals")


def test_only_validation_s_category_is_seen_by_nobody() -> None:
    train, validation = (Split(*table(50, seed)) for seed in (0, 1))
    x = validation.take(np.arange(50)).assign(job="astronaut")
    made = matrix(Split(x), "validation", np.arange(50), "rivals", encoder=encoder_of(train, "rivals"))
    assert not made[:, 1:].any()


def test_gatherers_take_tables(context_of: Callable[..., Context]) -> None:
    """Bits near those of the 10 % that are drawn at random; near copies found; a shift of categories told."""
    (x, y), (fresh, fresh_y) = table(400, 0), table(300, 1)
    context = context_with(context_of, Split(x, y), Split(fresh, fresh_y))
    coded = code_length.gather.gather(CodeLength(), context)
    assert coded.families == ("linear", "gbdt")
    # 10 % of the rows cost one bit, the others none: 0.1 in the limit of many rows, above it from so few.
    assert 0.08 < coded.bits[0, -1].mean() < 0.25
    same = two_sample.gather.gather(TwoSample(), context)
    assert abs(np.corrcoef(same.score, same.new)[0, 1]) < 0.2

    moved = fresh.assign(job=np.where(np.random.default_rng(2).random(300) < 0.5, "other", fresh["job"]))
    told = two_sample.gather.gather(TwoSample(), context_with(context_of, Split(x, y), Split(moved, fresh_y)))
    assert np.corrcoef(told.score, told.new)[0, 1] > 0.35

    copies = fresh.copy()
    copies.iloc[:20] = x.iloc[:20]
    copies.loc[copies.index[:20], "age"] += 1e-4
    found = fingerprints.gather.gather(Fingerprints(), context_with(context_of, Split(x, y), Split(copies, fresh_y)))
    assert found.spiked
    pairs = {tuple(pair) for pair, where in zip(found.near_pairs.tolist(), found.near_split, strict=True) if where == 1}
    assert {(row, row) for row in range(20)} <= pairs or {(r, r) for r in range(20)} <= {p[::-1] for p in pairs}
