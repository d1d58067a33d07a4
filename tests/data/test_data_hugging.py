from __future__ import annotations

import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from uncork.data.hugging import from_disk
from uncork.data.split import Split
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.errors import BadInput
from uncork.schema.subject import Subject

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

N = 24
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 5, 6, 3), dtype=np.uint8)
NAMES = ["world", "sports", "business"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    labels = [i % 3 for i in range(N)]
    pictures = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    images = [Pillow.fromarray(one) for one in PIXELS]
    datasets.DatasetDict(
        train=datasets.Dataset.from_dict({"image": images, "label": labels}, features=pictures),
        test=datasets.Dataset.from_dict({"image": images, "label": [-1] * N}, features=pictures),
    ).save_to_disk(str(root / "images"))
    table = {
        "text": [f"text {i}" for i in range(N)],
        "number": [float(i) for i in range(N)],
        "gaps": [i if i % 2 else None for i in range(N)],
        "yes": [True, None] * (N // 2),
        "kind": ["u", None] * (N // 2),
        "topic": labels,
        "idx": list(range(100, 100 + N)),
        "y": [i % 2 for i in range(N)],
    }
    features = datasets.Dataset.from_dict(table).features.copy()
    features["topic"] = datasets.ClassLabel(names=NAMES)
    whole = datasets.Dataset.from_dict(table, features=features)
    whole.save_to_disk(str(root / "table"))
    whole.select_columns(["text", "topic"]).save_to_disk(str(root / "texts"))
    vectors = datasets.Dataset.from_dict({"v": [[1.0, float(i)] for i in range(N)], "label": labels})
    vectors.save_to_disk(str(root / "vectors"))
    ragged = datasets.Dataset.from_dict({"v": [[1.0] * (1 + i % 2) for i in range(N)], "label": labels})
    ragged.save_to_disk(str(root / "ragged"))
    return root


def test_images_and_class_labels(saved):
    split = from_disk(saved / "images" / "train")
    np.testing.assert_array_equal(split.take(np.array([3, 0])), PIXELS[[3, 0]])
    assert split.classes == tuple(NAMES)
    assert split.y.tolist() == [i % 3 for i in range(N)]
    assert from_disk(saved / "images", split="test").y is None  # −1 is how the library says that there is none
    assert from_disk(saved / "images", split="train", size=3, mode="L").take(np.array([0])).shape == (1, 3, 3)


def test_workers_get_the_names_of_files_and_no_rows(saved):
    for split in (from_disk(saved / "images", split="train"), from_disk(saved / "texts")):
        content = pickle.dumps(split)
        assert len(content) < 5_000
        again = pickle.loads(content)
        assert list(map(str, again.take(np.array([2])))) == list(map(str, split.take(np.array([2]))))


def test_texts(saved):
    named = from_disk(saved / "table", text="text", target="y", id="idx")
    assert (named.kind, named.take(np.array([5, 1]))) == ("text", ["text 5", "text 1"])
    assert (named.y.tolist()[:3], named.ids.tolist()[:2], named.classes) == ([0, 1, 0], [100, 101], None)
    alone = from_disk(saved / "texts")  # the only column beside the target
    assert (alone.kind, alone.y.tolist()[:3], alone.classes) == ("text", [0, 1, 2], tuple(NAMES))


def test_columns_as_a_frame(saved):
    split = from_disk(saved / "table", target="y", id="idx")
    assert split.kind == "frame"
    frame = split.take(np.array([1, 3]))  # no gap in these rows: their types are those of any others
    assert list(frame.columns) == ["text", "number", "gaps", "yes", "kind", "topic"]
    assert frame["topic"].tolist() == ["sports", "world"]
    assert frame["gaps"].tolist() == [1.0, 3.0]
    assert frame.dtypes.tolist() == split.take(np.array([0, 1])).dtypes.tolist()
    assert frame["gaps"].dtype == frame["yes"].dtype == np.float64
    assert split.take(np.array([1]))["kind"].isna().all()


def test_arrays_of_one_shape(saved):
    np.testing.assert_array_equal(from_disk(saved / "vectors").take(np.array([4])), [[1, 4]])
    with pytest.raises(BadInput, match="not arrays of numbers of one shape"):
        from_disk(saved / "ragged").take(np.array([0, 1]))


@pytest.mark.parametrize(
    ("folder", "asked", "message"),
    [
        ("absent", {}, "there is no such folder"),
        (".", {}, "holds no dataset of save_to_disk that can be read"),
        ("images", {}, "holds the splits train, test: give one of them, such as .*train"),
        ("images", {"split": "dev"}, "holds the splits train, test"),
        ("table", {"split": "train"}, "holds one dataset, not the split 'train'"),
        ("table", {"target": "price"}, "has no column 'price': it has text, number"),
        ("table", {"text": "words"}, "has no column 'words'"),
        ("table", {"text": "number"}, "column 'number' holds double, not text"),
        ("table", {"text": "kind"}, "column 'kind' has no value in row 1"),
    ],
)
def test_errors_say_what_is_wrong(saved, folder, asked, message):
    with pytest.raises(BadInput, match=message):
        from_disk(saved / folder, **asked)


def test_labels_go_by_name_where_the_model_names_its_outputs(saved):
    """The library's classes are in the order of the data, scikit-learn's are sorted."""
    from sklearn.dummy import DummyClassifier

    y = np.array(NAMES)[np.arange(N) % 3]
    model = DummyClassifier(strategy="prior").fit(np.zeros((N, 2)), y)
    split = from_disk(saved / "vectors")
    named = Split(split.take(np.arange(N)), split.y)
    assert admit(Subject(model, test=named), describe_only=True, seed=0, fan=Executor()).context.subject.test.y[0] == 0
    told = from_disk(saved / "images", split="train")
    context = admit(Subject(model, test=told), describe_only=True, seed=0, fan=Executor()).context
    assert context.subject.classes == ("business", "sports", "world")
    assert context.subject.test.y.tolist()[:3] == [2, 1, 0]
    loud = DummyClassifier(strategy="prior").fit(np.zeros((N, 2)), np.char.upper(y))
    context = admit(Subject(loud, test=told), describe_only=True, seed=0, fan=Executor()).context
    assert context.subject.test.y.tolist()[:3] == [2, 1, 0]
    foreign = DummyClassifier(strategy="prior").fit(np.zeros((N, 2)), np.array(["a", "b", "c"])[np.arange(N) % 3])
    admitted = admit(Subject(foreign, test=told), describe_only=True, seed=0, fan=Executor())
    assert "'world', 'sports', 'business' are taken for the model's 'a', 'b', 'c' by their order" in admitted.notes[0]
    named = Subject(foreign, test=told, classes=["a", "b", "c"])
    assert len(admit(named, describe_only=True, seed=0, fan=Executor()).notes) == len(admitted.notes) - 1


def test_splits_whose_indices_stand_for_other_names_are_refused(saved, tmp_path):
    other = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", *NAMES[:2]])})
    images = [Pillow.fromarray(one) for one in PIXELS]
    datasets.Dataset.from_dict({"image": images, "label": [i % 3 for i in range(N)]}, features=other).save_to_disk(
        str(tmp_path / "other")
    )
    net = nn.Sequential(nn.Flatten(), nn.Linear(90, 3))
    train, test = from_disk(saved / "images", split="train"), from_disk(tmp_path / "other")
    subject = Subject(net, train=train, test=test, preprocess=torch.Tensor.float)
    with pytest.raises(BadInput, match="test's labels stand for 'a', 'world', 'sports', but those of another split"):
        admit(subject, describe_only=True, seed=0, fan=Executor())
