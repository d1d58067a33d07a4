"""A small net taught by a large one: its answers and its features, beside the labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.base import BATCH, SMALLEST_PROBABILITY, Model
from uncork.models.tensors import call
from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput
from uncork.train.loop import fit
from uncork.train.losses import Targets
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from jaxtyping import Float

TEMPERATURE = 4.0
LABELS = 0.1  # the labels' share of the loss, beside the teacher's answers
TRIED = 64  # rows that show how the student is built
FEATURES = 1.0  # weight of the features' squared error, in units of their own variance


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher says of every row of train. logits: (n, K) float32, or values (n, 1); features: (n, d) float16, of
    mean 0 and variance 1 over train, or None where it has none."""

    logits: Float[np.ndarray, "n K"]
    features: Float[np.ndarray, "n d"] | None = None

    def subset(self, rows: np.ndarray) -> Taught:
        """Of these rows alone: positions, or a mask."""
        return Taught(self.logits[rows], None if self.features is None else self.features[rows])


def taught(teacher: Model, train: Split) -> Taught:
    """One pass of the teacher over train, batch by batch."""
    outs = [teacher.outputs(batch, features=True) for _, batch in train.batches(BATCH)]
    logits = np.concatenate([out.logits for out in outs]).astype(np.float32)
    if any(out.features is None for out in outs):
        return Taught(logits)
    features = np.concatenate([np.asarray(out.features, np.float32) for out in outs])
    centre, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-6 * max(1.0, float(scale.max()))] = np.inf  # what doesn't vary tells nothing
    return Taught(logits, ((features - centre.astype(np.float32)) / scale.astype(np.float32)).astype(np.float16))


def distilled(
    student: nn.Module | Callable[[], nn.Module],
    train: Split,
    teacher: Taught | None,
    recipe: Recipe,
    *,
    seed: int,
    steps: int | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    temperature: float = TEMPERATURE,
    labels: float = LABELS,
    features: float = FEATURES,
) -> nn.Module:
    """Trains `student` on train's rows by the settings of `recipe`, for `steps` steps (by default as many as it takes).

    `student`: a module, of which a copy is trained on from where it is, or a function that makes one. `recipe.build` is
    not called. `teacher`: what `taught` gave for the same rows; None trains on the labels alone, which is what
    distillation is compared with. The loss is `labels` · the recipe's + (1 − labels) · T² · KL(teacher ‖ student) at
    temperature T (Hinton, Vinyals & Dean, arXiv 1503.02531; the squared difference in a regression), plus `features` ·
    the squared error of a linear map of the student's penultimate features to the teacher's standardised ones (Jiao et
    al., TinyBERT, EMNLP 2020), where both have some. Labels are class indices. The teacher's answers are those for rows
    without the recipe's augmentation. Bit-reproducible under `seed` on one CPU. Raises BadInput where teacher, student
    and train don't fit together, UncorkError where training diverges.
    """
    make = _Copy(student) if isinstance(student, nn.Module) else student
    if teacher is None:
        return fit(recipe.replace(build=make), train, seed=seed, steps=steps, preprocess=preprocess).module
    if len(teacher.logits) != len(train):
        raise BadInput(f"the teacher answered {len(teacher.logits)} rows, but train has {len(train)}: give the same")
    shape = _shape(make, train, preprocess)
    if shape.outputs != teacher.logits.shape[1]:
        raise BadInput(f"the student has {shape.outputs} outputs, the teacher {teacher.logits.shape[1]}: give as many")
    towards = teacher.features if shape.layer and features > 0 else None
    width = 0 if towards is None else towards.shape[1]
    loss = _Loss(Targets(recipe.loss, train), teacher.logits, towards, shape, temperature, labels, features)
    pupil: Any = fit(
        recipe.replace(build=partial(_Pupil, make, shape, width), loss=loss),
        train.with_y(np.arange(len(train))),  # by which the loss finds what the teacher said
        seed=seed,
        steps=steps,
        preprocess=preprocess,
    ).module
    pupil.hook.remove()
    net: nn.Module = pupil.student
    return net


