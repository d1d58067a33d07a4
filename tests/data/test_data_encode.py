"""Tables as numbers: against pandas' and NumPy's own, and nothing of validation in what is fitted."""

from __future__ import annotations

import datetime
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from uncork import Split
from uncork.data.encode import EncodedRows, TableEncoder
from uncork.models.code import code_fingerprint
from uncork.schema.errors import BadInput

KINDS = ("one-hot", "ordinal")


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [20.0, 40.0, np.nan, 60.0],
            "job": ["smith", "baker", None, "smith"],
            "since": pd.to_datetime(["2020-01-01", "2020-01-02 12:00", None, "2020-01-04"], format="ISO8601"),
            "married": [True, False, True, True],
            "void": [None] * 4,
        }
    )


def column(encoder: TableEncoder, batch: Any, name: str) -> list[float]:
    return encoder(batch)[:, encoder.names.index(name)].tolist()


def test_numbers_dates_and_categories_by_hand(frame: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(Split(frame))
    assert encoder.names == [
        *("age", "since", "married", "age is missing", "since is missing"),
        *("job = baker", "job = smith", "job is missing"),
    ]
    made = encoder(frame)
    assert made.dtype == np.float32
    spread = np.sqrt(800 / 3)
    np.testing.assert_allclose(column(encoder, frame, "age"), [-20 / spread, 0, 0, 20 / spread], rtol=1e-6)
    days = np.array([0, 1.5, 3])
    since = np.insert((days - 1.5) / days.std(), 2, 0)
    np.testing.assert_allclose(column(encoder, frame, "since"), since, rtol=1e-5)
    assert column(encoder, frame, "age is missing") == [0, 0, 1, 0]
    assert column(encoder, frame, "job = smith") == [1, 0, 0, 1]
    assert column(encoder, frame, "job is missing") == [0, 0, 1, 0]
    assert not encoder.categorical.any()


def test_trees_get_numbers_as_they_are_and_codes(frame: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(Split(frame), "ordinal")
    assert encoder.names == ["age", "since", "married", "job"]
    assert encoder.categorical.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(column(encoder, frame, "age"), [20, 40, np.nan, 60])
    np.testing.assert_array_equal(column(encoder, frame, "since"), [18262, 18263.5, np.nan, 18265])
    np.testing.assert_array_equal(column(encoder, frame, "married"), [1, 0, 1, 1])
    np.testing.assert_array_equal(column(encoder, frame, "job"), [1, 0, np.nan, 1])
    strange = frame.assign(job=["astronaut", None, "baker", "smith"])
    np.testing.assert_array_equal(column(encoder, strange, "job"), [np.nan, np.nan, 0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_learned_from_validation(frame: pd.DataFrame, kind: str) -> None:
    """Validation alone has a category, missing values and another scale: the encoder of train is as it was."""
    validation = frame.assign(
        age=[np.inf, 2e6, 3e6, 4e6], job="astronaut", married=pd.array([None, True] * 2, "boolean")
    )
    encoder = TableEncoder.fit(Split(frame), kind)
    before = code_fingerprint(encoder), encoder(frame)
    made = encoder(validation)
    assert code_fingerprint(encoder) == before[0]
    np.testing.assert_array_equal(encoder(frame), before[1])
    other = TableEncoder.fit(Split(validation), kind)
    assert code_fingerprint(other) != before[0]
    if kind == "one-hot":
        assert not made[:, [i for i, name in enumerate(encoder.names) if name.startswith("job")]].any()
        np.testing.assert_allclose(
            column(encoder, validation, "age")[1:], (np.array([2, 3, 4]) * 1e6 - 40) / 16.33, rtol=1e-3
        )
        assert column(encoder, validation, "age")[0] == 0  # what is infinite is missing, and told as such
        assert column(encoder, validation, "age is missing") == [1, 0, 0, 0]
        assert np.isfinite(made).all()
        assert "married is missing" not in encoder.names
    else:
        assert np.isnan(made[:, 3]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_encoded_alone_as_among_others(frame: pd.DataFrame, kind: str) -> None:
    encoder = TableEncoder.fit(Split(frame), kind)
    each = np.concatenate([encoder(frame.iloc[[row]]) for row in range(4)])
    np.testing.assert_array_equal(each, encoder(frame))
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again(frame[frame.columns[::-1]].assign(more=1)), each)
    assert code_fingerprint(again) == code_fingerprint(encoder)
    rows = Split(EncodedRows(Split(frame), encoder))
    np.testing.assert_array_equal(rows.take([3, 0]), each[[3, 0]])


@pytest.mark.parametrize("name", ["age", "job"])
@pytest.mark.parametrize("kind", KINDS)
def test_fingerprints_follow_what_was_fitted(frame: pd.DataFrame, kind: str, name: str) -> None:
    other = frame.assign(age=frame["age"] * 2) if name == "age" else frame.assign(job=["a", "b", None, "a"])
    same = code_fingerprint(TableEncoder.fit(Split(frame), kind)) == code_fingerprint(
        TableEncoder.fit(Split(other), kind)
    )
    # An ordinal encoder keeps nothing of numbers.
    assert same == (kind == "ordinal" and name == "age")


def test_many_categories_have_one_for_the_rarest() -> None:
    letters = pd.DataFrame({"c": [f"c{i}" for i in range(100) for _ in range(1 + (i < 10))]})
    encoder = TableEncoder.fit(Split(letters), most=11)
    assert encoder.names == [f"c = c{i}" for i in range(10)] + ["c is rare"]
    assert encoder(pd.DataFrame({"c": ["c3", "c77", "c99", "new"]}))[:, [3, 10]].tolist() == [
        [1, 0],
        [0, 1],
        [0, 1],
        [0, 0],
    ]
    codes = TableEncoder.fit(Split(letters), "ordinal", most=11)(letters)
    assert len(np.unique(codes)) == 11
    assert len(TableEncoder.fit(Split(letters)).names) == 64


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, "one", 2.0, "two"], "category"),
        (pd.Categorical(["a", "b", None, "a"]), "category"),
        (pd.Categorical([3, 1, None, 3]), "category"),
        (pd.array(["a", None, "b", "c"], dtype="str"), "category"),
        (pd.array(["12", "a12", "7", None], dtype="string"), "category"),
        ([True, None, False, True], "number"),
        (pd.array([1, None, 3, 4], dtype="Int64"), "number"),
        (["2020-01-01", None, "2021-12-31T10:00:00", "2020-01-01"], "date"),
        (["2020-01-01", None, "2021-13-31", "2020-01-01"], "category"),
        ([datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 2), None], "date"),
        (pd.to_timedelta([1, 2, None, 4], unit="D"), "date"),
        (pd.to_datetime(["2020-01-01"] * 4, utc=True), "date"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_a_column_is_read_as(values: Any, kind: str) -> None:
    frame = pd.DataFrame({"c": values})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = TableEncoder.fit(Split(frame), "ordinal")
        made = encoder(frame)[:, 0]
    assert encoder.kinds == {"c": kind}
    assert (np.isnan(made) == frame["c"].isna()).all()


def test_one_category_however_it_is_written() -> None:
    """A column of codes is of ints where none is missing, of floats where one is."""
    encoder = TableEncoder.fit(Split(pd.DataFrame({"c": pd.Categorical([3, 1, 3])})))
    for same in (["3", "1"], [3.0, 1.0], pd.Categorical([3, 1])):
        assert encoder(pd.DataFrame({"c": same})).tolist() == [[0, 1], [1, 0]]


def test_arrays_are_numbers() -> None:
    x = np.random.default_rng(0).normal(3, 2, (50, 2, 3)).astype(np.float32)
    x[4, 1, 2] = np.nan
    encoder = TableEncoder.fit(Split(x))
    flat = x.reshape(50, 6).astype(float)
    scaled = np.nan_to_num((flat - np.nanmean(flat, axis=0)) / np.nanstd(flat, axis=0))
    np.testing.assert_allclose(encoder(x)[:, :6], scaled, atol=1e-5)
    np.testing.assert_array_equal(encoder(x)[:, 6], np.isnan(flat[:, 5]))
    with pytest.raises(BadInput, match=r"x has \(4,\) numbers a row"):
        encoder(np.zeros((2, 4)))


def test_fitted_on_a_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncork.data.encode._FITTED_ROWS", 500)
    taken: list[int] = []
    split = Split(pd.DataFrame({"a": np.arange(2000.0)}))
    take = split.take
    monkeypatch.setattr(split, "take", lambda rows: (taken.append(len(rows)), take(rows))[1])
    made = TableEncoder.fit(split)(pd.DataFrame({"a": np.arange(2000.0)}))
    assert max(taken) == 500
    # The mean of 500 of 2,000 rows is within 5 of its s.e. (0.039 of an s.d.); fails 1 correct seed in 10^6.
    assert abs(made.mean()) < 0.2


def test_what_can_not_be_encoded(frame: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(Split(frame))
    for changed, message in [
        (frame.drop(columns=["age", "job"]), "there is no column 'age', 'job', which train has"),
        (frame.assign(age=["a", 1, 2, 3]), "column 'age' holds 'a', but numbers in train"),
        (frame.assign(since="soon"), "column 'since' holds dates in train, but not here"),
        (np.zeros((2, 5)), r"x has \(5,\) numbers a row, but train has the columns 'age', 'job'"),
        (["text"], "rows are of type list, not a table"),
    ]:
        with pytest.raises(BadInput, match=message):
            encoder(changed)
    with pytest.raises(BadInput, match="rows are text, not a table"):
        TableEncoder.fit(Split(["a", "b"]))
    with pytest.raises(BadInput, match="column 'c' holds a list a row: make columns of it"):
        TableEncoder.fit(Split(pd.DataFrame({"c": [[1], [2]]})))
    with pytest.raises(BadInput, match="two columns are called 'a'"):
        TableEncoder.fit(Split(pd.DataFrame([[1, 2]], columns=["a", "a"])))
    with pytest.raises(BadInput, match="kind is 'hot': give one of one-hot, ordinal"):
        TableEncoder.fit(Split(frame), "hot")


@pytest.mark.parametrize("columns", [["age", "job"], ["age"]], ids=" ".join)
def test_a_net_reads_tables_through_an_encoder(frame: pd.DataFrame, columns: list[str]) -> None:
    """`preprocess` gets the DataFrame, or a tensor where all columns are numbers: the encoder takes both."""
    import torch

    from uncork.models.tensors import to_tensors

    encoder = TableEncoder.fit(Split(frame[columns]))
    made = to_tensors(frame[columns], encoder)
    assert made.dtype == torch.float32
    np.testing.assert_array_equal(made.numpy(), encoder(frame[columns]))
