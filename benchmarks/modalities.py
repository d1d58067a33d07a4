"""Which probes work on which kind of model and data: an audit of a small subject of each kind.

python -m benchmarks.modalities            # writes docs/modalities.md; about 4 minutes on 2 cores
python -m benchmarks.modalities --only "text net"    # one kind; prints its column
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch import nn

from uncork import Behaviour, Predictions, Recipe, Report, Split, Subject, audit
from uncork.data.encode import TableEncoder
from uncork.data.images import image_folder
from uncork.models.load import load_model
from uncork.probes._contract import registered
from uncork.remedies._contract import remedies
from uncork.run.examine import failure
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.treat import _bench
from uncork.schema.errors import Unavailable

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS = {"train": 500, "validation": 400, "test": 400, "shifted": 200, "unlabelled": 200}
PAGE = """# What works on what

Written by `python -m benchmarks.modalities`, from an audit of a small subject of each kind with every probe, previews
(*in italics*) among them; a slow test runs the last two again and compares.

* *image net*: a convolution over digits, read from folders of PNG files.
* *table net*: an MLP on a table with numbers, gaps and categories, encoded as on train.
* *table scikit-learn*: a pipeline of one-hot categories and boosted trees on the same, retrained by a callable recipe.
* *text net*: an MLP on hashed words.
* *regression net*: as table net, for a value.
* *ONNX file*: a net from a file, with train, validation and test but no recipe.
* *predictions only*: probabilities and labels of validation and test.

All but the last were given rows from elsewhere with labels (`shifted`), rows without labels, strangers and a threat;
all with inputs a behaviour or two; nets with a recipe another encoder. *works*: the finding has a verdict, be it that
nothing is wrong or that more rows are needed. *no*: it is said why; a few reasons are about so small a subject, and not
its kind.

{probes}

## Remedies

Each applied once for the first finding that names it, beside its control, with one training seed: *works* says that it
can be tried, not that it helps; *no* stands too where it looked and found nothing to do. The tests don't run these
again.

{remedies}

## Why not

{reasons}
"""
BUDGET = "2h"  # more than it takes: nothing is left out for want of time

# 1. Images: digits of scikit-learn, written into folders.


class Scaled:
    """Bytes (b, h, w) → (b, 1, h, w) in [0, 1]."""

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return batch[:, None].float() / 255


def convolution(width: float = 1.0) -> nn.Module:
    channels = max(1, round(8 * width))
    first = [nn.Conv2d(1, channels, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(16 * channels, 32), nn.ReLU(), nn.Linear(32, 10))


def image_net(folder: Path) -> Subject:
    images, y = load_digits(return_X_y=True)
    images = np.uint8(images.reshape(-1, 8, 8) * 15.9375)
    at = 0
    splits = {}
    for name, n in ROWS.items():
        for i in range(at, at + n):
            path = folder / name / ("." if name == "unlabelled" else str(y[i])) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - images[i] if name == "shifted" else images[i]).save(path)
        splits[name] = image_folder(folder / name)
        at = (at + n) % (len(y) - 400)
    recipe = Recipe(convolution, epochs=12, batch_size=20, lr=3e-3)
    strangers = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    return Subject(
        recipe.fit(splits["train"], preprocess=Scaled()),
        **splits,
        recipe=recipe,
        preprocess=Scaled(),
        strangers=Split(strangers),
        require={"linf": 25.0},
        backbones={"another": convolution()[:3]},
    )


# 2. Tables: numbers, categories and gaps, of which some tell.


def table(n: int, seed: int, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """(rows, class, value)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    x[:, 0] += shift
    colour = rng.choice(["red", "green", "blue"], n, p=[0.5, 0.3, 0.2])
    value = x[:, 0] + x[:, 1] * x[:, 2] + 1.5 * (colour == "red") + 0.5 * rng.normal(size=n)
    frame = pd.DataFrame(x.astype(np.float32), columns=list("abcd"))
    frame["d"] = frame["d"].mask(rng.random(n) < 0.1)
    return frame.assign(colour=colour), (value > 0.5).astype(int), value


def tables(what: str) -> dict[str, Split]:
    made = {}
    for seed, (name, n) in enumerate(ROWS.items()):
        frame, label, value = table(n, seed, shift=1.0 if name == "shifted" else 0.0)
        y = np.array(["no", "yes"])[label] if what == "class" else value
        made[name] = Split(frame, None if name == "unlabelled" else y)
    strangers = table(100, 99)[0]
    strangers[list("abc")] *= 8
    return made | {"strangers": Split(strangers)}


