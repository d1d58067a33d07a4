"""How fast other optimisers bring the loss down, in the recipe's wall time and with as many trials.

What it gathers
---------------
One training step of each optimiser is timed side by side with the recipe's own, on this machine and one thread; from
then on each gets as many steps as fit into the wall time of the recipe's training. Each is trained on four fifths of
train with five learning rates, three that are a factor of three apart, around the recipe's for its own kind and around
the usual one for others, then two more beyond the best of them where that is an outer one, or beside it; and scored on
the last fifth. The best rate of the recipe's own optimiser and the best other optimiser (or,
where asked, every one) are then trained on all of train from fresh seeds, for the whole time, half and a quarter of it,
each with a schedule of its own, and scored on validation. Beside it the curvature of the training loss at the audited
weights: the largest eigenvalue of its Hessian by Lanczos, and its trace by Hutchinson's random signs, on a few seeded
batches of train.

How it streams
--------------
Rows are read in batches; validation at most 4,096 rows of it, a seeded sample. Curvature holds one batch's graph.

What it costs
-------------
Five trainings of each optimiser, and 1.75 of each finalist and seed: 38 by default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uncork.data.carve import folds
from uncork.data.split import Split
from uncork.gather._contract import Context, gatherer
from uncork.gather._matrix import sample
from uncork.models.clock import side_by_side
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import TorchModel, evaluating
from uncork.schema.artifacts import PassData
from uncork.schema.descents import SHARES, Descents, DescentsData
from uncork.schema.errors import BadInput, MissingExtra, Unavailable
from uncork.schema.seeds import generator, integer_seed
from uncork.stats.means import mean
from uncork.train.curvature import hessian_product, lanczos, trace_samples
from uncork.train.losses import Targets
from uncork.train.optimizers import make_optimizer
from uncork.train.recipe import Recipe
from uncork.train.tuned import fitted_net

if TYPE_CHECKING:
    from jaxtyping import Float

SEEDS = 5
FACTORS = (1 / 3, 1.0, 3.0)
#: Two more, by which of these is best, so that no optimiser stops at an edge.
MORE = ((1 / 9, 1 / 27), (3**-0.5, 3**0.5), (9.0, 27.0))
USUAL = {"adamw": 1e-3, "adam": 1e-3, "muon": 1e-3, "soap": 3e-3, "sgd": 0.05}
ROUNDS, MOST_ROWS = 15, 4096
BATCHES, BATCH_ROWS, PRODUCTS, SIGNS = 5, 512, 20, 4


def price(request: Descents, context: Context) -> float:
    seconds = context.training[""].seconds if "" in context.training else 0.0
    finalists = 1 + (len(request.others) if request.every else 1)
    trainings = (len(FACTORS) + len(MORE[0])) * (1 + len(request.others)) + SEEDS * finalists * sum(SHARES)
    return trainings * seconds / context.fan.workers


@dataclass(frozen=True)
class _Setting:
    """What every training shares."""

    task: str
    preprocess: Callable[[Any], Any] | None
    seed: int


@gatherer(Descents, price=price)
def gather(request: Descents, context: Context) -> DescentsData:
    subject, recipe, train = context.subject, context.subject.recipe, context.split("train")
    if not isinstance(recipe, Recipe):
        raise Unavailable("optimisers are tried by training: give Subject(recipe=Recipe(...))")
    setting = _Setting(context.facts.task, subject.preprocess, context.seed)
    recipes, missing = _tried(recipe, request.others, train, setting)
    timed = side_by_side([_step(r, train, setting) for r in recipes.values()], ROUNDS, seed=context.seed).T
    own = recipe.steps(len(train))
    pace = np.median(timed[0] / timed, axis=1)  # the recipe's step over this one's, in the same round
    steps = np.maximum(1, np.round(own * pace)).astype(np.int64)

    try:
        held = folds(train, 5, integer_seed(context.seed, "descents"), stratify=setting.task == "classification") == 0
    except BadInput as why:
        raise Unavailable(f"train is too small to choose learning rates inside it: {why}") from None
    seed, known, screening = integer_seed(context.seed, "descents", "screen"), train.subset(~held), train.subset(held)

    def screen(rates: np.ndarray) -> Float[np.ndarray, "m t rows"]:
        jobs = [
            (r.replace(lr=rate), known, screening, seed, int(n), setting)
            for r, own_rates, n in zip(recipes.values(), rates.tolist(), steps, strict=True)
            for rate in own_rates
        ]
        return np.array(context.fan(_losses, jobs)).reshape(*rates.shape, len(screening))

    usual = np.array([[r.lr] for r in recipes.values()])
    first = screen(usual * FACTORS)
    more = usual * np.array(MORE)[first.mean(axis=2).argmin(axis=1)]
    rates, losses = np.hstack([usual * FACTORS, more]), np.concatenate([first, screen(more)], axis=1)
    screened = losses.mean(axis=2)
    chosen = screened.argmin(axis=1)
    groups = None if screening.groups is None else np.unique(screening.groups, return_inverse=True)[1]
    behind = np.array([_behind(own, best, groups) for own, best in zip(losses, chosen, strict=True)])
    if not np.isfinite(screened[0]).any():
        raise Unavailable(
            "the recipe diverges at its own learning rate, and from a 27th to three times of it: lower lr"
        )

    best = screened.min(axis=1)
    others = 1 + np.argsort(best[1:], kind="stable")
    others = others[np.isfinite(best[others])]
    finalists = np.concatenate([[0], others if request.every else others[:1]]).astype(np.int64)
    names = list(recipes)
    validation = context.split("validation")
    judged = validation.subset(sample(validation, MOST_ROWS, context.seed, "descents", "validation"))
    jobs = [
        (
            recipes[names[i]].replace(lr=float(rates[i, chosen[i]])),
            train,
            judged,
            integer_seed(context.seed, "descents", "model", s),
            max(1, round(share * int(steps[i]))),
            setting,
        )
        for i in finalists
        for s in range(SEEDS)
        for share in SHARES
    ]
    means = [loss.mean() for loss in context.fan(_losses, jobs)]
    loss = np.array(means).reshape(len(finalists), SEEDS, len(SHARES))
    return DescentsData(
        names=tuple(names),
        rates=rates,
        screened=screened,
        behind=behind,
        chosen=chosen,
        missing=missing,
        step_seconds=timed,
        steps=steps,
        finalists=finalists,
        loss=loss,
        lr=recipe.lr,
        **_curvature(context, train),
    )


def _tried(
    recipe: Recipe, others: tuple[str, ...], train: Split, setting: _Setting
) -> tuple[dict[str, Recipe], dict[str, str]]:
    """(recipes by the name of their optimiser, the recipe's own first; those that can't be tried, and why)."""
    found, missing = {recipe.optimizer: recipe}, {}
    for name in others:
        if name in found:
            continue
        other = recipe.replace(optimizer=name, lr=USUAL[name])
        try:
            _step(other, train, setting)()
        except (MissingExtra, BadInput) as why:
            missing[name] = str(why)
        else:
            found[name] = other
    return found, missing


def _step(recipe: Recipe, train: Split, setting: _Setting) -> Callable[[], None]:
    """One training step on a batch that is always the same, of a fresh net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        module = recipe.make().train()
    optimizer, targets = make_optimizer(recipe, module), Targets(recipe.loss, train)
    rows = np.arange(min(recipe.batch_size, len(train)))
    batch = place(to_tensors(train.take(rows), setting.preprocess), reference(module))

    def step() -> None:
        with torch.random.fork_rng(devices=[]):  # dropout draws
            loss = targets.loss(call(module, batch).float(), rows)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def _losses(
    recipe: Recipe, train: Split, judged: Split, seed: int, steps: int, setting: _Setting
) -> Float[np.ndarray, " n"]:
    """Loss of each row of `judged` after so many steps, infinite where training diverged."""
    outputs, _ = fitted_net(recipe, train, judged, steps, setting.task, seed, setting.preprocess)
    if outputs is None:
        return np.full(len(judged), np.inf)
    assert judged.y is not None
    make = PassData.of_logits if setting.task == "classification" else PassData.of_values
    loss: Float[np.ndarray, " n"] = make(outputs, judged.y).loss.astype(np.float64)
    return loss


