"""Learning curves: fitted on models of at most half of train, do they foretell those of all of it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.diagnosis.sets import SETS
from benchmarks.pool.members import Case, context_of, cut, ground_of, pool_of
from benchmarks.pool.tables import Verdict, spread, table
from uncork.stats.learning_curve import learning_curve

HALVES, QUARTERS, EIGHTHS, FULL = 8, 4, 8, 3  # as an audit asks for, but for its 5 full models
LEVEL, STEPS, SHARE = 0.9, 600, 1 / 3


def cases(quick: bool = False) -> list[Case]:
    sizes = {
        "digits": (600, 1000),
        "mnist-small": (1600, 3000),
        "usps": (1600, 6000),
        "notmnist": (1600, 6000),
        "agnews": (2400, 6000),
        "covtype": (2400, 6000),
        "bank": (2400, 6000),
        "clinc30": (1200, 2500),
    }

    def case(name: str, seed: int, net: str = "mlp") -> Case:
        train, validation = sizes[name]
        epochs = max(1, round(STEPS / np.ceil(train / SETS[name].batch_size)))
        flat = net == "mlp" and SETS[name].kind == "image"
        return Case("curve", cut(SETS[name], flat=flat, train=train, validation=validation, epochs=epochs), seed, net)

    if quick:
        return [case("digits", seed) for seed in range(2)]
    nets = [case(name, seed) for seed in range(3) for name in sizes]
    return nets + [case("digits", seed, "cnn") for seed in range(2)] + [case("mnist-small", 0, "cnn")]


def measure(case: Case) -> dict[str, Any]:
    """Fitted on a third of the rows of validation; the truth is measured on the others."""
    context = context_of(case, ground_of(case))
    pool = pool_of(context, halves=HALVES, quarters=QUARTERS, eighths=EIGHTHS, full=FULL)
    wrong = {
        size: np.array([(p := pool.validation_pass(int(i))).predicted != p.y for i in pool.members(size)], float)
        for size in (8, 4, 2, 1)
    }
    fit_rows = np.arange(wrong[1].shape[1]) % 3 == 0
    parts = (8, 4, 2)
    found = learning_curve(
        [len(pool.y) / size for size in parts],
        [wrong[size][:, fit_rows] for size in parts],
        [pool.permutation[pool.members(size)] for size in parts],
        unit="error",
        multiples=(2.0,),
        level=LEVEL,
    ).gains[2.0]
    truth = {size: w[:, ~fit_rows] for size, w in wrong.items()}
    gain, error = realised(truth[2], truth[1])
    return {
        "rows": len(pool.y),
        "fitted_on": int(fit_rows.sum()),
        "judged_on": int((~fit_rows).sum()),
        "steps": int(pool.steps[0]),
        "pool_steps": int(pool.steps.sum()),
        "levels": {str(size): float(w.mean()) for size, w in truth.items()},
        "forecast": [found.value, found.low, found.high],
        "gain": gain,
        "error_of_gain": error,
    }


def realised(halves: np.ndarray, full: np.ndarray) -> tuple[float, float]:
    """(gain, its standard error) from halves to full, over rows (paired) and trainings."""
    each = halves.mean(axis=0) - full.mean(axis=0)
    pairs = halves.mean(axis=1).reshape(-1, 2)
    of_halves = np.square(pairs[:, 0] - pairs[:, 1]).mean() / 4 / len(pairs)
    of_full = full.mean(axis=1).var(ddof=1) / len(full)
    # What rows and trainings leave of each other stands in both parts.
    rows = each.var(ddof=1) / len(each) - residual(halves) - residual(full)
    return float(each.mean()), float(np.sqrt(max(0.0, rows) + of_halves + of_full))


def residual(values: np.ndarray) -> float:
    """The part of the mean's variance that belongs to single rows of single trainings."""
    members, rows = values.shape
    left = values - values.mean(axis=0) - values.mean(axis=1)[:, None] + values.mean()
    return float(np.square(left).sum() / ((members - 1) * (rows - 1) * members * rows))