def mlp(columns: int, outputs: int, width: float = 1.0) -> nn.Module:
    units = max(1, round(16 * width))
    layers = nn.Sequential(nn.Linear(columns, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(units, outputs), *([nn.Flatten(0)] if outputs == 1 else []))


class Build:
    """`mlp` of a given size, as recipes build it."""

    def __init__(self, columns: int, outputs: int) -> None:
        self.columns, self.outputs = columns, outputs

    def __call__(self, width: float = 1.0) -> nn.Module:
        return mlp(self.columns, self.outputs, width)


def shifted_up(rows: pd.DataFrame, numbers: np.ndarray) -> pd.DataFrame:
    return rows.assign(a=rows["a"] + np.float32(0.5))


def rounded(rows: pd.DataFrame, numbers: np.ndarray) -> pd.DataFrame:
    return rows.assign(d=rows["d"].round(1))


def of_table(up: str) -> list[Behaviour]:
    return [Behaviour("more of a", change=shifted_up, toward=up), Behaviour("d rounded", change=rounded)]


def table_net(_: Path, what: str = "class") -> Subject:
    splits = tables(what)
    encoder = TableEncoder.fit(splits["train"])
    columns = len(encoder.names)
    recipe = Recipe(Build(columns, 2 if what == "class" else 1), epochs=12, batch_size=20, lr=3e-3)
    model = recipe.fit(splits["train"], preprocess=encoder)
    return Subject(
        model,
        **splits,
        recipe=recipe,
        preprocess=encoder,
        metric="error" if what == "class" else "rmse",
        behaviours=of_table("yes" if what == "class" else "up"),
        require={"linf": 0.1},
        backbones={"another": mlp(columns, 2)[:2]},
    )


def regression_net(folder: Path) -> Subject:
    return table_net(folder, "value")


def pipeline(train: Split, seed: int) -> Any:
    rows = train.take(np.arange(len(train)))
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=30, random_state=seed)).fit(rows, train.y)


def table_sklearn(_: Path) -> Subject:
    splits = tables("class")
    return Subject(
        pipeline(splits["train"], 0),
        **splits,
        recipe=pipeline,
        behaviours=of_table("yes"),
        require={"linf": 0.1},
    )


# 3. Texts: a bag of hashed words.

GOOD, BAD = ["good", "fine", "great", "lovely", "superb"], ["bad", "poor", "awful", "dull", "weak"]
NEUTRAL = ["the", "a", "film", "plot", "cast", "story", "scene", "and", "with", "of", "actor", "music", "long", "old"]


def texts(n: int, seed: int, words: tuple[list[str], list[str]] = (BAD, GOOD)) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.5).astype(int)
    told = np.where(rng.random(n) < 0.1, 1 - y, y)
    rows = [
        " ".join(rng.permutation([*rng.choice(NEUTRAL, rng.integers(4, 9)), *rng.choice(words[label], 2)]))
        for label in told
    ]
    return rows, y


class Hashed:
    """Texts → (b, 128) counts of hashed words."""

    def __call__(self, batch: list[str]) -> torch.Tensor:
        at = [128 * row + zlib.crc32(word.encode()) % 128 for row, text in enumerate(batch) for word in text.split()]
        counts = np.bincount(at, minlength=128 * len(batch)).astype(np.float32)
        return torch.from_numpy(counts.reshape(len(batch), 128))


def reversed_words(rows: list[str], numbers: np.ndarray) -> list[str]:
    return [" ".join(reversed(row.split())) for row in rows]


def text_net(_: Path) -> Subject:
    made = {}
    for seed, (name, n) in enumerate(ROWS.items()):
        words = (["grim", "bad"], ["bright", "good"]) if name == "shifted" else (BAD, GOOD)
        rows, y = texts(n, seed, words)
        made[name] = Split(rows, None if name == "unlabelled" else np.array(["negative", "positive"])[y])
    recipe = Recipe(Build(128, 2), epochs=12, batch_size=20, lr=3e-3)
    stated = Behaviour(
        "praise", templates=["the {who} is {what}"], slots={"who": ["cast", "plot"], "what": GOOD}, expected="positive"
    )
    return Subject(
        recipe.fit(made["train"], preprocess=Hashed()),
        **made,
        recipe=recipe,
        preprocess=Hashed(),
        strangers=Split([" ".join(str(1000 * i + j) for j in range(6)) for i in range(100)]),
        behaviours=[stated, Behaviour("words reversed", change=reversed_words)],
        require={"linf": 0.1},
        backbones={"another": mlp(128, 2)[:2]},
    )


# 4. A file without the code that made it, and no model at all.


