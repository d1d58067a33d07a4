"""Label errors: is the pool's ranking as good as cleanlab's at equal steps, and is its noise rate true?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from cleanlab.count import estimate_joint
from cleanlab.rank import get_label_quality_scores
from scipy.special import softmax
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.diagnosis.sets import SETS
from benchmarks.pool.members import Case, context_of, cut, ground_of, pool_of, trained
from benchmarks.pool.tables import Verdict, numbers, spread, table
from uncork import Split
from uncork.derived.label_errors import LOOKALIKE, RANDOM, flagged, margins, noise
from uncork.planted.data import SETS as PLANTED
from uncork.planted.ground import Ground
from uncork.schema.seeds import generator

HALVES, FOLDS = 8, (5, 8)
WORSE, NEAR = 0.01, 0.04


def cases(quick: bool = False) -> list[Case]:
    digits = cut(SETS["digits"], flat=True, train=1200, validation=300, epochs=30)
    mnist = cut(PLANTED["mnist-5k"], flat=True, train=4000, validation=400, epochs=10)
    agnews = cut(SETS["agnews"], train=4000, validation=500, epochs=4)
    cifar = cut(SETS["cifar-small"], train=3000, validation=300, epochs=8)
    if quick:
        return [Case("labels", digits, 0, kind=kind, rate=0.1) for kind in ("symmetric", "pair")]
    found = [
        Case("labels", data, seed, kind=kind, rate=0.1)
        for data in (digits, mnist, agnews)
        for kind in ("symmetric", "pair")
        for seed in range(3)
    ]
    rates = [("symmetric", rate) for rate in (0.0, 0.2, 0.4)] + [("look-alike", rate) for rate in (0.1, 0.2)]
    found += [Case("labels", digits, seed, kind=kind, rate=rate) for kind, rate in rates for seed in range(3)]
    dear = [(kind, 0.1, seed) for seed in range(2) for kind in ("symmetric", "pair")]
    dear += [("symmetric", 0.0, 0), ("symmetric", 0.2, 0), ("symmetric", 0.4, 0), ("look-alike", 0.2, 0)]
    found += [Case("labels", cifar, seed, "batch-norm", kind, rate, late=True) for kind, rate, seed in dear]
    return found


def measure(case: Case) -> dict[str, Any]:
    ground = ground_of(case)
    y, rng = ground.train[1], generator(case.seed, "benchmark", "labels", case.kind)
    given = flipped(ground, case, rng)
    wrong, context = given != y, context_of(case, ground, given)
    pool = pool_of(context, halves=HALVES)
    found = {model.kind: model for model in noise(pool, rng)}
    flags = flagged(pool)
    record: dict[str, Any] = {
        "rows": len(y),
        "wrong": float(wrong.mean()),
        "steps": int(pool.steps[0]),
        "pool_steps": int(pool.steps.sum()),
        "error": float((out_of_sample(pool) != y).mean()),
        "rates": {kind: [m.rate.value, m.rate.low, m.rate.high] for kind, m in found.items()},
        "flags": [int(flags.sum()), int((flags & wrong).sum())],
    }
    aps = {"pool": -margins(pool)} if wrong.any() else {}
    for folds in FOLDS if wrong.any() else FOLDS[:1]:
        p = folded(context, given, folds)
        record[f"steps_{folds}"] = folds * record["steps"]
        if folds == FOLDS[0]:
            record["confident"] = float(1 - np.trace(estimate_joint(given, p)))
        for method in ("self_confidence", "normalized_margin") if wrong.any() else ():
            aps[f"{method} {folds}"] = -get_label_quality_scores(given, p, method=method)
    record["ap"] = {name: float(average_precision_score(wrong, score)) for name, score in aps.items()}
    return record


def out_of_sample(pool: Any) -> np.ndarray:
    from uncork.derived.out_of_sample import log_probabilities

    best: np.ndarray = log_probabilities(pool).argmax(axis=1)
    return best


def flipped(ground: Ground, case: Case, rng: np.random.Generator) -> np.ndarray:
    """Train's labels with a share of them wrong: any other class, the next one, or what another net takes it for."""
    y, classes = ground.train[1].copy(), ground.data.classes
    chosen = rng.permutation(len(y))[: round(case.rate * len(y))]
    if case.kind == "symmetric":
        y[chosen] = (y[chosen] + rng.integers(1, classes, len(chosen))) % classes
    elif case.kind == "pair":
        y[chosen] = (y[chosen] + 1) % classes
    else:
        y[chosen] = second_choices(ground, case.seed)[chosen]
    return y


def second_choices(ground: Ground, seed: int) -> np.ndarray:
    """For each row of train the class that another net finds likeliest but for the true one.

    The net is twice as wide and was trained on validation and test with their true labels, on no row of train.
    """
    x, y = (np.concatenate([ground.validation[i], ground.test[i]]) for i in (0, 1))
    net = ground.recipe.fit(Split(x, y), seed=1000 + seed, width=2.0)
    with torch.no_grad():
        logits = net(torch.from_numpy(ground.train[0])).numpy()
    logits[np.arange(len(logits)), ground.train[1]] = -np.inf
    second: np.ndarray = logits.argmax(axis=1)
    return second


