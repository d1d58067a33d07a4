"""Shifted rows: which are read, which correspond to validation's, and which labels may be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from uncork import Predictions, Split, Subject
from uncork.data.thirds import thirds, unlike
from uncork.gather._contract import Context
from uncork.gather.shifted import gather, measured
from uncork.gather.shifted_labels import gather as gather_labels
from uncork.gather.shifted_labels import settled
from uncork.run.admit import admit
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.shifted import Shifted, ShiftedLabels
from uncork.testing.gatherers import check_gatherer

N = 120
NAMES = ("cat", "dog", "cow")


def rows(n: int, seed: int, **beside: Any) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.normal(size=(n, 4)).astype(np.float32), np.arange(n) % 3, **beside)


def subject(**changes: Any) -> Subject:
    splits = {"train": rows(90, 0), "validation": rows(150, 1), "test": rows(90, 2), "shifted": rows(N, 3)}
    return Subject(nn.Linear(4, 3), **{"classes": NAMES, **splits, **changes})


def unlabelled(**beside: Any) -> Split:
    return Split(rows(N, 3).take(np.arange(N)), **beside)


def test_keep_the_contract(context_of: Callable[..., Context]) -> None:
    named = subject(
        validation=rows(150, 1, ids=[f"p{i}" for i in range(150)]), shifted=rows(N, 3, ids=[f"p{i}" for i in range(N)])
    )
    for given in (subject(), named, subject(shifted=unlabelled())):
        context = context_of(given)
        check_gatherer(gather, Shifted(), context, measured=("seconds",))
        check_gatherer(gather_labels, ShiftedLabels(), context)
        check_gatherer(gather_labels, ShiftedLabels(), dataclasses.replace(context, labels=40))


def test_thirds_are_disjoint_and_hang_on_the_id_alone() -> None:
    split = rows(600, 0, ids=[f"p{i}" for i in range(600)])
    parts = thirds(split)
    assert sorted(np.concatenate(parts).tolist()) == list(range(600))
    assert all(150 < len(part) < 250 for part in parts)  # 200 ± 11.5
    some = split.subset(np.arange(599, 99, -1))
    for part, again in zip(parts, thirds(some), strict=True):
        assert set(some.ids[again]) == set(split.ids[part]) & set(some.ids)


def test_groups_stay_in_one_third_and_times_stay_in_order() -> None:
    groups = np.arange(300) // 5
    parts = thirds(rows(300, 0, groups=groups))
    assert sum(len(np.unique(groups[part])) for part in parts) == 60
    times = np.random.default_rng(0).permutation(300)
    cut = thirds(rows(300, 0, times=times))
    assert [times[part].min() for part in cut] == [0, 100, 200]
    both = thirds(rows(300, 0, groups=np.arange(300) // 50, times=np.arange(300)))
    assert [len(part) for part in both] == [100, 100, 100]
    with pytest.raises(BadInput, match="2 rows with 2 ids are too few to cut in three"):
        thirds(rows(2, 0))


def test_rows_that_share_an_id_or_a_group() -> None:
    here, there = rows(4, 0, ids=list("abcd"), groups=[1, 2, 3, 4]), rows(2, 0, ids=["b", "x"], groups=[4, 9])
    assert unlike(here, there).tolist() == [True, False, True, False]
    assert unlike(rows(4, 0), there).all()


def test_the_last_third_is_not_read_where_remedies_can_be_judged(context_of: Callable[..., Context]) -> None:
    context = context_of(subject())
    prove = thirds(context.split("shifted")).prove
    data = gather.gather(Shifted(), context)
    assert set(data.rows) == set(range(N)) - set(prove)
    assert (data.size, len(data), len(data.predicted)) == (N, N - len(prove), N - len(prove))
    labels = gather_labels.gather(ShiftedLabels(), context)
    assert labels.rows.tolist() == data.rows.tolist()
    assert (labels.labels == labels.rows % 3).all()
    assert not labels.sampled
    assert len(measured(context_of(subject(shifted=unlabelled())))) == N
    described = admit(subject(validation=None), describe_only=True, seed=0, fan=context.fan).context
    assert len(measured(described)) == N
    with pytest.raises(Unavailable, match=r"no shifted split was given: give Subject\(shifted=...\)"):
        gather.gather(Shifted(), context_of(subject(shifted=None)))
    alone = subject(shifted=rows(90, 3, groups=np.zeros(90)))  # one place: nothing can be proven there, all can be told
    assert len(measured(context_of(alone))) == 90


def test_rows_with_one_id_are_pairs_and_one_cluster(context_of: Callable[..., Context]) -> None:
    validation = rows(150, 1, ids=[f"p{i}" for i in range(150)])
    shifted = unlabelled(ids=[*(f"p{i}" for i in range(100, 199)), *("x" for _ in range(21))])
    data = gather.gather(Shifted(), context_of(subject(validation=validation, shifted=shifted)))
    assert data.pairs.tolist() == [[i, 100 + i] for i in range(50)]
    assert data.clusters[:50].tolist() == list(range(100, 150))
    assert (data.clusters[50:] >= 150).all()
    assert len(np.unique(data.clusters)) == N
    plain = gather.gather(Shifted(), context_of(subject(shifted=unlabelled())))
    assert len(plain.pairs) == 0  # positions name no row
    assert plain.clusters.min() == 150


def test_groups_are_numbered_as_validation_s(context_of: Callable[..., Context]) -> None:
    """Validation's groups are numbered by name: a, b, c; d lies in shifted alone."""
    validation = rows(150, 1, groups=np.array(["c", "a", "b"])[np.arange(150) % 3])
    shifted = unlabelled(groups=np.array(["b", "d"])[np.arange(N) % 2])
    data = gather.gather(Shifted(), context_of(subject(validation=validation, shifted=shifted)))
    assert data.clusters[:4].tolist() == [1, 3, 1, 3]
    alone = gather.gather(Shifted(), context_of(subject(shifted=shifted)))
    assert alone.clusters[:4].tolist() == [150, 151, 150, 151]


