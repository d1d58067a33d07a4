"""Train a smaller net on what the large one says.

What it does
------------
Trains a student half or a quarter as wide, as `Recipe.build` makes them of its argument `width`, or with the first half
or third of a text encoder's layers, begun from the large net's own with a head fitted on them: on train, by its labels
and by the large net's answers and penultimate features. Of the two sizes the smaller is taken whose loss on a fifth of
train, each trained on the rest, is worse by no more than δ than that of the recipe as it is trained there; the larger
where neither is.

Why it helps
------------
What the large net says of a row tells more than its label: which other classes it is like, and how sure one may be. A
small net that could not have found this by itself takes a fraction of the time with every prediction.

Control
-------
The same student from the same seeds, trained for as many steps on the labels alone: what being taught is worth.

Safety
------
checked: the student decides differently. It is kept where it surely loses less than δ on validation and is surely
faster, and proven on test.

When it fails
-------------
A teacher that knows train by heart says little more than the labels; so does one that has two classes. Where rows are
few, a loss below δ can't be told from one above. A student takes over the teacher's mistakes. Layers half as wide are
not always faster: it is measured. What was held back from the large net for privacy's sake is in its answers.

References
----------
Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, arXiv 1503.02531, 2015. Jiao et al., TinyBERT:
distilling BERT for natural language understanding, Findings of EMNLP 2020. Cho & Hariharan, On the efficacy of
knowledge distillation, ICCV 2019 (when it doesn't help).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from uncork.data.split import Split
from uncork.models.adapt import adapt, as_model
from uncork.models.base import Model, logits_of
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._recipe import needs_settings, parameters, parts, relative_size
from uncork.schema.artifacts import PassData
from uncork.schema.errors import Unavailable
from uncork.schema.metric import Metric
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.stats.score import gain, score
from uncork.train.distil import Taught, distilled, taught
from uncork.train.encoders import Build, TextNet, Tokens, probed, shallower
from uncork.train.loop import fit
from uncork.train.recipe import Recipe

TIMES = (0.25, 0.5)  # of the width, the smallest first
LAYERS = (1 / 3, 1 / 2)  # of an encoder's
SEARCHED = 0.8  # of train, in each training of the search
TUNED = {"epochs": 3, "lr": 3e-4, "batch_size": 32}  # where the recipe leaves the encoder as it is


@dataclass(frozen=True)
class Size:
    """A student: its recipe, what tells it from the large net, and its share of a training by that one's recipe.

    `teacher`: the net whose layers it begins with; None where it begins afresh.
    """

    words: str
    recipe: Recipe
    share: float
    teacher: TextNet | None = None

    def begun(self, train: Split, preprocess: Any, seed: int) -> Any:
        """The student, or what makes it."""
        return (
            self.recipe.make if self.teacher is None else shallower(self.recipe, self.teacher, train, preprocess, seed)
        )


@dataclass(frozen=True)
class Distilled:
    """Makes a model from (subject, seed): the student, by what the teacher said of train; by labels alone without."""

    size: Size
    steps: int
    teacher: Taught | None

    def __call__(self, subject: Subject, seed: int) -> nn.Module:
        return distilled(
            self.size.begun(subject.train, subject.preprocess, seed),
            subject.train,
            self.teacher,
            self.size.recipe,
            seed=seed,
            steps=self.steps,
            preprocess=subject.preprocess,
        )


def price(subject: Subject, seeds: int) -> float:
    """Each seed's student twice; the search trains the recipe and both sizes on most of train."""
    if not isinstance(subject.recipe, Recipe) or subject.train is None:
        return 2.0 * seeds
    shares = [relative_size(subject, times) for times in TIMES] if subject.recipe.default("width") else list(LAYERS)
    return 2.0 * seeds * max(shares) + SEARCHED * (1 + sum(shares))


def untaught(case: Case, treated: Treated) -> Treated:
    """The same student and steps, labels alone."""
    assert isinstance(treated.train, Distilled)
    size = treated.train.size
    train = Distilled(size, treated.train.steps, None)
    return Treated(treated.subject, f"{size.words}, by the labels alone", train, compute=size.share)


