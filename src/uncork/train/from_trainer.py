"""A Trainer of transformers as a Subject: its model, what it reads, its datasets, and itself as the recipe."""

from __future__ import annotations

import copy
import inspect
import json
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uncork.data.split import Split
from uncork.models.code import code_fingerprint
from uncork.models.transformers_model import NO_LIMIT
from uncork.schema.errors import BadInput
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject

if TYPE_CHECKING:
    from transformers import Trainer

LABELS = ("labels", "label", "label_ids")
USUAL = ("DefaultFlowCallback", "PrinterCallback", "ProgressCallback", "NotebookProgressCallback")
REPORTING = "transformers.integrations"
COMPARED = 64
#: What a Trainer does beside training: nothing of it.
QUIET = {
    "eval_strategy": "no",
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
    "push_to_hub": False,
}


def from_trainer(trainer: Trainer, *, test: Any = None, validation: Any = None, **settings: Any) -> Subject:
    """The Subject of a transformers.Trainer that has trained a sequence classifier, or one with a single output.

    `test`, `validation`: datasets like the trainer's. Its own `eval_dataset` is validation where `test` is given, else
    test, half of which uncork then sets aside as validation. `settings`: Subject's others; of one output the metric is
    "rmse" where they say nothing. Rows are texts where the datasets hold one column of strings whose tokens by the
    trainer's tokenizer are those in them, if any; else what they hold, padded to one length. They are read into memory.
    `recipe`: a callable that trains anew with the same class, arguments and collator, where the trainer has a
    `model_init`; None, with a warning that says why, where it has none, and where what it does can't be begun afresh.
    Raises BadInput for another object, for a model of several labels a row, and for datasets that can't be rows.
    """
    if not any(kind.__module__ == "transformers.trainer" for kind in type(trainer).__mro__):
        raise BadInput(f"trainer is of type {type(trainer).__name__}: give a transformers.Trainer")
    config = getattr(trainer.model, "config", None)
    if getattr(config, "problem_type", None) == "multi_label_classification":
        raise BadInput("the model gives each row any number of labels: uncork audits models that decide on one class")
    judged = trainer.eval_dataset
    if isinstance(judged, dict):
        raise BadInput(f"eval_dataset holds {', '.join(judged)}: give one of them, from_trainer(trainer, test=…)")
    if test is None and judged is None:
        raise BadInput("the trainer has no eval_dataset: give from_trainer(trainer, test=…)")
    if test is None and trainer.args.load_best_model_at_end:
        warnings.warn(
            "test is the eval_dataset by which the trainer chose its best checkpoint, so that the headline flatters: "
            "give from_trainer(trainer, test=…) rows that nothing was chosen by",
            UserWarning,
            stacklevel=2,
        )
    if validation is None and test is not None:
        validation = judged
    given = {"train": trainer.train_dataset, "validation": validation, "test": judged if test is None else test}
    tables = {name: data for name, data in given.items() if data is not None}
    value = getattr(config, "num_labels", 0) == 1
    text, tokens = _reading(trainer, tables)
    splits: dict[str, Any] = {name: _split(data, name, trainer, text, value) for name, data in tables.items()}
    settings.setdefault("metric", "rmse" if value else "error")
    names = getattr(config, "id2label", None) or {}
    if not value and any(str(name) != f"LABEL_{i}" for i, name in names.items()):
        settings.setdefault("classes", [names[i] for i in sorted(names)])
    recipe = settings.pop("recipe", None) or _recipe(trainer, tokens)
    return Subject(trainer.model, preprocess=tokens, recipe=recipe, **splits, **settings)


