"""What treat saves is the model itself: loaded from its folder it answers bit for bit as before."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from run_helpers import rows, split
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from uncork import BadInput, Predictions, Recipe, Split, Subject, audit, load_treated, treat
from uncork.derived.isotonic import fit_isotonic
from uncork.derived.strangeness import Detector, gaussians
from uncork.models.adapt import adapt, as_model, infer_task
from uncork.models.aligned import Aligned, aligned
from uncork.models.base import Model, Output
from uncork.models.contracted import Contracted, learn
from uncork.models.ensemble import Ensemble
from uncork.models.guarded import Bounded, Guarded, decide, sure_of
from uncork.models.isotonic import Isotonic
from uncork.models.offset import Offset
from uncork.models.patched import Memory, Patched, places
from uncork.models.rejecting import Rejecting
from uncork.models.ruled import Rule, Ruled
from uncork.models.scaled import Scaled
from uncork.models.smoothed import Smoothed
from uncork.models.temperature import Tempered
from uncork.models.wrapped import Wrapped
from uncork.run import save
from uncork.run.executor import Executor
from uncork.run.load import Loaded
from uncork.run.save import save_treated
from uncork.schema.certificate import Certificate
from uncork.schema.errors import MissingExtra
from uncork.train.rivals import RivalRecipe

NAMES = ("ant", "bee", "cat")
X, Y = rows(400, 5)


def build(width: float = 1.0) -> nn.Module:
    hidden = round(8 * width)
    return nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2))


def net(seed: int = 0, **settings: Any) -> Model:
    torch.manual_seed(seed)
    module = build()
    module(torch.randn(64, 4))  # moves the running means, which are no parameters
    model = as_model(module, "classification", **settings)
    model.outputs(X[:50])
    return model


def pipeline() -> Model:
    return as_model(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), "classification")


def mapped(inner: Model) -> Isotonic:
    logits = inner.outputs(X[:60]).logits
    y = np.where(np.arange(60) % 7, logits.argmax(axis=1), np.arange(60) % inner.n_outputs)
    return Isotonic(inner, fit_isotonic(logits, y, inner.n_outputs), 60)


def tempered(inner: Model) -> Tempered:
    return Tempered(inner, 1.7)


def moved(inner: Model) -> Offset:
    return Offset(inner, np.linspace(-0.3, 0.7, inner.n_outputs))


def placed(inner: Model) -> Aligned:
    """Two outputs as the third and first of three classes; three stay in place."""
    return Aligned(inner, np.array([2, 0] if inner.n_outputs == 2 else [0, 1, 2]), NAMES)


def joined(inner: Model) -> Ensemble:
    second = net(7) if inner.n_outputs == 2 else placed(net(7))
    return Ensemble([inner, second], [0.3, 0.7])


def rescaled(inner: Model) -> Scaled:
    return Scaled(inner, np.linspace(0.5, 2.0, inner.n_outputs), np.linspace(-0.2, 0.3, inner.n_outputs))


def rejecting(inner: Model) -> Rejecting:
    """By its features where it has any: half of the rows are handed over."""
    out = inner.outputs(X[:40], features=True)
    detector = Detector("probability", {})
    if out.features is not None:
        detector = Detector("mahalanobis", gaussians(out.features, Y[:40]))
    threshold = float(np.median(detector(out.logits, out.features)))
    return Rejecting(inner, detector, threshold, rate=0.5, confidence=0.9, rows=40)


def guarded(inner: Model) -> Guarded:
    second = net(7) if inner.n_outputs == 2 else placed(net(7))
    threshold = float(np.median(sure_of(inner.outputs(X[:40]).logits)))
    certificate = Certificate(threshold, 0.9, 0.95, answered=20, errors=1, n=40, date="2026-01-01")
    return Guarded(inner, certificate, left=0.6, coverage=0.9, fallback=second)


def contracted(inner: Model) -> Contracted:
    return Contracted(inner, learn([X[:10]]))


def patched(inner: Model) -> Patched:
    """Two corrections, where the first two rows lie."""
    here = places(inner, Split(X, Y), np.arange(2))
    labels = (here.decided + 1) % inner.n_outputs
    return Patched(
        inner, Memory(("validation:0", "validation:1"), here.points, labels, np.array([0.4, 0.2]), here.space)
    )


def ruled(inner: Model) -> Ruled:
    return Ruled(inner, [(Rule.read("if x[0] > 0.5 and x[1] <= 0"), 1), (Rule.read("if x[2] > 1"), 0)])


def smoothed(inner: Model) -> Smoothed:
    return Smoothed(inner, 0.3, copies=3, alpha=0.4, seed=5)


CHANGES: list[Callable[[Any], Any]] = [
    tempered, moved, mapped, placed, joined, rescaled, rejecting, guarded, contracted, patched, ruled, smoothed
]  # fmt: skip
NESTS = [
    pytest.param(second, third, id=f"{third.__name__}-{second.__name__}", marks=[] if chained else [pytest.mark.slow])
    for i, second in enumerate(CHANGES)
    for j, third in enumerate(CHANGES)
    for chained in [j == (i + 1) % len(CHANGES)]
]


def small(**changed: Any) -> Subject:
    given: dict[str, Any] = {"validation": split(300, 2), "test": split(300, 3), "train": split(300, 1)}
    return Subject(**{**given, **changed})


def saved(folder: Path, model: Any, **changed: Any) -> Any:
    """What is in treated.json."""
    subject = small(model=model, **changed)
    judged = adapt(subject, infer_task(subject))
    assert save_treated(folder, subject, judged, ["first: this"]) == "treated"
    return json.loads((folder / "treated" / "treated.json").read_text())


@pytest.mark.parametrize(("second", "third"), NESTS)
@pytest.mark.parametrize("first", [lambda: net(), pipeline], ids=["module", "estimator"])
def test_any_nest_answers_as_before(first: Any, second: Any, third: Any, tmp_path: Path) -> None:
    """Three deep, every kind around every kind, bit for bit, features and what is handed over too."""
    model = third(second(first()))
    saved(tmp_path, model)
    again = load_treated(tmp_path, build)
    before, after = (m.outputs(X[:12], features=True) for m in (model, again))
    assert before.logits.std() > 0
    assert np.array_equal(before.logits, after.logits)
    assert before.logits.dtype == after.logits.dtype
    for name in ("features", "answered"):
        was, now = getattr(before, name), getattr(after, name)
        assert (was is None) == (now is None)
        assert was is None or np.array_equal(was, now)
    kinds = [[d.kind for d in said] for said in (decide(model, X[:4]), again.decide(X[:4]))]
    assert kinds[0] == kinds[1]
    assert (again.task, again.n_outputs, again.classes) == (model.task, model.n_outputs, model.classes)
    assert (again.has_inputs, again.accepts_nan) == (model.has_inputs, model.accepts_nan)


def test_predictions_stay_predictions(tmp_path: Path) -> None:
    p = softmax(np.random.default_rng(0).normal(size=(60, 3)), axis=1)
    given = Split(p, p.argmax(axis=1))
    subject = Subject(Predictions(), validation=given, test=given)
    model = tempered(moved(adapt(subject, "classification")))
    save_treated(tmp_path, subject, model, [])
    again = load_treated(tmp_path)
    assert np.array_equal(again.outputs(p).logits, model.outputs(p).logits)
    assert not again.has_inputs


def test_a_regression(tmp_path: Path) -> None:
    y = X[:, 0] + 0.5
    torch.manual_seed(0)
    module = nn.Linear(4, 1)
    models = [as_model(m, "regression") for m in (module, LinearRegression().fit(X, y))]
    given = {name: Split(X, y) for name in ("train", "validation", "test")}
    model = Ensemble(models)
    save_treated(tmp_path, Subject(model, metric="rmse", **given), model, [])
    again = load_treated(tmp_path, lambda: nn.Linear(4, 1))
    assert np.array_equal(again.predict(X), model.outputs(X).logits[:, 0])
    with pytest.raises(BadInput, match="regression: call predict"):
        again.predict_proba(X)


def test_intervals_and_a_contract_around_a_regression(tmp_path: Path) -> None:
    inner = as_model(LinearRegression().fit(X, X[:, 0] + 0.5), "regression")
    given = {name: Split(X, X[:, 0]) for name in ("train", "validation", "test")}
    for name, change in {"in": contracted, "out": lambda m: m}.items():
        held = Bounded(change(inner), [0.0, 1.0], [0.1, 0.2, np.inf], coverage=0.9, n=40, date="2026-01-01")
        model: Any = held if name == "in" else contracted(held)
        save_treated(tmp_path / name, Subject(model, metric="rmse", **given), model, [])
        again = load_treated(tmp_path / name)
        before, after = model.outputs(X), again.outputs(X)
        assert np.array_equal(before.logits, after.logits)
        assert np.array_equal(before.answered, after.answered)
        assert 0 < before.answered.sum() < len(X)
        assert decide(model, X) == again.decide(X)
        assert again.fingerprint() == model.fingerprint()


# Whose outputs mean what the subject's do.


def rival(folder: Path, classes: tuple[str, ...], y: np.ndarray) -> tuple[Model, Loaded]:
    """(the rival that was judged, tempered, as it is loaded again), of a subject of `classes` with these indices."""
    train = Split(X, y)
    subject = small(model=RivalRecipe("linear", "classification")(train, 0), train=train, classes=classes)
    judged = tempered(aligned(adapt(subject, "classification"), classes))
    save_treated(folder, subject, judged, ["swap-family: this"])
    found: dict[str, Any] = {}
    exec(json.loads((folder / "treated" / "treated.json").read_text())["how"], found)
    assert np.array_equal(found["model"].outputs(X).logits, judged.outputs(X).logits)
    return judged, found["model"]


def test_a_class_that_train_lacks_keeps_its_place(tmp_path: Path) -> None:
    """Train has no "1": what is named "3" is still the third output."""
    judged, again = rival(tmp_path, ("1", "2", "3"), Y + 1)
    assert (again.n_outputs, again.classes) == (3, ("1", "2", "3"))
    assert np.array_equal(again.predict(X), judged.outputs(X).logits.argmax(axis=1))
    assert {again.classes[i] for i in again.predict(X)} == {"2", "3"}
    assert np.mean(again.predict(X) == Y + 1) > 0.7
    assert again.predict_proba(X)[:, 0].max() < 1e-6
    # As a subject's model, it goes by the same names.
    assert adapt(small(model=again, classes=("1", "2", "3")), "classification").n_outputs == 3


def test_the_names_are_the_subjects(tmp_path: Path) -> None:
    """A rival is fitted on class indices, and names its outputs so."""
    judged, again = rival(tmp_path, ("cat", "dog"), Y)
    assert judged.classes == ("0", "1")
    assert again.classes == ("cat", "dog")
    assert np.mean(again.predict(X) == Y) > 0.7
    # Names of other outputs would be wrong.
    assert Loaded(judged, ("ant", "bee", "cat")).classes == ("0", "1")
    assert Loaded(net()).classes is None


# Used as it comes.


def test_what_treat_keeps_is_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that leans to one class: a temperature is kept, then numbers for each class, and both are in the folder."""
    monkeypatch.chdir(tmp_path)
    lean = nn.Linear(4, 2)
    with torch.no_grad():
        lean.weight.copy_(6 * torch.tensor([[-1.2, 0, 0, 0], [1.2, 0, 0, 0]]))
        lean.bias.copy_(torch.tensor([0.0, 6.0]))
    subject = Subject(lean, train=split(200, 1), validation=split(2400, 2), test=split(2400, 3), name="lean")
    report = treat(audit(subject, out="run", probes=["miscalibration"]))
    assert [(t.remedy, t.kept, t.verdict) for t in report.treatments] == [
        ("temperature", True, "helps"),
        ("vector-scaling", True, "helps"),
        ("isotonic", False, "hurts"),
    ]
    assert report.verification.proven
    again = load_treated("run", lambda: nn.Linear(4, 2))
    test = split(2400, 3)
    loss = -np.log(again.predict_proba(test)[np.arange(2400), test.y])
    assert loss.mean() == pytest.approx(report.verification.after.value, abs=1e-3)


