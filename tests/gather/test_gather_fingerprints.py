"""Exact copies by brute force, near duplicates by planting them, and a cost that grows with the rows alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from uncork import Split
from uncork.gather import fingerprints as module
from uncork.gather._contract import Context
from uncork.gather.fingerprints import gather
from uncork.models.predictions import Predictions
from uncork.probes.leaked_examples import copies
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.testing.gatherers import check_gatherer


class Stub:
    """A model that is never asked."""

    task, has_inputs, accepts_nan, classes, n_outputs = "classification", True, True, None, 2

    def outputs(self, batch: Any, features: bool = False) -> Any:
        from uncork.models.base import Output

        return Output(np.zeros((len(batch), 2), np.float32))

    def fingerprint(self) -> str:
        return "stub"

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def prints(context_of: Callable[..., Context]) -> Callable[..., FingerprintsData]:
    def make(train: Any, validation: Any, test: Any = None) -> FingerprintsData:
        splits = {"train": train, "validation": validation, "test": validation if test is None else test}
        given = {name: Split(x, np.arange(len(x)) % 2) for name, x in splits.items()}
        return gather.gather(Fingerprints(), context_of(model=Stub(), **given))

    return make


def brute_force(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Every pair compared by value."""
    axes = tuple(range(2, rows.ndim + 1))
    return (rows[:, None] == train[None]).all(axis=axes).any(axis=1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(3,), (2, 2), (1,)])
def test_copies_equal_brute_force(prints: Callable[..., FingerprintsData], dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    train, validation = (rng.integers(0, 3, (n, *shape)).astype(dtype) for n in (60, 80))
    found = prints(train, validation)
    assert np.array_equal(copies(found.validation, found.train), brute_force(validation, train))


@pytest.mark.parametrize(("one", "other"), [("uint8", "float32"), ("int64", "float64"), ("float16", "float64")])
def test_equal_values_of_other_types_are_copies(prints: Callable[..., FingerprintsData], one: str, other: str) -> None:
    rng = np.random.default_rng(1)
    train, validation = (rng.integers(0, 3, (n, 4)) for n in (60, 80))
    found = prints(train.astype(one), validation.astype(other))
    hit = copies(found.validation, found.train)
    assert np.array_equal(hit, brute_force(validation, train))
    assert 0 < hit.sum() < 80


def test_both_zeros_are_the_same_value(prints: Callable[..., FingerprintsData]) -> None:
    train, validation = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[-0.0, 1.0], [2.0, 3.5]])
    found = prints(train, validation)
    assert copies(found.validation, found.train).tolist() == [True, False]


def test_texts(prints: Callable[..., FingerprintsData]) -> None:
    found = prints(["a", "Grüße", ""], ["Grüße", "A", "a ", ""])
    assert copies(found.validation, found.train).tolist() == [True, False, False, True]
    assert len(found.near_pairs) == found.spiked == 0


def test_tables_compare_values_not_how_they_are_stored(prints: Callable[..., FingerprintsData]) -> None:
    """Whole numbers turn into floats in a column with a gap; zeros have a sign; a gap has many names."""
    train = pd.DataFrame({"n": [1, 2, 3, 4, 0], "c": ["x", "y", None, "z", "0"], "b": [True, False, True, True, False]})
    validation = pd.DataFrame(
        {
            "n": [1.0, 2.5, 3.0, np.nan, -0.0],
            "c": ["x", "y", np.nan, "z", "0"],
            "b": [1, 0, 1, 1, 0],
        }
    )
    found = prints(train, validation)
    assert copies(found.validation, found.train).tolist() == [True, False, True, False, True]


def test_cells_do_not_run_into_one_another(prints: Callable[..., FingerprintsData]) -> None:
    train = pd.DataFrame({"a": ["x, y", "1"], "b": ["z", "2"]})
    validation = pd.DataFrame({"a": ["x", "1"], "b": ["y, z", 2]})
    found = prints(train, validation)
    assert copies(found.validation, found.train).tolist() == [False, False]  # the text "2" is not the number 2


