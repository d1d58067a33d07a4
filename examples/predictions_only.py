"""No model and no code: an audit of a table of predictions, such as any program can write.

    python examples/predictions_only.py [folder]

writes validation.csv and test.csv into the folder (default: a temporary one), one row per handwritten digit, and then
runs what you would type:

    uncork audit --predictions FOLDER/test.csv --validation FOLDER/validation.csv --label digit --id picture

The tables have a column for the row's id, one for the label, and one probability per class, named for the class:

    picture,digit,p_zero,p_one,p_two,...
    scan-0412,seven,0.0001,0.0003,...

`uncork audit examples/predictions_only.py:subject` does the same from Python: `Predictions()` stands for the model,
and the splits hold its probabilities.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from uncork import Predictions, Split, Subject

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def predictions() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For validation and test: (rows, labels, probabilities). This part stands for the other program."""
    x, y = load_digits(return_X_y=True)
    train, rest = train_test_split(np.arange(len(y)), train_size=597, stratify=y, random_state=0)
    validation, test = train_test_split(rest, train_size=600, stratify=y[rest], random_state=0)
    model = GaussianNB(var_smoothing=1e-3).fit(x[train], y[train])
    return {
        name: (rows, y[rows], model.predict_proba(x[rows]))
        for name, rows in (("validation", validation), ("test", test))
    }


def write(folder: Path) -> None:
    """Writes validation.csv and test.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (rows, labels, probabilities) in predictions().items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["picture", "digit", *(f"p_{digit}" for digit in NAMES)])
            for row, label, p in zip(rows, labels, probabilities, strict=True):
                table.writerow([f"scan-{row:04d}", NAMES[label], *(f"{value:.6f}" for value in p)])


def command(folder: Path) -> list[str]:
    """What to type after `uncork`."""
    return [
        *("audit", "--predictions", str(folder / "test.csv"), "--validation", str(folder / "validation.csv")),
        *("--label", "digit", "--id", "picture", "--out", str(folder / "run")),
    ]


def subject() -> Subject:
    """The same audit from Python."""
    splits = {name: Split(p, labels, ids=rows) for name, (rows, labels, p) in predictions().items()}
    return Subject(Predictions(), **splits, classes=NAMES, name="predictions_only")


def main() -> None:
    from uncork.cli.app import main as uncork

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="uncork-predictions-"))
    write(folder)
    print(f"wrote {folder}/test.csv and {folder}/validation.csv; now running:\n")
    print("  uncork", " ".join(command(folder)), "\n", flush=True)
    uncork(command(folder))


if __name__ == "__main__":
    main()