def test_what_was_judged_is_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival is kept that has never seen the first of three classes: its answers go by the subject's names."""
    monkeypatch.chdir(tmp_path)
    # In this process: starting others takes longer than all the rest.
    monkeypatch.setattr(Executor, "each", lambda self, function, jobs: (function(*job) for job in jobs))
    torch.manual_seed(0)
    names, sizes = ("1", "2", "3"), {"train": 200, "validation": 400, "test": 400}
    parts = {name: rows(n, seed) for seed, (name, n) in enumerate(sizes.items())}
    splits = {name: Split(x, np.array(names)[y + 1]) for name, (x, y) in parts.items()}
    subject = Subject(nn.Linear(4, 3), classes=names, name="lacking", **splits)
    report = treat(audit(subject, out="run", probes=["wrong-family"]), remedies=["swap-family"])
    assert [(t.remedy, t.kept) for t in report.treatments] == [("swap-family", True)]
    found: dict[str, Any] = {}
    exec(json.loads(Path("run/treated/treated.json").read_text())["how"], found)
    again = found["model"]
    assert again.classes == names
    answers = np.array(again.classes)[again.predict(splits["test"])]
    assert 1000 * np.mean(answers != splits["test"].y) == pytest.approx(report.verification.after.value)


def test_rows_are_taken_as_a_split_takes_them(tmp_path: Path) -> None:
    model = tempered(net())
    about = saved(tmp_path, model, classes=("no", "yes"))
    again = load_treated(tmp_path / "treated", build)
    expected = softmax(np.concatenate([model.outputs(X[:256]).logits, model.outputs(X[256:]).logits]), axis=1)
    for x in (X, torch.from_numpy(X), pd.DataFrame(X, columns=list("abcd")), Split(X, Y)):
        p = again.predict_proba(x)
        assert p.dtype == np.float64
        np.testing.assert_allclose(p, expected, rtol=1e-5)
        assert np.array_equal(again.predict(x), expected.argmax(axis=1))
    assert again.classes == ("no", "yes")
    assert about["changes"] == ["first: this"]
    assert "build=..." in about["how"]
    assert str(tmp_path / "treated") in about["how"]


