"""Files as splits: against what pandas reads, and what can't be read, with its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uncork import Split
from uncork.data import read
from uncork.data.read import read_split
from uncork.data.unknown import unknown_categories
from uncork.schema.errors import BadInput


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = pd.Series(rng.integers(0, 9, 100).astype(float))
    count[80:90] = np.nan  # a later row group has what the first ones have not
    return pd.DataFrame(
        {
            "age": np.where(rng.random(100) < 0.9, rng.normal(40, 9, 100).round(2), np.nan),
            "count": count.astype("Int64").astype(object).where(count.notna(), None),
            "whole": rng.integers(0, 9, 100),
            "job": np.where(rng.random(100) < 0.9, rng.choice(["smith", "baker"], 100), None),
            "flag": rng.random(100) < 0.5,
            "day": pd.date_range("2020-01-01", periods=100),
            "who": [f"p{i // 4}" for i in range(100)],
            "id": [f"r{i}" for i in range(100)],
            "y": rng.choice(["yes", "no"], 100),
        }
    )


@pytest.fixture(params=["csv", "parquet", "streamed"])
def table(request: pytest.FixtureRequest, tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same table in either form; of few bytes, but read as a large one."""
    path = tmp_path / f"t.{'csv' if request.param == 'csv' else 'parquet'}"
    if request.param == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=17)
    if request.param == "streamed":
        monkeypatch.setattr(read, "STREAMED", 0)
    return path


def test_rows_are_what_pandas_reads(table: Path, frame: pd.DataFrame) -> None:
    split = read_split(table, target="y", id="id", groups="who", time="day")
    assert split.kind == "frame"
    expected = (pd.read_csv if table.suffix == ".csv" else pd.read_parquet)(table)[
        ["age", "count", "whole", "job", "flag"]
    ]
    rows = np.random.default_rng(1).integers(0, 100, 60)
    pd.testing.assert_frame_equal(split.take(rows).reset_index(drop=True), expected.iloc[rows].reset_index(drop=True))
    together = pd.concat([batch for _, batch in split.batches(13)], ignore_index=True)
    pd.testing.assert_frame_equal(together, expected)
    assert split.y.tolist() == frame["y"].tolist()
    assert split.ids[3] == "r3"
    assert split.groups[9] == "p2"
    assert split.times.tolist() == frame["day"].astype("datetime64[ns]").astype(np.int64).tolist()
    assert len(split.take(np.array([], np.int64))) == 0
    chosen = read_split(table, target="y", columns=["whole", "age"])
    assert list(chosen.take([0]).columns) == ["whole", "age"]
    assert read_split(table).y is None
    assert list(read_split(table).take([0]).columns) == list(frame.columns)


def test_categories_are_those_of_all_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = pd.Categorical(["a"] * 5 + ["b", None, "c", "c", "d"])
    frame = pd.DataFrame({"c": column, "flag": [True] * 6 + [None] + [False] * 3, "y": range(10)})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=3)
    monkeypatch.setattr(read, "STREAMED", 0)
    split = read_split(tmp_path / "t.parquet", target="y")
    whole = pd.read_parquet(tmp_path / "t.parquet")[["c", "flag"]]
    for rows in (np.array([0]), np.array([9, 0, 6]), np.arange(10)):
        pd.testing.assert_frame_equal(split.take(rows), whole.iloc[rows].reset_index(drop=True))
    assert len(split._source._kept) <= 2


