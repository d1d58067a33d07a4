"""Answer only what may be answered, and hand over the rest.

What it does
------------
Certifies a threshold on the confidence on one half of validation: with the probability in `require["confidence"]` the
answers at or above it are right with at least the precision in `require["precision"]`. Below it the model hands the
row over, and says which classes are left: a conformal set, calibrated on rows handed over, that holds the truth of such
rows for the share in `require["coverage"]`. The certificate is kept with the model.

Why it helps
------------
Most errors are made where the model is unsure. Whoever gets the other answers gets a guarantee with them, and what is
handed over goes to whom it may concern: a person, or another model (`guarded(..., fallback=model)`).

Control
-------
The same model handing as many rows over at random: that alone makes fewer wrong answers, but none surer.

Safety
------
safe: of the rows that are answered no decision changes.

When it fails
-------------
Few rows: at 99 % with probability 95 % not even 298 rows without an error prove anything. A model that is as sure of
its errors as of the rest has no threshold. The guarantee is for rows like validation's and all answers together, not
for one answer, one class or rows after a shift; a stranger is answered where the model is sure of it, which `reject` is
for. The half it is certified on must not have fitted anything else: one number, as a temperature is, matters little, an
isotonic map may break the guarantee. The sets hold as often as asked on average over calibrations, and nearly so: the
threshold was chosen on the same rows. Copies of a row count as rows each unless they share a group. It is judged by the
wrong answers per 1,000 on the other half of validation.

References
----------
Angelopoulos, Bates, Candès, Jordan & Lei, Learn then Test, arXiv 2110.01052. Geifman & El-Yaniv, Selective
classification for deep neural networks, NeurIPS 2017. Chow, On optimum recognition error and reject tradeoff, IEEE
Trans. Inf. Theory 16, 1970.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
from scipy.special import softmax

from uncork.data.split import Split
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import BATCH, Model
from uncork.models.guarded import Bounded, Guarded, HandedOver
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import no_training
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.stats.conformal import conformal_quantile, quantiles_by
from uncork.stats.selective import cascade, fewest_rows, rows_needed

#: Parts of equal size that predicted values are cut into, each with a width of its own.
PARTS = 4


def at_random(case: Case, treated: Treated) -> Treated:
    """As large a share of what the model answers on validation handed over, whichever rows they are."""
    inner = treated.subject.model.inner
    share = treated.amount / int(read(inner, case.subject.validation)[1].sum())
    chosen = HandedOver(inner, share, integer_seed(case.seed, "handed over"))
    return Treated(case.subject.replace(model=chosen), f"{100 * share:.3g} % of the answers handed over at random")


@remedy(
    title="Answer only what is certified, and hand over the rest",
    safety="safe",
    yardstick="wrong-answers",
    control=at_random,
    price=no_training,
    fits_on_validation=True,
    combines=True,  # after whatever else hands rows over: answers taken away later would void the certificate
    on_request=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("a regression states no confidence to hand rows over by: bounded() gives it intervals")
    split = independent(subject.validation, case.rng)
    model = guarded(
        aligned(adapt(subject, case.task), case.classes),
        split,
        precision=subject.requirement("precision"),
        confidence=subject.requirement("confidence"),
        coverage=subject.requirement("coverage"),
    )
    changes, amount = _say(model, subject.validation, subject.strangers)
    return Treated(subject.replace(model=model), changes, amount=amount)


def guarded(
    model: Model,
    split: Split,
    *,
    precision: float = 0.99,
    confidence: float = 0.95,
    coverage: float = 0.9,
    fallback: Model | None = None,
) -> Guarded:
    """`model`, answering only what is certified on the rows of `split`, whose labels are class indices.

    The rows must be independent, like those to come, and have fitted nothing before. Of all answers a share of at least
    `precision` is right with probability `confidence`; sets of what is left on rows handed over hold the truth for the
    share `coverage` of those. `fallback`: a model asked about what `model` is not sure enough of; one threshold for
    both, certified for the answers of both together. Raises Unavailable with the number of rows that would be needed
    where no threshold can be certified.
    """
    y = np.asarray(split.y)
    sure, right, p = _judged(model, split)
    theirs, also = _judged(fallback, split)[:2] if fallback is not None else (np.full(len(y), -1.0), right)
    found = cascade(sure, right, theirs, also, precision=precision, level=confidence)
    surer = np.maximum(sure, theirs)
    if found.threshold is None:
        raise Unavailable(_too_few(surer, np.where(sure >= theirs, right, also), precision, confidence))
    rest = surer < found.threshold
    left = conformal_quantile(1 - p[rest, y[rest]], coverage)
    certificate = replace(found, date=date.today().isoformat())
    return Guarded(model, certificate, left=left, coverage=coverage, fallback=fallback)


def bounded(model: Model, split: Split, *, coverage: float = 0.9, parts: int = PARTS) -> Bounded:
    """A regression `model` with intervals about its values that hold the share `coverage` of truths.

    Conformal, from the absolute residuals on the rows of `split`, which must have fitted nothing before; `parts`: so
    many parts of the predicted values, cut at their quantiles, each get a width of their own, in each of which it holds
    (Boström & Johansson, Mondrian conformal regressors, COPA 2020); 1 for one width. A part of too few rows bounds
    nothing.
    """
    predicted = read(model, split)[0][:, 0]
    edges = np.unique(np.quantile(predicted, np.arange(1, parts) / parts))
    which = np.searchsorted(edges, predicted, side="right")
    widths = quantiles_by(np.abs(np.asarray(split.y) - predicted), which, len(edges) + 1, coverage)
    return Bounded(model, edges, widths, coverage=coverage, n=len(split), date=date.today().isoformat())


def read(model: Model, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) logits, or values (n, 1), of every row of a split; (n,) which of them the model answers."""
    outs = [model.outputs(batch) for _, batch in split.batches(BATCH)]
    answered = [np.ones(len(out.logits), bool) if out.answered is None else out.answered for out in outs]
    return np.concatenate([out.logits for out in outs]), np.concatenate(answered)


