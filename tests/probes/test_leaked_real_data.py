"""leaked-examples on MNIST and CIFAR-10: every planted copy is found and no other, and near duplicates as truly are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from uncork import Split, Subject
from uncork.gather._contract import Context
from uncork.gather.fingerprints import NEAR, gather, hash_rows
from uncork.probes.leaked_examples import TOLERATED, copies, measure
from uncork.schema.artifacts import Fingerprints, FingerprintsData
from uncork.schema.finding import Measurement
from uncork.testing.artifacts import a_pass, facts

pytestmark = pytest.mark.shared_data

Pictures = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=["mnist", "cifar10"])
def pictures(request: pytest.FixtureRequest, shared_data: Path) -> Pictures:
    """The first 10,000 rows of train, and all 10,000 of test, as bytes."""
    with np.load(shared_data / f"{request.param}.npz", allow_pickle=False) as data:
        return data["x_train"][:10_000], data["x_test"]


def prints(train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> FingerprintsData:
    """What the gatherer says of these rows. It asks neither a model nor facts."""
    given = {"train": train, "validation": validation, "test": test}
    subject = Subject(None, **{name: Split(x, np.arange(len(x)) % 2) for name, x in given.items()})
    return gather.gather(Fingerprints(), Context(subject, None, None, 0, 256, 0.0, None))  # type: ignore[arg-type]


def found_by(found: FingerprintsData) -> Measurement:
    validation = a_pass(len(found.validation), error=0.1)
    outcome = measure(fingerprints=found, validation=validation, facts=facts(), rng=np.random.default_rng(0))
    assert isinstance(outcome, Measurement)
    return outcome


def brute_force(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Which rows are in train, byte for byte: no hash."""
    seen = {row.tobytes() for row in train}
    return np.array([row.tobytes() in seen for row in rows])


