from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax, softmax

from onnx_helpers import B, W, built, classifier, net, node, one_value, words
from uncork.data.split import Split
from uncork.models.adapt import adapt, as_model, infer_task
from uncork.models.base import Model
from uncork.models.onnx_model import OnnxModel
from uncork.schema.errors import BadInput, MissingExtra
from uncork.schema.subject import Subject

X = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
Z = X @ W + B


def test_a_net_gives_its_logits():
    model = OnnxModel(net())
    assert isinstance(model, Model)
    out = model.outputs(X, features=True)
    np.testing.assert_allclose(out.logits, Z, rtol=1e-5)
    assert (out.features, out.logits.dtype, model.n_outputs, model.task) == (None, np.float32, 3, "classification")
    assert (model.classes, model.accepts_nan, model.batch_size) == (None, False, 0)
    told = model.describe()
    assert (told["kind"], told["parameters"], told["note"]) == ("onnx", 12 + 3 + 4, "")
    assert "doesn't show what goes through its layers" in told["features"]


def test_probabilities_are_turned_back_into_logits():
    model = OnnxModel(net(then="Softmax"))
    np.testing.assert_allclose(model.outputs(X).logits, log_softmax(Z, axis=1), atol=1e-5)
    assert "the outputs are probabilities" in model.describe()["note"]
    one = OnnxModel(one_value("Sigmoid"))
    z = X @ W[:, 0]
    np.testing.assert_allclose(np.diff(one.outputs(X).logits, axis=1)[:, 0], z, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 16])
@pytest.mark.parametrize("n", [1, 3, 10, 11])
def test_a_fixed_batch_size_changes_no_row(rows, n):
    model = OnnxModel(net(rows))
    np.testing.assert_allclose(model.outputs(X[:n]).logits, Z[:n], rtol=1e-5)
    assert f"it takes {rows} rows at once" in model.describe()["note"]


def test_one_number_is_a_value_or_a_logit_as_the_metric_says():
    x, y = Split(X, (X @ W[:, 0] > 0).astype(int)), X @ W[:, 0]
    assert infer_task(Subject(OnnxModel(one_value()), test=x)) == "classification"
    assert infer_task(Subject(OnnxModel(one_value()), test=Split(X, y), metric="rmse")) == "regression"
    value = adapt(Subject(OnnxModel(one_value()), test=Split(X, y), metric="rmse"), "regression")
    np.testing.assert_allclose(value.outputs(X).logits[:, 0], y, rtol=1e-5)
    logit = adapt(Subject(OnnxModel(one_value()), test=x), "classification")
    np.testing.assert_allclose(logit.outputs(X).logits, np.stack([0 * y, y], axis=1), rtol=1e-5)
    with pytest.raises(BadInput, match="but the model does classification: give metric='error'"):
        infer_task(Subject(OnnxModel(net()), test=Split(X, np.arange(11)), metric="rmse"))
    with pytest.raises(BadInput, match="the model has 3 outputs: regression takes one"):
        adapt(Subject(OnnxModel(net()), test=Split(X, y), metric="rmse"), "regression")


@pytest.mark.parametrize("zipped", [True, False])
def test_classifiers_of_scikit_learn_name_their_classes(zipped):
    """onnxruntime gives the entries of a map in the order of their names; the file's own order counts."""
    model = OnnxModel(classifier(["dog", "ant", "cat"], zipped=zipped))
    assert model.classes == ("dog", "ant", "cat")
    np.testing.assert_allclose(softmax(model.outputs(X).logits, axis=1), softmax(Z, axis=1), atol=1e-6)
    assert "is read, not label" in model.describe()["note"]


