"""A model's file and files of rows: audited, treated and explained without a line of Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from cli_helpers import Cli
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from uncork.data.pixels import SCALES, Pixels
from uncork.data.split import Split
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.files import from_files
from uncork.schema.errors import BadInput

pytestmark = pytest.mark.usefixtures("in_this_process")

QUICK = ("--probes", "miscalibration", "-q")


def rows(n: int, seed: int) -> pd.DataFrame:
    """Two classes told by a number and a category, missing values in both."""
    rng = np.random.default_rng(seed)
    yes = rng.integers(0, 2, n)
    told = np.where(yes == 1, "smith", "baker")
    return pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.9, rng.normal(40 + 5 * yes, 9, n), np.nan),
            "job": np.where(rng.random(n) < 0.9, np.where(rng.random(n) < 0.7, told, "cook"), None),
            "when": pd.date_range("2020-01-01", periods=n)[rng.permutation(n)].strftime("%Y-%m-%d"),
            "who": rng.integers(0, n // 4, n),
            "y": np.where(yes == 1, "yes", "no"),
        }
    )


def pipeline(last: Any = None) -> Any:
    encode = make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["job"]))
    return make_pipeline(encode, last or LogisticRegression())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """m.joblib, train.csv and test.parquet."""
    train, test = rows(300, 0), rows(400, 1)
    train.to_csv(tmp_path / "train.csv", index=False)
    test[test.columns[::-1]].to_parquet(tmp_path / "test.parquet")
    joblib.dump(pipeline().fit(train[["age", "job"]], train["y"]), tmp_path / "m.joblib")
    return tmp_path


COMMAND = ("audit", "--model", "m.joblib", "--train", "train.csv", "--test", "test.parquet", "--target", "y")
NAMED = ("--group", "who", "--time", "when")


def admitted(splits: dict[str, str], **given: Any) -> Any:
    """The subject as the command makes it, fit to audit."""
    settings: dict[str, Any] = {"model": "m.joblib", "named": {"target": "y"}, "columns": None, "classes": None}
    settings |= {"metric": None, "pixels": None, "trust_pickle": True}
    subject = from_files(splits=splits, **(settings | given))
    return admit(subject, describe_only=False, seed=0, fan=Executor())


@pytest.mark.filterwarnings("ignore:m.joblib is read as a pickle")
def test_audit_treat_and_trust(files: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = cli(*COMMAND, *NAMED, *QUICK)
    assert said.code == 2
    assert said.message.startswith("uncork: m.joblib is a pickle, which runs whatever is in it")
    assert "--trust-pickle" in said.message
    assert not (files / "runs").exists()

    said = cli(*COMMAND, *NAMED, *QUICK, "--trust-pickle")
    assert (said.code, said.out) == (0, "")
    report = json.loads((files / "runs" / "m" / "report.json").read_text())
    assert report["subject"]["classes"] == ["no", "yes"]
    assert report["subject"]["splits"] == {"train": 300, "validation": 200, "test": 200}
    assert "200 of the 400 rows of test, the earlier ones, were set aside" in report["subject"]["notes"][0]

    # The run goes on with the very file that was trusted.
    assert cli("treat", "runs/m", "--dry-run", "-q").code == 0
    monkeypatch.setenv("UNCORK_STATE", str(files / "of another machine"))
    said = cli("treat", "runs/m", "-q")
    assert (said.code, said.message[:56]) == (2, "uncork: m.joblib is not the file that was trusted when t")

    # Nor is another file in its place; and trust in a run is none in a new audit.
    said = cli(*COMMAND, *NAMED, *QUICK)
    assert said.message.startswith("uncork: m.joblib is a pickle")
    monkeypatch.setenv("UNCORK_STATE", str(files / "state"))
    (files / "m.joblib").write_bytes((files / "m.joblib").read_bytes() + b"\0")
    said = cli("treat", "runs/m", "-q")
    assert said.message.startswith("uncork: m.joblib is not the file that was trusted when this run was made")


@pytest.mark.filterwarnings("ignore:m.joblib is read as a pickle")
def test_splits_are_carved_as_the_columns_say(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    splits, test = {"train": "train.csv", "test": "test.parquet"}, rows(400, 1)
    by_time = admitted(splits, named={"target": "y", "time": "when"}, columns=["age", "job"]).context.subject
    assert by_time.validation.times.max() < by_time.test.times.min()
    both = np.concatenate([by_time.validation.ids, by_time.test.ids])
    assert sorted(both) == list(range(400))
    np.testing.assert_array_equal(by_time.test.y, (test["y"] == "yes").to_numpy()[by_time.test.ids])

    by_group = admitted(splits, named={"target": "y", "groups": "who"}, columns=["age", "job"]).context.subject
    assert not set(by_group.validation.groups) & set(by_group.test.groups)
    by_hash = admitted(splits, columns=["age", "job"]).context.subject
    # 400 fair coins: outside 150 to 250 once in 10^6 seeds; the split is a hash, so it is this one or never.
    assert 150 < len(by_hash.test) < 250
    given = admitted(splits | {"validation": "train.csv"}, columns=["age", "job"]).context.subject
    assert (len(given.validation), len(given.test)) == (300, 400)


@pytest.mark.filterwarnings("ignore:m.joblib is read as a pickle")
def test_columns_go_by_name_and_unknown_categories_are_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    test = rows(400, 1)
    test.loc[:4, "job"] = "diver"
    test.loc[5, "job"] = "clown"
    test.iloc[::-1][["y", "job", "age"]].to_csv("test.csv", index=False)
    rows(300, 0)[["age", "job", "y"]].to_csv("train.csv", index=False)
    found = admitted({"train": "train.csv", "test": "test.csv"})
    assert list(found.context.subject.test.take(np.array([0])).columns) == ["age", "job"]
    assert found.notes[0] == (
        "test: 6 of 400 rows have a category that train does not: job (rows: 6; 'clown', 'diver')"
    )
    # Beside the model's own splits neither labels nor other columns are asked for.
    test[["job", "age"]].iloc[:50].to_parquet("fresh.parquet")
    more = admitted(
        {"train": "train.csv", "test": "test.csv", "unlabelled": "fresh.parquet", "shifted": "fresh.parquet"}
    )
    assert more.context.subject.unlabelled.y is None


def test_numbers_here_and_texts_there_are_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"job": rng.choice(["1", "2", "unknown"], 200), "y": rng.integers(0, 2, 200)})
    test = pd.DataFrame({"job": rng.choice([1, 2], 200), "y": rng.integers(0, 2, 200)})
    train.to_csv("train.csv", index=False)
    encode = make_column_transformer((OneHotEncoder(handle_unknown="error"), ["job"]))
    joblib.dump(make_pipeline(encode, LogisticRegression()).fit(train[["job"]], train["y"]), "m.joblib")
    test.to_csv("test.csv", index=False)
    test.to_parquet("test.parquet")
    for name, large in (("test.csv", 2**28), ("test.parquet", 2**28), ("test.parquet", 0)):
        monkeypatch.setattr("uncork.data.read.STREAMED", large)
        with pytest.warns(UserWarning, match="read as a pickle"):
            found = admitted({"train": "train.csv", "test": name})
        test_rows = found.context.subject.test
        assert test_rows.take(np.arange(len(test_rows)))["job"].isin(["1", "2"]).all()
        assert found.notes[0].startswith("train: column 'job' holds numbers and texts ('unknown' in row")


@pytest.mark.filterwarnings("ignore:m.joblib is read as a pickle")
def test_a_regression_is_known_by_the_model(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    for name, seed in (("train", 0), ("test", 1)):
        rows(200, seed).assign(y=lambda f: f["age"].fillna(40).round()).to_csv(f"{name}.csv", index=False)
    train = pd.read_csv("train.csv")
    joblib.dump(pipeline(LinearRegression()).fit(train[["age", "job"]], train["y"]), "m.joblib")
    found = admitted({"train": "train.csv", "test": "test.csv"}, columns=["age", "job"])
    assert found.context.facts.metric.name == "rmse"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """train and test: dark and bright images of two sizes, 8 × 8 the commoner in train and 10 × 10 in test."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for split, own, other in (("train", 8, 10), ("test", 10, 8)):
        for name, low in (("bright", 155), ("dark", 0)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(30):
                size = other if i < 5 else own
                pixels = rng.integers(low, low + 101, (size, size, 3), np.uint8)
                image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


@pytest.mark.slow
def test_images_and_a_net(images: Path, cli: Cli) -> None:
    import torch
    from torch import nn

    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():  # brightness of 0 to 1 less a half, from dark to bright
        net[2].weight.copy_(torch.tensor([[1.0] * 3, [-1.0] * 3]))
        net[2].bias.copy_(torch.tensor([-1.5, 1.5]))
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), images / "m.pt")
    command = ["audit", "--model", "m.pt", "--train", "train", "--test", "test", *QUICK]
    said = cli(*command)
    assert said.message == (
        "uncork: images hold bytes, 0 to 255: say what the model takes with --pixels 0-255, 0-1, imagenet"
    )
    assert cli(*command, "--pixels", "1").message == "uncork: pixels are '1': give one of 0-255, 0-1, imagenet"
    assert cli(*command, "--target", "y").message.endswith("whose classes are its folders: leave target out")
    found = admitted({"train": "train", "test": "test"}, model="m.pt", named={}, pixels="0-1")
    subject, notes = found.context.subject, " ".join(found.notes)
    assert subject.classes == ("bright", "dark")
    rows = np.arange(len(subject.test))
    assert (found.context.model.outputs(subject.test.take(rows)).logits.argmax(axis=1) == subject.test.y).all()
    assert "train: 10 of 60 images resized to 8 × 8" in notes
    assert "test: 50 of 60 images resized to 8 × 8" in notes


