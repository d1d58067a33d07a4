"""What more rows to train on would gain, from models trained on parts of those there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special, stats

from uncork.schema.finding import Estimate
from uncork.stats.crossed import SeedVariance, by_unit, crossed, moderate, spread, squeeze

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FURTHEST = 4.0  # times the largest size seen
_MISFIT = 0.02  # of the level: how far a true curve strays from the family, at each size by itself
# Equal steps of the priors, so that all points weigh alike.
_FLOORS = np.sin(np.linspace(0.0, np.pi / 2, 51)) ** 2  # a as a share of the badness at the largest size
_EXPONENTS = np.linspace(math.sqrt(0.05), math.sqrt(2.0), 50) ** 2
_NOISES = 7  # quantiles of the variance's posterior
_DRAWN = 500  # points of the grid that quantiles are made of
_POINTS = 17  # of the curve


@dataclass(frozen=True)
class LearningCurve:
    """`gains`: by multiple of the largest size, Estimates of the badness that goes away.

    The curve in badness, with intervals for the true one: x (a size), y, low, high; None where it is undetermined.
    """

    gains: dict[float, Estimate]
    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " p"] | None
    low: Float[np.ndarray, " p"] | None
    high: Float[np.ndarray, " p"] | None


class _Seen(NamedTuple):
    """Mean badness by size, and its variances: over rows (s, s), over trainings (s,) with degrees of freedom."""

    level: Float[np.ndarray, " s"]
    rows: Float[np.ndarray, "s s"]
    trainings: Float[np.ndarray, " s"]
    df: float


def learning_curve(
    sizes: Sequence[float],
    values: Sequence[Float[np.ndarray, "m n"]],
    permutations: Sequence[Int[np.ndarray, " m"]],
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    unit: str,
    multiples: Sequence[float] = (2.0, 4.0),
    level: float = 0.95,
) -> LearningCurve:
    """Gains from more rows to train on: mean badness at the largest size less that at multiples of it, 4 at most.

    values[s][m, i]: badness (lower is better: errors, losses, values + influences of an RMSE) of member m of size s on
    row i; all members are judged on the same rows, which none has seen. permutations[s][m]: the permutation of train
    that member m has a part of; its own for each member trained on all of train. sizes: rows, or shares of train.

    Model: true badness at size x is L (p + (1 − p) (x / largest)^−c) (1 + ε_x), that is a + b x^−c with 2 % of misfit,
    ε_x ~ N(0, .02²) at each size by itself. Prior: L flat; p, the floor's share of L, Beta(½, ½) on 0 … 1, so that a
    and b are not below 0; √c uniform, c in .05 … 2. Where the data can't tell a floor from a slow decay the prior
    carries the answer. L and ε are integrated out in closed form, p and c over a grid, and the variance of trainings
    over its posterior. A bend beyond the sizes seen, or right before the largest, is not foretold.
    Noise: rows, unit a row or cluster, with their covariances between sizes, so that what all members find hard alike
    cancels from the gain as far as it does; and trainings. The parts of one permutation make up train, so that the mean
    over them is one observation, whose variance is that of a part over their number (as in `complementary`); it is
    squeezed towards the other sizes' (`moderate`). Members trained on all of train vary by seed alone: that this train
    was a lucky draw moves all sizes alike and is not counted. Gains are cut at 0, as more rows are taken not to harm,
    each end at that of the badness at the largest size (`crossed`): no more can go than is there.
    Assumes as many optimiser steps at every size, and recipes that train fully: an undertrained net has another curve.
    Undetermined with under three sizes, without variance of trainings, or where nothing is ever wrong. `se`: posterior
    s.d., `df`: of the variance of trainings. ValueError: multiples beyond 4, which no prior should carry.
    """
    if any(not 1 < m <= FURTHEST for m in multiples):
        raise ValueError(f"multiples {tuple(multiples)}: a curve is extended to {FURTHEST:g} times the largest size")
    if not len(sizes) == len(values) == len(permutations):
        raise ValueError(
            f"{len(sizes)} sizes, {len(values)} values, {len(permutations)} permutations: give one of each"
        )
    order = np.argsort(sizes)
    at = np.asarray(sizes, np.float64)[order]
    relative = at / at[-1]
    x = np.unique(np.r_[relative, list(multiples), np.geomspace(relative[0], FURTHEST, _POINTS)])
    n = sum(len(np.unique(p)) for p in permutations)
    method = f"Bayesian a + b·n^−c with 2 % misfit, over rows × {n} permutations of train"
    seen = None if len(at) < 3 else _seen([values[i] for i in order], [permutations[i] for i in order], clusters)
    if seen is None:
        nothing = Estimate(None, None, None, unit, n, f"{method} (undetermined)", level=level)
        return LearningCurve(dict.fromkeys(multiples, nothing), x * at[-1], None, None, None)
    posterior = _Posterior(relative, seen)
    left = _left(np.asarray(values[order[-1]], np.float64), clusters, unit, level)
    gains = {}
    for multiple in multiples:
        value, low, high, se = posterior.summary(*posterior.gain(multiple), level)
        value, low, high = (min(max(0.0, end), most) for end, most in zip((value, low, high), left, strict=True))
        gains[multiple] = Estimate(value, low, high, unit, n, method, se, seen.df, level, se_seeds=se)
    band = np.array([posterior.summary(*posterior.badness(point), level) for point in x])
    return LearningCurve(gains, x * at[-1], band[:, 0], np.maximum(band[:, 1], 0.0), band[:, 2])


def _left(
    values: Float[np.ndarray, "m n"], clusters: Int[np.ndarray, " n"] | None, unit: str, level: float
) -> tuple[float, float, float]:
    """(value, low, high) of the badness at the largest size."""
    now = crossed(values, clusters=clusters, unit=unit, level=level)
    value = max(0.0, now.value or 0.0)
    return value, value if now.low is None else max(0.0, now.low), np.inf if now.high is None else max(0.0, now.high)


def _seen(
    values: Sequence[Float[np.ndarray, "m n"]],
    permutations: Sequence[Int[np.ndarray, " m"]],
    clusters: Int[np.ndarray, " n"] | None,
) -> _Seen | None:
    """None where no size has two members that tell how trainings vary, or where a level isn't above 0 throughout."""
    rows = len(values[0][0])
    level = np.array([v.mean() for v in values], np.float64)
    if not np.isfinite(level).all() or level.min() < 0 or level.max() == 0 or rows < 2:
        return None
    sums = by_unit(np.array([v.mean(axis=0) for v in values], np.float64) - level[:, None], clusters)
    units = sums.shape[1]
    of_rows = sums @ sums.T * (units / (max(units - 1, 1) * rows * rows))
    own = [_of_permutations(v, p, clusters) for v, p in zip(values, permutations, strict=True)]
    trainings = np.zeros(len(values))
    for i, (mine, residual, count) in enumerate(own):
        others = [v for j, (v, _, _) in enumerate(own) if j != i and v is not None]
        prior = moderate([v.variance for v in others], [v.df for v in others])
        if mine is None and prior is None:
            return None
        variance = squeeze(mine, prior).variance if prior is not None else mine.variance if mine is not None else 0.0
        # Rows' covariances hold the residuals of members too, which the variance between members has already.
        trainings[i] = max(0.0, variance - residual) / count
    # No wrong row is no proof that none would be wrong: one row's worth.
    worst = max(float(np.abs(v).max()) for v in values)
    trainings += np.where(np.diag(of_rows) > 0, 0.0, (worst / rows) ** 2)
    df = float(sum(v.df for v, _, _ in own if v is not None))
    return _Seen(level, of_rows, trainings, df)


