"""A fitted net of skorch as a Subject, with the rows that it was fitted on and a recipe of its own settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.data.split import Split
from uncork.models.code import code_fingerprint
from uncork.schema.errors import BadInput
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.recipe import Recipe

if TYPE_CHECKING:
    from skorch import NeuralNet

#: Callbacks that watch, and change nothing in the training.
WATCHING = (
    "EpochTimer",
    "PassthroughScoring",
    "EpochScoring",
    "BatchScoring",
    "PrintLog",
    "ProgressBar",
    "TensorBoard",
)
LOADING = ("shuffle", "batch_size", "num_workers", "pin_memory", "persistent_workers")
SMALL = 8


def from_skorch(
    net: NeuralNet, X: Any, y: Any = None, *, test: Any, validation: Any = None, **settings: Any
) -> Subject:
    """The Subject of a fitted net, given what `net.fit` got as `X` and `y`.

    `test`, `validation`: Splits, or (x, y). Rows that the net's own `train_split` held back are no part of `train`;
    they are `validation` where none is given. `settings`: Subject's others; a regressor's metric is "rmse" where they
    say nothing. The model is the net's module where its outputs can be read without the net, else the net.
    `recipe`: a Recipe where one says the same as the net's settings (weight decay spares biases and norms, though),
    else a callable that fits the net anew, whose `why` says what a Recipe can't; None, with a warning, where the net
    was given a module that is made already, which can't be begun afresh. Raises BadInput for a net that is not fitted,
    and where which rows were held back can't be told.
    """
    if not any(kind.__module__ == "skorch.net" for kind in type(net).__mro__):
        raise BadInput(f"net is of type {type(net).__name__}: give a fitted net of skorch")
    if not getattr(net, "initialized_", False):
        raise BadInput(f"{type(net).__name__} is not fitted: call fit on train before giving it to from_skorch")
    regression = any(kind.__name__ == "NeuralNetRegressor" for kind in type(net).__mro__)
    train, held, judge = _divided(net, X, y)
    bare = train.kind != "frame" and _bare(net, regression, X)
    settings.setdefault("metric", "rmse" if regression else "error")
    return Subject(
        net.module_ if bare else net,
        train=train,
        validation=held if validation is None else _split(validation),
        test=_split(test),
        recipe=settings.pop("recipe", None) or _recipe(net, y, judge, bare),
        **settings,
    )


@dataclass(frozen=True, repr=False)
class Refit:
    """A recipe: (train, seed) → the net fitted anew with its own settings, or its module where it is `bare`.

    `why`: what about these settings no Recipe can say. `judge`: the rows that it held back, at which its callbacks
    look. `column`: whether the net takes y as (n, 1).
    """

    net: Any
    why: str
    judge: Any = None
    bare: bool = True
    column: bool = False

    def __call__(self, train: Split, seed: int) -> Any:
        from sklearn.base import clone
        from skorch.helper import predefined_split

        rows = np.arange(len(train))
        y = None if train.y is None else train.y.reshape(-1, 1) if self.column else train.y
        if y is not None:
            y = y.astype(np.float32 if y.dtype.kind == "f" else np.int64)
        net = clone(self.net).set_params(
            train_split=None if self.judge is None else predefined_split(self.judge), verbose=0, warm_start=False
        )
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(integer_seed(seed, "train"))
            net.fit(train.take(rows), y)
        return net.module_.eval() if self.bare else net

    def __repr__(self) -> str:
        return f"Refit({type(self.net).__qualname__}, {self.why}, {code_fingerprint(self.net.get_params(deep=False))})"


def _split(given: Any) -> Split:
    return given if isinstance(given, Split) else Split(*given) if isinstance(given, tuple) else Split(given)


def _divided(net: Any, x: Any, y: Any) -> tuple[Split, Split | None, Any]:
    """(rows that it was fitted on, rows that it held back, these as a dataset of torch). By its own train_split."""
    whole = Split(x, y)
    if not net.train_split:
        return whole, None, None
    (train, held), (again, _) = (net.get_split_datasets(x, y) for _ in range(2))
    if not hasattr(train, "indices"):  # predefined_split: other rows were held back
        return whole, None if held is None else Split(held), held
    if not np.array_equal(train.indices, again.indices):
        raise BadInput(
            "net.train_split draws other rows each time, so those that the net held back can't be told: give as X and "
            "y the rows that it was fitted on, after net.set_params(train_split=None)"
        )
    return whole.subset(np.asarray(train.indices)), whole.subset(np.asarray(held.indices)), held


def _bare(net: Any, regression: bool, x: Any) -> bool:
    """Whether the module's outputs are logits, probabilities or values as they are, without what the net adds."""
    plain = type(net).__module__ in ("skorch.classifier", "skorch.regressor") and net.predict_nonlinearity == "auto"
    known = regression or type(net.criterion_) in (nn.CrossEntropyLoss, nn.NLLLoss)
    if not (plain and known):
        return False
    whole = Split(x)
    few = whole.take(np.arange(min(SMALL, len(whole))))
    return isinstance(next(net.forward_iter(few)), torch.Tensor)  # of several outputs the net takes the first


