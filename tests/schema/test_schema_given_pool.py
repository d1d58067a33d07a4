"""GivenPool: shapes are settled, and what can't be used is refused with the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncork import BadInput, Pool
from uncork.schema.given_pool import FoldTable, GivenPool
from uncork.schema.pool import FOLD
from uncork.testing.pools import a_pool, no_pool

P = np.full((6, 3), 1 / 3)
FOLDS = np.arange(6) % 3


def changed(row: int, values: Any) -> np.ndarray:
    p = P.copy()
    p[row] = values
    return p


def test_one_run() -> None:
    given = Pool.from_predictions(P, FOLDS)
    assert isinstance(given, GivenPool)
    assert given.words == "predictions"
    assert len(given.predictions) == len(given.folds) == 1
    assert np.array_equal(given.predictions[0], P)
    assert given.folds[0].tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("probabilities", [[P, P], (P, P), np.stack([P, P])])
@pytest.mark.parametrize("folds", [FOLDS, FOLDS.tolist(), [FOLDS, FOLDS[::-1]], np.stack([FOLDS, FOLDS[::-1]])])
def test_repeats(probabilities: Any, folds: Any) -> None:
    """One list of folds stands for all repeats."""
    given = Pool.from_predictions(probabilities, folds)
    assert [p.shape for p in given.predictions] == [(6, 3), (6, 3)]
    assert given.folds[1].tolist() == np.atleast_2d(folds)[-1].tolist()


def test_a_list_of_rows_is_one_run_even_where_it_is_square() -> None:
    assert len(Pool.from_predictions(np.eye(3).tolist(), [0, 1, 2]).predictions) == 1
    assert len(Pool.from_predictions(P.tolist(), FOLDS).predictions) == 1


def test_one_column_is_kept_for_the_subject_to_say_what_it_is() -> None:
    values = np.arange(6.0)
    assert Pool.from_predictions(values, FOLDS).predictions[0].shape == (6, 1)
    assert [p.shape for p in Pool.from_predictions([values, values], FOLDS).predictions] == [(6, 1), (6, 1)]


def test_a_table_is_only_named() -> None:
    given = Pool.from_predictions("oof.csv", ids="row", columns=["a", "b"])
    assert given.table == FoldTable("oof.csv", "fold", None, "row", ("a", "b"))
    assert given.words == "predictions"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Pool.from_predictions(P), "folds is missing: give, for each row of train"),
        (lambda: Pool.from_predictions(P, FOLDS[:5]), "probabilities has 6 rows but folds has 5"),
        (lambda: Pool.from_predictions([P, P[:5]], FOLDS), "probabilities of repeat 1 has 5 rows but folds has 6"),
        (lambda: Pool.from_predictions([P, np.full((6, 2), 0.5)], FOLDS), "the first repeat has \\(6, 3\\)"),
        (lambda: Pool.from_predictions(P, [FOLDS, FOLDS]), "folds are given for 2 repeats, but there are 1"),
        (lambda: Pool.from_predictions(P, [FOLDS, FOLDS[:4]]), "repeats of different lengths"),
        (lambda: Pool.from_predictions(P, np.zeros(6, int)), "folds names one fold only"),
        (lambda: Pool.from_predictions(P, [0, 1, 2, np.nan, 1, 2]), "folds holds \\[nan\\] in row 3"),
        (lambda: Pool.from_predictions(P, [0, 1, 2, 0.5, 1, 2]), "folds holds \\[0.5\\] in row 3"),
        (lambda: Pool.from_predictions(P, list("abcabc")), "folds holds <U1: give ints"),
        (lambda: Pool.from_predictions(P, []), "folds has shape \\(0,\\)"),
        (lambda: Pool.from_predictions(changed(4, np.nan), FOLDS), "probabilities holds NaN or infinity in row 4"),
        (lambda: Pool.from_predictions(changed(2, 1.0), FOLDS), "row 2 sum to 3, not 1: give softmax outputs"),
        (lambda: Pool.from_predictions(changed(2, (-1, 1, 1)), FOLDS), "row 2 include -1: give softmax outputs"),
        (lambda: Pool.from_predictions([P, changed(5, 0)], FOLDS), "probabilities of repeat 1: .* row 5 sum to 0"),
        (lambda: Pool.from_predictions(np.zeros((6, 3, 2, 2)), FOLDS), "probabilities has shape"),
        (lambda: Pool.from_predictions(list("abcdef"), FOLDS), "holds no numbers"),
        (lambda: Pool.from_predictions(P, FOLDS, ids=["a"]), "ids has shape \\(1,\\), but there are 6 rows"),
        (lambda: Pool.from_predictions(P, FOLDS, columns=["a"]), "columns of a table"),
        (lambda: Pool.from_predictions("oof.csv", FOLDS), "folds is of type ndarray: with a table give the name"),
        (lambda: Pool.from_checkpoints([object()]), "1 checkpoint: give at least 2, better 3"),
        (lambda: Pool.from_checkpoints([]), "0 checkpoint"),
        (lambda: Pool.from_checkpoints([P, FOLDS, P]), "models 0 and 2 are the same"),
        (lambda: Pool.from_checkpoints(["a.pt", "a.pt"]), "models 0 and 1 are the same"),
        (lambda: Pool.from_checkpoints("a.pt"), "models is of type str: give a list"),
    ],
)
def test_bad_input(make: Callable[[], GivenPool], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        make()


def test_a_prefix_of_a_brought_pool_is_all_that_is_asked_for() -> None:
    """Nothing is gained by leaving out models that are there; folds are never cut."""
    pool = a_pool(60, 50, halves=0, full=5, brought=True)
    assert len(pool.prefix(Pool(full=3))) == 5
    assert len(pool.prefix(Pool(halves=4))) == 0
    folds = a_pool(60, 0, halves=0, full=7, brought=True, size=np.full(7, FOLD), part=np.arange(7))
    assert len(folds.prefix(Pool(halves=4))) == 7
    assert len(folds.prefix(Pool(full=3))) == 0


def test_a_prefix_keeps_the_reason_why_there_is_no_pool() -> None:
    assert no_pool("no recipe").prefix(Pool(full=3)).left_out == {"pool": "no recipe"}