def test_of_predictions_and_of_text_no_inputs_are_told_apart(context_of: Callable[..., Context]) -> None:
    p = np.full((N, 3), 1 / 3)
    splits = {name: Split(p, np.arange(N) % 3) for name in ("validation", "test", "shifted")}
    data = gather.gather(Shifted(), context_of(Subject(Predictions(), **splits)))
    assert "only predictions were given" in data.told.reason


def test_inputs_are_told_apart(context_of: Callable[..., Context]) -> None:
    """A shift by 3 s.d. in each of four columns, and none."""
    x = rows(N, 3).take(np.arange(N))
    for by, least, most in ((3.0, 0.99, 1.0), (0.0, 0.3, 0.7)):
        told = gather.gather(Shifted(), context_of(subject(shifted=Split(x + np.float32(by))))).told
        auc = np.mean([np.mean(told.score[told.new & (told.fold == f)][:, None]
                               > told.score[~told.new & (told.fold == f)]) for f in (0, 1)])  # fmt: skip
        assert least <= auc <= most


def test_a_budget_of_labels(context_of: Callable[..., Context]) -> None:
    context = context_of(subject())
    budget = dataclasses.replace(context, labels=settled(40, context))
    found = gather_labels.gather(ShiftedLabels(), budget)
    assert len(found) == 40
    assert found.sampled
    assert set(found.rows) <= set(measured(context))
    assert (found.labels == found.rows % 3).all()
    assert found.asked == ()
    asking = context_of(subject(shifted=unlabelled(ids=[f"s{i}" for i in range(N)])))
    found = gather_labels.gather(ShiftedLabels(), dataclasses.replace(asking, labels=40))
    assert (len(found), len(set(found.asked))) == (0, 40)
    assert set(found.asked) <= {f"s{i}" for i in range(N)}
    assert gather_labels.gather(ShiftedLabels(), asking).asked == ()


def test_labels_that_were_brought(context_of: Callable[..., Context], tmp_path: Path) -> None:
    context = context_of(subject(shifted=unlabelled(ids=[f"s{i}" for i in range(N)])))
    (tmp_path / "l.csv").write_text("id,label\n" + "".join(f"s{i},{NAMES[i % 3]}\n" for i in range(59, 19, -1)))
    for given in ({f"s{i}": i % 3 for i in range(59, 19, -1)}, tmp_path / "l.csv"):
        labels = settled(given, context)
        found = gather_labels.gather(ShiftedLabels(), dataclasses.replace(context, labels=labels))
        assert found.rows.tolist() == list(range(20, 60))
        assert (found.labels == found.rows % 3).all()
        assert found.sampled


@pytest.mark.parametrize(
    ("given", "changes", "why"),
    [
        (40, {"shifted": None}, r"labels are of rows of shifted, and none was given"),
        (29, {}, "labels=29: give a number of rows of shifted, from 30 to 120"),
        (121, {}, "labels=121"),
        (True, {}, "labels=True"),
        ({"0": 1}, {}, "labels were brought, but shifted has its own"),
        ({"0": 1}, {"shifted": unlabelled()}, "labels holds 1 rows: label 30 or more, drawn at random"),
        ({str(i): 3 for i in range(40)}, {"shifted": unlabelled()}, "labels: label holds 3 in row 0"),
        ({f"x{i}": 1 for i in range(40)}, {"shifted": unlabelled()}, "the id 'x0', which is no id of shifted"),
        ([1], {"shifted": unlabelled()}, "labels is of type list"),
        ("nowhere.csv", {"shifted": unlabelled()}, "there is no such file"),
    ],
)
def test_what_does_not_fit(context_of: Callable[..., Context], given: Any, changes: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        settled(given, context_of(subject(**changes)))


def test_targets_of_a_regression(context_of: Callable[..., Context]) -> None:
    x = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    splits = {name: Split(x, x[:, 0]) for name in ("train", "validation", "test")}
    context = context_of(Subject(nn.Linear(4, 1), **splits, shifted=Split(x), metric="rmse"))
    found = settled({str(i): i / 2 for i in range(40)}, context)
    assert isinstance(found, tuple)
    assert found[1].tolist() == [i / 2 for i in range(40)]
    with pytest.raises(BadInput, match="label holds 'a', which is no number"):
        settled(dict.fromkeys(map(str, range(40)), "a"), context)
    data = gather.gather(Shifted(), context)
    assert data.logits.shape == (N, 0)
