from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.idle_parts import gather
from uncork.probes.idle_parts import measure
from uncork.schema.errors import Unavailable
from uncork.schema.idle_parts import IdleParts
from uncork.testing.artifacts import facts
from uncork.testing.gatherers import check_gatherer
from uncork.train.parts import Passing, blocks, passed_over

Digits = tuple[np.ndarray, np.ndarray]


class Residual(nn.Module):
    def __init__(self, width: int, share: float = 1.0) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.share * self.inner(x)


def build() -> nn.Module:
    """Nothing of the second block gets through."""
    return nn.Sequential(
        nn.Linear(64, 24), nn.Sequential(Residual(24), Residual(24, 0.0)), nn.LayerNorm(24), nn.Linear(24, 10)
    )


def subject(digits: Digits, **recipe: Any) -> Subject:
    x, y = digits
    made = Recipe(build, **({"epochs": 2, "batch_size": 50, "lr": 3e-3, "schedule": "constant"} | recipe))
    train = Split(x[:600], y[:600])
    return Subject(
        made.fit(train),
        train=train,
        validation=Split(x[600:1200], y[600:1200]),
        test=Split(x[1200:], y[1200:]),
        recipe=made,
    )


def test_a_planted_identity_is_found(context_of: Callable[..., Context], digits: Digits) -> None:
    context = context_of(subject(digits, epochs=4, batch_size=100, lr=6e-3))
    before = {name: value.clone() for name, value in context.model.module.state_dict().items()}
    data = gather.gather(IdleParts(seeds=1), context)
    assert set(data.blocks) == {"1.0", "1.1", "2"}
    assert data.arms == ("weight decay", "block 1.0", "block 1.1", "block 2")
    assert np.array_equal(data.outputs[1 + data.blocks.index("1.1")], data.outputs[0])
    assert np.array_equal(data.retrained[1 + data.arms.index("block 1.1")], data.retrained[0])
    assert not np.array_equal(data.retrained[1 + data.arms.index("block 1.0")], data.retrained[0])
    assert data.parameters[1:].tolist() == [1200, 1200, 48]
    found = measure(parts=data, facts=facts(), rng=np.random.default_rng(0))
    rows = {(row[0], row[1]): row for row in found.details[0].data["rows"]}
    assert rows["1.1", "passed over"][2] == 0
    assert rows["1.0", "passed over"][3] > 5
    after = context.model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert "forward" not in vars(context.model.module.get_submodule("1.1"))


@pytest.mark.slow
def test_keeps_the_contract(context_of: Callable[..., Context], digits: Digits) -> None:
    check_gatherer(gather, IdleParts(seeds=1), context_of(subject(digits)), measured=("seconds",))


def test_tricks_are_left_out_one_by_one(context_of: Callable[..., Context], digits: Digits) -> None:
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))

    def noisy(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return batch + 0.1 * torch.randn(batch.shape, generator=random)

    given = subject(digits, epochs=1)
    recipe = given.recipe.replace(build=dropping, augment=noisy, schedule="cosine")
    data = gather.gather(IdleParts(seeds=1), context_of(given.replace(recipe=recipe)))
    assert data.arms == ("augmentation", "weight decay", "cosine schedule", "dropout", "block 2")
    assert all(not np.array_equal(each, data.retrained[0]) for each in data.retrained[1:])
    assert data.left_out["block 1.0"] == "the recipe's net has no such part"


def test_without_a_recipe_blocks_alone_are_tried(context_of: Callable[..., Context], digits: Digits) -> None:
    given = subject(digits, epochs=1)
    data = gather.gather(IdleParts(), context_of(given.replace(recipe=None)))
    assert len(data.blocks) == 3
    assert not data.arms
    assert "give Subject" in data.left_out["arms"]
    x, y = digits
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(x[:600], y[:600])
    with pytest.raises(Unavailable, match="shows no parts"):
        gather.gather(IdleParts(), context_of(given.replace(model=model, recipe=None)))


def test_blocks_are_outermost_and_keep_their_shape() -> None:
    class Twice(nn.Module):
        """Its first layer keeps the shape, its second does not in its second run."""

        def __init__(self) -> None:
            super().__init__()
            self.stay, self.pool, self.scale = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 2, 2), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale(self.pool(torch.relu(self.stay(x))))

    x = torch.randn(2, 3, 8, 8)
    module = nn.ModuleDict({"stages": nn.Sequential(nn.Sequential(Residual(8)), Twice())})["stages"]
    assert blocks(module, x) == ("0.0", "1.stay", "1.scale")
    with passed_over(module, "0.0"):
        assert torch.equal(module[0](x), x)
    assert not torch.equal(module[0](x), x)
    module[0].forward = Passing()  # as a net has it that was trained without the block
    with passed_over(module, "0.0"):
        pass
    with passed_over(module, "0"):
        pass
    assert torch.equal(module[0](x), x)