def test_an_index_is_no_feature(tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    few = frame[["age", "id", "y"]].iloc[::2]
    few.to_parquet(tmp_path / "rows.parquet")
    few.set_index("id").to_parquet(tmp_path / "named.parquet")
    for limit in (2**28, 0):
        monkeypatch.setattr(read, "STREAMED", limit)
        assert list(read_split(tmp_path / "rows.parquet", target="y", id="id").take([0]).columns) == ["age"]
        named = read_split(tmp_path / "named.parquet", target="y", id="id")
        assert named.ids.tolist() == few["id"].tolist()
        assert list(named.take([0]).columns) == ["age"]
        assert list(read_split(tmp_path / "named.parquet", target="y").take([0]).columns) == ["age", "id"]


def test_texts(tmp_path: Path, table: Path) -> None:
    split = read_split(table, target="y", text="who")
    assert split.kind == "text"
    assert split.take([0, 99]) == ["p0", "p24"]
    (tmp_path / "t.csv").write_text("body,y\nfine,1\n,0\n12,1\n")
    split = read_split(tmp_path / "t.csv", target="y", text="body")
    assert split.take([0, 1, 2]) == ["fine", "", "12"]
    assert split.notes == ("1 of 3 rows have no text in column 'body': read as empty",)


def test_names_and_texts_of_a_csv_file_are_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("who,of,t,n\n007,3,None,1\n07,12,null,2\n7,3,,3\n")
    split = read_split(tmp_path / "t.csv", id="who", groups="of", text="t")
    assert (split.ids.tolist(), split.groups.tolist()) == (["007", "07", "7"], [3, 12, 3])
    assert split.take(np.arange(3)) == ["None", "null", ""]
    assert split.notes == ("1 of 3 rows have no text in column 't': read as empty",)
    assert read_split(tmp_path / "t.csv", groups="who", columns=["who", "n"]).take(np.arange(1))["who"].tolist() == [7]


def test_numbers_and_texts_in_one_column_are_categories_and_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("age,zip,job,y\n1,7,a,0\nunknown,A7,b,1\n,B7,3,0\n4,C7,c,1\n")
    split = read_split(tmp_path / "t.csv", target="y")
    assert split.notes == ("column 'age' holds numbers and texts ('unknown' in row 1): read as categories",)
    assert split.take([0, 1])["age"].tolist() == ["1", "unknown"]


def test_npz_and_folders_of_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.eye(3), label=[0, 1, 0], when=[3, 1, 2])
    split = read_split(tmp_path / "t.npz", target="label", time="when")
    assert (split.kind, split.y.tolist(), split.times.tolist()) == ("array", [0, 1, 0], [3, 1, 2])
    image = pytest.importorskip("PIL.Image")
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "images" / name / "0.png")
    split = read_split(tmp_path / "images")
    assert split.take(np.arange(2)).shape == (2, 4, 5, 3)
    assert split.y.tolist() == ["ant", "bee"]
    for given, message in [
        ({"target": "y"}, "whose classes are its folders: leave target out"),
        ({"columns": ["a"]}, "columns are named of tables"),
    ]:
        with pytest.raises(BadInput, match=message):
            read_split(tmp_path / "images", **given)
    with pytest.raises(BadInput, match="holds arrays: text and columns are named of tables"):
        read_split(tmp_path / "t.npz", text="body")


GOOD = "a,b,day,y\n1,2,2020-01-01,0\n3,4,2020-01-02,1\n"

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no target there": (GOOD, {"target": "z"}, "t.csv has no column 'z': it has a, b, day, y"),
    "no group there": (GOOD, {"target": "y", "groups": "z"}, "t.csv has no column 'z'"),
    "no such feature": (GOOD, {"target": "y", "columns": ["a", "z"]}, "t.csv has no column 'z'"),
    "no such text": (GOOD, {"target": "y", "text": "z"}, "t.csv has no column 'z'"),
    "the target as a feature": (GOOD, {"target": "y", "columns": ["a", "y"]}, "column 'y' is the target"),
    "the target as ids": (GOOD, {"target": "y", "id": "y"}, "column 'y' is the target, and can't name ids"),
    "texts and columns": (GOOD, {"text": "a", "columns": ["b"]}, "give columns, or the one column of texts"),
    "no feature left": ("y\n1\n0\n", {"target": "y"}, "t.csv has no column beside y: there is nothing to predict from"),
    "a missing target": ("a,y\n1,0\n2,\n", {"target": "y"}, "column 'y' has no value in row 1: leave such rows out"),
    "a missing name": ("a,y\n1,ant\n2,\n", {"target": "y"}, "column 'y' has no value in row 1"),
    "a missing time": ("a,y,t\n1,0,\n2,1,3\n", {"target": "y", "time": "t"}, "column 't' has no value in row 0"),
    "a time that is none": (
        GOOD.replace("2020-01-02", "soon"),
        {"time": "day"},
        "column 'day' holds 'soon' in row 1: write dates",
    ),
    "no rows": ("a,y\n", {"target": "y"}, "t.csv: the table has no rows: the split is empty"),
    "nothing at all": ("", {"target": "y"}, "t.csv is empty: give a table with a line of column names"),
    "more values than names": (
        "a,y\n5,1,0\n6,3,1\n",
        {"target": "y"},
        "its lines hold more values than the first names",
    ),
    "lines of two lengths": ("a,y\n1,0\n1,2,3,4\n", {"target": "y"}, "t.csv can't be read as CSV: .*line 3"),
}


