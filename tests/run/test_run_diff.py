"""Two sides on the same rows: tables, run folders and subjects; what is refused, and how test is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_helpers import build, small, split
from scipy import stats
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from uncork import BadInput, Metric, Predictions, Recipe, Split, Subject, audit, diff
from uncork.run import ledger
from uncork.run.diff import SAME
from uncork.schema.comparison import Comparison
from uncork.stats.multiplicity import alpha_of_opening

pytestmark = pytest.mark.usefixtures("in_this_process")

CLASSES = ("ant", "bee", "cat")
Y = np.random.default_rng(1).integers(3, size=400)


def table(path: Path, error: float, seed: int = 0, *, order: np.ndarray | None = None, y: np.ndarray = Y) -> str:
    """Predictions that are wrong in so many rows at random."""
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(len(y)) < error, (y + 1) % 3, y)
    p = np.full((len(y), 3), 0.1)
    p[np.arange(len(y)), predicted] = 0.8
    lines = [f"r{i},{CLASSES[y[i]]},{','.join(map(str, p[i]))}" for i in (range(len(y)) if order is None else order)]
    path.write_text("\n".join([f"id,y,{','.join(f'p_{c}' for c in CLASSES)}", *lines]))
    return str(path)


def of_tables(a: Any, b: Any, **given: Any) -> Comparison:
    return diff(a, b, label="y", **given)


def test_a_planted_difference_and_none(tmp_path: Path) -> None:
    """20 points apart, 7 standard errors; and a table against itself."""
    a, b = table(tmp_path / "a.csv", 0.3, 1), table(tmp_path / "b.csv", 0.1, 2)
    assert of_tables(a, b).verdict == "better"
    assert of_tables(b, a).verdict == "worse"
    same = of_tables(a, a)
    assert (same.verdict, same.differences[0].gain.value) == ("can't tell", 0)
    assert SAME in same.notes
    assert not list(tmp_path.glob("state/*"))


def test_rows_are_matched_by_id(tmp_path: Path) -> None:
    a, b = table(tmp_path / "a.csv", 0.3, 1), table(tmp_path / "b.csv", 0.1, 2)
    shuffled = table(tmp_path / "c.csv", 0.1, 2, order=np.random.default_rng(0).permutation(400))
    assert of_tables(a, shuffled, id="id").differences == of_tables(a, b).differences
    with pytest.raises(BadInput, match=r"c\.csv: row \d+ has the label \w+, but \w+ in .*a\.csv \(\d+ rows differ\)"):
        of_tables(a, shuffled)


def test_several_tables_are_seeds(tmp_path: Path) -> None:
    """Recipes 20 points apart, each seed 2 points of its rows' luck: found in both senses."""
    a = [table(tmp_path / f"a{s}.csv", 0.3, s) for s in range(3)]
    b = [table(tmp_path / f"b{s}.csv", 0.1, 10 + s) for s in range(4)]
    found = of_tables(",".join(a), b)
    assert [d.of for d in found.differences] == ["models", "recipes"]
    assert [d.verdict for d in found.differences] == ["better", "better"]
    assert found.differences[1].gain.seeds == 7
    assert len(found.a.scores) == 3
    assert not found.notes
    alone = of_tables(a[0], b)
    assert len(alone.differences) == 1
    assert "A has fewer" in alone.notes[0]


def test_what_would_settle_it_does(tmp_path: Path) -> None:
    """1.5 points of 400 rows can't be told. So many rows as are said, with the same share discordant, are proven by
    McNemar's exact test too; half the rows are not."""
    wrong = [np.isin(np.arange(400), rows) for rows in (range(40), range(20, 54))]
    paths = []
    for name, w in zip("ab", wrong, strict=True):
        p = np.where(w, 0.1, 0.9)
        (tmp_path / f"{name}.csv").write_text("\n".join(["y,p", *(f"1,{v}" for v in p[:-1]), "0,0.1"]))
        paths.append(str(tmp_path / f"{name}.csv"))
    found = of_tables(*paths).differences[0]
    assert found.verdict == "can't tell"
    assert found.gain.value == pytest.approx(15)
    assert found.detectable > 15
    discordant, mended = 34 / 400, 20 / 400

    def proven(n: float) -> bool:
        return bool(stats.binomtest(round(n * mended), round(n * discordant)).pvalue < 0.05)

    assert proven(found.rows_to_settle)
    assert not proven(found.rows_to_settle / 4)


@pytest.mark.parametrize("metric", ["error", "accuracy", "log-loss", Metric(np.ones((3, 3)) - np.eye(3))])
def test_metrics_agree_on_the_direction(metric: Any, tmp_path: Path) -> None:
    found = of_tables(table(tmp_path / "a.csv", 0.3, 1), table(tmp_path / "b.csv", 0.1, 2), metric=metric)
    assert found.verdict == "better"


