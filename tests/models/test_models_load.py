from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from onnx_helpers import net as onnx_net
from uncork import Recipe, Split, Subject, load_model
from uncork.models.adapt import as_model
from uncork.models.program import Program
from uncork.run.admit import _with_module
from uncork.schema.errors import BadInput

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


class Trap:
    """A pickle that makes a folder when it is read."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self):
        return os.mkdir, (str(self.sprung),)


def rewritten(path: Path, changes: dict[str, bytes]) -> None:
    """A zip archive with other content under some names, which end so."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, own in content.items():
            archive.writestr(name, next((new for end, new in changes.items() if name.endswith(end)), own))


def test_an_onnx_file(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_net())
    model = load_model(tmp_path / "m.onnx")
    assert model.outputs(X).logits.shape == (30, 3)


@pytest.mark.slow  # skops takes five seconds to be there
def test_estimators_by_skops(tmp_path):
    import skops.io

    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    skops.io.dump(fitted, tmp_path / "m.skops")
    np.testing.assert_array_equal(load_model(tmp_path / "m.skops").predict_proba(X), fitted.predict_proba(X))
    odd = make_pipeline(FunctionTransformer(os.path.join), LogisticRegression())
    skops.io.dump(odd, tmp_path / "odd.skops")
    with pytest.raises(BadInput, match=r"made of types that could run code: .*join: load it yourself, skops.io.load"):
        load_model(tmp_path / "odd.skops")
    assert load_model(tmp_path / "odd.skops", trust_pickle=True)[0].func is os.path.join
    for content in ((tmp_path / "m.skops").read_bytes()[:-30], b"nonsense"):
        (tmp_path / "cut.skops").write_bytes(content)
        with pytest.raises(BadInput, match=r"cut.skops is no .skops file, or is damaged"):
            load_model(tmp_path / "cut.skops")


@pytest.mark.parametrize("ending", ["pkl", "pickle", "joblib"])
def test_pickles_are_read_on_the_users_word_alone(tmp_path, ending):
    path, trap = tmp_path / f"m.{ending}", tmp_path / "sprung"
    fitted = LogisticRegression().fit(X, Y)
    (joblib.dump(fitted, path) if ending == "joblib" else path.write_bytes(pickle.dumps(fitted)))
    with pytest.raises(
        BadInput, match=r"is a pickle, which runs whatever is in it .* trust_pickle=True\) as the model"
    ):
        load_model(path)
    with pytest.warns(UserWarning, match="is read as a pickle, as you trust it: it can run any code"):
        found = load_model(path, trust_pickle=True)
    np.testing.assert_array_equal(found.predict_proba(X), fitted.predict_proba(X))

    path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(BadInput, match="is a pickle"):
        load_model(path)
    assert not trap.exists()
    with pytest.warns(UserWarning, match="any code"):
        load_model(path, trust_pickle=True)
    assert trap.exists()  # so the trap works, and the refusal above is one

    path.write_bytes(pickle.dumps(fitted)[:-60])
    with pytest.warns(UserWarning, match="any code"), pytest.raises(BadInput, match=f"m.{ending} is damaged"):
        load_model(path, trust_pickle=True)
    path.write_bytes(b"cno_such_module\nThing\n.")
    with pytest.warns(UserWarning, match="any code"), pytest.raises(BadInput, match="needs code that is not here"):
        load_model(path, trust_pickle=True)


