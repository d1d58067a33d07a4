"""Membership: the pool's attack beside LiRA with 64 shadow models, on the same targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.diagnosis.sets import SETS
from benchmarks.pool.members import Case, context_of, cut, ground_of, pool_of, trained
from benchmarks.pool.tables import Verdict, numbers, table
from uncork.derived.membership import FPR, attack, confidences, success
from uncork.schema.seeds import generator
from uncork.stats.crossed import crossed

HALVES, SHADOWS = 16, 64
LEAST_SPREAD = 1e-3


def cases(quick: bool = False) -> list[Case]:
    digits = cut(SETS["digits"], flat=True, train=1000, validation=600, test=100, epochs=30)
    mnist = cut(SETS["mnist-small"], flat=True, train=2000, validation=2000, epochs=20)
    if quick:
        return [Case("membership", digits, 0)]
    return [Case("membership", data, seed) for data in (digits, mnist) for seed in range(2)]


def measure(case: Case) -> dict[str, Any]:
    context = context_of(case, ground_of(case))
    pool = pool_of(context, halves=HALVES)
    n, rng = len(pool.y), generator(case.seed, "benchmark", "membership")
    targets = confidences(pool.on_train, pool.y)
    twins = np.arange(HALVES) ^ 1  # members of a permutation are neighbours
    scores = attack(targets, pool.trained_on, twins)

    chosen = [rng.permutation(n)[: n // 2] for _ in range(SHADOWS)]
    shadows = confidences(np.array([m.on_train for m in trained(context, chosen, family=300)]), pool.y)
    inside = np.zeros((SHADOWS, n), bool)
    for shadow, rows in zip(inside, chosen, strict=True):
        shadow[rows] = True

    # Rows that no model has seen, said to be members by halves of made-up permutations.
    v = len(pool.validation_y)
    side = np.repeat([np.arange(v) < v // 2 for _ in range(HALVES // 2)], 2, axis=0)
    for first in range(0, HALVES, 2):
        side[first] = rng.permutation(side[first])
        side[first + 1] = ~side[first]
    unseen = attack(confidences(pool.on_validation, pool.validation_y), side, twins)
    return {
        "rows": n,
        "unseen_rows": v,
        "steps": int(pool.steps[0]),
        "pool_steps": int(pool.steps.sum()),
        "lira_steps": SHADOWS * int(pool.steps[0]),
        "pool": told(scores, pool.trained_on),
        "lira": told(lira(targets, shadows, inside), pool.trained_on),
        "lira, shared variance": told(lira(targets, shadows, inside, shared=True), pool.trained_on),
        "loss": told(targets, pool.trained_on),
        "unseen": told(unseen, side),
        "chance": chance(side),
    }


def lira(targets: np.ndarray, shadows: np.ndarray, inside: np.ndarray, *, shared: bool = False) -> np.ndarray:
    """Log-likelihood ratio of in against out, normal, from shadow models that are no targets. (targets, rows).

    Carlini et al. 2022, algorithm 1: means and variances of each row's own; `shared`: one variance for all rows.
    """
    logs = []
    for seen in (inside, ~inside):
        known = np.where(seen, shadows, np.nan)
        centre, sd = np.nanmean(known, axis=0), np.nanstd(known, axis=0, ddof=1)
        if shared:
            sd = np.full_like(sd, np.sqrt(np.nanmean(np.square(sd))))
        logs.append(stats.norm.logpdf(targets, centre, np.maximum(sd, LEAST_SPREAD)))
    ratio: np.ndarray = logs[0] - logs[1]
    return ratio


def told(scores: np.ndarray, members: np.ndarray) -> dict[str, list[float | None]]:
    """AUC and true positive rate at 1 % false positives: value, low, high over targets and rows."""
    found = success(scores, members)
    auc, tpr = crossed(found.auc, unit="", bounds=(0, 1)), crossed(found.tpr, unit="", bounds=(0, 1))
    return {"auc": [auc.value, auc.low, auc.high], "tpr": [tpr.value, tpr.low, tpr.high]}


def chance(members: np.ndarray) -> float:
    """The share of scores that say nothing which lies above the threshold (`success`), mean over targets."""
    outside = (~members).sum(axis=1)
    return float(np.mean(np.maximum(np.round(FPR * (outside + 1)), 1) / (outside + 1)))


ATTACKS = ("pool", "lira", "lira, shared variance", "loss")


def page(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    lines, verdicts = [], []
    for r in records:
        cost = {"pool": r["pool_steps"], "loss": 0}
        for who in ATTACKS:
            named = {"pool": f"the pool, {HALVES} halves", "loss": "confidence alone"}
            name = named.get(who, who.replace("lira", f"LiRA, {SHADOWS} shadows"))
            what = [r["name"], str(r["seed"]), f"{r['rows']:,}", name, f"{cost.get(who, r['lira_steps']):,}"]
            lines.append([*what, numbers(r[who]["tpr"]), numbers(r[who]["auc"])])
        unseen = f"the pool on {r['unseen_rows']:,} rows no model saw"
        lines.append(
            [r["name"], str(r["seed"]), "", unseen, "0", numbers(r["unseen"]["tpr"]), numbers(r["unseen"]["auc"])]
        )
    for name in dict.fromkeys(r["name"] for r in records):
        own = [r for r in records if r["name"] == name]
        tprs = {who: np.mean([r[who]["tpr"][0] for r in own]) for who in ATTACKS}
        steps = own[0]["lira_steps"] / own[0]["pool_steps"]
        measured = (
            f"{tprs['pool']:.3f} against {tprs['lira']:.3f} ({tprs['lira, shared variance']:.3f} with a shared "
            f"variance), for {steps:.0f} times fewer steps"
        )
        verdicts.append(Verdict(f"membership on {name}, TPR at 1 % FPR, pool against LiRA-64", "", measured, None))
    if records:
        hits = [r["unseen"]["tpr"][1] <= r["chance"] and r["unseen"]["auc"][1] <= 0.5 for r in records]
        measured = f"{sum(hits)} of {len(hits)} intervals reach down to chance, in TPR and in AUC"
        verdicts.append(Verdict("membership on rows that no model saw", "chance", measured, all(hits)))
    head = ["set", "seed", "rows", "attack", "steps", "TPR at 1 % FPR", "AUC"]
    return table(head, lines), verdicts