def test_a_function_says_nothing_of_recipes(tmp_path: Path) -> None:
    metric = Metric(lambda p, y: float((p.argmax(1) == y).mean()), higher_is_better=True, name="right")
    a = [table(tmp_path / f"a{s}.csv", 0.3, s) for s in range(2)]
    b = [table(tmp_path / f"b{s}.csv", 0.1, 10 + s) for s in range(2)]
    found = of_tables(a, b, metric=metric)
    assert [d.verdict for d in found.differences] == ["better"]
    assert "right is a function" in found.notes[0]


def test_auc_and_regression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    for name, signal in (("a", 0.5), ("b", 2.0)):
        p = 1 / (1 + np.exp(-(signal * (2 * y - 1) + rng.normal(size=300))))
        (tmp_path / f"{name}.csv").write_text(
            "\n".join(["y,p,value", *(f"{t},{v},{v}" for t, v in zip(y, p, strict=True))])
        )
    paths = [str(tmp_path / f"{name}.csv") for name in "ab"]
    assert of_tables(*paths, columns=["p"], metric="auc").verdict == "better"
    for metric in ("rmse", "mae"):
        assert of_tables(*paths, columns=["value"], metric=metric).verdict == "better"
    with pytest.raises(BadInput, match=r"name it with columns= \(--columns\)"):
        of_tables(*paths, metric="mae")


def test_no_difference_that_matters(tmp_path: Path) -> None:
    """The same predictions, judged to the last of 30 in 1,000."""
    a = table(tmp_path / "a.csv", 0.2)
    found = of_tables(a, a, metric=Metric("error", delta=30))
    assert (found.verdict, found.differences[0].negligible) == ("can't tell", True)


Change = Callable[[str], str]


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda t: t.replace("r7,", "r8,"), {"id": "id"}, "b.csv: id r8 stands in more than one row"),
        (lambda t: t.replace("r7,", "x7,"), {"id": "id"}, "id x7 of .*b.csv is not in .*a.csv"),
        (lambda t: t.rsplit("\n", 1)[0], {"id": "id"}, "id r399 of .*a.csv is not in .*b.csv"),
        (lambda t: t.rsplit("\n", 1)[0], {}, "b.csv has 399 rows, .*a.csv has 400"),
        (lambda t: t.replace("p_ant,p_bee", "p_bee,p_ant"), {}, "has the classes bee, ant, cat, but"),
        (lambda t: t, {"id": "key"}, "has no column 'key'"),
        (lambda t: t, {"on": "test"}, r"leave out on= \(--on\)"),
        (
            lambda t: t,
            {"metric": Metric(np.ones((2, 2)) - np.eye(2))},
            "cost matrix is for 2 classes, but .*a.csv has 3: .* each of ant, bee, cat",
        ),
        (lambda t: t, {"on": "train"}, "give validation or test"),
    ],
)
def test_tables_that_do_not_fit(change: Change, given: dict[str, Any], message: str, tmp_path: Path) -> None:
    a, b = table(tmp_path / "a.csv", 0.3), tmp_path / "b.csv"
    b.write_text(change(Path(table(b, 0.1)).read_text()))
    with pytest.raises(BadInput, match=message):
        of_tables(a, str(b), **given)


