"""Subjects whose model is a file: the same report, and what treat saves of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from onnx_helpers import B, W
from onnx_helpers import net as onnx_net
from uncork import BadInput, Report, Split, Subject, audit, load_treated
from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.onnx_model import OnnxModel
from uncork.models.program import Program
from uncork.models.temperature import Tempered
from uncork.run.save import save_treated

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def figures(report: Report) -> dict[tuple[str, str], tuple[float | None, ...]]:
    found = {("headline", ""): report.headline}
    for finding in report.findings:
        found |= {(finding.id, name): estimate for name, estimate in finding.estimates.items()}
        found |= {(finding.id, "headroom"): finding.headroom} if finding.headroom else {}
    scale = {name: 1000 if "per 1,000" in each.unit else 1 for name, each in found.items()}
    return {
        name: tuple(None if v is None else v / scale[name] for v in (each.value, each.low, each.high))
        for name, each in found.items()
    }


@pytest.mark.slow  # three audits
@pytest.mark.usefixtures("in_this_process")
def test_a_scikit_learn_model_has_the_same_report_directly_by_onnx_and_by_skops(tmp_path):
    """All figures agree to 1e-6 of a row or five digits: the file computes in 32 bits.

    What a calibrated model would show is a quantile of simulated draws, one of which may turn over by that. How many
    other formats are taken differs by right: onnxruntime answers rows of NaN, which scikit-learn refuses.
    """
    import skops.io
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load_digits(return_X_y=True)
    x, y = x.astype(np.float32), np.array([f"digit {k}" for k in y])
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(x[:250], y[:250])
    (tmp_path / "m.onnx").write_bytes(to_onnx(fitted, x[:1]).SerializeToString())
    skops.io.dump(fitted, tmp_path / "m.skops")
    cuts = {"train": slice(250), "validation": slice(250, 600), "test": slice(600, 1000)}
    splits = {name: Split(x[rows], y[rows]) for name, rows in cuts.items()}
    reports = {
        name: audit(Subject(model, **splits, name="digits"), pool="off", out=tmp_path / name, seed=0)
        for name, model in (("direct", fitted), ("onnx", tmp_path / "m.onnx"), ("skops", tmp_path / "m.skops"))
    }
    own = figures(reports["direct"])
    assert len(own) > 40
    assert own == figures(reports["skops"])
    by_onnx = figures(reports["onnx"])
    assert by_onnx.keys() == own.keys()
    for name, values in own.items():
        if name[0] != "loose-input-contract":
            close = {"atol": 1e-3} if name[1].endswith("_if_calibrated") else {"rtol": 1e-5, "atol": 1e-6}
            for value, other in zip(values, by_onnx[name], strict=True):
                assert (value is None and other is None) or np.isclose(value, other, **close), name
    for one, other in zip(reports["direct"].findings, reports["onnx"].findings, strict=True):
        assert (one.id, one.verdict) == (other.id, other.verdict)
    assert reports["onnx"].subject["classes"] == reports["direct"].subject["classes"]


def onnx_file(tmp_path: Path, **settings: Any) -> Model:
    (tmp_path / "m.onnx").write_bytes(onnx_net(3))
    return OnnxModel(tmp_path / "m.onnx", **settings)


def script(tmp_path: Path, **settings: Any) -> Model:
    module = nn.Linear(4, 3)
    module.weight.data, module.bias.data = torch.from_numpy(W.T.copy()), torch.from_numpy(B)
    return as_model(torch.jit.script(module), "classification", **settings)


@pytest.mark.parametrize("make", [onnx_file, script])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_file_that_is_kept_is_saved_with_what_was_changed(tmp_path, make: Callable[..., Model]):
    model = make(tmp_path, preprocess=halved)
    model.outputs(X)
    treated = Tempered(model, 2.0)
    save_treated(tmp_path / "run", Subject(model, test=Split(X, np.arange(30) % 3)), treated, ["a temperature"])
    with pytest.raises(BadInput, match="give preprocess= as of Subject"):
        load_treated(tmp_path / "run")
    again = load_treated(tmp_path / "run", preprocess=halved)
    np.testing.assert_array_equal(again.outputs(X).logits, treated.outputs(X).logits)
    np.testing.assert_allclose(again.outputs(X).logits, (X @ W / 2 + B) / 2, rtol=1e-4)
    assert again.fingerprint() == treated.fingerprint()


def halved(x):
    return x / 2


@pytest.mark.slow  # torch.export takes five seconds to be there
def test_an_exported_program_is_loaded_again_on_the_users_word(tmp_path):
    torch.manual_seed(0)
    program = torch.export.export(nn.Linear(4, 3), (torch.from_numpy(X[:5]),))
    model = as_model(program, "classification")
    expected = model.outputs(X).logits
    save_treated(tmp_path, Subject(model, test=Split(X, np.arange(30) % 3)), model, [])
    with pytest.raises(BadInput, match=r"if you trust it, give trusted=\['torch.export'\]"):
        load_treated(tmp_path)
    with pytest.warns(UserWarning, match="any code"):
        again = load_treated(tmp_path, trusted=["torch.export"])
    assert isinstance(again.inner.module, Program)
    np.testing.assert_array_equal(again.outputs(X).logits, expected)
