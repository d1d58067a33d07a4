"""An encoder trained on rows without labels, by telling two views of a row from views of other rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from uncork.data.joined import joined
from uncork.data.split import Split
from uncork.models.on_features import Encoder, features_of
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.linear_head import MILDER, fit_head
from uncork.train.loop import epoch_batches, fit
from uncork.train.recipe import Recipe

BATCH, WIDTH, TEMPERATURE, LR = 256, 64, 0.5, 1e-3
CORRUPTED = 0.6  # share of a table's columns that take another row's value (SCARF)
ZOOM, SHIFT, TURN, SHEAR = (0.7, 1.2), 0.2, 0.4, 0.3  # sides seen; of half a side; radians; of the other side
BIGGEST = 64  # side of what counts as a small picture
EPOCHS, FEWEST, MOST = 15, 300, 3_000  # of all rows; steps

State = dict[str, torch.Tensor]


def steps_on(rows: int) -> int:
    """Steps that so many rows are trained on."""
    return min(MOST, max(FEWEST, EPOCHS * -(-rows // BATCH)))


@dataclass(frozen=True)
class Pretraining:
    """Makes a model from (subject, seed): the recipe's net is first trained on rows of train, and of `unlabelled` where
    given, without labels for `steps`; a linear head is fitted on what it makes of train; then the recipe trains both,
    for as many steps as ever, at a tenth of its learning rate."""

    unlabelled: Split | None
    steps: int

    def __call__(self, subject: Subject, seed: int) -> nn.Module:
        recipe, train, preprocess = subject.recipe, subject.train, subject.preprocess
        rows = train
        if self.unlabelled is not None:
            rows = joined(train, self.unlabelled, np.zeros(len(self.unlabelled), train.y.dtype))
        state = pretrained(recipe, rows, integer_seed(seed, "pretrained"), self.steps, preprocess)
        with torch.random.fork_rng(devices=[]):  # of weights that are then replaced
            module = begun_from(recipe.build, state)
        state |= _head(module, train, preprocess, seed)
        begun = recipe.replace(build=partial(begun_from, recipe.build, state), lr=MILDER * recipe.lr)
        return fit(begun, train, seed=seed, preprocess=preprocess).module


def _head(module: nn.Module, train: Split, preprocess: Callable[[Any], Any] | None, seed: int) -> State:
    """The last layer's weights, fitted on features of train."""
    layer, own = _last_layer(module, train, preprocess)
    assert train.y is not None
    x = features_of(Encoder(TorchModel(module, task="classification", preprocess=preprocess, features=layer)), train)
    labels = train.y.dtype.kind != "f"
    weight, bias = fit_head(x, train.y, max(2, own.out_features) if labels else 0, seed)
    if labels and own.out_features == 1:  # the logit of the second of two classes
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    found = {f"{layer}.weight": torch.from_numpy(weight)}
    return found if own.bias is None else {**found, f"{layer}.bias": torch.from_numpy(bias)}


def begun_from(build: Callable[..., nn.Module], state: State, **sizes: Any) -> nn.Module:
    """A fresh module with these weights and buffers, its own where there are none."""
    module = build(**sizes)
    module.load_state_dict({**module.state_dict(), **state})
    return module


