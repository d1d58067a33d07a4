"""How much of a mixture is of a known kind: the share of wrong labels, from what wrong labels look like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from uncork.schema.finding import Estimate
from uncork.stats.binomial import clopper_pearson, korn_graubard
from uncork.stats.means import clustered, mean

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_FEWEST = 20  # rows or groups: fewer in a half tell no threshold
_Z = 3.0  # upper ends that thresholds are chosen by; at 2 small bins win by luck, which doubles the spread
_DEEPER = 0.25  # of the spikes below the threshold: `low` must hold there too


def mixture_share(
    observed: Float[np.ndarray, " n"],
    spiked: Float[np.ndarray, " n"] | Float[np.ndarray, "n k"],
    rng: np.random.Generator,
    *,
    clusters: Int[np.ndarray, " n"] | None = None,
    lands: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Share ρ of wrong labels: observed = ρ W + (1 − ρ) R, with W known from spikes and R not.

    observed[i]: margin of row i's label for a model that has not seen the row, log p(label) less the largest other;
    low is suspicious. spiked[i]: what it would be were the label a wrong one, of one or of k such labels.
    `lands`: chance that a spike on a row whose label is wrong hits the true one.

    Best bin (Garg et al., arXiv 2111.00980): of all margins up to c, F(c) = ρ F_W(c) + (1 − ρ) F_R(c), so that
    ρ ≤ F(c) / F_W(c) whatever R is, with equality where no right label's margin is below c ("irreducibility").
    So `high` bounds ρ always, if wrong labels are made as spikes are; value and `low` stand on irreducibility.
    c, where the upper end of F(c) / F_W(c) is lowest, is chosen on one half of the rows and used on the other, and the
    other way round, so that no row chooses its own threshold; the halves come from `rng`, whatever the rows' order.
    The paper's uniform (DKW) band puts c too high where ρ is small: here the ends are Wilson's at each c.
    Interval: MOVER for a ratio of correlated shares (Donner & Zou, Stat. Methods Med. Res. 21, 2012), Clopper–Pearson
    for F (a sum of two binomials is no wider: Hoeffding, Ann. Math. Stat. 27, 1956), t for F_W. `low` is the lower of
    that at c and that at the threshold below which a quarter as many spikes lie: right labels are rarer there.
    Simulated coverage at 95 %, ρ of 5 to 40 %: .96 to .99, also where .6 % of right labels lie below the median of W;
    there at ρ = 0 `low` is above 0 in about one draw of five, on average by far less than .001.

    Spikes on rows that are wrong already: W' = (1 − ρ · lands) W + ρ · lands · R, so that the best bin of W' finds
    ρ' = ρ / (1 − ρ · lands), and ρ = ρ' / (1 + ρ' · lands). Uniform among K − 1 other labels: 1/(K − 1); the model's
    own first choice among the others: about 1.
    Unit: a row with all its spikes, or a cluster. Fewer than 40: undetermined.
    """
    observed = np.asarray(observed, np.float64)
    spiked = np.asarray(spiked, np.float64)
    spiked = spiked[:, None] if spiked.ndim == 1 else spiked
    n = len(observed)
    groups = np.asarray(clusters) if clusters is not None and clustered(clusters, n) else None
    units = n if groups is None else len(np.unique(groups))
    method = f"best bin, cross-fitted thresholds, MOVER over {'rows' if groups is None else 'groups of rows'}"
    if units < 2 * _FEWEST or not spiked.size:
        return Estimate(None, None, None, "share", units, f"{method} (too few: undetermined)", level=level)
    second = _half(observed, spiked, groups, rng)
    below, spikes_below = np.zeros((2, n), bool), np.zeros((2, n))
    for half in (second, ~second):
        threshold = _best(observed[~half], spiked[~half], units // 2)
        among = spiked[~half][spiked[~half] <= threshold]
        for i, c in enumerate((threshold, float(np.quantile(among, _DEEPER)))):
            below[i, half] = observed[half] <= c
            spikes_below[i, half] = (spiked[half] <= c).mean(axis=1)
    found = [_ratio(*pair, groups, level) for pair in zip(below, spikes_below, strict=True)]
    if found[0] is None:
        return Estimate(None, None, None, "share", units, f"{method} (no spikes: undetermined)", level=level)
    value, low, high = found[0]
    low = low if found[1] is None else min(low, found[1][1])
    value, low, high = (min(1.0, x) / (1 + min(1.0, x) * lands) for x in (value, low, high))
    return Estimate(value, low, high, "share", units, method, level=level)


def _half(
    observed: Float[np.ndarray, " n"],
    spiked: Float[np.ndarray, "n k"],
    groups: Int[np.ndarray, " n"] | None,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Which rows are in the second half: drawn over rows in order of their margins, groups kept together."""
    rank = np.empty(len(observed), np.int64)
    rank[np.lexsort((*np.sort(spiked, axis=1).T, observed))] = np.arange(len(observed))
    if groups is None:
        which = rank
    else:
        _, own = np.unique(groups, return_inverse=True)
        first = np.full(own.max() + 1, len(rank))
        np.minimum.at(first, own, rank)
        which = np.argsort(np.argsort(first))[own]
    units = int(which.max()) + 1
    drawn: Bool[np.ndarray, " n"] = (rng.permutation(units) < units // 2)[which]
    return drawn


def _best(observed: Float[np.ndarray, " n"], spiked: Float[np.ndarray, "n k"], units: int) -> float:
    """The threshold with the lowest upper end (Wilson's, of so many units) of F(c) / F_W(c)."""
    candidates, square = np.unique(spiked), _Z * _Z / units
    hits = np.searchsorted(np.sort(observed), candidates, side="right") / len(observed)
    of_spikes = np.searchsorted(np.sort(spiked, axis=None), candidates, side="right") / spiked.size
    upper = (hits + square / 2 + _Z * np.sqrt(hits * (1 - hits) / units + square / (4 * units))) / (1 + square)
    return float(candidates[np.argmin(upper / of_spikes)])


def _ratio(
    below: Bool[np.ndarray, " n"],
    spikes_below: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None,
    level: float,
) -> tuple[float, float, float] | None:
    """(value, low, high) of F / F_W; None without spikes."""
    n = len(below)
    if groups is None:
        top = clopper_pearson(int(below.sum()), n, level=level)
        correlated = np.array([below, spikes_below], np.float64)
    else:
        top = korn_graubard(below, groups, level=level)
        _, own = np.unique(groups, return_inverse=True)
        centred = (below - below.mean(), spikes_below - spikes_below.mean())
        correlated = np.array([np.bincount(own, weights=x) for x in centred])
    bottom = mean(spikes_below, clusters=groups, unit="share", bounds=(0.0, 1.0), level=level)
    a, b = top.value, bottom.value
    if a is None or not b or not bottom.low:
        return None
    spread = correlated.std(axis=1)
    r = float(np.atleast_2d(np.corrcoef(correlated))[0, 1]) if spread.min() > 0 else 0.0
    assert top.low is not None
    assert top.high is not None
    assert bottom.high is not None

    def end(of_a: float, of_b: float) -> float:
        middle = a * b - r * (a - of_a) * (of_b - b)
        under = middle * middle - of_a * of_b * (2 * a - of_a) * (2 * b - of_b)
        sign = -1 if of_a < a or of_a == a == 0 else 1
        return (middle + sign * math.sqrt(max(under, 0.0))) / (of_b * (2 * b - of_b))

    return a / b, max(0.0, end(top.low, bottom.high)), end(top.high, bottom.low)
