from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uncork.data.split import Split
from uncork.data.tables import predictions_split, read_table
from uncork.schema.errors import BadInput


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(100)],
            "a": rng.normal(size=100),
            "b": rng.integers(0, 9, 100),
            "c": rng.random(100) < 0.5,
            "y": rng.integers(0, 3, 100),
            "g": rng.integers(0, 5, 100),
        }
    )


def test_parquet_round_trip_over_row_groups(tmp_path, frame):
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=17)
    split = Split.from_parquet(tmp_path / "t.parquet", "y", id="id", groups="g")
    expected = frame[["a", "b", "c"]].to_numpy().astype(np.float32)
    rows = np.random.default_rng(1).integers(0, 100, 50)
    batch = split.take(rows)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, expected[rows])
    np.testing.assert_array_equal(np.concatenate([b for _, b in split.batches(13)]), expected)
    np.testing.assert_array_equal(split.y, frame["y"])
    np.testing.assert_array_equal(split.groups, frame["g"])
    assert split.subset([5]).ids.tolist() == ["r5"]
    assert len(split._source._kept) <= 2
    chosen = Split.from_parquet(tmp_path / "t.parquet", columns=["b", "a"])
    assert chosen.y is None
    np.testing.assert_array_equal(chosen.take([3]), frame[["b", "a"]].to_numpy().astype(np.float32)[[3]])


