"""Which labels of train the models that have not seen them contradict, and how many labels are wrong.

All of it rests on the mean log-probabilities of the models that have not seen the row (`out_of_sample`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uncork.derived.out_of_sample import log_probabilities, probabilities
from uncork.derived.words import interval
from uncork.schema.artifacts import RelabelledData
from uncork.schema.finding import Detail, Estimate
from uncork.schema.pool import FOLD, PoolData
from uncork.stats import confident, mixture
from uncork.stats.prediction_powered import prediction_powered_share

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

RANDOM, LOOKALIKE = "random", "look-alike"
_SPIKES = 8  # other labels that a row is asked about


@dataclass(frozen=True)
class Noise:
    """If wrong labels are of one `kind`: their share of train (`rate`), the chance of one to be flagged (`recall`), the
    share of the flags that is right (`precision`)."""

    kind: str
    rate: Estimate
    recall: Estimate
    precision: Estimate


def flagged(pool: PoolData) -> Bool[np.ndarray, " n"]:
    """Rows whose label the models that have not seen it contradict, by confident learning."""
    return confident.flag(probabilities(pool), pool.y)


def margins(pool: PoolData) -> Float[np.ndarray, " n"]:
    """Log-probability of the label less the largest other: negative where another class is likelier. Unit: nats."""
    result: Float[np.ndarray, " n"] = _margins(log_probabilities(pool), pool.y[:, None])[:, 0]
    return result


def ranking(pool: PoolData) -> Int[np.ndarray, " n"]:
    """Positions of the rows, the most suspicious label first: by margin."""
    return np.argsort(margins(pool), kind="stable")


def suggested(pool: PoolData) -> Int[np.ndarray, " n"]:
    """The likeliest class other than the label."""
    others = log_probabilities(pool).copy()
    others[np.arange(len(pool.y)), pool.y] = -np.inf
    likeliest: Int[np.ndarray, " n"] = others.argmax(axis=1)
    return likeliest


def noise(pool: PoolData, rng: np.random.Generator) -> tuple[Noise, ...]:
    """The share of wrong labels and what the flags are worth, by what wrong labels are like.

    Random: any other class, equally often. Look-alike: the class that the models find likeliest but for the true one.
    The labels alone do not tell which it is. Of two classes both are the same, and the first is all there is.
    The spikes are virtual: a model that has not seen a row says of any other label on it what it would say were that
    its label, but for the rows trained on, where the other wrong labels are. `mixture_share` has the rate,
    `confident.worth` the rest. Unit: rows, or groups. Assumes that wrong labels fall on all rows alike.
    """
    log_p, p, y = log_probabilities(pool), probabilities(pool), pool.y
    others = log_p.shape[1] - 1
    draws = rng.integers(others, size=(len(y), _SPIKES)) if others > _SPIKES else np.arange(others)[None]
    spikes = [(RANDOM, (y[:, None] + 1 + draws) % (others + 1), 1 / others)]
    if others > 1:
        spikes.append((LOOKALIKE, suggested(pool)[:, None], 1.0))
    threshold, real, found = confident.thresholds(p, y), flagged(pool), []
    for kind, labels, lands in spikes:
        rate = mixture.mixture_share(margins(pool), _margins(log_p, labels), rng, clusters=pool.clusters, lands=lands)
        would = confident.contradicts(p, threshold, labels).mean(axis=1)
        recall, precision = confident.worth(real, would, rate, lands=lands, clusters=pool.clusters)
        found.append(Noise(kind, rate, recall, precision))
    return tuple(found)


def errors_of_labels(models: Sequence[Noise]) -> Estimate:
    """Of 1,000 rows labelled like train, how many count as errors because of their label. Unit: as `noise`.

    A wrong label that would be flagged is one that the models contradict, hence an error; where they predict the wrong
    label too, it is none. Bounds only: from the least rate · recall to the largest rate, over the noise models and
    their intervals.
    """
    rates, n = [m.rate for m in models], models[0].rate.n
    method = "bounds only: from the flagged wrong labels to all of them, over the noise models"
    if not all(rate.determined for rate in rates):
        return Estimate(None, None, None, "errors per 1,000", n, f"{method} (undetermined)")
    low = min((m.rate.low or 0.0) * (m.recall.low or 0.0) for m in models)
    high = max(rate.high or 0.0 for rate in rates)
    return Estimate(None, 1000 * low, 1000 * high, "errors per 1,000", n, method)


def noise_by_relabelling(pool: PoolData, relabelled: RelabelledData) -> Estimate | None:
    """Share of train's labels that differ from those given anew to random rows; None where no row was labelled anew.

    `prediction_powered_share` of how unlikely the models that have not seen the row find its label. Valid whatever
    the wrong labels and the models are like. Unit: rows, as they were drawn. Assumes that they were drawn at random.
    """
    rows = relabelled.rows
    if not len(rows):
        return None
    doubt = 1 - probabilities(pool)[np.arange(len(pool.y)), pool.y].astype(np.float64)
    elsewhere = np.delete(doubt, rows)
    return prediction_powered_share(relabelled.labels != pool.y[rows], doubt[rows], elsewhere)


def witnesses(pool: PoolData) -> str:
    """Which models judged, and how many each row."""
    folds = pool.members(FOLD)
    if not len(folds):
        return f"{len(pool.members(2))} half-size models of the recipe"
    repeats = len(np.unique(pool.permutation[folds]))
    return f"the out-of-fold predictions that were brought, {repeats} for each row ({len(folds)} folds)"


def rates_told(models: Sequence[Noise]) -> str:
    if any(m.rate.value is None for m in models):
        return "How many labels are wrong is undetermined: too few rows."
    said = {m.kind: f"{100 * (m.rate.value or 0):.1f} %{interval(m.rate.scaled(100, '%'))}" for m in models}
    first = f"Wrong labels: {said[RANDOM]} if they are random"
    if LOOKALIKE not in said:
        return f"{first}; of two classes look-alikes are the same."
    return f"{first}, {said[LOOKALIKE]} if they are look-alikes."


def by_noise_model(models: Sequence[Noise]) -> Detail:
    columns = [f"{name}{end}" for name in ("rate", "recall", "precision") for end in ("", " low", " high")]
    lines = [[m.kind, *(x for e in (m.rate, m.recall, m.precision) for x in (e.value, e.low, e.high))] for m in models]
    data = {"columns": ["wrong labels are", *columns], "rows": lines}
    note = "Recall: the chance that a wrong label is flagged. Precision: flags that are right. Both from spikes."
    return Detail("table", "Wrong labels by what they are like, and what the flags are worth", data, note=note)


def relabelling_told(share: Estimate | None) -> str:
    if share is None:
        return ""
    said = f"{100 * (share.value or 0.0):.1f} %{interval(share.scaled(100, '%'))}"
    return f"By the {share.n} rows labelled anew {said} are wrong, whatever wrong labels are like."


def to_relabel(relabelled: RelabelledData) -> tuple[Detail, ...]:
    """Which rows narrow the rate; nothing where some were brought."""
    if len(relabelled.rows) or not relabelled.asked:
        return ()
    note = (
        "Random rows of train. Label the first 30 or more of them anew, without looking at their labels and without "
        "leaving any out. Write a table with the columns id and label, and give the same command again with "
        "--relabelled TABLE, or audit(..., relabelled=TABLE): it narrows how many labels are wrong and trains nothing."
    )
    return (Detail("table", "Rows to relabel", {"columns": ["id"], "rows": [[id] for id in relabelled.asked]}, note),)


def _margins(log_p: Float[np.ndarray, "n k"], labels: Int[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """Each label's log-probability less the largest of the other classes."""
    second, first = np.partition(log_p, -2, axis=1)[:, -2:].T
    other = np.where(labels == log_p.argmax(axis=1)[:, None], second[:, None], first[:, None])
    result: Float[np.ndarray, "n m"] = np.take_along_axis(log_p, labels, axis=1) - other
    return result
