"""augment: what leaves labels as they are is found by held-out rows, and what doesn't is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import SOUND, error, estimator, same_weights, subject_of
from torch import nn

from uncork import Recipe, Split
from uncork.remedies.augment import apply, changes_of, with_change
from uncork.schema.errors import Unavailable
from uncork.testing.remedies import check_remedy
from uncork.train.augment import Flip, InTurn, Noise, Shift, WordDropout

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


def seeing() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 10))


PICTURES = Recipe(seeing, epochs=40, batch_size=50, lr=1e-2)


@pytest.fixture(scope="session")
def anywhere(digits: Digits) -> Digits:
    """Digits at a place of their own, up to 2 pixels from the middle of 12 × 12."""
    x, y = digits
    canvas, rng = np.zeros((len(x), 12, 12), np.float32), np.random.default_rng(0)
    for picture, own, (row, column) in zip(canvas, x, rng.integers(0, 5, (len(x), 2)), strict=True):
        picture[row : row + 8, column : column + 8] = own.reshape(8, 8)
    return canvas, y


@pytest.mark.slow
def test_shifts_are_found_where_places_vary_and_flips_are_not(case_of: CaseOf, anywhere: Digits) -> None:
    x, y = anywhere
    case = case_of(subject_of(PICTURES, x[:300], y[:300]))
    treated = apply.apply(case)
    assert isinstance(treated.subject.recipe.augment, Shift)
    assert "shifts of up to" in treated.changes
    assert treated.compute == 6
    assert apply.price(case.subject, 3) == 11
    fresh = x[1000:], y[1000:]
    # Over 3 seeds it gains .13, s.d. .025.
    after = error(treated, case.subject.train, *fresh)
    assert after < error(apply.control(case, treated), case.subject.train, *fresh) - 0.05


def test_mirrored_pictures_call_for_flips(case_of: CaseOf, anywhere: Digits) -> None:
    """Half of all pictures are mirrored, in train and in the rows held out."""
    x, y = anywhere[0][:300].copy(), anywhere[1][:300]
    x[::2] = x[::2, :, ::-1]
    treated = apply.apply(case_of(subject_of(PICTURES, x, y)))
    assert "flips" in treated.changes
    assert Flip() in treated.subject.recipe.augment.parts


@pytest.mark.parametrize("kind", ["pictures", "texts"])
def test_where_no_change_helps_none_is_made(case_of: CaseOf, digits: Digits, kind: str) -> None:
    """Digits that all stand in the middle, trained too briefly; texts whose every word counts."""
    if kind == "pictures":
        x, y = digits[0].reshape(-1, 8, 8), digits[1]
        case = case_of(subject_of(SOUND.replace(epochs=4), x[:400], y[:400]))
    else:
        case = case_of(texts(), n_classes=2)
    with pytest.raises(Unavailable, match=r"none of .* lowers the loss on a held-out fifth"):
        apply.apply(case)


def counted(texts: list[str]) -> torch.Tensor:
    out = torch.zeros(len(texts), 20)
    for row, text in zip(out, texts, strict=True):
        for word in text.split():
            row[int(word)] += 1
    return out


def texts() -> Any:
    """The label is the sign of a sum over 12 words."""
    rng = np.random.default_rng(0)
    words, weight = rng.integers(0, 20, (200, 12)), rng.normal(size=20)
    x, y = [" ".join(map(str, row)) for row in words], (weight[words].sum(axis=1) > 0).astype(int)
    recipe = Recipe(lambda: nn.Linear(20, 2), epochs=30, batch_size=50, lr=1e-2)
    return subject_of(recipe, np.array(x).tolist(), y, preprocess=counted)


def test_what_is_tried_is_by_the_kind_of_rows(digits: Digits) -> None:
    x, y = digits
    pictures = subject_of(SOUND, x[:40].reshape(-1, 1, 8, 8), y[:40])
    assert list(changes_of(pictures).values()) == [
        Shift(1),
        InTurn((Shift(1), Flip())),
        Shift(2),
        InTurn((Shift(2), Flip())),
    ]
    large = subject_of(SOUND, np.zeros((10, 3, 112, 90), np.float32), y[:10])
    assert Shift(8) in changes_of(large).values()
    assert list(changes_of(subject_of(SOUND, x[:40], y[:40])).values()) == [Noise(0.1), Noise(0.3)]
    assert list(changes_of(texts()).values()) == [WordDropout(0.1), WordDropout(0.2)]
    codes = subject_of(SOUND, np.zeros((10, 64), int), y[:10])
    assert Noise(0.1) in changes_of(codes.replace(preprocess=lambda batch: batch.float())).values()
    with pytest.raises(Unavailable, match="these are none: give Recipe"):
        changes_of(codes)


def test_what_the_recipe_does_already_comes_first() -> None:
    def own(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return batch + 1

    recipe = with_change(SOUND.replace(augment=own), Shift(1))
    assert recipe.augment == InTurn((own, Shift(1)))
    assert with_change(SOUND, Shift(1)).augment == Shift(1)


def test_words_left_out_reach_the_net() -> None:
    subject = texts()
    recipe = subject.recipe.replace(augment=WordDropout(1.0))  # all but the first word of each text
    first = [text.split()[0] for text in subject.train.take(np.arange(200))]
    got, expected = (
        r.fit(Split(x, subject.train.y), preprocess=counted)
        for r, x in ((recipe, subject.train.take(np.arange(200))), (subject.recipe, first))
    )
    assert same_weights(got, expected)


def test_keeps_the_contract(case_of: CaseOf, anywhere: Digits) -> None:
    x, y = anywhere
    short = PICTURES.replace(epochs=25)
    check_remedy(apply, lambda: case_of(subject_of(short, x[:300], y[:300])))


def test_a_callable_trains_as_it_likes(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))
