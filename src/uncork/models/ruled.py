"""A model with rules: rows of a table for which a rule holds get its class, all others what they got."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from uncork.derived.patches import swapped
from uncork.models.base import Model, Output, is_frame
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool

PREFIX = "if "
_COLUMN, _HOW, _VALUE = r"[^<>=!'\"]+?", r"<=|>=|==|!=|<|>", r"'[^']*'|\"[^\"]*\"|[\w.+-]+"
_COMPARISON = re.compile(rf"(?:^|\s+and\s+)\s*({_COLUMN})\s*({_HOW})\s*({_VALUE})")
_POSITION = re.compile(r"x\[(\d+)\]")
_NUMBERS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


@dataclasses.dataclass(frozen=True)
class Rule:
    """Comparisons of columns with values that all have to hold: `if age > 30 and job == 'admin'`.

    A column is one of a DataFrame by its name, or `x[3]` of a matrix. Numbers are compared by <, <=, >, >=, == and !=,
    texts by the last two. A missing value fulfils nothing.
    """

    text: str
    comparisons: tuple[tuple[str, str, str], ...]

    @classmethod
    def read(cls, text: str) -> Rule:
        """The rule that a text says. Raises BadInput where it says none; nothing of it is ever run as code."""
        said = text.removeprefix(PREFIX).strip()
        found = list(_COMPARISON.finditer(said))
        if "".join(match.group() for match in found) != said or not found:
            raise BadInput(f"{text!r} is no rule: write comparisons, such as: if age > 30 and job == 'system admin'")
        return cls(text, tuple((column, how, value) for column, how, value in (match.groups() for match in found)))

    def holds(self, batch: Any) -> Bool[np.ndarray, " b"]:
        """Of which rows of a batch it holds. Raises BadInput where a column is not there, or can't be compared so."""
        mask = np.ones(len(batch), bool)
        for column, how, value in self.comparisons:
            mask &= self._fulfilled(_column(batch, column, self.text), how, value)
        return mask

    def _fulfilled(self, values: np.ndarray, how: str, value: str) -> np.ndarray:
        if values.dtype.kind in "iufb":
            try:
                limit = float(value)
            except ValueError:
                raise BadInput(f"{self.text!r} compares a column of numbers with {value}: give a number") from None
            if how in _NUMBERS:
                return np.asarray(_NUMBERS[how](values, limit))
            there, same = ~np.isnan(values.astype(np.float64)), values == limit
        elif how in _NUMBERS:
            raise BadInput(f"{self.text!r} orders a column that holds no numbers: compare it by == or !=")
        else:
            there = np.array([v is not None and v == v for v in values.tolist()], bool)
            same = np.array([str(v) == value.strip("'\"") for v in values.tolist()], bool)
        return np.asarray(there & (same == (how == "==")))


class Ruled(Wrapped):
    """`inner` with rules, each with the class it says. Where several hold the first decides; the logit of its class and
    the largest are exchanged, so that the row is as sure as it was. Other rows get `inner`'s own logits, bit for bit.

    Raises BadInput where a class is none of `inner`'s.
    """

    called = "a rule"

    def __init__(self, inner: Model, rules: Sequence[tuple[Rule, int]]) -> None:
        super().__init__(inner)
        self.rules = tuple((rule, int(label)) for rule, label in rules)
        for rule, label in self.rules:
            if not 0 <= label < inner.n_outputs:
                raise BadInput(f"{rule.text!r} says class {label}: the model has {inner.n_outputs} outputs")
        self.told = {"rules": [[rule.text, label] for rule, label in self.rules]}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        """Where no rule holds: as they are."""
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        out = self.inner.outputs(batch, features)
        said = np.full(len(out.logits), -1)
        for rule, label in reversed(self.rules):
            said[rule.holds(batch)] = label
        held = np.flatnonzero(said >= 0)
        if not len(held):
            return out
        logits = out.logits.copy()
        logits[held] = swapped(out.logits[held], said[held])
        return dataclasses.replace(out, logits=logits)


def _column(batch: Any, name: str, rule: str) -> np.ndarray:
    if is_frame(batch):
        if name not in list(batch.columns):
            raise BadInput(f"{rule!r} compares {name!r}, which is no column: there are {', '.join(batch.columns)}")
        return np.asarray(batch[name].to_numpy())
    position = _POSITION.fullmatch(name)
    if not isinstance(batch, np.ndarray) or batch.ndim != 2:
        raise BadInput(f"{rule!r}: rules are for tables, and these rows are none: name rows by their ids")
    if position is None or int(position.group(1)) >= batch.shape[1]:
        raise BadInput(f"{rule!r} compares {name!r}: columns of a matrix are called x[0] to x[{batch.shape[1] - 1}]")
    return batch[:, int(position.group(1))]
