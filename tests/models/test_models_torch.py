from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def mlp(k: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, k))


def classifier(module: nn.Module, **settings) -> TorchModel:
    return TorchModel(module, task="classification", **settings)


class Wrapped(nn.Module):
    """A module around a function of its inner module's output."""

    def __init__(self, inner: nn.Module, then) -> None:
        super().__init__()
        self.inner, self.then = inner, then

    def forward(self, x):
        return self.then(self.inner(x))


def test_logits_are_the_modules_own_in_eval_mode():
    module = mlp()
    model = classifier(module)
    assert isinstance(model, Model)
    out = model.outputs(X)
    assert out.features is None
    assert out.logits.dtype == np.float32
    np.testing.assert_array_equal(out.logits, module.eval()(torch.from_numpy(X)).detach().numpy())
    assert model.n_outputs == 3


@pytest.mark.parametrize("fail", [False, True])
def test_training_flags_are_restored_exactly(fail):
    module = mlp().train()
    module[3].eval()  # a frozen norm stays frozen
    before = [part.training for part in module.modules()]
    if fail:
        with pytest.raises(BadInput):
            classifier(module).outputs(X[:, :2])
    else:
        classifier(module).outputs(X, features=True)
    assert [part.training for part in module.modules()] == before
    assert not any(part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.float32])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
def test_floats_take_the_weights_dtype(dtype, weights):
    module = mlp().to(weights)
    out = classifier(module).outputs(X.astype(dtype))
    expected = module.eval()(torch.from_numpy(X.astype(dtype)).to(weights)).detach().float().numpy()
    np.testing.assert_array_equal(out.logits, expected)


@pytest.mark.parametrize("then", [lambda z: z, lambda z: z[:, 0], lambda z: z.squeeze()])
@pytest.mark.parametrize("rows", [6, 1])
def test_one_output_is_the_logit_of_the_second_class(then, rows):
    module = mlp(1).eval()
    out = classifier(Wrapped(module, then)).outputs(X[:rows]).logits
    z = module(torch.from_numpy(X[:rows])).detach().numpy()[:, 0]
    np.testing.assert_array_equal(out, np.stack([0 * z, z], axis=1))


def test_regression_has_one_column():
    module = mlp(1).eval()
    model = TorchModel(Wrapped(module, lambda z: z[:, 0]), task="regression")
    np.testing.assert_array_equal(model.outputs(X).logits, module(torch.from_numpy(X)).detach().numpy())
    with pytest.raises(BadInput, match="the model has 3 outputs: regression takes one"):
        TorchModel(mlp(3), task="regression").outputs(X)


@pytest.mark.parametrize(("k", "last"), [(3, nn.Softmax(1)), (1, nn.Sigmoid())])
def test_probabilities_are_turned_back_into_logits(k, last):
    module = mlp(k).eval()
    model = classifier(nn.Sequential(module, last))
    out = model.outputs(X).logits
    expected = classifier(module).outputs(X).logits
    np.testing.assert_allclose(out - out[:, :1], expected - expected[:, :1], atol=1e-5)
    assert "probabilities" in model.describe()["note"]
    assert classifier(module).describe()["note"] == ""


def test_features_are_found_and_verified():
    module = mlp().train()
    model = classifier(module)
    out = model.outputs(X, features=True)
    weight, bias = module[4].weight.detach().numpy(), module[4].bias.detach().numpy()
    np.testing.assert_allclose(out.features @ weight.T + bias, out.logits, rtol=1e-5, atol=1e-6)
    again = model.outputs(X[:2], features=True)
    np.testing.assert_allclose(again.features, out.features[:2], rtol=1e-5)
    said = model.describe()
    assert said["feature_layer"] == "4"
    assert "verified" in said["features"]
    assert said["parameters"] == sum(p.numel() for p in module.parameters())
    assert said["bytes"] == 4 * said["parameters"]


def test_the_last_linear_that_runs_counts_not_the_last_defined():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(8, 3), nn.Linear(4, 8)

        def forward(self, x):
            return self.head(self.body(x).relu())

    model = classifier(Backwards())
    assert model.outputs(X, features=True).features.shape == (6, 8)
    assert model.describe()["feature_layer"] == "head"


def test_features_that_are_not_the_penultimate_layer_are_refused():
    model = classifier(Wrapped(mlp(), lambda z: 2 * z))
    assert model.outputs(X, features=True).features is None
    assert "not W f + b of the last Linear, inner.4" in model.describe()["features"]
    told = classifier(Wrapped(mlp(), lambda z: 2 * z), features="inner.4")
    assert told.outputs(X, features=True).features.shape == (6, 8)
    assert told.describe()["features"] == "input of inner.4, as told"
    none = classifier(nn.Sequential(nn.Conv1d(1, 3, 4), nn.Flatten()))
    assert none.outputs(X[:, None], features=True).features is None
    assert "no Linear layer ran" in none.describe()["features"]
    with pytest.raises(BadInput, match="features='fc' names no submodule of the model: it has 0, 1"):
        classifier(mlp(), features="fc")