def test_parquet_streams(tmp_path):
    path = tmp_path / "big.parquet"
    with pq.ParquetWriter(path, pa.schema([(f"f{i}", pa.float32()) for i in range(32)])) as writer:
        for _ in range(20):
            group = np.random.default_rng(0).random((32, 50_000), dtype=np.float32)
            writer.write_table(pa.table({f"f{i}": group[i] for i in range(32)}))
    code = f"""
import resource, sys
from uncork.data.split import Split
split = Split.from_parquet({str(path)!r})
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
split.take([0, 60_000, 110_000, 160_000])
before = peak()
print(sum(len(b) for _, b in split.batches(4096)), peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows, growth = done.stdout.split()
    assert int(rows) == 1_000_000  # 128 MB
    assert float(growth) < 60


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "label"}, "has no column 'label': it has id, a, b, c, y, g"),
        ({"columns": ["a", "z"]}, "has no column 'z': it has id, a, b"),
        ({"target": "y"}, "column 'id' holds"),
        ({"target": "y"}, "encode it, or pass columns=["),
    ],
)
def test_parquet_errors(tmp_path, frame, settings, message):
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadInput) as error:
        Split.from_parquet(tmp_path / "t.parquet", **settings)
    assert message in str(error.value)


def test_parquet_target_without_a_value_is_named(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0], "y": ["u", None]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="column 'y' has no value in row 1"):
        Split.from_parquet(tmp_path / "t.parquet", "y")


def test_tables_are_read_from_both_formats(tmp_path, frame):
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv").column_names == read_table(tmp_path / "t.parquet").column_names
    for name, message in (("t.txt", "not .txt"), ("no.csv", "no such file"), ("no.parquet", "no such file")):
        with pytest.raises(BadInput, match=message):
            read_table(tmp_path / name)
    (tmp_path / "bad.parquet").write_bytes(b"nonsense")
    (tmp_path / "bad.csv").write_text("a,b\n1,2,3\n")
    for name in ("bad.parquet", "bad.csv"):
        with pytest.raises(BadInput, match=f"{name} can't be read as"):
            read_table(tmp_path / name)


P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [0.3, 0.3, 0.4]])


def save(tmp_path, columns: dict) -> str:
    path = tmp_path / "p.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return str(path)


def test_columns_that_sum_to_one_are_the_probabilities(tmp_path):
    path = save(
        tmp_path,
        {"k": list("abcd"), "cat": P[:, 0], "dog": P[:, 1], "y": ["cat", "dog", "emu", "cat"], "emu": P[:, 2]},
    )
    split, classes = predictions_split(path, "y", id="k")
    assert classes == ("cat", "dog", "emu")
    assert split.y.tolist() == [0, 1, 2, 0]
    assert split.ids.tolist() == list("abcd")
    np.testing.assert_allclose(split.take(range(4)), P)


@pytest.mark.parametrize("prefix", ["p_", "prob_", "proba_"])
def test_prefixes_win_where_other_floats_stand_beside(tmp_path, prefix):
    path = save(
        tmp_path, {"score": [5.0] * 4, **{f"{prefix}{c}": P[:, i] for i, c in enumerate("uvw")}, "y": list("uvwu")}
    )
    split, classes = predictions_split(path, "y")
    assert classes == ("u", "v", "w")
    np.testing.assert_allclose(split.take([2]), P[[2]])


def test_labels_go_by_name_before_they_go_by_index(tmp_path):
    by_name = save(tmp_path, {"p_1": P[:, 0], "p_2": P[:, 1], "p_3": P[:, 2], "y": [1, 2, 3, 1]})
    assert predictions_split(by_name, "y")[0].y.tolist() == [0, 1, 2, 0]
    by_index = save(tmp_path, {"p_u": P[:, 0], "p_v": P[:, 1], "p_w": P[:, 2], "y": [0, 1, 2, 0]})
    assert predictions_split(by_index, "y")[0].y.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("name", "labels", "columns", "classes"),
    [
        ("p_spam", ["ham", "spam", "ham", "ham"], None, ("ham", "spam")),
        ("p_spam", ["spam", "zebra", "spam", "spam"], None, ("zebra", "spam")),
        ("prob", [0, 1, 0, 0], None, ("0", "1")),
        ("score", [False, True, False, False], ["score"], ("0", "1")),
    ],
)
def test_one_column_is_the_second_class(tmp_path, name, labels, columns, classes):
    path = save(tmp_path, {name: P[:, 1], "y": labels})
    split, got = predictions_split(path, "y", columns=columns)
    assert got == classes
    np.testing.assert_allclose(split.take(range(4)), np.stack([1 - P[:, 1], P[:, 1]], axis=1))
    assert [got[i] for i in split.y] == ([str(int(v)) for v in labels] if classes == ("0", "1") else labels)


@pytest.mark.parametrize(
    ("columns", "chosen", "message"),
    [
        ({"u": P[:, 0], "v": P[:, 1], "w": [0.1, 0.1, 0.4, 0.4], "y": list("uvwu")}, None, "row 2 sum to 0.9, not 1"),
        (
            {"u": [np.nan, *P[1:, 0]], "v": P[:, 1], "w": P[:, 2], "y": list("uvwu")},
            None,
            "column 'u' has no value (NaN or null) in row 0",
        ),
        (
            {"u": P[:, 0], "v": P[:, 1], "w": P[:, 2], "y": list("uvxu")},
            None,
            "holds 'x' in row 2, but the classes are 'u', 'v', 'w'",
        ),
        (
            {"u": P[:, 0], "v": P[:, 1], "w": P[:, 2], "y": [0, 1, 2, 3]},
            None,
            "holds 3 in row 3, but the classes are",
        ),
        (
            {"u": [3.0] * 4, "v": [1.0] * 4, "y": list("uvuv")},
            None,
            "no probability columns were found among u, v, y",
        ),
        ({"u": [3.0] * 4, "v": [1.0] * 4, "y": list("uvuv")}, None, "--columns"),
        (
            {"u": [3.0] * 4, "v": [-2.0] * 4, "y": list("uvuv")},
            ["u", "v"],
            "holds 3 in row 0, which is no probability",
        ),
        ({"u": ["a"] * 4, "y": list("uvuv")}, ["u"], "not probabilities"),
        ({"u": P[:, 0], "y": list("uvuv")}, ["z"], "has no column 'z'"),
        ({"p_q": P[:, 0], "y": list("uvuv")}, None, "one probability column, 'p_q', but 'y' holds u, v"),
        (
            {"u": P[:, 0], "v": P[:, 1], "w": P[:, 2], "y": ["u", None, "v", "w"]},
            None,
            "column 'y' has no value in row 1",
        ),
        ({"u": [], "y": []}, None, "the split is empty"),
    ],
)
def test_predictions_errors(tmp_path, columns, chosen, message):
    with pytest.raises(BadInput) as error:
        predictions_split(save(tmp_path, columns), "y", columns=chosen)
    assert message in str(error.value)
