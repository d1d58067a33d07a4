"""skorch's nets as Subjects: what they predict, which rows they were fitted on, and that the recipe fits them again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import uncork
from uncork.models.adapt import as_model
from uncork.schema.errors import BadInput
from uncork.train.from_skorch import Refit
from uncork.train.loop import fit_any
from uncork.train.recipe import Recipe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
VALUES = (2 * X[:, 0] - X[:, 2]).astype(np.float32)
TEST = (RNG.normal(size=(200, 4)).astype(np.float32), np.tile([0, 1], 100))


class Net(nn.Module):
    def __init__(self, width=16, outputs=2, softmax=False):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))
        self.softmax = softmax

    def forward(self, x):
        out = self.layers(x)
        return out.softmax(1) if self.softmax else out


def fitted(kind="NeuralNetClassifier", x=X, y=Y, **settings):
    import skorch

    said = {"criterion": nn.CrossEntropyLoss, "optimizer": torch.optim.Adam, "iterator_train__shuffle": True}
    said |= {"lr": 0.02, "max_epochs": 5, "batch_size": 16, "verbose": 0, "module": Net}
    torch.manual_seed(0)
    return getattr(skorch, kind)(**(said | settings)).fit(x, y)


def test_another_object_and_a_net_that_is_not_fitted_are_refused():
    with pytest.raises(BadInput, match=r"^net is of type Net: give a fitted net of skorch$"):
        uncork.from_skorch(Net(), X, Y, test=TEST)


@pytest.mark.slow
def test_a_net_whose_settings_a_recipe_can_say():
    net = fitted(module__width=8)
    subject = uncork.from_skorch(net, X, Y, test=TEST, classes=["no", "yes"])
    recipe = subject.recipe
    assert isinstance(recipe, Recipe)
    said = (recipe.epochs, recipe.batch_size, recipe.lr, recipe.optimizer, recipe.weight_decay, recipe.schedule)
    assert said == (5, 16, 0.02, "adam", 0, "constant")
    assert recipe.loss is None
    assert recipe.make().layers[0].out_features == recipe.default("width") == 8
    # What predict_proba says; the rows of train and validation are those of skorch's own split.
    logits = as_model(subject.model, "classification").outputs(TEST[0]).logits
    np.testing.assert_allclose(torch.softmax(torch.tensor(logits), 1), net.predict_proba(TEST[0]), atol=1e-6)
    train, held = net.get_split_datasets(X, Y)
    np.testing.assert_array_equal(subject.train.take(np.arange(len(train))), X[train.indices])
    np.testing.assert_array_equal(subject.validation.y, Y[held.indices])
    assert len(subject.validation) == 24
    assert subject.classes == ("no", "yes")
    # Trained by the recipe, a net is as good as the one given, over seeds.
    again = [as_model(fit_any(recipe, subject.train, s), "classification") for s in range(5)]
    right = [(m.outputs(X).logits.argmax(1) == Y).mean() for m in again]
    theirs = [(fitted(module__width=8).predict(X) == Y).mean()]
    assert abs(np.mean(right) - np.mean(theirs)) < 0.08
    assert np.mean(right) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"iterator_train__shuffle": False}, "its rows are not shuffled (iterator_train__shuffle=True)"),
        ({"optimizer": torch.optim.SGD}, "its optimiser, SGD, has settings of its own"),
        ({"optimizer__betas": (0.5, 0.9)}, "its optimiser, Adam, has settings of its own"),
        ({"iterator_train__drop_last": True}, "its batches are drawn in a way of their own"),
        ({"callbacks": "stopping"}, "it trains with EarlyStopping"),
        ({"kind": "NeuralNetBinaryClassifier", "module__outputs": 1}, "the module's outputs are read by the net"),
    ],
)
def test_a_net_that_fits_itself_anew(settings, why):
    from sklearn.base import clone

    y = Y
    if settings.get("callbacks") == "stopping":
        from skorch.callbacks import EarlyStopping

        settings = {"callbacks": [("stop", EarlyStopping(patience=2))], "lr": 0.3, "max_epochs": 60}
    if "kind" in settings:
        y = Y.astype(np.float32)
        settings = {**settings, "criterion": nn.BCEWithLogitsLoss}
    net = fitted(y=y, **settings)
    subject = uncork.from_skorch(net, X, y, test=TEST, metric="error")
    recipe = subject.recipe
    assert isinstance(recipe, Refit)
    assert recipe.why == why
    # The same training as skorch's own fit under the same seed, held-back rows and all, weight for weight.
    again = fit_any(recipe, subject.train, 7)
    assert as_model(again, "classification").outputs(TEST[0]).logits.shape == (200, 2)
    from uncork.schema.seeds import integer_seed

    torch.manual_seed(integer_seed(7, "train"))
    theirs = clone(net).fit(X, y)
    module = again if recipe.bare else again.module_
    for mine, own in zip(module.parameters(), theirs.module_.parameters(), strict=True):
        torch.testing.assert_close(mine, own)
    # Its name follows the settings, and is the same of an equal net.
    assert repr(recipe) == repr(uncork.from_skorch(clone(net).fit(X, y), X, y, test=TEST, metric="error").recipe)
    other = clone(net).set_params(lr=0.001).fit(X, y)
    assert repr(recipe) != repr(uncork.from_skorch(other, X, y, test=TEST, metric="error").recipe)


@pytest.mark.slow
def test_skorchs_defaults_of_probabilities_and_regressors():
    net = fitted(criterion=nn.NLLLoss, module__softmax=True)
    subject = uncork.from_skorch(net, X, Y, test=TEST)
    logits = as_model(subject.model, "classification").outputs(TEST[0]).logits
    np.testing.assert_allclose(np.exp(logits), net.predict_proba(TEST[0]), atol=1e-5)
    outputs, y = net.module_(torch.tensor(X)), torch.tensor(Y)
    assert subject.recipe.loss(outputs, y).item() == pytest.approx(net.get_loss(outputs, y).item())

    column = VALUES[:, None]
    net = fitted("NeuralNetRegressor", y=column, criterion=nn.MSELoss, module__outputs=1, train_split=None)
    subject = uncork.from_skorch(net, X, column, test=(X, column), validation=(X[:50], column[:50]))
    assert (subject.metric.name, subject.recipe.loss, len(subject.train)) == ("rmse", None, 120)
    predicted = as_model(subject.model, "regression").outputs(X).logits
    np.testing.assert_allclose(predicted, net.predict(X), rtol=1e-5)


@pytest.mark.slow
def test_what_cannot_be_told_is_said():
    from skorch import NeuralNetClassifier
    from skorch.dataset import ValidSplit

    with pytest.raises(BadInput, match=r"^NeuralNetClassifier is not fitted: call fit on train"):
        uncork.from_skorch(NeuralNetClassifier(Net), X, Y, test=TEST)
    with pytest.raises(BadInput, match=r"train_split draws other rows each time.*set_params\(train_split=None\)"):
        uncork.from_skorch(fitted(train_split=ValidSplit(0.2)), X, Y, test=TEST)
    net = fitted(module=Net())
    with pytest.warns(UserWarning, match=r"^recipe is None: .* module that is made already"):
        assert uncork.from_skorch(net, X, Y, test=TEST).recipe is None


@pytest.mark.slow
def test_an_audit_retrains_a_net(tmp_path):
    x = RNG.normal(size=(400, 4)).astype(np.float32)
    y = (x[:, 0] + RNG.normal(size=400) > 0).astype(np.int64)
    net = fitted(x=x[:300], y=y[:300], iterator_train__shuffle=False, max_epochs=2)
    subject = uncork.from_skorch(net, x[:300], y[:300], test=(x[300:], y[300:]), name="skorched")
    report = uncork.audit(subject, budget="5m", out=str(tmp_path), probes=["irreproducible-recipe"])
    (found,) = report.findings
    assert found.verdict in ("clear", "undetermined"), found.reason
