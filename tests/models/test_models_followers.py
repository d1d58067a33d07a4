"""Estimators with scikit-learn's interface: xgboost, lightgbm, skorch, and pipelines over tables."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from uncork import load_model
from uncork.models.adapt import as_model
from uncork.models.sklearn_model import SklearnModel
from uncork.schema.errors import BadInput

pytestmark = pytest.mark.slow  # the packages take seconds to be there

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
NAMES = np.array(["ash", "elm", "oak"])[Y]
VALUES = 2 * X[:, 0] + X[:, 1]
TABLE = pd.DataFrame(X, columns=list("abcde")).assign(kind=pd.Categorical(np.where(X[:, 2] > 0, "u", "v")))
TABLE.loc[3, "a"] = np.nan


def fit_boosted(family: str, **settings):
    if family == "xgboost":
        import xgboost

        made = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor}
        return {name: kind(n_estimators=4, n_jobs=1, **settings) for name, kind in made.items()}
    import lightgbm

    made = {"classifier": lightgbm.LGBMClassifier, "regressor": lightgbm.LGBMRegressor}
    return {name: kind(n_estimators=4, n_jobs=1, verbose=-1, **settings) for name, kind in made.items()}


def travels(estimator, x) -> SklearnModel:
    """Its outputs and fingerprint are those of a copy and of the same pickle in another process."""
    model = SklearnModel(estimator)
    print_, out = model.fingerprint(), model.outputs(x).logits
    assert SklearnModel(estimator).fingerprint() == print_  # predicting leaves no mark
    assert SklearnModel(pickle.loads(pickle.dumps(estimator))).fingerprint() == print_
    np.testing.assert_array_equal(copy.deepcopy(model).outputs(x).logits, out)
    return model


@pytest.mark.parametrize("family", ["xgboost", "lightgbm"])
def test_boosting_classifies_and_predicts_values(family):
    own = fit_boosted(family)
    y = Y if family == "xgboost" else NAMES  # which takes class indices alone
    model = travels(own["classifier"].fit(X, y), X)
    assert (model.task, model.classes) == ("classification", tuple(np.unique(y).astype(str)))
    np.testing.assert_allclose(np.exp(model.outputs(X).logits), own["classifier"].predict_proba(X), rtol=1e-5)
    values = travels(own["regressor"].fit(X, VALUES), X)
    assert values.task == "regression"
    np.testing.assert_allclose(values.outputs(X).logits[:, 0], own["regressor"].predict(X), rtol=1e-6)
    for estimator in own.values():
        with pytest.raises(BadInput, match=r"^x: (XGB|LGBM)\w+ refuses rows of shape \(2,\): "):
            SklearnModel(estimator).outputs(X[:, :2])


@pytest.mark.parametrize("family", ["xgboost", "lightgbm"])
def test_boosting_on_tables_with_categories(family):
    settings = {"enable_categorical": True} if family == "xgboost" else {}
    own = fit_boosted(family, **settings)["classifier"].fit(TABLE, Y)
    np.testing.assert_allclose(np.exp(travels(own, TABLE).outputs(TABLE).logits), own.predict_proba(TABLE), rtol=1e-5)
    with pytest.raises(BadInput, match=r"refuses rows of shape|was fitted on the columns"):
        SklearnModel(own).outputs(TABLE.drop(columns="a"))


@pytest.mark.parametrize("family", ["xgboost", "lightgbm"])
def test_columns_go_by_name_whatever_their_order(tmp_path, family):
    import pandas as pd

    table = pd.DataFrame(X, columns=[f"{name} of it" for name in "abcdefghij"[: X.shape[1]]])
    own = fit_boosted(family)["classifier"].fit(table, Y)
    models = [SklearnModel(own)]
    if family == "lightgbm":
        own.booster_.save_model(str(tmp_path / "m.txt"))
        models.append(as_model(load_model(tmp_path / "m.txt"), "classification"))
    for model in models:
        np.testing.assert_array_equal(model.outputs(table[table.columns[::-1]]).logits, model.outputs(table).logits)
        with pytest.raises(BadInput, match=r"columns|feature_names"):
            model.outputs(table.rename(columns={"a of it": "z"}))


@pytest.mark.parametrize(("family", "ending"), [("xgboost", "ubj"), ("xgboost", "json"), ("lightgbm", "txt")])
def test_files_of_boosting(tmp_path, family, ending):
    path = tmp_path / f"m.{ending}"
    for y, name in ((Y, "classifier"), (Y > 0, "classifier"), (VALUES, "regressor")):
        own = fit_boosted(family)[name].fit(X, y)
        booster = own.booster_ if family == "lightgbm" else own.get_booster()
        for saved in (booster,) if family == "lightgbm" else (own, booster):
            saved.save_model(str(path))
            task = "classification" if name == "classifier" else "regression"
            found = as_model(load_model(path), task)
            out = found.outputs(X).logits
            if task == "classification":
                assert found.classes == tuple(str(i) for i in range(out.shape[1]))
                np.testing.assert_allclose(softmax(out, axis=1), own.predict_proba(X), rtol=1e-4)
            else:
                np.testing.assert_allclose(out[:, 0], own.predict(X), rtol=1e-5)
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).outputs(X).logits, out)
            assert copy.deepcopy(found).fingerprint() == found.fingerprint()
    path.write_text('{"a": 1}')
    with pytest.raises(BadInput, match=f"m.{ending} is no model of {family}, or is damaged"):
        load_model(path)


def test_lightgbm_that_ranks_is_refused(tmp_path):
    import lightgbm

    ranker = lightgbm.LGBMRanker(n_estimators=2, verbose=-1, n_jobs=1).fit(X, Y, group=[200])
    ranker.booster_.save_model(str(tmp_path / "m.txt"))
    with pytest.raises(BadInput, match=r"ranks rows .lambdarank.: uncork audits classes and values"):
        load_model(tmp_path / "m.txt")


class Net(nn.Module):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.last = nn.Linear(5, outputs)

    def forward(self, x):
        return self.last(x)


def test_skorch(tmp_path):
    import skorch

    torch.manual_seed(0)
    settings = {"max_epochs": 2, "verbose": 0, "train_split": None}
    own = skorch.NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, **settings).fit(X, Y.astype(np.int64))
    model = travels(own, X)
    assert (model.task, model.classes) == ("classification", ("0", "1", "2"))
    np.testing.assert_allclose(np.exp(model.outputs(X).logits), own.predict_proba(X), rtol=1e-5)
    with pytest.raises(BadInput, match=r"NeuralNetClassifier refuses rows of shape \(2,\): mat1 and mat2 shapes"):
        model.outputs(X[:, :2])
    with pytest.raises(BadInput, match="mat1 and mat2 must have the same dtype, but got Double and Float"):
        model.outputs(X.astype(np.float64))
    before = model.fingerprint()
    assert SklearnModel(own.partial_fit(X, Y.astype(np.int64))).fingerprint() != before

    values = skorch.NeuralNetRegressor(Net, module__outputs=1, **settings).fit(X, VALUES[:, None].astype(np.float32))
    np.testing.assert_allclose(travels(values, X).outputs(X).logits, values.predict(X), rtol=1e-6)
    unread = skorch.NeuralNetClassifier(Net, criterion=nn.NLLLoss, **settings).initialize()
    unread.classes_inferred_ = np.arange(3)
    with pytest.raises(BadInput, match=r"no probabilities: of skorch give criterion=torch.nn.CrossEntropyLoss"):
        SklearnModel(unread).outputs(X)

    # skorch pickles a module through torch.save, whose bytes differ from process to process.
    net = skorch.NeuralNetClassifier(
        nn.Linear, module__in_features=5, module__out_features=3, criterion=nn.CrossEntropyLoss, **settings
    )
    path, whole = tmp_path / "net.pkl", make_pipeline(StandardScaler(), net).fit(X, Y.astype(np.int64))
    path.write_bytes(pickle.dumps(whole))
    code = (
        "import pickle, sys; from uncork.models.sklearn_model import SklearnModel\n"
        "print(SklearnModel(pickle.load(open(sys.argv[1], 'rb'))).fingerprint())"
    )
    there = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert there.strip() == SklearnModel(whole).fingerprint()


def test_tables_with_categories_and_missing_values():
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list("abcde")),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ]
    )
    own = make_pipeline(columns, LogisticRegression()).fit(TABLE, NAMES)
    model = travels(own, TABLE)
    assert model.classes == ("ash", "elm", "oak")
    odd = TABLE.assign(kind="never seen")
    np.testing.assert_allclose(np.exp(model.outputs(odd).logits), own.predict_proba(odd), rtol=1e-5)
    with pytest.raises(BadInput, match=r"x: Pipeline refuses rows of shape \(5,\): columns are missing: {'a'}"):
        model.outputs(TABLE.drop(columns="a"))
