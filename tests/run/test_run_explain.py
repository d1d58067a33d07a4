"""One case explained: each part against brute force, and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_helpers import rows, small, split
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from torch import nn

import uncork
from uncork import BadInput, Predictions, Report, Split, Subject, audit, explain
from uncork.gather._members import Member, MemberData
from uncork.run import nearby
from uncork.run.account import _coloured
from uncork.run.folder import RunFolder
from uncork.run.nearby import as_pixels, scale_of, shown

VOTES = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])  # what retrained models say of every row


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run with a declared threat, and four models retrained on all of train, of which the last diverged."""
    subject = small(require={"linf": 0.5}, validation=split(600, 2, ids=[f"v{i}" for i in range(600)]))
    out = tmp_path_factory.mktemp("run") / "small"
    made = audit(subject, budget=60, probes=["miscalibration"], pool="off", out=out)
    folder = RunFolder.at(out)
    store = folder.store(folder.about())
    for seed, logits in enumerate([*VOTES, VOTES[0]]):
        outputs = np.tile(logits, (600, 1)).astype(np.float16)
        failed = "" if seed < 3 else "its loss became NaN"
        store.put(Member(1, seed, 0), MemberData(outputs[:200], outputs, 10, 1.0, failed))
    return made


@pytest.fixture
def no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearby, "MAPPED", 30)


@pytest.fixture(scope="module")
def case(report: Report) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearby, "MAPPED", 30)
        return explain(report, "v7")


def test_prediction_set_and_temperature(report: Report, case: Any) -> None:
    x, y = rows(600, 2)
    logits = report.live.model(torch.from_numpy(x)).detach().numpy().astype(np.float64)
    p = softmax(logits, axis=1)
    others = np.arange(600) != 7
    assert (case.split, case.id) == ("validation", "v7")
    assert case.decided == str(p[7].argmax())
    assert case.right == (p[7].argmax() == y[7])
    assert case.odds[0].probability == pytest.approx(p[7].max(), abs=1e-3)
    # Split conformal on the other rows: the ⌈600 · .9⌉-th smallest of 1 − p(label).
    scores = np.sort(1 - p[others, y[others]])
    inside = 1 - p[7] <= scores[int(np.ceil(600 * 0.9)) - 1] + 1e-4
    assert {odds.name for odds in case.odds if odds.in_set} == set(np.flatnonzero(inside).astype(str))
    assert case.set_of == 599
    losses = {t: -log_softmax(logits[others] / t, axis=1)[np.arange(599), y[others]].mean() for t in (0.9, 1.0, 1.1)}
    at = {
        t: -log_softmax(logits[others] / (t * case.temperature), axis=1)[np.arange(599), y[others]].mean()
        for t in losses
    }
    assert at[1.0] < min(at[0.9], at[1.1])
    expected = softmax(logits[7] / case.temperature).max()
    assert case.odds[0].calibrated == pytest.approx(expected, abs=1e-3)


def test_neighbours_and_mistakes_by_brute_force(report: Report, case: Any) -> None:
    train, (x, y) = rows(200, 1), rows(600, 2)
    mean, spread = train[0].mean(axis=0), train[0].std(axis=0)
    here = (x[7] - mean) / spread  # the features of a linear net are its inputs
    distance = np.sqrt((((train[0] - mean) / spread - here) ** 2).mean(axis=1))
    assert [near.id for near in case.neighbours] == [str(i) for i in np.argsort(distance)[:6]]
    assert case.neighbours[0].distance == pytest.approx(distance.min(), abs=1e-2)
    assert [near.label for near in case.neighbours] == [str(train[1][int(near.id)]) for near in case.neighbours]
    decided = report.live.model(torch.from_numpy(x)).argmax(dim=1).numpy()
    wrong = np.flatnonzero((decided != y) & (np.arange(600) != 7))
    far = np.sqrt((((x[wrong] - mean) / spread - here) ** 2).mean(axis=1))
    assert [near.id for near in case.mistakes] == [f"v{i}" for i in wrong[np.argsort(far)[:4]]]
    assert all(near.decided != near.label for near in case.mistakes)
    assert [name for name, _ in case.shown.values] == [f"column {i}" for i in range(4)]


def test_votes_are_those_of_the_models_in_the_store(case: Any) -> None:
    assert (case.members, case.trained_on, case.votes) == (3, "all of train", {"1": 2, "0": 1})


def test_maps_name_the_column_that_the_net_goes_by(case: Any) -> None:
    assert [each.method for each in case.maps] == ["integrated gradients", "occlusion"]
    for each in case.maps:
        assert each.bars[0] in (("column 0", 1.0), ("column 0", -1.0))
        assert max(abs(value) for _, value in each.bars[1:]) < 1e-4
        assert each.by_method <= each.by_chance
    assert case.baseline == "mean of train"


def test_the_smallest_change_of_a_linear_net(case: Any) -> None:
    """|margin| / ‖w‖₁, of logits ∓1.2 x₀: |x₀|."""
    x, _ = rows(600, 2)
    assert case.attack.size == pytest.approx(abs(x[7, 0]), rel=1e-2)
    assert case.attack.became != case.decided
    assert case.attack.most == 0.5