def planted(train: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Train with `rows` put in at random positions."""
    return np.insert(train, rng.integers(0, len(train) + 1, len(rows)), rows, axis=0)


def pixel_distance(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(rows, train) Euclidean distances in grey levels."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (rows, train))
    return np.sqrt(np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T, 0))


@pytest.mark.parametrize(("seed", "count"), [(0, 0), (1, 1), (2, 25), (3, 2000)])
def test_exactly_the_planted_copies_are_found(pictures: Pictures, seed: int, count: int) -> None:
    train, test = pictures
    rng = np.random.default_rng(seed)
    leaked = rng.permutation(len(test))[:count]
    train = planted(train, test[leaked], rng)
    hit = copies(hash_rows(Split(test)), hash_rows(Split(train)))
    assert np.array_equal(hit, brute_force(test, train))
    assert hit[leaked].all()


def test_one_grey_level_in_one_pixel_makes_no_copy(pictures: Pictures) -> None:
    train, test = pictures[0][:2000], pictures[1][:50].copy()
    altered = test.copy()
    altered.reshape(50, -1)[np.arange(50), np.arange(50) * 7] ^= 1
    train = np.concatenate([train, altered])
    assert not copies(hash_rows(Split(test)), hash_rows(Split(train))).any()


def test_planted_copies_through_gatherer_and_probe(pictures: Pictures) -> None:
    train, rest = pictures
    validation, test = rest[:1000], rest[1000:3000]
    rng = np.random.default_rng(4)
    in_validation, in_test = rng.permutation(1000)[:37], rng.permutation(2000)[:5]
    train = planted(train, np.concatenate([validation[in_validation], test[in_test]]), rng)
    outcome = found_by(prints(train, validation, test))
    assert outcome.estimates["validation_copies"].value == brute_force(validation, train).sum() == 37
    assert outcome.estimates["test_copies"].value == pytest.approx(brute_force(test, train).sum() / 2)
    assert outcome.against is not None
    assert outcome.against.estimate == "validation_copies"  # 37 in 1,000 is worse than 2.5
    assert outcome.estimates["validation_copies"].low > TOLERATED
    # The evidence names rows that are the same picture.
    exact = next(detail for detail in outcome.details if detail.title.startswith("Exact")).data["rows"]
    assert len(exact) == 42
    for split, row, of_train in exact:
        assert np.array_equal((validation if split == "validation" else test)[row], train[of_train])


@pytest.mark.slow
def test_without_plants_there_is_no_copy_and_near_means_near(pictures: Pictures) -> None:
    train, rest = pictures
    validation, test = rest[:1000], rest[1000:2000]
    found = prints(train, validation, test)
    outcome = found_by(found)
    assert outcome.estimates["validation_copies"].value == outcome.estimates["test_copies"].value == 0
    assert not brute_force(rest[:2000], train).any()
    # Judged by all distances, there is no near duplicate that the search missed, and none that it made up. Its median
    # is of distances to the nearest row that the sketch finds, 7 to 11 % above those to the nearest there is.
    distance = pixel_distance(rest[:2000], train)
    ratio = distance.min(axis=1) / np.median(distance.min(axis=1))
    near = np.zeros(2000, bool)
    near[found.near_pairs[:, 1] + np.where(found.near_split == 2, 1000, 0)] = True
    assert near[ratio < NEAR].all()
    assert not near[ratio > 1.2 * NEAR].any()
    assert near.sum() <= 10
    assert outcome.estimates["near_found_of_planted"].value >= 0.95


@pytest.mark.parametrize("many", [50, 900])
def test_noise_hides_no_copy(pictures: Pictures, many: int) -> None:
    """Also where nearly all of validation leaked: the many must not become the measure of what is near."""
    train, rest = pictures
    validation, test = rest[:1000], rest[1000:1100]
    rng = np.random.default_rng(5)
    noise = rng.normal(scale=3, size=validation.shape)
    noisy = np.clip(np.round(validation + noise), 0, 255).astype(np.uint8)[:many]
    found = prints(np.concatenate([train, noisy]), validation, test)
    pairs = {
        (int(row), int(of)) for (of, row), split in zip(found.near_pairs, found.near_split, strict=True) if split == 1
    }
    hit = [(row, len(train) + row) in pairs for row in range(many)]
    assert np.mean(hit) >= 0.98
    assert len(pairs) - sum(hit) <= 10  # what is near without having been planted
    outcome = found_by(found)
    assert outcome.estimates["validation_copies"].value == 0
    assert outcome.estimates["validation_near"].value >= 0.98 * many


@pytest.mark.slow
def test_a_strongly_altered_picture_is_not_called_near(pictures: Pictures) -> None:
    train, rest = pictures
    validation = rest[:200]
    rng = np.random.default_rng(6)
    altered = np.clip(np.round(validation + rng.normal(scale=40, size=validation.shape)), 0, 255).astype(np.uint8)
    distance = np.linalg.norm((altered.astype(float) - validation).reshape(200, -1), axis=1)
    usual = np.median(pixel_distance(rest[200:400], train).min(axis=1))
    assert (distance > 1.3 * NEAR * usual).all()  # so that the plants truly lie beyond
    found = prints(np.concatenate([train, altered]), validation, rest[1000:2000])
    assert not (found.near_pairs[:, 0] >= len(train)).any()


@pytest.mark.slow
def test_pictures_encoded_again_as_jpeg_are_found(shared_data: Path) -> None:
    """A leak that happens: a third party's JPEG of the first 1,000 test pictures stands in train."""
    with np.load(shared_data / "cifar10.npz", allow_pickle=False) as data:
        train, test = data["x_train"], data["x_test"][:2000]
    with np.load(shared_data / "cifar10_jpeg_shift.npz", allow_pickle=False) as data:
        encoded = data["x_test"]
    found = prints(np.concatenate([train, encoded]), test[:1000], test[1000:])
    true = (found.near_split == 1) & (found.near_pairs[:, 0] - len(train) == found.near_pairs[:, 1])
    assert true.sum() >= 950  # 981; the others lie farther than a quarter of the usual distance
    assert (~true).sum() <= 2
    assert found_by(found).estimates["validation_copies"].value == 0
