"""Pictures whose colour tells their class, and pictures turned at random: what shortcuts and views are tested on."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def coloured(
    x: Float[np.ndarray, "n 1 h w"],
    y: Int[np.ndarray, " n"],
    told: float,
    rng: np.random.Generator,
    *,
    classes: int = 10,
    turned: bool = False,
) -> tuple[Float[np.ndarray, "n 3 h w"], Int[np.ndarray, " n"]]:
    """(pictures in one colour each, the class whose colour it is): the own class's in a share `told` of rows, that of
    any class else. `turned`: the last class's for the first, and so on, instead of the own.
    """
    hues = np.array([colorsys.hsv_to_rgb(k / classes, 1, 1) for k in range(classes)], np.float32)
    own = classes - 1 - y if turned else y
    code = np.where(rng.random(len(y)) < told, own, rng.integers(0, classes, len(y)))
    return (x * hues[code][:, :, None, None]).astype(np.float32), code


def turned_around(
    x: Float[np.ndarray, "n c h w"], degrees: float, rng: np.random.Generator
) -> Float[np.ndarray, "n c h w"]:
    """Each picture turned by up to so many degrees either way."""
    from scipy.ndimage import rotate

    angles = rng.uniform(-degrees, degrees, len(x))
    made = [rotate(p, a, axes=(1, 2), reshape=False, order=1) for p, a in zip(x, angles, strict=True)]
    return np.stack(made).astype(np.float32)
