"""Torch modules as ONNX files: the same outputs at any number of rows."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from uncork.models.to_onnx import onnx_bytes
from uncork.schema.errors import BadInput, MissingExtra, Unavailable

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def _run(content: bytes, *inputs: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content)
    feeds = {node.name: part.numpy() for node, part in zip(session.get_inputs(), inputs, strict=True)}
    found: list[np.ndarray] = session.run(None, feeds)
    return found


def _cnn() -> tuple[nn.Module, tuple[int, ...]]:
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(24, 4)), (3, 8, 8)


def _mlp() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)), (5,)


def _encoder() -> tuple[nn.Module, tuple[int, ...]]:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(80, 3)), (5, 16)


@pytest.mark.slow
@pytest.mark.parametrize("make", [_cnn, _mlp, _encoder])
def test_a_file_says_what_the_module_says_of_any_number_of_rows(make, capfd):
    torch.manual_seed(0)
    module, shape = make()
    module.train()
    module(torch.randn(32, *shape))  # running statistics that are not those of one batch
    module[0].eval()
    before = {name: part.training for name, part in module.named_modules()}
    capfd.readouterr()
    content = onnx_bytes(module, torch.randn(2, *shape))
    assert {name: part.training for name, part in module.named_modules()} == before
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    module.eval()
    for n in (1, 7, 64):
        x = torch.randn(n, *shape)
        with torch.inference_mode():
            assert np.allclose(_run(content, x)[0], module(x).numpy(), atol=1e-5)


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Embedding(7, 4)

    def forward(self, numbers: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.left(numbers) + self.right(words).mean(dim=1)
        return hidden, hidden.argmax(dim=1)


@pytest.mark.slow
def test_several_inputs_go_by_name_or_in_order_and_lengths_may_be_free():
    torch.manual_seed(0)
    module = _Two()
    numbers, words = torch.randn(3, 3), torch.randint(0, 7, (3, 5))
    by_name = onnx_bytes(module, {"words": words, "numbers": numbers}, names=("hidden", "class"))
    session = onnxruntime.InferenceSession(by_name)
    assert [node.name for node in session.get_inputs()] == ["words", "numbers"]
    assert [node.name for node in session.get_outputs()] == ["hidden", "class"]
    in_order = onnx_bytes(module, (numbers[:2], words[:2]), free=(0, 1))
    longer = torch.randint(0, 7, (4, 9))
    rows = torch.randn(4, 3)
    hidden, decided = module(rows, longer)
    said = _run(in_order, rows, longer)
    assert np.allclose(said[0], hidden.detach().numpy(), atol=1e-6)
    assert (said[1] == decided.numpy()).all()


class _Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


def test_what_can_t_be_exported_is_refused_with_the_reason(monkeypatch):
    with pytest.raises(BadInput, match="two rows or more"):
        onnx_bytes(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(BadInput, match="of type list"):
        onnx_bytes(nn.Linear(2, 2), ["text", "text"])
    monkeypatch.setattr("uncork.models.to_onnx.MOST_BYTES", 20)
    with pytest.raises(Unavailable, match="of weights: an ONNX file holds 2 GB"):
        onnx_bytes(nn.Linear(2, 2), torch.zeros(2, 2))


@pytest.mark.slow
def test_code_that_hangs_on_the_values_is_refused_with_the_exporter_s_reason(capfd):
    with pytest.raises(Unavailable, match="can't take this _Branching: Could not"):
        onnx_bytes(_Branching(), torch.zeros(2, 2))
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_the_way_out_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="export"):
        onnx_bytes(nn.Linear(2, 2), torch.zeros(2, 2))
