"""What an attack has found so far, and the margins it goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: (b, …) x → (b, K) logits, differentiable in x where the attack takes gradients.
Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Found:
    """`x`: (n, …) a point that fools the model, or the row itself where none was found; `fooled`: (n,) which.

    `margin`: (n,) the smallest margin that was seen, logit of the label minus the largest other.
    """

    x: Float[Tensor, "n ..."]
    fooled: Bool[Tensor, " n"]
    margin: Float[Tensor, " n"]

    @staticmethod
    def nothing(x: Float[Tensor, "n ..."]) -> Found:
        """Before the first look."""
        return Found(x.clone(), torch.zeros(len(x), dtype=torch.bool), torch.full((len(x),), torch.inf, dtype=x.dtype))

    def see(self, rows: Int[Tensor, " b"], z: Float[Tensor, "b ..."], margin: Float[Tensor, " b"]) -> Tensor:
        """Takes note of the points z (b, …) of some rows and their margins (b,); (b,) which fool the model."""
        fooled = margin < 0
        self.margin[rows] = torch.minimum(self.margin[rows], margin.to(self.margin.dtype))
        self.x[rows[fooled]] = z[fooled]
        self.fooled[rows[fooled]] = True
        return fooled


def margins(logits: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Logit of the label minus the largest other."""
    label = logits.gather(1, y[:, None])[:, 0]
    return label - logits.scatter(1, y[:, None], -torch.inf).amax(1)


def lead(logits: Float[Tensor, "b k"], y: Int[Tensor, " b"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Logit of the target minus the label's."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None]))[:, 0]


def likeliest(logits: Float[Tensor, "b k"], y: Int[Tensor, " b"], most: int = 9) -> Int[Tensor, "b t"]:
    """Classes other than the label, the largest logit first: what targeted attacks aim at, 9 as in the standard set."""
    order = logits.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)
    return order[:, : min(most, logits.shape[1] - 1)]
