"""Sixteen small data sets: pictures, tables and bags of words. Half of them are frozen (frozen.txt)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from uncork.planted.data import DataSet, digits, mnist_5k

#: Where the files are that come with no dependency; its README says whose they are.
FOLDER = Path(os.environ.get("UNCORK_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
FROZEN = frozenset((Path(__file__).parent / "frozen.txt").read_text().split())
Loaded = tuple[np.ndarray, np.ndarray]
WORDS = 1024


def pooled(x: np.ndarray) -> np.ndarray:
    """Pictures (n, channels, side, side) in 0–1 at half their side: four pixels become their mean."""
    n, channels, side, _ = x.shape
    return x.reshape(n, channels, side // 2, 2, side // 2, 2).mean(axis=(3, 5)).astype(np.float32)


def mnist_small() -> Loaded:
    x, y = mnist_5k()
    return pooled(x), y


def cifar_small() -> Loaded:
    with np.load(FOLDER / "cifar10.npz") as stored:
        x, y = stored["x_train"], stored["y_train"]
    return pooled(x.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2) / 255), y.astype(np.int64).ravel()


def usps() -> Loaded:
    with np.load(FOLDER / "usps.npz") as stored:
        x = np.concatenate([stored["x_train"], stored["x_test"]])
        y = np.concatenate([stored["y_train"], stored["y_test"]])
    return (x.reshape(-1, 1, 16, 16) / 255).astype(np.float32), y.astype(np.int64)


def notmnist() -> Loaded:
    with np.load(FOLDER / "notmnist_test.npz") as stored:
        x, y = stored["x"], stored["y"]
    return pooled(x.reshape(-1, 1, 28, 28) / 255), y.astype(np.int64)


def breast_cancer() -> Loaded:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def diabetes() -> Loaded:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return x.astype(np.float32), y.astype(np.float32)


def table(name: str, target: str, leave_out: str = "") -> Loaded:
    """Numbers as they are (missing ones as the median), words one-hot; a target of words becomes classes."""
    frame = pq.read_table(FOLDER / f"{name}.parquet")
    columns = []
    for column in (c for c in frame.column_names if c not in (target, leave_out)):
        values = frame[column].combine_chunks()
        if values.type == "large_string":
            words = np.asarray(values.to_pylist())
            columns += [(words == word).astype(np.float32) for word in np.unique(words)]
        else:
            numbers = pc.cast(values, "float64").to_numpy(zero_copy_only=False)
            columns.append(np.where(np.isnan(numbers), np.nanmedian(numbers), numbers))
    y = np.asarray(frame[target].to_pylist())
    if y.dtype.kind != "f":
        y = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return np.stack(columns, axis=1).astype(np.float32), y


def text(
    name: str, words: str, label: str, keep: Callable[[dict[str, np.ndarray]], np.ndarray] | None = None
) -> Loaded:
    """Hashed bags of words, log counts of 1,024 columns at length 10: nothing is fitted, so nothing can leak."""
    from sklearn.feature_extraction.text import HashingVectorizer

    frame = pq.read_table(FOLDER / f"{name}.parquet")
    columns = {c: np.asarray(frame[c].to_pylist()) for c in frame.column_names}
    rows = np.arange(len(frame)) if keep is None else np.flatnonzero(keep(columns))
    counts = HashingVectorizer(n_features=WORDS, alternate_sign=False, norm=None).transform(columns[words][rows])
    x = np.log1p(counts.toarray()).astype(np.float32)
    x *= 10 / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1)
    return x, np.unique(columns[label][rows], return_inverse=True)[1].astype(np.int64)


def thirty_intents(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.isin(columns["label"], np.setdiff1d(columns["label"], ["oos"])[::5])


def sentences(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Train holds phrases cut from each other's sentences, which would stand in two splits."""
    return columns["split"] != "train"


_PICTURES = {"kind": "image", "classes": 10}
_LARGE = {"train": 1500, "validation": 2000, "spare": 1500, "test": 4000}
_TABLE = {"kind": "table", **_LARGE, "dropout": 0.1}
_TEXT = {"kind": "text", **_LARGE, "epochs": 10, "lr": 1e-3, "dropout": 0.3}
_ALL = (
    DataSet("digits", load=digits, train=400, validation=500, spare=400, **_PICTURES),
    DataSet("mnist-small", load=mnist_small, train=600, validation=1200, spare=600, **_PICTURES),
    DataSet("cifar-small", load=cifar_small, **{**_LARGE, "train": 1000}, **_PICTURES),
    DataSet("usps", load=usps, train=800, validation=1500, spare=800, epochs=20, **_PICTURES),
    DataSet("notmnist", load=notmnist, train=800, validation=1500, spare=800, epochs=20, **_PICTURES),
    DataSet("breast-cancer", "table", breast_cancer, 2, train=150, validation=150, spare=100, dropout=0.1),
    DataSet("diabetes", "table", diabetes, 0, train=150, validation=120, spare=50, lr=1e-3, dropout=0.1),
    DataSet("bank", load=partial(table, "tab_bank_marketing", "y"), classes=2, **_TABLE),
    DataSet(
        "credit", load=partial(table, "tab_credit_default", "default.payment.next.month", "ID"), classes=2, **_TABLE
    ),
    DataSet("covtype", load=partial(table, "tab_covtype_10k", "Cover_Type"), classes=7, **_TABLE),
    DataSet("california", load=partial(table, "tab_california_housing", "median_house_value"), classes=0, **_TABLE),
    DataSet("agnews", load=partial(text, "text_agnews", "text", "label"), classes=4, **_TEXT),
    DataSet("mr", load=partial(text, "text_mr", "text", "label"), classes=2, **_TEXT),
    DataSet("sst2", load=partial(text, "text_sst2", "text", "label", sentences), classes=2, **_TEXT),
    DataSet(
        "clinc30",
        load=partial(text, "text_clinc150", "text", "label", thirty_intents),
        classes=30,
        **{**_TEXT, "epochs": 20, "validation": 1000, "spare": 800},
    ),
    DataSet("amazon", load=partial(text, "text_amazon4", "text", "label"), classes=2, **_TEXT),
)
SETS: dict[str, DataSet] = {data.name: data for data in _ALL}