def test_it_is_a_subjects_model_and_is_saved_again(tmp_path: Path) -> None:
    model = mapped(net())
    saved(tmp_path, model)
    again = load_treated(tmp_path, build)
    subject = small(model=again)
    assert infer_task(subject) == "classification"
    assert adapt(subject, "classification") is again
    assert again.fingerprint() == model.fingerprint()
    saved(tmp_path / "second", tempered(again))
    second = load_treated(tmp_path / "second", build)
    assert np.array_equal(second.outputs(X).logits, tempered(model).outputs(X).logits)


def test_stopped_between_two_files_the_model_before_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights are written, and treated.json is not: what is loaded is all of the first model or all of the
    second, whose files then are alone."""
    first, second = tempered(net(0)), moved(net(1))
    saved(tmp_path, first)
    write = save.write_atomically

    def stopped(path: Path, content: bytes | str) -> None:
        if path.name == "treated.json":
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(save, "write_atomically", stopped)
        with pytest.raises(KeyboardInterrupt):
            saved(tmp_path, second)
    assert np.array_equal(load_treated(tmp_path, build).outputs(X).logits, first.outputs(X).logits)
    saved(tmp_path, second)
    assert np.array_equal(load_treated(tmp_path, build).outputs(X).logits, second.outputs(X).logits)
    assert len(list((tmp_path / "treated").iterdir())) == 2


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_preprocess_is_asked_for_and_applied(tmp_path: Path) -> None:
    model = tempered(net(preprocess=double))
    saved(tmp_path, model)
    again = load_treated(tmp_path, build, preprocess=double)
    assert np.array_equal(again.outputs(X).logits, model.outputs(X).logits)
    assert not np.array_equal(again.outputs(X).logits, tempered(net()).outputs(X).logits)
    with pytest.raises(BadInput, match="batches were preprocessed: give preprocess="):
        load_treated(tmp_path, build)
    # To what wasn't preprocessed it isn't applied; two ways can't be told apart.
    saved(tmp_path, Ensemble([net(), net(preprocess=double)]))
    mixed = load_treated(tmp_path, build, preprocess=double)
    assert np.array_equal(mixed.outputs(X).logits, Ensemble([net(), net(preprocess=double)]).outputs(X).logits)
    saved(tmp_path, Ensemble([net(preprocess=torch.neg), net(preprocess=double)]))
    with pytest.raises(BadInput, match="each preprocessed in another way"):
        load_treated(tmp_path, build, preprocess=double)


def test_the_width_that_was_kept_is_built(tmp_path: Path) -> None:
    wide = Recipe(partial(build, width=2.0), epochs=1)
    torch.manual_seed(0)
    module = wide.make()
    about = saved(tmp_path, module, recipe=wide)
    assert about["model"]["built_with"] == {"width": 2.0}
    again = load_treated(tmp_path, build)
    expected = as_model(module, "classification").outputs(X).logits
    assert np.array_equal(again.outputs(X).logits, expected)
    # A build that takes no width has it inside.
    fixed = load_treated(tmp_path, lambda: build(2.0))
    assert np.array_equal(fixed.outputs(X).logits, expected)


def test_what_batches_had_settled_is_kept(tmp_path: Path) -> None:
    """One row of a net that ends in a sigmoid looks like a logit; the net had been found to state probabilities."""

    def sigmoid() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())

    torch.manual_seed(0)
    model = as_model(sigmoid(), "classification")
    model.outputs(X)
    saved(tmp_path, tempered(model))
    again = load_treated(tmp_path, sigmoid)
    assert np.array_equal(again.outputs(X[:1]).logits, tempered(model).outputs(X[:1]).logits)


# What can't be saved or loaded says so.


def test_types_that_could_run_code_have_to_be_trusted(tmp_path: Path) -> None:
    model = as_model(RandomForestClassifier(5, random_state=0).fit(X, Y), "classification")
    about = saved(tmp_path, tempered(model))
    with pytest.raises(BadInput, match=r"could run code: sklearn.tree._tree.Tree: if you trust them, give trusted="):
        load_treated(tmp_path)
    again = load_treated(tmp_path, trusted=["sklearn.tree._tree.Tree"])
    assert np.array_equal(again.outputs(X).logits, tempered(model).outputs(X).logits)
    # The two lines in treated.json are all it takes.
    found: dict[str, Any] = {}
    exec(about["how"], found)
    assert np.array_equal(found["model"].predict(X), again.predict(X))


def test_an_estimator_that_cannot_be_saved_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = make_pipeline(FunctionTransformer(lambda x: 2 * x), LogisticRegression()).fit(X, Y)
    about = saved(tmp_path, Ensemble([net(), as_model(odd, "classification")]))
    assert about["model"]["members"][1]["reason"].startswith("skops can't save this Pipeline (")
    assert about["how"].startswith("not to be loaded: skops can't save")
    with pytest.raises(BadInput, match="no model of kind 'estimator': skops can't save this Pipeline"):
        load_treated(tmp_path, build)
    saved(tmp_path / "whole", pipeline())
    monkeypatch.setitem(sys.modules, "skops.io", None)
    about = saved(tmp_path, pipeline())
    assert about["model"]["reason"] == "saving Pipeline needs an extra: pip install 'uncork[sklearn]'"
    with pytest.raises(MissingExtra, match="loading Pipeline needs an extra"):
        load_treated(tmp_path / "whole")


def test_code_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_steps.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_steps

    model = make_pipeline(FunctionTransformer(my_steps.double), LogisticRegression()).fit(X, Y)
    about = saved(tmp_path, model)
    assert about["model"]["trusted"] == ["my_steps.double"]
    again = load_treated(tmp_path, trusted=["my_steps.double"])
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-5)
    monkeypatch.delattr(my_steps, "double")
    with pytest.raises(BadInput, match="needs code that is not here"):
        load_treated(tmp_path, trusted=["my_steps.double"])


class Foreign:
    """Someone else's Model."""

    task, has_inputs, accepts_nan, classes, n_outputs = "classification", True, False, None, 2

    def outputs(self, batch: Any, features: bool = False) -> Output:
        return Output(np.stack([0 * batch[:, 0], batch[:, 0]], axis=1))

    def fingerprint(self) -> str:
        return "foreign"

    def describe(self) -> dict[str, Any]:
        return {}


