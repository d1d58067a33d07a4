"""`uncork init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uncork.schema.errors import BadInput

TEMPLATE = '''"""What uncork audits. Fill in the four places marked HERE, then: uncork audit {file}:subject"""

import numpy as np
from torch import nn

from uncork import Recipe, Split, Subject


def build() -> nn.Module:
    # HERE 1: your module, untrained. uncork calls this when it has to train again.
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


# HERE 2: how it was trained. Leave recipe out below if you don't want anything to be retrained.
recipe = Recipe(build, epochs=10, batch_size=128, lr=1e-3)

# HERE 3: your data. Arrays, tensors, memory maps, torch datasets, DataFrames, or Split.from_parquet(path, "target").
data = np.load("data.npz")
train = Split(data["x_train"], data["y_train"])
validation = Split(data["x_validation"], data["y_validation"])  # left out: half of test is set aside for it
test = Split(data["x_test"], data["y_test"])

subject = Subject(
    "model.safetensors",  # HERE 4: the trained weights, or the module itself, or a scikit-learn estimator
    train=train,
    validation=validation,
    test=test,
    recipe=recipe,
    metric="error",  # or "log-loss", "auc", "rmse", "mae", a cost matrix, or a callable: see Metric
    # classes=["cat", "dog"],               # names of the outputs, in their order
    # preprocess=lambda x: x.float() / 255,  # what happens to a batch before the model sees it
    # require={{"ece": 0.02, "precision": 0.99}},  # limits of the trust column; "linf": 8 / 255 declares an attack
    # strangers=Split(data["x_strangers"]),  # rows that it was not made for and should not answer
)
'''


def init(path: Annotated[str, typer.Argument(help="Where to write it.")] = "subject.py") -> None:
    """Write a commented subject.py to fill in."""
    place = Path(path)
    if place.exists():
        raise BadInput(f"{place} is there already: give another name, uncork init other.py")
    if not place.parent.is_dir():
        raise BadInput(f"there is no folder {place.parent}: make it first")
    from uncork.gather.store import write_atomically

    write_atomically(place, TEMPLATE.format(file=place))
    typer.echo(f"wrote {place}: fill in the places marked HERE, then run: uncork audit {place}:subject")