def _behind(losses: np.ndarray, best: int, clusters: np.ndarray | None) -> np.ndarray:
    """(t,) standard errors of what each of (t, rows) losses is behind the best, by row."""
    found = [
        mean(one - losses[best], clusters=clusters, unit="").se if np.isfinite(one).all() else None for one in losses
    ]
    return np.array([0.0 if i == best else np.nan if se is None else se for i, se in enumerate(found)])


def _curvature(context: Context, train: Split) -> dict[str, Any]:
    """Of the training loss at the audited weights."""
    model, recipe = context.model, context.subject.recipe
    nothing = np.zeros(0)
    flat = {"sharpness": nothing, "residual": nothing, "trace": nothing, "batch_rows": 0, "parameters": 0}
    if not isinstance(model, TorchModel):
        return {**flat, "why_flat": "the model is no bare torch module, so that its loss has no gradients here"}
    parameters = [p for p in model.module.parameters() if p.is_floating_point()]
    order = generator(context.seed, "curvature").permutation(len(train))[: BATCHES * BATCH_ROWS]
    random = torch.Generator().manual_seed(integer_seed(context.seed, "curvature", "signs"))
    targets = Targets(recipe.loss, train)
    before = [p.requires_grad for p in parameters]
    found: list[tuple[float, float, float]] = []
    try:
        for p in parameters:
            p.requires_grad_(True)
        with evaluating(model.module), torch.enable_grad():
            for rows in np.array_split(order, max(1, len(order) // BATCH_ROWS)):
                batch = place(to_tensors(train.take(rows), context.subject.preprocess), reference(model.module))
                product = hessian_product(targets.loss(call(model.module, batch).float(), rows), parameters)
                start = torch.randn(sum(p.numel() for p in parameters), generator=random)
                top = lanczos(product, start, PRODUCTS)
                trace = trace_samples(product, start, SIGNS, random).mean()
                found.append((float(top.values[0]), float(top.residuals[0]), float(trace)))
    except RuntimeError as error:
        return {**flat, "why_flat": f"the loss can't be differentiated twice: {str(error).splitlines()[0]}"}
    finally:
        for p, required in zip(parameters, before, strict=True):
            p.requires_grad_(required)
    sharpness, residual, traces = np.array(found).T
    size = sum(p.numel() for p in parameters)
    return {
        "sharpness": sharpness,
        "residual": residual,
        "trace": traces,
        "batch_rows": len(order) // len(found),
        "parameters": size,
    }
