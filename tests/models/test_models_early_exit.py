"""Rows leave where they are decided, are then out of the batch, and the others are answered as by the whole net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exit_helpers import planted, rows
from torch import nn

from uncork import BadInput, Recipe, Split, Subject, load_treated
from uncork.models.early_exit import Certificate, EarlyExit, Head, RandomExit, pooled
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel
from uncork.run.save import save_treated
from uncork.schema.errors import Unavailable
from uncork.train.early_exit import Told, certified, fit_heads, told

ANY = Certificate(0.9, 1.0, 0.0, 0, 0)


@pytest.fixture(scope="module")
def inner() -> TorchModel:
    model = TorchModel(planted(), task="classification")
    model.outputs(rows(20, 9)[0])
    return model


@pytest.fixture(scope="module")
def heads(inner: TorchModel) -> tuple[Head, ...]:
    return fit_heads(inner, Split(*rows(500, 0)[:2]), 0)


@pytest.fixture(scope="module")
def model(inner: TorchModel, heads: tuple[Head, ...]) -> EarlyExit:
    x, y, _ = rows(1000, 1)
    found = certified(told(inner, heads, Split(x, y)), y, limit=0.005, level=0.95)
    assert found is not None
    return EarlyExit(inner, heads, found)


def test_easy_rows_leave_after_the_first_block_and_hard_ones_after_the_third(model: EarlyExit) -> None:
    assert [head.after for head in model.heads] == ["1", "3", "5", "7"]
    x, y, easy = rows(300, 2)
    logits, left = model.answers(x)
    np.testing.assert_array_equal(left, np.where(easy, 0, 2))
    np.testing.assert_array_equal(logits.argmax(axis=1), y)


def test_rows_that_left_are_out_of_the_batch(model: EarlyExit) -> None:
    x, _, easy = rows(40, 3)
    entered: dict[str, list[int]] = {}
    hooks = [
        part.register_forward_pre_hook(lambda _, given, name=name: entered.setdefault(name, []).append(len(given[0])))
        for name, part in model.inner.module.named_children()
        if isinstance(part, nn.Linear)
    ]
    forwards = [vars(part).get("forward") for part in model.inner.module.modules()]
    model.outputs(x)
    for hook in hooks:
        hook.remove()
    hard = int((~easy).sum())
    assert entered["2"][-1] == entered["4"][-1] == hard
    assert entered["0"][0] == 40
    assert "6" not in entered
    assert forwards == [vars(part).get("forward") for part in model.inner.module.modules()]
    assert not any(part._forward_hooks for part in model.inner.module.modules())


def test_a_row_is_answered_alike_alone_and_in_a_batch_and_as_it_was_told(model: EarlyExit) -> None:
    x, y, _ = rows(60, 4)
    logits, left = model.answers(x)
    one_by_one = [model.answers(x[i : i + 1]) for i in range(60)]
    np.testing.assert_allclose(np.concatenate([each for each, _ in one_by_one]), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([at for _, at in one_by_one]), left)
    said = told(model.inner, model.heads, Split(x, y))
    np.testing.assert_array_equal(said.left(model.certificate.threshold), left)
    np.testing.assert_array_equal(said.answers(model.certificate.threshold), logits.argmax(axis=1))


def test_rows_that_stay_are_answered_as_by_the_whole_net(inner: TorchModel, heads: tuple[Head, ...]) -> None:
    x = rows(200, 5)[0]
    random = RandomExit(EarlyExit(inner, heads, ANY), [0.2] * len(heads), 0)
    logits, left = random.answers(x)
    assert set(left) == {0, 1, 2, 3, 4}
    np.testing.assert_allclose(logits[left == 4], inner.outputs(x).logits[left == 4], rtol=1e-5)
    np.testing.assert_array_equal(random.answers(x)[1], left)
    share = (left == 0).mean()
    assert abs(share - 0.2) < 0.12  # 4 s.d. of 200 rows


def test_a_threshold_of_one_leaves_the_net_as_it_is(inner: TorchModel, heads: tuple[Head, ...]) -> None:
    x = rows(50, 6)[0]
    whole = EarlyExit(inner, heads, Certificate(2.0, 0.0, 0.0, 0, 0))
    out = whole.outputs(x, features=True)
    np.testing.assert_array_equal(out.logits, inner.outputs(x).logits)
    np.testing.assert_array_equal(out.features, inner.outputs(x, features=True).features)
    assert whole.describe()["early_exit"]["after"] == ["1", "3", "5", "7"]
    assert whole.describe()["parameters"] > inner.describe()["parameters"]


def test_it_is_saved_and_answers_as_before(model: EarlyExit, tmp_path: Path) -> None:
    x, y, _ = rows(50, 7)
    subject = Subject(model, test=Split(x, y), recipe=Recipe(planted, epochs=1))
    save_treated(tmp_path, subject, Tempered(model, 2.0), ["early exits"])
    again = load_treated(tmp_path, build=planted)
    assert again.inner.inner.told == model.told
    np.testing.assert_array_equal(again.outputs(x).logits, model.outputs(x).logits / np.float32(2))
    parts = json.loads((tmp_path / "treated" / "treated.json").read_text())["model"]["inner"]
    assert parts["certificate"]["limit"] == 0.005


def test_in_place_blocks_and_tokens_beyond_a_mask(heads: tuple[Head, ...]) -> None:
    states = torch.randn(2, 5, 4)
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    torch.testing.assert_close(pooled(states, mask)[0], states[0, :2].mean(dim=0))
    torch.testing.assert_close(pooled(states, None), states.mean(dim=1))
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(pooled(maps, None), torch.tensor([[2.5, 4.5, 10.5, 12.5]]))


def test_it_says_why_it_can_not(inner: TorchModel, heads: tuple[Head, ...]) -> None:
    alone = TorchModel(nn.Linear(3, 2), task="classification")
    alone.outputs(rows(4, 0)[0])
    with pytest.raises(Unavailable, match="blocks one after the other"):
        fit_heads(alone, Split(*rows(40, 0)[:2]), 0)

    class Leaning(nn.Module):
        """What the batch holds decides."""

        def forward(self, x: Any) -> Any:
            return x - x.mean(dim=0)

    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), Leaning(), nn.Linear(8, 2))
    leaning = TorchModel(net, task="classification")
    with pytest.raises(Unavailable, match="hang on one another"):
        fit_heads(leaning, Split(*rows(40, 0)[:2]), 0)
    with pytest.raises(BadInput, match="no block '10'"):
        EarlyExit(inner, [Head("10", ("0", "10"), 0.1, np.zeros((2, 6)), np.zeros(2))], ANY)
    with pytest.raises(BadInput, match="3 outputs, the net 2"):
        EarlyExit(inner, [Head("1", ("0", "1"), 0.1, np.zeros((3, 6)), np.zeros(3))], ANY)


class Skipping(nn.Module):
    """What its first block gives is used again at its end, where it is no longer known of rows that were run anew."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.end = nn.ModuleList(nn.Linear(3, 3) for _ in range(8)), nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        first = x = self.blocks[0](x)
        for block in self.blocks[1:]:
            x = block(x)
        return self.end(x + first)


def test_rows_that_leave_at_every_head_don_t_hide_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under seeds 1, 10 and 21 no row came to the end of the net when a third left at each of six heads."""
    monkeypatch.setattr("uncork.train.early_exit.EPOCHS", 1)
    torch.manual_seed(0)
    model = TorchModel(Skipping(), task="classification")
    model.outputs(rows(4, 0)[0])
    for seed in (1, 10, 21):
        with pytest.raises(Unavailable, match="hang on one another"):
            fit_heads(model, Split(*rows(40, 0)[:2]), seed)


def test_told_without_a_row_leaving() -> None:
    said = Told(np.array([[0.5, 0.9]]), np.array([[1, 0], [0, 1]]))
    np.testing.assert_array_equal(said.left(0.8), [1, 0])
    np.testing.assert_array_equal(said.answers(0.8), [0, 0])
