"""What do decisions hang on, and which method tells? python -m benchmarks.attribution writes docs/explain.md

A small CNN on MNIST, a small net and a forest on scikit-learn's tables and, where the shared data are, ResNet-20 on
CIFAR-10. Beside them two controls: ranks drawn at random, which must gain nothing, and guided backpropagation, whose
maps must hardly change with the model. About three minutes on one core; `--quick` (12 rows) prints the page instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from uncork import BadInput, Subject
from uncork.derived.faithfulness import kept
from uncork.gather._contract import Context
from uncork.gather._saliency import face_of, parts_of, ranks, replaced
from uncork.gather.attribution import CHECKED, DRAWS, baseline_of, gather, rank_correlation
from uncork.models.torch_model import evaluating
from uncork.probes.opaque_decisions import ASKED, measure
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.artifacts import PassData
from uncork.schema.attribution import METHODS, Attribution, AttributionData
from uncork.schema.finding import Estimate, Measurement
from uncork.schema.seeds import generator, integer_seed
from uncork.stats.means import mean
from uncork.testing.artifacts import facts
from uncork.testing.pools import no_pool

ROWS, QUICK = 96, 12
ROOT = Path(__file__).resolve().parents[1]

PAGE = """# What a decision hangs on

Written by `python -m benchmarks.attribution`. `uncork explain RUN ROW` shows one case on one page: the prediction,
raw and calibrated, the conformal set, the nearest rows of train, what the decision hangs on, what retrained models
decide, the smallest change that turns it (for a declared threat), the nearest mistakes, and a map of validation.

    uncork audit subject.py:subject --preview
    uncork explain runs/subject 17

How far its maps can be trusted is measured by the probe `opaque-decisions` on rows of validation: the parts that a
method ranks first are replaced by the mean of train, 2 to 60 % of them, and the probability of the decided class must
fall further than with random ranks. All intervals are at 95 %.

## Which method tells

{rows} rows each. *Over chance*, *over edges*: by how much more the probability falls, mean over the shares replaced.
*Similarity*: rank correlation of maps with those after the last layer was initialised anew; a method fails where it is
surely above .5. *Unexplained*: decisions per 1,000 for which the best method does no better than the median of nine
random ranks. The verdict asks for {asked:g} over chance.

{methods}

{subjects}

*Left by chance*: mean probability with random parts replaced. Where that alone takes much of it, as patches out of
place do to photographs, a rank has little room to do better, and a mean above chance can go with many decisions that no
rank explains: both figures are needed.

## Controls

{controls}
"""


def boards() -> Iterator[tuple[str, Callable[[], Subject]]]:
    yield "small CNN, MNIST", cnn
    yield "ResNet-20, CIFAR-10", resnet
    yield "small net, breast cancer", lambda: table(forest=False)
    yield "forest, breast cancer", lambda: table(forest=True)


def cnn() -> Subject:
    from uncork.planted.subjects import planted

    return planted()


def resnet() -> Subject:
    sys.path.insert(0, str(ROOT / "examples"))
    from cifar10_resnet20 import subject

    return subject()


def table(*, forest: bool) -> Subject:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    from uncork import Split
    from uncork.planted.nets import MLP

    x, y = load_breast_cancer(return_X_y=True)
    order = generator(0, "attribution", "rows").permutation(len(y))
    x, y = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)[order], y[order]
    model: object = RandomForestClassifier(100, random_state=0).fit(x[:250], y[:250])
    if not forest:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = net = MLP(x.shape[1], 2)
            optimiser = torch.optim.Adam(net.parameters(), 1e-2)
            for _ in range(100):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(net(torch.from_numpy(x[:250])), torch.from_numpy(y[:250])).backward()
                optimiser.step()
    return Subject(model, train=Split(x[:250], y[:250]), test=Split(x[250:], y[250:]))


def found_in(data: AttributionData, classes: int) -> Measurement:
    """The probe's measurement, without retrained models."""
    passed = PassData.of_logits(np.eye(classes)[data.decided], data.decided)
    named = facts(classes=tuple(map(str, range(classes))))
    outcome = measure(attribution=data, validation=passed, pool=no_pool(), facts=named, rng=generator(0))
    assert isinstance(outcome, Measurement)
    return outcome


