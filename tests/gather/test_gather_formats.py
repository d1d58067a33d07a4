"""Formats as the model answers them: nothing is left on it, one that mends is run on more rows, batches are noticed."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from torch import nn

from uncork import Predictions, Split, Subject
from uncork.gather._contract import Context
from uncork.gather.formats import gather
from uncork.probes.loose_input_contract import measure
from uncork.run.rank import judge
from uncork.schema.errors import Unavailable
from uncork.schema.formats import Formats, FormatsData
from uncork.schema.seeds import generator
from uncork.testing.gatherers import check_gatherer

ContextOf = Callable[..., Context]


class FirstTwo(nn.Module):
    """The larger of the first two columns, if they are about 1; `company` makes it what the batch says."""

    def __init__(self, scale: float = 1.0, company: str = "") -> None:
        super().__init__()
        self.scale, self.company = scale, company
        self.bias = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.scale * x[:, :1] - self.bias
        if self.company == "batch":
            z = z - z.mean(dim=0)
        if self.company == "norm":  # as of a layer left in training mode, over pixels too, so that one row passes
            pixels = torch.stack([x[:, :1], x[:, :1] - 1], dim=2)
            z = nn.functional.batch_norm(pixels, None, None, training=True)[:, :, 0]
        if self.company == "chance":
            z = z + torch.rand_like(z) - 0.5
        return torch.cat([torch.zeros_like(z), 20 * z], dim=1)


def subject(n: int = 1200, **settings: Any) -> Subject:
    """Labels are whether the first column exceeds one half."""
    rng = np.random.default_rng(0)
    x = rng.random((2 * n, 3)).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(np.int64)
    return Subject(FirstTwo(**settings), validation=Split(x[:n], y[:n]), test=Split(x[n:], y[n:]))


def gathered(context: Context, **request: Any) -> FormatsData:
    return gather.gather(Formats(**request), context)


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, Formats(screen=30, rows=60), context)


def test_a_wrong_scale_is_run_on_more_rows_and_is_right_there(context_of: ContextOf) -> None:
    """The net wants a quarter of what it is given: × 4 there and ÷ 4 back."""
    data = gathered(context_of(subject(scale=4.0)))
    f = data.names.index("÷ 4")
    assert data.ran[f] == 1000
    assert (data.fed(f).predicted == data.y).all()
    assert (data.predicted != data.y).mean() > 0.2
    worse = data.names.index("× 255")
    assert data.ran[worse] == 128
    assert (data.predicted_as[worse, 128:] == -1).all()


def test_decisions_are_those_of_the_rows_in_the_format(context_of: ContextOf) -> None:
    c = context_of(subject())
    data = gathered(c)
    x = c.split("validation").take(data.rows)
    f = data.names.index("÷ 4")
    np.testing.assert_array_equal(data.predicted_as[f, : data.ran[f]], (x[: data.ran[f], 0] / 4 > 0.5).astype(int))
    np.testing.assert_array_equal(data.predicted, data.y)
    missing = data.names.index("one value missing")
    assert (~data.finite[missing, :128]).any()  # NaN in the column that is read
    assert data.finite[missing, :128].any()


@pytest.mark.parametrize(
    ("company", "alone", "shuffled", "again"),
    [
        ("", False, False, False),
        ("batch", True, True, False),
        ("norm", True, True, False),
        ("chance", True, True, True),
    ],
)
def test_company_is_noticed(context_of: ContextOf, company: str, alone: bool, shuffled: bool, again: bool) -> None:
    with torch.random.fork_rng():
        data = gathered(context_of(subject(company=company)))
    assert tuple(bool((moved > 0.01).any()) for moved in (data.alone, data.shuffled, data.again)) == (
        alone,
        shuffled,
        again,
    )


def test_nothing_is_left_on_the_model(context_of: ContextOf) -> None:
    """Probabilities are read as such from their values; NaN and what sums to anything would teach it otherwise."""
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Softmax(dim=1))
    s = subject(n=300)
    c = context_of(s.replace(model=module))
    before, said = c.model.fingerprint(), c.model.describe()
    given = c.model.outputs(c.split("validation").take(np.arange(50))).logits
    gathered(c)
    assert (c.model.fingerprint(), c.model.describe()) == (before, said)
    np.testing.assert_array_equal(c.model.outputs(c.split("validation").take(np.arange(50))).logits, given)


def test_trees_regression_and_texts(context_of: ContextOf) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 4))
    y = (x[:, 0] > 0).astype(int)
    tree = HistGradientBoostingClassifier(max_iter=5).fit(x[:200], y[:200])
    data = gathered(context_of(model=tree, validation=Split(x[:200], y[:200]), test=Split(x[200:], y[200:])))
    assert not any(data.refused)  # it takes missing values too
    t = x @ [1.0, 2, 0, 0]
    line = LinearRegression().fit(x, t)
    splits = {"validation": Split(x[:200], t[:200]), "test": Split(x[200:], t[200:])}
    data = gathered(context_of(model=line, metric="rmse", **splits))
    assert data.task == "regression"
    assert "missing" in data.refused[data.names.index("one value missing")] or "NaN" in " ".join(data.refused)
    np.testing.assert_allclose(data.fed(data.names.index("× 4")).predicted, 4 * data.predicted[:128], rtol=1e-4)


def test_predictions_have_no_format(context_of: ContextOf) -> None:
    p, y = np.full((40, 2), 0.5), np.arange(40) % 2
    with pytest.raises(Unavailable, match="only predictions"):
        gathered(context_of(model=Predictions(), validation=Split(p, y), test=Split(p.copy(), y)))


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("fault", "mended", "verdict"),
    [
        ("", "", "clear"),
        ("not normalised", "standardised by channel", "bottleneck"),
        ("bytes", "÷ 255", "bottleneck"),
        ("blue for red", "channels reversed", "bottleneck"),
    ],
)
def test_resnet_20_fed_rightly_and_wrongly(
    context_of: ContextOf, shared_data: Path, fault: str, mended: str, verdict: str
) -> None:
    """1,000 pictures of CIFAR-10 as floats: with its own normalisation, without it, in bytes' range, with blue for
    red."""
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "cifar10_resnet20.py"))
    given = example["subject"]()
    rows = np.arange(1500)
    x = given.test.take(rows).transpose(0, 3, 1, 2).astype(np.float32) / 255
    y, mean, deviation = given.test.y[rows], example["MEAN"], example["DEVIATION"]
    x = {"blue for red": x[:, ::-1].copy(), "bytes": 255 * x}.get(fault, x)
    own = None if fault == "not normalised" else lambda batch: (batch - mean) / deviation
    splits = {"validation": Split(x[:1000], y[:1000]), "test": Split(x[1000:], y[1000:])}
    context = context_of(model=given.model, preprocess=own, **splits)
    data = gathered(context)
    finding = judge(measure, measure(formats=data, facts=context.facts, rng=generator(0)), delta=5, family=4, seconds=0)
    assert finding.verdict == verdict
    if mended:
        assert finding.summary.startswith(f"With {mended} it gains")
