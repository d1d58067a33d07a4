"""A net mixed with a rival, both on a table with categories and missing values, is saved and loaded as it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from uncork import BadInput, Split, Subject, load_treated
from uncork.data.encode import TableEncoder
from uncork.models.adapt import as_model
from uncork.models.aligned import Aligned
from uncork.models.ensemble import Ensemble
from uncork.run.save import save_treated
from uncork.train.rivals import RivalRecipe, installed

EXTRA = pytest.mark.skipif(not (installed("xgboost") and installed("lightgbm")), reason="needs the extra tabular")


def people(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"trade": rng.choice(["a", "b", "c"], n), "age": rng.uniform(18, 60, n)})
    frame.loc[::7, "age"] = np.nan
    frame.loc[::5, "trade"] = None
    return frame, (frame["age"] > 30).to_numpy().astype(int)


def build(columns: int, outputs: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(columns, outputs)


@pytest.mark.parametrize("task", ["classification", pytest.param("regression", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "family",
    [
        *(pytest.param(f, marks=pytest.mark.slow) for f in ("linear", "knn")),
        "gbdt",
        *(pytest.param(f, marks=EXTRA) for f in ("xgboost", "lightgbm")),
    ],
)
def test_a_net_and_a_rival(tmp_path: Path, family: str, task: str) -> None:
    frame, y = people(240)
    train = Split(frame, 2 * y if task == "classification" else y + 0.5)
    encoder = TableEncoder.fit(train)
    made: Callable[[], nn.Module] = partial(build, len(encoder.names), 3 if task == "classification" else 1)
    net = as_model(made(), task, preprocess=encoder)
    net.outputs(frame)
    rival = as_model(RivalRecipe(family, task, 1)(train, 0), task)
    names = ("no", "perhaps", "yes")
    if task == "classification":  # a class that train lacks
        rival = Aligned(rival, np.array([0, 2]), names)
    mixed = Ensemble([net, rival], [0.3, 0.7])
    subject = Subject(
        mixed, test=train, metric="error" if task == "classification" else "rmse", preprocess=encoder, classes=names
    )
    place = tmp_path / save_treated(tmp_path, subject, mixed, ["stack: mixed"])
    saved = json.loads((place / "treated.json").read_text())
    trusted = sorted(
        {name for part in saved["model"]["members"] for name in part.get("inner", part).get("trusted", [])}
    )
    assert f"trusted={trusted}" in saved["how"]
    loaded = load_treated(tmp_path, made, preprocess=encoder, trusted=trusted)
    fresh = people(300)[0].iloc[240:].assign(trade="unheard of")
    np.testing.assert_array_equal(loaded.outputs(fresh).logits, mixed.outputs(fresh).logits)
    with pytest.raises(BadInput, match=r"could run code.*TableEncoder"):
        load_treated(tmp_path, made, preprocess=encoder)
