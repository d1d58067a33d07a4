"""check_gatherer names the rule that a gatherer breaks, for every rule there is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.gather.forward import gather as sound
from uncork.run.admit import admit
from uncork.schema.artifacts import Fingerprints, Pass, PassData, ProfileData
from uncork.schema.contract import Gatherer
from uncork.testing.gatherers import check_gatherer


@pytest.fixture(scope="module")
def context() -> Context:
    x = np.random.default_rng(0).normal(size=(300, 4))
    y = (x[:, 0] > 0).astype(int)
    splits = {"validation": Split(x[:150], y[:150]), "test": Split(x[150:], y[150:])}
    return admit(Subject(LogisticRegression().fit(x, y), **splits), describe_only=False, seed=0, fan=map).context


def gatherer(gather: Callable[[Any, Context], Any], **changes: Any) -> Gatherer:
    return dataclasses.replace(sound, id="broken", gather=gather, **changes)


def changed(request: Any, context: Context, **changes: Any) -> PassData:
    return dataclasses.replace(sound.gather(request, context), **changes)


CALLS = itertools.count()


def drops_the_last_batch(request: Any, context: Context) -> PassData:
    whole = sound.gather(request, context)
    return whole.take(np.arange(len(whole) // context.batch_size * context.batch_size or len(whole)))


def sees_batches(request: Any, context: Context) -> PassData:
    whole = sound.gather(request, context)
    return dataclasses.replace(whole, loss=whole.loss * (1 + np.float32(1e-3) * (context.batch_size == 7)))


def draws_globally(request: Any, context: Context) -> PassData:
    np.random.random()  # noqa: NPY002
    return sound.gather(request, context)


def forgets_the_seed(request: Any, context: Context) -> PassData:
    whole = sound.gather(request, context)
    return dataclasses.replace(whole, margin=whole.margin + np.float32(next(CALLS)))


def no_artifact_of_the_store(request: Any, context: Context) -> ProfileData:
    return ProfileData((1, (2,)), 1, 1, np.ones(1), np.ones(1), "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gather", "sentence"),
    [
        (drops_the_last_batch, "batches of 7 give another"),
        (sees_batches, "batches of 7 give another loss"),
        (draws_globally, "global random"),
        (forgets_the_seed, "second run gives another margin"),
        (no_artifact_of_the_store, "store gives back another parameters"),
    ],
)
def test_each_rule_is_kept_watch_over(context: Context, gather: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"broken.*{sentence}"):
        check_gatherer(gatherer(gather), Pass("validation"), context)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"doc": sound.doc.replace("What it costs\n---", "Price\n---")}, "What it costs"),
        ({"price": lambda request, context: float("inf")}, "price"),
        ({"price": lambda request, context: -1.0}, "price"),
        ({"request": Fingerprints}, "answers Fingerprints"),
    ],
)
def test_what_is_declared_is_checked(context: Context, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_gatherer(dataclasses.replace(sound, **changes), Pass("validation"), context)


def test_one_that_keeps_the_rules_passes_and_measured_fields_may_vary(context: Context) -> None:
    check_gatherer(sound, Pass("validation"), context)
    check_gatherer(gatherer(forgets_the_seed), Pass("validation"), context, measured=("margin",))
    kinds = itertools.cycle([np.float32, np.float64])
    unsteady = gatherer(lambda r, c: changed(r, c, margin=np.zeros(150, next(kinds))))
    with pytest.raises(AssertionError, match="float64 for float32"):
        check_gatherer(unsteady, Pass("validation"), context, measured=("margin",))