def jittered(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (rows + 0.01 * (numbers[:, None] - 0.5)).astype(np.float32)


def onnx_file(folder: Path) -> Subject:
    from skl2onnx import to_onnx

    made = {}
    for seed, (name, n) in enumerate(ROWS.items()):
        frame, label, _ = table(n, seed, shift=1.0 if name == "shifted" else 0.0)
        made[name] = Split(frame[list("abc")].to_numpy(), None if name == "unlabelled" else label)
    train = made["train"]
    rows = train.take(np.arange(len(train)))
    net = MLPClassifier((16, 16), random_state=0, max_iter=40).fit(rows, train.y)
    (folder / "net.onnx").write_bytes(to_onnx(net, rows[:1], options={"zipmap": False}).SerializeToString())
    return Subject(
        load_model(folder / "net.onnx"),
        **made,
        strangers=Split(8 * rows[:100]),
        require={"linf": 0.1},
        behaviours=[Behaviour("jitter", change=jittered)],
    )


def predictions(_: Path) -> Subject:
    made = {}
    for seed, name in enumerate(("validation", "test", "shifted")):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet([0.4] * 3, ROWS[name])
        y = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
        made[name] = Split(p, y)
    return Subject(Predictions(), **made)


KINDS: dict[str, Callable[[Path], Subject]] = {
    "image net": image_net,
    "table net": table_net,
    "table scikit-learn": table_sklearn,
    "text net": text_net,
    "regression net": regression_net,
    "ONNX file": onnx_file,
    "predictions only": predictions,
}


def audited(kind: str, folder: Path, probes: Sequence[str] | None = None) -> Report:
    """The audit of one kind of subject, by default with all probes, previews among them, in `folder`."""
    torch.manual_seed(0)
    return audit(KINDS[kind](folder), budget=BUDGET, out=folder / "run", probes=probes, preview=True)


def reasons(report: Report) -> dict[str, str]:
    """By probe why it gives no finding, "" where it does. Raises AssertionError where one is broken or says nothing."""
    told = {}
    for finding in report.findings:
        assert finding.verdict != "error", f"{finding.id}: {finding.reason}"
        told[finding.id] = finding.reason if finding.verdict in ("not-applicable", "not-run") else ""
        assert finding.verdict not in ("not-applicable", "not-run") or finding.reason, finding.id
    return told


def tried(report: Report, folder: Path) -> dict[str, str]:
    """By remedy why it can't be applied, "" where it can: of each for the first finding that names it, one model.

    Raises AssertionError where one is broken.
    """
    assert report.live is not None
    bench = _bench(RunFolder(folder / "run"), report, report.live, {}, Executor())
    told = {}
    for id, remedy in remedies().items():
        named = [f for f in report.findings if id in registered()[f.id].remedies]
        measured = [f for f in named if f.verdict not in ("not-applicable", "not-run")]
        if not measured:
            told[id] = named[0].reason if named else ""
            continue
        try:
            copy.copy(bench).attempt(remedy, measured[0], 1)
        except Unavailable as error:
            told[id] = str(error)
        except Exception as error:
            raise AssertionError(f"{id} for {measured[0].id}: {failure(error)}") from error
        else:
            told[id] = ""
    return told


def rows(told: dict[str, dict[str, str]], numbers: dict[str, int], previews: Collection[str] = ()) -> str:
    """A table of what works on which kind; `numbers`: of the reasons, which it adds to."""
    body = []
    for id in sorted(next(iter(told.values()))):
        whys = [of_kind[id] for of_kind in told.values()]
        cells = [f"no ({numbers.setdefault(why, len(numbers) + 1)})" if why else "works" for why in whys]
        body.append([f"*{id}*" if id in previews else id, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in [["", *told], ["---"] * (1 + len(told)), *body])


def page(probes: dict[str, dict[str, str]], treatments: dict[str, dict[str, str]]) -> str:
    """By kind of subject the reasons of each probe and of each remedy."""
    numbers: dict[str, int] = {}
    previews = [probe.id for probe in registered().values() if probe.preview]
    tables = rows(probes, numbers, previews), rows(treatments, numbers)
    return PAGE.format(
        probes=tables[0],
        remedies=tables[1],
        reasons="\n".join(f"{number}. {why}" for why, number in numbers.items()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, help="one kind of subject; prints its page")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    probes, treatments = {}, {}
    for kind in [only] if only else KINDS:
        with tempfile.TemporaryDirectory() as folder:
            report = audited(kind, Path(folder))
            probes[kind] = reasons(report)
            treatments[kind] = tried(report, Path(folder))
        print(f"{kind}: done", file=sys.stderr, flush=True)
    content = page(probes, treatments)
    if not only:
        (DOCS / "modalities.md").write_text(content)
    print(content)


if __name__ == "__main__":
    main()
