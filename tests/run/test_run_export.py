"""One ONNX file of all that a model is made of: onnxruntime alone says what the Python object says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from onnx_helpers import W, built, classifier, node
from onnx_helpers import net as made_by_hand
from uncork import BadInput, Recipe, Split, Subject, audit, export, patch
from uncork.derived.patches import ROUNDING
from uncork.models.adapt import as_model
from uncork.models.as_module import with_features
from uncork.models.as_onnx import in_its_place
from uncork.models.base import Model
from uncork.models.contracted import Contracted, learn
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Bounded, Guarded
from uncork.models.onnx_inputs import feeds
from uncork.models.onnx_model import OnnxModel
from uncork.models.patched import Patched, places, remembered
from uncork.models.temperature import Tempered
from uncork.models.tensors import to_tensors
from uncork.models.to_int8 import WAYS, int8_bytes
from uncork.models.to_onnx import onnx_bytes
from uncork.models.torch_model import TorchModel
from uncork.remedies.guard import guarded
from uncork.run.load import Loaded
from uncork.schema.certificate import Certificate
from uncork.schema.errors import Unavailable
from uncork.train.loop import fit

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CORRECTED = 8


def _build() -> nn.Module:
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10))


def _scaled(x: torch.Tensor) -> torch.Tensor:
    return x.float() / 16


@pytest.fixture(scope="module")
def digits() -> dict[str, Split]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x.reshape(-1, 1, 8, 8).astype(np.uint8)[order], y[order]
    cuts = {"train": (0, 400), "fitting": (400, 700), "validation": (700, 1100), "test": (1100, len(y))}
    return {name: Split(x[slice(*at)], y[slice(*at)]) for name, at in cuts.items()}


@pytest.fixture(scope="module")
def net(digits: dict[str, Split]) -> TorchModel:
    recipe = Recipe(_build, epochs=8, batch_size=32, lr=3e-3)
    model = as_model(
        fit(recipe, digits["train"], seed=0, preprocess=_scaled).module, "classification", preprocess=_scaled
    )
    model.outputs(digits["train"].take(np.arange(8)), features=True)
    return model  # type: ignore[no-any-return]


def _in_int8(net: TorchModel, train: Split) -> OnnxModel:
    """With its features as a second output."""
    rows = [train.take(np.arange(start, start + 32)) for start in range(0, 256, 32)]
    content = onnx_bytes(with_features(net), to_tensors(rows[0], net.preprocess), names=("logits", "features"))
    whole = in_its_place(content, net)
    batches = [feeds(whole.inputs, whole.preprocess(batch)) for batch in rows]  # type: ignore[misc]
    return in_its_place(int8_bytes(content, batches, WAYS[0]), net)


def _around(inner: Model, digits: dict[str, Split]) -> Contracted:
    """Patched, tempered, guarded, contracted, each on rows of its own."""
    fitting = digits["fitting"]
    everything = np.arange(len(fitting))
    known, y = places(inner, fitting, everything), np.asarray(fitting.y)
    wrong = np.flatnonzero(known.decided != y)[:CORRECTED]
    assert len(wrong) == CORRECTED
    assert known.space == "features"
    rest = np.setdiff1d(everything, wrong)
    memory = remembered(
        wrong.tolist(),
        known.points[wrong],
        y[wrong],
        type(known)(known.points[rest], known.logits[rest], known.space),
        y[rest],
        rest,
    )
    model = guarded(Tempered(Patched(inner, memory), 1.3), digits["validation"], precision=0.9)
    return Contracted(model, learn([digits["train"].take(np.arange(400))]))


def _odd(test: Split) -> np.ndarray:
    """The test split, and rows that break the contract."""
    x: np.ndarray = test.take(np.arange(len(test)))
    return np.concatenate([x, 255 - x[:20]])


@pytest.mark.slow
@pytest.mark.parametrize("bits", [32, 8])
def test_a_guarded_patched_net_is_one_file_that_says_the_same_on_the_whole_test_split(
    bits: int, net: TorchModel, digits: dict[str, Split], tmp_path: Path
) -> None:
    inner = net if bits == 32 else _in_int8(net, digits["train"])
    model = _around(inner, digits)
    names = [f"digit {k}" for k in range(10)]
    found = export(model, tmp_path / "m.onnx", digits["validation"], classes=names)
    assert (found.rows, found.flips, found.turned) == (400, 0, 0)

    x = _odd(digits["test"])
    out = model.outputs(x)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    decided, sure, answered, logits = session.run(["class", "confidence", "answered", "logits"], {"x": x})
    assert 0.3 < answered[:-20].mean() < 0.999
    assert not answered[-20:].any()
    assert (decided == out.logits.argmax(axis=1)).all()
    assert (answered == out.answered).all()
    assert np.abs(logits - out.logits).max() < (1e-4 if bits == 32 else 1e-6)
    assert np.abs(sure - torch.from_numpy(out.logits).double().softmax(dim=1).amax(dim=1).numpy()).max() < 1e-5
    operators = {node.op_type for node in _graph(tmp_path / "m.onnx").graph.node}
    assert ("QLinearConv" in operators) == (bits == 8)

    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == names
    assert f"the {len(digits['validation'])} on which that was certified" in said["certificate"]
    assert json.loads(said["input contract"])["shape"] == [1, 8, 8]
    assert said["uncork"].startswith("an input contract on a guard on a temperature on a patch on")
    again = OnnxModel(tmp_path / "m.onnx")
    assert again.classes == tuple(names)
    assert np.array_equal(again.outputs(x).logits, logits)
    corrected = model.inner.inner.inner.memory  # type: ignore[attr-defined]
    assert len(corrected) > CORRECTED / 2
    assert (corrected.radii > ROUNDING * np.linalg.norm(corrected.centres, axis=1)).any()


def _graph(path: Path) -> Any:
    import onnx

    return onnx.load(str(path))


@pytest.mark.slow
def test_a_fallback_and_an_ensemble_of_files_and_modules(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(300, 4))  # 64 bits, which the file takes as 32
    modules = [nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)]
    members = [as_model(module, "classification") for module in modules]
    members[1] = OnnxModel(onnx_bytes(modules[1], torch.zeros(2, 4)))
    fallback = OnnxModel(onnx_bytes(modules[2], torch.zeros(2, 4)))
    model = Guarded(Ensemble(members[:2]), Certificate(0.6, 0.9, 0.95, 1, 1, 1), fallback=fallback)
    found = export(Tempered(Loaded(model), 2.0), tmp_path / "m.onnx", x)
    assert (found.flips, found.turned, found.inputs) == (0, 0, ("x",))
    assert 0.02 < model.outputs(x).answered.mean() < 0.98  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_file_of_an_older_opset_and_of_probabilities_keeps_its_place(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    inner = OnnxModel(made_by_hand(then="Softmax"), preprocess=lambda batch: 2 * batch)
    model = Guarded(Tempered(inner, 0.5), Certificate(0.6, 0.9, 0.95, 1, 1, 1))
    found = export(model, tmp_path / "m.onnx", x, classes=["a", "b", "c"])
    assert (found.flips, found.turned) == (0, 0)
    assert found.gap < 1e-4
    fixed = OnnxModel(made_by_hand(rows=4))
    with pytest.raises(Unavailable, match="takes 4 rows at once"):
        export(Tempered(fixed, 0.5), tmp_path / "n.onnx", x)


@pytest.mark.slow
def test_a_regression_and_its_interval(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    model = Bounded(as_model(nn.Linear(4, 1), "regression"), [0.0], [1.0, 2.0], coverage=0.9, n=30)
    export(model, tmp_path / "m.onnx", x)
    value, low, high = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(["value", "low", "high"], {"x": x})
    expected = np.array([said.interval for said in model.decide(x)])
    assert np.allclose(np.concatenate([low, high], axis=1), expected, atol=1e-5)
    assert np.allclose(value[:, 0], model.outputs(x).logits[:, 0], atol=1e-5)


class _Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(nn.functional.dropout(x, 0.5, training=True))  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_file_that_says_another_thing_is_not_written(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    torch.manual_seed(0)
    with pytest.raises(Unavailable, match="says another thing than the model"):
        export(_Noisy(), tmp_path / "m.onnx", x)
    module = nn.Linear(4, 3)
    by_numpy = as_model(module, "classification", preprocess=lambda x: torch.from_numpy(x.numpy() * 2))
    with pytest.raises(Unavailable, match="its preprocess has to be made of torch functions"):
        export(by_numpy, tmp_path / "m.onnx", x)
    assert not list(tmp_path.iterdir())


def _by_hand(*, logits: str = "z", hands_over: bool = False) -> bytes:
    """A file as `export` writes it, of x w + b or of what else `logits` is."""
    nodes = [
        node("Gemm", ["x", "weight", "bias"], ["z"]),
        node("Neg", ["z"], ["negative"]),
        node("Log", ["z"], ["nan"]),
        node("Gather", ["z", "order"], ["permuted"], axis=1),
        node("Constant", [], ["order"], value_ints=[1, 2, 0]),
        node("Identity", [logits], ["logits"]),
        node("ArgMax", ["logits"], ["class"], axis=1, keepdims=0),
        node("Softmax", ["logits"], ["p"], axis=1),
        node("ReduceMax", ["p"], ["confidence"], axes=[1], keepdims=0),
        node("Less" if hands_over else "Greater", ["confidence", "zero"], ["answered"]),
        node("Constant", [], ["zero"], value_float=0.0),
    ]
    nodes = sorted(nodes, key=lambda each: each.op_type != "Constant")
    outputs = [
        ("class", "int64", ["n"]), ("confidence", "float", ["n"]), ("answered", "bool", ["n"]),
        ("logits", "float", ["n", 3]),
    ]  # fmt: skip
    return built(nodes, [("x", "float", ["n", 4])], outputs)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),
        ({"logits": "permuted"}, True),  # as sure, of other classes
        ({"logits": "negative"}, True),
        ({"logits": "nan"}, True),
        ({"hands_over": True}, True),
    ],
)
def test_a_file_with_other_classes_no_numbers_or_other_rows_answered_is_refused(
    changes: dict[str, Any], refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    monkeypatch.setattr("uncork.run.export._content", lambda *_: _by_hand(**changes))
    if not refused:
        assert export(OnnxModel(made_by_hand()), tmp_path / "m.onnx", x).flips == 0
        return
    (tmp_path / "m.onnx").write_text("the file before")
    with pytest.raises(Unavailable, match="says another thing than the model"):
        export(OnnxModel(made_by_hand()), tmp_path / "m.onnx", x)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the file before"]


def test_a_value_is_compared_in_its_own_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of 1e-5, of which the file says the half."""
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    module = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(1e-5 * torch.from_numpy(W[:, :1]).T)
    parts = [node("MatMul", ["x", "column"], ["z"]), node("Mul", ["z", "half"], ["value"])]
    constant = node("Constant", [], ["half"], value_float=0.5e-5)
    content = built([constant, *parts], [("x", "float", ["n", 4])], [("value", "float", ["n", 1])])
    monkeypatch.setattr("uncork.run.export._content", lambda *_: content)
    with pytest.raises(Unavailable, match=r"values by up to 0\.5 of the largest"):
        export(as_model(module, "regression"), tmp_path / "m.onnx", x)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_net_of_other_floats_takes_rows_in_32_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(50, 4))
    found = export(Tempered(as_model(nn.Linear(4, 3).to(dtype), "classification"), 2.0), tmp_path / "m.onnx", x)
    assert (found.flips, found.turned) == (0, 0)
    assert onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()[0].type == "tensor(float)"


