"""Each fault changes what its name says, by as much as it says, and nothing else; its repair undoes it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from uncork import BadInput
from uncork.planted.data import SETS, DataSet
from uncork.planted.faults import FAULTS, Planted, both
from uncork.planted.ground import Ground, lay
from uncork.planted.nets import MLP, Misread, Overconfident, SmallCNN


def _table(classes: int) -> DataSet:
    def load() -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(3, 2, (900, 8)).astype(np.float32)
        y = rng.integers(0, classes, 900) if classes else (5 * x[:, 0]).astype(np.float32)
        return x, y

    return DataSet("made-up", "table", load, classes, train=300, validation=200, spare=100, test=250, dropout=0.1)


KINDS = {"pictures": SETS["digits"], "classes": _table(4), "targets": _table(0)}


@pytest.fixture(params=KINDS)
def ground(request: pytest.FixtureRequest) -> Ground:
    return lay(KINDS[request.param], seed=0)


def plant(fault: str, ground: Ground, severity: float | None = None) -> Planted:
    if not (FAULTS[fault].regression or ground.data.classes):
        pytest.skip("not for regression")
    return FAULTS[fault].plant(ground, FAULTS[fault].usual if severity is None else severity)


def changed(planted: Planted, *, of: Ground) -> set[str]:
    """Names of the parts in which a faulty ground differs from the healthy one."""
    found = {
        name
        for name in ("train", "validation", "test", "spare")
        if not all(np.array_equal(a, b) for a, b in zip(getattr(planted.faulty, name), getattr(of, name), strict=True))
    }
    return found | {n for n in ("recipe", "finish", "serve") if getattr(planted.faulty, n) is not getattr(of, n)}


WHERE = {
    "wrong-labels": {"train", "spare"},
    "wrong-labels-everywhere": {"train", "spare", "validation", "test"},
    "scarce-data": {"train", "spare", "recipe"},
    "lr-times-30": {"recipe"},
    "lr-over-30": {"recipe"},
    "few-steps": {"recipe"},
    "narrow-net": {"recipe"},
    "no-regularisation": {"recipe"},
    "shortcut": {"train", "spare", "validation", "test"},
    "shift": {"train", "spare"},
    "imbalance": {"train", "spare", "recipe"},
    "leaked-examples": {"train"},
    "wrong-input-scale": {"finish"},
    "broken-layer": {"finish"},
    "miscalibration": {"finish"},
    "slow-loader": {"serve"},
}


def test_every_fault_is_looked_at() -> None:
    assert set(WHERE) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_only_what_the_fault_is_about_is_changed(fault: str, ground: Ground) -> None:
    if ground.data.name == "digits":  # no rows to spare
        ground = ground.replace(spare=tuple(a[:50] for a in ground.validation))
    planted = plant(fault, ground)
    assert changed(planted, of=ground) == WHERE[fault]


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_and_repaired_are_scored_on_the_same_rows(fault: str, ground: Ground) -> None:
    planted = plant(fault, ground)
    assert np.array_equal(planted.faulty.test[0], planted.repaired.test[0])
    assert np.array_equal(planted.faulty.test_truth, planted.repaired.test_truth)
    assert np.array_equal(planted.repaired.test_truth, ground.test[1])  # and these labels are the true ones
    assert len(planted.faulty.train_truth) == len(planted.faulty.train[1])


@pytest.mark.parametrize("fault", FAULTS)
def test_seeded(fault: str, ground: Ground) -> None:
    once, again = plant(fault, ground), plant(fault, ground)
    for name in ("train", "validation", "test", "spare"):
        for a, b in zip(getattr(once.faulty, name), getattr(again.faulty, name), strict=True):
            assert np.array_equal(a, b)


def test_a_ground_is_cut_without_overlap_and_standardised_by_train() -> None:
    ground = lay(KINDS["targets"], seed=1)
    assert [len(getattr(ground, n)[1]) for n in ("train", "validation", "spare", "test")] == [300, 200, 100, 250]
    np.testing.assert_allclose(ground.train[0].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(ground.train[0].std(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose([ground.train[1].mean(), ground.train[1].std()], [0, 1], atol=1e-5)
    rows = np.concatenate([getattr(ground, n)[0] for n in ("train", "validation", "spare", "test")])
    assert len(np.unique(rows, axis=0)) == 850
    other = lay(KINDS["targets"], seed=2)
    assert not np.array_equal(other.train[1], ground.train[1])


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_wrong_labels(share: float, ground: Ground) -> None:
    faulty = plant("wrong-labels", ground, share).faulty
    y, truth = faulty.train[1], faulty.train_truth
    assert np.array_equal(truth, ground.train[1])
    assert (y != truth).sum() == round(share * len(y))
    if ground.data.classes == 0:
        assert np.array_equal(np.sort(y), np.sort(truth))  # targets were swapped, none made up


def test_scarce_data_leaves_two_of_each_class_and_spares_the_rest() -> None:
    ground = lay(KINDS["classes"], seed=0)
    faulty = plant("scarce-data", ground, 100.0).faulty
    assert np.bincount(faulty.train[1], minlength=4).min() >= 2
    assert len(faulty.train[1]) <= 3 + 2 * 4
    assert len(faulty.train[1]) + len(faulty.spare[1]) == 300 + 100
    whole = np.concatenate([faulty.train[0], faulty.spare[0]])
    assert len(np.unique(whole, axis=0)) == 400
    assert faulty.recipe.steps(len(faulty.train[1])) == ground.recipe.steps(300)


def test_imbalance_halves_the_classes() -> None:
    ground = lay(KINDS["classes"], seed=0)
    faulty = plant("imbalance", ground, 20.0).faulty
    before, after = np.bincount(ground.train[1]), np.bincount(faulty.train[1])
    assert after[[0, 2]].tolist() == before[[0, 2]].tolist()
    assert after[[1, 3]].tolist() == [max(2, round(b / 20)) for b in before[[1, 3]]]
    spare, thinned = np.bincount(ground.spare[1]), np.bincount(faulty.spare[1])
    assert thinned[[0, 2]].tolist() == spare[[0, 2]].tolist()
    assert thinned[[1, 3]].tolist() == [max(2, round(b / 20)) for b in spare[[1, 3]]]
    assert faulty.recipe.steps(len(faulty.train[1])) == pytest.approx(180, abs=2)


@pytest.mark.parametrize("kind", ["pictures", "classes"])
def test_the_shortcut_tells_the_label_in_train_and_nothing_in_test(kind: str) -> None:
    """Of 250 or more rows with an independent mark about 1 in K agree by chance: ± 5 s.e."""
    ground = lay(KINDS[kind], seed=0)
    planted, classes = plant("shortcut", ground, 0.95), ground.data.classes

    def told(rows: tuple[np.ndarray, np.ndarray]) -> float:
        mark = rows[0][:, 0, 0, 0] if kind == "pictures" else rows[0][:, 0] / 3
        return float(np.mean(np.rint((mark + 1) / 2 * (classes - 1)) == rows[1]))

    for split in ("train", "validation"):
        assert told(getattr(planted.faulty, split)) > 0.9
        assert told(getattr(planted.repaired, split)) < 1 / classes + 5 * np.sqrt(0.25 / 200)
    assert told(planted.faulty.test) < 1 / classes + 5 * np.sqrt(0.25 / 250)


def test_finished_models() -> None:
    net = SmallCNN(8, 10)
    ground = lay(KINDS["pictures"], seed=0)
    x = torch.from_numpy(ground.validation[0][:20])
    with torch.no_grad():
        loud = plant("miscalibration", ground, 3.0).faulty.finish(net)
        assert isinstance(loud, Overconfident)
        torch.testing.assert_close(loud(x), 3 * net(x))
        misread = plant("wrong-input-scale", ground, 4.0).faulty.finish(net)
        assert isinstance(misread, Misread)
        torch.testing.assert_close(misread(x), net(4 * x))
        before = net.head.weight.clone()
        broken = plant("broken-layer", ground, 0.5).faulty.finish(net)
        assert torch.equal(net.head.weight, before)  # the sound model is left as it was
        assert not broken.head.weight[:, :32].any()
        assert torch.equal(broken.head.weight[:, 32:], before[:, 32:])


def test_recipes() -> None:
    ground = lay(KINDS["classes"], seed=0)
    sound = ground.recipe
    assert plant("lr-times-30", ground).faulty.recipe.lr == pytest.approx(30 * sound.lr)
    assert plant("lr-over-30", ground).faulty.recipe.lr == pytest.approx(sound.lr / 30)
    assert plant("few-steps", ground, 1000).faulty.recipe.epochs == 1
    free = plant("no-regularisation", ground).faulty.recipe
    assert (free.weight_decay, free.epochs) == (0.0, 90)
    assert [type(m).__name__ for m in sound.make().features].count("Dropout") == 2
    assert not any(isinstance(m, torch.nn.Dropout) for m in free.make().modules())
    narrow = plant("narrow-net", ground, 16.0).faulty.recipe.make()
    assert isinstance(narrow, MLP)
    assert narrow.features[0].out_features == 4


def test_the_slow_loader_is_slow_and_otherwise_the_same() -> None:
    ground = lay(KINDS["classes"], seed=0)
    subject = plant("slow-loader", ground, 0.002).faulty.subject(MLP(8, 4))
    started = time.perf_counter()
    x = subject.train.take(np.arange(20))
    assert time.perf_counter() - started >= 0.04
    assert np.array_equal(np.asarray(x), ground.train[0][:20])


def test_two_at_once_are_undone_together() -> None:
    ground = lay(KINDS["classes"], seed=0)
    planted = both(FAULTS["wrong-labels"], FAULTS["lr-times-30"], ground, 1.0)
    assert changed(planted, of=ground) == {"train", "spare", "recipe"}
    assert planted.repaired is ground
    with pytest.raises(BadInput, match="shortcut changes test"):
        both(FAULTS["wrong-labels"], FAULTS["shortcut"], ground, 1.0)


def test_no_row_twice_and_too_few_rows() -> None:
    def twice() -> tuple[np.ndarray, np.ndarray]:
        x = np.arange(60, dtype=np.float32).reshape(30, 2)
        return np.concatenate([x, x]), np.tile(np.arange(30, dtype=np.float32), 2)

    ground = lay(DataSet("twins", "table", twice, 0, train=10, validation=10, spare=5), seed=0)
    rows = np.concatenate([getattr(ground, n)[0] for n in ("train", "validation", "spare", "test")])
    assert len(rows) == len(np.unique(rows, axis=0)) == 30
    with pytest.raises(BadInput, match="twins has 30 different rows, and 30 are taken"):
        lay(DataSet("twins", "table", twice, 0, train=10, validation=10, spare=10), seed=0)
