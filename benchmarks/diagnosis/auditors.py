"""Who is scored: uncork, and what it has to beat. Each sees a subject and its seed, and decides without test.

The baselines are set up as well as they can be: what they are tuned by is in one place, the constants below, and was
set on the open half, as uncork's own thresholds were.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.diagnosis.cases import Answer, Auditor
from uncork import Recipe, Report, Split, Subject, audit
from uncork.gather.forward import forward
from uncork.models.adapt import as_model, infer_task
from uncork.planted.faults import FAULTS
from uncork.schema.artifacts import PassData
from uncork.schema.errors import UncorkError
from uncork.schema.finding import Estimate, Finding
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator, integer_seed
from uncork.stats.score import gain, score
from uncork.train.folds import out_of_fold

#: Time that uncork may spend on one case: less than its default, which the larger pictures would use up.
BUDGET = "3m"
#: The right answer to most faulty cases of the open half.
COMMONEST = "wrong-family"
#: Trainings that random search may spend: about a tenth of what an audit with its retrained models takes.
TRIALS = 8
#: Share of train from which on cleanlab's flags are taken for wrong labels.
SHARE = 0.03
#: Train error at or above this share of validation's is underfitting; and what it is then called. These four have
#: the most right answers less false alarms over a grid of thresholds and names.
UNDERFIT, UNDERFIT_NAME = 0.8, "wrong-family"
#: A gap between train and validation of at least so many δ is overfitting; and what it is then called.
GAP, GAP_NAME = 8.0, "scarce-data"

#: What `random` draws from: the finding of every planted fault of the quality column.
MENU = tuple(sorted({fault.finding for fault in FAULTS.values() if fault.column == "quality"}))


def uncork(subject: Subject, seed: int) -> list[Answer]:
    """An audit at the default settings but for its budget, one torch thread, with a folder and a ledger of its own."""
    with tempfile.TemporaryDirectory() as scratch, alone(scratch):
        return answers(audit(subject, out=Path(scratch) / "run", budget=BUDGET, seed=seed))


def answers(report: Report) -> list[Answer]:
    """What a report names: open gates, then quality, trust and cost.

    In quality the principal findings in their order; the other proven ones only behind a principal, by headroom. Then
    investments that surely gain more than δ, by headroom: they are what is left where no defect is proven.
    """
    proven = [f for f in report.findings if f.verdict == "bottleneck"]
    rest = [f for f in proven if f.tier != "gate"]
    named = [f for f in proven if f.tier == "gate"]
    if report.principal:
        others = [f for f in rest if f.column == "quality" and f.tier == "defect" and f.id not in report.principal]
        named += [report.finding(id) for id in report.principal]
        named += sorted(others, key=_by_headroom)
    named += sorted((f for f in rest if f.tier == "investment"), key=_by_headroom)
    named += [f for column in ("trust", "cost") for f in rest if f.column == column]
    return [_answer(f.id, f.headroom if _in_metric(f) else None) for f in named]


def _by_headroom(finding: Finding) -> float:
    return -(finding.headroom.value or 0.0) if finding.headroom else 0.0


def commonest(subject: Subject, seed: int) -> list[Answer]:
    """Always the commonest right answer."""
    return [Answer(COMMONEST)]


def tune_the_learning_rate(subject: Subject, seed: int) -> list[Answer]:
    """What everybody tries first."""
    return [Answer("mistuned-training")]


def anything(subject: Subject, seed: int) -> list[Answer]:
    """One finding of the menu at random."""
    return [Answer(str(generator(seed, "benchmark", "random", _key(subject)).choice(MENU)))]


def random_search(subject: Subject, seed: int) -> list[Answer]:
    """Random search over the recipe: TRIALS trainings, each with one knob turned at random, judged on validation.

    The knob of the best trial is named if it gains more than δ over the model as it is. Its headroom is the best of
    many, on the rows it was chosen by, and its interval knows neither that nor the noise of training: that is the flaw
    of the method, not corrected here. A training that diverges is a trial spent.
    """
    if not isinstance(subject.recipe, Recipe):
        return []
    before = _pass(subject, subject.model, "validation")
    key = ("benchmark", "random-search", _key(subject))
    found: list[tuple[str, Estimate]] = []
    for trial in range(TRIALS):
        finding, recipe, width = _turned(subject.recipe, generator(seed, *key, trial))
        try:
            model = recipe.fit(
                _train(subject),
                seed=integer_seed(seed, *key, trial),
                preprocess=subject.preprocess,
                width=width,
            )
            found.append((finding, gain(subject.metric, before, _pass(subject, model, "validation"))))
        except UncorkError:
            continue
    best = max(found, key=lambda pair: _value(pair[1]), default=None)
    if best is None or _value(best[1]) <= _delta(subject.metric, before):
        return []
    return [_answer(*best)]


def gap_rules(subject: Subject, seed: int) -> list[Answer]:
    """What train and validation error of the checkpoint say: underfit, overfit, or neither."""
    if subject.train is None:
        return []
    train, validation = (_pass(subject, subject.model, name) for name in ("train", "validation"))
    delta = _delta(subject.metric, validation)
    return gap_rule(_value(score(subject.metric, train)), _value(score(subject.metric, validation)), delta)


def gap_rule(train: float, validation: float, delta: float) -> list[Answer]:
    """Underfit where train is about as bad as validation, overfit where it is far better (Ng, Machine Learning
    Yearning, 2018, ch. 20–25). All in the display unit of a metric of which less is better."""
    if validation > delta and train >= UNDERFIT * validation:
        return [Answer(UNDERFIT_NAME)]
    return [Answer(GAP_NAME)] if validation - train >= GAP * delta else []


def cleanlab(subject: Subject, seed: int) -> list[Answer]:
    """Confident learning (Northcutt et al., JAIR 70, 2021) on probabilities of five folds of the subject's recipe.

    Headroom: errors per 1,000 if every flag were right and every wrong label an error.
    """
    if subject.recipe is None or infer_task(subject) != "classification":
        return []
    train = _train(subject)
    out = out_of_fold(
        subject.recipe,
        train,
        k=5,
        seed=integer_seed(seed, "benchmark", "cleanlab"),
        preprocess=subject.preprocess,
        task="classification",
        n_classes=_pass(subject, subject.model, "validation").logits.shape[1],
    )
    share = flagged(_y(train), out)
    return [Answer("wrong-labels", headroom=1000 * share)] if share >= SHARE else []


def flagged(y: np.ndarray, probabilities: np.ndarray) -> float:
    """The share of labels that cleanlab takes for wrong."""
    from cleanlab.filter import find_label_issues

    return float(np.mean(find_label_issues(labels=y, pred_probs=probabilities.astype(np.float64), n_jobs=1)))


def blind(auditor: Auditor, subject: Subject, seed: int) -> Sequence[Answer]:
    """An auditor that is not shown test. uncork itself describes the model on it, and decides nothing by it."""
    return auditor(subject.without_test(), seed)


AUDITORS: dict[str, Auditor] = {
    "uncork": uncork,
    "always-the-commonest": partial(blind, commonest),
    "random": partial(blind, anything),
    "tune-the-learning-rate": partial(blind, tune_the_learning_rate),
    "random-search": partial(blind, random_search),
    "gap-rules": partial(blind, gap_rules),
    "cleanlab": partial(blind, cleanlab),
}


def _turned(recipe: Recipe, rng: np.random.Generator) -> tuple[str, Recipe, float | None]:
    """(the knob's finding, the recipe with it turned, width to build with or None for the present one)."""
    knob = rng.choice(["lr", "epochs", "weight_decay", *(["width"] if recipe.takes("width") else [])])
    if knob == "lr":
        return "mistuned-training", recipe.replace(lr=recipe.lr * 10.0 ** rng.uniform(-2, 2)), None
    if knob == "epochs":
        return "undertraining", recipe.replace(epochs=recipe.epochs * int(rng.choice([2, 4]))), None
    if knob == "weight_decay":
        # No weight decay at all is multiplied as if it were the default.
        decay = (recipe.weight_decay or 0.01) * 10.0 ** rng.uniform(-1, 2)
        return "overfitting", recipe.replace(weight_decay=decay), None
    return "missing-capacity", recipe, present_width(recipe) * float(rng.choice([2, 4]))


def present_width(recipe: Recipe) -> float:
    """The width that `build` uses when it is not told: what a partial fixed, else the default."""
    width: Any = inspect.signature(recipe.build).parameters["width"].default
    return float(width) if isinstance(width, int | float) else 1.0


def _key(subject: Subject) -> str:
    """What sets the subject apart, so that one seed draws differently for each of many cases."""
    rows = hashlib.blake2b(digest_size=8)
    for split in (_train(subject), subject.validation):
        rows.update(_y(split).tobytes())
        rows.update(np.ascontiguousarray(split.take(np.arange(min(100, len(split))))).tobytes())
    return rows.hexdigest() + (json.dumps(subject.recipe.describe()) if isinstance(subject.recipe, Recipe) else "")


def _pass(subject: Subject, model: Any, name: str) -> PassData:
    adapted = as_model(model, infer_task(subject), preprocess=subject.preprocess, features=subject.features)
    return forward(adapted, getattr(subject, name), name=name)


def _train(subject: Subject) -> Split:
    assert isinstance(subject.train, Split)
    return subject.train


def _y(split: Any) -> np.ndarray:
    y = split.y
    assert isinstance(y, np.ndarray)
    return y


def _delta(metric: Metric, validation: PassData) -> float:
    return metric.delta_at(_value(score(metric, validation)))


def _value(estimate: Estimate) -> float:
    return float("-inf") if estimate.value is None else estimate.value


def _answer(finding: str, headroom: Estimate | None) -> Answer:
    return Answer(finding) if headroom is None else Answer(finding, headroom.value, headroom.low, headroom.high)


def _in_metric(finding: Finding) -> bool:
    """Headroom of trust and of cost is in another unit than the metric's."""
    return finding.column == "quality"


@contextmanager
def alone(scratch: str) -> Iterator[None]:
    """One torch thread, and uncork's state in `scratch`; both are set back."""
    threads, state = torch.get_num_threads(), os.environ.get("UNCORK_STATE")
    torch.set_num_threads(1)
    os.environ["UNCORK_STATE"] = scratch
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if state is None:
            del os.environ["UNCORK_STATE"]
        else:
            os.environ["UNCORK_STATE"] = state