def _of_permutations(
    values: Float[np.ndarray, "m n"], permutations: Int[np.ndarray, " m"], clusters: Int[np.ndarray, " n"] | None
) -> tuple[SeedVariance | None, float, int]:
    """Variance of the mean over one permutation's parts; what the rows' residuals make it; number of permutations.

    None where no permutation has two parts and there is but one of them.
    """
    values = np.asarray(values, np.float64)
    _, which = np.unique(permutations, return_inverse=True)
    if len(np.unique(which)) == len(which):  # members of all of train: apart by seed
        which = np.zeros(len(which), np.int64)
        parts, count = 1.0, len(values)
    else:
        count = int(which.max()) + 1
        parts = len(values) / count
    means = values.mean(axis=1)
    df = len(values) - int(which.max()) - 1
    if df < 1:
        return None, 0.0, count
    square, residual = 0.0, 0.0
    for permutation in range(int(which.max()) + 1):
        mine = which == permutation
        square += float(np.square(means[mine] - means[mine].mean()).sum())
        sums = by_unit(values[mine] - means[mine][:, None], clusters)
        residual += spread(sums - sums.mean(axis=0), values.shape[1])
    return SeedVariance(max(square, residual) / df / parts, df), residual / df / parts, count


class _Posterior:
    """Over variances of trainings, floors and exponents (v, p, c): weights, and L given each."""

    def __init__(self, x: Float[np.ndarray, " s"], seen: _Seen) -> None:
        self.y = seen.level
        shape = self._shape(x)  # (p, c, s)
        # A size without errors has room to stray too.
        self.misfit = np.square(_MISFIT * np.maximum(seen.level, 0.1 * seen.level.max()))
        self.shape, self.now = shape, shape[..., -1]
        tails = (np.arange(_NOISES) + 0.5) / _NOISES
        factors = seen.df / stats.chi2.ppf(tails, seen.df)
        covariances = [seen.rows + np.diag(f * seen.trainings + self.misfit) for f in factors]
        self.inverse = np.linalg.inv(np.array(covariances))  # (v, s, s)
        self.shaped = np.einsum("pcs,vst->vpct", shape, self.inverse)
        self.precision = np.einsum("vpcs,pcs->vpc", self.shaped, shape)
        self.at_largest = np.einsum("vpcs,s->vpc", self.shaped, self.y) / self.precision
        left = np.einsum("s,vst,t->v", self.y, self.inverse, self.y)[:, None, None]
        left = left - np.square(self.at_largest) * self.precision
        logs = np.linalg.slogdet(self.inverse)[1][:, None, None] - np.log(self.precision) - left
        weight = (np.exp((logs - logs.max()) / 2) * (self.at_largest > 0)).ravel()
        # Systematic: every point as often as it weighs, to one.
        below = np.cumsum(weight) / weight.sum()
        self.drawn = np.searchsorted(below, (np.arange(_DRAWN) + 0.5) / _DRAWN)

    @staticmethod
    def _shape(x: Float[np.ndarray, " s"]) -> Float[np.ndarray, "p c s"]:
        power: Float[np.ndarray, "c s"] = np.asarray(x)[None, :] ** -_EXPONENTS[:, None]
        shape: Float[np.ndarray, "p c s"] = _FLOORS[:, None, None] + (1 - _FLOORS[:, None, None]) * power
        return shape

    def badness(self, x: float) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
        """Means and variances, by point of the grid, of the true badness at a size that was not seen."""
        shape = self._shape(np.array([x]))[..., 0]
        mean = self.at_largest * shape
        return mean.ravel(), (np.square(shape) / self.precision + np.square(_MISFIT * mean)).ravel()

    def gain(self, x: float) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
        """The same of the true badness at the largest size, misfit and all, less that at x.

        Given the curve, what the largest size strays from it is known in part: ε's share of what is seen beside it.
        """
        shape = self._shape(np.array([x]))[..., 0]
        share = self.misfit[-1] * self.inverse[:, -1]  # (v, s)
        slope = self.now - shape - np.einsum("vs,pcs->vpc", share, self.shape)
        mean = slope * self.at_largest + (share @ self.y)[:, None, None]
        unknown = (self.misfit[-1] * (1 - share[:, -1]))[:, None, None]
        variance = np.square(slope) / self.precision + unknown + np.square(_MISFIT * self.at_largest * shape)
        return mean.ravel(), variance.ravel()

    def summary(
        self, mean: Float[np.ndarray, " g"], variance: Float[np.ndarray, " g"], level: float
    ) -> tuple[float, float, float, float]:
        """Mean, two quantiles and s.d. of the mixture of normals."""
        centre, sd = mean[self.drawn], np.sqrt(variance[self.drawn])
        value = float(centre.mean())
        total = math.sqrt(float(np.square(sd).mean() + np.square(centre - value).mean()))

        def quantile(q: float) -> float:
            low, high = float((centre - 9 * sd).min()), float((centre + 9 * sd).max())
            for _ in range(30):
                middle = (low + high) / 2
                low, high = (middle, high) if special.ndtr((middle - centre) / sd).mean() < q else (low, middle)
            return (low + high) / 2

        return value, quantile((1 - level) / 2), quantile((1 + level) / 2), total