@dataclass(frozen=True)
class _Copy:
    """Builds a copy of a module, weights and all, every weight to be trained."""

    module: nn.Module

    def __call__(self) -> nn.Module:
        return copy.deepcopy(self.module).requires_grad_(True)


@dataclass(frozen=True)
class _Shape:
    """Of a student: outputs, the layer whose input are its features ("" without any) and their width, and whether its
    outputs are probabilities."""

    outputs: int
    layer: str
    width: int
    probabilities: bool


def _shape(make: Callable[[], nn.Module], train: Split, preprocess: Callable[[Any], Any] | None) -> _Shape:
    assert train.y is not None
    with torch.random.fork_rng(devices=[]):  # a fresh net draws its weights
        model = TorchModel(
            make(), task="regression" if train.y.dtype.kind == "f" else "classification", preprocess=preprocess
        )
    out = model.outputs(train.take(np.arange(min(TRIED, len(train)))), features=True)
    width = 0 if out.features is None else out.features.shape[1]
    return _Shape(out.logits.shape[1], model.describe()["feature_layer"] or "", width, bool(model._probabilities))


class _Pupil(nn.Module):
    """A student whose outputs are followed by its features, mapped to the teacher's: (b, K + d)."""

    def __init__(self, make: Callable[[], nn.Module], shape: _Shape, width: int) -> None:
        super().__init__()
        self.student = make()
        self.map = nn.Linear(shape.width, width) if width else None
        self.hook = self.student.get_submodule(shape.layer).register_forward_pre_hook(self._keep)
        self.entered: list[torch.Tensor] = []

    def _keep(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.entered[:] = inputs[:1]

    def forward(self, *given: Any, **named: Any) -> torch.Tensor:
        raw = call(self.student, named or given[0])
        raw = raw.reshape(len(raw), -1)
        if self.map is None:
            return raw
        return torch.cat([raw, self.map(self.entered.pop().flatten(1))], dim=1)


class _Loss:
    """The mean loss of a batch of what a _Pupil gives; y are positions in train."""

    def __init__(
        self,
        targets: Targets,
        logits: np.ndarray,
        towards: np.ndarray | None,
        shape: _Shape,
        temperature: float,
        labels: float,
        features: float,
    ) -> None:
        self.targets, self.logits, self.towards, self.shape = targets, torch.from_numpy(logits), towards, shape
        self.temperature, self.labels, self.features = temperature, labels, features

    def __call__(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        rows, given = y.cpu().numpy(), self.logits[y.cpu()].to(outputs.device)
        outputs = outputs.reshape(len(outputs), -1)
        split = outputs.shape[1] - (0 if self.towards is None else self.towards.shape[1])
        raw, mapped = outputs[:, :split], outputs[:, split:]
        loss = self.labels * self.targets.loss(raw, rows) + (1 - self.labels) * self._answers(raw, given)
        if self.towards is not None:
            towards = torch.from_numpy(self.towards[rows]).to(outputs.device)
            loss = loss + self.features * nn.functional.mse_loss(mapped, towards.float())
        return loss

    def _answers(self, raw: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """How far the student's answers are from the teacher's."""
        if not self.targets.classification:
            return nn.functional.mse_loss(raw, given)
        if self.shape.probabilities:
            raw = torch.cat([1 - raw, raw], dim=1) if raw.shape[1] == 1 else raw
            raw = raw.clamp(min=SMALLEST_PROBABILITY).log()
        elif raw.shape[1] == 1:
            raw = torch.cat([torch.zeros_like(raw), raw], dim=1)
        soft, wanted = ((z / self.temperature).log_softmax(dim=1) for z in (raw, given))
        divergence = nn.functional.kl_div(soft, wanted, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence
