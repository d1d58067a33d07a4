"""What answering costs, by the engine that runs the model.

What it gathers
---------------
The model as it is; a torch module also compiled by torch.compile and exported as an ONNX file that onnxruntime runs.
One row at a time, another one each run, and batches of 1 to 256 rows, the engines taking turns in a seeded order, so
that what else the machine does hits all alike; on one thread, and on all there are, which take turns too for single
rows, ten times each. Whether an engine decides as the model does is looked up on up to 2,000 rows of validation. The
peak of memory is of a process of its own for each engine that loads the model and runs the largest batch, less what the
libraries take before.

How it streams
--------------
It reads up to 2,000 rows of validation in batches of 256, and holds one such batch.

What it costs
-------------
400 runs of one row by each engine and number of threads, and as long again for batches, some seconds for each process
that measures memory, and the most of a minute where torch.compile can compile.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.gather._peak import peak_bytes
from uncork.models.as_onnx import as_onnx, in_its_place
from uncork.models.base import BATCH, Model
from uncork.models.clock import in_turn, on_threads, side_by_side
from uncork.models.onnx_model import OnnxModel
from uncork.models.program import Program
from uncork.models.torch_model import TorchModel
from uncork.schema.deployment import BATCHES, Deployment, DeploymentData
from uncork.schema.errors import Unavailable, UncorkError
from uncork.schema.seeds import generator, integer_seed

if TYPE_CHECKING:
    from jaxtyping import Float

#: Seconds that all runs of one row may take, and all batches; most and fewest rounds of batches; fewest runs of a row,
#: of which three quarters are compared, two or more in each of ten stretches of time.
SECONDS, ROUNDS, FEWEST_ROUNDS, FEWEST = 40.0, 40, 6, 28
TURNS = 10  # of each number of threads
COMPILING, LOADING = 60.0, 5.0  # usual seconds of compiling, and of a process that measures memory
CHECKED, EXAMPLE = 2000, 8

Maker = Callable[[], Model]


def price(request: Deployment, context: Context) -> float:
    row = 4 * context.seconds_per_row  # alone, and not in a batch
    engines = 2 + request.compiled
    runs = min(SECONDS, engines * request.runs * row) + min(SECONDS, engines * ROUNDS * sum(BATCHES) * row / 4)
    return 2 * runs + COMPILING * request.compiled + engines * LOADING * request.memory


@gatherer(Deployment, price=price)
def gather(request: Deployment, context: Context) -> DeploymentData:
    split = context.split("validation")
    if not context.model.has_inputs:
        raise Unavailable("only predictions were given: there is no model to run")
    checked = sample(split, CHECKED, context.seed, "deployment", "checked")
    batches = [split.take(checked[i : i + BATCH]) for i in range(0, len(checked), BATCH)]
    makers, missing = _engines(request, context)
    answers = {name: np.concatenate([make().outputs(b).logits for b in batches]) for name, make in makers.items()}
    order = generator(context.seed, "deployment", "rows").permutation(len(split))[: request.runs]
    rows = [split.take(order[i : i + 1]) for i in range(len(order))]
    sizes = np.array([size for size in BATCHES if size <= len(split)], np.int64)
    several = [split.take(np.arange(size)) for size in sizes]
    threads = _threads()
    models, swept = {}, []
    for n in threads:
        with on_threads(n):
            models[n] = [make() for make in makers.values()]
            swept.append(_batches(list(makers), models[n], several, len(threads), context.seed))
    rounds = min(s.shape[2] for s in swept)
    first, regression = answers[next(iter(makers))], context.facts.task == "regression"
    memory, no_memory = _memory(request, makers, several[-1])
    return DeploymentData(
        engines=tuple(makers),
        missing=missing,
        threads=threads,
        single=_singles(models, rows, request.runs, context.seed),
        sizes=sizes,
        batch=np.stack([s[:, :, :rounds] for s in swept], axis=1),
        rows=len(checked),
        flips=np.array([_otherwise(first, a, regression) for a in answers.values()], np.int64),
        gap=np.array([float(np.abs(a - first).max()) for a in answers.values()]),
        bytes=np.array([make().describe().get("bytes") or 0 for make in makers.values()], np.int64),
        memory=memory,
        no_memory=no_memory,
        device=str(context.model.describe().get("device", "cpu")),
    )


def _engines(request: Deployment, context: Context) -> tuple[dict[str, Maker], dict[str, str]]:
    """(how to make each engine, for the number of threads that is set when it is made; those that there are not)."""
    model, split = context.model, context.split("validation")
    kind = str(model.describe()["kind"])
    if isinstance(model, OnnxModel):
        return {"onnxruntime": lambda: in_its_place(model.file.content, model)}, {}
    made: dict[str, Maker] = {kind: lambda: model}
    missing: dict[str, str] = {}
    if not isinstance(model, TorchModel):
        missing["onnxruntime"] = "it is for torch modules with nothing around them: export what was treated"
        return made, missing
    if isinstance(model.module, Program):
        missing["torch.compile"] = f"the module is a {model.module.kind} already"
    elif not request.compiled:
        missing["torch.compile"] = "it was not asked for"
    elif context.deadline is not None and context.deadline - time.monotonic() < 3 * COMPILING:
        missing["torch.compile"] = "compiling takes a minute or more, and less is left of the budget"
    else:
        try:
            compiled = _compiled(model, split.take(np.arange(1)))
            made["torch.compile"] = lambda: compiled
        except Exception as error:  # of inductor, dynamo and the compiler, which share no base
            missing["torch.compile"] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    try:
        exported = as_onnx(model, split.take(np.arange(min(EXAMPLE, len(split)))))
        made["onnxruntime"] = lambda: in_its_place(exported.file.content, exported)
    except UncorkError as error:
        missing["onnxruntime"] = str(error)
    return made, missing


def _compiled(model: TorchModel, row: Any) -> TorchModel:
    """Tried on one row."""
    module: Any = torch.compile(copy.deepcopy(model.module))
    made = TorchModel(module, task=model.task, preprocess=model.preprocess)
    made._probabilities = model._probabilities
    made.outputs(row)
    return made


def _otherwise(first: Float[np.ndarray, "n k"], other: Float[np.ndarray, "n k"], regression: bool) -> int:
    """Rows that are decided otherwise; of a regression, whose value moves by a hundredth of what values vary by."""
    if regression:
        return int((np.abs(other - first) > 0.01 * first.std()).sum())
    return int((other.argmax(axis=1) != first.argmax(axis=1)).sum())


def _threads() -> tuple[int, ...]:
    """1, and all that this process may use where there are more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (1, cores) if cores > 1 else (1,)


