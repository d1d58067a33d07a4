"""The model's answers to other views of the same rows, and their mean.

What it gathers
---------------
Of each way of looking at rows (`uncork.models.views`; of any rows the user's own `Subject(behaviours=[...])` whose
decision should stay): the share of changed views that are decided wrong, and the logits of the mean probability over
the row and its views. Of pictures they are shifted, turned, scaled, mirrored, and made brighter and darker, of texts in
lower case, without punctuation, and mistyped.

How it streams
--------------
A seeded sample of at most 2,000 rows of validation, in batches; what is stored is a logit for each row, class and way.

What it costs
-------------
A forward pass of the sample for each view, of which a picture has 19, and the rotating of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from uncork.gather._contract import Context, gatherer
from uncork.models.viewed import mean_of
from uncork.models.views import SAFE, View, kinds_of, views
from uncork.schema.behaviour import Behaviour
from uncork.schema.errors import BadInput, Unavailable, UncorkError
from uncork.schema.missing_invariance import Invariance, InvarianceData
from uncork.schema.seeds import generator

DRAWS = 2  # of a change that the user states
SHOWN = 8
_NUMBER = 5e-8  # seconds that turning takes, each number

Change = Callable[[Any, slice], Any]  # (rows, which of the sample they are) → the rows changed


def price(request: Invariance, context: Context) -> float:
    split = context.split("validation")
    ways = _ways(context)
    passes, rows = 1 + sum(len(changes) for _, changes in ways.values()), min(len(split), request.rows)
    numbers = np.size(split.take(np.arange(1))) if split.kind == "array" else 0
    return passes * rows * (context.seconds_per_row + numbers * _NUMBER)


@gatherer(Invariance, price=price)
def gather(request: Invariance, context: Context) -> InvarianceData:
    size = min(len(context.split("validation")), request.rows)
    ways = _ways(context, size)
    split, model = context.split("validation"), context.model
    assert split.y is not None
    rows = np.sort(generator(context.seed, "invariance", "rows").permutation(len(split))[: request.rows])
    groups = np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    y = split.y[rows].astype(np.int64)
    own: list[np.ndarray] = []
    averaged: list[list[np.ndarray]] = [[] for _ in ways]
    lost: list[list[np.ndarray]] = [[] for _ in ways]
    for start in range(0, len(rows), context.batch_size):
        part = slice(start, start + context.batch_size)
        batch = split.take(rows[part])
        own.append(model.outputs(batch).logits)
        for t, (_, changes) in enumerate(ways.values()):
            seen = [model.outputs(change(batch, part)).logits for change in changes]
            averaged[t].append(mean_of([own[-1], *seen]))
            lost[t].append(np.mean([each.argmax(axis=1) != y[part] for each in seen], axis=0))
    return InvarianceData(
        names=tuple(ways),
        grounds=tuple(grounds for grounds, _ in ways.values()),
        rows=rows,
        clusters=groups[rows].astype(np.int64),
        y=y,
        given=np.concatenate(own),
        averaged=np.stack([np.concatenate(each) for each in averaged]),
        lost=np.stack([np.concatenate(each) for each in lost]).astype(np.float32),
    )


def _ways(context: Context, rows: int = 0) -> dict[str, tuple[str, list[Change]]]:
    """By name: why the label should stay, and the changes. `rows`: how many a change that the user states may meet."""
    if context.facts.task != "classification":
        raise Unavailable("in a regression nothing is decided that views could turn")
    if not context.facts.has_inputs:
        raise Unavailable("only predictions were given: views are shown to the model itself")
    split = context.split("validation")
    ways: dict[str, tuple[str, list[Change]]] = {}
    for name in kinds_of(split.take(np.arange(min(SHOWN, len(split))))):
        ways[name] = "safe" if name in SAFE else "", [_fixed(view) for view in views(name)]
    for behaviour in context.subject.behaviours:
        if behaviour.change is not None and behaviour.toward is None:
            ways[behaviour.name] = "stated", [_stated(behaviour, context.seed, draw, rows) for draw in range(DRAWS)]
    if not ways:
        raise Unavailable(
            "nothing is known that leaves such rows as they are: give Subject(behaviours=[Behaviour(name, change=...)])"
        )
    return ways


def _fixed(view: View) -> Change:
    return lambda batch, part: view(batch)


def _stated(behaviour: Behaviour, seed: int, draw: int, rows: int) -> Change:
    u = generator(seed, "invariance", behaviour.name, draw).random(rows)

    def change(batch: Any, part: slice) -> Any:
        assert behaviour.change is not None
        try:
            changed = behaviour.change(batch, u[part])
        except Exception as error:  # the user's own code
            raise UncorkError(
                f"behaviour {behaviour.name!r}: its change raised {type(error).__name__}: {error}"
            ) from error
        if len(changed) != len(batch):
            raise BadInput(
                f"behaviour {behaviour.name!r} makes {len(changed)} rows of {len(batch)}: change each into one"
            )
        return changed

    return change