def test_what_can_t_be_exported_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path, x = tmp_path / "m.onnx", np.zeros((4, 4), np.float32)
    with pytest.raises(BadInput, match="give some of the model's rows"):
        export(nn.Linear(4, 3), path)
    with pytest.raises(BadInput, match="it holds one row"):
        export(nn.Linear(4, 3), path, x[:1])
    estimator = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(Unavailable, match="convert it with skl2onnx"):
        export(estimator, path, x)
    texts = as_model(nn.Linear(1, 2), "classification", preprocess=lambda b: torch.tensor([[float(len(t))] for t in b]))
    with pytest.raises(Unavailable, match="rows are texts"):
        export(texts, path, ["a", "b"])
    with pytest.raises(Unavailable, match="in bfloat16"):
        export(nn.Linear(4, 3).bfloat16(), path, x)
    with pytest.raises(Unavailable, match="zipmap=False"):
        export(OnnxModel(classifier("abc")), path, x)
    with pytest.raises(BadInput, match="2 names for 3 outputs"):
        export(nn.Linear(4, 3), path, x, classes=["a", "b"])
    for place in (tmp_path / "nowhere" / "m.onnx", tmp_path):
        with pytest.raises(BadInput, match="can't be written: give the name of a file"):
            export(nn.Linear(4, 3), place, x)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_run_s_models_by_name(digits: dict[str, Split], net: TorchModel, tmp_path: Path) -> None:
    given = {"validation": digits["fitting"], "test": digits["validation"]}
    subject = Subject(net.module, preprocess=_scaled, **given)
    report = audit(subject, out=tmp_path / "run", probes=["miscalibration"], pool="off")
    (tmp_path / "run" / "treated").mkdir()
    (tmp_path / "run" / "treated" / "treated.json").write_text("{}")  # of an earlier treat: this report kept nothing
    found = export(report, tmp_path / "audited.onnx")
    assert (found.rows, found.flips) == (300, 0)
    decided = net.outputs(digits["fitting"].take(np.arange(300))).logits.argmax(axis=1)
    wrong = np.flatnonzero(decided != digits["fitting"].y)[:2]
    patch(report, {int(digits["fitting"].ids[row]): str(digits["fitting"].y[row]) for row in wrong}, on="validation")
    export(tmp_path / "run", tmp_path / "patched.onnx", which="patched", subject=subject)
    rows = digits["fitting"].take(wrong)
    for name, right in (("audited", 0), ("patched", 2)):
        said = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx").run(["class"], {"x": rows})[0]
        assert (said == digits["fitting"].y[wrong]).sum() == right
    with pytest.raises(BadInput, match="which is 'best': give audited, treated, patched"):
        export(report, tmp_path / "m.onnx", which="best")