def test_classes_are_those_of_the_output_not_of_a_classifier_inside():
    """Stacking: the first is trained on positions, and the last looks its classes up in a list."""
    nodes = [
        node(
            "LinearClassifier",
            ["x"],
            ["inner", "logits"],
            "ai.onnx.ml",
            post_transform="NONE",
            coefficients=W.T.ravel().tolist(),
            intercepts=B.tolist(),
            classlabels_ints=[0, 1, 2],
        ),
        node("ArgMax", ["logits"], ["best"], axis=1),
        node("ArrayFeatureExtractor", ["bias", "best"], ["picked"], "ai.onnx.ml"),  # B stands for their names
        node("Constant", [], ["flat"], value_ints=[-1]),
        node("Reshape", ["picked", "flat"], ["label"]),
    ]
    model = OnnxModel(
        built(nodes, [("x", "float", ["n", 4])], [("label", "float", ["n"]), ("logits", "float", ["n", 3])])
    )
    np.testing.assert_allclose(model.outputs(X).logits, Z, rtol=1e-5)
    assert model.classes == ("0.1", "-0.2", "0.3")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("classes", '["a", "b", "c"]', ("a", "b", "c")),
        ("names", "{0: 'a', 2: 'c', 1: 'b'}", ("a", "b", "c")),
        ("id2label", '{"0": "a", "1": "b", "2": "c"}', ("a", "b", "c")),
        ("classes", '["a", "b"]', None),  # of another number than the outputs
        ("classes", "a, b and c", None),
        ("names", "{5: 'a', 7: 'b', 9: 'c'}", None),
    ],
)
def test_metadata_names_the_classes(key, text, expected):
    assert OnnxModel(net(**{key: text})).classes == expected


def several(*named: tuple[str, list]) -> bytes:
    """The logits under other names and shapes."""
    nodes = [node("Gemm", ["x", "weight", "bias"], ["z"])]
    for name, shape in named:
        last = node("Unsqueeze", ["z", "axes"], [name]) if len(shape) == 3 else node("Neg", ["z"], [name])
        nodes += [last]
    axes = node("Constant", [], ["axes"], value_ints=[1])
    return built([axes, *nodes], [("x", "float", ["n", 4])], [(name, "float", shape) for name, shape in named])


FLAT, DEEP = ["n", 3], ["n", 1, 3]


def test_of_several_outputs_the_one_that_is_named_so_is_read():
    for others in ("hidden_states", "output", "anything"):
        model = OnnxModel(several((others, FLAT), ("logits", FLAT)))
        np.testing.assert_allclose(model.outputs(X).logits, -Z, rtol=1e-5)
        assert f"its output logits is read, not {others}" in model.describe()["note"]
    assert "read, not boxes" in OnnxModel(several(("boxes", DEEP), ("a", FLAT))).describe()["note"]
    both = several(("a", FLAT), ("b", FLAT))
    with pytest.raises(
        BadInput, match=r"several of its outputs may be the classes: a float \(n, 3\), b float \(n, 3\)"
    ):
        OnnxModel(both)
    asked = OnnxModel(both, output="b")
    assert asked.describe()["note"] == "its output b is read, as told"
    assert as_model(asked, "classification", preprocess=lambda x: x).describe()["note"].startswith("its output b")
    with pytest.raises(BadInput, match="output='c' is none of its outputs, a float"):
        OnnxModel(both, output="c")
    with pytest.raises(BadInput, match="output='label' holds no scores"):
        OnnxModel(classifier(["a", "b", "c"]), output="label")


@pytest.mark.parametrize(
    ("file", "outputs"),
    [
        (lambda: several(("boxes", DEEP)), r"boxes float \(n, 1, 3\)"),
        (lambda: several(("pooler_output", FLAT)), r"pooler_output float \(n, 3\)"),
        (
            lambda: built(
                [node("Gemm", ["x", "weight", "bias"], ["z"]), node("ArgMax", ["z"], ["label"], axis=1, keepdims=0)],
                [("x", "float", ["n", 4])],
                [("label", "int64", ["n"])],
            ),
            r"label int64 \(n\)",
        ),
    ],
)
def test_other_outputs_than_classes_are_named(file, outputs):
    with pytest.raises(
        BadInput, match=f"the ONNX file has other outputs than classes: {outputs}: uncork reads one row"
    ):
        OnnxModel(file())


def test_rows_come_as_arrays_tables_and_tensors():
    model = OnnxModel(net())
    frame = pd.DataFrame(X, columns=list("abcd"))
    for batch in (X.astype(np.float64), X.reshape(-1, 2, 2), frame, torch.from_numpy(X), {"x": X}, {"other": X}):
        np.testing.assert_allclose(model.outputs(batch).logits, Z, rtol=1e-4)
    whole = np.rint(3 * X).astype(np.int64)
    np.testing.assert_allclose(model.outputs(whole).logits, whole @ W + B, rtol=1e-4)
    halved = OnnxModel(net(), preprocess=lambda x: {"x": x / 2})
    np.testing.assert_allclose(halved.outputs(2 * X).logits, Z, rtol=1e-4)


