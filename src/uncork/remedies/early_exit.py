"""Let easy rows leave the net early.

What it does
------------
Puts a linear head after up to six of the blocks that the net runs one after the other, as the children of a Sequential
or the layers of an encoder, and teaches each the net's own probabilities on rows of train; the net stays as it is. A
row leaves at the first head whose largest probability reaches a threshold, and is then really out of the batch. The
threshold is the lowest, from the strictest on, at which with the probability in `require["confidence"]` at most δ of
the rows (5 per 1,000 where the metric doesn't count errors) are answered wrongly by a head and rightly by the whole
net; certified on half of validation, one row of each group.

Why it helps
------------
Most rows are easy, and what decides them is there long before the net's end: they take a part of its time.

Control
-------
The same heads with as many rows leaving at each, whichever they are: what it is worth to choose the sure ones.

Safety
------
checked: rows that leave early may be decided otherwise. It is kept where on the other half of validation it surely
loses less than δ and is surely faster, and proven on test.

When it fails
-------------
Small nets: a head takes time too, and one row at a time it saves little. In a batch the slowest row is waited for.
Times vary from row to row, and who sees them learns how easy a row was. Few rows: at δ of 5 per 1,000 not even 597
without harm prove anything. The guarantee is about the share of all rows like validation's, not about one row, one
class, or rows after a shift; a row made to be slow stays in to the end. Copies of a row count as rows each unless they
share a group: give `Split(groups=...)`, or the guarantee is for fewer rows than it says.

References
----------
Liu et al., FastBERT: a self-distilling BERT with adaptive inference time, ACL 2020. Teerapittayanon, McDanel & Kung,
BranchyNet, ICPR 2016. Angelopoulos, Bates, Candès, Jordan & Lei, Learn then Test, arXiv 2110.01052. Jazbec et al.,
Fast yet safe: early-exiting with risk control, NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncork.models.adapt import adapt
from uncork.models.aligned import columns_of
from uncork.models.early_exit import Certificate, EarlyExit, Head, RandomExit
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, remedy
from uncork.remedies._retrain import no_training
from uncork.remedies.guard import independent
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.stats.selective import fewest_rows
from uncork.train.early_exit import Told, certified, fit_heads, told

USUAL = 0.005
PER_1000 = ("error", "accuracy", "wrong-answers")


def at_random(case: Case, treated: Treated) -> Treated:
    """The shares of rows that leave at each head, of those that come to it, as on the rows it was certified on."""
    model = treated.subject.model
    left = told(model.inner, model.heads, case.subject.validation).left(model.certificate.threshold)
    shares = [float((left == i).sum() / max(1, (left >= i).sum())) for i in range(len(model.heads))]
    random = RandomExit(model, shares, integer_seed(case.seed, "left at random"))
    words = f"rows leaving at random, of those at each head {', '.join(f'{100 * share:.0f} %' for share in shares)}"
    return Treated(case.subject.replace(model=random), words)


@remedy(
    title="Let easy rows leave the net early",
    safety="checked",
    yardstick="tolerance",
    control=at_random,
    price=no_training,
    fits_on_validation=True,
    saves="latency",
)
def apply(case: Case) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("a regression states no confidence for a row to leave early by")
    if subject.train is None:
        raise Unavailable("no train split was given: the heads are taught on its rows: give Subject(train=...)")
    inner = adapt(subject, case.task)
    if not isinstance(inner, TorchModel):
        raise Unavailable("only a torch module as it was given has blocks to put heads between")
    split = independent(subject.validation, case.rng)
    limit, level = tolerated(case), subject.requirement("confidence")
    if len(split) < fewest_rows(1 - limit, level):
        raise Unavailable(
            f"that at most {1000 * limit:g} of 1,000 rows are harmed can't be certified on {len(split)} rows: "
            f"{fewest_rows(1 - limit, level)} without harm are needed: give more validation rows, or Metric(delta=...)"
        )
    heads = fit_heads(inner, subject.train, integer_seed(case.seed, "early exit"))
    assert split.y is not None
    said, y = told(inner, heads, split), _as_columns(inner, case, split.y)
    found = certified(said, y, limit=limit, level=level)
    if found is None or not (said.left(found.threshold) < len(heads)).any():
        raise Unavailable(
            f"no row may leave early: at every lower threshold more than {1000 * limit:g} per 1,000 may err"
        )
    return Treated(subject.replace(model=EarlyExit(inner, heads, found)), _say(said, heads, found), amount=len(heads))


def tolerated(case: Case) -> float:
    """The share of rows that may be answered wrongly instead of rightly: the metric's δ where it counts errors."""
    metric = case.subject.metric
    return metric.delta / 1000 if metric.name in PER_1000 and metric.delta else USUAL


def _as_columns(inner: TorchModel, case: Case, y: np.ndarray) -> np.ndarray:
    """Labels, which are indices of the subject's classes, as columns of the net's outputs."""
    columns = columns_of(inner, case.classes)
    if columns is None:
        raise Unavailable(f"the net has {inner.n_outputs} outputs for {case.n_classes} classes: give one for each")
    places = np.full(case.n_classes, -1)
    places[columns] = np.arange(len(columns))
    found: np.ndarray = places[y]
    return found


def _say(said: Told, heads: Sequence[Head], found: Certificate) -> str:
    left = said.left(found.threshold)
    shares = [f"{100 * (left == i).mean():.0f} % after {head.after}" for i, head in enumerate(heads)]
    cost = np.array([*(head.share for head in heads), 1.0])[left].mean()
    return (
        f"rows leave where a head is sure by {found.threshold:.4g}: {', '.join(shares)}, the rest at the end, which "
        f"takes {100 * cost:.0f} % of the operations; at most {1000 * found.limit:g} of 1,000 rows are harmed "
        f"({100 * found.level:g} % sure, {found.harmed} of {found.rows} were)"
    )