def independent(split: Split, rng: np.random.Generator) -> Split:
    """One random row of each group; the split itself where nothing is grouped."""
    if split.groups is None:
        return split
    shuffled = rng.permutation(len(split))
    return split.subset(np.sort(shuffled[np.unique(split.groups[shuffled], return_index=True)[1]]))


def _judged(model: Model, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) confidences, below every threshold where the model hands the row over itself; (n,) right; (n, K) p."""
    logits, answered = read(model, split)
    p = softmax(logits.astype(np.float64), axis=1)
    return np.where(answered, p.max(axis=1), -1.0), logits.argmax(axis=1) == split.y, p


def _too_few(sure: np.ndarray, right: np.ndarray, precision: float, confidence: float) -> str:
    n, least = len(sure), fewest_rows(precision, confidence)
    asked = f"{100 * precision:g} % precision"
    if n < least:
        return (
            f"{asked} can't be certified on {n} rows: {least} are needed, none of them wrong; half of validation fits"
        )
    needed = rows_needed(sure, right, precision=precision, level=confidence)
    if needed is None:
        return f"{asked} can't be certified on {n} rows nor, as far as they tell, on more: it is as sure of its errors"
    return f"{asked} can't be certified on {n} rows: about {needed} like these are needed; half of validation fits"


def _say(model: Guarded, split: Split, strangers: Split | None) -> tuple[str, int]:
    """What the guard does, in words with counts of a split's rows, and how many of those it hands over anew."""
    found = model.certificate
    logits, answered = read(model, split)
    right = answered & (logits.argmax(axis=1) == split.y)
    parts = {"right": right, "wrong": answered & ~right, "handed over": ~answered}
    counted = [f"{1000 * part.mean():.0f} {word}" for word, part in parts.items()]
    if strangers is not None:
        counted.append(f"and of 1,000 strangers {1000 * read(model, strangers)[1].mean():.0f} answered")
    words = (
        f"answers where the confidence is at least {model.threshold:.4g}, certified at {100 * found.precision:g} % "
        f"precision ({100 * found.confidence:g} % sure) on {found.n} rows; of 1,000 of them {', '.join(counted)}"
    )
    return words, int(read(model.inner, split)[1].sum() - answered.sum())