class TrainerTokens:
    """A preprocess: list of str → {name: int64 tensor (b, longest)}, by a tokenizer. `most`: tokens read of a text."""

    def __init__(self, tokenizer: Any, most: int | None, names: Sequence[str]) -> None:
        self.tokenizer, self.most, self.names = tokenizer, most, tuple(names)

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        cut = {} if self.most is None else {"truncation": True, "max_length": self.most}
        made = self.tokenizer(list(texts), padding=True, return_tensors="pt", return_attention_mask=True, **cut)
        return {name: made[name] for name in self.names if name in made}

    @property
    def padded(self) -> bool:
        """Whether rows are filled up at their end alone."""
        return bool(self.tokenizer.padding_side == "right")

    @cached_property
    def _content(self) -> str:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return code_fingerprint(sorted(self.tokenizer.get_vocab().items()))
        told = json.loads(backend.to_str())
        return code_fingerprint({**told, "truncation": None, "padding": None})  # which are those of its last call

    def __repr__(self) -> str:
        return f"TrainerTokens({type(self.tokenizer).__name__}, most={self.most}, {self._content})"


@dataclass(frozen=True, repr=False)
class Retrain:
    """A recipe: (train, seed) → the model that a Trainer like the given one trains from its `model_init`."""

    kind: type
    model_init: Callable[[], Any]
    args: Any
    further: dict[str, Any]
    tokens: TrainerTokens | None

    def __call__(self, train: Split, seed: int) -> Any:
        args, drawn = copy.copy(self.args), integer_seed(seed, "train") % 2**31
        args.seed, args.data_seed = drawn, drawn
        rows = _Rows(train, self.tokens)
        with tempfile.TemporaryDirectory() as folder, _own_randomness():
            args.output_dir = folder
            trainer = self.kind(model_init=self.model_init, args=args, train_dataset=rows, **self.further)
            trainer.train()
        return trainer.model.eval()

    def __repr__(self) -> str:
        told = {
            name: value
            for name, value in vars(self.args).items()
            if isinstance(value, str | int | float | dict | None) and not name.endswith(("_dir", "run_name"))
        }
        parts = (told, self.kind, self.model_init, self.further["compute_loss_func"], self.tokens)
        return f"Retrain({self.kind.__qualname__}, {code_fingerprint(parts)})"


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows of a split as a Trainer takes them: {name: values, "labels": label}."""

    def __init__(self, split: Split, tokens: TrainerTokens | None) -> None:
        self.split, self.tokens, self.y = split, tokens, split.y

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> dict[str, Any]:
        taken = self.split.take(np.array([row]))
        made = {k: np.asarray(v[0]) for k, v in (self.tokens(taken) if self.tokens else taken).items()}
        assert self.y is not None
        return {**{k: v.tolist() if v.dtype.kind in "iu" else v for k, v in made.items()}, "labels": self.y[row].item()}


def _names(trainer: Any, data: Any, name: str) -> list[str]:
    """The columns that the model reads, labels left out."""
    if not isinstance(getattr(data, "column_names", None), list):
        raise BadInput(f"{name} is of type {type(data).__name__}: give the trainer datasets.Dataset, or Subject Splits")
    parameters = inspect.signature(trainer.model.forward).parameters
    names = [column for column in data.column_names if column in parameters and column not in LABELS]
    if not names:
        held = ", ".join(data.column_names)
        raise BadInput(f"{name} holds {held}, of which the model reads nothing: tokenise it with dataset.map(…) first")
    return names


def _reading(trainer: Any, tables: dict[str, Any]) -> tuple[str | None, TrainerTokens | None]:
    """(the column of texts, how they are read); None where the rows are to be taken as the datasets hold them."""
    tokenizer = trainer.processing_class
    first, *others = [_names(trainer, data, name) for name, data in tables.items()]
    names = [column for column in first if all(column in held for held in others)]
    texts = set.intersection(*(set(_texts(data)) for data in tables.values()))
    if len(texts) != 1 or "input_ids" not in names or not hasattr(tokenizer, "get_vocab"):
        return None, None
    (text,) = texts
    tokens = TrainerTokens(tokenizer, _most(tokenizer, tables, text), names)
    for data in tables.values():
        few = data.select(range(min(COMPARED, len(data))))
        made = tokens(few[text])
        for row, held in enumerate(few):
            if any(_own(held, name) != _own({k: v[row].tolist() for k, v in made.items()}, name) for name in names):
                return None, None  # read in a way of its own: as pairs, with a prompt
    return text, tokens


def _own(row: dict[str, Any], name: str) -> list[int]:
    """A row's own tokens, without those that fill it up."""
    mask = row.get("attention_mask") or [1] * len(row["input_ids"])
    return [value for value, kept in zip(row[name], mask, strict=True) if kept]