@pytest.mark.parametrize("scale", SCALES)
def test_pixels(scale: str) -> None:
    """Against torch, by hand."""
    import torch

    batch = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    values = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
    values = values if scale == "0-255" else values / 255
    if scale == "imagenet":
        mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        values = (values - mean[:, None, None]) / spread[:, None, None]
    np.testing.assert_allclose(Pixels(scale)(torch.from_numpy(batch)), values.numpy(), rtol=1e-6, atol=1e-6)
    last = Pixels(scale, channels_first=False)(batch)
    np.testing.assert_allclose(last.transpose(0, 3, 1, 2), values.numpy(), rtol=1e-6, atol=1e-6)
    if scale != "imagenet":
        assert Pixels(scale)(batch[..., 0]).shape == (4, 1, 5, 6)
    with pytest.raises(BadInput, match="pixels are bytes"):
        Pixels(scale)(values)


def changed(**columns: Any) -> Callable[[], None]:
    return lambda: rows(400, 1).assign(**columns).to_parquet("test.parquet")


def dropped(*names: str) -> Callable[[], None]:
    return lambda: rows(400, 1).drop(columns=list(names)).to_parquet("test.parquet")


def nothing() -> None:
    pass


TARGET = {"named": {"target": "y"}}
BAD: dict[str, tuple[Callable[[], None], dict[str, Any], str]] = {
    "a class that train never had": (
        changed(y=["yes"] * 7 + ["maybe"] + ["no"] * 392),
        {},
        "test.y holds 'maybe' in row 7, but the classes are 'no', 'yes'",
    ),
    "a column too few": (dropped("job"), {}, "test.parquet lacks 'job', of the columns of train.csv: rename them"),
    "another name": (
        lambda: rows(400, 1).rename(columns={"job": "Job"}).to_parquet("test.parquet"),
        {},
        "test.parquet lacks 'job' and has 'Job' besides, of the columns of train.csv: rename them, or name those",
    ),
    "a column too many": (changed(more=1), {}, "test.parquet has 'more' besides, of the columns of train.csv"),
    "texts among numbers": (
        changed(age=["12", "old"] * 200),
        {},
        "test.parquet: column 'age' holds 'old' in row 1, but numbers in train.csv: give values of one kind",
    ),
    "dates instead of texts": (
        changed(job=pd.Timestamp("2020-01-01")),
        {},
        "test.parquet: column 'job' holds dates, but texts in train.csv",
    ),
    "no target": (dropped("y"), {}, "test.parquet has no column 'y': it has age, job, when, who"),
    "the target under another name": (
        lambda: rows(400, 1).rename(columns={"y": "label"}).to_parquet("test.parquet"),
        {},
        "test.parquet has no column 'y': it has",
    ),
    "no target named": (
        nothing,
        {"named": {}},
        "train.csv has no labels: name the column that holds them with --target",
    ),
    "no group": (dropped("who"), {"named": {"target": "y", "groups": "who"}}, "test.parquet has no column 'who'"),
    "no such feature": (nothing, {"columns": ["age", "jobs"]}, "train.csv has no column 'jobs'"),
    "classes in another order": (
        nothing,
        {"classes": ["yes", "no"]},
        "classes are in the order of the model's outputs",
    ),
    "pixels of a table": (nothing, {"pixels": "0-1"}, "--pixels goes with images"),
}


