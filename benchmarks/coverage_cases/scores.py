"""The subject's metric and what a change gains in it, each with a truth in closed form or by quadrature."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from coverage_cases import Case, Draw, held
from coverage_cases.shares import grouped_hits
from scipy import integrate, stats
from scipy.special import expit

from uncork.schema.artifacts import PassData
from uncork.schema.metric import Metric
from uncork.stats.multiplicity import alpha_of_opening, at_level
from uncork.stats.score import gain, score

ERROR, LOG_LOSS, AUC, RMSE, MAE = (Metric(name) for name in ("error", "log-loss", "auc", "rmse", "mae"))
COST = Metric(np.array([[0.0, 1.0], [5.0, 0.0]]))


def two_class(margin: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> PassData:
    """A pass whose logit of class 1 over class 0 is `margin`."""
    return PassData.of_logits(np.stack([np.zeros(len(margin)), margin], axis=1), y, clusters=groups)


def decided(wrong: np.ndarray, groups: np.ndarray | None = None) -> PassData:
    """A pass of class 0 that is wrong where asked."""
    return two_class(np.where(wrong, 1.0, -1.0), np.zeros(len(wrong), int), groups)


def shared_noise(rng: np.random.Generator, n: int, each: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(standard normal noise, groups): of correlation .5 within groups of `each` rows."""
    if each == 1:
        return rng.normal(size=n), None
    groups = np.arange(n) // each
    return math.sqrt(0.5) * (rng.normal(size=n // each)[groups] + rng.normal(size=n)), groups


def error(rng: np.random.Generator, n: int) -> Draw:
    return held(score(ERROR, decided(rng.random(n) < 0.08)), 80)


def grouped_error(share: float, rng: np.random.Generator, n: int) -> Draw:
    """Groups of 10, correlation .2."""
    wrong, groups = grouped_hits(rng, n, share, 10, 0.2)
    return held(score(ERROR, decided(wrong, groups)), 1000 * share)


def error_gain(rng: np.random.Generator, n: int) -> Draw:
    """Errors 10 % and 6 %, 4.5 % shared."""
    u = rng.random(n)
    return held(gain(ERROR, decided(u < 0.10), decided((u < 0.045) | (u > 0.985))), 40)


def third_opening(rng: np.random.Generator, n: int) -> Draw:
    """As `error_gain`, at the level that the third opening of test leaves."""
    u = rng.random(n)
    found = gain(ERROR, decided(u < 0.10), decided((u < 0.045) | (u > 0.985)))
    return held(at_level(found, 1 - alpha_of_opening(3)), 40)


def grouped_error_gain(rng: np.random.Generator, n: int) -> Draw:
    """20 % wrong before; a third of the errors mended, 2 % of the rest broken. Groups of 5, correlation .2."""
    before, groups = grouped_hits(rng, n, 0.2, 5, 0.2)
    after = np.where(before, rng.random(n) < 2 / 3, rng.random(n) < 0.02)
    return held(gain(ERROR, decided(before, groups), decided(after, groups)), 1000 * (0.2 / 3 - 0.8 * 0.02))


def expected_log_loss(temperature: float) -> float:
    """Margins N(0, 4²) that overstate twice, stated at `temperature`."""

    def at(z: float) -> float:
        right, stated = expit(2 * z), 4 * z / temperature
        return stats.norm.pdf(z) * (right * np.logaddexp(0, -stated) + (1 - right) * np.logaddexp(0, stated))

    return float(integrate.quad(at, -9, 9, limit=200)[0])


OVERSTATED, TEMPERED = expected_log_loss(1), expected_log_loss(2)


def stated(rng: np.random.Generator, n: int, each: int) -> tuple[PassData, PassData]:
    noise, groups = shared_noise(rng, n, each)
    y = (rng.random(n) < expit(2 * noise)).astype(int)
    return two_class(4 * noise, y, groups), two_class(2 * noise, y, groups)


def log_loss(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(score(LOG_LOSS, stated(rng, n, each)[0]), OVERSTATED)


def log_loss_gain(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(gain(LOG_LOSS, *stated(rng, n, each)), OVERSTATED - TEMPERED)


def costly(shift: float) -> float:
    """Cost per 1,000 at 20 % positives: 1 for a false alarm, 5 for a miss; margins N(±shift, 1)."""
    return 1000 * float((0.8 * 1 + 0.2 * 5) * stats.norm.cdf(-shift))


def cost_passes(rng: np.random.Generator, n: int, each: int) -> tuple[PassData, PassData]:
    noise, groups = shared_noise(rng, n, each)
    y = (rng.random(n) < 0.2).astype(int)
    sign = 2 * y - 1
    return two_class(1.0 * sign + noise, y, groups), two_class(1.5 * sign + noise, y, groups)


def cost(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(score(COST, cost_passes(rng, n, each)[0]), costly(1.0))


def cost_gain(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(gain(COST, *cost_passes(rng, n, each)), costly(1.0) - costly(1.5))


def residuals(rng: np.random.Generator, n: int, each: int) -> tuple[PassData, PassData]:
    """Normal residuals of s.d. √2 before and 1 after."""
    noise, groups = shared_noise(rng, n, each)
    y = rng.normal(size=n)
    passes = (y + noise + rng.normal(size=n), y + noise)
    before, after = (PassData.of_values(found, y, clusters=groups) for found in passes)
    return before, after


def rmse(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(score(RMSE, residuals(rng, n, each)[0]), math.sqrt(2))


def heavy_rmse(rng: np.random.Generator, n: int) -> Draw:
    y = np.zeros(n)
    return held(score(RMSE, PassData.of_values(rng.standard_t(8, size=n), y)), math.sqrt(8 / 6))


def rmse_gain(each: int, rng: np.random.Generator, n: int) -> Draw:
    return held(gain(RMSE, *residuals(rng, n, each)), math.sqrt(2) - 1)


def mae(rng: np.random.Generator, n: int) -> Draw:
    return held(score(MAE, residuals(rng, n, 1)[0]), 2 / math.sqrt(math.pi))


def auc(prevalence: float, shift: float, each: int, rng: np.random.Generator, n: int) -> Draw:
    """Binormal: Φ(shift / √2)."""
    noise, groups = shared_noise(rng, n, each)
    y = (rng.random(n) < prevalence).astype(int)
    if y.sum() in (0, n):
        return None
    return held(score(AUC, two_class(shift * y + noise, y, groups)), stats.norm.cdf(shift / math.sqrt(2)))


def auc_gain(prevalence: float, each: int, rng: np.random.Generator, n: int) -> Draw:
    """Binormal, shifts 1 and 1.5 of √.8 + √.2 noises that the two share in part."""
    shared, groups = shared_noise(rng, n, each)
    y = (rng.random(n) < prevalence).astype(int)
    if y.sum() in (0, n):
        return None
    own = math.sqrt(0.2) * rng.normal(size=(2, n))
    before, after = (
        two_class(shift * y + math.sqrt(0.8) * shared + e, y, groups) for shift, e in zip((1, 1.5), own, strict=True)
    )
    return held(gain(AUC, before, after), stats.norm.cdf(1.5 / math.sqrt(2)) - stats.norm.cdf(1 / math.sqrt(2)))


def of_rows_and_groups() -> list[Case]:
    """Every metric that is not a share, for rows and for groups of 5 with correlation .5."""
    return [
        Case(name, f"{condition}; {where}", partial(draw, each), promise="about")
        for name, condition, draw in (
            ("score.score log-loss (Hall)", f"overstated, mean {OVERSTATED:.2f}", log_loss),
            ("score.gain log-loss (Hall)", "temperature 2", log_loss_gain),
            ("score.score cost (t, rows added)", "costs 1 and 5", cost),
            ("score.gain cost (t, rows added)", "costs 1 and 5", cost_gain),
            ("score.score rmse (Hall)", "normal residuals", rmse),
            ("score.gain rmse (t)", "√2 → 1", rmse_gain),
        )
        for each, where in ((1, "rows"), (5, "groups of 5"))
    ]


CASES = (
    Case("score.score error (Clopper–Pearson)", "8 % wrong", error),
    *(
        Case("score.score error (Korn–Graubard)", f"{share:.0%} wrong, groups of 10", partial(grouped_error, share))
        for share in (0.02, 0.1)
    ),
    Case("score.gain error (Bonett–Price)", "10 % → 6 %", error_gain, promise="about"),
    Case(
        "multiplicity.at_level",
        "error gain of the third opening, 99.7 %",
        third_opening,
        promise="about",
        level=1 - alpha_of_opening(3),
    ),
    Case(
        "score.gain error (t over groups, rows added)", "20 % → 15 %, groups of 5", grouped_error_gain, promise="about"
    ),
    *of_rows_and_groups(),
    Case("score.score rmse (Hall)", "t residuals on 8 d.f.; rows", heavy_rmse, promise="about"),
    Case("score.score mae (Hall)", "normal residuals; rows", mae, promise="about"),
    *(
        Case(
            "score.score auc (DeLong, logit)",
            f"{value}; {share:.0%} positive",
            partial(auc, share, shift, 1),
            promise="about",
            undetermined={100: 0.5} if share == 0.1 else {},  # fewer than 10 positives
        )
        for shift, value in ((1, ".76"), (2, ".92"))
        for share in (0.1, 0.3, 0.5)
    ),
    Case("score.score auc (DeLong, logit)", ".76; 30 %; groups of 5", partial(auc, 0.3, 1, 5), promise="about"),
    *(
        Case(
            "score.gain auc (DeLong)",
            f".76 → .86; {share:.0%} positive; {'rows' if each == 1 else 'groups of 5'}",
            partial(auc_gain, share, each),
            promise="about",
            undetermined={100: 0.5} if share == 0.1 else {},
        )
        for share, each in ((0.1, 1), (0.3, 1), (0.3, 5))
    ),
)