@pytest.mark.parametrize("ending", ["pt", "pth", "ts"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript(tmp_path, ending):
    path, trap = tmp_path / f"m.{ending}", tmp_path / "sprung"
    torch.jit.save(torch.jit.script(module()), path)
    found = load_model(path)
    assert isinstance(found, Program)
    np.testing.assert_allclose(found(torch.from_numpy(X)).detach(), module()(torch.from_numpy(X)).detach(), rtol=1e-5)

    whole = path.read_bytes()
    for inside in ("data.pkl", "constants.pkl"):
        path.write_bytes(whole)
        rewritten(path, {inside: pickle.dumps(Trap(trap), protocol=2)})
        with pytest.raises(BadInput, match="is no TorchScript program, or is damaged"):
            load_model(path)
        assert not trap.exists()
    path.write_bytes(whole[:-200])
    with pytest.raises(BadInput, match="or is damaged"):
        load_model(path)


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt"])
def test_modules_saved_whole(tmp_path, ending):
    path, trap = tmp_path / f"m.{ending}", tmp_path / "sprung"
    torch.save(module(), path)
    with pytest.raises(BadInput, match=r"would run code when loaded, so it is refused: .* trust_pickle=True\)"):
        load_model(path)
    with pytest.warns(UserWarning, match="any code"):
        found = load_model(path, trust_pickle=True)
    assert torch.equal(found(torch.from_numpy(X)), module()(torch.from_numpy(X)))
    torch.save({"state_dict": Trap(trap)}, path)
    with pytest.raises(BadInput, match="would run code"):
        load_model(path)
    assert not trap.exists()


def test_weights_alone_need_a_module(tmp_path):
    torch.save(module().state_dict(), tmp_path / "w.pt")
    save_file(module().state_dict(), tmp_path / "w.safetensors")
    shutil.copy(tmp_path / "w.pt", tmp_path / "w.th")  # an ending that nothing else has
    for name in ("w.pt", "w.safetensors"):
        for trust in (False, True):
            with pytest.raises(BadInput, match=rf"{name} holds weights without the net .* give recipe=Recipe\(build"):
                load_model(tmp_path / name, trust_pickle=trust)
    for name in ("w.pt", "w.safetensors", "w.th"):
        filled = _with_module(
            Subject(
                tmp_path / name,
                test=Split(X, Y),
                recipe=Recipe(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), epochs=1),
            )
        )
        assert torch.equal(filled.model[0].weight, module()[0].weight)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_subjects_path_is_a_model_with_a_recipe_too(tmp_path):
    torch.jit.save(torch.jit.script(module()), tmp_path / "m.pt")
    (tmp_path / "m.onnx").write_bytes(onnx_net())
    for name, kind in (("m.pt", "torch"), ("m.onnx", "onnx")):
        for recipe in (None, Recipe(module, epochs=1)):
            subject = _with_module(Subject(str(tmp_path / name), test=Split(X, Y), recipe=recipe))
            assert as_model(subject.model, "classification").describe()["kind"] == kind


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.onnx", "there is no such file or folder"),
        ("model.h5", "what it holds can't be told by its name: let it end in .onnx, .skops, .pkl"),
        ("folder", "is a folder without config.json"),
        ("noise.pt", "is no torch checkpoint"),
        ("noise.ts", "is no TorchScript program, or is damaged"),
        ("noise.onnx", "is no ONNX file, or is damaged"),
    ],
)
def test_other_files(tmp_path, name, message):
    if name == "folder":
        (tmp_path / name).mkdir()
    elif not name.startswith("none"):
        (tmp_path / name).write_bytes(b"nonsense, and no model")
    with pytest.raises(BadInput) as error:
        load_model(tmp_path / name)
    assert message in str(error.value)
    assert name in str(error.value)


@pytest.mark.slow  # torch.export takes five seconds to be there
def test_exported_programs_are_read_on_the_users_word_alone(tmp_path):
    path, trap = tmp_path / "m.pt2", tmp_path / "sprung"
    torch.export.save(torch.export.export(module(), (torch.from_numpy(X[:7]),)), path)
    with pytest.raises(BadInput, match=r"m.pt2 is a torch.export program, and reading one may run what somebody put"):
        load_model(path)
    shutil.copy(path, tmp_path / "m.pt")
    for name in ("m.pt2", "m.pt"):
        with pytest.warns(UserWarning, match="any code"):
            found = as_model(load_model(tmp_path / name, trust_pickle=True), "classification")
        np.testing.assert_allclose(found.outputs(X).logits, module()(torch.from_numpy(X)).detach(), rtol=1e-5)

    content = io.BytesIO()
    torch.save(Trap(trap), content)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("model_weights_config.json"))
        config = json.loads(archive.read(name))
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    changed = {"model_weights_config.json": json.dumps(config).encode(), first["path_name"]: content.getvalue()}
    rewritten(path, changed)
    with pytest.raises(BadInput, match=r"is a torch.export program"):
        load_model(path)
    assert not trap.exists()
    with pytest.warns(UserWarning, match="any code"), pytest.raises(BadInput, match=r"m.pt2 is damaged"):
        load_model(path, trust_pickle=True)
    assert trap.exists()  # torch unpickles what lies in such a file: that is why it isn't read without trust