def blind(context: Context, data: AttributionData) -> Estimate:
    """What a random rank gains over nine others."""
    validation = context.split("validation")
    face = face_of(context.model, validation, data.rows)
    parts, x = parts_of(face.shape), face.rows(validation, data.rows)
    baseline, _ = baseline_of(face, context)
    counts = np.round(data.shares * parts.count).astype(int)
    places = ranks(np.zeros((len(x), parts.count)), generator(1, "attribution", "blind"))
    area = kept(replaced(face, parts, x, baseline, data.decided, places, counts))
    return mean(kept(data.by_chance).mean(axis=0) - area, clusters=data.clusters, unit="probability", bounds=(-1, 1))


def guided(context: Context, data: AttributionData) -> Estimate:
    """How alike the maps of guided backpropagation stay when the last layer is initialised anew."""
    from captum.attr import GuidedBackprop

    warnings.filterwarnings("ignore", "Setting backward hooks")
    validation = context.split("validation")
    face = face_of(context.model, validation, data.rows)
    parts, x = parts_of(face.shape), face.rows(validation, data.rows[:CHECKED])

    def maps(of: object) -> np.ndarray:
        module = of.core.module  # type: ignore[attr-defined]
        with evaluating(module):
            found = GuidedBackprop(module).attribute(
                torch.from_numpy(x).requires_grad_(), target=torch.from_numpy(data.decided[:CHECKED])
            )
        return parts.summed(found.detach().numpy())

    before = maps(face)
    seeds = [integer_seed(0, "attribution", "reinitialised", draw) for draw in range(DRAWS)]
    alike = np.array([rank_correlation(before, maps(face.reinitialised(seed))) for seed in seeds])
    draws = np.repeat(np.arange(DRAWS), alike.shape[1])
    return mean(alike.ravel(), clusters=draws, unit="rank correlation", bounds=(-1, 1))


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def shown(estimate: Estimate | None) -> str:
    return "–" if estimate is None else interval(estimate)


def verdict(found: Measurement) -> str:
    from uncork.run.rank import judge

    return judge(measure, found, delta=5.0, family=1, seconds=0.0).verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rows; prints the page")
    quick = parser.parse_args().quick
    rows = QUICK if quick else ROWS
    torch.set_num_threads(1)
    methods = [line("model", "method", "over chance", "over edges", "similarity"), "|---" * 5 + "|"]
    subjects = [
        line("model", "verdict", "unexplained", "left by chance", "completeness error", "seconds"),
        "|---" * 6 + "|",
    ]
    controls = [line("control", "model", "figure", "what it should be"), "|---" * 4 + "|"]
    for name, make in boards():
        try:
            subject = make()
        except BadInput as why:
            print(f"{name}: left out, {why}")
            continue
        context = admit(subject, describe_only=False, seed=0, fan=Executor()).context
        start = time.perf_counter()
        data = gather.gather(Attribution(rows=rows), context)
        seconds = time.perf_counter() - start
        found = found_in(data, len(context.facts.classes))
        for method in data.methods:
            each = [found.estimates.get(f"{method}_{of}") for of in ("over_chance", "over_edges", "similarity")]
            methods.append(line(name, METHODS[method], *map(shown, each)))
        error = found.estimates.get("completeness_error")
        left = f"{kept(data.by_chance).mean():.2f}"
        subjects.append(line(name, verdict(found), shown(found.headroom), left, shown(error), f"{seconds:.1f}"))
        controls.append(line("a random rank, over chance", name, shown(blind(context, data)), "0"))
        if name.startswith("small CNN"):
            controls.append(line("guided backpropagation, similarity", name, shown(guided(context, data)), "above .5"))
    tables = {"methods": methods, "subjects": subjects, "controls": controls}
    page = PAGE.format(rows=rows, asked=ASKED, **{key: "\n".join(lines) for key, lines in tables.items()})
    if not quick:
        (ROOT / "docs" / "explain.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