def _most(tokenizer: Any, tables: dict[str, Any], text: str) -> int | None:
    """The length at which texts were cut, else the tokenizer's limit."""
    longest = max(len(ids) for data in tables.values() for ids in data["input_ids"])
    for data in tables.values():
        full = [i for i, ids in enumerate(data["input_ids"]) if len(ids) == longest][:COMPARED]
        if any(len(ids) > longest for ids in (tokenizer(data[full][text], verbose=False)["input_ids"] if full else ())):
            return longest
    limit = tokenizer.model_max_length
    return int(limit) if limit < NO_LIMIT else None


def _texts(data: Any) -> list[str]:
    return [n for n, kind in data.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")]


def _split(data: Any, name: str, trainer: Any, text: str | None, value: bool) -> Split:
    label = next((column for column in LABELS if column in data.column_names), None)
    if label is None:
        raise BadInput(f"{name} has no column of labels ({', '.join(LABELS)}) beside {', '.join(data.column_names)}")
    y = np.asarray(data[label], dtype=np.float32 if value else None)
    if text is not None:
        return Split(list(data[text]), y)
    rows = {column: list(data[column]) for column in _names(trainer, data, name)}
    return Split({column: _filled(values, column, trainer) for column, values in rows.items()}, y)


def _filled(values: list[Any], column: str, trainer: Any) -> np.ndarray:
    """(n, longest): rows of unequal length filled up as the tokenizer would; (n, …) where they are equal."""
    if len({len(row) if isinstance(row, list) else 0 for row in values}) == 1:
        return np.asarray(values)
    filler = getattr(trainer.processing_class, "pad_token_id", None) if column == "input_ids" else 0
    if filler is None:
        raise BadInput("the rows are of unequal length, and the trainer has no tokenizer: give it processing_class=…")
    longest = max(len(row) for row in values)
    left = getattr(trainer.processing_class, "padding_side", "right") == "left"
    fillers = [[filler] * (longest - len(row)) for row in values]
    return np.array([fill + row if left else row + fill for row, fill in zip(values, fillers, strict=True)])


def _recipe(trainer: Any, tokens: TrainerTokens | None) -> Retrain | None:
    callbacks = [type(callback) for callback in trainer.callback_handler.callbacks]
    own = [c.__name__ for c in callbacks if c.__name__ not in USUAL and not c.__module__.startswith(REPORTING)]
    reasons = (
        (
            "it has no model_init, so that what it began with is gone: give Trainer(model_init=…)",
            not trainer.model_init,
        ),
        ("it keeps the best checkpoint by its eval_dataset", trainer.args.load_best_model_at_end),
        (f"it trains with {', '.join(own)}", bool(own)),
        ("it has an optimiser of its own", bool(getattr(trainer, "optimizer_cls_and_kwargs", None))),
        ("it has no train_dataset", trainer.train_dataset is None),
    )
    why = next((reason for reason, holds in reasons if holds), "")
    if why:
        warnings.warn(f"recipe is None, so that nothing is retrained: {why}", UserWarning, stacklevel=3)
        return None
    args = copy.copy(trainer.args)
    for name, value in QUIET.items():
        setattr(args, name, value)
    further = {"compute_loss_func": trainer.compute_loss_func, "data_collator": trainer.data_collator}
    further["processing_class"] = trainer.processing_class
    return Retrain(type(trainer), trainer.model_init, args, further, tokens)


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The global random states, which a Trainer seeds, as they were afterwards."""
    kept, drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(kept)
        np.random.set_state(drawn)  # noqa: NPY002