def test_preprocess_gets_a_tensor_or_the_texts():
    module = mlp().eval()
    out = classifier(module, preprocess=lambda x: x.float() / 255).outputs((X * 20 + 100).astype(np.uint8))
    expected = module(torch.from_numpy((X * 20 + 100).astype(np.uint8)).float() / 255).detach().numpy()
    np.testing.assert_array_equal(out.logits, expected)

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(9, 5), nn.Linear(5, 2)

        def forward(self, tokens):
            return self.head(self.table(tokens).mean(1))

    def tokens(texts):
        return {"tokens": torch.tensor([[len(word) for word in text.split()] for text in texts])}

    model = classifier(Bag(), preprocess=tokens)
    assert model.outputs(["a bb", "ccc d"], features=True).features.shape == (2, 5)
    assert classifier(Wrapped(Bag(), lambda z: z)).outputs(np.array([[1, 2]])).logits.shape == (1, 2)
    with pytest.raises(BadInput, match="needs tensors but gets list: give Subject"):
        classifier(Bag()).outputs(["a b"])
    with pytest.raises(BadInput, match=r"rows of shape \(1,\): index out of range"):
        classifier(Bag()).outputs(np.array([[99]]))


def test_integer_inputs_are_explained():
    images = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    with pytest.raises(BadInput) as error:
        classifier(mlp()).outputs(images)
    assert str(error.value) == (
        "x holds uint8 values 0–255 but the model's weights are float32: "
        "give Subject(preprocess=lambda x: x.float() / 255)"
    )
    scaling = Wrapped(nn.Identity(), lambda x: x.float().mean(1))  # sees to it itself
    assert classifier(scaling).outputs(images).logits[0, 1] == 64.5


def test_refusals_name_the_shape_and_chain_the_cause():
    with pytest.raises(BadInput, match=r"x: the model refuses rows of shape \(2,\): mat1 and mat2") as error:
        classifier(mlp()).outputs(X[:, :2])
    assert isinstance(error.value.__cause__, RuntimeError)
    with pytest.raises(BadInput, match="for 6 rows: it needs one row of outputs each"):
        classifier(Wrapped(mlp(), lambda z: z[:4])).outputs(X)
    with pytest.raises(BadInput, match=r"shape \(6, 3, 2, 2\)"):
        classifier(Wrapped(mlp(), lambda z: z[:, :, None, None].expand(-1, -1, 2, 2))).outputs(X)
    with pytest.raises(BadInput, match="the model returns tuple"):
        classifier(Wrapped(mlp(), lambda z: (z, z))).outputs(X)


def test_frames_become_a_float_matrix():
    module = mlp()
    frame = pd.DataFrame(X, columns=list("abcd"))
    np.testing.assert_array_equal(classifier(module).outputs(frame).logits, classifier(module).outputs(X).logits)
    with pytest.raises(BadInput, match="column 'c' holds"):
        classifier(module).outputs(frame.assign(c="text"))


def test_fingerprint_follows_weights_structure_and_preprocess():
    base = classifier(mlp()).fingerprint()
    assert classifier(mlp()).fingerprint() == base
    nudged = mlp()
    with torch.no_grad():
        nudged[0].bias[0] += 1e-6
    wider = mlp()
    wider[2].p = 0.1
    prints = {
        base,
        classifier(nudged).fingerprint(),
        classifier(wider).fingerprint(),
        classifier(mlp().to(torch.bfloat16)).fingerprint(),
        classifier(mlp(), preprocess=lambda x: x / 2).fingerprint(),
        classifier(mlp(), preprocess=lambda x: x / 3).fingerprint(),
        classifier(mlp(), features="4").fingerprint(),
    }
    assert len(prints) == 7
    model = classifier(mlp())
    before = model.fingerprint()
    model.outputs(X, features=True)
    assert model.fingerprint() == before


def test_tempered_divides_the_logits():
    inner = classifier(mlp())
    model = Tempered(inner, 2.5)
    assert isinstance(model, Model)
    out = model.outputs(X, features=True)
    np.testing.assert_allclose(out.logits * 2.5, inner.outputs(X).logits, rtol=1e-6)
    np.testing.assert_array_equal(out.features, inner.outputs(X, features=True).features)
    assert model.n_outputs == 3
    assert model.fingerprint() != Tempered(inner, 2.6).fingerprint()
    assert model.describe()["temperature"] == 2.5
    for wrong in (0, -1, np.nan):
        with pytest.raises(BadInput, match="give a number above 0"):
            Tempered(inner, wrong)


@pytest.mark.parametrize("fed", [2, 6])
def test_a_functional_sigmoid_is_seen_by_its_values(fed):
    module = mlp(1).eval()
    model = classifier(Wrapped(module, torch.sigmoid))
    out = np.concatenate([model.outputs(X[:fed]).logits, model.outputs(X[:1]).logits])
    z = module(torch.from_numpy(X)).detach().numpy()[[*range(fed), 0], 0]
    np.testing.assert_allclose(out[:, 1] - out[:, 0], z, atol=1e-4)
    assert "the outputs are probabilities" in model.describe()["note"]


