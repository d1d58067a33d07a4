"""Does one ONNX file say what the model says? python -m benchmarks.export writes docs/export.md

ResNet-20 on CIFAR-10 and a small net on MNIST, in 32 bits and in eight: the bare file against torch, as the probe
`export-mismatch` compares them, and a patched, tempered, guarded and contracted model as one file against the Python
object. Some five minutes on one core; needs the shared data.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import runpy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from uncork import Recipe, Split, Subject
from uncork.data.carve import halve
from uncork.derived.temperature import best_temperature
from uncork.gather.exported import gather
from uncork.models.adapt import adapt
from uncork.models.as_module import with_features
from uncork.models.as_onnx import in_its_place
from uncork.models.base import BATCH, Model, logits_of
from uncork.models.contracted import Contracted, learn
from uncork.models.guarded import sure_of
from uncork.models.onnx_inputs import feeds
from uncork.models.patched import Patched, Places, places, remembered
from uncork.models.temperature import Tempered
from uncork.models.tensors import to_tensors
from uncork.models.to_int8 import WAYS, int8_bytes
from uncork.models.to_onnx import onnx_bytes
from uncork.models.torch_model import TorchModel
from uncork.probes.export_mismatch import measure
from uncork.remedies.guard import guarded
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.export import export
from uncork.schema.exported import Exported
from uncork.schema.finding import Estimate, Measurement
from uncork.stats.binomial import clopper_pearson

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "cifar10_resnet20.py"))  # and where the data are
CORRECTED, CALIBRATION, TRAINED = 20, 256, 10_000
PRECISION = {"ResNet-20, CIFAR-10": 0.97, "small CNN, MNIST": 0.99}

PAGE = """# One ONNX file, and whether it says what the model says

Written by `python -m benchmarks.export`, with onnxruntime {version} and torch {torch} on one thread of this processor.

## The bare net

As the probe `export-mismatch` compares them: torch against the file on all 10,000 test pictures. Rows of another class
per 1,000, each end of the interval at 95 % (no flip in 10,000: at most .3); the largest difference of a logit, beside
the logits' standard deviation; and of the file run by 1, 7 and 64 rows from the file run by 256.

{bare}

## Everything in one file

{corrected} mistakes patched, a temperature, a guard for the precision asked and an input contract around the net, each
fitted on a quarter of test or on train; in eight bits the net was quantised first, and the rest was fitted to it.
Counted on the {judged:,} pictures of the other half, which nothing had touched, and 100 of them inverted, which break
the contract or look strange. The file is run by onnxruntime alone and compared with the Python object: rows of another
class, rows that only one of the two answers, and the largest difference of a confidence.

{whole}

