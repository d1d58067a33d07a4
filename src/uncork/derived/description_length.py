"""Bits in which a family of models writes the labels of train to one who has the inputs: the shortest understood most.

Labels are sent in blocks of an eighth, an eighth, a quarter and a half of the rows. The first is sent without a model,
log2 K bits a row; each further one by a model of all rows before it, which the receiver can train too. A family that
needs few bits both fits the labels and learns early. Source: Dawid, J. R. Statist. Soc. A 147, 1984; Blier & Ollivier,
The description length of deep learning models, NeurIPS 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from uncork.derived.temperature import cross_entropy
from uncork.derived.words import interval
from uncork.schema.artifacts import CodeLengthData
from uncork.schema.finding import Detail, Estimate
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.stats.means import mean

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Lengths = Mapping[str, Float[np.ndarray, " n"]]

UNIT = "bits per row"
NET = "net"
WORDS = {NET: "the recipe", "linear": "a linear model", "gbdt": "boosted trees"}
#: A model of one part in so many codes the next block, one row in so many.
BLOCKS = (("eighths", 8), ("quarters", 4), ("halves", 2))
_MOST = 2_000  # rows that a temperature is fitted on
_HOTTEST = math.log(50)


def code(
    logits: Float[np.ndarray, "u k"], y: Int[np.ndarray, " u"], clusters: Int[np.ndarray, " u"], trained_on: int
) -> Float[np.ndarray, " u"]:
    """Bits of each label by a model of `trained_on` other rows.

    A temperature is fitted on either half of the rows for the other half, so that no row is coded by its own label;
    clusters stay in one half. Probabilities are mixed with 1 / (trained_on + 1) of the uniform ones: no label costs
    more than log2(K · (trained_on + 1)), not even of a class that the model never saw.
    """
    bits = np.zeros(len(y))
    units, which = np.unique(clusters, return_inverse=True)
    rank = generator(0, "description-length").permutation(len(units))[which]
    for half in (0, 1):
        own = rank % 2 == half
        others = np.flatnonzero(~own)
        others = others[np.argsort(rank[others], kind="stable")][:_MOST]
        temperature = _temperature(logits[others], y[others], trained_on)
        bits[own] = _bits(logits[own], y[own], temperature, trained_on)
    return bits


def _bits(logits: np.ndarray, y: np.ndarray, temperature: float, trained_on: int) -> Float[np.ndarray, " u"]:
    probability = np.exp(-cross_entropy(logits, y, temperature))
    bits: Float[np.ndarray, " u"] = -np.log2((trained_on * probability + 1 / logits.shape[1]) / (trained_on + 1))
    return bits


def _temperature(logits: np.ndarray, y: np.ndarray, trained_on: int) -> float:
    """Of the least bits; 1 where there are no rows."""
    if not len(y):
        return 1.0
    found = minimize_scalar(
        lambda log_t: _bits(logits, y, math.exp(log_t), trained_on).mean(),
        bounds=(-_HOTTEST, _HOTTEST),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return math.exp(found.x)


def length(blocks: Float[np.ndarray, "3 n"], classes: int) -> Float[np.ndarray, " n"]:
    """Each row's bits, expected over orders of sending: it is as likely to stand in any place.

    blocks: its bits by models of an eighth, a quarter and a half of train.
    """
    shares = np.array([1 / size for _, size in BLOCKS])
    result: Float[np.ndarray, " n"] = math.log2(classes) / BLOCKS[0][1] + shares @ blocks
    return result


def of_pool(pool: PoolData) -> Float[np.ndarray, "3 n"] | str:
    """Each row's bits by the plain models of each size that have not seen it, mean over them; or why there are none."""
    trained_on, n = pool.trained_on, len(pool.y)
    blocks = np.zeros((len(BLOCKS), n))
    for block, (name, size) in zip(blocks, BLOCKS, strict=True):
        members = pool.members(size)
        judged = (~trained_on[members]).sum(axis=0)
        if not judged.all() or not len(members):
            return pool.left_out.get(name, f"too few models of {name}")
        for member in members:
            unseen = np.flatnonzero(~trained_on[member])
            each = code(pool.on_train[member][unseen], pool.y[unseen], pool.clusters[unseen], n - len(unseen))
            block[unseen] += each / judged[unseen]
    return blocks


