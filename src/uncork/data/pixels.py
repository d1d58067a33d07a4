"""Images as bytes, on their way to a net that takes them otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

#: What nets take, by name: bytes as they are, over 255, or also less ImageNet's mean and over its standard deviation.
SCALES = ("0-255", "0-1", "imagenet")
_MEAN, _SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


class Pixels:
    """Images (b, h, w, 3), or grey ones (b, h, w), of bytes → float32, with the channels first or last: a preprocess.

    Raises BadInput where `scale` is none of `SCALES`, or x is of another form.
    """

    def __init__(self, scale: str, *, channels_first: bool = True) -> None:
        if scale not in SCALES:
            raise BadInput(f"pixels are {scale!r}: give one of {', '.join(SCALES)}")
        self.scale, self.channels_first = scale, channels_first

    def __call__(self, batch: Any) -> Float[np.ndarray, "b _ _ _"]:
        values = np.asarray(batch)
        if values.dtype != np.uint8 or values.ndim not in (3, 4):
            raise BadInput(
                f"x holds {values.dtype} of shape {values.shape[1:]}: pixels are bytes of (h, w, 3) or (h, w)"
            )
        values = values.astype(np.float32)
        values = values if values.ndim == 4 else values[..., None]
        if self.scale != "0-255":
            values = values / 255
        if self.scale == "imagenet":
            values = (values - _MEAN) / _SPREAD
        return np.ascontiguousarray(np.moveaxis(values, 3, 1) if self.channels_first else values)
