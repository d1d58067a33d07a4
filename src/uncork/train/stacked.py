"""Training many members of one recipe at once, their weights stacked along a first dimension.

A small net leaves a processor idle between its many short operations. Stacked members share each operation, so that
what it costs to start is paid once. Members don't touch each other: every operation works on each one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from uncork.data.split import Split
from uncork.models.tensors import REFUSALS, call, place, reference, to_tensors
from uncork.schema.errors import BadInput, UncorkError
from uncork.schema.seeds import integer_seed
from uncork.train.loop import _finite, epoch_batches, lr_factor
from uncork.train.losses import Targets
from uncork.train.optimizers import PRECONDITIONED, make_optimizer
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from jaxtyping import Float, Int

PRELOADED_BYTES = 2**30
PLANNED_STEPS = 64  # ahead of training; divergence is seen after so many
PLANNED_POSITIONS = 2**20  # in the batches of these steps: 8 MB an array
TRIAL_ROWS = 8
LOADED_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Job:
    """One member: trained on `rows` (positions in train, which may repeat) for `steps` steps under `seed`.

    The recipes of the jobs of one stack may differ in lr and weight_decay only.
    """

    rows: Int[np.ndarray, " n"]
    seed: int
    steps: int
    recipe: Recipe


def stackable(recipe: Recipe, train: Split, preprocess: Callable[[Any], Any] | None = None) -> str:
    """Why members of this recipe can't be stacked; "" where they can.

    They can where the rows arrive as one tensor and each row's output depends on that row, the weights and dropout
    modules alone. Net, loss and `preprocess` are tried on 8 rows: what they do differently on other rows goes unseen.
    Raises BadInput where the loss doesn't suit outputs and labels, as `fit` does.
    """
    if recipe.augment is not None:
        return "recipe.augment draws random numbers for each member"
    if recipe.optimizer in PRECONDITIONED:
        return f"recipe.optimizer {recipe.optimizer!r} looks at each net's matrices as a whole"
    rows = np.arange(min(TRIAL_ROWS, len(train)))
    some = max(1, len(rows) // 2)
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        try:
            batch, part = (to_tensors(train.take(rows[:k]), preprocess) for k in (len(rows), some))
        except (BadInput, *REFUSALS) as error:
            return str(error)
        if not isinstance(batch, torch.Tensor) or not isinstance(part, torch.Tensor):
            return "the rows are mappings of tensors"
        if not torch.equal(torch.get_rng_state(), state):
            return "preprocess draws random numbers"
        if not _close(part, batch[:some]):
            return "what preprocess makes of a row depends on the other rows of the batch"
        modules = [_make(recipe, seed).train() for seed in (0, 1)]
        for dropout in (part for module in modules for part in module.modules() if isinstance(part, _DropoutNd)):
            dropout.eval()  # under vmap each member draws its own
        batch = place(batch, reference(modules[0]))
        reason = _refusal(modules, batch, some)
        if not reason and recipe.loss is not None:
            outputs = call(modules[0], batch)
            state = torch.get_rng_state()
            Targets(recipe.loss, train.subset(rows)).loss(outputs, rows)
            if not torch.equal(torch.get_rng_state(), state):
                return "recipe.loss draws random numbers"
        return reason


def _refusal(modules: list[nn.Module], batch: torch.Tensor, some: int) -> str:
    """Why two nets of one recipe can't be stacked: in words, from what they do with a batch."""
    buffers = {name: value.clone() for name, value in modules[0].named_buffers()}
    state = torch.get_rng_state()
    try:
        alone = [call(module, batch).detach() for module in modules]
        part = call(modules[0], batch[:some]).detach()
    except (BadInput, *REFUSALS) as error:
        return f"the net refuses the rows ({_first_line(error)})"
    if not torch.equal(torch.get_rng_state(), state):
        return "the net draws random numbers as it trains, outside of dropout modules"
    if not all(_close(value, buffers[name]) for name, value in modules[0].named_buffers()):
        return "the net changes its buffers as it trains, as BatchNorm does"
    if not _close(part, alone[0][:some]):
        return "a row's output depends on the other rows of the batch"
    try:
        together = _forward(modules[0])(*stack_module_state(modules), torch.stack([batch, batch]))
    except (BadInput, *REFUSALS) as error:  # an operator without a batching rule, among others
        return f"torch.func.vmap can't run the net ({_first_line(error)})"
    return "" if _close(together.detach(), torch.stack(alone)) else "torch.func.vmap gives the net other outputs"


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-5, equal_nan=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def fit_stacked(
    jobs: Sequence[Job],
    train: Split,
    *,
    preprocess: Callable[[Any], Any] | None = None,
    device: str | torch.device | None = None,
) -> list[nn.Module | UncorkError]:
    """The module of each job, in eval mode; of a job whose loss is no longer finite, the error that `fit` raises.

    Each is `fit(job.recipe, train.subset(job.rows), seed=job.seed, steps=job.steps)` up to the rounding of floats:
    the same initial weights, batches, loss, optimiser and schedule. What dropout draws are other numbers, which depend
    on the seeds of all jobs: the same jobs give the same models. The rows are held as one tensor where that takes
    1 GB or less. Raises BadInput where the recipe isn't `stackable`, or data and module don't fit.
    """
    recipe = jobs[0].recipe
    if any(job.recipe.replace(lr=recipe.lr, weight_decay=recipe.weight_decay) != recipe for job in jobs):
        raise ValueError("the recipes of one stack may differ in lr and weight_decay only")
    reason = stackable(recipe, train, preprocess)
    if reason:
        raise BadInput(f"members of this recipe can't be trained as a stack: {reason}")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    order = sorted(range(len(jobs)), key=lambda i: _order(jobs[i]))
    members = [_Member(jobs[i], train, device) for i in order]
    stack = _Stack(members)
    weights = {name: value.detach() for name, value in stack.parameters.items()}
    load = _loader(train, preprocess, reference(members[0].module))
    step = 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(integer_seed(0, "stack", *(job.seed for job in jobs)))
        if recipe.loss is None:
            _check_labels(members, stack.outputs(load(np.stack([member.rows[:1] for member in members]))).detach())
        for end in sorted({job.steps for job in jobs}):
            training = [member for member in members if member.job.steps >= end]
            stack.keep(len(training))
            while step < end and any(member.error is None for member in training):
                batches = _plan(training, end - step)
                losses = [stack.step(step + i, batch, load(batch.at)) for i, batch in enumerate(batches)]
                for member, column in zip(training, torch.stack(losses, dim=1).tolist(), strict=True):
                    member.see(column, step)
                step += len(batches)
    for k, member in enumerate(members):
        with torch.no_grad():
            for name, parameter in member.module.named_parameters():
                parameter.copy_(weights[name][k])
    results = {i: member.error or member.module.eval() for i, member in zip(order, members, strict=True)}
    return [results[i] for i in range(len(jobs))]