def test_the_map_holds_the_case_once(case: Any) -> None:
    group = case.where.data["group"]
    assert group.count("this case") == 1
    assert set(group) <= {"this case", "right", "wrong"}
    assert len(group) in (30, 31)


def test_rows_of_test_are_described(report: Report, no_map: None, tmp_path: Path) -> None:
    case = explain(report, "7", split="test")
    assert (case.split, case.set_of, case.members) == ("test", 600, 0)
    assert "validation alone" in case.absent["agreement"]
    page = case.save(tmp_path / "p.html").read_text()
    assert page.startswith("<!doctype html>")
    assert explain(report, 7).split == "test"  # ids of validation are names, and those of test positions
    assert not list(Path(tmp_path).glob("state/*"))  # nothing was decided, and nothing is counted


def test_what_is_refused(report: Report) -> None:
    for row, given, why in (
        (
            "v999",
            {},
            r"there is no row v999: validation has 600 rows with ids such as v0, v1, v2, …, v599; test has 600",
        ),
        ("v1", {"split": "test"}, "there is no row v1: test has 600 rows"),
        ("v1", {"split": "train"}, "give validation or test"),
        ("v1", {"subject": small(2.0)}, r"run of another subject \(model differs by now\)"),
    ):
        with pytest.raises(BadInput, match=why):
            explain(report, row, **given)
    with pytest.raises(BadInput, match="there is no folder"):
        explain("nowhere", 1)


def test_a_position_where_no_id_is_like_it(report: Report, no_map: None) -> None:
    assert explain(report, 7, split="validation").id == "v7"


def made(tmp_path: Path, subject: Subject, row: Any = 3) -> Any:
    return explain(audit(subject, budget=20, probes=["miscalibration"], pool="off", out=tmp_path / "r"), row)


def test_predictions_only(tmp_path: Path, no_map: None) -> None:
    p = softmax(np.random.default_rng(0).normal(size=(300, 3)), axis=1)
    y = np.arange(300) % 3
    case = made(tmp_path, Subject(Predictions(), validation=Split(p[:150], y[:150]), test=Split(p[150:], y[150:])))
    assert set(case.absent) == {"attribution", "neighbours", "agreement", "attack"}
    assert case.space == "outputs of the model"
    assert case.mistakes


def test_a_regression(tmp_path: Path, no_map: None) -> None:
    x, _ = rows(300)
    net = nn.Linear(4, 1)
    y = (x[:, 0] + 0.1 * np.random.default_rng(1).normal(size=300)).astype(np.float32)
    given = {
        "train": Split(x[:100], y[:100]),
        "validation": Split(x[100:200], y[100:200]),
        "test": Split(x[200:], y[200:]),
    }
    case = made(tmp_path, Subject(net, metric="rmse", **given))
    value = net(torch.from_numpy(x[103:104])).item()
    residual = np.sort(
        np.abs(net(torch.from_numpy(x[100:200])).detach().numpy()[:, 0] - y[100:200])[np.arange(100) != 3]
    )
    assert case.within == (pytest.approx(value - residual[89], rel=1e-4), pytest.approx(value + residual[89], rel=1e-4))
    assert case.maps[0].by_method is None
    assert case.right is None
    assert "The model predicts" in case.save(tmp_path / "p.html").read_text()


def test_texts(tmp_path: Path, no_map: None) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    texts = [" ".join([("good", "bad")[k], *rng.choice(["<b>film</b>", "plot", "cast"], 4)]) for k in y]
    model = make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()).fit(texts[:80], y[:80])
    cuts = {"train": slice(80), "validation": slice(80, 160), "test": slice(160, None)}
    case = made(tmp_path, Subject(model, **{name: Split(texts[at], y[at]) for name, at in cuts.items()}))
    assert case.shown.text == texts[83]
    assert case.space == "outputs of the model"
    assert "text or categories" in case.absent["attribution"]
    assert "<b>film" not in case.save(tmp_path / "p.html").read_text()


def test_groups_of_the_case_do_not_calibrate_its_set(tmp_path: Path, no_map: None) -> None:
    grouped = small(validation=split(600, 2, groups=np.arange(600) // 6), recipe=None)
    case = made(tmp_path, grouped)
    assert case.set_of == 99


def test_pictures() -> None:
    grey = np.array([[0, 4], [8, 16]] * 2, np.uint8).repeat(2, axis=1)
    np.testing.assert_array_equal(as_pixels(grey, (0, 16))[:, :, 1], np.round(grey / 16 * 255))
    first = np.random.default_rng(0).random((3, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(as_pixels(first, (0, 1)), np.round(255 * first.transpose(1, 2, 0)))
    assert as_pixels(np.zeros((7, 5, 9)), (0, 1)) is None
    assert as_pixels(np.zeros(9), (0, 1)) is None
    many = Split(np.stack([grey, grey // 2]))
    assert scale_of(many) == (0, 16)
    assert shown(many, np.array([1]))[0].picture.height == 4
    drawn = _coloured(np.array([[1.0, 0, -1.0]]), None).astype(int)
    assert drawn[0, 0, 0] > drawn[0, 0, 2]  # for: orange
    assert drawn[0, 2, 2] > drawn[0, 2, 0]  # against: blue
    assert (drawn[0, 1] == 245).all()


def test_it_is_a_public_name() -> None:
    assert uncork.explain is explain