def _singles(models: Mapping[int, list[Model]], rows: list[Any], most: int, seed: int) -> Float[np.ndarray, "e t runs"]:
    """Seconds of one row, another one each run, of the models made for each number of threads.

    An engine on one thread may be compared with one on all: numbers of threads that were run one after the other would
    differ by what the machine did meanwhile, and no interval would know.
    """
    works = {n: [in_turn(model.outputs, rows) for model in own] for n, own in models.items()}
    once = 0.0
    for n, own in works.items():
        with on_threads(n):
            once += float(side_by_side(own, 3).min(axis=0).sum())
    runs = int(np.clip(SECONDS / once, FEWEST, most))
    turns = []
    for turn, part in enumerate(np.array_split(np.arange(runs), TURNS)):
        seconds = []
        for n, own in works.items():
            with on_threads(n):
                seconds.append(side_by_side(own, len(part), warm_up=1, seed=integer_seed(seed, "turn", turn)))
        turns.append(np.stack(seconds, axis=-1))
    return np.concatenate(turns).transpose(1, 2, 0)


def _batches(
    names: list[str], models: list[Model], several: list[Any], shares: int, seed: int
) -> Float[np.ndarray, "e s rounds"]:
    """Seconds of each batch; what was compiled for one row is left out, since each size would be compiled anew."""
    run = [i for i, name in enumerate(names) if name != "torch.compile"]
    works = [in_turn(models[i].outputs, [batch]) for i in run for batch in several]
    once = side_by_side(works, 1, warm_up=1).sum()
    rounds = int(np.clip(SECONDS / shares / once, FEWEST_ROUNDS, ROUNDS))
    seconds = np.full((len(models), len(several), rounds), np.nan)
    seconds[run] = side_by_side(works, rounds, warm_up=0, seed=seed).T.reshape(len(run), len(several), rounds)
    return seconds


def _memory(request: Deployment, makers: dict[str, Maker], batch: Any) -> tuple[Float[np.ndarray, " e"], str]:
    """(peak bytes of each engine, why there are none of some)."""
    found, why = np.full(len(makers), np.nan), "" if request.memory else "it was not asked for"
    for i, (name, make) in enumerate(makers.items()):
        if request.memory and name != "torch.compile":
            try:
                found[i] = peak_bytes(make(), batch)
            except Unavailable as error:
                why = str(error)
    return found, why
