"""Parts are taken from other rows and from nowhere else; as much is taken beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from uncork.schema.errors import Unavailable
from uncork.stress.swaps import Part, parts_of


def part(parts: list[Part], name: str) -> Part:
    return next(p for p in parts if p.name.startswith(name))


def pictures(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 3, 16, 16), (5, 28, 28, 3), (5, 28, 28)])
def test_masks_take_their_own_pixels_and_as_many_beside(shape: tuple[int, ...]) -> None:
    x, other = pictures(shape), pictures(shape, 1)
    parts = parts_of(x)
    assert ("colour" in [p.name for p in parts]) == (3 in shape[1:])
    for name in ("top edge", "border", "cell 2/3"):
        chosen = part(parts, name)
        swapped, beside = chosen.swap(x, other, 0), chosen.beside(x, other, 0)
        took, near = (changed == other for changed in (swapped, beside))
        assert (swapped[~took] == x[~took]).all()
        assert took.sum() == near.sum() > 0
        assert not np.array_equal(beside, chosen.beside(x, other, 1))
        assert chosen.held(x).shape == (5, took[0].sum())
    cell = part(parts, "cell 1/1").swap(x, other, 0) == other
    height, width = shape[2:] if len(shape) == 4 and shape[1] < 5 else shape[1:3]
    assert cell[0].sum() * 16 == cell[0].size
    assert height == width


def test_colour_is_all_that_is_taken() -> None:
    """A red and a green digit: the grey picture stays, its colour is the other's; rows stay apart in any batch."""
    grey = pictures((2, 28, 28))
    red, green = (grey[:, None] * np.array(rgb, np.float32)[:, None, None] for rgb in ((1, 0, 0), (0, 1, 0)))
    sample = np.concatenate([red, green])
    colour = part(parts_of(sample), "colour")
    swapped = colour.swap(red, green[::-1], 0)
    np.testing.assert_allclose(swapped[:, 1], red[:, 0], rtol=1e-5)
    assert swapped[:, [0, 2]].max() < 1e-6
    assert colour.beside(red, green, 0)[:, 1].max() < 1e-6  # another colour than either
    np.testing.assert_allclose(colour.held(red), [[3, 0, 0]] * 2, rtol=1e-5)
    np.testing.assert_array_equal(colour.swap(red[1:], green[:1], 0), swapped[1:])


def test_fine_detail_leaves_the_coarse_picture() -> None:
    x, other = pictures((3, 1, 16, 16)), pictures((3, 1, 16, 16), 1)
    fine = part(parts_of(np.concatenate([x, other])), "fine detail")
    swapped = fine.swap(x, other, 0)
    np.testing.assert_allclose(swapped.mean(axis=(2, 3)), x.mean(axis=(2, 3)), rtol=1e-4)
    np.testing.assert_allclose(fine.held(swapped), fine.held(other), atol=1e-3)
    np.testing.assert_allclose(fine.swap(x, x, 0), x, atol=1e-5)


def test_columns_of_arrays_and_frames() -> None:
    x, other = np.zeros((4, 3)), np.ones((4, 3))
    second = part(parts_of(x), "column 1")
    assert not second.suspect
    np.testing.assert_array_equal(second.swap(x, other, 0), [[0, 1, 0]] * 4)
    beside = second.beside(x, other, 0)
    assert beside.sum() == 4
    assert beside[:, 1].sum() == 0
    frame = pd.DataFrame({"age": [1.0, 2.0], "town": ["a", "b"]})
    town = part(parts_of(frame), "town")
    assert town.swap(frame, frame[::-1], 0)["town"].tolist() == ["b", "a"]
    assert town.swap(frame, frame[::-1], 0)["age"].tolist() == [1.0, 2.0]
    assert town.held(frame).ravel().tolist() == [0, 1]
    assert len(parts_of(np.zeros((2, 100)))) == 32


def test_the_words_that_tell_a_class_are_swapped() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    texts = [f"the film {rng.choice(['is', 'was'])} {'good' if k else 'bad'} zw{k}" for k in y]
    texts[0] = "the film is bad"
    (words,) = parts_of(texts, (texts, y))
    assert words.name.startswith("telling words: ")
    told = words.name.split(": ")[1].split(", ")
    assert {told[0] in ("bad", "zw0"), told[1] in ("good", "zw1")} == {True}
    row, donor = [f"the film is {told[0]}"], [f"a {told[1]} one"]
    assert words.swap(row, donor, 0) == [f"the film is {told[1]}"]
    assert words.swap(row, ["nothing"], 0) == row
    beside = words.beside(row, donor, 0)
    assert len(set(beside[0].split()) - set(row[0].split())) <= 1
    assert told[1] not in beside[0]
    assert words.says([f"{told[1]}"], texts, y).tolist() == [1]


def test_what_a_part_says_is_the_vote_of_its_likes() -> None:
    reference = np.repeat(np.arange(3.0), 20)[:, None] * np.array([[1.0, 0.0]])
    first = part(parts_of(reference), "column 0")
    labels = np.repeat([0, 1, 2], 20)
    assert first.says(np.array([[0.1, 5], [1.9, 5]]), reference, labels).tolist() == [0, 2]
    mixed = np.tile([0, 1, 2], 20)
    assert first.says(np.array([[1.0, 0]]), reference, mixed).tolist() == [-1]


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (np.zeros((3, 1)), "one column"),
        (["a text"], "learnt from train"),
        (np.zeros((3, 7, 8, 9)), "no pictures that are known"),
        ({"x": np.zeros(3)}, "rows are none"),
    ],
)
def test_rows_without_known_parts(sample: Any, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        parts_of(sample)
