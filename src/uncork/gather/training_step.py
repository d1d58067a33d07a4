"""Where the wall time of the recipe's training step goes, beside other ways of taking it.

What it gathers
---------------
A step as training takes it (rows read, prepared, augmented, forward, backward, optimiser) and one on a batch that is
held ready, in the same rounds; and in those too, with the batch held: the other precision (bfloat16 by autocast where
training is float32), batches of half, twice and four times the size, torch.compile where asked for or on a GPU, and a
square matrix product, which is the machine's peak. Beside it the floating-point operations of the step, the share of
padding where batches have an attention mask, and the time of each part: reading, each module, backward, optimiser.
Where training would run on a GPU, so does this, and the clock waits for it.

How it streams
--------------
A few batches are in memory, the largest of four times the recipe's size; of padded ones, as texts are, 40 of each
size, since one takes longer than another, in 512 MB at most. The net is a fresh one.

What it costs
-------------
About 440 training steps, or as many times 5 ms where steps are shorter; a few seconds beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.models.clock import in_turn, side_by_side, wait_for_device
from uncork.models.tensors import call, place, reference
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.training_step import BATCH_OF, COMPILED, HELD, LOADED, PRECISIONS, TrainingStep, TrainingStepData
from uncork.train.loop import drawn
from uncork.train.losses import Targets
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import Recipe

ROUNDS, APART = 40, 10
TIMES = (0.5, 2.0, 4.0)
PEAK = {"cpu": 1024, "cuda": 8192}  # rows and columns of the square matrices
FORWARD = 3  # a step over its forward pass
AT_LEAST = 0.005  # seconds that a way is timed for in each round: short steps are taken several times
SETTING_UP = 3.0  # seconds
HELD_BYTES = 2**29  # of batches that are held ready


def price(request: TrainingStep, context: Context) -> float:
    recipe = context.subject.recipe
    if not isinstance(recipe, Recipe) or context.subject.train is None:
        return 0.0
    known, n = context.training.get(""), len(context.subject.train)
    step = FORWARD * recipe.batch_size * context.seconds_per_row
    if known is not None:
        step = known.seconds / recipe.steps(n)
    return (ROUNDS * (3 + sum(TIMES)) + 2 * APART) * max(step, AT_LEAST / 2) + SETTING_UP


@gatherer(TrainingStep, price=price)
def gather(request: TrainingStep, context: Context) -> TrainingStepData:
    recipe, train = context.subject.recipe, context.split("train")
    if not isinstance(recipe, Recipe):
        raise Unavailable("a step is timed by taking it: give Subject(recipe=Recipe(...))")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(integer_seed(context.seed, "training-step"))
        taken = _Step(recipe, train, context.subject.preprocess, device, context.seed)
        works, rows, missing = _ways(taken, compiled=request.compiled or device.type == "cuda")
        product, peak_flops = _peak(device, taken.precision)
        often = np.array([_often(work) for work in (*works.values(), product)])
        repeated = [_repeated(work, k) for work, k in zip((*works.values(), product), often, strict=True)]
        seconds = side_by_side(repeated, ROUNDS, seed=context.seed) / often
        flops, by_module, padding = _counted(taken)
        parts, part_seconds = _apart(taken)
    return TrainingStepData(
        ways=tuple(works),
        rows=np.array(rows),
        seconds=seconds[:, :-1],
        missing=missing,
        peak_seconds=seconds[:, -1],
        peak_flops=peak_flops,
        flops=flops,
        padding=np.array(padding),
        parts=parts,
        part_seconds=part_seconds,
        part_flops=np.array([by_module.get(part, 0) for part in parts], dtype=np.int64),
        precision=taken.precision,
        batch_size=len(taken.rows),
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
    )


class _Step:
    """Training steps of one fresh net, each on the next rows of train or on a batch that is given."""

    def __init__(self, recipe: Recipe, train: Split, preprocess: Any, device: torch.device, seed: int) -> None:
        self.recipe, self.train, self.preprocess, self.device = recipe, train, preprocess, device
        self.module: nn.Module = recipe.make().to(device).train()
        self.optimizer, self.targets = make_optimizer(recipe, self.module), Targets(recipe.loss, train)
        self.order, self.at = generator(seed, "training-step").permutation(len(train)), 0
        self.augmenting = torch.Generator().manual_seed(integer_seed(seed, "training-step", "augment"))
        lower = device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.precision = PRECISIONS[lower]
        self.read()

    def read(self, size: int | None = None) -> Any:
        """The next batch, as training reads it; held until the next is read, unless its size is given."""
        n = len(self.order)
        rows = self.order[np.arange(self.at, self.at + min(size or self.recipe.batch_size, n)) % n]
        self.at += len(rows)
        batch = drawn(self.train.take(rows), self.recipe.augment, self.augmenting, self.preprocess)
        batch = place(batch, reference(self.module))
        if size is None:
            self.rows, self.batch = rows, batch
            return batch
        return batch, rows

    def forward(self, batch: Any, rows: np.ndarray, precision: str = "", module: Any = None) -> Any:
        lower = (precision or self.precision) == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=lower):
            outputs = call(self.module if module is None else module, batch).float()
        return self.targets.loss(outputs, rows)

    def backward(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)

    def take(self, batch: Any, rows: np.ndarray, precision: str = "", module: Any = None) -> None:
        self.backward(self.forward(batch, rows, precision, module))
        self.optimizer.step()

    def loaded(self) -> None:
        self.read()
        self.take(self.batch, self.rows)

    def held(self, precision: str = "", module: Any = None) -> None:
        self.take(self.batch, self.rows, precision, module)

    def flops(self) -> tuple[int, dict[str, int]]:
        """(of forward and backward, of the forward pass of each top-level module)."""
        by_module: dict[str, float] = {}
        with FlopCounterMode(display=False) as counter:
            with _around(self.module, counter.get_total_flops, by_module):
                loss = self.forward(self.batch, self.rows)
            self.backward(loss)
        return int(counter.get_total_flops()), {f"forward: {name}": int(value) for name, value in by_module.items()}


def _ways(taken: _Step, *, compiled: bool) -> tuple[dict[str, Callable[[], None]], list[int], dict[str, str]]:
    """(ways that work, rows a step of each takes, why the others don't)."""
    own = len(taken.rows)
    ways: dict[str, tuple[int, Callable[[], None]]] = {LOADED: (own, taken.loaded), HELD: (own, taken.held)}
    other = next(p for p in PRECISIONS if p != taken.precision)
    ways[other] = own, partial(taken.held, other)
    if compiled:
        ways[COMPILED] = own, partial(taken.held, module=torch.compile(taken.module))
    several = 1
    if _padding(taken.batch) is not None:  # texts: one batch takes longer than another
        bytes_of_all = ROUNDS * sum(TIMES) * sum(part.nbytes for part in taken.batch.values())
        several = max(1, int(ROUNDS * min(1.0, HELD_BYTES / bytes_of_all)))
    for size in (round(own * times) for times in TIMES):
        if 0 < size <= len(taken.train) and size != own:
            held = [taken.read(size) for _ in range(several)]
            ways[f"{BATCH_OF}{size}"] = size, in_turn(lambda one: taken.take(*one), held)
    missing = {}
    for name, (_, work) in ways.items():
        try:
            work()
        except Exception as error:  # compilers and kernels fail in ways of their own; the step itself may not
            if name in (LOADED, HELD):
                raise
            missing[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
    kept = {name: work for name, work in ways.items() if name not in missing}
    return {name: work for name, (_, work) in kept.items()}, [size for size, _ in kept.values()], missing


def _often(work: Callable[[], Any]) -> int:
    """How often it is done in `AT_LEAST` seconds."""
    marks = [_now()]
    for _ in range(3):
        work()
        marks.append(_now())
    return max(1, round(AT_LEAST / float(np.diff(marks).min())))


def _repeated(work: Callable[[], Any], times: int) -> Callable[[], None]:
    def works() -> None:
        for _ in range(times):
            work()

    return works


def _peak(device: torch.device, precision: str) -> tuple[Callable[[], Any], int]:
    """A square matrix product, and its operations."""
    n = PEAK[device.type]
    a, b = torch.rand(2, n, n, device=device, dtype=getattr(torch, precision)).unbind()
    return lambda: a @ b, 2 * n**3


def _counted(taken: _Step) -> tuple[int, dict[str, int], list[float]]:
    """(operations of a step, by module, padding of each batch); of padded batches the middle of several."""
    counted, padding = [taken.flops()], []
    for _ in range(APART if _padding(taken.batch) is not None else 0):
        padding.append(_padding(taken.read()) or 0.0)
        counted.append(taken.flops())
    by_module = {name: int(np.median([each.get(name, 0) for _, each in counted])) for name in counted[0][1]}
    return int(np.median([whole for whole, _ in counted])), by_module, padding


def _padding(batch: Any) -> float | None:
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    return None if mask is None else float((mask == 0).float().mean())


def _apart(taken: _Step) -> tuple[tuple[str, ...], np.ndarray]:
    """(parts of a step, seconds (rounds, parts))."""
    found = []
    for _ in range(APART):
        spent: dict[str, float] = {}
        marks = [_now()]
        taken.read()
        marks.append(_now())
        with _around(taken.module, _now, spent):
            loss = taken.forward(taken.batch, taken.rows)
        marks.append(_now())
        taken.backward(loss)
        marks.append(_now())
        taken.optimizer.step()
        marks.append(_now())
        reading, forward, backward, stepping = np.diff(marks)
        rest = max(0.0, forward - sum(spent.values()))
        modules = {f"forward: {name}": value for name, value in spent.items()}
        found.append(
            {"reading rows": reading, **modules, "forward: rest": rest, "backward": backward, "optimiser": stepping}
        )
    parts = tuple(found[0])
    return parts, np.array([[each.get(part, 0.0) for part in parts] for each in found])


def _now() -> float:
    wait_for_device()
    return time.perf_counter()


@contextmanager
def _around(module: nn.Module, gauge: Callable[[], float], spent: dict[str, float]) -> Iterator[None]:
    """What `gauge` grows by in each top-level module's forward pass, added up in `spent`."""
    started: dict[str, float] = {}
    hooks = []
    for name, part in _top(module).items():

        def start(*_: Any, name: str = name) -> None:
            started[name] = gauge()

        def stop(*_: Any, name: str = name) -> None:
            spent[name] = spent.get(name, 0) + gauge() - started[name]

        hooks += [part.register_forward_pre_hook(start), part.register_forward_hook(stop)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _top(module: nn.Module) -> dict[str, nn.Module]:
    """Direct children by name; of a wrapper around a single module that one's."""
    prefix, children = "", dict(module.named_children())
    while len(children) == 1:
        name, inner = next(iter(children.items()))
        below = dict(inner.named_children())
        if not below:
            break
        prefix, children = f"{prefix}{name}.", below
    return {f"{prefix}{name}": child for name, child in children.items()}