def test_what_is_no_side(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", 0.3)
    for sides, given, message in (
        ((a, a), {}, r"need label= \(--label\)"),
        ((a, "s.py:subject"), {"label": "y"}, "one side is a table"),
        (("runs/none", "s.py:x"), {}, "there is no folder runs/none"),
        (("s.py:x", "s.py:x"), {"id": "id"}, r"id= \(--id\) goes with tables"),
    ):
        with pytest.raises(BadInput, match=message):
            diff(*sides, **given)


class Recited(nn.Module):
    """Gives the answer stored for the row that x names."""

    def __init__(self, answers: np.ndarray) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(8.0 * np.eye(2)[answers], dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table[x[:, 0].long() % 1000]


PROBES = ["retraining-churn"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Run folders with pools: a recipe that learns the rows, and one whose steps are too small to."""
    folder = tmp_path_factory.mktemp("runs")
    for name, lr in (("bad", 1e-5), ("good", 0.05)):
        recipe = Recipe(build, epochs=3, batch_size=50, lr=lr)
        subject = small(-1.0 if name == "bad" else 1.0, recipe=recipe)
        audit(subject, out=folder / name, probes=PROBES, budget="60s")
    return str(folder / "bad"), str(folder / "good")


@pytest.mark.slow
def test_runs_compare_models_and_recipes(runs: tuple[str, str]) -> None:
    found = diff(*runs)
    assert [(d.of, d.verdict) for d in found.differences] == [("models", "better"), ("recipes", "better")]
    assert found.on == "validation"
    assert found.rows == 600
    assert diff(runs[1], runs[0]).verdict == "worse"
    assert not ledger.path().exists()


@pytest.mark.slow
def test_a_run_against_a_subject(runs: tuple[str, str]) -> None:
    """The same model as the run's own, from Python: nothing to find, and no seeds on one side."""
    found = diff(runs[1], small())
    assert found.verdict == "can't tell"
    assert SAME in found.notes
    assert diff(small(-1.0), runs[1]).verdict == "better"


@pytest.mark.slow
def test_other_rows_are_refused(runs: tuple[str, str]) -> None:
    with pytest.raises(BadInput, match="other rows or labels of validation"):
        diff(runs[0], small(validation=split(600, 5)))
    with pytest.raises(BadInput, match="judged by error, small by log-loss: choose one"):
        diff(runs[0], small(metric="log-loss"))
    assert diff(runs[0], small(metric="log-loss"), metric="log-loss").verdict == "better"
    with pytest.raises(BadInput, match=r"belongs to regression, .*: choose one of classification"):
        diff(runs[0], runs[1], metric="rmse")


@pytest.mark.slow
def test_a_described_run_has_no_validation(tmp_path: Path) -> None:
    audit(small(validation=None), out=tmp_path / "run", probes=["overfitting"], describe_only=True)
    with pytest.raises(BadInput, match="has no validation"):
        diff(tmp_path / "run", small())


def test_test_is_opened_once_for_each_question() -> None:
    """The k-th question is judged at α · 6 / (π² k²); the same one again is the same opening."""
    bad, good = small(-1.0), small()
    first, again = diff(bad, good, on="test"), diff(bad, good, on="test")
    assert (first.opening, again.opening) == (1, 1)
    assert first.verdict == "better"
    other = diff(good, bad, on="test")
    assert other.opening == 2
    assert other.alpha == pytest.approx(alpha_of_opening(2))
    assert other.differences[0].gain.level == pytest.approx(1 - alpha_of_opening(2))
    assert len(ledger.path().read_text().splitlines()) == 2
    mine, theirs = (f.differences[0].gain for f in (first, other))
    assert theirs.high - theirs.low > mine.high - mine.low


def test_a_later_opening_takes_more_proof() -> None:
    """A difference that is proven as the first question is not as the tenth."""
    x, y = np.arange(400, dtype=float)[:, None], np.arange(400) % 2
    predicted = {"a": y.copy(), "b": y.copy()}
    predicted["a"][:30], predicted["b"][18:35] = 1 - y[:30], 1 - y[18:35]

    def subject(name: str) -> Subject:
        return Subject(Recited(predicted[name]), test=Split(x, y), validation=Split(x[:50] + 1000, y[:50]))

    found = diff(subject("a"), subject("b"), on="test")
    assert found.verdict == "better"
    rows = json.loads(ledger.path().read_text().splitlines()[0])["rows"]
    ledger.path().unlink()
    for i in range(9):
        ledger.open_test(rows, f"another question {i}")
    assert diff(subject("a"), subject("b"), on="test").verdict == "can't tell"


def test_other_predictions_are_another_question() -> None:
    """All predictions have the same model, which passes them through; what is asked of test are the predictions."""
    y = np.arange(100) % 2

    def subject(seed: int) -> Subject:
        wrong = np.random.default_rng(seed).random(100) < 0.2
        p = np.where(np.eye(2)[np.where(wrong, 1 - y, y)] == 1, 0.8, 0.2)
        ids = [f"r{i}" for i in range(100)]
        return Subject(Predictions(), test=Split(p, y, ids=ids), validation=Split(p[:50] * 1.0, y[:50]))

    openings = [diff(subject(0), subject(seed), on="test").opening for seed in (1, 2, 1, 3)]
    assert openings == [1, 2, 1, 3]


def test_a_metric_that_does_not_fit_opens_nothing() -> None:
    for metric, why in ((Metric("rmse"), "belongs to regression"), (Metric(np.eye(3)), "3 classes")):
        with pytest.raises(BadInput, match=why):
            diff(small(), small(-1.0), on="test", metric=metric)
    assert not ledger.path().exists()


def test_the_order_of_tests_rows_counts() -> None:
    reverse = small()
    reversed_test = reverse.test.subset(np.arange(600)[::-1])
    with pytest.raises(BadInput, match="of test, or in another order"):
        diff(small(), small(test=reversed_test), on="test")
    assert not ledger.path().exists()


def test_regression_subjects_and_a_share_of_delta() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = x @ [1.0, 2.0] + 0.3 * rng.normal(size=300)
    parts = {"validation": Split(x[:150], y[:150]), "test": Split(x[150:], y[150:])}
    whole, half = (LinearRegression().fit(x[:, :k] @ np.eye(k, 2), y) for k in (2, 1))
    found = diff(*(Subject(m, metric="rmse", **parts) for m in (half, whole)))
    assert found.verdict == "better"
    assert found.delta == pytest.approx(0.01 * found.a.scores[0].value)


def test_other_classes_are_refused() -> None:
    x, y = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 2
    models = [LogisticRegression().fit(x, np.array(names)[y]) for names in (["a", "b"], ["a", "c"])]
    subjects = [
        Subject(m, validation=Split(x, np.array(n)[y]), test=Split(x + 1, np.array(n)[y]))
        for m, n in zip(models, (["a", "b"], ["a", "c"]), strict=True)
    ]
    with pytest.raises(
        BadInput, match=r"other classes, or in another order \(a, b; a, c\): name the classes in one order"
    ):
        diff(*subjects)
