"""A subject that can't be used: a message that names the place, what is wrong and the way out; exit code 2."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Cli, Said, left_behind

CARVED = "No validation was given:"

LABELS = {
    "outside the outputs": (
        "y[7] = 2; subject = Subject(net, test=Split(x, y))",
        "test.y holds class 2, but the model has 2 outputs (0–1): check the labels' offset",
    ),
    "negative": (
        "y[7] = -1; subject = Subject(net, test=test, train=Split(x, y))",
        "train.y holds class -1, but the model has 2 outputs (0–1): check the labels' offset",
    ),
    "no class of these names": (
        "subject = Subject(net, test=Split(x, np.where(y == 1, 'dog', 'cow')), classes=['cat', 'dog'])",
        "test.y holds 'cow' in row 1, but the classes are 'cat', 'dog'",
    ),
    "names of more classes": (
        "subject = Subject(net, test=test, classes=['a', 'b', 'c'])",
        "classes names 3 classes, but the model has 2 outputs: name each output",
    ),
    "one class only": (
        "subject = Subject(net, test=Split(x, 0 * y))",
        "test.y holds one value only (0): a model can't be judged on rows that are all alike; "
        "check how the split was made",
    ),
    "none": (
        "subject = Subject(net, test=Split(x))",
        "test.y is absent: give the labels, test=Split(x, y)",
    ),
    "fewer than rows": (
        "subject = Subject(net, test=Split(x, y[:-1]))",
        "s.py, line 17: Split: x has 400 rows but y has 399: give one y for each row of x",
    ),
    "missing": (
        "z = y.astype(float); z[3] = np.nan; subject = Subject(net, test=Split(x, z))",
        "s.py, line 17: Split: y is nan in row 3: leave out the rows that have no y",
    ),
    "of no regression": (
        "subject = Subject(net, test=Split(x, x[:, 0]))",
        "metric 'error' belongs to classification but y holds numbers that are no integers: "
        "give metric='rmse' or 'mae'",
    ),
}

ROWS = {
    "no rows": (
        "subject = Subject(net, test=Split(x[:0], y[:0]))",
        "s.py, line 17: Split: x has no rows: the split is empty",
    ),
    "too few rows to halve": (
        "subject = Subject(net, test=Split(x[:9], y[:9], groups=np.zeros(9, int)))",
        "no validation was given and test can't be halved: 9 rows with 1 groups are too few to halve: "
        "give a validation split",
    ),
    "no split": (
        "subject = Subject(net, test=None)",
        "test is None: give test=Split(x, y), rows that the model has never seen",
    ),
    "not wrapped": (
        "subject = Subject(net, test=(x, y))",
        "test is of type tuple: wrap it, test=Split(x, y)",
    ),
    "NaN, in the row of the user's array": (
        "x[150, 2] = np.nan; subject = Subject(net, test=Split(x, y))",
        "test.x holds NaN or inf in row 150: impute the value or leave the row out",
    ),
    "inf, in the row of the user's id": (
        "x[150, 2] = np.inf; subject = Subject(net, test=Split(x, y, ids=[f'case-{i}' for i in range(400)]))",
        "test.x holds NaN or inf in the row with id case-150: impute the value or leave the row out",
    ),
    "NaN in validation": (
        "z = x.copy(); z[150, 2] = np.nan; subject = Subject(net, test=test, validation=Split(z, y))",
        "validation.x holds NaN or inf in row 150: impute the value or leave the row out",
    ),
    "NaN in what was set aside for validation": (
        "x[1, 2] = np.nan; subject = Subject(net, test=Split(x, y))",
        f"validation.x holds NaN or inf in row 1: impute the value or leave the row out. {CARVED}",
    ),
    "integer images": (
        "images = rng.integers(0, 256, (400, 4)).astype('uint8'); images[0] = [0, 255, 9, 9]\n"
        "subject = Subject(net, test=Split(images, y))",
        "test.x holds uint8 values 0–255 but the model's weights are float32: "
        "give Subject(preprocess=lambda x: x.float() / 255)",
    ),
    "another shape": (
        "subject = Subject(net, test=Split(x[:, :3], y))",
        "test.x: the model refuses rows of shape (3,): mat1 and mat2 shapes cannot be multiplied (256x3 and 4x2): "
        "give rows as in training, or Subject(preprocess=…)",
    ),
    "another shape in a later split": (
        "subject = Subject(net, validation=train, test=Split(x[:, :3], y))",
        "test.x: the model refuses rows of shape (3,): mat1 and mat2 shapes cannot be multiplied (1x3 and 4x2): "
        "give rows as in training, or Subject(preprocess=…)",
    ),
    "texts": (
        "subject = Subject(net, test=Split(['a'] * 400, y))",
        "test.x: a torch model needs tensors but gets list: give Subject(preprocess=…) turn a batch into a tensor or "
        "a dict of tensors",
    ),
}

MODELS = {
    "NaN logits": (
        "net.weight.data[:] = float('nan'); subject = Subject(net, test=test, validation=train)",
        "validation: the model's output holds NaN or inf in row 0: check the weights, the preprocessing and the inputs",
    ),
    "NaN logits on test alone": (
        "class Log(nn.Module):\n    def forward(self, x): return torch.log(x[:, :2].clamp(-2.5) + 2.5)\n"
        "test = Split(np.where(np.arange(300)[:, None] == 9, -9, np.abs(x[:300])).astype('float32'), y[:300])\n"
        "subject = Subject(Log(), test=test, validation=Split(np.abs(x[300:]), y[300:]))",
        "test: the model's output holds NaN or inf in row 9: check the weights, the preprocessing and the inputs",
    ),
    "no probabilities": (
        "p = rng.random((400, 2)); p /= p.sum(1, keepdims=True); p[20] *= 2\n"
        "subject = Subject(Predictions(), test=Split(p, y))",
        "test.x: the probabilities of row 20 sum to 2, not 1: give softmax outputs, not logits",
    ),
    "logits for probabilities": (
        "subject = Subject(Predictions(), test=Split(x[:, :2], y))",
        "test.x: the probabilities of row 0 include -0.1321: give softmax outputs, not logits",
    ),
    "no model": (
        "subject = Subject(3, test=test)",
        "model is of type int: give a torch.nn.Module, a fitted scikit-learn estimator (anything with fit and predict "
        "or predict_proba), the path of a model's file, or Predictions() where the splits hold probabilities",
    ),
    "a path and no recipe": (
        "subject = Subject('m.pt', test=test)",
        "m.pt: there is no such file or folder: give the path of a model",
    ),
    "a path to nothing": (
        "subject = Subject('m.pt', test=test, recipe=Recipe(build, epochs=1))",
        "m.pt: there is no such file",
    ),
    "a cost matrix of another size": (
        "subject = Subject(net, test=test, metric=np.ones((3, 3)))",
        "the cost matrix is for 3 classes, but the model has 2 outputs",
    ),
    "an unknown metric": (
        "subject = Subject(net, test=test, metric='f1')",
        "s.py, line 17: metric 'f1' is not known: use one of accuracy, auc, error, log-loss, mae, rmse, "
        "wrong-answers, a cost matrix, or a callable",
    ),
}

FILES = {
    "no such name": ("subjekt = Subject(net, test=test)", "s.py has no 'subject': it has subjekt"),
    "no subject": ("", "s.py has no 'subject': write subject = Subject(model, test=Split(x, y)) in it"),
    "no Subject": ("subject = 3", "s.py:subject is of type int: let it be a Subject, or a function that returns one"),
    "a function that returns none": (
        "def subject(): pass",
        "s.py:subject is of type NoneType: let it be a Subject, or a function that returns one",
    ),
}


def audit(cli: Cli, spec: str = "s.py:subject") -> Said:
    return cli("audit", spec, "--probes", "overfitting,miscalibration")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(*case, id=f"{group}: {name}")
        for group, cases in (("labels", LABELS), ("rows", ROWS), ("model", MODELS), ("file", FILES))
        for name, case in cases.items()
    ],
)
def test_refused(body: str, message: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path) -> None:
    said = audit(cli, subject_file(body))
    assert said.message.startswith(f"uncork: {message}")
    assert CARVED in message or said.message == f"uncork: {message}"
    assert "Traceback" not in said.err
    assert (said.code, said.out) == (2, "")
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:subject", "there is no file nowhere.py: check the path; it is taken from the current folder"),
        ("no.such.module:s", "there is no module 'no.such.module': check the name, or give path/to/file.py:name"),
        ("json.nothing:s", "there is no module 'json.nothing': check the name, or give path/to/file.py:name"),
        ("./s:subject", "there is no module './s': check the name, or give path/to/file.py:name"),
        ("s.py", "'s.py' names no subject: write path/to/file.py:name or package.module:name"),
        (":subject", "':subject' names no subject: write path/to/file.py:name or package.module:name"),
        ("s.py:", "'s.py:' names no subject: write path/to/file.py:name or package.module:name"),
    ],
)
def test_no_such_place(spec: str, message: str, cli: Cli, tmp_path: Path) -> None:
    said = audit(cli, spec)
    assert (said.code, said.message, left_behind(tmp_path)) == (2, f"uncork: {message}", [])


RAISING = {
    "while it is read": (
        "def f(): return {}['weights']\nsubject = f()",
        "s.py:subject raised KeyError: 'weights'",
    ),
    "in its function": ("def subject(): raise ValueError('no data')", "s.py:subject raised ValueError: no data"),
    "by leaving": ("import sys; sys.exit(0)", "s.py:subject raised SystemExit: 0"),
    "by importing what isn't there": (
        "import not_installed",
        "s.py:subject raised ModuleNotFoundError: No module named 'not_installed'",
    ),
    "in preprocess": (
        "def pre(batch): return {}['image']\nsubject = Subject(net, test=test, preprocess=pre)",
        "the subject's own code raised KeyError: 'image'",
    ),
    "in its dataset, late": (
        "class Pictures:\n    def __len__(self): return 400\n    def __getitem__(self, i):\n"
        "        if i == 399: raise OSError('picture 399 is truncated')\n        return x[i], int(y[i])\n"
        "subject = Subject(net, test=Split(Pictures(), y))",
        "the subject's own code raised OSError: picture 399 is truncated",
    ),
}


@pytest.mark.parametrize(("body", "message"), RAISING.values(), ids=RAISING.keys())
def test_its_own_traceback_is_shown_and_ours_not(
    body: str, message: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    said = audit(cli, subject_file(body))
    assert said.code == 2
    assert said.message == f"uncork: {message}"
    assert "Traceback" in said.err
    assert "s.py" in said.err
    assert "src/uncork" not in said.err
    assert left_behind(tmp_path) == []


def test_a_syntax_error_points_at_the_line(cli: Cli, subject_file: Callable[..., str]) -> None:
    said = audit(cli, subject_file("subject = ("))
    assert "    subject = (" in said.err
    assert said.message == "uncork: s.py:subject raised SyntaxError: '(' was never closed (s.py, line 17)"


def test_a_fault_of_our_own_is_not_blamed_on_the_subject(
    cli: Cli, subject_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import uncork.run.audit

    monkeypatch.setattr(uncork.run.audit, "admit", lambda *_, **__: {}["ours"])
    monkeypatch.setitem(globals(), "__name__", "uncork.run.broken")  # the lambda's frame counts as uncork's
    with pytest.raises(KeyError):
        audit(cli, subject_file())


NO_GPU = "there is no GPU here: load with map_location='cpu' and leave out .cuda() and .to('cuda')"


@pytest.mark.parametrize(
    ("body", "whose"),
    [
        ("subject = Subject(net.cuda(), test=test)", "s.py:subject raised AssertionError"),
        (
            "raise RuntimeError('Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is "
            "False. If you are running on a CPU-only machine, please use torch.load with map_location.')",
            "s.py:subject raised RuntimeError",
        ),
        ("raise RuntimeError('Found no NVIDIA driver on your system.')", "s.py:subject raised RuntimeError"),
        (
            "class OnGpu(nn.Linear):\n    def forward(self, x): raise AssertionError('Torch not compiled with CUDA')\n"
            "subject = Subject(OnGpu(4, 2), test=test)",
            "the subject's own code raised AssertionError",
        ),
    ],
    ids=["cuda()", "a checkpoint from a GPU", "no driver", "in forward"],
)
def test_a_gpu_that_is_not_there(
    body: str, whose: str, cli: Cli, subject_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def no_driver(*_: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.nn.Module, "cuda", no_driver)
    said = audit(cli, subject_file(body))
    assert (said.code, said.message) == (2, f"uncork: {whose}: {NO_GPU}")


class Trap:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, ("sprung",)


REFUSED = (
    "trap.pt would run code when loaded, so it is refused: ask its author for safetensors, or, if you trust it, call "
    "torch.load(path, weights_only=False) in your own code and pass the module"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("subject = Subject('trap.pt', test=test, recipe=Recipe(build, epochs=1))", REFUSED),
        ("subject = Subject(load_weights(net, 'trap.pt'), test=test)", f"s.py, line 17: {REFUSED}"),
        (
            "subject = Subject(torch.load('trap.pt'), test=test)",
            "s.py:subject raised UnpicklingError: the checkpoint would run code while it is read, so it was not: ask "
            "its author for safetensors or a plain state_dict; or, only if you trust it, load it with "
            "torch.load(path, weights_only=False)",
        ),
    ],
    ids=["Subject(path)", "load_weights", "torch.load"],
)
@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_checkpoint_that_would_run_code(
    body: str, message: str, how: str, cli: Cli, subject_file: Callable[..., str], tmp_path: Path
) -> None:
    import torch

    if how == "torch.save":
        torch.save({"weight": Trap()}, tmp_path / "trap.pt")
    else:
        (tmp_path / "trap.pt").write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))
    said = audit(cli, subject_file(body))
    assert (said.code, said.message) == (2, f"uncork: {message}")
    assert left_behind(tmp_path) == []  # above all: not "sprung"


def test_in_a_process_of_its_own(subject_file: Callable[..., str], tmp_path: Path) -> None:
    """The same, by the installed command."""
    command = [str(Path(sys.executable).parent / "uncork"), "audit", subject_file(LABELS["outside the outputs"][0])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == f"uncork: {LABELS['outside the outputs'][1]}"
    assert left_behind(tmp_path) == []


def test_train_rows_in_test_are_a_finding_not_an_error(cli: Cli, subject_file: Callable[..., str]) -> None:
    spec = subject_file("subject = Subject(net, test=Split(x, y), train=train)")
    said = cli("audit", spec, "--probes", "leaked-examples", "-q")
    assert (said.code, said.err) == (0, "")
    assert "leaked-examples" in cli("report", "runs/s").out.partition("GATES")[2]
