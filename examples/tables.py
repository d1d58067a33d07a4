"""Four real tables with categories and missing values: small nets, and what boosting gains over them.

    uncork audit examples/tables.py:housing          # a regression; also covertype, bank, credit
    uncork treat runs/housing

The data are not part of uncork. The folder that holds tab_california_housing.parquet and the others is looked for
beside the repository, in shared/data, or where the environment variable UNCORK_SHARED says. They are UCI's Covertype,
Bank Marketing and Default of Credit Card Clients (CC BY 4.0), and California Housing as in ageron/handson-ml2
(Apache-2.0), with 207 missing values.

Rows are given as DataFrames: categories stay categories, missing values stay missing. Each net is a small perceptron
that reads them through a `TableEncoder` fitted on train; rivals such as boosting bring an encoder of their own.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from uncork import BadInput, Recipe, Split, Subject
from uncork.data.encode import TableEncoder

TRAIN, VALIDATION, TEST = 6_000, 2_000, 2_000
EPOCHS, BATCH_SIZE, RATE = 20, 256, 5e-3


def build(columns: int, outputs: int, width: int = 64) -> nn.Module:
    """A net of two hidden layers. uncork may ask for another width."""
    hidden = [nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def table(name: str, target: str, leave_out: tuple[str, ...] = ()) -> tuple[pd.DataFrame, np.ndarray]:
    """(columns, target) of the first rows after shuffling. Raises BadInput, saying where the file was looked for."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("UNCORK_SHARED", beside)) / f"tab_{name}.parquet"
    if not path.is_file():
        raise BadInput(f"there is no {path}: set UNCORK_SHARED to the folder that holds {path.name}")
    rows = pd.read_parquet(path).sample(n=TRAIN + VALIDATION + TEST, random_state=0)
    y = rows.pop(target).to_numpy()
    return rows.drop(columns=list(leave_out)).reset_index(drop=True), y


def subject(x: pd.DataFrame, y: np.ndarray, name: str, metric: str = "error") -> Subject:
    """A net trained on the first rows, and the next ones to choose and to prove on."""
    cuts = {"train": (0, TRAIN), "validation": (TRAIN, TRAIN + VALIDATION), "test": (TRAIN + VALIDATION, len(y))}
    splits = {part: Split(x[start:stop], y[start:stop]) for part, (start, stop) in cuts.items()}
    encoder = TableEncoder.fit(splits["train"])
    outputs = 1 if metric == "rmse" else len(np.unique(y))
    made = functools.partial(build, len(encoder.names), outputs)
    recipe = Recipe(made, epochs=EPOCHS, batch_size=BATCH_SIZE, lr=RATE)
    torch.set_num_threads(1)
    model = recipe.fit(splits["train"], seed=0, preprocess=encoder)
    return Subject(model, **splits, recipe=recipe, preprocess=encoder, metric=metric, name=name)


def covertype() -> Subject:
    """Seven kinds of forest by terrain and soil; the rarest has 40 rows in all."""
    x, y = table("covtype_10k", "Cover_Type")
    return subject(x, y - 1, "covertype")


def bank() -> Subject:
    """Which clients take the deposit? 12 % do, and they are called in order. The length of the call is left out: it is
    known only after it."""
    x, y = table("bank_marketing", "y", leave_out=("duration",))
    return subject(x, (y == "yes").astype(int), "bank", metric="auc")


def credit() -> Subject:
    """How probable is it that a card holder defaults next month? 22 % do."""
    x, y = table("credit_default", "default.payment.next.month", leave_out=("ID",))
    codes = ["SEX", "EDUCATION", "MARRIAGE"]
    return subject(x.astype(dict.fromkeys(codes, "category")), y, "credit", metric="log-loss")


def housing() -> Subject:
    """The median house value of a district, in units of 100,000 dollars."""
    x, y = table("california_housing", "median_house_value")
    return subject(x, y / 1e5, "housing", metric="rmse")