@pytest.mark.parametrize(("content", "given", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_read(content: str, given: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(BadInput, match=message) as raised:
        read_split(tmp_path / "t.csv", **given)
    assert str(raised.value).startswith(str(tmp_path / "t.csv"))


def test_files_that_are_none(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-100])
    (tmp_path / "hurt.parquet").write_bytes(whole[:50] + bytes(400) + whole[450:])
    (tmp_path / "t.csv").write_bytes(b"a,y\n\xff\xfe\x00,1\n")
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    for name, message in [
        ("cut.parquet", "can't be read as Parquet"),
        ("hurt.parquet", "can't be read as Parquet"),
        ("t.csv", "can't be read as CSV: 'utf-8' codec can't decode"),
        ("t.xlsx", "rows are read from .csv, .parquet, .npz and folders .* not .xlsx"),
        ("none.csv", "there is no such file"),
        ("none.parquet", "there is no such file"),
        ("none", "rows are read from .csv, .* not a name without suffix"),
    ]:
        with pytest.raises(BadInput, match=message):
            read_split(tmp_path / name, target="y")


def test_categories_that_train_has_not() -> None:
    train = pd.DataFrame({"job": ["smith", "baker"] * 20, "size": range(40), "name": [f"n{i}" for i in range(40)]})
    test = pd.DataFrame({"job": ["smith", "diver", None, "diver", "cook"], "size": 99, "name": list("abcde")})
    said = unknown_categories(Split(train), Split(test))
    assert said == "3 of 5 rows have a category that train does not: job (rows: 3; 'diver', 'cook')"
    assert unknown_categories(Split(train), Split(test.iloc[[0, 2]])) is None
    assert unknown_categories(Split(train), Split(np.zeros((3, 2)))) is None
    assert unknown_categories(Split(train), Split(test.drop(columns="job"))) is None
    assert unknown_categories(Split(train.assign(name=[[1]] * 40)), Split(test)) == said


AUDIT = """
import resource, sys
import numpy as np, pandas, torch, uncork
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from uncork.data.read import read_split
from uncork.run.audit import audit

train = read_split("train.parquet", target="y")
encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), remainder="passthrough")
model = make_pipeline(encode, LogisticRegression()).fit(train.take(np.arange(2000)), train.y[:2000])
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + ALLOWED, held + ALLOWED))
subject = uncork.Subject(model, train=train, test=read_split("test.parquet", target="y"))
report = audit(subject, out="run", budget="2m", probes=["leaked-examples", "miscalibration", "split-shift"])
print(report.headline.n, [finding.verdict for finding in report.findings])
try:
    pandas.read_parquet("test.parquet").copy()
except MemoryError:
    print("too large to be read whole")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set by what Linux tells of a process")
def test_a_table_larger_than_memory_is_audited(tmp_path: Path) -> None:
    """512 MB of rows, where the process may take 256 MB more than it has before it reads them."""
    schema = pa.schema([("age", pa.float64()), ("job", pa.string()), ("y", pa.int64())])
    rng = np.random.default_rng(0)
    jobs = np.array([name * 1640 for name in ("smith", "baker", "diver")])  # 8 kB each
    for name, groups in (("train", 2), ("test", 64)):
        with pq.ParquetWriter(tmp_path / f"{name}.parquet", schema, use_dictionary=False, compression="none") as writer:
            for _ in range(groups):
                y = rng.integers(0, 2, 1000)
                columns = {"age": rng.normal(size=1000) + y, "job": rng.choice(jobs, 1000), "y": y}
                writer.write_table(pa.table(columns, schema=schema))
    assert (tmp_path / "test.parquet").stat().st_size > 500 * 2**20
    code = AUDIT.replace("ALLOWED", str(256 * 2**20))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 30_000 < int(lines[0].split()[0]) < 34_000
    assert "error" not in lines[0]
    assert lines[1] == "too large to be read whole"
