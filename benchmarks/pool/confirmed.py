"""Label errors that people confirmed: are they first in the pool's ranking of MNIST's test labels, as in cleanlab's?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores

from benchmarks.diagnosis.sets import FOLDER, Loaded, pooled
from benchmarks.pool.labels import FOLDS, HALVES, PEERS, folded, out_of_sample
from benchmarks.pool.members import Case, context_of, cut, ground_of, pool_of
from benchmarks.pool.tables import Verdict, numbers, table
from uncork.derived.label_errors import margins
from uncork.planted.data import DataSet
from uncork.stats.means import mean

FIRST = (15, 50)
MAJORITY = 3  # of five votes


def cases(quick: bool = False) -> list[Case]:
    mnist = cut(DataSet("mnist-test", "image", others, 10, train=0, validation=500, epochs=3))
    if quick:
        return [Case("confirmed", replace(mnist, epochs=1), 0, "batch-norm", late=True)]
    return [Case("confirmed", mnist, seed, "batch-norm", late=True) for seed in range(2)]


def others() -> Loaded:
    """Images of MNIST's train, which validate and test a net that is trained on MNIST's test."""
    return pictures("train", 1000)


def judged() -> Loaded:
    """MNIST's 10,000 test images with their given labels, in their official order."""
    return pictures("test", 10_000)


def pictures(split: str, first: int) -> Loaded:
    with np.load(FOLDER / "mnist.npz") as stored:
        x, y = stored[f"x_{split}"][:first], stored[f"y_{split}"][:first]
    return pooled(x[:, None] / 255), y.astype(np.int64)


def suspects() -> tuple[np.ndarray, np.ndarray]:
    """Positions in MNIST's test of the labels that five people each were asked about, and which they did not confirm.

    Raises FileNotFoundError where the votes are not there.
    """
    with np.load(FOLDER / "label_sets.npz") as stored:
        return stored["mnist_err_idx"].astype(np.int64), stored["mnist_votes_given"] < MAJORITY


def measure(case: Case) -> dict[str, Any]:
    asked, refuted = suspects()
    x, y = judged()
    context = context_of(case, ground_of(case).replace(train=(x, y), train_truth=y))
    pool = pool_of(context, halves=HALVES)
    steps = int(pool.steps[0])
    record: dict[str, Any] = {
        "rows": len(y),
        "asked": len(asked),
        "steps": {"pool": int(pool.steps.sum())},
        "error": {"pool": float((out_of_sample(pool) != y).mean())},
    }
    quality = {"pool": margins(pool)}
    for folds in FOLDS:
        p = folded(context, y, folds)
        for method in ("self_confidence", "normalized_margin"):
            who = f"{method} {folds}"
            quality[who] = get_label_quality_scores(y, p, method=method)
            record["steps"][who] = folds * steps
            record["error"][who] = float((p.argmax(axis=1) != y).mean())
    placed = {who: places(values) for who, values in quality.items()}
    record["places"] = {who: found[asked[refuted]].tolist() for who, found in placed.items()}
    record["unasked"] = {who: [k - int((found[asked] <= k).sum()) for k in FIRST] for who, found in placed.items()}
    return record


def places(quality: np.ndarray) -> np.ndarray:
    """Each row's place in the ranking, 1 for the label of the lowest quality."""
    place = np.empty(len(quality), np.int64)
    place[np.argsort(quality, kind="stable")] = np.arange(1, len(quality) + 1)
    return place


NAMES = {
    "pool": f"the pool, {HALVES} halves",
    **{f"self_confidence {folds}": f"cleanlab, {folds} folds" for folds in FOLDS},
    **{f"normalized_margin {folds}": f"cleanlab, {folds} folds, margin" for folds in FOLDS},
}


def page(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    """Precision is hits / k. Its differences have intervals over the confirmed errors, each the mean over seeds."""
    lines = []
    for r in records:
        for who, name in NAMES.items():
            found = np.array(r["places"][who])
            what = [str(r["seed"]), name, f"{r['steps'][who]:,}", f"{r['error'][who]:.3f}"]
            hits = [f"{(found <= k).sum()} ({(found <= k).sum() / k:.2f})" for k in FIRST]
            lines.append([*what, *hits, *map(str, r["unasked"][who])])
    head = ["seed", "ranking", "steps", "error", *(f"hits in {k} (precision)" for k in FIRST)]
    head += [f"never asked about, of {k}" for k in FIRST]
    verdicts = []
    for k in FIRST if records else ():
        # Of each error, the share of seeds that have it among the first k: (errors,).
        hit = {who: np.mean([np.array(r["places"][who]) <= k for r in records], axis=0) for who in NAMES}
        scale = len(hit["pool"]) / k
        for who in PEERS:
            gap = mean(hit["pool"] - hit[who], unit="", bounds=(-1, 1), skewed=True).scaled(scale, "")
            measured = f"{scale * hit['pool'].mean():.2f} against {scale * hit[who].mean():.2f}, "
            measured += f"difference {numbers((gap.value, gap.low, gap.high), '+.2f')}"
            what = f"confirmed errors of MNIST's test labels, precision at {k}, the pool against {NAMES[who]}"
            verdicts.append(Verdict(what, "", measured, None))
    return table(head, lines), verdicts
