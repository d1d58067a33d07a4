"""A model that lets noisy copies of each row vote."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.models.base import BATCH, Model, Output, is_frame
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput
from uncork.schema.seeds import generator
from uncork.stats.smoothing import certified_radius, outvotes

if TYPE_CHECKING:
    from jaxtyping import Float, Int

COPIES, ALPHA = 100, 0.001


class Smoothed(Wrapped):
    """`inner`, voting over `copies` of each row with Gaussian noise of s.d. `sigma`, in the units of x as given.

    Logits are ln((votes + 1) / (copies + K)). A row whose first class does not outvote the second at `alpha` is handed
    over: `Output.answered` is False. The noise is drawn from `seed` and the row's own bytes, so that a row is answered
    alike in any batch; who knows the seed can look for rows whose noise misleads. Randomized smoothing: Cohen,
    Rosenfeld & Kolter, ICML 2019. Raises BadInput for settings out of range, and for rows that are no arrays.
    """

    called = "randomised smoothing"

    def __init__(self, inner: Model, sigma: float, copies: int = COPIES, alpha: float = ALPHA, seed: int = 0) -> None:
        super().__init__(inner)
        if not 0 < sigma < np.inf or copies < 1 or not 0 < alpha < 1:
            raise BadInput(f"smoothing with sigma {sigma}, {copies} copies, alpha {alpha}: give numbers above 0")
        self.sigma, self.copies, self.alpha, self.seed = float(sigma), int(copies), float(alpha), int(seed)
        self.told = {"smoothed": {"sigma": self.sigma, "copies": self.copies, "alpha": self.alpha, "seed": self.seed}}

    def moved(self, votes: Float[np.ndarray, "b k"]) -> Float[np.ndarray, "b k"]:
        """From votes, by Laplace's rule: what got none is not ruled out."""
        share = (votes + 1) / (votes.sum(axis=1, keepdims=True) + votes.shape[1])
        return np.asarray(np.log(share), dtype=np.float32)

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """`features` are `inner`'s of the row without noise."""
        votes = self.votes(batch, self.copies, "votes")
        top = np.sort(votes, axis=1)[:, :-3:-1]
        kept = self.inner.outputs(batch, features).features if features else None
        return Output(self.moved(votes), kept, outvotes(top[:, 0], top[:, 1], alpha=self.alpha))

    def certify(self, batch: Any, copies: int = 10_000) -> tuple[Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        """((b,) class, or −1 where it abstains; (b,) L2 radius, NaN there): no change of x within it turns the class.

        The class is chosen by the model's own votes, the radius bounded from `copies` others; each row's holds with
        probability 1 − `alpha`. Of g, the class likeliest under noise: what `outputs` answers is its estimate.
        """
        best = self.votes(batch, self.copies, "votes").argmax(axis=1)
        votes = self.votes(batch, copies, "certificate")[np.arange(len(best)), best]
        radius = certified_radius(votes, copies, self.sigma, alpha=self.alpha)
        return np.where(np.isnan(radius), -1, best), radius

    def votes(self, batch: Any, copies: int, purpose: str) -> Int[np.ndarray, "b k"]:
        """(b, K) for how many noisy copies of each row `inner` decides for each class; those handed over don't vote."""
        if is_frame(batch) or not isinstance(batch, np.ndarray):
            raise BadInput("x: noise is added to rows that are arrays of numbers, and these are none")
        counts = []
        for row in batch:
            drawn = generator(self.seed, purpose, hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest())
            decided = []
            for start in range(0, copies, BATCH):
                noise = drawn.standard_normal((min(BATCH, copies - start), *row.shape), dtype=np.float32)
                out = self.inner.outputs(row.astype(np.float32) + np.float32(self.sigma) * noise)
                answered = slice(None) if out.answered is None else out.answered
                decided.append(out.logits.argmax(axis=1)[answered])
            counts.append(np.bincount(np.concatenate(decided), minlength=self.inner.n_outputs))
        return np.stack(counts)
