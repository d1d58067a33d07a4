"""Views as planted models answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import BadInput, Predictions, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.missing_invariance import gather
from uncork.models.viewed import Viewed
from uncork.schema.behaviour import Behaviour
from uncork.schema.errors import Unavailable, UncorkError
from uncork.schema.missing_invariance import Invariance, InvarianceData
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]


class Half(nn.Module):
    """Whether the left or the right half is brighter: mirrored pictures are decided otherwise, brighter ones alike."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., :4].mean(dim=(1, 2, 3)), x[..., 4:].mean(dim=(1, 2, 3))
        return self.scale * torch.stack([left - right, right - left], dim=1)


@pytest.fixture(scope="module")
def halves() -> Subject:
    rng = np.random.default_rng(0)
    x = rng.random((400, 1, 8, 8)).astype(np.float32)
    y = rng.integers(2, size=400)
    x[y == 0, :, :, :4] += 0.5
    x[y == 1, :, :, 4:] += 0.5
    return Subject(Half(), validation=Split(x[:200], y[:200]), test=Split(x[200:], y[200:]))


def gathered(context: Context, **request: Any) -> InvarianceData:
    return gather.gather(Invariance(**request), context)


def test_keeps_the_contract(context_of: ContextOf, halves: Subject) -> None:
    own = Behaviour("noise", change=lambda x, u: x + 0.01 * u[:, None, None, None].astype(np.float32))
    check_gatherer(gather, Invariance(rows=40), context_of(halves.replace(behaviours=[own])))


def test_what_turns_the_decision_is_lost_and_what_does_not_is_not(context_of: ContextOf, halves: Subject) -> None:
    context = context_of(halves)
    data = gathered(context)
    at = {name: data.lost[way].mean() for way, name in enumerate(data.names)}
    assert at["mirrored"] == 1
    assert at["brighter and darker"] == 0
    assert dict(zip(data.names, data.grounds, strict=True))["mirrored"] == ""
    way = data.names.index("turned by 15°")
    batch = context.split("validation").take(data.rows)
    np.testing.assert_allclose(
        data.averaged[way], Viewed(context.model, "turned by 15°").outputs(batch).logits, rtol=1e-4
    )
    np.testing.assert_array_equal(data.given, context.model.outputs(batch).logits)


def test_the_users_own_change(context_of: ContextOf) -> None:
    """A table in other units, which only its user can state."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-5.0, 0], [5, 0]]))
        net.bias.zero_()
    subject = Subject(net, validation=Split(x[:150], y[:150]), test=Split(x[150:], y[150:]))
    with pytest.raises(Unavailable, match="give Subject\\(behaviours"):
        gathered(context_of(subject))
    flip = Behaviour("the other sign", change=lambda rows, u: -rows)
    data = gathered(context_of(subject.replace(behaviours=[flip])))
    assert (data.names, data.grounds) == (("the other sign",), ("stated",))
    assert data.lost.mean() == 1

    def broken(rows: Any, u: Any) -> Any:
        raise ValueError("no such column")

    for change, error, why in (
        (broken, UncorkError, "no such column"),
        (lambda rows, u: rows[:3], BadInput, "makes 3 rows of 150"),
    ):
        with pytest.raises(error, match=why):
            gathered(context_of(subject.replace(behaviours=[Behaviour("mine", change=change)])))


def test_not_applicable(context_of: ContextOf) -> None:
    p, y = np.full((40, 2), 0.5), np.arange(40) % 2
    with pytest.raises(Unavailable, match="only predictions"):
        gathered(context_of(model=Predictions(), validation=Split(p, y), test=Split(p, y)))
