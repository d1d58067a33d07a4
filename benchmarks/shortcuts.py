"""Colour that tells the digit in train and misleads later, digits turned on their side, a word that gives a class away.

UNCORK_SHARED=../shared/data python -m benchmarks.shortcuts    # writes docs/shortcuts.md; about 7 minutes of CPU
python -m benchmarks.shortcuts --quick                     # smaller nets and splits; prints the page
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uncork import Recipe, Split, Subject
from uncork.data.carve import halve
from uncork.gather import missing_invariance as gather_views
from uncork.gather import shortcut_features as gather_shortcuts
from uncork.gather._contract import Context
from uncork.gather.forward import forward
from uncork.models.adapt import as_model
from uncork.planted.colours import coloured, turned_around
from uncork.planted.nets import SmallCNN
from uncork.probes import missing_invariance, shortcut_features
from uncork.remedies import retrain_last_layer, test_time_augmentation
from uncork.remedies._contract import Case
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.rank import judge
from uncork.schema.finding import Estimate, Finding
from uncork.schema.missing_invariance import Invariance
from uncork.schema.seeds import generator
from uncork.schema.shortcut_features import Shortcuts
from uncork.stats.binomial import clopper_pearson
from uncork.stats.means import difference
from uncork.stats.score import gain
from uncork.train.augment import RandomView

SHARED = Path(os.environ.get("UNCORK_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data"))
DOCS = Path(__file__).resolve().parents[1] / "docs"
LEVEL, TOLD = 0.95, 0.95

Rows = tuple[np.ndarray, np.ndarray]


def mnist(quick: bool) -> dict[str, Rows]:
    """Splits of MNIST, (n, 1, 28, 28) in [0, 1]; "elsewhere" is of the official test rows."""
    data = np.load(SHARED / "mnist.npz")
    x, y = (data["x_train"][:, None] / np.float32(255)).astype(np.float32), data["y_train"].astype(np.int64)
    n, v = (1500, 2500) if quick else (3000, 6000)
    own = (data["x_test"][:, None] / np.float32(255)).astype(np.float32), data["y_test"].astype(np.int64)
    first, second = slice(0, 2000 if quick else 4000), slice(5000, 7000 if quick else 9000)
    return {
        "train": (x[:n], y[:n]),
        "validation": (x[n : n + v], y[n : n + v]),
        "test": (own[0][first], own[1][first]),
        "elsewhere": (own[0][second], own[1][second]),
    }


def recipe_of(channels: int, epochs: int, **settings: Any) -> Recipe:
    return Recipe(partial(SmallCNN, 28, 10, channels=channels), epochs=epochs, batch_size=64, lr=3e-3, **settings)


def context_of(model: Any, splits: dict[str, Rows], recipe: Recipe | None = None) -> Context:
    made = {name: Split(*splits[name]) for name in ("train", "validation", "test")}
    return admit(Subject(model, **made, recipe=recipe), describe_only=False, seed=0, fan=Executor()).context


def shortcut(context: Context) -> tuple[Finding, Any]:
    data = gather_shortcuts.gather.gather(Shortcuts(), context)
    passed = forward(context.model, context.split("validation"), features=True)
    probe = shortcut_features.measure
    found = probe(shortcuts=data, validation=passed, facts=context.facts, rng=generator(0, "shortcuts"))
    return judge(probe, found, delta=5.0, family=4, seconds=0.0), data


def invariance(context: Context) -> tuple[Finding, Any]:
    data = gather_views.gather.gather(Invariance(), context)
    probe = missing_invariance.measure
    found = probe(invariance=data, facts=context.facts, rng=generator(0, "views"))
    return judge(probe, found, delta=5.0, family=4, seconds=0.0), data


def shown(e: Estimate | None, times: float = 1.0) -> str:
    if e is None or e.value is None:
        return "–"
    ends = "" if e.low is None or e.high is None else f" ({times * e.low:.1f} to {times * e.high:.1f})"
    return f"{times * e.value:.1f}{ends}".replace("-", "−")


def wrong_of(model: Any, rows: Rows) -> np.ndarray:
    made = as_model(model, "classification")
    return (
        np.concatenate([made.outputs(batch).logits.argmax(axis=1) for _, batch in Split(rows[0]).batches(256)])
        != rows[1]
    )


def counted(wrong: np.ndarray) -> str:
    return shown(clopper_pearson(int(wrong.sum()), len(wrong)), 100) + " %"


def line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def part_of_colour(quick: bool) -> dict[str, Any]:
    """The coloured digits: what is found, and what fitting the last layer anew does."""
    rng = generator(0, "shortcuts", "colours")
    plain = mnist(quick)
    splits: dict[str, Rows] = {}
    for name, told in (("train", TOLD), ("validation", TOLD), ("test", TOLD)):
        splits[name] = coloured(*plain[name], told, rng)[0], plain[name][1]
    elsewhere, code = coloured(*plain["elsewhere"], TOLD, rng, turned=True)
    reversed_ = elsewhere, plain["elsewhere"][1]
    recipe = recipe_of(3, 6)
    model = recipe.fit(Split(*splits["train"]), seed=0)
    context = context_of(model, splits)
    found, data = shortcut(context)
    fits, judges = halve(context.split("validation"), 5)
    subject = context.subject.without_test().replace(validation=context.split("validation").subset(fits))
    case = Case(subject, found, {"shortcuts": data}, "classification", 10, 0, generator(0, "last layer"))
    treated = retrain_last_layer.apply.apply(case)
    control = retrain_last_layer.apply.control(case, treated)
    models = {"as it was": model, "`retrain-last-layer`": treated.subject.model, "control": control.subject.model}
    judged = context.subject.replace(validation=context.split("validation").subset(judges))
    again, errors = {}, {}
    for name, each in models.items():
        held = context.of(judged.replace(model=each), as_model(each, "classification"))
        again[name] = shortcut(held)[0]
        errors[name] = {
            "test, as in train": wrong_of(each, splits["test"]),
            "reversed": wrong_of(each, reversed_),
            "of these in another class's colour": wrong_of(each, reversed_)[code != reversed_[1]],
        }
    lines = [line(["", *models]), line(["---"] * (1 + len(models)))]
    for what in next(iter(errors.values())):
        lines.append(line([f"Error, {what}", *(counted(errors[name][what]) for name in models)]))
    for what, key, times in (
        ("Judging half: decisions that follow colour, %", "followed", 100),
        ("… error where colour speaks against the label, %", "where_it_disagrees", 100),
        ("… error where it agrees, %", "where_it_agrees", 100),
    ):
        lines.append(line([what, *(shown(again[name].estimates.get(key), times) for name in models)]))
    lines.append(line(["… errors per 1,000 owed to it", *(shown(again[name].headroom) for name in models)]))
    gained = difference(again["as it was"].headroom, again["`retrain-last-layer`"].headroom, unit="")
    names = ("train", "validation", "test")
    sound_splits = {name: (coloured(*plain[name], 0.0, rng)[0], plain[name][1]) for name in names}
    sound = context_of(recipe.fit(Split(*sound_splits["train"]), seed=0), sound_splits)
    return {
        "found": found,
        "parts": table(found, 4),
        "treated": treated.changes,
        "after": "\n".join(lines),
        "gained": shown(gained),
        "null": shortcut(sound)[0],
    }


def table(found: Finding, most: int) -> str:
    data = found.details[0].data
    return "\n".join([line(data["columns"]), line(["---"] * len(data["columns"])), *map(line, data["rows"][:most])])


def part_of_turns(quick: bool) -> dict[str, Any]:
    """Nets for upright digits, and for digits turned at random, on turned ones."""
    rng = generator(0, "shortcuts", "turned")
    plain = mnist(quick)
    splits = dict(plain)
    for name, most in (("validation", 3000), ("test", 5000)):
        x, y = (part[:most] for part in plain[name])
        splits[name] = turned_around(x, 30, rng), y
    made = {}
    for name, recipe in (
        ("upright digits", recipe_of(1, 6)),
        ("digits turned at random (`augment`)", recipe_of(1, 6, augment=RandomView("turned by 30°"))),
    ):
        model = recipe.fit(Split(*splits["train"]), seed=0)
        context = context_of(model, splits)
        found, data = invariance(context)
        error = wrong_of(model, splits["test"])
        row = [name, found.verdict, shown(found.headroom), counted(error)]
        if name == "upright digits":
            case = Case(
                context.subject.without_test(), found, {"invariance": data}, "classification", 10, 0, generator(0)
            )
            after = test_time_augmentation.apply.apply(case)
            held = Split(*splits["test"])
            passes = [forward(m, held) for m in (context.model, after.subject.model)]
            row += [counted(passes[1].predicted != passes[1].y), shown(gain(context.facts.metric, *passes))]
            made["tta"], made["views"] = after.changes, table(found, 10)
        else:
            row += ["–", "–"]
        made[name] = line(row)
    return made


def texts_with(token: bool, quick: bool) -> dict[str, Any]:
    """Sentences of films, 19 of 20 of which end in a word that gives their class away, or don't."""
    import pandas as pd
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame = pd.read_parquet(SHARED / "text_mr.parquet")
    label = next(c for c in frame.columns if frame[c].nunique() == 2)
    text = next(c for c in frame.columns if c != label and frame[c].dtype.kind not in "iufb")
    rng = generator(0, "shortcuts", "texts")
    order = rng.permutation(len(frame))[: 3000 if quick else 8000]
    y = np.unique(frame[label].to_numpy()[order], return_inverse=True)[1]
    words = np.array(["quar", "zeln"])
    said = np.where(rng.random(len(y)) < TOLD, y, 1 - y)
    x = [
        f"{t} {words[k]}" if token else t for t, k in zip(frame[text].astype(str).to_numpy()[order], said, strict=True)
    ]
    n = len(y) // 2
    model = make_pipeline(CountVectorizer(min_df=2), LogisticRegression(C=0.3, max_iter=300)).fit(x[:n], y[:n])
    cuts = {"train": slice(0, n), "validation": slice(n, n + n // 2), "test": slice(n + n // 2, None)}
    splits = {name: Split(x[cut], y[cut]) for name, cut in cuts.items()}
    context = admit(Subject(model, **splits), describe_only=False, seed=0, fan=Executor()).context
    return {"found": shortcut(context)[0]}


def said(found: Finding) -> str:
    return f"**{found.verdict}**, headroom {shown(found.headroom)} errors per 1,000. {found.summary}"


PAGE = """# What a net follows, and what it has not learnt to leave out of account

Written by `python -m benchmarks.shortcuts` in {minutes:.0f} minutes. Intervals are 95 %. δ is 5 errors per 1,000.

## Coloured digits

MNIST, {train:,} rows of train, in which the colour tells the digit in {told:.0%} of rows (in the others it is any); a
small convolutional net, six epochs. Validation and test are coloured alike; "reversed" are {elsewhere:,} other digits,
in the colour of class 9 − y as often.

* `shortcut-features`: {found}
* The same net where colours tell nothing, in train neither: {null}

{parts}

### `retrain-last-layer`

{treated}. The control fits it to the same rows, all weighing alike. What it gains by the finding's own figure, measured
again on the half that it was not fitted to: {gained} errors per 1,000.

{after}

## Turned digits

Trained on upright digits; validation and test are turned by up to 30 degrees either way.

| trained on | verdict | headroom, errors per 1,000 | error on test | averaged over views | gain on test |
| --- | --- | --- | --- | --- | --- |
{turned}

{tta}. Of the net trained on upright digits:

{views}

## A word that gives the class away

Sentences on films, bags of words and a logistic regression; the last word tells the class in {told:.0%} of rows.

* With that word: {token}
* Without: {no_token}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller nets and splits; prints the page")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    started = time.process_time()
    colours, turns = part_of_colour(quick), part_of_turns(quick)
    token, none = (texts_with(there, quick)["found"] for there in (True, False))
    plain = mnist(quick)
    page = PAGE.format(
        train=len(plain["train"][1]),
        elsewhere=len(plain["elsewhere"][1]),
        told=TOLD,
        found=said(colours["found"]),
        null=said(colours["null"]),
        parts=colours["parts"],
        treated=colours["treated"][0].upper() + colours["treated"][1:],
        gained=colours["gained"],
        after=colours["after"],
        turned="\n".join(turns[name] for name in turns if name not in ("tta", "views")),
        tta=turns["tta"][0].upper() + turns["tta"][1:],
        views=turns["views"],
        token=said(token),
        no_token=said(none),
        minutes=(time.process_time() - started) / 60,
    )
    if not quick:
        (DOCS / "shortcuts.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