def test_a_sigmoid_that_is_not_at_the_end_makes_no_probabilities():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.gate = mlp(1), nn.Sigmoid()  # registered last, used in the middle

        def forward(self, x):
            return 20 * self.inner(self.gate(x))

    module = Gated().eval()
    model = classifier(module)
    z = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_array_equal(model.outputs(X).logits[:, 1], z[:, 0])
    assert "read as the logit" in model.describe()["note"]


def test_one_value_outside_0_to_1_ends_the_reading_as_probabilities():
    model = classifier(nn.Identity())
    assert model.outputs(np.float32([[0.5]])).logits.tolist() == [[0.0, 0.5]]  # all the same: nothing is settled
    assert model.outputs(np.float32([[0.2], [0.5]])).logits[1].tolist() == [np.log(np.float32(0.5))] * 2
    assert model.outputs(np.float32([[0.2], [3.0]])).logits.tolist() == [[0.0, np.float32(0.2)], [0.0, 3.0]]
    assert model.outputs(np.float32([[0.2], [0.5]])).logits[1].tolist() == [0.0, 0.5]
    assert "read as the logit" in model.describe()["note"]


def test_a_row_of_nan_does_not_change_how_the_others_are_read():
    model = classifier(nn.Softmax(dim=1))
    expected = model.outputs(X).logits
    broken = model.outputs(np.where(np.arange(6)[:, None] == 2, np.float32(np.nan), X)).logits
    assert np.isnan(broken[2]).all()
    np.testing.assert_array_equal(np.delete(broken, 2, axis=0), np.delete(expected, 2, axis=0))
    np.testing.assert_array_equal(model.outputs(X).logits, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [3, 200])
def test_probabilities_of_half_precision_are_known_though_their_sum_is_rounded(dtype, k):
    z = np.random.default_rng(1).normal(size=(256, k)).astype(np.float32)
    model = classifier(Wrapped(nn.Identity(), lambda out: torch.softmax(out, dim=1).to(dtype)))
    out = model.outputs(z).logits
    assert "the outputs are probabilities" in model.describe()["note"]
    np.testing.assert_allclose(out, torch.log_softmax(torch.from_numpy(z), dim=1), atol=0.02)


def test_a_ready_adapter_takes_the_subjects_preprocess_and_features():
    ready = classifier(mlp(), preprocess=lambda x: x * 0)
    ready.classes = ("a", "b", "c")
    halved = as_model(ready, "classification", preprocess=lambda x: x / 2, features="0")
    np.testing.assert_array_equal(halved.outputs(X).logits, classifier(mlp()).outputs(X / 2).logits)
    assert (halved.describe()["feature_layer"], halved.classes) == ("0", ("a", "b", "c"))
    assert as_model(ready, "classification", preprocess=ready.preprocess) is ready


class Scaled(nn.Module):
    """Weights and printed form don't tell `scale`, nor what forward does."""

    def __init__(self, scale) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.scale = nn.Linear(4, 3), scale

    def forward(self, x):
        self.last = self.inner(x)
        return self.scale * self.last


def negated() -> type[nn.Module]:
    class Other(Scaled):
        def forward(self, x):
            return -self.scale * self.inner(x)

    Other.__name__ = Other.__qualname__ = "Scaled"
    return Other


def test_fingerprint_follows_forward_code_and_plain_attributes():
    makes = [
        lambda: Scaled(1.0),
        lambda: Scaled(-1.0),
        lambda: Scaled(torch.ones(3)),
        lambda: Scaled(-torch.ones(3)),
        lambda: negated()(1.0),
        lambda: nn.Sequential(Scaled(1.0)),
        lambda: nn.Sequential(Scaled(-1.0)),
    ]
    prints = [classifier(make()).fingerprint() for make in makes]
    assert len(set(prints)) == len(makes)
    assert [classifier(make()).fingerprint() for make in makes] == prints
    model = classifier(Scaled(1.0))
    model.outputs(X)
    assert model.fingerprint() == prints[0]  # what forward leaves behind is no setting


PROGRAM = """
import sys; sys.path.insert(0, {folder!r})
from test_models_torch import Scaled, classifier, mlp
print(classifier(Scaled(1.0)).fingerprint(), classifier(mlp()).fingerprint())
"""


@pytest.mark.slow
def test_fingerprint_is_the_same_in_another_process():
    import subprocess
    import sys
    from pathlib import Path

    program = PROGRAM.format(folder=str(Path(__file__).parent))
    said = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said[0] == said[1]
    assert len(said[0].split()) == 2


def test_fingerprint_is_cheap():
    import time

    model = classifier(nn.Sequential(*[nn.Linear(128, 128) for _ in range(18)]))  # 0.3 M parameters
    times = []
    for _ in range(7):
        start = time.perf_counter()
        model.fingerprint()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01