@pytest.mark.filterwarnings("ignore:m.joblib is read as a pickle")
@pytest.mark.parametrize(("make", "given", "message"), BAD.values(), ids=BAD.keys())
def test_rows_that_do_not_fit(
    make: Callable[[], None], given: dict[str, Any], message: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    make()
    with pytest.raises(BadInput) as raised:
        admitted({"train": "train.csv", "test": "test.parquet"}, **given)
    assert str(raised.value).startswith(message)


USE: dict[str, tuple[list[str], str]] = {
    "no test": (["--model", "m.onnx", "--target", "y"], "--model needs --test, rows with labels that the model has"),
    "a label of rows": (
        ["--model", "m.onnx", "--test", "b.csv", "--label", "y"],
        "--label goes with --predictions: tables of rows have their labels in the column --target",
    ),
    "a target of predictions": (
        ["--predictions", "p.csv", "--label", "y", "--target", "y"],
        "--target goes with --model: a table of predictions has its labels in the column --label",
    ),
    "trust in predictions": (
        ["--predictions", "p.csv", "--label", "y", "--trust-pickle"],
        "--trust-pickle goes with --model: a table",
    ),
    "test beside a subject": (["s.py:s", "--test", "b.csv"], "--test goes with --model: a Subject says such things"),
    "columns beside a subject": (["s.py:s", "--columns", "a"], "--columns goes with --predictions or --model: a Subj"),
    "a model and a subject": (["s.py:s", "--model", "m.onnx"], "give a subject, path/to/file.py:name; a model's file"),
    "one file twice": (
        ["--model", "m.onnx", "--train", "b.csv", "--test", "./b.csv", "--target", "y"],
        "--train and --test are the same, ./b.csv: what a model has seen, or was chosen on, proves nothing of it",
    ),
    "texts and columns": (
        ["--model", "m.onnx", "--test", "b.csv", "--text", "a", "--columns", "b"],
        "give --text, the one column that the model reads, or --columns, not both",
    ),
    "no such model": (["--model", "m.onnx", "--test", "b.csv"], "m.onnx: there is no such file or folder"),
}


@pytest.mark.parametrize(("arguments", "message"), USE.values(), ids=USE.keys())
def test_options_that_do_not_go_together(arguments: list[str], message: str, cli: Cli, tmp_path: Path) -> None:
    said = cli("audit", *arguments)
    assert said.message.startswith(f"uncork: {message}")
    assert (said.code, said.out, list(tmp_path.iterdir())) == (2, "", [])


def test_trust_that_was_not_needed_stands_in_no_runs_way(tmp_path: Path) -> None:
    """A folder is never unpickled, so that no content of it was remembered."""
    (tmp_path / "m").mkdir()
    for model, message in (("m", "is a folder without config.json"), ("gone", "there is no such file or folder")):
        with pytest.raises(BadInput, match=message):
            from_files(
                model=str(tmp_path / model), splits={}, named={}, columns=None, classes=None, metric=None, pixels=None,
                trust_pickle=True, again=True,
            )  # fmt: skip


def test_columns_of_one_kind_need_no_table(tmp_path: Path) -> None:
    """Arrays have no columns to be named."""
    np.savez(tmp_path / "t.npz", x=np.zeros((4, 2)), y=[0, 1, 0, 1])
    joblib.dump(LogisticRegression().fit(np.eye(2), [0, 1]), tmp_path / "m.joblib")
    with (
        pytest.warns(UserWarning, match="read as a pickle"),
        pytest.raises(BadInput, match="columns are named of tables"),
    ):
        admitted({"test": str(tmp_path / "t.npz")}, model=str(tmp_path / "m.joblib"), columns=["a"])
    with pytest.warns(UserWarning, match="read as a pickle"):
        subject = from_files(
            model=str(tmp_path / "m.joblib"),
            splits={"test": str(tmp_path / "t.npz")},
            **{"named": {}, "columns": None, "classes": None, "metric": None, "pixels": None, "trust_pickle": True},
        )
    assert isinstance(subject.test, Split)
    assert subject.metric.name == "error"


@pytest.mark.slow
def test_images_and_an_onnx_file(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says that it takes 10 × 10 with the channels last, so images are read so."""
    helper = pytest.importorskip("onnx.helper")
    pytest.importorskip("onnxruntime")
    import onnx
    from onnx import TensorProto, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([[1, -1]] * 3, np.float32), "weight"),
        numpy_helper.from_array(np.array([-1.5, 1.5], np.float32), "bias"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 10, 10, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    opset = [helper.make_opsetid("", 17)]
    monkeypatch.chdir(images)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), "m.onnx")
    given: dict[str, Any] = {"model": "m.onnx", "named": {}, "trust_pickle": False}
    with pytest.raises(BadInput, match="images hold bytes"):
        admitted({"train": "train", "test": "test"}, **given)
    found = admitted({"train": "train", "test": "test"}, **given, pixels="0-1")
    subject = found.context.subject
    assert subject.train.take(np.arange(2)).shape == (2, 10, 10, 3)
    outputs = found.context.model.outputs(subject.test.take(np.arange(len(subject.test))))
    assert (outputs.logits.argmax(axis=1) == subject.test.y).all()
