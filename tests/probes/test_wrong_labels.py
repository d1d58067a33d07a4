"""wrong-labels: planted labels are counted, only the confirmed gain is headroom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncork.derived.label_errors import flagged
from uncork.probes.wrong_labels import measure
from uncork.schema.artifacts import RelabelledData
from uncork.schema.finding import NotApplicable
from uncork.schema.metric import Metric
from uncork.schema.pool import PoolData
from uncork.schema.seeds import generator
from uncork.testing.artifacts import facts, relabelled
from uncork.testing.measurements import check_measurement
from uncork.testing.pools import a_pool, no_pool
from uncork.testing.probes import check_probe, verdict


def given(pool: PoolData, metric: Any = "error", anew: RelabelledData | None = None, **known: Any) -> dict[str, Any]:
    classes = tuple(f"class {i}" for i in range(pool.on_train.shape[2]))
    about = facts(**{"metric": Metric(metric), "classes": classes, **known})
    return {"pool": pool, "relabelled": anew or relabelled(), "facts": about}


def confirmed(gain: float, flipped: float = 0.2, n: int = 900, v: int = 2000, **changes: Any) -> PoolData:
    """Leaving out the flagged rows takes `gain` from the share of errors."""
    arms = {"drop-flagged": -gain}
    return a_pool(n, v, arms=arms, confirmed=("drop-flagged",), flipped=flipped, **{"error": 0.15, **changes})


def test_keeps_the_contract() -> None:
    check_probe(
        measure,
        lambda: given(confirmed(0.05)),
        null=lambda seed: given(confirmed(0.0, flipped=0.0, v=500, seed=seed)),
    )


def test_the_confirmed_gain_is_the_headroom() -> None:
    pool = confirmed(0.06)
    found = measure(**given(pool), rng=generator(0))
    assert found.headroom.low < 60 < found.headroom.high
    assert verdict(measure, given(pool)) == "bottleneck"
    assert "the recipe gains" in found.summary
    assert verdict(measure, given(confirmed(-0.06))) == "clear"


def test_without_the_arm_there_is_no_headroom() -> None:
    pool = a_pool(900, flipped=0.2, left_out={"drop-flagged": "the budget was spent"})
    found = measure(**given(pool), rng=generator(0))
    assert found.headroom is None
    assert "the budget was spent" in found.summary
    assert verdict(measure, given(pool)) == "undetermined"


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_planted_labels_are_counted(share: float) -> None:
    pool = a_pool(1500, flipped=share, error=0.05)
    wrong = pool.y != np.arange(1500) % 3
    found = measure(**given(pool), rng=generator(0))
    for kind in ("random", "lookalike"):
        rate = found.estimates[f"noise_if_{kind}"]
        assert rate.low <= share <= rate.high
        precision = found.estimates[f"precision_if_{kind}"]
        assert precision.low <= wrong[flagged(pool)].mean() <= precision.high
    ceiling = found.estimates["errors_of_labels"]
    assert ceiling.low < 1000 * share < ceiling.high
    assert found.estimates["out_of_sample_error"].value == pytest.approx(1000 * (share + 0.05 - share * 0.075), abs=20)
    assert wrong[found.details[1].data["rows"]].all()


def test_suspicious_rows_by_hand() -> None:
    pool = a_pool(900, flipped=0.1)
    found = measure(**given(pool), rng=generator(0))
    shown = found.details[1].data
    assert shown["split"] == "train"
    assert len(shown["rows"]) == len(shown["values"]) == 20
    for row, (label, other, p, q, flag) in zip(shown["rows"], shown["values"], strict=True):
        assert label == f"class {pool.y[row]}" != other
        assert p < q
        assert flag == "yes"
        assert other == f"class {row % 3}"


def test_two_classes_give_one_model() -> None:
    found = measure(**given(a_pool(900, classes=2, flipped=0.1)), rng=generator(0))
    assert "noise_if_lookalike" not in found.estimates
    assert "of two classes" in found.summary


def test_rows_labelled_anew_narrow_the_rate() -> None:
    """The range by noise model stays; nothing that is given anew is asked for again."""
    pool = a_pool(900, flipped=0.1)
    rows = np.random.default_rng(0).permutation(900)[:150]
    anew = relabelled({int(row): int(row) % 3 for row in rows}, asked=["7"])
    plain, found = (measure(**given(pool, anew=a), rng=generator(0)) for a in (None, anew))
    share = found.estimates["noise_by_relabelling"]
    assert share.low <= 0.1 <= share.high
    assert f"By the 150 rows labelled anew {100 * share.value:.1f} % (" in found.summary
    assert plain.estimates == {k: e for k, e in found.estimates.items() if k != "noise_by_relabelling"}
    assert "Rows to relabel" not in [d.title for d in found.details]
    check_measurement(measure, found, given(pool, anew=anew))


def test_rows_to_relabel() -> None:
    found = measure(**given(a_pool(900, flipped=0.1), anew=relabelled(asked=["a-7", "b-3"])), rng=generator(0))
    asked = found.details[-1]
    assert asked.title == "Rows to relabel"
    assert asked.data == {"columns": ["id"], "rows": [["a-7"], ["b-3"]]}
    assert "--relabelled TABLE" in asked.note
    assert "noise_by_relabelling" not in found.estimates


def test_nothing_flagged_is_nothing_to_gain_where_it_would_have_been_found() -> None:
    pool = a_pool(900, error=0.005)
    found = measure(**given(pool), rng=generator(0))
    assert (found.headroom.value, found.headroom.low, found.headroom.high) == (0, 0, 0)
    assert "no row is flagged" in found.headroom.method
    assert verdict(measure, given(pool)) == "clear"


def test_nothing_flagged_proves_nothing_where_nothing_could_be() -> None:
    """Every tenth row is sure, the others hardly know: only the sure ones reach what a class is given on average."""
    pool = a_pool(900)
    logits = np.zeros_like(pool.on_train)
    logits[:, np.arange(900), pool.y] = np.where(np.arange(900) % 10, 0.5, 8.0)
    pool = a_pool(900, on_train=logits)
    assert not flagged(pool).any()
    found = measure(**given(pool), rng=generator(0))
    assert found.headroom is None
    assert found.estimates["recall_if_random"].value == pytest.approx(0.1, abs=0.01)
    assert "proves nothing" in found.summary


def test_poor_models_are_doubted_and_wrong_labels_are_not_their_fault() -> None:
    poor = measure(**given(a_pool(1500, error=0.4)), rng=generator(0))
    assert "may be the recipe's own mistakes" in poor.summary
    noisy = measure(**given(a_pool(1500, classes=10, flipped=0.4, error=0.03)), rng=generator(0))
    assert noisy.estimates["out_of_sample_error"].value > 300
    assert "own mistakes" not in noisy.summary


@pytest.mark.parametrize(
    ("artifacts", "why"),
    [
        (given(no_pool()), "no recipe was given"),
        (given(a_pool(100, halves=2, left_out={"halves": "the budget was spent"})), "it takes 4: the budget was spent"),
        (given(a_pool(100), "rmse", task="regression", classes=()), "a regression has none"),
    ],
)
def test_not_applicable(artifacts: dict[str, Any], why: str) -> None:
    found = measure(**artifacts, rng=generator(0))
    assert isinstance(found, NotApplicable)
    assert why in found.reason


@pytest.mark.parametrize("metric", ["error", "accuracy", "log-loss"])
@pytest.mark.parametrize("changes", [{}, {"n": 30}, {"error": 0.001}, {"halves": 4}, {"classes": 2, "flipped": 0.45}])
def test_edge_cases(metric: str, changes: dict[str, Any]) -> None:
    artifacts = given(confirmed(0.01, **{"n": 200, "v": 200, "flipped": 0.1, **changes}), metric)
    check_measurement(measure, measure(**artifacts, rng=generator(0)), artifacts)
