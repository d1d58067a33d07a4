"""Formats say the same of a row in any batch, undo one another where they can, and suit the kind of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from uncork.stress.formats import channel_axis, formats_of

RNG = np.random.default_rng(0)
U = RNG.random(12)
ROWS = {
    "pictures in 0–1": RNG.random((12, 3, 8, 8)).astype(np.float32),
    "bytes, channels last": RNG.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8),
    "grey": RNG.random((12, 8, 8)).astype(np.float32),
    "table": RNG.normal(size=(12, 5)).astype(np.float32),
    "codes": RNG.integers(0, 9, (12, 5)),
    "frame": pd.DataFrame({"a": RNG.normal(size=12), "b": RNG.integers(0, 5, 12), "c": list("xyzxyzxyzxyz")}),
    "texts": [f"Row {i}, of café." for i in range(12)],
}


def _rows(batch: object, at: np.ndarray) -> object:
    if isinstance(batch, list):
        return [batch[i] for i in at]
    return batch.iloc[at] if hasattr(batch, "iloc") else batch[at]


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_is_changed_alike_in_any_batch_and_the_batch_is_left_alone(kind: str) -> None:
    batch = ROWS[kind]
    before = batch.copy()
    for name, change in formats_of(batch).items():
        whole = change(batch, U)
        at = np.array([7, 2, 3])
        part = change(_rows(batch, at), U[at])
        expected = _rows(whole, at)
        if isinstance(batch, pd.DataFrame):
            pd.testing.assert_frame_equal(part, expected)
            pd.testing.assert_frame_equal(batch, before)
        else:
            np.testing.assert_array_equal(part, expected, err_msg=name)
            np.testing.assert_array_equal(batch, before, err_msg=name)


def test_scales_and_ranges_are_what_they_say() -> None:
    x = ROWS["pictures in 0–1"]
    found = formats_of(x)
    np.testing.assert_allclose(found["÷ 255"](found["× 255"](x, U), U), x, rtol=1e-6)
    np.testing.assert_allclose(found["0–1 as −1–1"](x, U), 2 * x - 1, rtol=1e-6)
    assert "−1–1 as 0–1" not in found
    np.testing.assert_array_equal(found["channels reversed"](x, U)[:, 0], x[:, 2])
    assert found["channels last"](x, U).shape == (12, 8, 8, 3)
    np.testing.assert_array_equal(found["bytes"](x, U), np.rint(255 * x).astype(np.uint8))
    scaled = found["standardised by channel"](x, U)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, rtol=1e-4)
    np.testing.assert_allclose(formats_of(2 * x - 1)["−1–1 as 0–1"](2 * x - 1, U), x, atol=1e-6)


def test_pictures_of_bytes() -> None:
    x = ROWS["bytes, channels last"]
    found = formats_of(x)
    assert channel_axis(x) == 3
    assert found["channels first"](x, U).shape == (12, 3, 8, 8)
    np.testing.assert_allclose(found["÷ 255"](x, U), x / 255.0, rtol=1e-6)
    assert "bytes" not in found
    assert "0–255 as 0–1" not in found  # ÷ 255 already


def test_tables_change_one_column_of_each_row() -> None:
    x = ROWS["table"]
    found = formats_of(x)
    for name, cells in (("one column × 1000", 1), ("two columns swapped", 2)):
        assert ((found[name](x, U) != x).sum(axis=1) == cells).all()
    assert (np.isnan(found["one value missing"](x, U)).sum(axis=1) == 1).all()
    assert set(formats_of(ROWS["codes"])) == {"two columns swapped"}


def test_frames_and_texts() -> None:
    frame = ROWS["frame"]
    found = formats_of(frame)
    assert list(found["columns in reverse order"](frame, U).columns) == ["c", "b", "a"]
    assert (found["one value missing"](frame, U).isna().sum(axis=1) == 1).all()
    assert list(found["one column × 1000"](frame, U)["c"]) == list(frame["c"])
    texts = formats_of(ROWS["texts"])
    assert texts["punctuation apart"](["Row 1, of café."], U[:1]) == ["Row 1 , of café ."]
    assert texts["upper case"](["a b"], U[:1]) == ["A B"]
