"""Changes of rows that show the same: small, seeded by row, and left out where they would not be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from uncork import BadInput
from uncork.schema.behaviour import Behaviour
from uncork.stress.checklist import BAD, GOOD, sentiment, sentiment_classes
from uncork.stress.relations import mistyped, moved, relations_of

RNG = np.random.default_rng(0)
U = RNG.random(200)


def test_a_pixel_in_four_directions() -> None:
    x = RNG.random((200, 28, 28))
    out = moved(x, U, (1, 2))
    ways = (
        (x[:, [0, *range(27)]]),
        (x[:, [*range(1, 28), 27]]),
        (x[:, :, [0, *range(27)]]),
        (x[:, :, [*range(1, 28), 27]]),
    )
    hits = np.stack([(out == way).all(axis=(1, 2)) for way in ways])
    assert (hits.sum(axis=0) == 1).all()
    assert (hits.sum(axis=1) > 25).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_pictures_stay_in_their_range_and_type(dtype: type) -> None:
    x = (RNG.random((200, 3, 24, 24)) * (255 if dtype is np.uint8 else 1)).astype(dtype)
    stated, left_out = relations_of(x)
    assert [b.name for b in stated][-1] == "moved by a pixel"
    assert not left_out
    for b in stated:
        out = b.change(x, U)
        assert out.dtype == x.dtype
        assert out.min() >= x.min()
        assert out.max() <= x.max()
        np.testing.assert_array_equal(b.change(x[[5, 3]], U[[5, 3]]), out[[5, 3]])


def test_what_would_change_too_much_is_left_out_and_said() -> None:
    stated, left_out = relations_of(RNG.random((50, 1, 8, 8)))
    assert "moved by a pixel" not in [b.name for b in stated]
    assert "8 pixels" in left_out["moved by a pixel"]
    assert relations_of(RNG.integers(0, 9, (50, 4)))[0] == []


def test_noise_of_tables_stays_within_the_rounding() -> None:
    table = np.column_stack([RNG.integers(0, 9, 200), np.round(RNG.normal(size=200), 1), RNG.normal(size=200)])
    out = relations_of(table)[0][0].change(table, U)
    np.testing.assert_array_equal(out[:, 0], table[:, 0])
    sd = table.std(axis=0)
    assert 0 < np.abs(out - table)[:, 1].max() <= min(0.05, 0.01 * sd[1]) + 1e-12
    assert 0 < np.abs(out - table)[:, 2].max() <= 0.01 * sd[2] + 1e-12
    frame = pd.DataFrame({"a": table[:, 2], "b": list("xy") * 100})
    changed = relations_of(frame)[0][0].change(frame, U)
    assert (changed["a"] != frame["a"]).all()
    assert (changed["b"] == frame["b"]).all()
    assert relations_of(frame[["b"]])[0] == []


def test_a_typing_error_swaps_two_letters_inside_one_word() -> None:
    texts = ["a plain sentence of words", "all is as it was", "see"]
    out = mistyped(texts, np.array([0.99, 0.5, 0.5]))
    assert out[0] == "a plain sentence of wrods"
    assert out[1:] == texts[1:]  # no word is long enough
    for i in range(50):
        (one,) = mistyped(["wonderful characters"], U[[i]])
        assert one != "wonderful characters"
        assert sorted(one) == sorted("wonderful characters")


def test_templates_of_sentiment_name_one_class_each_and_are_whole() -> None:
    stated = sentiment("bad", "good")
    assert len({b.name for b in stated}) == len(stated)
    for b in stated:
        for template in range(len(b.templates)):
            texts = [text for texts in b.filled(template) for text in texts]
            assert texts
            assert not any("{" in text for text in texts)
            assert len(set(texts)) == len(texts)
    praise = {b.name: b for b in stated}["plain praise"]
    assert all(any(word in text for word in GOOD) for texts in praise.filled(0) for text in texts)
    assert not set(GOOD) & set(BAD)
    assert not any(word[0] in "aeiou" for word in (*GOOD, *BAD))  # after "a"


def test_classes_by_their_names() -> None:
    assert sentiment_classes(("Negative", "Positive")) == ("Negative", "Positive")
    assert sentiment_classes(("pos", "neg")) == ("neg", "pos")
    assert sentiment_classes(("0", "1")) is None
    assert sentiment_classes(("negative", "neutral", "positive")) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "templates with expected"),
        ({"templates": ["a {b}"], "expected": "x"}, "nothing for {b}"),
        ({"templates": ["a"], "varied": "b"}, "no {b}"),
        ({"templates": ["a"], "expected": "x", "toward": "x"}, "toward"),
        ({"change": lambda x, u: x, "expected": "x"}, "or a change"),
    ],
)
def test_a_behaviour_is_stated_in_one_way(given: dict, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Behaviour("mine", **given)


def test_varied_fillings_stand_together() -> None:
    b = Behaviour("who", templates=["{n} is {w}"], slots={"n": ["A", "B"], "w": ["x", "y", "z"]}, varied="n")
    assert b.filled(0) == [["A is x", "B is x"], ["A is y", "B is y"], ["A is z", "B is z"]]