def _recipe(net: Any, y: Any, judge: Any, bare: bool) -> Recipe | Refit | None:
    from sklearn.base import clone

    if isinstance(net.module, nn.Module):
        warnings.warn(
            "recipe is None: the net was given a module that is made already, so that training can't begin afresh. "
            "Give it the class, NeuralNetClassifier(Net, module__width=…), to have measured what retraining tells",
            UserWarning,
            stacklevel=3,
        )
        return None
    why = _unsaid(net, bare)
    if why:
        column = getattr(y, "ndim", 1) == 2
        return Refit(clone(net), why, judge, bare, column)
    optimizer = net.optimizer_
    return Recipe(
        partial(net.module, **net.get_params_for("module")),
        epochs=len(net.history) or net.max_epochs,
        batch_size=net.batch_size,
        lr=optimizer.defaults["lr"],
        optimizer=type(optimizer).__name__.lower(),
        weight_decay=optimizer.defaults["weight_decay"],
        schedule="constant",
        loss=_loss(net),
    )


def _unsaid(net: Any, bare: bool) -> str:
    """The first of the net's settings that a Recipe can't say; empty where there is none."""
    acting = [type(callback).__name__ for _, callback in net.callbacks_ if type(callback).__name__ not in WATCHING]
    loading = net.get_params_for("iterator_train")
    sized = isinstance(net.batch_size, int) and net.batch_size > 0
    reasons = (
        ("the module's outputs are read by the net", not bare),
        (f"it trains with {', '.join(acting)}", bool(acting)),
        ("its rows are not shuffled (iterator_train__shuffle=True)", loading.get("shuffle") is not True),
        ("its batches are drawn in a way of their own", net.iterator_train is not torch.utils.data.DataLoader),
        ("its batches are drawn in a way of their own", any(name not in LOADING for name in loading) or not sized),
        (f"its optimiser, {type(net.optimizer_).__name__}, has settings of its own", not _usual(net.optimizer_)),
        ("its dataset is of a kind of its own", net.dataset.__module__ != "skorch.dataset"),
        ("the module is compiled", bool(net.compile)),
        ("its criterion has parameters to train", any(True for _ in net.criterion_.parameters())),
    )
    return next((reason for reason, holds in reasons if holds), "")


def _usual(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is one that `make_optimizer` makes of an lr and a weight decay."""
    own: dict[type, Callable[..., torch.optim.Optimizer]] = {
        torch.optim.AdamW: torch.optim.AdamW,
        torch.optim.Adam: torch.optim.Adam,
        torch.optim.SGD: partial(torch.optim.SGD, momentum=0.9),
    }
    if type(optimizer) not in own or len(optimizer.param_groups) > 1:
        return False
    free = {name: optimizer.defaults[name] for name in ("lr", "weight_decay")}
    return bool(own[type(optimizer)]([torch.zeros(1)], **free).defaults == optimizer.defaults)


def _loss(net: Any) -> Any:
    """What a Recipe's loss is for its criterion: None for cross-entropy and squared error as they are."""
    criterion = net.criterion_
    if isinstance(criterion, nn.NLLLoss):
        return partial(_of_probabilities, criterion)
    plain = net.criterion in (nn.CrossEntropyLoss, nn.MSELoss) and not net.get_params_for("criterion")
    return None if plain else criterion


def _of_probabilities(criterion: nn.Module, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """NLLLoss as skorch has it: of the logarithm of what the module returns."""
    loss: torch.Tensor = criterion(torch.log(outputs + torch.finfo(outputs.dtype).eps), y)
    return loss