In 32 bits the net itself is summed in another order by torch and by onnxruntime, which moves logits in their last
digits. In eight bits both sides run the same integers, and the file repeats the Python object's logits. What is around
the net is computed in 64 bits in both, so that a row's confidence is compared with the threshold as it was certified.
"""


@dataclass(frozen=True)
class Given:
    """A net, its data, and the parts of test that fit, certify and judge."""

    name: str
    subject: Subject
    model: TorchModel

    def part(self, name: str) -> Split:
        first, judge = halve(self.subject.test, 0)
        fit, certify = np.array_split(first, 2)
        split: Split = self.subject.test.subset({"fit": fit, "certify": certify, "judge": judge}[name])
        return split


def small() -> nn.Module:
    first = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)
    second = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*first, *second, nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


def grey(batch: torch.Tensor) -> torch.Tensor:
    """(b, 28, 28) bytes → (b, 1, 28, 28) floats in [0, 1]."""
    return batch.unsqueeze(1).float() / 255


def subjects() -> dict[str, Subject]:
    with np.load(EXAMPLE["shared"]("mnist.npz"), allow_pickle=False) as data:
        train, test = (Split(data[f"x_{name}"][:TRAINED], data[f"y_{name}"][:TRAINED]) for name in ("train", "test"))
    net = Recipe(small, epochs=2, batch_size=128).fit(train, seed=0, preprocess=grey)
    mnist = Subject(net, train=train, test=test, preprocess=grey)
    return {"ResNet-20, CIFAR-10": EXAMPLE["subject"](), "small CNN, MNIST": mnist}


def ends(e: Estimate) -> str:
    return f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f})"


def bare(given: Given) -> list[str]:
    """Two lines of the first table."""
    context = admit(given.subject, describe_only=True, seed=0, fan=Executor()).context
    data = gather.gather(Exported("test"), context)
    found = measure(exported=data, rng=np.random.default_rng(0))
    assert isinstance(found, Measurement)
    sizes = ", ".join(f"{gap:.1g}" for gap in data.by_size)
    rows = [("32", data.bytes, "flips", data.gap, sizes), ("8", data.bytes_int8, "flips_int8", data.gap_int8, "")]
    return [
        f"| {given.name} | {bits} | {size / 1000:,.0f} | {ends(found.estimates[flips])} | {gap.max():.2g} "
        f"(s.d. {data.spread:.2g}) | {by_size} |"
        for bits, size, flips, gap, by_size in rows
    ]


def in_int8(given: Given) -> Model:
    """Its features as a second output, which patches need."""
    train, model = given.subject.train, given.model
    rows = [train.take(np.arange(start, start + 32)) for start in range(0, CALIBRATION, 32)]
    content = onnx_bytes(with_features(model), to_tensors(rows[0], model.preprocess), names=("logits", "features"))
    whole = in_its_place(content, model)
    assert whole.preprocess is not None
    batches = [feeds(whole.inputs, whole.preprocess(batch)) for batch in rows]
    return in_its_place(int8_bytes(content, batches, WAYS[0]), model)


def around(inner: Model, given: Given) -> tuple[Model, int]:
    """(the model with all that is put around it, how many corrections)."""
    fit = given.part("fit")
    everything = np.arange(len(fit))
    known, y = places(inner, fit, everything), np.asarray(fit.y)
    wrong = np.flatnonzero(known.decided != y)[:CORRECTED]
    rest = np.setdiff1d(everything, wrong)
    right = Places(known.points[rest], known.logits[rest], known.space)
    memory = remembered(wrong.tolist(), known.points[wrong], y[wrong], right, y[rest], rest)
    patched = Patched(inner, memory)
    cooled = Tempered(patched, best_temperature(logits_of(patched, fit), y))
    answers = guarded(cooled, given.part("certify"), precision=PRECISION[given.name])
    learnt = [batch for _, batch in given.subject.train.batches(1000)]
    return Contracted(answers, learn(learnt)), len(memory)


def whole(given: Given, bits: str, inner: Model, folder: Path) -> str:
    """A line of the second table."""
    model, corrections = around(inner, given)
    path = folder / "model.onnx"
    export(model, path, given.part("certify"), classes=given.subject.classes)
    session = onnxruntime.InferenceSession(path)
    judge = given.part("judge")
    x = judge.take(np.arange(len(judge)))
    x = np.concatenate([x, 255 - x[:100]])
    names = ["class", "confidence", "answered"]
    turned = flipped = answered_in_all = right = 0
    gap = by_size = 0.0
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        out = model.outputs(batch)
        assert out.answered is not None
        decided, sure, answered = session.run(names, {"x": batch})
        flipped += int((decided != out.logits.argmax(axis=1)).sum())
        turned += int((answered != out.answered).sum())
        gap = max(gap, float(np.abs(sure - sure_of(out.logits)).max()))
        known = np.arange(start, start + len(batch)) < len(judge)
        answered_in_all += int(answered[known].sum())
        right += int((decided[known] == judge.y[start : start + known.sum()])[answered[known]].sum())
    usual = session.run(names, {"x": x[:64]})
    for size in (1, 7):
        parts = [session.run(names, {"x": x[i : min(i + size, 64)]}) for i in range(0, 64, size)]
        again = [np.concatenate(each) for each in zip(*parts, strict=True)]
        assert (again[0] == usual[0]).all()
        assert (again[2] == usual[2]).all()
        by_size = max(by_size, float(np.abs(again[1] - usual[1]).max()))
    precision = clopper_pearson(right, answered_in_all).scaled(100, "%")
    size, answers = path.stat().st_size / 1000, 100 * answered_in_all / len(judge)
    return (
        f"| {given.name} | {bits} | {size:,.0f} | {corrections} | {len(x):,} | {flipped} | {turned} | {gap:.1g} | "
        f"{by_size:.1g} | {answers:.1f} % | {ends(precision)} % |"
    )


def head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def main() -> None:
    torch.set_num_threads(1)
    first = head("net", "bits", "kB", "rows of another class, per 1,000", "largest difference", "by 1, 7, 64 rows")
    second = head(
        "net", "bits", "kB", "patches", "rows", "another class", "answered by one", "confidence",
        "confidence, 1 and 7 rows against 64", "answered", "right, of the answers",
    )  # fmt: skip
    judged = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, subject in subjects().items():
            model = adapt(subject, "classification")
            assert isinstance(model, TorchModel)
            model.outputs(subject.test.take(np.arange(8)), features=True)
            given = Given(name, subject, model)
            judged = len(given.part("judge"))
            first += bare(given)
            second += [
                whole(given, bits, inner, Path(folder)) for bits, inner in (("32", model), ("8", in_int8(given)))
            ]
    page = PAGE.format(
        version=onnxruntime.__version__,
        torch=torch.__version__.split("+")[0],
        bare="\n".join(first),
        whole="\n".join(second),
        corrected=CORRECTED,
        judged=judged,
    )
    (ROOT / "docs" / "export.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
