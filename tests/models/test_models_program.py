"""TorchScript and torch.export programs, and modules of several inputs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncork.data.split import Split
from uncork.models.adapt import as_model, infer_task
from uncork.models.program import EXPORTED, TORCHSCRIPT, Program
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput
from uncork.schema.subject import Subject

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")

RNG = np.random.default_rng(0)
IDS, MASK = RNG.integers(0, 10, (13, 6)), RNG.random((13, 6)).astype(np.float32)
BOTH = {"ids": IDS, "mask": MASK}


class Bag(nn.Module):
    """Two inputs; dropout and BatchNorm tell modes apart."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.drop, self.last = (
            nn.Embedding(10, 4),
            nn.BatchNorm1d(4),
            nn.Dropout(),
            nn.Linear(4, 3),
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.last(self.drop(self.norm((self.words(ids) * mask[..., None]).sum(1))))


class OfMapping(Bag):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return super().forward(batch["ids"], batch["mask"])


class ByName(Bag):
    def forward(self, *, ids: Tensor, mask: Tensor) -> Tensor:
        return super().forward(ids, mask)


@pytest.fixture(scope="module")
def bag() -> Bag:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Bag()
        for _ in range(3):
            module(torch.from_numpy(IDS), torch.from_numpy(MASK))
    return module.eval()


@pytest.fixture(scope="module")
def expected(bag: Bag) -> np.ndarray:
    return bag(torch.from_numpy(IDS), torch.from_numpy(MASK)).detach().numpy()


def classifier(module, **settings) -> TorchModel:
    return TorchModel(module, task="classification", **settings)


def like(module: Bag, kind: type[Bag]) -> Bag:
    other = kind().eval()
    other.load_state_dict(module.state_dict())
    return other


@pytest.mark.parametrize("kind", [Bag, OfMapping, ByName])
def test_modules_take_several_inputs(bag, expected, kind):
    model = classifier(like(bag, kind))
    out = model.outputs(BOTH, features=True)
    np.testing.assert_allclose(out.logits, expected, rtol=1e-5)
    assert out.features is not None
    assert out.features.shape == (13, 4)
    split = Split(BOTH, np.arange(13) % 3)
    np.testing.assert_allclose(model.outputs(split.take(np.array([5, 2]))).logits, expected[[5, 2]], rtol=1e-5)


def test_names_that_forward_does_not_have_go_in_order(bag, expected):
    np.testing.assert_allclose(classifier(bag).outputs({"a": IDS, "b": MASK}).logits, expected, rtol=1e-5)
    for batch, told in (({"ids": IDS}, "ids"), ({**BOTH, "more": MASK}, "ids, mask, more")):
        with pytest.raises(BadInput, match=f"its inputs are {told}, but the model's forward takes ids, mask"):
            classifier(bag).outputs(batch)
    for module in (like(bag, OfMapping), nn.Sequential(nn.Linear(6, 3))):
        with pytest.raises(BadInput, match="takes one argument, and refuses a mapping of a, b as that"):
            classifier(module).outputs({"a": IDS, "b": MASK})


def test_order_never_mixes_up_inputs_of_which_some_agree_by_name(bag, expected):
    classifier(bag).outputs({"ids": IDS, "b": MASK})
    with pytest.raises(BadInput, match="inputs are mask, a, but the model takes ids, mask: some names agree"):
        classifier(bag).outputs({"mask": MASK, "a": IDS})


@pytest.mark.slow  # TorchScript takes three seconds to be there
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_programs_traced_in_training_mode_are_refused():
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    traced = torch.jit.trace(net, torch.eye(2), check_trace=False)
    with pytest.raises(
        BadInput, match=r"made in training mode, as its batch_norm, dropout shows.*model.eval\(\) before"
    ):
        as_model(traced, "classification")
    as_model(torch.jit.trace(net.eval(), torch.eye(2)), "classification")


@pytest.mark.slow
def test_programs_exported_in_training_mode_are_refused():
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    with pytest.raises(BadInput, match=r"made in training mode.*before torch.export.export"):
        as_model(torch.export.export(net, (torch.eye(2),)), "classification")


def test_preprocess_gets_and_gives_mappings(bag, expected):
    halved = classifier(bag, preprocess=lambda x: {"ids": x["ids"], "mask": x["mask"] / 2})
    np.testing.assert_allclose(halved.outputs({"ids": IDS, "mask": 2 * MASK}).logits, expected, rtol=1e-5)
    one = classifier(bag, preprocess=lambda ids: {"ids": ids.numpy(), "mask": MASK})
    np.testing.assert_allclose(one.outputs(IDS).logits, expected, rtol=1e-5)


