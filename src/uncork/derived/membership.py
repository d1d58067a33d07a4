"""Who was in the training set: online LiRA, with each model as the target of an attack by the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp
from scipy.stats import rankdata

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

FPR = 0.01
_LEAST = 1e-3  # s.d. of a logit below which models are taken to agree no better


def confidences(logits: Float[np.ndarray, "m n k"], y: Int[np.ndarray, " n"]) -> Float[np.ndarray, "m n"]:
    """Logit-scaled confidence in the label, log p − log(1 − p), which is near normal over trainings. 32 bits."""
    at = np.arange(len(y))
    found = np.empty(logits.shape[:2], np.float32)
    for model, row in enumerate(logits):
        wide = row.astype(np.float32)
        label = wide[at, y]
        wide[at, y] = -np.inf
        found[model] = label - logsumexp(wide, axis=1)
    return found


def attack(
    confidence: Float[np.ndarray, "m n"], trained_on: Bool[np.ndarray, "m n"], complement: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m n"]:
    """score[t, i]: log-likelihood ratio of row i being in target t's training set, by all but t and complement[t].

    Normal in and out distributions of a row: means of its own over the attacking models that saw it and that did not,
    variances shared by all rows (fixed variance: few models say little of each row's own). The target's complement has
    seen exactly the rows that the target has not: with it, a row's count of models would show which side it is on.
    0 where a row has no model on one side. Carlini et al., Membership inference attacks from first principles, IEEE
    S&P 2022, §IV–V.
    """
    scores = np.empty(confidence.shape, np.float32)
    for t, other in enumerate(complement):
        attackers = np.delete(np.arange(len(confidence)), [t, other])
        known, seen = confidence[attackers], trained_on[attackers]
        inside, outside = _likelihood(confidence[t], known, seen), _likelihood(confidence[t], known, ~seen)
        scores[t] = np.where(seen.any(axis=0) & ~seen.all(axis=0), inside - outside, 0.0)
    return scores


def _likelihood(
    target: Float[np.ndarray, " n"], known: Float[np.ndarray, "m n"], which: Bool[np.ndarray, "m n"]
) -> Float[np.ndarray, " n"]:
    """Log-density of the target's confidence among those of the models in `which`, but for a constant."""
    count = which.sum(axis=0, dtype=np.float32)
    centre = np.where(which, known, 0).sum(axis=0) / np.maximum(count, 1)
    within = float(np.square(np.where(which, known - centre, 0)).sum(dtype=np.float64))
    variance = max(within / max(float(np.maximum(count - 1, 0).sum()), 1.0), _LEAST**2)
    result: Float[np.ndarray, " n"] = -np.square(target - centre) / (2 * variance) - np.log(variance) / 2
    return result


@dataclass(frozen=True)
class Success:
    """Each row's part of each target's figure, with the figure as their mean over rows: AUC, and true positive rate.

    curve: true positive rate at the false positive rates `at`, mean over targets.
    """

    auc: Float[np.ndarray, "m n"]
    tpr: Float[np.ndarray, "m n"]
    at: Float[np.ndarray, " p"]
    curve: Float[np.ndarray, " p"]


def success(scores: Float[np.ndarray, "m n"], trained_on: Bool[np.ndarray, "m n"], fpr: float = FPR) -> Success:
    """How well the scores tell members from others, of each target and by row.

    AUC: structural components of DeLong (Biometrics 44, 1988), ties counted half. TPR: members above the k-th largest
    score of non-members, k = round(fpr · (n_out + 1)), at least 1: of scores that say nothing a share of
    k / (n_out + 1) lies above it. A row's part of it: its own hit if a member, and if not what it does to the
    threshold, by the slope of the ROC curve there (between half and twice the rate, mean over targets).
    """
    at = np.unique(np.r_[np.geomspace(1e-3, 1, 40), fpr / 2, fpr, 2 * fpr])
    auc, high = np.empty(scores.shape, np.float32), np.empty(scores.shape, bool)
    curve = np.zeros((len(scores), len(at)))
    for t, (score, member) in enumerate(zip(scores, trained_on, strict=True)):
        auc[t] = _auc_parts(score, member)
        others = np.sort(score[~member])[::-1]
        curve[t] = [(score[member] > _threshold(others, rate)).mean() for rate in at]
        high[t] = score > _threshold(others, fpr)
    mean = curve.mean(axis=0)
    ends = np.searchsorted(at, (fpr / 2, 2 * fpr))
    slope = float(np.diff(mean[ends])[0]) / (1.5 * fpr)
    n, inside = scores.shape[1], trained_on.sum(axis=1)[:, None]
    of_members, of_others = (
        (high & side).sum(axis=1)[:, None] / side.sum(axis=1)[:, None] for side in (trained_on, ~trained_on)
    )
    of_member, of_other = (high - of_members) * (n / inside), -slope * (high - of_others) * (n / (n - inside))
    tpr = of_members + np.where(trained_on, of_member, of_other)
    return Success(auc, tpr.astype(np.float32), at, mean)


def _threshold(others: Float[np.ndarray, " o"], rate: float) -> float:
    """The k-th largest of the scores of non-members, which are sorted from the largest."""
    return float(others[min(max(round(rate * (len(others) + 1)), 1), len(others)) - 1])


def _auc_parts(score: Float[np.ndarray, " n"], member: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    n, inside = len(score), int(member.sum())
    outside = n - inside
    overall, within = rankdata(score), np.empty(n)
    within[member], within[~member] = rankdata(score[member]), rankdata(score[~member])
    beaten = np.where(member, (overall - within) / outside, 1 - (overall - within) / inside)
    auc = float(beaten[member].mean())
    parts: Float[np.ndarray, " n"] = auc + (beaten - auc) * np.where(member, n / inside, n / outside)
    return parts
