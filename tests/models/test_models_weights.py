from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uncork.models.weights import load_weights
from uncork.schema.errors import BadInput


def net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class RunsCode:
    """What pickle calls when such a file is opened without care."""

    ran = False

    def __reduce__(self):
        return (_run, ())


def _run() -> None:
    RunsCode.ran = True


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {"model_state_dict": {f"module.{k}": v for k, v in s.items()}},
    ],
)
def test_torch_files_round_trip(tmp_path, wrap):
    torch.save(wrap(net(1).state_dict()), tmp_path / "w.pt")
    module = net(2)
    assert load_weights(module, tmp_path / "w.pt") is module
    for a, b in zip(module.state_dict().values(), net(1).state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_safetensors_round_trip(tmp_path):
    save_file(net(1).state_dict(), tmp_path / "w.safetensors")
    assert torch.equal(load_weights(net(2), tmp_path / "w.safetensors")[0].weight, net(1)[0].weight)


def test_misfits_are_listed(tmp_path):
    state = net(1).state_dict()
    state["extra"] = torch.zeros(2)
    del state["0.bias"]
    state["2.weight"] = torch.zeros(5, 4)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BadInput) as error:
        load_weights(net(2), tmp_path / "w.pt")
    for part in ("does not fit Sequential", "missing from the file: 0.bias", "not in the module: extra",
                 "of another shape: 2.weight (file (5, 4), module (2, 4))"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(BadInput, match="and 1 more"):
        load_weights(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)), tmp_path / "w.pt")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": RunsCode()}, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"would run code when loaded, so it is refused: ask its author for safetensors"):
        load_weights(net(1), tmp_path / "w.pt")
    torch.save(net(1), tmp_path / "whole.pt")
    with pytest.raises(BadInput, match="would run code"):
        load_weights(net(1), tmp_path / "whole.pt")
    assert not RunsCode.ran


def test_files_that_are_no_weights(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"nonsense, and not a checkpoint")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in (
        ("none.pt", "there is no such file"),
        ("w.pt", "no torch checkpoint"),
        ("empty.pt", "no torch checkpoint"),
        ("w.safetensors", "no safetensors file"),
        ("list.pt", "holds no state dict"),
    ):
        with pytest.raises(BadInput, match=message):
            load_weights(net(1), tmp_path / name)
