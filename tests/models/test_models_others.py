from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC
from torch import nn

from uncork.data.split import Split
from uncork.models.adapt import adapt, as_model, infer_task
from uncork.models.base import Model
from uncork.models.predictions import Predictions, PredictionsModel
from uncork.models.sklearn_model import SklearnModel
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput
from uncork.schema.subject import Subject

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 2, 2))
FLAT = X.reshape(90, 4)
Y = np.array(["a", "b", "c"])[(FLAT[:, 0] > 0).astype(int) + (FLAT[:, 1] > 0)]
P = softmax(RNG.normal(size=(90, 3)), axis=1)


def test_probabilities_become_their_logarithms():
    estimator = LogisticRegression().fit(FLAT, Y)
    model = SklearnModel(estimator)
    assert isinstance(model, Model)
    assert (model.task, model.classes, model.n_outputs) == ("classification", ("a", "b", "c"), 3)
    np.testing.assert_allclose(softmax(model.outputs(X).logits, axis=1), estimator.predict_proba(FLAT), rtol=1e-5)
    assert model.outputs(X).logits.dtype == np.float32
    assert model.describe()["note"] == ""


def test_scores_are_taken_as_they_are_and_said_to_be_scores():
    many = LinearSVC().fit(FLAT, Y)
    np.testing.assert_allclose(SklearnModel(many).outputs(X).logits, many.decision_function(FLAT), rtol=1e-5)
    two = LinearSVC().fit(FLAT, Y == "a")
    d = two.decision_function(FLAT)
    np.testing.assert_allclose(SklearnModel(two).outputs(X).logits, np.stack([0 * d, d], axis=1), rtol=1e-5)
    assert "not probabilities" in SklearnModel(two).describe()["note"]


def test_regression_and_preprocess():
    estimator = LinearRegression().fit(FLAT, FLAT[:, 0])
    model = SklearnModel(estimator, preprocess=lambda x: 2 * x)
    assert (model.task, model.classes, model.n_outputs) == ("regression", None, 1)
    np.testing.assert_allclose(model.outputs(X).logits[:, 0], 2 * FLAT[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SklearnModel(LogisticRegression()), "LogisticRegression is not fitted: call fit"),
        (
            lambda: SklearnModel(LinearRegression().fit(FLAT, FLAT[:, 0]), task="classification"),
            "has neither predict_proba nor",
        ),
        (lambda: SklearnModel(LogisticRegression().fit(FLAT, Y)).outputs(X[:, :1]), "refuses rows of shape (2,)"),
        (lambda: SklearnModel(LinearRegression().fit(FLAT, FLAT)).outputs(X), "values a row: give a model with one"),
        (
            lambda: SklearnModel(SVC(decision_function_shape="ovo").fit(FLAT, np.arange(90) % 4)).outputs(X),
            "give one score per class",
        ),
    ],
)
def test_sklearn_errors(make, message):
    with pytest.raises(BadInput) as error:
        make()
    assert message in str(error.value)


def test_sklearn_fingerprints_follow_the_fit():
    one = SklearnModel(LogisticRegression().fit(FLAT, Y)).fingerprint()
    assert SklearnModel(LogisticRegression().fit(FLAT, Y)).fingerprint() == one
    assert SklearnModel(LogisticRegression().fit(FLAT[:80], Y[:80])).fingerprint() != one
    unpicklable = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(FLAT, Y)
    assert SklearnModel(unpicklable).fingerprint()


def test_predictions_pass_through():
    model = PredictionsModel("classification", 3)
    assert isinstance(model, Model)
    assert not model.has_inputs
    np.testing.assert_allclose(softmax(model.outputs(P).logits, axis=1), P, rtol=1e-5)
    binary = PredictionsModel("classification", 2).outputs(P[:, 0]).logits
    np.testing.assert_allclose(softmax(binary, axis=1)[:, 1], P[:, 0], rtol=1e-5)
    values = PredictionsModel("regression", 1).outputs(FLAT[:, 0]).logits
    np.testing.assert_array_equal(values, FLAT[:, :1])
    assert np.isfinite(PredictionsModel("classification", 2).outputs(np.array([[0.0, 1.0]])).logits).all()


def broken(row: int, value: float) -> np.ndarray:
    p = P.copy()
    p[row, 0] = value
    return p


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": broken(7, np.nan)}, "test.x holds NaN or infinity in row 7"),
        ({"test": P, "validation": broken(5, 3.0)}, "validation.x: the probabilities of row 5 sum to"),
        ({"test": P, "train": P[:, :2] / P[:, :2].sum(1, keepdims=True)}, "validation.x has 3"),
        ({"test": np.array([[1.5, -0.5]] * 90)}, "row 0 include -0.5: give softmax outputs, not logits"),
    ],
)
def test_predictions_are_checked_whole(splits, message):
    if "train" in splits:
        splits["validation"] = P
    subject = Subject(Predictions(), **{name: Split(p, Y) for name, p in splits.items()})
    with pytest.raises(BadInput) as error:
        adapt(subject, "classification")
    assert message in str(error.value)