def test_texts_and_columns_of_strings():
    model = OnnxModel(words(["good", "bad", "nan"], [2.0, -1.0, 7.0]))
    assert model.outputs(["good", "new", "bad"]).logits[:, 0].tolist() == [2, 0, -1]
    frame = pd.DataFrame({"a-b": ["good", None, "bad"], "more": 1, "kind": pd.Categorical(["bad", "new", "bad"])})
    assert OnnxModel(words(["good", "bad"], [2.0, -1.0], ["kind", "a_b"])).outputs(frame).logits[:, 0].tolist() == [
        1, 0, -2,
    ]  # fmt: skip
    assert model.outputs(frame[["a-b"]]).logits[:, 0].tolist() == [2, 7, -1]  # a missing value is "nan"
    both = OnnxModel(words(["good"], [1.0], ["a", "b"]))
    assert both.outputs(np.array([["good", "x"], ["good", "good"]], object)).logits[:, 0].tolist() == [1, 2]


CODES = ("ids", "int64", ["n", 4])
PICTURES = ("x", "float", ["n", 3, 8, 8])


def reads(*inputs: tuple[str, str, list]) -> bytes:
    """The sum over each row of the inputs, twice."""
    nodes = []
    for name, _, _ in inputs:
        cast = [node("Cast", [name], [f"{name}_f"], to=1)]
        flat = [node("Flatten", [f"{name}_f"], [f"{name}_2"], axis=1)]
        nodes += [*cast, *flat, node("ReduceSum", [f"{name}_2", "axes"], [f"{name}_s"], keepdims=1)]
    sums = [f"{name}_s" for name, _, _ in inputs]
    nodes += [node("Sum", sums, ["s"]), node("Concat", ["s", "s"], ["y"], axis=1)]
    return built([node("Constant", [], ["axes"], value_ints=[1]), *nodes], inputs, [("y", "float", ["n", 2])])


@pytest.mark.parametrize(
    ("file", "batch", "message"),
    [
        (lambda: net(), X[:, :2], r"x: rows of shape \(2,\) don't fit the input 'x' of the file, which takes \(4,\)"),
        (lambda: net(), ["a", "b"], r"x: rows of shape \(1,\) don't fit the input 'x'"),
        (lambda: net(), np.array([["a"] * 4]), "x: the input 'x' of the file takes float32, not <U1"),
        (lambda: net(), {"a": X, "b": X}, "x: its inputs are a, b, but the file takes x: give these names"),
        (lambda: net(), pd.DataFrame({"a": ["u"]}), "column 'a' holds object, not numbers|column 'a' holds str"),
        (lambda: reads(CODES), X, r"x: the input 'ids' of the file takes whole numbers \(int64\), and some are none"),
        (lambda: reads(CODES), np.full((2, 4), np.nan), "takes whole numbers"),
        (
            lambda: reads(PICTURES),
            np.zeros((2, 3, 8, 8), np.uint8),
            r"holds uint8 values but the input 'x' of the file takes float32: give Subject\(preprocess=lambda x: x.as",
        ),
        (lambda: reads(PICTURES), np.zeros((2, 8, 8, 3)), r"rows of shape \(8, 8, 3\) don't fit .* takes \(3, 8, 8\)"),
        (lambda: reads(CODES, PICTURES), X, r"the file takes ids, x, but rows have the shape \(4,\): give x={name"),
        (
            lambda: words(["a"], [1.0], ["a", "b"]),
            pd.DataFrame({"a": ["a"], "c": ["a"]}),
            "its columns are a, c, but the file takes a, b: give these names",
        ),
    ],
)  # fmt: skip
def test_batches_that_do_not_fit(file, batch, message):
    with pytest.raises(BadInput, match=message):
        OnnxModel(file()).outputs(batch)


