"""Hand over rows that look like none the model was made for.

What it does
------------
Fits a score of strangeness to rows of train, and hands over every row that is stranger than a threshold. The score
(the model's own unsureness, its energy, the Mahalanobis distance or the distance to the nearest rows of train in its
features) is the one that told strangers best in the audit, on the half of them that does not measure. The threshold is
set on half of validation: with the probability in `require["confidence"]` at most the share in
`require["false_rejection"]` of rows like those is handed over, which is exact for independent rows.

Why it helps
------------
A classifier names a class for anything it is shown, and is often as sure of a stranger as of its own. What it can't
know it should not answer.

Control
-------
The same model handing over as many of its answers, whichever they are.

Safety
------
safe: of the rows that are answered no decision changes.

When it fails
-------------
Strangers nearer to the classes than those it was chosen by pass. After a shift more of the model's own rows are handed
over than was stated. The rows handed over are not all strangers: rare and hard rows of the model's own are among them,
so that it is no fair choice between groups. The statement is about all rows like validation's, not about one of them;
of rows in groups it is about one random row of each. It is judged by measuring the finding again, on strangers and rows
that neither chose the score nor set the threshold; given strangers are the same on validation and on test, so that what
is set anew after a look at them is no longer protected.

References
----------
Lee, Lee, Lee & Shin, A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018. Sun, Ming,
Zhu & Li, Out-of-distribution detection with deep nearest neighbors, ICML 2022. Wilks, Determination of sample sizes for
setting tolerance limits, Ann. Math. Stat. 12, 1941.
"""

from __future__ import annotations

import numpy as np

from uncork.data.split import Split
from uncork.derived.recognised import OWN, best_score
from uncork.derived.strangeness import Detector, detectors
from uncork.models.adapt import adapt
from uncork.models.aligned import aligned
from uncork.models.base import Model
from uncork.models.guarded import HandedOver
from uncork.models.rejecting import Rejecting, read
from uncork.remedies._contract import Case, Treated, remedy
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import generator
from uncork.schema.strangers import Strangers, StrangersData
from uncork.schema.subject import Subject
from uncork.stats.selective import fewest_rows
from uncork.stats.tolerance import upper_threshold

MOST_FITTED = 3000  # rows of train


def price(subject: Subject, seeds: int) -> float:
    """Measuring the finding again leaves classes out again where no strangers were given, of three models."""
    return 0.0 if subject.strangers is not None or subject.recipe is None else 3.0 * Strangers().left_out


def at_random(case: Case, treated: Treated) -> Treated:
    subject = treated.subject
    assert isinstance(subject.model, Rejecting)
    share = treated.amount / max(1, _answered(subject.model.inner, case.subject.validation))
    changes = f"{share:.3g} of the answers handed over, whichever they are"
    return Treated(subject.replace(model=HandedOver(subject.model.inner, share, case.seed)), changes)


@remedy(
    title="Hand over what is strange to the model",
    safety="safe",
    yardstick="finding",
    control=at_random,
    price=price,
    fits_on_validation=True,
    on_request=True,
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("the scores of strangeness are those of a classifier")
    if subject.train is None:
        raise Unavailable("no train split was given: what is strange is told by rows of train: give Subject(train=...)")
    seen = next((data for data in case.artifacts.values() if isinstance(data, StrangersData)), None)
    model = aligned(adapt(subject, case.task), case.classes)
    known = independent(subject.validation, np.arange(len(subject.validation)), case.rng)
    limits = subject.requirement("false_rejection"), subject.requirement("confidence")
    score = OWN if seen is None else best_score(seen, limits[0])
    rejecting = fitted(model, score, subject.train, subject.validation, known, limits, case.seed)
    return Treated(
        subject.replace(model=rejecting),
        changes=f"rows handed over that are strange by {score}: at most {limits[0]:g} of rows like validation's with "
        f"probability {limits[1]:g}, by a threshold set on {len(known)} of them",
        amount=_answered(model, subject.validation) - _answered(rejecting, subject.validation),
    )


def _answered(model: Model, split: Split) -> int:
    """How many of a split's rows the model does not hand over."""
    answered = read(model, split, np.arange(len(split)), "validation").answered
    assert answered is not None
    return int(answered.sum())


def fitted(
    inner: Model,
    score: str,
    train: Split,
    split: Split,
    known: np.ndarray,
    limits: tuple[float, float],
    seed: int,
) -> Rejecting:
    """`inner` that rejects by `score`, fitted to a sample of train, its threshold set on the rows `known` of `split`.

    `limits`: the share that may be rejected, and the probability with which that holds. Raises Unavailable where the
    model has no such score, or rows are too few for the statement.
    """
    rate, confidence = limits
    detector = fit(inner, train, seed).get(score)
    if detector is None:
        raise Unavailable(
            f"the model has no features, which {score} needs: name a submodule with Subject(features=...)"
        )
    out = read(inner, split, known, "validation")
    threshold = upper_threshold(detector(out.logits, out.features), rate, confidence)
    if threshold is None:
        raise Unavailable(
            f"that at most {rate:g} of the rows are rejected can't be stated with probability {confidence:g} on "
            f"{len(known)} rows: {fewest_rows(1 - rate, confidence)} are needed"
        )
    return Rejecting(inner, detector, threshold, rate=rate, confidence=confidence, rows=len(known))


def fit(model: Model, train: Split, seed: int) -> dict[str, Detector]:
    """Every score that the model allows, fitted to a seeded sample of train."""
    assert train.y is not None
    rows = np.sort(generator(seed, "strangers", "train").permutation(len(train))[:MOST_FITTED])
    out = read(model, train, rows, "train")
    return detectors(out.logits, out.features, train.y[rows])


def independent(split: Split, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of these rows one random one of each group, which are independent; all where nothing is grouped."""
    if split.groups is None:
        return rows
    shuffled = rng.permutation(rows)
    return np.sort(shuffled[np.unique(split.groups[shuffled], return_index=True)[1]])