def folded(context: Any, y: np.ndarray, folds: int) -> np.ndarray:
    """Out-of-fold probabilities, as cleanlab asks for them, each model trained for the recipe's steps."""
    cuts = list(StratifiedKFold(folds, shuffle=True, random_state=context.seed).split(np.zeros(len(y)), y))
    p = np.zeros((len(y), len(context.facts.classes)))
    for (_, out), model in zip(cuts, trained(context, [inside for inside, _ in cuts], family=100 + folds), strict=True):
        p[out] = softmax(model.on_train[out].astype(np.float64), axis=1)
    return p


PEERS = ("self_confidence 5", "self_confidence 8", "normalized_margin 8")


def page(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    """The tables, and what is required of them."""
    ranked = [r for r in records if r["rate"] == 0.1]
    names = list(dict.fromkeys((r["name"], r["net"], r["kind"]) for r in ranked))
    lines, gaps, equal, best, judged = [], [], [], [], []
    for name, net, kind in names:
        own = [r for r in ranked if (r["name"], r["kind"]) == (name, kind)]
        aps = {who: np.array([r["ap"][who] for r in own]) for who in ("pool", *PEERS)}
        if kind != "look-alike":
            gaps.append(float((aps["pool"] - aps[PEERS[0]]).mean()))
            equal.append(float((aps["pool"] - aps[PEERS[1]]).mean()))
            best.append(float((aps["pool"] - aps[PEERS[2]]).mean()))
            judged.append((name, kind))
        first = own[0]
        cost = f"{first['pool_steps']:,}, {first['steps_5']:,}, {first['steps_8']:,}"
        lines.append(
            [name, net, kind, str(len(own)), f"{first['rows']:,}", cost, f"{np.mean([r['error'] for r in own]):.3f}"]
            + [f"{aps[who].mean():.3f}" for who in ("pool", *PEERS)]
            + [spread(aps["pool"] - aps[who]) for who in PEERS[:2]]
        )
    head = ["set", "net", "flips", "seeds", "rows", "steps: pool, 5, 8 folds", "error", "pool", "5 folds", "8 folds"]
    head += ["8, margin", "pool − 5 folds", "pool − 8 folds"]
    verdicts = []
    for what, found in (("5 folds", gaps), ("8 folds, equal steps", equal)):
        if found:
            worst = judged[int(np.argmin(found))]
            verdicts += [
                Verdict(
                    f"AP, pool − cleanlab ({what}), worst set",
                    f"≥ −{WORSE:g}",
                    f"{min(found):+.4f} ({worst[0]}, {worst[1]})",
                    min(found) >= -WORSE,
                ),
                Verdict(f"the same, mean over {len(found)} sets × flips", "≥ 0", spread(found), np.mean(found) >= 0),
            ]
    if best:
        what = "the same against `normalized_margin` (8 folds), which the requirement does not name"
        verdicts.append(Verdict(f"{what}, mean", "", spread(best), None))
    said, more = rates(records)
    return f"{table(head, lines)}\n\n{said}", verdicts + more


def rates(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    shown = [r for r in records if r["kind"] != "pair"]
    names = dict.fromkeys((r["name"], r["kind"], r["rate"]) for r in sorted(shown, key=_order))
    lines = []
    for name, kind, rate in names:
        own = [r for r in shown if (r["name"], r["kind"], r["rate"]) == (name, kind, rate)]
        lines.append(
            [name, kind, f"{own[0]['wrong']:.3f}", str(len(own)), f"{np.mean([r['error'] for r in own]):.3f}"]
            + ["; ".join(numbers(r["rates"][model]) for r in own) for model in (RANDOM, LOOKALIKE)]
            + ["; ".join(f"{r['confident']:.3f}" for r in own)]
        )
    head = ["set", "flips", "truly wrong", "seeds", "error", "if random", "if look-alike", "confident learning"]
    verdicts = []
    for name, kind, model in (
        ("digits", "symmetric", RANDOM),
        ("digits", "look-alike", LOOKALIKE),
        ("cifar-small", "symmetric", RANDOM),
        ("cifar-small", "look-alike", LOOKALIKE),
    ):
        own = [r for r in shown if (r["name"], r["kind"]) == (name, kind)]
        if own:
            off = [r["rates"][model][0] - r["wrong"] for r in own]
            inside = sum(r["rates"][model][1] <= r["wrong"] <= r["rates"][model][2] for r in own)
            worst = max(off, key=abs)
            required = f"within ±{NEAR:g}" if (name, kind) == ("digits", "symmetric") else ""
            measured = f"{worst:+.3f} at worst; {inside} of {len(own)} intervals hold the truth"
            what = f"noise rate on {name}, {kind} flips, read as {model}"
            verdicts.append(Verdict(what, required, measured, abs(worst) <= NEAR if required else None))
    ranges = [
        min(r["rates"][k][1] for k in (RANDOM, LOOKALIKE))
        <= r["wrong"]
        <= max(r["rates"][k][2] for k in (RANDOM, LOOKALIKE))
        for r in shown
    ]
    if ranges:
        measured = f"{sum(ranges)} of {len(ranges)}"
        verdicts.append(Verdict("noise rate within the range of both readings, all sets", "", measured, None))
    return table(head, lines), verdicts


def _order(r: dict[str, Any]) -> tuple[Any, ...]:
    return r["name"] == "cifar-small", r["name"], r["kind"] == "look-alike", r["rate"]
