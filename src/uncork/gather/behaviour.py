"""Cases of stated behaviours, and which of them the model breaks.

What it gathers
---------------
Of every relation, built in for the kind of rows or the user's own (`Subject(behaviours=...)`), which cases the model
breaks: templates that are filled at random, judged by the class they should have or by one another; and rows of
validation that are changed in a way that should not change the decision.

How it streams
--------------
At most 12 fillings of a template and 250 rows of validation, seeded samples, in batches. A row that can't be changed
(a text without a word to misspell) is no case.

What it costs
-------------
A forward pass of the 250 rows, one more for each change, and one of all fillings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from uncork.gather._contract import Context, gatherer
from uncork.models.base import is_frame, rows_in
from uncork.models.guarded import rows_of
from uncork.schema.behaviour import TOLERANCE, Behaviour, Behaviours, BehavioursData
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.seeds import generator
from uncork.stress.checklist import sentiment, sentiment_classes
from uncork.stress.relations import relations_of

EXAMPLES = 3
SAMPLE = 500  # rows from which ranges and decimals are read


class Case(NamedTuple):
    """One case of one relation: its template or group, whether it broke, and what to show of it."""

    unit: int
    broke: bool
    shown: tuple[str, str, str]


def price(request: Behaviours, context: Context) -> float:
    rows = min(len(context.split("validation")), request.rows)
    stated, _ = _stated(context)
    texts = sum(len(b.templates) * request.cases * len(b.slots.get(b.varied or "", ("",))) for b in stated)
    return ((1 + sum(b.change is not None for b in stated)) * rows + texts) * context.seconds_per_row


@gatherer(Behaviours, price=price)
def gather(request: Behaviours, context: Context) -> BehavioursData:
    stated, left_out = _stated(context)
    if not stated:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "none is built in for such rows"
        raise Unavailable(f"no behaviour is stated ({why}): give Subject(behaviours=[...])")
    asker = _Asker(context)
    cases = [_of_templates(asker, b, request) if b.change is None else _of_rows(asker, b, request) for b in stated]
    counts = [len(each) for each in cases]
    everything = [case for each in cases for case in each]
    examples = {
        b.name: [list(case.shown) for case in each if case.broke][:EXAMPLES]
        for b, each in zip(stated, cases, strict=True)
    }
    return BehavioursData(
        names=tuple(b.name for b in stated),
        kinds=tuple(_kind(b) for b in stated),
        relation=np.repeat(np.arange(len(stated)), counts),
        unit=np.array([case.unit for case in everything], np.int64),
        broke=np.array([case.broke for case in everything], bool),
        examples={name: some for name, some in examples.items() if some},
        left_out=left_out,
    )


def _stated(context: Context) -> tuple[list[Behaviour], dict[str, str]]:
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: behaviours are tried on the model itself")
    split = context.split("validation")
    sample = split.take(np.arange(min(SAMPLE, len(split))))
    found, left_out = relations_of(sample)
    if isinstance(sample, list):
        named = sentiment_classes(context.facts.classes)
        if named is not None:
            found += sentiment(*named)
        else:
            why = "the classes are not named negative and positive: give Subject(behaviours=sentiment(...)) if they are"
            left_out["sentiment"] = why
    own = list(context.subject.behaviours)
    _check(own, [b.name for b in (*found, *own)], context, texts=isinstance(sample, list))
    return [*found, *own], left_out


def _check(behaviours: list[Behaviour], names: list[str], context: Context, *, texts: bool) -> None:
    classes, directions = context.facts.classes, ("up", "down")
    allowed = directions if context.facts.task == "regression" else classes
    for b in behaviours:
        if [*names, "worst"].count(b.name) != 1:
            raise BadInput(f"there are two behaviours called {b.name!r}: give each a name of its own")
        for what in (b.expected, b.toward):
            if what is not None and what not in allowed:
                raise BadInput(f"behaviour {b.name!r} names {what!r}: use one of {', '.join(allowed)}")
        if b.templates and not texts:
            raise BadInput(f"behaviour {b.name!r} has templates, but rows are no texts: give a change of rows")


class _Asker:
    """Runs the model in batches."""

    def __init__(self, context: Context) -> None:
        self.context, self.classes = context, context.facts.classes
        self.regression = context.facts.task == "regression"
        self.rows, self.given = np.zeros(0, np.int64), np.zeros((0, 0))

    def outputs(self, batch: Any) -> np.ndarray:
        """(b, K) probabilities, or (b, 1) values."""
        size, parts = self.context.batch_size, []
        n = rows_in(batch)
        for start in range(0, n, size):
            part = rows_of(batch, np.arange(start, min(start + size, n)))
            parts.append(self.context.model.outputs(part).logits.astype(np.float64))
        values = np.concatenate(parts)
        return values if self.regression else softmax(values, axis=1)

    def sampled(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows that are changed, and the outputs on them as they are, worked out once."""
        if not len(self.rows):
            split = self.context.split("validation")
            rng = generator(self.context.seed, "behaviour", "rows")
            self.rows = np.sort(rng.permutation(len(split))[:rows])
            self.given = self.outputs(split.take(self.rows))
        return self.rows, self.given

    def named(self, outputs: np.ndarray) -> str:
        return f"{outputs[0]:.4g}" if self.regression else f"{self.classes[outputs.argmax()]} ({outputs.max():.2f})"


