from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.redundant_channels import gather
from uncork.schema.errors import Unavailable
from uncork.schema.redundant_channels import ARMS, Redundancy
from uncork.stats.score import score
from uncork.testing.gatherers import check_gatherer

Digits = tuple[np.ndarray, np.ndarray]
FEW = Redundancy(ratios=(0.5,), importances=("magnitude", "taylor"))


def build(width: int = 128) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


RECIPE = Recipe(build, epochs=12, batch_size=50, lr=5e-3)


def subject(digits: Digits, *, n: int = 500, recipe: Any = RECIPE, **changes: Any) -> Subject:
    x, y = digits[0].reshape(-1, 1, 8, 8), digits[1]
    parts = {"train": slice(n), "validation": slice(n, 2 * n), "test": slice(2 * n, 3 * n)}
    splits = {name: Split(x[rows], y[rows]) for name, rows in parts.items()}
    model = recipe.fit(splits["train"], seed=0) if isinstance(recipe, Recipe) else build()
    return Subject(**({"model": model, "recipe": recipe, **splits} | changes))


@pytest.fixture(scope="module")
def clockless() -> Any:
    from uncork.gather import redundant_channels as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "side_by_side", lambda works, rounds, **_: np.ones((rounds, len(works))))
        yield


@pytest.mark.slow
def test_half_of_a_wide_net_is_not_missed(context_of: Callable[..., Context], digits: Digits) -> None:
    """Half of 128 units, on 500 rows; and the arms do what they are called."""
    given = subject(digits)
    before = {name: p.clone() for name, p in given.model.state_dict().items()}
    found = gather.gather(FEW, context_of(given))
    assert found.outputs.shape == (len(ARMS), 3, 500, 10)
    assert found.rehearsed.shape == (2, 1)
    many, few = found.parameters
    assert many == sum(p.numel() for p in given.model.parameters())
    assert few < 0.5 * many
    assert found.channels == 8 + 128
    assert found.merged_gap < 0.01  # a unit silent on all of train may speak on validation
    assert found.seconds.shape == (2, 40, 2)
    metric = context_of(given).facts.metric
    error = {arm: np.mean([score(metric, passed).value for passed in found.arm(arm)]) for arm in ARMS}
    assert error["pruned"] < error["dense"] + 40  # 5, 18 and 20 with other seeds
    assert error["pruned"] < error["random"]
    assert all(torch.equal(before[name], p) for name, p in given.model.state_dict().items())
    assert len({found.outputs[i].tobytes() for i in range(len(ARMS))}) == len(ARMS)


@pytest.mark.slow
def test_the_ratio_is_chosen_inside_train(clockless: Any, context_of: Callable[..., Context], digits: Digits) -> None:
    given = subject(digits)
    one = gather.gather(FEW, context_of(given))
    other = given.replace(validation=given.validation.with_y((given.validation.y + 1) % 10))
    two = gather.gather(FEW, context_of(other))
    np.testing.assert_array_equal(one.rehearsed, two.rehearsed)
    np.testing.assert_array_equal(one.outputs, two.outputs)
    assert (one.ratio, one.importance) == (two.ratio, two.importance)


@pytest.mark.slow
def test_a_net_that_needs_its_channels_loses_them_at_a_price(
    clockless: Any, context_of: Callable[..., Context], digits: Digits
) -> None:
    narrow = RECIPE.replace(build=lambda: build(4), epochs=10)
    found = gather.gather(
        Redundancy(ratios=(0.5, 0.75), importances=("magnitude",)), context_of(subject(digits, recipe=narrow))
    )
    assert not found.within
    assert found.ratio == 0.5
    assert (found.rehearsed > 20).all()


@pytest.mark.slow
def test_planted_copies_are_counted(clockless: Any, context_of: Callable[..., Context], digits: Digits) -> None:
    given = subject(digits)
    with torch.no_grad():
        given.model[5].weight[:10], given.model[5].bias[:10] = given.model[5].weight[10:20], given.model[5].bias[10:20]
    x = torch.from_numpy(given.train.take(np.arange(500)))
    pictures, units = (given.model.eval()[:upto](x).detach() for upto in (3, 7))
    silent = int((pictures.amax(dim=(0, 2, 3)) == 0).sum() + (units.amax(dim=0) == 0).sum())
    copied = int((units[:, :10].amax(dim=0) > 0).sum())
    assert copied > 5
    found = gather.gather(FEW, context_of(given))
    assert found.redundant == copied + silent
    assert found.merged_gap < 0.01


@pytest.mark.slow
def test_merging_alone_is_tried(clockless: Any, context_of: Callable[..., Context], digits: Digits) -> None:
    """Asked for nothing more, it takes out silent units; where there are none, there is nothing to judge."""
    few = Redundancy(ratios=(0.0,), importances=("magnitude",))
    found = gather.gather(few, context_of(subject(digits, n=200)))
    assert found.ratio == 0
    assert found.redundant > 0
    assert found.parameters[1] < found.parameters[0]
    alive = subject(digits, n=200)
    with torch.no_grad():
        alive.model[1].bias.fill_(3.0)
        alive.model[5].bias.fill_(100.0)
    with pytest.raises(Unavailable, match="no channel repeats another"):
        gather.gather(few, context_of(alive))


@pytest.mark.slow
def test_keeps_the_contract(clockless: Any, context_of: Callable[..., Context], digits: Digits) -> None:
    given = subject(digits, n=200, recipe=RECIPE.replace(epochs=1))
    check_gatherer(gather, Redundancy(ratios=(0.5,), importances=("magnitude",)), context_of(given))


def test_what_can_not_be_pruned_says_why(context_of: Callable[..., Context], digits: Digits) -> None:
    from sklearn.linear_model import LogisticRegression

    for changes, why in (
        ({"recipe": lambda train, seed: build()}, "has to be trained on: give Subject"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 10))}, "no layer's channels"),
    ):
        with pytest.raises(Unavailable, match=why):
            gather.gather(FEW, context_of(subject(digits, n=100, **changes)))
    x, y = digits
    parts = {name: Split(x[rows], y[rows]) for name, rows in {"train": slice(99), "test": slice(99, 300)}.items()}
    model = LogisticRegression(max_iter=500).fit(x[:99], y[:99])
    with pytest.raises(Unavailable, match="only a torch module"):
        gather.gather(FEW, context_of(Subject(model, **parts, recipe=RECIPE)))
