"""Fit the last layer anew on rows that weigh alike where a shortcut holds and where it doesn't.

What it does
------------
Takes the part of a row that the finding says decisions follow, and marks the rows of one half of validation against
whose label it speaks. The last layer is fitted to that half with each class, and in it the rows marked and not marked,
weighing alike; the rest of the net stays. How far it may move from where it was is chosen by the error on the worse of
the two kinds of rows, on a third that it was not fitted to. Where no part is known, or none speaks against a label,
classes weigh alike and rows decided wrong four times as much as others, chosen by the worst class.

Why it helps
------------
A net that leans on a shortcut has mostly learnt the rest too; only its last layer weighs them as they paid in train. A
few hundred rows in which the shortcut tells nothing set that right.

Control
-------
The last layer fitted to the same rows, all weighing alike.

Safety
------
checked: decisions change; judged by what the shortcut costs, measured again on the other half of validation, with the
metric beside it, and proven on test. Where most rows keep the rule they may lose what the others gain.

When it fails
-------------
Where the features hold nothing but the shortcut; where too few rows break the rule for a layer to be fitted to them;
where the part decides rightly. Beside a train of no more rows than half of validation holds, the control gains nearly
as much. It needs a torch module whose logits are W f + b of a last Linear.

References
----------
Kirichenko, Izmailov & Wilson, Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023.
LaBonte, Muthukumar & Kumar, Towards last-layer retraining for group robustness with fewer annotations, NeurIPS 2023.
Liu et al., Just train twice, ICML 2021.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import nn

from uncork.data.carve import folds
from uncork.derived.shortcuts import disagreeing, most_followed
from uncork.models.adapt import adapt
from uncork.models.torch_model import TorchModel
from uncork.remedies._contract import Case, Treated, refuse_undoing, remedy
from uncork.remedies._retrain import no_training
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.seeds import generator, integer_seed
from uncork.stress.swaps import parts_of

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
HARDER = 4.0  # weight of rows decided wrong, where no part is known
FEWEST = 10  # rows against whose label the part speaks
REFERENCE, SHOWN, BATCH = 3000, 256, 256
MOST_STEPS = 200


class Head(NamedTuple):
    """What is fitted anew: features (n, d), labels (n,), and the layer's own weight (K, d) and bias (K,)."""

    points: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


Layer = tuple[np.ndarray, np.ndarray]  # weight (K, d), bias (K,)


def alike(case: Case, treated: Treated) -> Treated:
    """The control: as far from where it was as is best for the error, all rows weighing alike."""
    return _refitted(case, even=True)


@remedy(
    title="Fit the last layer to rows that break the shortcut",
    safety="checked",
    yardstick="finding",
    control=alike,
    price=no_training,
    fits_on_validation=True,
)
def apply(case: Case) -> Treated:
    return _refitted(case, even=False)


def _refitted(case: Case, *, even: bool) -> Treated:
    subject = case.subject
    if case.task != "classification":
        raise Unavailable("a last layer is weighed anew by class: a regression has none")
    refuse_undoing(subject)
    model = adapt(subject, case.task)
    if not isinstance(model, TorchModel):
        raise Unavailable("only a torch module has a last layer that can be fitted anew")
    features, logits = _passed(model, subject.validation)
    layer = model.describe()["feature_layer"]
    if features is None or not isinstance(model.module.get_submodule(layer), nn.Linear) or logits.shape[1] < 2:
        raise Unavailable(f"no last layer can be told from the rest (features: {model.describe()['features']})")
    linear: Any = model.module.get_submodule(layer)
    if linear.out_features != logits.shape[1]:
        raise Unavailable("the last layer has one output: give a net with one for each class")
    y = np.asarray(subject.validation.y, np.int64)
    marked, name = _against(case)
    wrong = logits.argmax(axis=1) != y
    weights = np.ones(len(y)) if even else _weights(y, marked, wrong)
    groups = np.zeros(len(y)) if even else y if marked is None else marked
    before = None if even else _worst(wrong, groups)
    fitted, kept = _chosen(case, _head(linear, features, y), weights, groups, before)
    module = copy.deepcopy(model.module)
    target: Any = module.get_submodule(layer)
    with torch.no_grad():
        target.weight.copy_(torch.from_numpy(fitted[0]))
        if target.bias is not None:
            target.bias.copy_(torch.from_numpy(fitted[1]))
    how = "all rows weighing alike" if even else f"rows where {name} agrees with the label and where not weighing alike"
    if not even and marked is None:
        how = "classes weighing alike, rows decided wrong four times as much"
    return Treated(
        subject.replace(model=module),
        changes=f"the last layer, {layer or 'the whole net'}, fitted to {len(y)} rows of validation, {how}; held to "
        f"where it was by {kept:g}",
        amount=int(marked.sum()) if marked is not None else 0,
    )