def _check_labels(members: Sequence[_Member], outputs: torch.Tensor) -> None:
    """Raises BadInput where labels and outputs (K, 1, …) don't fit, as `fit` does on meeting such a row."""
    for member, out in zip(members, outputs, strict=True):
        n = len(member.rows)
        member.labels.loss(out.expand(n, *out.shape[1:]), np.arange(n))


class _Member:
    """A job on its way: its fresh module, its labels, and its batches in turn."""

    def __init__(self, job: Job, train: Split, device: torch.device) -> None:
        self.job, self.recipe = job, job.recipe
        self.rows = np.asarray(job.rows, dtype=np.int64)
        self.labels = _Labels(job.recipe.loss, train.subset(self.rows))
        self.module = _make(job.recipe, integer_seed(job.seed, "train"), device).train()
        self.batches = self._batches()
        self.error: UncorkError | None = None

    def _batches(self) -> Iterator[np.ndarray]:
        for epoch in count():
            yield from epoch_batches(len(self.rows), self.recipe.batch_size, self.job.seed, epoch)

    def see(self, losses: list[float], before: int) -> None:
        """Takes note of the first loss that isn't finite; `before`: the steps taken before the first of these."""
        if self.error is None:
            try:
                for number, loss in enumerate(losses):
                    _finite(loss, self.recipe, before + number + 1)
            except UncorkError as error:
                self.error = error


