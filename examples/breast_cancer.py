"""One table, two families of model: is a small net the right one for 569 rows of 30 columns?

    uncork audit examples/breast_cancer.py:mlp        # a net that uncork can train again by its recipe
    uncork audit examples/breast_cancer.py:boosting   # scikit-learn's gradient boosting on the same rows
    uncork treat runs/mlp

The data are Wisconsin breast cancer (diagnostic), which come with scikit-learn. Each subject is a function, so that
nothing is trained before uncork asks for it; the same seed gives the same model each time.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from torch import nn

from uncork import Recipe, Split, Subject

table = load_breast_cancer()
x, y = table.data.astype("float32"), table.target
classes = [str(name) for name in table.target_names]
x_train, x_rest, y_train, y_rest = train_test_split(x, y, train_size=229, stratify=y, random_state=0)
x_validation, x_test, y_validation, y_test = train_test_split(
    x_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=0
)
splits = {
    "train": Split(x_train, y_train),
    "validation": Split(x_validation, y_validation),
    "test": Split(x_test, y_test),
}

# The net wants columns of one scale. Mean and deviation are those of train: test must not have a say in them.
MEAN, DEVIATION = torch.from_numpy(x_train.mean(axis=0)), torch.from_numpy(x_train.std(axis=0))


def standardise(batch: torch.Tensor) -> torch.Tensor:
    return (batch - MEAN) / DEVIATION


def build(width: float = 1.0) -> nn.Module:
    """A net of two hidden layers. uncork may ask for another width."""
    hidden = max(1, round(32 * width))
    return nn.Sequential(
        nn.Linear(x.shape[1], hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, len(classes)),
    )


def mlp() -> Subject:
    recipe = Recipe(build, epochs=60, batch_size=32, lr=3e-3)
    model = recipe.fit(splits["train"], seed=0, preprocess=standardise)
    return Subject(model, **splits, recipe=recipe, preprocess=standardise, classes=classes)


def boosting() -> Subject:
    model = HistGradientBoostingClassifier(random_state=0).fit(x_train, y_train)
    return Subject(model, **splits, classes=classes)