@remedy(
    title="Train a smaller net on what the large one says",
    safety="checked",
    yardstick="tolerance",
    control=untaught,
    price=price,
    saves="latency",
    as_is=True,
)
def apply(case: Case) -> Treated:
    recipe = needs_settings(case.subject, "training a student")
    inner = adapt(case.subject, case.task)
    sizes = _sizes(recipe, inner)
    teacher = taught(inner, case.subject.train)
    size = _chosen(case, recipe, sizes, teacher)
    subject = case.subject.replace(recipe=size.recipe)
    train = Distilled(size, size.recipe.steps(len(subject.train)), teacher)
    searched = SEARCHED * (1 + sum(each.share for each in sizes))
    features = "answers" if teacher.features is None else "answers and features"
    return Treated(subject, f"{size.words}, taught by the net's {features}", train, compute=size.share + searched)


def _sizes(recipe: Recipe, model: Model) -> list[Size]:
    """The students there can be, smallest first."""
    if recipe.default("width") is not None:
        own = parameters(recipe)
        made = []
        for times in TIMES:
            other = recipe.scaled(times)
            few = own if other is None else parameters(other)
            if other is not None and few < own:
                made.append(Size(f"a net {1 / times:g} times narrower, {few:,} parameters", other, few / own))
        if made:
            return made
    module = model.module if isinstance(model, TorchModel) else None
    if recipe.takes("depth") and isinstance(module, TextNet):
        return _shallower(recipe, module)
    raise Unavailable(
        "the recipe makes no smaller net: let it be build(width=...) with a number as default, by which layers scale"
    )


def _shallower(recipe: Recipe, net: TextNet) -> list[Size]:
    whole, made = net.encoder.depth, []
    build = recipe.build
    if isinstance(build, Build) and build.frozen:
        recipe = recipe.replace(build=replace(build, frozen=False), **TUNED)
    for share in LAYERS:
        depth = round(whole * share)
        if 1 <= depth < whole:
            other = recipe.replace(build=partial(recipe.build, depth=depth))
            made.append(Size(f"the first {depth} of {whole} layers", other, depth / whole, net))
    if not made:
        raise Unavailable(f"the encoder has {whole} layers: none can go")
    return made


def _chosen(case: Case, recipe: Recipe, sizes: Sequence[Size], teacher: Taught) -> Size:
    """The smallest that is worse than the recipe as it is by δ at most, on a fifth of train."""
    held, subject = parts(case) == 0, case.subject
    judges = subject.train.subset(held)
    seed = integer_seed(case.seed, "held out", "model")
    rest = subject.replace(train=subject.train.subset(~held))
    rows = len(subject.train)
    jobs: list[tuple[Any, ...]] = [(_Whole(recipe, recipe.steps(rows)), rest, judges, case.task, seed)]
    jobs += [(Distilled(s, s.recipe.steps(rows), teacher.subset(~held)), rest, judges, case.task, seed) for s in sizes]
    whole, *found = case.fan(_judged, jobs)
    metric: Metric = subject.metric
    for size, passed in zip(sizes, found, strict=True):
        lost = gain(metric, passed, whole).value
        if lost is not None and lost <= metric.delta_at(score(metric, whole).value or 0.0):
            return size
    return sizes[-1]


@dataclass(frozen=True)
class _Whole:
    """Makes a model from (subject, seed) by the recipe as it is, for so many steps."""

    recipe: Recipe
    steps: int

    def __call__(self, subject: Subject, seed: int) -> nn.Module:
        recipe, train, preprocess = self.recipe, subject.train, subject.preprocess
        if isinstance(recipe.build, Build) and recipe.build.frozen and isinstance(preprocess, Tokens):
            return probed(recipe, train, seed=seed, preprocess=preprocess)  # in one pass of the encoder
        return fit(recipe, train, seed=seed, steps=self.steps, preprocess=preprocess).module


def _judged(make: Callable[[Subject, int], nn.Module], subject: Subject, held: Split, task: str, seed: int) -> PassData:
    """What a model that is trained on the subject's rows says of others."""
    assert held.y is not None
    logits = logits_of(as_model(make(subject, seed), task, preprocess=subject.preprocess), held)
    return PassData.of_logits(logits, held.y) if task == "classification" else PassData.of_values(logits[:, 0], held.y)