def checked(program: Program, expected: np.ndarray) -> None:
    """Whole, in copies, row by row, by name and in order."""
    for each in (program, pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
        model = classifier(each)
        np.testing.assert_allclose(model.outputs(BOTH).logits, expected, atol=1e-5)
        assert model.fingerprint() == classifier(program).fingerprint()
    model = classifier(program)
    for batch in ({"mask": MASK, "ids": IDS}, {"a": IDS, "b": MASK}):
        np.testing.assert_allclose(model.outputs(batch).logits, expected, atol=1e-5)
    one = model.outputs({name: part[:1] for name, part in BOTH.items()}, features=True)
    np.testing.assert_allclose(one.logits, expected[:1], atol=1e-5)
    assert one.features is None
    assert "doesn't show what goes through its layers" in model.describe()["features"]
    with pytest.raises(BadInput, match=r"features='last': a .* program doesn't show"):
        classifier(program, features="last")
    with pytest.raises(BadInput, match=r"the model refuses rows of shape ids \(3,\), mask \(6,\)"):
        model.outputs({"ids": IDS[:, :3], "mask": MASK})


@pytest.mark.slow
def test_torchscript(bag, expected):
    scripted = torch.jit.script(copy.deepcopy(bag).train())
    assert scripted.training
    program = Program.of(scripted)
    checked(program, expected)
    assert (program.kind, program.fewest, program.most) == (TORCHSCRIPT, 1, 0)
    inputs = torch.from_numpy(IDS), torch.from_numpy(MASK)
    for other in (torch.jit.freeze(torch.jit.script(bag)), torch.jit.trace(bag, inputs)):
        checked(Program.of(other), expected)
    adapted = as_model(scripted, "classification")
    assert (adapted.describe()["class"], adapted.describe()["parameters"]) == ("TorchScript", 63)
    assert "a program that was traced keeps the mode" in adapted.describe()["note"]
    other = copy.deepcopy(bag)
    other.last.bias.data += 1
    assert as_model(torch.jit.script(other), "classification").fingerprint() != adapted.fingerprint()
    with pytest.raises(BadInput, match="the model takes ids, mask: some names agree"):
        adapted.outputs({"mask": MASK, "a": IDS})
    with pytest.raises(BadInput, match="missing value for argument 'mask'"):
        adapted.outputs({"ids": IDS})


@pytest.mark.slow  # torch.export takes five seconds to be there
@pytest.mark.parametrize(
    ("rows", "bounds", "sizes"),
    [(5, None, (5, 5)), (13, {}, (1, 0)), (5, {"max": 8}, (1, 8)), (5, {"min": 4, "max": 8}, (4, 8))],
)
def test_exported_programs(bag, expected, rows, bounds, sizes):
    inputs = torch.from_numpy(IDS[:rows]), torch.from_numpy(MASK[:rows])
    dynamic = None
    if bounds is not None:
        dim = torch.export.Dim("rows", **bounds)
        dynamic = {"ids": {0: dim}, "mask": {0: dim}}
    exported = torch.export.export(bag, inputs, dynamic_shapes=dynamic)
    assert infer_task(Subject(exported, test=Split(BOTH, np.arange(13) % 3))) == "classification"
    program = Program.of(exported)
    assert (program.kind, program.fewest, program.most) == (EXPORTED, *sizes)
    checked(program, expected)
    assert as_model(exported, "classification").describe()["class"] == "torch.export"
    with pytest.raises(BadInput, match="the model takes ids, mask: some names agree"):
        classifier(program).outputs({"mask": MASK, "a": IDS})
    with pytest.raises(BadInput, match="the program takes ids, mask"):
        classifier(program).outputs({"ids": IDS})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OfMapping, ByName])
def test_exported_programs_of_mappings_and_names(bag, expected, kind):
    inputs = {name: torch.from_numpy(part[:5]) for name, part in BOTH.items()}
    how = ((inputs,), {}) if kind is OfMapping else ((), inputs)
    model = classifier(Program.of(torch.export.export(like(bag, kind), *how)))
    for batch in (BOTH, {"mask": MASK, "ids": IDS}):
        np.testing.assert_allclose(model.outputs(batch).logits, expected, atol=1e-5)


@pytest.mark.slow
def test_an_exported_programs_own_module_refuses_another_batch_size_in_words():
    module = torch.export.export(nn.Linear(6, 3), (torch.from_numpy(MASK[:5]),)).module()
    with pytest.raises(BadInput, match="Guard failed"):
        classifier(module).outputs(MASK)
