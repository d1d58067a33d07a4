"""Several models that answer as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from uncork.models.base import Model, Output, from_probabilities
from uncork.schema.errors import BadInput


class Ensemble:
    """The weighted mean of its members' probabilities, or of their values in regression; features are the first's.

    `models`: Models, as `as_model` makes them of modules and estimators. `weights`: one a member, none below 0,
    summing to 1; equal where none are given. Raises BadInput where weights are others, or members disagree on the
    task, the number of outputs or the names of classes.
    """

    called = "an ensemble"

    def __init__(self, models: Sequence[Model], weights: Sequence[float] | np.ndarray | None = None) -> None:
        self.models = tuple(models)
        for i, model in enumerate(self.models):
            if not isinstance(model, Model):
                raise BadInput(f"member {i} is of type {type(model).__name__}: give what as_model makes of it")
        if not self.models:
            raise BadInput("the ensemble has no members: give one model or more")
        n = len(self.models)
        self.weights = np.full(n, 1 / n) if weights is None else np.asarray(weights, np.float64)
        if self.weights.shape != (n,) or not (self.weights >= 0).all() or abs(self.weights.sum() - 1) > 1e-6:
            raise BadInput(f"the weights are {weights}: give {n} numbers of 0 or more that sum to 1")
        self.task = str(self._shared("task", [model.task for model in self.models]))
        self.classes: tuple[str, ...] | None = self._shared("classes", [model.classes for model in self.models])
        self._shared("outputs", [model.n_outputs or None for model in self.models])
        self.has_inputs = any(model.has_inputs for model in self.models)
        self.accepts_nan = all(model.accepts_nan for model in self.models)

    @staticmethod
    def _shared(what: str, values: Sequence[Any]) -> Any:
        """What all members that know it say; None where none does."""
        known = [(i, value) for i, value in enumerate(values) if value is not None]
        for i, value in known[1:]:
            if value != known[0][1]:
                raise BadInput(
                    f"members {known[0][0]} and {i} of the ensemble have other {what} ({known[0][1]}, {value}): "
                    "give models of one task, with the same classes in the same order"
                )
        return known[0][1] if known else None

    @property
    def n_outputs(self) -> int:
        return max(model.n_outputs for model in self.models)  # 0 of a torch module that hasn't run yet

    def outputs(self, batch: Any, features: bool = False) -> Output:
        """Logits (b, K): ln of the mean probability; the mean value (b, 1) float64 in regression.

        A row is answered where all members answer it.
        """
        answers = [model.outputs(batch, features and i == 0) for i, model in enumerate(self.models)]
        self._shared("outputs", [answer.logits.shape[1] for answer in answers])
        each = [answer.logits.astype(np.float64) for answer in answers]
        if self.task == "classification":
            each = [softmax(logits, axis=1) for logits in each]
        mean = sum(weight * answer for weight, answer in zip(self.weights, each, strict=True))
        answered = [answer.answered for answer in answers if answer.answered is not None]
        return Output(
            from_probabilities(mean) if self.task == "classification" else mean,
            answers[0].features,
            np.logical_and.reduce(answered) if answered else None,
        )

    def fingerprint(self) -> str:
        """Hash of the members' fingerprints and their weights, in order."""
        parts = [(model.fingerprint(), float(w)) for model, w in zip(self.models, self.weights, strict=True)]
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def describe(self) -> dict[str, Any]:
        members = [model.describe() for model in self.models]
        return {
            "kind": "ensemble",
            "members": [member["kind"] for member in members],
            "weights": self.weights.tolist(),
            "parameters": _total(member["parameters"] for member in members),
            "bytes": _total(member["bytes"] for member in members),
            "feature_layer": members[0]["feature_layer"],
            "features": f"of the first member: {members[0]['features']}",
            "note": "; ".join(dict.fromkeys(member["note"] for member in members if member["note"])),
        }


def _total(counts: Any) -> int | None:
    """Their sum, None where one isn't known."""
    known = list(counts)
    return None if None in known else sum(known)