def lengths(pool: PoolData, data: CodeLengthData) -> tuple[dict[str, Float[np.ndarray, " n"]], list[str]]:
    """(each family's bits of every row of train, reasons of what is not there). Of a regression nothing is."""
    if pool.task != "classification":
        return {}, []
    net = of_pool(pool)
    known = {} if isinstance(net, str) else {NET: net}
    known |= dict(zip(data.families, data.bits, strict=True))
    reasons = [f"{WORDS[NET]}: {net}"] if isinstance(net, str) else []
    reasons += [data.reason] if data.reason else []
    classes = pool.on_train.shape[2]
    return {family: length(blocks, classes) for family, blocks in known.items()}, reasons


def bits(found: Lengths, pool: PoolData) -> dict[str, Estimate]:
    """Mean bits a row of each family, `bits` for the net, by t over rows, or groups of rows.

    Of these very models, as `fold_score` has it: what other orders and seeds would add is not in it. Normal theory, the
    rows taken for independent given the models, though these were trained on one another's rows.
    """
    names = {family: "bits" if family == NET else f"bits_{family}" for family in found}
    return {names[family]: _mean(each, pool) for family, each in found.items()}


def saved(found: Lengths, pool: PoolData) -> dict[str, Estimate]:
    """Bits a row by which each other family's code is shorter than the net's, paired by row."""
    if NET not in found:
        return {}
    return {family: _mean(found[NET] - each, pool, paired=True) for family, each in found.items() if family != NET}


def _mean(values: np.ndarray, pool: PoolData, *, paired: bool = False) -> Estimate:
    most = math.log2(pool.on_train.shape[2] * (len(pool.y) + 1))
    bounds = (-most if paired else 0.0, most)
    found = mean(values, clusters=pool.clusters, unit=UNIT, bounds=bounds, skewed=True)
    return replace(found, method=f"{found.method}, of these models")


def table(found: Lengths, pool: PoolData, reasons: list[str]) -> tuple[Detail, ...]:
    """Families by bits, with the difference to the net; nothing where no family is known."""
    if not found:
        return ()
    own, less = bits(found, pool), saved(found, pool)
    lines = []
    for family, estimate in sorted(zip(found, own.values(), strict=True), key=lambda pair: pair[1].value or 0.0):
        both = (estimate, less.get(family))
        ends = [None if e is None else getattr(e, end) for e in both for end in ("value", "low", "high")]
        lines.append([WORDS[family], *(None if end is None else round(end, 4) for end in ends)])
    columns = ["family", UNIT, "low", "high", "fewer than the recipe's", "low", "high"]
    said = [f"Without a model: {math.log2(pool.on_train.shape[2]):.3g}. It ranks families, not widths."]
    said += [f"Not there: {reason}." for reason in reasons]
    data = {"columns": columns, "rows": lines}
    return (Detail("table", "Description length of train's labels", data, note=" ".join(said)),)


def sentence(found: Lengths, pool: PoolData) -> str:
    """For a summary: the simpler family that surely writes train's labels in the fewest bits; "" where none does."""
    shorter = {family: gain for family, gain in saved(found, pool).items() if gain.low is not None and gain.low > 0}
    if not shorter:
        return ""
    family, gain = max(shorter.items(), key=lambda item: item[1].value or 0.0)
    return (
        f" Train's labels take {found[NET].mean():.2f} {UNIT} by the recipe, and by {WORDS[family]} "
        f"{gain.value or 0.0:.2f}{interval(gain, '.2f')} fewer: a simpler family learns them better."
    )