class Mirrored(Wrapped):
    """Someone else's change."""

    told: ClassVar[dict[str, Any]] = {}

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return -logits


@pytest.mark.parametrize("make", [Foreign, lambda: Mirrored(net())], ids=["Foreign", "Mirrored"])
def test_a_model_of_no_known_kind_says_so(make: Any, tmp_path: Path) -> None:
    model = make()
    about = saved(tmp_path, tempered(model))
    kind = type(model).__name__
    assert about["model"]["inner"]["kind"] == kind
    assert about["how"].startswith("not to be loaded: uncork doesn't know")
    with pytest.raises(BadInput, match=f"no model of kind '{kind}': uncork doesn't know what it is made of"):
        load_treated(tmp_path)


def test_errors_name_the_place_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no treated.json: give the folder of a run"):
        load_treated(tmp_path)
    saved(tmp_path, mapped(net()))
    with pytest.raises(BadInput, match="holds weights of Sequential: give build="):
        load_treated(tmp_path)
    with pytest.raises(BadInput, match="does not fit Linear"):
        load_treated(tmp_path, lambda: nn.Linear(4, 2))
    with pytest.raises(BadInput, match="returns int"):
        load_treated(tmp_path, lambda: 3)
    place = tmp_path / "treated"
    (isotonic,) = place.glob("isotonic-*.safetensors")
    isotonic.write_bytes(b"x")
    with pytest.raises(BadInput, match=f"{isotonic.name} is damaged"):
        load_treated(tmp_path, build)
    isotonic.unlink()
    with pytest.raises(BadInput, match=f"{isotonic.name}: there is no such file"):
        load_treated(tmp_path, build)
    saved(tmp_path, pipeline())
    (estimator,) = place.glob("estimator-*.skops")
    estimator.write_bytes(b"x")
    with pytest.raises(BadInput, match=f"{estimator.name} is damaged"):
        load_treated(tmp_path)
    (place / "treated.json").write_text('{"temperature": 2.0}')
    with pytest.raises(BadInput, match="doesn't say what the model is made of: treat again"):
        load_treated(tmp_path)
    (place / "treated.json").write_text("{")
    with pytest.raises(BadInput, match=r"treated.json is damaged"):
        load_treated(tmp_path)
