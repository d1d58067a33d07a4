"""Views leave what they should; their mean is the mean of probabilities, in any batch."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pytest
import torch
from scipy.ndimage import rotate
from scipy.special import softmax
from sklearn.linear_model import LinearRegression
from torch import nn

from uncork.models.adapt import as_model
from uncork.models.base import Model
from uncork.models.viewed import Viewed
from uncork.models.views import kinds_of, mistype, views
from uncork.schema.errors import BadInput


def net() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = as_model(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), "classification")
    model.outputs(pictures(2))
    return model


def pictures(n: int, shape: tuple[int, ...] = (1, 8, 8)) -> np.ndarray:
    return np.random.default_rng(0).random((n, *shape)).astype(np.float32)


def test_the_mean_is_that_of_probabilities() -> None:
    inner, x = net(), pictures(6)
    seen = [x, np.flip(x, 3)]
    p = np.mean([softmax(inner.outputs(v.copy()).logits.astype(float), axis=1) for v in seen], axis=0)
    viewed = Viewed(inner, "mirrored")
    np.testing.assert_allclose(softmax(viewed.outputs(x).logits, axis=1), p, rtol=1e-5)
    np.testing.assert_allclose(viewed.outputs(x[3:4]).logits, viewed.outputs(x).logits[3:4], rtol=1e-5)
    np.testing.assert_array_equal(viewed.outputs(x, True).features, inner.outputs(x, True).features)
    assert viewed.fingerprint() != Viewed(inner, "scaled").fingerprint() != inner.fingerprint()
    np.testing.assert_array_equal(
        cloudpickle.loads(cloudpickle.dumps(viewed)).outputs(x).logits, viewed.outputs(x).logits
    )


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (28, 28, 3), (28, 28)])
def test_views_keep_form_and_type(shape: tuple[int, ...]) -> None:
    x = pictures(3, shape)
    assert len(kinds_of(x)) == 7
    for name in kinds_of(x):
        for view in views(name):
            for rows in (x, (255 * x).astype(np.uint8)):
                seen = view(rows)
                assert (seen.shape, seen.dtype) == (rows.shape, rows.dtype)
                assert not np.array_equal(seen, rows)
                np.testing.assert_array_equal(view(rows[1:2]), seen[1:2])


def test_turns_are_turns() -> None:
    """Four quarter turns are none; others are what SciPy makes of them; a shift is two pixels of 28."""
    x = pictures(2, (1, 28, 28))
    quarter = views("turned by 90°")[0]
    np.testing.assert_array_equal(quarter(quarter(quarter(quarter(x)))), x)
    for view, angle in zip(views("turned by 30°"), (-15, 15, -30, 30), strict=True):
        expected = rotate(x, angle, axes=(2, 3), reshape=False, order=1, mode="nearest")
        np.testing.assert_allclose(view(x), expected, atol=1e-5)
    down = views("shifted")[0](x)
    np.testing.assert_array_equal(down[:, :, 2:], x[:, :, :-2])
    dot = np.zeros((1, 1, 29, 29), np.float32)
    dot[0, 0, 14, 24] = 1  # ten pixels from the middle
    larger, smaller = (np.average(np.arange(29), weights=view(dot)[0, 0].sum(axis=0)) for view in views("scaled"))
    assert (larger - 14, smaller - 14) == pytest.approx((11.5, 10 / 1.15), abs=0.3)


def test_texts() -> None:
    assert kinds_of(["a"]) == ("lower case", "without punctuation", "mistyped")
    assert views("lower case")[0](["A Text"]) == ["a text"]
    assert views("without punctuation")[0](["Well, it's fine."]) == ["Well it's fine"]
    assert mistype("a cat sleeps", 0.0) == "a cat seleps"
    assert mistype("a cat", 0.9) == "a cat"


def test_what_has_no_views() -> None:
    assert kinds_of(np.zeros((4, 8))) == ()
    assert kinds_of(np.zeros((4, 7, 9))) == ()
    with pytest.raises(BadInput, match="no views 'sideways'"):
        Viewed(net(), "sideways")
    x = np.arange(8.0).reshape(-1, 1)
    with pytest.raises(BadInput, match="regression"):
        Viewed(as_model(LinearRegression().fit(x, x[:, 0]), "regression"), "mirrored")
    with pytest.raises(BadInput, match="no pictures"):
        Viewed(net(), "mirrored").outputs(np.zeros((2, 64), np.float32).reshape(2, 8, 4, 2))