def test_hashes_are_of_the_whole_row(prints: Callable[..., FingerprintsData]) -> None:
    x = np.arange(12.0).reshape(4, 3)
    found = prints(x, x)
    expected = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in x]
    assert [h.tobytes() for h in found.train] == expected


def test_absent_splits_have_no_rows(context_of: Callable[..., Context]) -> None:
    probability = np.random.default_rng(0).dirichlet([1, 1], 200)
    found = gather.gather(Fingerprints(), context_of(model=Predictions(), test=Split(probability, np.arange(200) % 2)))
    assert found.train.shape == (0, 16)
    assert len(found.validation) + len(found.test) == 200


def test_near_duplicates_are_found_and_copies_are_not_called_near(
    prints: Callable[..., FingerprintsData], digits: Any
) -> None:
    """Every tenth picture of validation is one of train with a little noise: .01 a pixel of a spread of .3."""
    rng = np.random.default_rng(0)
    x = digits[0].reshape(-1, 1, 8, 8)
    train, validation, test = x[:800], x[800:1200].copy(), x[1200:]
    planted, origin = np.arange(0, 400, 10), rng.permutation(800)[:40]
    validation[planted] = train[origin] + rng.normal(0, 0.01, (40, 1, 8, 8)).astype(np.float32)
    validation[1:8] = train[1:8]
    found = prints(train, validation, test)
    there = {(int(t), int(v)) for (t, v), s in zip(found.near_pairs, found.near_split, strict=True) if s == 1}
    recalled = len(there & set(zip(origin.tolist(), planted.tolist(), strict=True)))
    assert recalled >= 36
    assert not {v for _, v in there} & set(range(1, 8))
    assert len({v for _, v in there} - set(planted.tolist())) <= 4  # digits that are alike by nature
    assert (found.near_distance < module.NEAR).all()
    assert found.near_queried == (400, len(test))


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_columns_have_units_of_their_own(prints: Callable[..., FingerprintsData], unit: float) -> None:
    """An income of spread 10⁶ beside nine columns of spread 1 must not be all that counts; nor a constant column."""
    rng = np.random.default_rng(0)
    train, validation = (rng.normal(size=(n, 11)) for n in (2000, 500))
    for x in (train, validation):
        x[:, 0] *= unit
        x[:, 10] = 7e5
    validation[:20] = train[:20] + rng.normal(0, 0.05, (20, 11)) * np.r_[unit, np.ones(9), 0]
    found = prints(train, validation)
    assert set(found.near_pairs[found.near_split == 1, 1].tolist()) == set(range(20))


def test_planted_noise_is_found_on_digits(context: Context) -> None:
    """The positive control: at least 9 of 10 (97 to 100 of 100 over seeds)."""
    found = gather.gather(Fingerprints(), context)
    assert found.spiked == module.SPIKES
    assert found.spiked_found >= 0.9 * found.spiked


def test_the_nearest_in_sketch_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    sketch, queries = rng.normal(size=(40_000, 4)).astype(np.float16), rng.normal(size=(5, 4)).astype(np.float32)
    square = np.square(queries[:, None] - sketch[None].astype(np.float32)).sum(axis=2)
    assert np.array_equal(module._three_nearest(queries, sketch), np.argsort(square, axis=1)[:, :3])
    assert module._three_nearest(queries, sketch[:2]).shape == (5, 2)


def test_no_full_matrix_of_distances_is_made(monkeypatch: pytest.MonkeyPatch, prints: Callable[..., Any]) -> None:
    """Queries × rows of train stay below the limit, whatever the sizes of both."""
    pairs = []
    true_search = module._three_nearest

    def spy(queries: np.ndarray, sketch: np.ndarray) -> np.ndarray:
        pairs.append((len(queries), len(sketch)))
        return true_search(queries, sketch)

    monkeypatch.setattr(module, "_three_nearest", spy)
    monkeypatch.setattr(module, "PAIRS", 3e6)
    rng = np.random.default_rng(0)
    found = prints(rng.normal(size=(5000, 8)), rng.normal(size=(4000, 8)), rng.normal(size=(100, 8)))
    assert found.near_queried == (600, 100)
    assert sum(q for q, _ in pairs) <= 600 + 100 + module.SPIKES + module._BATCH
    assert all(q <= module._BATCH and n == 5000 for q, n in pairs)