def _of_templates(asker: _Asker, behaviour: Behaviour, request: Behaviours) -> list[Case]:
    found: list[Case] = []
    for template, text in enumerate(behaviour.templates):
        filled = behaviour.filled(template)
        rng = generator(asker.context.seed, "behaviour", behaviour.name, text)
        chosen = [filled[i] for i in sorted(rng.permutation(len(filled))[: request.cases])]
        outputs = asker.outputs([text for texts in chosen for text in texts])
        at = 0
        for texts in chosen:
            own = outputs[at : at + len(texts)]
            at += len(texts)
            found.append(_judged(asker, behaviour, template, texts, own))
    return found


def _judged(asker: _Asker, behaviour: Behaviour, template: int, texts: list[str], outputs: np.ndarray) -> Case:
    """One filling against its class, or fillings against the first: the least like it is shown."""
    if behaviour.expected is not None:
        answered = asker.named(outputs[0])
        broke = asker.classes[outputs[0].argmax()] != behaviour.expected
        return Case(template, bool(broke), (texts[0], behaviour.expected, answered))
    decided = outputs.argmax(axis=1)
    other = int(np.argmax(decided != decided[0]))
    shown = (texts[other], f"as for {texts[0]!r}: {asker.named(outputs[0])}", asker.named(outputs[other]))
    return Case(template, bool((decided != decided[0]).any()), shown)


def _of_rows(asker: _Asker, behaviour: Behaviour, request: Behaviours) -> list[Case]:
    assert behaviour.change is not None
    split = asker.context.split("validation")
    rows, given = asker.sampled(request.rows)
    batch = split.take(rows)
    u = generator(asker.context.seed, "behaviour", behaviour.name).random(len(rows))
    try:
        changed = behaviour.change(split.take(rows), u)
    except Exception as error:  # the user's own code
        raise UncorkError(
            f"behaviour {behaviour.name!r}: its change, called with (rows, one number in [0, 1) a row), raised "
            f"{type(error).__name__}: {error}"
        ) from error
    made = rows_in(changed)
    if made != len(rows):
        raise BadInput(f"behaviour {behaviour.name!r} makes {made} rows of {len(rows)}: change each into one")
    after, differs = asker.outputs(changed), _differs(batch, changed)
    broke = _broke(asker, behaviour, given, after)
    units = rows if split.groups is None else np.unique(split.groups, return_inverse=True)[1][rows]
    texts = isinstance(batch, list)
    return [
        Case(
            int(units[i]),
            bool(broke[i]),
            (changed[i] if texts else f"row {rows[i]}", asker.named(given[i]), asker.named(after[i])),
        )
        for i in np.flatnonzero(differs)
    ]


def _broke(asker: _Asker, behaviour: Behaviour, given: np.ndarray, after: np.ndarray) -> np.ndarray:
    broke: np.ndarray
    if asker.regression:
        change = (after[:, 0] - given[:, 0]) / (float(given.std()) or 1.0)
        against = {"up": -change, "down": change}.get(behaviour.toward or "", np.abs(change))
        broke = against > TOLERANCE
    elif behaviour.toward is not None:
        k = asker.classes.index(behaviour.toward)
        broke = given[:, k] - after[:, k] > TOLERANCE
    else:
        broke = given.argmax(axis=1) != after.argmax(axis=1)
    return broke


def _differs(batch: Any, changed: Any) -> np.ndarray:
    """Which rows were changed at all."""
    if isinstance(batch, list):
        return np.array([a != b for a, b in zip(batch, changed, strict=True)], bool)
    if isinstance(batch, Mapping):
        parts = np.stack([_differs(part, changed[name]) for name, part in batch.items()])
        return np.asarray(parts.any(axis=0))
    one, other = (v.to_numpy() if is_frame(v) else np.asarray(v) for v in (batch, changed))
    if one.shape != other.shape:
        return np.ones(len(one), bool)
    same = (one == other) | ((one != one) & (other != other))
    differs: np.ndarray = ~same.reshape(len(one), -1).all(axis=1)
    return differs


def _kind(behaviour: Behaviour) -> str:
    if behaviour.expected is not None:
        return "expected"
    if behaviour.varied is not None:
        return "varied"
    return "unchanged" if behaviour.toward is None else "toward"