def held(record: dict[str, Any], *, widened: bool) -> bool:
    """Whether the interval holds the gain; `widened` by what the gain itself was measured with."""
    value, low, high = record["forecast"]
    more = widened * stats.norm.ppf((1 + LEVEL) / 2) * record["error_of_gain"]
    low, high = value - np.hypot(value - low, more), value + np.hypot(high - value, more)
    return bool(low <= record["gain"] <= high)


def page(records: Sequence[dict[str, Any]]) -> tuple[str, list[Verdict]]:
    lines = []
    for name, net in dict.fromkeys((r["name"], r["net"]) for r in records):
        own = [r for r in records if (r["name"], r["net"]) == (name, net)]
        first = own[0]
        lines.append(
            [name, net, str(len(own)), f"{first['rows']:,}", f"{first['fitted_on']:,}, {first['judged_on']:,}"]
            + [f"{first['steps']}", f"{first['pool_steps']:,}"]
            + [f"{1000 * np.mean([r['levels'][size] for r in own]):.0f}" for size in ("8", "4", "2", "1")]
            + ["; ".join(forecast(r) for r in own), "; ".join(f"{1000 * r['gain']:.0f}" for r in own)]
            + ["; ".join(f"{1000 * r['error_of_gain']:.0f}" for r in own)]
        )
    head = ["set", "net", "seeds", "rows", "rows: fit, truth", "steps each", "steps in all", "⅛", "¼", "½", "all"]
    head += ["forecast gain, 90 %", "gain", "± s.e."]
    if not records:
        return table(head, lines), []
    off = np.array([abs(r["forecast"][0] - r["gain"]) for r in records])
    none = np.array([abs(r["gain"]) for r in records])
    n = len(records)
    low, high = (int(k) for k in stats.binom.interval(0.95, n, LEVEL))
    verdicts = [Verdict("learning curve, cases", "≥ 20", f"{n}", n >= 20)]
    for widened in (False, True):
        hits = sum(held(r, widened=widened) for r in records)
        what = f"coverage of nominal {LEVEL:.0%}" + (", widened by the truth's own error" if widened else "")
        required = f"{low} to {high} of {n} (binomial region)"
        verdicts.append(Verdict(what, required, f"{hits} of {n}", low <= hits <= high))
    ratio = off.mean() / none.mean()
    low, high = over_sets(records, off, none)
    measured = f"{1000 * off.mean():.1f} against {1000 * none.mean():.1f} errors per 1,000: {ratio:.2f}"
    measured += f" ({low:.2f} to {high:.2f})"
    verdicts.append(Verdict("mean error of the gain over that of “no change”", "< 0.33", measured, ratio < SHARE))
    noise = np.mean([r["error_of_gain"] for r in records]) * np.sqrt(2 / np.pi)
    verdicts.append(Verdict("of it the truth's own error", "", f"about {1000 * noise:.1f} errors per 1,000", None))
    bias = 1000 * np.array([r["forecast"][0] - r["gain"] for r in records])
    verdicts.append(Verdict("forecast − gain, errors per 1,000", "", spread(bias, "+.1f"), None))
    return table(head, lines), verdicts


def over_sets(records: Sequence[dict[str, Any]], top: np.ndarray, bottom: np.ndarray) -> tuple[float, float]:
    """95 % of a ratio of means, by a bootstrap over sets and nets."""
    _, which = np.unique([f"{r['name']} {r['net']}" for r in records], return_inverse=True)
    sums = np.array([np.bincount(which, weights=x) for x in (top, bottom)])
    drawn = np.random.default_rng(0).integers(sums.shape[1], size=(10_000, sums.shape[1]))
    low, high = np.quantile(sums[0][drawn].sum(axis=1) / sums[1][drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def forecast(record: dict[str, Any]) -> str:
    value, low, high = (1000 * x for x in record["forecast"])
    return f"{value:.0f} ({low:.0f} to {high:.0f})"