def test_constant_rows_have_no_near_duplicates(prints: Callable[..., FingerprintsData]) -> None:
    found = prints(np.zeros((30, 3)), np.ones((20, 3)), np.zeros((20, 3)))
    assert np.array_equal(copies(found.test, found.train), np.ones(20, bool))
    assert len(found.near_pairs) == 0


def test_far_outliers_do_not_spoil_the_sketch(prints: Callable[..., FingerprintsData]) -> None:
    rng = np.random.default_rng(0)
    train, validation = rng.normal(size=(300, 5)), rng.normal(size=(200, 5))
    validation[0, 0], train[5, 1] = 1e30, -1e12
    found = prints(train, validation)
    assert np.isfinite(found.near_distance).all()
    assert found.spiked_found >= 0.9 * found.spiked


def test_long_rows_are_read_in_small_batches(prints: Callable[..., FingerprintsData]) -> None:
    assert module._batch_rows(Split(np.zeros((3, 10)))) == 1024
    assert module._batch_rows(Split(np.zeros((3, 3, 224, 224), np.uint8))) == 55
    assert module._batch_rows(Split(["a" * 100_000])) == 1024


@pytest.mark.filterwarnings("error")
def test_missing_values_in_the_sketch_are_no_number_to_compare(prints: Callable[..., FingerprintsData]) -> None:
    rng = np.random.default_rng(0)
    train, validation = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    train[:, 0], validation[::2, 1], validation[3, 2] = np.nan, np.nan, np.inf
    found = prints(train, validation)
    assert np.isfinite(found.near_distance).all()
    assert found.spiked_found >= 0.9 * found.spiked


@pytest.mark.filterwarnings("error")
def test_tables_may_name_two_columns_alike(prints: Callable[..., FingerprintsData]) -> None:
    x = np.arange(12).reshape(4, 3)
    changed = x[::-1].copy()
    changed[3, 1] = 99
    train, validation = (pd.DataFrame(rows, columns=["a", "a", "b"]) for rows in (x, changed))
    found = prints(train, validation)
    assert copies(found.validation, found.train).tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", ["array", "table", "text"])
def test_keeps_the_contract(context_of: Callable[..., Context], digits: Any, kind: str) -> None:
    x, y = digits
    if kind == "text":
        x, model = [str(row.sum()) for row in x], Stub()
        y = y % 2
    else:
        x, model = (x, Stub()) if kind == "array" else (pd.DataFrame(x).rename(columns=str), Stub())
        y = y % 2
    splits = {"train": (0, 300), "validation": (300, 500), "test": (500, 700)}
    context = context_of(model=model, **{n: Split(x[a:b], y[a:b]) for n, (a, b) in splits.items()})
    check_gatherer(gather, Fingerprints(), context)


def test_labels_play_no_part(context_of: Callable[..., Context], digits: Any) -> None:
    x, y = digits
    one, other = (
        gather.gather(
            Fingerprints(), context_of(model=Stub(), train=Split(x[:300], labels), test=Split(x[300:], y[300:] % 2))
        )
        for labels in (y[:300] % 2, y[299::-1] % 2)
    )
    assert np.array_equal(one.train, other.train)


@pytest.mark.parametrize(("one", "other"), [("float64", "float32"), ("float32", "float64"), ("float64", "float16")])
def test_rows_saved_in_fewer_bits_are_copies(prints: Callable[..., FingerprintsData], one: str, other: str) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    found = prints(x.astype(one), x[:30].astype(other))
    assert copies(found.validation, found.train).all()


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("float64", "float32", "int64"), "float32"),
        (("uint8", "float64"), "float64"),
        (("int32", "int64"), "int64"),
        (("int64", "uint64"), "uint64"),
        (("bool", "uint8"), "uint8"),
    ],
)
def test_the_type_in_which_rows_are_compared(types: tuple[str, ...], expected: str) -> None:
    assert module.narrowest([np.dtype(name) for name in types]) == expected
