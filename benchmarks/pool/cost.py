"""Cost: one pool against the peers that answer the same questions one by one, in optimiser steps and seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.diagnosis.sets import SETS
from benchmarks.pool.members import Case, context_of, cut, ground_of, pool_of
from benchmarks.pool.tables import Verdict, table
from uncork.gather._contract import Context
from uncork.run.audit import choose
from uncork.schema.pool import Pool, PoolData
from uncork.train.loop import fit

WIDTHS = {"": 1.0, "width-x4": 4.0, "width-over-4": 0.25}
#: What answers the peers' questions and no more: labels, membership, learning curve, seeds, width.
SAME = {"halves": 16, "quarters": 4, "eighths": 8, "full": 3, "questions": ("capacity", "excess")}
FOLDS, SHADOWS, SEEDS = 5, 64, 5
SHARES = np.linspace(0.1, 1.0, 5)  # scikit-learn's default train_sizes, of the rows outside a fold
TIMED, RATIO = 200, 4.0


def cases(quick: bool = False) -> list[Case]:
    digits = cut(SETS["digits"], flat=True, train=1200, validation=300, epochs=30)
    mnist = cut(SETS["mnist-small"], flat=True, train=1600, validation=800, epochs=20)
    return [Case("cost", data, 0) for data in ((digits,) if quick else (digits, mnist))]


def measure(case: Case) -> dict[str, Any]:
    ground = ground_of(case)
    record: dict[str, Any] = {"rows": len(ground.train[1]), "steps": ground.recipe.steps(len(ground.train[1]))}
    context = context_of(case, ground)
    per_step = {arm: seconds_of_step(context, width) for arm, width in WIDTHS.items()}
    record["peers"] = peers(context, per_step)
    pools = {"same questions": SAME, "the whole audit": audited()}
    for name, counts in pools.items():
        for engine in ("stacked", "processes") if counts is SAME else ("stacked",):
            started = time.process_time()
            pool = pool_of(context_of(case, ground, stacked=engine == "stacked"), **counts)
            seconds = time.process_time() - started
            record[f"{name}, {engine}"] = {"models": len(pool), "steps": int(pool.steps.sum()), "seconds": seconds}
            record[f"{name}, models"] = told(pool)
    return record


def audited() -> dict[str, Any]:
    """What an audit with all probes that are no previews asks for."""
    asked = [request for probe in choose(None) for request in probe.requires.values() if isinstance(request, Pool)]
    whole = functools.reduce(Pool.merged, asked)
    counts = {name: getattr(whole, name) for name in ("halves", "quarters", "eighths", "full")}
    return {**counts, "questions": whole.questions}


def told(pool: PoolData) -> str:
    plain = [f"{len(pool.members(size))} of size 1/{size}" for size in (1, 2, 4, 8)]
    arms = [f"{pool.arm.count(arm)} {arm}" for arm in dict.fromkeys(pool.arm) if arm]
    return ", ".join(plain + arms)


def seconds_of_step(context: Context, width: float) -> float:
    """Of a loop of steps, one model at a time, as the peers train."""
    recipe, train = context.subject.recipe, context.split("train")
    fit(recipe, train, seed=0, steps=TIMED // 4, width=width)
    started = time.process_time()
    fit(recipe, train, seed=0, steps=TIMED, width=width)
    return (time.process_time() - started) / TIMED


def peers(context: Context, per_step: dict[str, float]) -> list[dict[str, Any]]:
    """Each peer's steps, for the recipe's epochs on the rows it gets and for the recipe's steps each; its seconds."""
    recipe, n = context.subject.recipe, len(context.split("train"))
    outside = n - n // FOLDS
    asked = {
        f"cleanlab, {FOLDS} folds": [(outside, "")] * FOLDS,
        f"LiRA, {SHADOWS} shadows": [(n // 2, "")] * SHADOWS,
        f"learning_curve, {len(SHARES)} sizes × {FOLDS} folds": [(int(s * outside), "") for s in SHARES] * FOLDS,
        f"{SEEDS} seeds": [(n, "")] * SEEDS,
        f"validation_curve, {len(WIDTHS)} widths × {FOLDS} folds": [(outside, arm) for arm in WIDTHS] * FOLDS,
    }
    return [
        {
            "name": name,
            "models": len(models),
            "epochs": sum(recipe.steps(rows) for rows, _ in models),
            "steps": len(models) * recipe.steps(n),
            "epochs_seconds": sum(recipe.steps(rows) * per_step[arm] for rows, arm in models),
            "steps_seconds": sum(recipe.steps(n) * per_step[arm] for _, arm in models),
        }
        for name, models in asked.items()
    ]


def page(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    lines, verdicts = [], []
    for r in records:
        keys = ("models", "epochs", "steps", "epochs_seconds", "steps_seconds")
        total = {key: sum(peer[key] for peer in r["peers"]) for key in keys}
        for peer in [*r["peers"], {"name": "**all peers**", **total}]:
            seconds = f"{peer['epochs_seconds']:.1f}, {peer['steps_seconds']:.1f}"
            lines.append(
                [
                    r["name"],
                    peer["name"],
                    str(peer["models"]),
                    f"{peer['epochs']:,}",
                    f"{peer['steps']:,}",
                    seconds,
                    "",
                    "",
                ]
            )
        for name in ("same questions, stacked", "same questions, processes", "the whole audit, stacked"):
            own = r[name]
            ratios = [f"{total[key] / own['steps']:.2f}" for key in ("epochs", "steps")]
            quicker = [f"{total[key] / own['seconds']:.1f}" for key in ("epochs_seconds", "steps_seconds")]
            what = [r["name"], f"**pool: {name}**", str(own["models"]), "", f"{own['steps']:,}"]
            lines.append([*what, f"{own['seconds']:.1f}", ", ".join(ratios), ", ".join(quicker)])
        same = r["same questions, stacked"]
        for what, key in (("each peer's own epochs", "epochs"), ("as many steps a model", "steps")):
            ratio = total[key] / same["steps"]
            verdicts.append(
                Verdict(
                    f"{r['name']}: peers' steps over the pool's, {what}", f"≥ {RATIO:g}", f"{ratio:.2f}", ratio >= RATIO
                )
            )
        for engine in ("stacked", "processes"):
            own = r[f"same questions, {engine}"]["seconds"]
            measured = f"{total['epochs_seconds'] / own:.1f} and {total['steps_seconds'] / own:.1f}"
            verdicts.append(
                Verdict(f"{r['name']}: seconds, peers over the pool ({engine}), epochs and steps", "", measured, None)
            )
    head = ["set", "what", "models", "steps: own epochs", "steps: as many each", "seconds", "steps, times fewer"]
    models = "\n".join(
        f"* {r['name']}, {r['rows']:,} rows, {r['steps']} steps a model: {name}: {r[f'{name}, models']}."
        for r in records
        for name in ("same questions", "the whole audit")
    )
    return f"{table([*head, 'seconds, times fewer'], lines)}\n\n{models}", verdicts
