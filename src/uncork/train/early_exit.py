"""Heads between a net's blocks, taught by the net's own end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.base import BATCH
from uncork.models.blocks import chain, exits
from uncork.models.early_exit import Certificate, EarlyExit, Head, RandomExit, seen
from uncork.models.tensors import place, reference, to_tensors
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.stats.fixed_sequence import last_within
from uncork.stats.selective import GRID
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MOST_HEADS = 6
MOST_ROWS = 10_000
TRIED = 17  # rows that show how the net runs
EPOCHS, PATIENCE, HELD = 60, 5, 10
#: What the least sure rows of a batch do, whatever those before did, may differ by so much of the logits' size.
APART = 1e-3


@dataclass(frozen=True, eq=False)
class Told:
    """What each head, and last the net, says of n rows. sure: (m, n) largest probability; decided: (m + 1, n) class."""

    sure: Float[np.ndarray, "m n"]
    decided: Int[np.ndarray, "m+1 n"]

    def left(self, threshold: float) -> Int[np.ndarray, " n"]:
        """At which head each row leaves, m for the end of the net."""
        enough = self.sure >= threshold
        return np.where(enough.any(axis=0), enough.argmax(axis=0), len(self.sure))

    def answers(self, threshold: float) -> Int[np.ndarray, " n"]:
        """(n,) the class each row is given."""
        given: np.ndarray = np.take_along_axis(self.decided, self.left(threshold)[None], axis=0)[0]
        return given


def fit_heads(inner: TorchModel, train: Split, seed: int, *, most: int = MOST_HEADS) -> tuple[Head, ...]:
    """A linear head after up to `most` blocks, taught the net's own probabilities on rows of train.

    Of up to 10,000 rows, a tenth of which says when to stop; labels are not looked at, the net stays as it is. The
    heads stand where about equal parts of the net's operations lie between them. Raises Unavailable for a net whose
    blocks can't be told apart, or in which rows can't leave a batch without changing the others.
    """
    rows = np.sort(generator(seed, "heads").permutation(len(train))[:MOST_ROWS])
    blocks = chain(inner.module, _tensors(inner, train.take(rows[:TRIED])))
    at = exits(blocks, most)
    if not at:
        raise Unavailable("the net doesn't run as blocks one after the other, between which rows could leave it")
    names = [blocks[i].name for i in at]
    parts = [seen(inner, names, train.take(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
    target = torch.from_numpy(np.concatenate([logits for logits, _ in parts])).softmax(dim=1)
    heads = []
    for j, i in enumerate(at):
        weight, bias = _taught(np.concatenate([features[j] for _, features in parts]), target, seed)
        replayed = tuple(block.name for block in blocks[: i + 1])
        heads.append(Head(names[j], replayed, blocks[i].share, weight, bias))
    _check(inner, heads, train.take(rows[:TRIED]), seed)
    return tuple(heads)


def told(inner: TorchModel, heads: Sequence[Head], split: Split) -> Told:
    """What heads and net say of every row of a split; no row leaves."""
    sure, decided = [], []
    for _, batch in split.batches(BATCH):
        logits, features = seen(inner, [head.after for head in heads], batch)
        by_head = [f @ head.weight.T + head.bias for f, head in zip(features, heads, strict=True)]
        p = torch.from_numpy(np.stack(by_head)).softmax(dim=2)
        sure.append(p.amax(dim=2).numpy())
        decided.append(np.concatenate([p.argmax(dim=2).numpy(), logits.argmax(axis=1)[None]]))
    return Told(np.concatenate(sure, axis=1), np.concatenate(decided, axis=1))


def harmed(said: Told, y: Int[np.ndarray, " n"], threshold: float) -> int:
    """Rows that are answered wrongly early and rightly by the whole net."""
    return int(((said.answers(threshold) != y) & (said.decided[-1] == y)).sum())


def certified(said: Told, y: Int[np.ndarray, " n"], *, limit: float, level: float) -> Certificate | None:
    """The lowest threshold that is within the limit, from the strictest on over a grid fixed beforehand; None where
    there is none. The rows must be independent, and have fitted nothing before."""
    counts = np.array([harmed(said, y, threshold) for threshold in GRID])
    last = last_within(counts, len(y), limit, level=level)
    return None if last is None else Certificate(float(GRID[last]), limit, level, int(counts[last]), len(y))


def _tensors(inner: TorchModel, batch: Any) -> Any:
    return place(to_tensors(batch, inner.preprocess), reference(inner.module))


def _taught(
    x: Float[np.ndarray, "n d"], target: Float[torch.Tensor, "n K"], seed: int
) -> tuple[Float[np.ndarray, "K d"], Float[np.ndarray, " K"]]:
    """Logits W f + b nearest to the net's probabilities, by cross-entropy; features are standardised in the fit."""
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-6 * max(1.0, float(scale.max()))] = np.inf  # what doesn't vary tells nothing
    z = ((x - centre) / scale).astype(np.float32)
    order = generator(seed, "heads", "held out").permutation(len(z))
    held, rest = order[: len(z) // HELD], order[len(z) // HELD :]
    recipe = Recipe(
        partial(nn.Linear, z.shape[1], target.shape[1]), epochs=EPOCHS, batch_size=128, lr=0.01, loss=_Nearest(target)
    )
    made: Any = fit(
        recipe, Split(z[rest], rest), seed=seed, validation=Split(z[held], held), patience=PATIENCE, device="cpu"
    ).module
    weight, bias = (p.detach().numpy() for p in (made.weight, made.bias))
    weight = weight / scale
    return weight.astype(np.float32), (bias - weight @ centre).astype(np.float32)


class _Nearest:
    """Cross-entropy with the probabilities of a row; y is its position."""

    def __init__(self, target: torch.Tensor) -> None:
        self.target = target

    def __call__(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, self.target[y], reduction="none")


def _check(inner: TorchModel, heads: Sequence[Head], batch: Any, seed: int) -> None:
    """Raises Unavailable where rows are answered otherwise once others have left: at any head, and at the end."""
    whole, features = seen(inner, [head.after for head in heads], batch)
    told = [f @ head.weight.T + head.bias for f, head in zip(features, heads, strict=True)]
    share = 1 / (2 * len(heads))  # more than half of the rows stay to the end
    model = RandomExit(EarlyExit(inner, heads, Certificate(1.0, 0.0, 0.0, 0, 0)), [share] * len(heads), seed)
    logits, left = model.answers(batch)
    expected = np.stack([*told, whole])[left, np.arange(len(left))]
    if np.abs(logits - expected).max() > APART * max(1.0, float(np.abs(expected).max())):
        raise Unavailable("rows of the net's batch hang on one another: none can leave it alone")
