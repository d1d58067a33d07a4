"""distil: the smallest student within the tolerance, against the same one trained on the labels alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_helpers import SOUND, error, estimator, net, of_width, same_weights, subject_of

from uncork import Split, Subject
from uncork.remedies.distil import Distilled, apply
from uncork.schema.errors import Unavailable
from uncork.schema.metric import Metric
from uncork.testing.remedies import check_remedy

Digits = tuple[np.ndarray, np.ndarray]
CaseOf = Callable[..., Any]


def trained(digits: Digits, width: int, n: int, epochs: int = 20, **settings: Any) -> Subject:
    x, y = digits
    recipe = of_width(width).replace(epochs=epochs)
    train = Split(x[:n], y[:n])
    held = Split(x[1000:1200], y[1000:1200])
    return Subject(recipe.fit(train, seed=0), train=train, validation=held, test=None, recipe=recipe, **settings)


@pytest.mark.parametrize(("delta", "times", "few"), [(900.0, "4 times", 610), (1e-6, "2 times", 1210)])
def test_it_takes_the_smallest_within_the_tolerance_or_the_largest(
    case_of: CaseOf, digits: Digits, delta: float, times: str, few: int
) -> None:
    given = trained(digits, 32, 100, epochs=2, metric=Metric("error", delta=delta))
    case = case_of(given)
    treated = apply.apply(case)
    assert f"{times} narrower, {few:,} parameters" in treated.changes
    control = apply.control(case, treated)
    assert isinstance(treated.train, Distilled)
    assert isinstance(control.train, Distilled)
    assert (treated.train.steps, treated.train.size) == (control.train.steps, control.train.size)
    assert control.train.teacher is None
    assert same_weights(control.train(control.subject, 1), treated.subject.recipe.fit(given.train, seed=1))


@pytest.mark.slow
def test_being_taught_is_worth_something_where_labels_are_wrong(case_of: CaseOf, digits: Digits) -> None:
    """A fifth of the labels of 300 rows are turned; the teacher was trained on 700 right ones. Errors over seeds 0 to
    2: .07 taught, .2 by the labels alone."""
    x, y = digits
    teacher = of_width(64).fit(Split(x[:700], y[:700]), seed=0)
    turned = y[:300].copy()
    turned[::5] = (turned[::5] + 1) % 10
    given = Subject(
        teacher,
        train=Split(x[:300], turned),
        validation=Split(x[700:1000], y[700:1000]),
        test=None,
        recipe=of_width(64),
    )
    case = case_of(given)
    treated, fresh = apply.apply(case), (x[1000:], y[1000:])
    taught, alone = (error(side, given.train, *fresh) for side in (treated, apply.control(case, treated)))
    assert taught < alone - 0.05


def test_keeps_the_contract(case_of: CaseOf, digits: Digits) -> None:
    given = trained(digits, 16, 60, epochs=1)
    check_remedy(apply, lambda: case_of(given))


def test_it_says_why_it_can_not(case_of: CaseOf, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(Unavailable, match="makes no smaller net"):
        apply.apply(case_of(subject_of(SOUND.replace(build=lambda: net()), x[:100], y[:100])))
    with pytest.raises(Unavailable, match="makes no smaller net"):
        apply.apply(case_of(subject_of(of_width(1), x[:100], y[:100])))
    with pytest.raises(Unavailable, match="callable, whose settings"):
        apply.apply(case_of(subject_of(estimator, x[:200], y[:200])))


@pytest.mark.slow
def test_of_an_encoder_the_first_layers_are_kept(case_of: CaseOf, tmp_path: Path) -> None:
    from uncork import load_treated
    from uncork.models.adapt import adapt
    from uncork.run.save import save_treated
    from uncork.testing.texts import reviews, tiny_folder
    from uncork.train.encoders import Tokens, linear_probe, probed

    folder = tiny_folder(tmp_path / "encoder")
    tokens, recipe, train = Tokens(folder), linear_probe(folder, 2, epochs=3), reviews(60, 0)
    whole = probed(recipe, train, preprocess=tokens)
    given = Subject(whole, train=train, validation=reviews(40, 1), test=None, recipe=recipe, preprocess=tokens)
    treated = apply.apply(case_of(given, n_classes=2))
    assert "the first 1 of 2 layers" in treated.changes
    made = treated.train(treated.subject, 0)
    assert made.encoder.depth == 1
    before, after = whole.state_dict(), made.state_dict()
    assert set(after) < set(before)
    assert any(not torch.equal(before[name], after[name]) for name in after if "layer.0" in name)
    kept = treated.subject.replace(model=made)
    save_treated(tmp_path, kept, adapt(kept, "classification"), ["distil"])
    again = load_treated(tmp_path, build=recipe.build, preprocess=tokens)
    texts = given.validation.take(np.arange(8))
    np.testing.assert_array_equal(again.outputs(texts).logits, adapt(kept, "classification").outputs(texts).logits)
