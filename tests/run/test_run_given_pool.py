"""An audit with a pool that was brought: planted labels are found, seeds are compared, and folders are not mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import RECIPE, build, small, split
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier

from uncork import BadInput, Pool, Predictions, Split, Subject, audit, treat
from uncork.schema.report import Report
from uncork.stats.confident import flag

pytestmark = pytest.mark.usefixtures("in_this_process")

FLIPPED, FOLDS = 0.15, 5


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    """Three splits; 15 % of train's labels changed to random others; out-of-fold probabilities of 2 repeats."""
    x, truth = load_digits(return_X_y=True)
    x, rng = (x / 16).astype(np.float32), np.random.default_rng(0)
    order = rng.permutation(len(x))
    x, truth = x[order], truth[order]
    y = truth.copy()
    wrong = rng.permutation(1000)[: round(1000 * FLIPPED)]
    y[wrong] = (truth[wrong] + rng.integers(1, 10, len(wrong))) % 10
    cuts = {"train": slice(1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
    probabilities, folds = [], []
    for seed in range(2):
        cut = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        model = LogisticRegression(C=0.1, max_iter=300)
        probabilities.append(cross_val_predict(model, x[:1000], y[:1000], cv=cut, method="predict_proba"))
        own = np.empty(1000, int)
        for fold, (_, out) in enumerate(cut.split(x[:1000], y[:1000])):
            own[out] = fold
        folds.append(own)
    return {
        "splits": {name: Split(x[rows], y[rows]) for name, rows in cuts.items()},
        "model": LogisticRegression(C=0.1, max_iter=300).fit(x[:1000], y[:1000]),
        "probabilities": probabilities,
        "folds": folds,
        "wrong": np.isin(np.arange(1000), wrong),
    }


def subject(digits: dict[str, Any], **changes: Any) -> Subject:
    return Subject(**{"model": digits["model"], "name": "digits", **digits["splits"], **changes})


@pytest.fixture(scope="module")
def brought(digits: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Report:
    pool = Pool.from_predictions(digits["probabilities"], digits["folds"])
    return audit(subject(digits), pool=pool, preview=True, out=tmp_path_factory.mktemp("brought") / "run")


def test_planted_labels_are_found(brought: Report, digits: dict[str, Any]) -> None:
    """Labels are wrong at random here: the rate, the flags' recall and their precision lie inside the intervals of that
    noise model (fixed seeds; each holds at 95 %). The 20 most suspicious labels are wrong.
    """
    found = brought.finding("wrong-labels")
    rate = found.estimates["noise_if_random"]
    assert rate.low < FLIPPED < rate.high
    assert digits["wrong"][found.details[1].data["rows"]].all()
    log = np.mean([np.log(p) for p in digits["probabilities"]], axis=0)
    flags = flag(softmax(log, axis=1), digits["splits"]["train"].y)
    truth = {"recall": flags[digits["wrong"]].mean(), "precision": digits["wrong"][flags].mean()}
    for name, true in truth.items():
        estimate = found.estimates[f"{name}_if_random"]
        assert estimate.low <= true <= estimate.high, (name, true, estimate)
    assert "the out-of-fold predictions that were brought, 2 for each row (10 folds)" in found.summary
    error = found.estimates["out_of_sample_error"]
    expected = np.mean([p.argmax(axis=1) != digits["splits"]["train"].y for p in digits["probabilities"]])
    assert error.value == pytest.approx(1000 * expected, abs=2)
    assert "complementary" not in error.method


def test_what_was_not_tried_is_no_headroom(brought: Report) -> None:
    found = brought.finding("wrong-labels")
    assert (found.verdict, found.headroom) == ("undetermined", None)
    assert "only predictions were brought: it takes a recipe" in found.summary


def test_the_rest_says_what_it_takes(brought: Report) -> None:
    """Of the probes that take a pool only; the others are measured, and none fails."""
    assert not [f.id for f in brought.findings if f.verdict == "error"]
    for id in ("retraining-churn", "scarce-data", "single-model", "mistuned-training", "undertraining"):
        found = brought.finding(id)
        assert found.verdict == "not-applicable"
        assert "only predictions were brought: it takes a recipe (Subject(recipe=...)) and pool='auto'" in found.reason
    assert "only predictions were brought" in brought.finding("split-shift").summary
    assert brought.finding("membership-leakage").verdict == "not-applicable"
    assert brought.finding("overfitting").verdict != "not-applicable"


def test_one_run_of_folds_is_enough(digits: dict[str, Any]) -> None:
    pool = Pool.from_predictions(digits["probabilities"][0], digits["folds"][0])
    report = audit(subject(digits), pool=pool, probes=["wrong-labels"])
    rate = report.finding("wrong-labels").estimates["noise_if_random"]
    assert rate.low < FLIPPED < rate.high
    assert "brought, 1 for each row (5 folds)" in report.finding("wrong-labels").summary


def test_no_model_at_all(digits: dict[str, Any]) -> None:
    """Predictions for the splits, and out-of-fold predictions for train."""
    p = {n: digits["model"].predict_proba(s.take(np.arange(len(s)))) for n, s in digits["splits"].items()}
    splits = {name: Split(p[name], part.y) for name, part in digits["splits"].items()}
    pool = Pool.from_predictions(digits["probabilities"], digits["folds"])
    report = audit(Subject(Predictions(), name="p", **splits), pool=pool, probes=["wrong-labels"])
    rate = report.finding("wrong-labels").estimates["noise_if_random"]
    assert rate.low < FLIPPED < rate.high


def nets(digits: dict[str, Any], seeds: int) -> list[MLPClassifier]:
    train = digits["splits"]["train"]
    x = train.take(np.arange(len(train)))
    return [MLPClassifier((16,), max_iter=15, random_state=s).fit(x, train.y) for s in range(seeds)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_three_seeds_tell_of_churn(digits: dict[str, Any]) -> None:
    models = nets(digits, 4)
    pool = Pool.from_checkpoints(models[:3])
    report = audit(subject(digits, model=models[3]), pool=pool, out="run")
    assert not [f.id for f in report.findings if f.verdict == "error"]
    churn = report.finding("retraining-churn")
    validation = digits["splits"]["validation"]
    decided = [m.predict(validation.take(np.arange(len(validation)))) for m in models[:3]]
    pairs = [(decided[i] != decided[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert churn.estimates["churn"].value == pytest.approx(np.mean(pairs))
    errors = [1000 * (d != validation.y).mean() for d in decided]
    assert churn.estimates["seed_sd"].value == pytest.approx(np.std(errors, ddof=1))
    assert report.finding("single-model").headroom is not None
    assert "one_more_training" in report.finding("irreproducible-recipe").estimates
    assert "only checkpoints were brought: it takes a recipe" in report.finding("split-shift").summary
    for id in ("wrong-labels", "scarce-data"):
        assert "only checkpoints were brought: it takes a recipe" in report.finding(id).reason

    # The checkpoint is not held against itself.
    report = audit(subject(digits, model=models[0]), pool=pool, out="other", probes=["irreproducible-recipe"])
    assert "the checkpoint is one of the models that were brought" in report.finding("irreproducible-recipe").reason


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_two_seeds_are_too_few(digits: dict[str, Any]) -> None:
    report = audit(subject(digits), pool=Pool.from_checkpoints(nets(digits, 2)), probes=["retraining-churn"])
    reason = report.finding("retraining-churn").reason
    assert "2 of 3 models" in reason
    assert "only 2 checkpoints were brought: bring 3 or more" in reason


# The run.


def folds_of(seed: int) -> Any:
    p = np.random.default_rng(seed).dirichlet(np.ones(2), 200)
    return Pool.from_predictions(p, np.arange(200) % 4)


def test_the_same_again_is_the_same_report() -> None:
    first, second = (audit(small(), pool=folds_of(0), out=f"run-{i}", probes=["wrong-labels"]) for i in (1, 2))
    assert first.finding("wrong-labels").estimates == second.finding("wrong-labels").estimates


def test_a_folder_holds_one_pool() -> None:
    audit(small(), pool=folds_of(0), out="run", probes=["wrong-labels"])
    audit(small(), pool=folds_of(0), out="run", probes=["wrong-labels"])
    for other in (folds_of(1), "off"):
        with pytest.raises(BadInput, match=r"holds the run of another subject \(pool differs\)"):
            audit(small(), pool=other, out="run", probes=["wrong-labels"])


def test_a_recipe_is_not_trained_beside_it() -> None:
    report = audit(small(recipe=RECIPE), pool=folds_of(0), out="run", probes=["wrong-labels", "undertraining"])
    assert json.loads(Path("run/plan.json").read_text())["timed"]["training"] == {}
    assert "only predictions were brought" in report.finding("undertraining").reason


@pytest.mark.slow
def test_treat_goes_on_from_it() -> None:
    report = audit(small(), pool=folds_of(0), out="run", probes=["wrong-labels", "miscalibration"])
    treated = treat(report, remedies=["temperature", "drop-examples"])
    assert {t.remedy for t in treated.treatments if t.realised is not None} == {"temperature", "drop-examples"}
    assert "pool" in json.loads(Path("run/subject.json").read_text())["fingerprints"]


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (lambda: Pool.from_predictions(np.full((50, 2), 0.5), np.arange(50) % 2), "have 50 rows, but train has 200"),
        (lambda: Pool.from_predictions("nowhere.csv"), "there is no such file"),
        (lambda: Pool.from_checkpoints([build(), "other.pt"]), "there is no such file"),
        (lambda: Pool(halves=2), "give 'auto', 'off' to retrain nothing, or what Pool.from_predictions"),
        (lambda: np.zeros(3), "give 'auto'"),
        (lambda: "on", "pool='on': give 'auto'"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(pool: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        audit(small(train=split(200, 1)), pool=pool(), out="run")
    assert not Path("run").exists()