def _passed(model: TorchModel, split: Any) -> tuple[np.ndarray | None, np.ndarray]:
    outputs = [model.outputs(batch, features=True) for _, batch in split.batches(BATCH)]
    known = [out.features for out in outputs if out.features is not None]
    return (np.concatenate(known) if known else None), np.concatenate([out.logits for out in outputs])


def _against(case: Case) -> tuple[Bool[np.ndarray, " n"] | None, str]:
    """Which rows' labels the part that decisions follow speaks against, and its name; None where none is known."""
    data, subject = case.artifacts.get("shortcuts"), case.subject
    if data is None or subject.train is None:
        return None, ""
    c = most_followed(data)
    split = subject.validation
    rng = generator(case.seed, "last layer", "train")
    known = np.sort(rng.permutation(len(subject.train))[:REFERENCE])
    reference, labels = subject.train.take(known), np.asarray(subject.train.y)[known].astype(np.int64)
    texts = (reference, labels) if isinstance(reference, list) else None
    by_name = {part.name: part for part in parts_of(split.take(np.arange(min(SHOWN, len(split)))), texts)}
    part = by_name.get(data.names[c], next(iter(by_name.values())) if texts else None)
    if part is None:
        return None, ""
    says = np.concatenate([part.says(batch, reference, labels) for _, batch in split.batches(BATCH)])
    marked = (says >= 0) & (says != split.y)
    return (marked, part.name) if marked.sum() >= FEWEST and disagreeing(data, c).any() else (None, "")


def _weights(
    y: Int[np.ndarray, " n"], marked: Bool[np.ndarray, " n"] | None, wrong: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Each class alike, and in it rows marked and not; without marks rows decided wrong more."""
    group = y if marked is None else 2 * y + marked
    _, which, counts = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[which]
    return weight * np.where(wrong, HARDER, 1.0) if marked is None else weight


def _worst(wrong: Bool[np.ndarray, " n"], groups: np.ndarray) -> float:
    """The largest error of a group."""
    return max(float(wrong[groups == g].mean()) for g in np.unique(groups))


def _head(linear: Any, features: np.ndarray, y: np.ndarray) -> Head:
    weight = linear.weight.detach().cpu().numpy().astype(np.float64)
    bias = np.zeros(len(weight)) if linear.bias is None else linear.bias.detach().cpu().numpy().astype(np.float64)
    return Head(features.astype(np.float64), y, weight, bias)


def _chosen(
    case: Case, head: Head, weights: np.ndarray, groups: np.ndarray, before: float | None
) -> tuple[Layer, float]:
    """The layer fitted to all rows, and its ridge: that at which the worst of `groups` errs least, each third decided
    by a fit to the others. Raises Unavailable unless that is below `before`."""
    try:
        part = folds(case.subject.validation, 3, integer_seed(case.seed, "last layer"), stratify=True)
    except BadInput as error:
        raise Unavailable(f"half of validation is too small to choose by: {error}") from None
    scores = []
    for ridge in RIDGES:
        errs = np.empty(len(part), bool)
        for third in range(3):
            fitted = _fit(head, weights, ridge, part != third)
            errs[part == third] = _decided(head, fitted)[part == third] != head.y[part == third]
        scores.append(_worst(errs, groups))
    best = int(np.argmin(scores))
    if before is not None and scores[best] >= before:
        raise Unavailable(
            f"fitted to two thirds of {len(part)} rows, the last layer does no better on the worse rows of the rest"
        )
    return _fit(head, weights, RIDGES[best], np.ones(len(part), bool)), RIDGES[best]


def _fit(head: Head, weights: np.ndarray, ridge: float, rows: np.ndarray) -> Layer:
    """(weight, bias) of least weighted log-loss plus ridge · squared change of the logits' coefficients, on features
    in standard deviations, from where the layer was; the ridge is shared among the classes."""
    points, y = head.points[rows], head.y[rows]
    spread = points.std(axis=0)
    spread = np.where(spread > 1e-6 * max(spread.max(), 1e-12), spread, np.inf)
    scaled, start = points / spread, points @ head.weight.T + head.bias
    weight = (weights[rows] / weights[rows].sum())[:, None]
    label, (k, d) = np.eye(len(head.bias))[y], head.weight.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change, moved = flat[: k * d].reshape(k, d), flat[k * d :]
        logs = log_softmax(start + scaled @ change.T + moved, axis=1)
        value = -(weight * label * logs).sum() + ridge / k * np.square(change).sum()
        slope = weight * (np.exp(logs) - label)
        return float(value), np.r_[(slope.T @ scaled + 2 * ridge / k * change).ravel(), slope.sum(axis=0)]

    found = minimize(loss, np.zeros(k * d + k), jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS}).x
    return head.weight + found[: k * d].reshape(k, d) / spread, head.bias + found[k * d :]


def _decided(head: Head, fitted: Layer) -> np.ndarray:
    return np.asarray((head.points @ fitted[0].T + fitted[1]).argmax(axis=1))
