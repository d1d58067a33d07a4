"""Attacks on subjects as users give them: raw units, boxes, frames, trees, groups, and what can't be attacked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from uncork import Predictions, Split
from uncork.gather._contract import Context
from uncork.gather.attacked import CERTIFYING, _box, _Numbers, gather, price
from uncork.models.smoothed import Smoothed
from uncork.models.torch_model import TorchModel
from uncork.run.load import Loaded
from uncork.schema.attacks import Attacked, AttackedData
from uncork.schema.errors import Unavailable
from uncork.testing.gatherers import check_gatherer

Gathered = Callable[..., AttackedData]
FEW = Attacked(rows=40, queries=100)


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Digits 6 to 9 as bytes 0…16, and as classes 0 to 3."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[y > 5].astype(np.uint8), y[y > 5] - 6


@pytest.fixture(scope="module")
def trained(pixels: tuple[np.ndarray, np.ndarray]) -> nn.Module:
    """64 → 16 → 4 on x / 16; left in training mode, its parameters with gradients."""
    x, y = torch.from_numpy(pixels[0] / 16).float(), torch.from_numpy(pixels[1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))
        optimiser = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()
    return net


@pytest.fixture
def gathered(context_of: Callable[..., Context], pixels: tuple[np.ndarray, np.ndarray]) -> Gathered:
    """A model and a threat → what is gathered of `x` (default: the bytes); validation is every other row."""

    def of(model: Any, *, x: Any = None, request: Attacked = FEW, groups: Any = None, **given: Any) -> AttackedData:
        rows = pixels[0] if x is None else x
        halves = [
            Split(
                rows.iloc[i::2] if isinstance(rows, pd.DataFrame) else rows[i::2],
                pixels[1][i::2],
                groups=None if groups is None else groups[i::2],
            )
            for i in (0, 1)
        ]
        return gather.gather(request, context_of(model=model, validation=halves[0], test=halves[1], **given))

    return of


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x.float() / 16


def test_keeps_the_contract(context_of: Callable[..., Context], pixels: Any, trained: nn.Module) -> None:
    x, y = pixels
    context = context_of(
        model=trained,
        validation=Split(x[:200], y[:200]),
        test=Split(x[200:], y[200:]),
        preprocess=scaled,
        require={"linf": 2},
    )
    check_gatherer(gather, Attacked(rows=12, queries=20), context, measured=("seconds",))


def test_epsilon_is_in_the_users_units(gathered: Gathered, pixels: Any, trained: nn.Module) -> None:
    """ε = 2 of 16 on bytes, and 1/8 on the same as floats of 0…1: the same rows, the same distances over 16."""
    raw = gathered(trained, preprocess=scaled, require={"linf": 2})
    floats = gathered(trained, x=(pixels[0] / 16).astype(np.float32), require={"linf": 1 / 8})
    assert (raw.norm, raw.eps, raw.access) == ("linf", 2.0, "white-box")
    assert np.array_equal(raw.rows, floats.rows)
    assert np.array_equal(raw.clean, floats.clean)
    assert ((raw.by >= 0) != (floats.by >= 0)).sum() <= 1
    assert 5 < (raw.by >= 0).sum() < 35
    assert np.median(raw.distance[raw.clean] / floats.distance[floats.clean]) == pytest.approx(16, rel=0.02)
    assert any("whole numbers" in note for note in raw.notes)
    assert not floats.notes
    assert trained.training


def test_wrong_rows_are_not_attacked(gathered: Gathered, trained: nn.Module, pixels: Any) -> None:
    found = gathered(trained, preprocess=scaled, require={"l2": 6}, request=Attacked(rows=150, queries=50))
    x = torch.from_numpy(pixels[0][::2][found.rows]).float() / 16
    with torch.no_grad():
        predicted = trained.eval()(x).argmax(1).numpy()
    trained.train()
    assert np.array_equal(found.clean, predicted == found.y)
    assert (found.by[~found.clean] == -1).all()
    assert (found.distance[~found.clean] == 0).all()
    assert found.tried[0] == found.clean.sum()
    assert (found.distance[found.by >= 0] <= 6 * 1.0001).all()


def test_a_linear_model_is_worked_out(gathered: Gathered, pixels: Any) -> None:
    x = pixels[0] / 16
    for model in (LinearSVC(), make_pipeline(StandardScaler(), LogisticRegression())):
        model.fit(x, pixels[1])
        found = gathered(model, x=x, require={"linf": 0.05})
        assert found.access == "exact"
        assert found.checks == {}
        assert np.array_equal(found.by >= 0, found.clean & (found.distance <= 0.05))


def test_votes_over_noise_are_certified(gathered: Gathered, pixels: Any, trained: nn.Module) -> None:
    """Against L2 no attack is run: what has a radius beyond ε holds."""
    x = pixels[0].astype(np.float32)
    model = Smoothed(TorchModel(trained.eval(), task="classification", preprocess=scaled), 4.0, copies=50)
    found = gathered(Loaded(model), x=x, request=Attacked(rows=20), require={"l2": 7.0})
    decided, radius = model.certify(x[0::2][found.rows], CERTIFYING)
    assert (found.access, found.attacks) == ("certified", ("no certificate",))
    assert np.array_equal(found.clean, decided == found.y)
    assert np.array_equal(found.by >= 0, found.clean & ~(radius > 7.0))
    assert 0 < (found.by >= 0).sum() < found.clean.sum()


def test_trees_are_attacked_by_their_outputs(gathered: Gathered, pixels: Any) -> None:
    """Each column in a box of its own, in a frame as in an array."""
    tree = DecisionTreeClassifier(max_depth=6, random_state=0)
    x = pixels[0].astype(np.float64)
    array = gathered(tree.fit(x, pixels[1]), x=x, require={"linf": 2.5})
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(64)])
    framed = gathered(tree.fit(frame, pixels[1]), x=frame, require={"linf": 2.5})
    for found in (array, framed):
        assert found.access == "black-box"
        assert found.attacks == ("Square",)
        assert (found.by >= 0).sum() > 10
    assert np.array_equal(array.by, framed.by)


def test_the_box_is_each_columns_own(context_of: Callable[..., Context]) -> None:
    """The second column is 5 on every row and the tree asks whether it is above 7: no ε moves it there."""
    x = np.stack([np.arange(60) % 2, np.full(60, 5.0)], axis=1)
    tree = DecisionTreeClassifier(random_state=0).fit([[0.0, 5.0], [1.0, 5.0], [0.0, 9.0], [1.0, 9.0]], [0, 0, 1, 1])
    y = (np.arange(60) == 0).astype(int)
    found = {}
    for name, rows in (("own", x), ("wider", np.r_[x, [[0.0, 9.0]]])):
        split = Split(rows, np.r_[y, np.ones(len(rows) - 60, int)])
        context = context_of(model=tree, validation=split, test=Split(x, y), require={"linf": 1000})
        found[name] = gather.gather(FEW, context).by
    assert (found["own"] == -1).all()
    assert (found["wider"] >= 0).sum() > 30


def test_groups_and_missing_values(gathered: Gathered, pixels: Any) -> None:
    x = (pixels[0] / 16).copy()
    x[::4, 3] = np.nan
    groups = np.arange(len(x)) // 10
    tree = DecisionTreeClassifier(random_state=0).fit(x, pixels[1])
    found = gathered(tree, x=x, groups=groups, require={"linf": 0.1})
    assert 5 < len(found) < 40
    assert any("lack a value" in note for note in found.notes)
    assert len(np.unique(found.clusters)) < len(found)


def test_the_box_is_there_where_a_batch_lacks_a_column(context_of: Callable[..., Context]) -> None:
    """The last column is missing in the first 256 rows and not finite in the next: its box is of those that have it."""
    x = np.random.default_rng(0).random((300, 2)).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(int)
    x[:256, 1], x[256, 1] = np.nan, np.inf
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[-8.0, 0], [8, 0]]))
        net[0].bias.copy_(torch.tensor([4.0, -4]))
    split = Split(x, y)
    context = context_of(
        model=net, preprocess=torch.nan_to_num, validation=split, test=Split(x[257:], y[257:]), require={"linf": 0.3}
    )
    box = _box(context, _Numbers.of(split))
    np.testing.assert_array_equal(box[0], [x[:, 0].min(), x[257:, 1].min()])
    np.testing.assert_array_equal(box[1], [x[:, 0].max(), x[257:, 1].max()])
    found = gather.gather(Attacked(rows=200, queries=20), context)
    np.testing.assert_array_equal(found.by >= 0, np.abs(x[found.rows, 0] - 0.5) < 0.3)


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(17, 3), nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.table(x.long() if x.dtype == torch.uint8 else x).mean(1))
        return out


def test_what_cannot_be_attacked_says_why(gathered: Gathered, context_of: Any, pixels: Any, trained: Any) -> None:
    with pytest.raises(Unavailable, match=r"no threat is declared.*require=\{'linf'"):
        gathered(trained, preprocess=scaled)
    with pytest.raises(Unavailable, match="no numbers but those it was given"):
        gathered(Embeds(), require={"linf": 1})
    p = np.full((len(pixels[1]), 4), 0.25)
    with pytest.raises(Unavailable, match="only predictions"):
        gathered(Predictions(), x=p, require={"linf": 1})
    context = context_of(
        model=trained, preprocess=scaled, validation=Split(*pixels), test=Split(*pixels), require={"l2": 1}
    )
    assert price(Attacked(rows=50), context) < price(Attacked(rows=100), context)
    votes = Smoothed(TorchModel(trained.eval(), task="classification", preprocess=scaled), 4.0, copies=50)
    context = dataclasses.replace(context, model=votes)  # certified by 1,000 copies, 20 passes of itself, and one more
    assert price(Attacked(rows=50), context) == pytest.approx(50 * 21 * context.seconds_per_row)