def pretrained(
    recipe: Recipe, rows: Split, seed: int, steps: int, preprocess: Callable[[Any], Any] | None = None
) -> State:
    """Weights and buffers of the recipe's net but for its last layer, after `steps` of contrast on `rows`.

    Two views of each of 256 rows pass the net up to its last Linear and two further layers, which are then thrown away;
    of 2 · 256 vectors each is to find its twin by the cosine (NT-Xent at .5: Chen et al., SimCLR, ICML 2020). Views of
    small pictures are turned, sheared, moved and zoomed by a little; of tables one is the row itself, the other has
    60 % of its columns from other rows (Bahri et al., SCARF, ICLR 2022). Adam at 1e-3. The same seed gives the same
    weights.
    Raises Unavailable for texts, large pictures, and nets whose last layer can't be told.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(seed, "contrast"))
        module = recipe.make()
        layer, head = _last_layer(module, rows, preprocess)
        above = nn.Sequential(nn.Linear(head.in_features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        module.train()
        optimizer = torch.optim.Adam([*module.parameters(), *above.parameters()], lr=LR)
        seen: list[torch.Tensor] = []
        hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        step = 0
        while step < steps:
            for at in epoch_batches(len(rows), BATCH, seed, epoch=step):
                batch = place(_numbers(to_tensors(rows.take(at), preprocess)), reference(module))
                call(module, torch.cat(views(batch)))
                loss = contrast(above(seen.pop().flatten(1)))
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                step += 1
                if step == steps:
                    break
        hook.remove()
    state = {name: value.detach().clone() for name, value in module.state_dict().items()}
    return {name: value for name, value in state.items() if not name.startswith(f"{layer}.")}


def views(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of each row: of pictures (b, H, W) or (b, C, H, W) as a camera moves, of tables (b, d) the row and
    one with columns of others."""
    if x.ndim == 2:
        other = torch.stack([column[torch.randperm(len(x))] for column in x.T], dim=1)
        return x, torch.where(torch.rand(x.shape) < CORRUPTED, other, x)
    pictures = x[:, None] if x.ndim == 3 else x
    return _cut(pictures).reshape(x.shape), _cut(pictures).reshape(x.shape)


def contrast(z: torch.Tensor) -> torch.Tensor:
    """NT-Xent of (2b, d), row i's twin being row i + b."""
    z = functional.normalize(z, dim=1)
    b = len(z) // 2
    alike = (z @ z.T / TEMPERATURE).masked_fill(torch.eye(2 * b, dtype=torch.bool), -torch.inf)
    return functional.cross_entropy(alike, torch.cat([torch.arange(b, 2 * b), torch.arange(b)]))


def _cut(x: torch.Tensor) -> torch.Tensor:
    """What a camera sees of each picture that is nearer or further, turned, sheared and moved, by chance."""
    b = len(x)
    side = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * torch.rand(b, 2)
    turn, shear = TURN * (2 * torch.rand(b) - 1), SHEAR * (2 * torch.rand(b) - 1)
    grid = torch.empty(b, 2, 3)
    grid[:, 0, 0], grid[:, 0, 1] = turn.cos() * side[:, 0], shear - turn.sin() * side[:, 1]
    grid[:, 1, 0], grid[:, 1, 1] = turn.sin() * side[:, 0], turn.cos() * side[:, 1]
    grid[:, :, 2] = SHIFT * (2 * torch.rand(b, 2) - 1)
    where = functional.affine_grid(grid, list(x.shape), align_corners=False)
    cut: torch.Tensor = functional.grid_sample(x, where.to(x.dtype), align_corners=False)
    return cut


def _numbers(x: Any) -> torch.Tensor:
    """Raises Unavailable for what has no views here."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim not in (2, 3, 4):
        raise Unavailable(
            "views are made of tables and small pictures of floats: pretrain an encoder of these yourself"
        )
    if x.ndim > 2 and max(x.shape[-2:]) > BIGGEST:
        raise Unavailable(f"pictures of {tuple(x.shape[-2:])}: beyond {BIGGEST} × {BIGGEST} pretraining is not tried")
    return x


def _last_layer(module: nn.Module, rows: Split, preprocess: Callable[[Any], Any] | None) -> tuple[str, nn.Linear]:
    searched = TorchModel(module, task="classification", preprocess=preprocess)
    first = rows.take(np.arange(min(2, len(rows))))
    _numbers(to_tensors(first, preprocess))
    searched.outputs(first, features=True)
    name = searched.describe()["feature_layer"]
    layer = module.get_submodule(name) if name else None
    if not isinstance(layer, nn.Linear):
        raise Unavailable(f"no last layer can be told from an encoder ({searched.describe()['features']})")
    return name, layer