class _Labels(Targets):
    """Targets that can be read."""

    @property
    def y(self) -> torch.Tensor:
        return self._y


def _make(recipe: Recipe, seed: int, device: torch.device | None = None) -> nn.Module:
    """A fresh module under this seed; the global random state of torch is left as it was."""
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        return recipe.make().to(device)


@dataclass(frozen=True, eq=False)
class _Batch:
    """One step's rows of every member, padded to one width with copies of the first, which count for nothing."""

    at: Int[np.ndarray, "k b"]  # positions in train
    own: Int[np.ndarray, "k b"]  # positions in each member's rows
    y: torch.Tensor  # (k, b)
    sizes: Int[np.ndarray, " k"]  # how many are real


def _plan(members: Sequence[_Member], most: int) -> list[_Batch]:
    """The next batches of these members, at most so many."""
    widest = max(min(member.recipe.batch_size, len(member.rows)) for member in members)
    steps = max(1, min(most, PLANNED_STEPS, PLANNED_POSITIONS // (len(members) * widest)))
    own = np.empty((len(members), steps, widest), dtype=np.int64)
    sizes = np.empty((len(members), steps), dtype=np.int64)
    for k, member in enumerate(members):
        for s in range(steps):
            rows = next(member.batches)
            own[k, s, : len(rows)], own[k, s, len(rows) :], sizes[k, s] = rows, rows[0], len(rows)
    at = np.stack([member.rows[rows] for member, rows in zip(members, own, strict=True)])
    y = torch.stack([member.labels.y[rows] for member, rows in zip(members, torch.from_numpy(own), strict=True)])
    widths = sizes.max(axis=0)
    return [_Batch(at[:, s, :b], own[:, s, :b], y[:, s, :b], sizes[:, s]) for s, b in enumerate(widths)]


class _Stack:
    """The weights of all members, one tensor (K, …) for each parameter, and what updates them."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = members
        self.device = reference(members[0].module).device
        self.bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.forward = _forward(members[0].module)
        self.parameters, self.buffers = stack_module_state([member.module for member in members])
        self.updates = [_Update(alike, self.parameters) for alike in _runs(members)]

    def keep(self, k: int) -> None:
        """From now on the first k are trained. They stay where they are in memory, and so do the others."""
        self.members = self.members[:k]
        self.updates = [update for update in self.updates if update.part.stop <= k]
        self.parameters = {
            name: value.detach()[:k].requires_grad_(value.requires_grad) for name, value in self.parameters.items()
        }
        self.buffers = {name: value[:k] for name, value in self.buffers.items()}

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.forward(self.parameters, self.buffers, x).float()

    def step(self, step: int, batch: _Batch, x: torch.Tensor) -> Float[torch.Tensor, " k"]:
        """Takes one step with every member; returns each one's mean loss before it."""
        losses = self._losses(self.outputs(x), batch)
        trained = {name: value for name, value in self.parameters.items() if value.requires_grad}
        gradients = torch.autograd.grad(losses.sum(), list(trained.values()), allow_unused=True)
        for update in self.updates:
            update(dict(zip(trained, gradients, strict=True)), step)
        return losses.detach()

    def _losses(self, outputs: torch.Tensor, batch: _Batch) -> Float[torch.Tensor, " k"]:
        sizes, width = batch.sizes, batch.y.shape[1]
        if self.members[0].recipe.loss is not None:  # it may look at all rows at once: one member at a time
            parts = zip(self.members, outputs, batch.own, sizes, strict=True)
            return torch.stack([member.labels.loss(out[:size], rows[:size]) for member, out, rows, size in parts])
        losses = _row_losses(outputs, batch.y.to(self.device))
        if sizes.min() == width:
            return losses.mean(dim=1)
        weight = (np.arange(width) < sizes[:, None]) / sizes[:, None]
        return (losses * torch.from_numpy(weight.astype(np.float32)).to(self.device)).sum(dim=1)


class _Update:
    """The optimiser of neighbours in the stack that share their steps, lr and weight decay."""

    def __init__(self, members: Sequence[tuple[int, _Member]], parameters: dict[str, torch.Tensor]) -> None:
        self.part = slice(members[0][0], members[-1][0] + 1)
        self.recipe, self.total = members[0][1].recipe, members[0][1].job.steps
        module = members[0][1].module
        # As for one of them alone, so that all settings are the same; then its parameters make way for the stack's.
        alone = make_optimizer(self.recipe, module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        self.views = {name: parameters[name].detach()[self.part] for name in names.values()}
        groups = [
            {**group, "params": [self.views[names[id(p)]] for p in group["params"]], "fused": True}
            for group in alone.param_groups
        ]
        make: Callable[[Any], torch.optim.Optimizer] = type(alone)
        self.optimizer = make(groups)

    def __call__(self, gradients: dict[str, torch.Tensor | None], step: int) -> None:
        for name, gradient in gradients.items():  # the fused optimisers read memory in order, whatever the strides
            self.views[name].grad = None if gradient is None else gradient[self.part].contiguous()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.recipe.schedule, step, self.total)
        self.optimizer.step()


def _runs(members: Sequence[_Member]) -> Iterator[list[tuple[int, _Member]]]:
    """Neighbours that share their steps, lr and weight decay, each with its place in the stack."""
    for _, run in groupby(enumerate(members), key=lambda place: _order(place[1].job)):
        yield list(run)


def _order(job: Job) -> tuple[float, ...]:
    """Those that train longest come first: whoever is still being trained is then always the head of the stack."""
    return -job.steps, job.recipe.lr, job.recipe.weight_decay


def _forward(module: nn.Module) -> Callable[..., torch.Tensor]:
    """(parameters, buffers, x), all stacked → outputs (K, b, …)."""

    def one(parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        out = functional_call(module, (parameters, buffers), (x,))
        outputs: torch.Tensor = getattr(out, "logits", out)
        return outputs

    return vmap(one, randomness="different")


def _row_losses(outputs: torch.Tensor, y: torch.Tensor) -> Float[torch.Tensor, "k b"]:
    """What `Targets` does by default, for many members at once."""
    if outputs.ndim == 3 and outputs.shape[2] == 1:
        outputs = outputs[:, :, 0]
    if y.is_floating_point():
        return functional.mse_loss(outputs, y, reduction="none")
    if outputs.ndim == 2:
        return functional.binary_cross_entropy_with_logits(outputs, y.float(), reduction="none")
    # Classes in the middle: log_softmax isn't vectorised over a short last dimension (4 times slower for 10 classes).
    return functional.cross_entropy(outputs.transpose(1, 2), y, reduction="none")


def _loader(
    train: Split, preprocess: Callable[[Any], Any] | None, like: torch.Tensor
) -> Callable[[np.ndarray], torch.Tensor]:
    """Positions (k, b) → what the net takes (k, b, …), from memory where all of train fits, else read anew."""

    def read(rows: np.ndarray) -> torch.Tensor:
        tensor: torch.Tensor = to_tensors(train.take(rows), preprocess)
        return tensor

    def placed(x: torch.Tensor, at: np.ndarray) -> torch.Tensor:
        tensor: torch.Tensor = place(x.view(*at.shape, *x.shape[1:]), like)
        return tensor

    first = read(np.arange(1))
    if first.nbytes * len(train) > PRELOADED_BYTES:
        return lambda at: placed(read(at.reshape(-1)), at)
    # As they come, such as features of 16 bits: only a batch takes the dtype of the weights.
    every = first.new_empty((len(train), *first.shape[1:]), device=like.device)
    for start in range(0, len(train), LOADED_ROWS):
        every[start : start + LOADED_ROWS] = read(np.arange(start, min(start + LOADED_ROWS, len(train))))
    return lambda at: placed(every.index_select(0, torch.from_numpy(at.reshape(-1)).to(like.device)), at)