def test_adapt_picks_the_adapter():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    split = Split(X, Y)
    model = adapt(Subject(module, test=split), "classification")
    assert isinstance(model, TorchModel)
    assert model.n_outputs == 3
    assert adapt(Subject(model, test=split), "classification") is model
    assert isinstance(adapt(Subject(LogisticRegression().fit(FLAT, Y), test=split), "classification"), SklearnModel)
    assert isinstance(adapt(Subject(Predictions(), test=Split(P, Y)), "classification"), PredictionsModel)
    with pytest.raises(BadInput, match=r"model is of type dict: give a torch.nn.Module, a fitted scikit-learn"):
        as_model({}, "classification")
    with pytest.raises(BadInput, match=r"^test.x: the model refuses rows of shape \(2, 2\)"):
        adapt(Subject(nn.Linear(4, 3), test=split), "classification")
    with pytest.raises(BadInput, match=r"^train.x holds uint8 values 0–0 but"):
        adapt(Subject(module, test=split, train=Split(np.zeros((4, 2, 2), np.uint8))), "classification")


@pytest.mark.parametrize(
    ("model", "y", "metric", "expected"),
    [
        (nn.Linear(4, 3), np.arange(90) % 3, "error", "classification"),
        (nn.Linear(4, 1), np.arange(90), "rmse", "regression"),
        (nn.Linear(4, 1), FLAT[:, 0], "mae", "regression"),
        (LinearRegression(), FLAT[:, 0], "rmse", "regression"),
        (LogisticRegression(), Y, "log-loss", "classification"),
        (Predictions("regression"), FLAT[:, 0], "rmse", "regression"),
    ],
)
def test_infer_task(model, y, metric, expected):
    assert infer_task(Subject(model, test=Split(FLAT, y), metric=metric)) == expected


def test_infer_task_without_the_metric():
    from uncork.schema.metric import Metric

    own = Metric(lambda p, y: 0.0, higher_is_better=False)
    assert infer_task(Subject(nn.Linear(4, 1), test=Split(FLAT, FLAT[:, 0]), metric=own)) == "regression"
    assert infer_task(Subject(nn.Linear(4, 1), test=Split(FLAT, Y), metric=own)) == "classification"
    assert infer_task(Subject(LinearRegression(), test=Split(FLAT, np.arange(90)), metric=own)) == "regression"


@pytest.mark.parametrize(
    ("model", "y", "metric", "message"),
    [
        (
            LinearRegression(),
            np.arange(90),
            "error",
            "metric 'error' belongs to classification but the model does regression: give metric='rmse'",
        ),
        (nn.Linear(4, 1), FLAT[:, 0], "error", "but y holds numbers that are no integers: give metric='rmse'"),
        (
            LogisticRegression(),
            Y,
            "rmse",
            "belongs to regression but the model does classification: give metric='error'",
        ),
    ],
)
def test_contradictions_are_named(model, y, metric, message):
    with pytest.raises(BadInput) as error:
        infer_task(Subject(model, test=Split(FLAT, y), metric=metric))
    assert message in str(error.value)


def test_a_model_that_can_not_be_read_is_not_loaded_for_torch():
    assert isinstance(as_model(torch.nn.Identity(), "regression"), TorchModel)


def test_regression_keeps_64_bits():
    y = 1.7e9 + np.linspace(-10, 10, 90)
    line = LinearRegression().fit(np.arange(90.0)[:, None], y)
    out = SklearnModel(line).outputs(np.arange(90.0)[:, None]).logits[:, 0]
    np.testing.assert_allclose(out, y, atol=1e-3, rtol=0)
    for given in (y, pd.DataFrame({"prediction": y})):
        np.testing.assert_array_equal(PredictionsModel("regression", 1).outputs(given).logits[:, 0], y)


def test_classes_in_another_order_than_the_outputs_are_refused():
    estimator, split = LogisticRegression().fit(FLAT, Y), Split(X, Y)
    with pytest.raises(BadInput, match="classes are in the order of the model's outputs: a, b, c, not c, b, a"):
        adapt(Subject(estimator, test=split, classes=["c", "b", "a"]), "classification")
    for fine in (["a", "b", "c"], ["cat", "dog", "cow"], None):
        adapt(Subject(estimator, test=split, classes=fine), "classification")


def test_classes_that_are_whole_floats_are_named_like_ints():
    indices = np.unique(Y, return_inverse=True)[1]
    assert SklearnModel(LogisticRegression().fit(FLAT, indices + 1.0)).classes == ("1", "2", "3")
    assert SklearnModel(LogisticRegression().fit(FLAT, np.array(["1.0", "x", "y"])[indices])).classes[0] == "1.0"


def test_one_output_is_settled_on_more_than_two_rows():
    """The first rows' logits may well lie in [0, 1]; those of 256 hardly do."""
    x = np.r_[0.1, 0.9, np.linspace(-3, 3, 98)].astype(np.float32)[:, None]
    model = adapt(Subject(nn.Identity(), test=Split(x, np.arange(100) % 2)), "classification")
    assert model.outputs(x[:2]).logits[:, 1].tolist() == x[:2, 0].tolist()
    assert "read as the logit" in model.describe()["note"]


def test_the_address_of_stop_words_is_no_part_of_a_fingerprint():
    """Text vectorizers keep it, and in another process it is another; what they learned is part of it."""
    words = TfidfVectorizer().fit(["a good film", "a bad film"])
    pipeline = make_pipeline(FeatureUnion([("words", words)]), LogisticRegression()).fit(
        ["good film", "bad film"], [0, 1]
    )
    found = SklearnModel(pipeline, task="classification").fingerprint()
    ((_, fitted),) = pipeline[0].transformer_list
    fitted._stop_words_id = 12345
    assert SklearnModel(pipeline, task="classification").fingerprint() == found
    fitted.vocabulary_["new"] = 2
    assert SklearnModel(pipeline, task="classification").fingerprint() != found