def test_several_inputs_go_by_name_or_in_order():
    model = OnnxModel(reads(CODES, PICTURES))
    ids, x = np.arange(8).reshape(2, 4), np.ones((2, 3, 8, 8), np.float32)
    expected = ids.sum(axis=1) + 192.0
    for batch in ({"x": x, "ids": ids}, {"first": ids, "second": x}):
        np.testing.assert_allclose(model.outputs(batch).logits[:, 0], expected)
    with pytest.raises(BadInput, match="its inputs are x, codes, but the model takes ids, x: some names agree"):
        model.outputs({"x": x, "codes": ids})
    fixed = OnnxModel(reads(("ids", "int64", [3, 4]), ("x", "float", [3, 3, 8, 8])))
    np.testing.assert_allclose(fixed.outputs({"x": x, "ids": ids}).logits[:, 0], expected)
    two = [("ids", "float", [2, 4]), ("x", "float", [3, 4])]
    with pytest.raises(BadInput, match="its inputs take 2 and 3 rows at once"):
        OnnxModel(built([node("MatMul", ["x", "weight"], ["y"])], two, [("y", "float", [3, 3])]))


def test_a_layer_can_not_be_told():
    with pytest.raises(BadInput, match="features='fc': an ONNX file doesn't show what goes through its layers"):
        as_model(OnnxModel(net()), "classification", features="fc")


def test_preprocess_keeps_each_row():
    with pytest.raises(BadInput, match="preprocess makes 10 rows of 11"):
        OnnxModel(net(), preprocess=lambda x: x[1:]).outputs(X)


def test_copies_travel_and_have_the_same_fingerprint():
    model = OnnxModel(net(3, classes='["a", "b", "c"]'), preprocess=np.negative)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        np.testing.assert_array_equal(other.outputs(X).logits, model.outputs(X).logits)
        assert other.fingerprint() == model.fingerprint()
    prints = {
        OnnxModel(net()).fingerprint(),
        OnnxModel(net(3)).fingerprint(),
        OnnxModel(net(), preprocess=np.negative).fingerprint(),
        OnnxModel(several(("a", FLAT), ("b", FLAT)), output="a").fingerprint(),
        OnnxModel(several(("a", FLAT), ("b", FLAT)), output="b").fingerprint(),
    }
    assert len(prints) == 5


def test_threads_are_torchs():
    model, rows, before = OnnxModel(net()), np.zeros((2, 4), np.float32), torch.get_num_threads()
    assert model.file.session.made.get_session_options().intra_op_num_threads == before
    try:
        torch.set_num_threads(before + 1)
        model.outputs(rows)
    finally:
        torch.set_num_threads(before)
    assert model.file.session.made.get_session_options().intra_op_num_threads == before + 1
    model.outputs(rows)
    assert model.file.session.made.get_session_options().intra_op_num_threads == before


def test_damaged_and_absent_files(tmp_path):
    whole = net()
    for name, content in (("noise", b"no file of onnx at all"), ("cut", whole[:-40]), ("empty", b"")):
        (tmp_path / f"{name}.onnx").write_bytes(content)
        with pytest.raises(BadInput, match=rf"{name}.onnx (is no ONNX file|can't be run by onnxruntime)"):
            OnnxModel(tmp_path / f"{name}.onnx")
    with pytest.raises(BadInput, match=r"none.onnx: No such file .*: give the path of an .onnx file"):
        OnnxModel(tmp_path / "none.onnx")


def test_weights_beside_the_file_are_read_with_it(tmp_path):
    import onnx

    model = onnx.load_model_from_string(net())
    beside = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0}
    onnx.save(model, tmp_path / "m.onnx", **beside)
    found = OnnxModel(tmp_path / "m.onnx")
    np.testing.assert_allclose(pickle.loads(pickle.dumps(found)).outputs(X).logits, Z, rtol=1e-5)
    (tmp_path / "w.data").unlink()
    with pytest.raises(BadInput, match=r"m.onnx.*w\.data"):
        OnnxModel(tmp_path / "m.onnx")


def test_missing_values_are_the_files_affair_where_it_has_an_answer():
    imputer = node("Imputer", ["x"], ["z"], "ai.onnx.ml", imputed_value_floats=[1.0] * 4, replaced_value_float=np.nan)
    file = built(
        [imputer, node("Gemm", ["z", "weight", "bias"], ["y"])], [("x", "float", ["n", 4])], [("y", "float", FLAT)]
    )
    model = OnnxModel(file)
    assert model.accepts_nan
    row = np.array([[np.nan, 2, 3, 4]], np.float32)
    np.testing.assert_allclose(model.outputs(row).logits, np.array([[1, 2, 3, 4]]) @ W + B, rtol=1e-5)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'uncork\[export\]'"):
        OnnxModel(net())
