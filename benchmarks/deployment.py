"""What does an answer cost, and what can go? python -m benchmarks.deployment writes docs/deployment.md, deployment.svg

ResNet-20 on CIFAR-10 in torch, compiled, by onnxruntime, in eight and sixteen bits and pruned: time of one picture and
errors on test, all side by side in one run; on which layers eight bits save time, by onnxruntime's own profile. Data
and weights lie in shared/data beside the repository, or where UNCORK_SHARED says. Some minutes. `--quick` prints a
smaller run without compiling and pruning.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from uncork import Split, Subject
from uncork.derived.speed import times_faster
from uncork.models.as_onnx import as_onnx, in_its_place
from uncork.models.base import Model, logits_of
from uncork.models.clock import in_turn, side_by_side
from uncork.models.onnx_inputs import feeds
from uncork.models.onnx_model import OnnxModel
from uncork.models.to_int8 import WAYS, int8_bytes
from uncork.models.torch_model import TorchModel
from uncork.report.numbers import interval
from uncork.report.svg import fit, line, text
from uncork.schema.finding import Estimate
from uncork.schema.seeds import generator
from uncork.stats.binomial import clopper_pearson
from uncork.stats.quantiles import median, quantile
from uncork.train.pruning import pruned

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEST, CALIBRATION, RUNS, BATCH, ROUNDS, TIMED = 5_000, 256, 400, 64, 24, 64
RATIOS, STEPS, LR = (0.25, 0.5), 200, 0.01
STYLE = (
    "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.tick{text-anchor:middle}.end{text-anchor:end}"
    ".bar{stroke:#356;stroke-width:1.5}circle{fill:#356}"
)

PAGE = """# What an answer costs, and what can go

Written by `python -m benchmarks.deployment`: ResNet-20 (a third party's weights) on CIFAR-10, on one thread of {cpu}.
All ways take turns in one run, {runs} pictures one at a time and {rounds} batches of {batch}; so far as the machine was
busy with other work, all shared it. Errors are of the first {test:,} test pictures, 95 % Clopper–Pearson; times are
medians and 99th percentiles by order statistics; *times as fast*: as torch, and as onnxruntime in 32 bits, the ratio of
medians in ten stretches of time, geometric mean and t interval. Eight bits are calibrated on {calibration} pictures of
train. Pruned nets are trained on for {steps} steps of 128 pictures of train.

![Errors over time](deployment.svg)

| | errors, % | one picture, ms | p99, ms | times as fast as torch | as 32 bits | a picture in a batch, ms | MB |
|---|---|---|---|---|---|---|---|
{lines}

Not measured: {missing}.

## Where eight bits save time

Of one picture by onnxruntime's own profile, the mean over {runs} runs, microseconds. {verdict}

| operator | 32 bits | eight bits, {way} |
|---|---|---|
{operators}
"""


def ways(subject: Subject, quick: bool) -> tuple[dict[str, Model], dict[str, str]]:
    """(what is compared, by name; what can't be, and why)."""
    preprocess, train = subject.preprocess, subject.train
    net: nn.Module = subject.model.eval()
    plain = TorchModel(net, task="classification", preprocess=preprocess)
    made: dict[str, Model] = {"torch": plain}
    missing: dict[str, str] = {}
    example = train.take(np.arange(8))
    exported = as_onnx(plain, example)
    made["onnxruntime, 32 bits"] = exported

    rows = train.take(np.sort(generator(0, "calibration").permutation(len(train))[:CALIBRATION]))
    batches = [feeds(exported.inputs, exported.preprocess(part)) for part in np.array_split(rows, CALIBRATION // 32)]
    for way in WAYS:
        made[f"onnxruntime, int8 {way}"] = in_its_place(int8_bytes(exported.file.content, batches, way), exported)

    def attempt(name: str, change: Callable[[nn.Module], nn.Module]) -> None:
        try:
            other = TorchModel(change(copy.deepcopy(net)), task="classification", preprocess=preprocess)
            other.outputs(train.take(np.arange(1)))
            made[name] = other
        except Exception as error:  # of compilers and kernels, which share no base
            missing[name] = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

    attempt("torch, bfloat16", lambda module: module.to(torch.bfloat16))
    attempt("torchao, int8 (its one linear layer)", _by_torchao)
    if quick:
        return made, {**missing, "torch.compile and pruned nets": "a quick run"}
    attempt("torch.compile", lambda module: torch.compile(module))
    for ratio in RATIOS:
        name = f"pruned by {100 * ratio:.0f} % of channels"
        try:
            smaller = _trained(pruned(net, _inputs(subject, np.arange(4)), ratio), subject)
        except Exception as error:
            missing[name] = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            continue
        in_torch = TorchModel(smaller, task="classification", preprocess=preprocess)
        file = as_onnx(in_torch, example)
        made[f"{name}, onnxruntime, 32 bits"] = file
        made[f"{name}, onnxruntime, int8 static"] = in_its_place(int8_bytes(file.file.content, batches, WAYS[0]), file)
    return made, missing


def _inputs(subject: Subject, rows: np.ndarray) -> torch.Tensor:
    made: torch.Tensor = subject.preprocess(torch.from_numpy(subject.train.take(rows)))
    return made


def _by_torchao(module: nn.Module) -> nn.Module:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(module, Int8DynamicActivationInt8WeightConfig())
    return module


def _trained(module: nn.Module, subject: Subject) -> nn.Module:
    """By SGD with momentum and mirrored pictures, its rate going down to 0 along a cosine."""
    rng = generator(0, "training on")
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    y = torch.from_numpy(subject.train.y)
    module.train()
    for _ in range(STEPS):
        rows = np.sort(rng.integers(len(y), size=128))
        x = _inputs(subject, rows)
        mirrored = torch.from_numpy(rng.random(len(x)) < 0.5)
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        loss = nn.functional.cross_entropy(module(x), y[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return module.eval()


def profiled(model: OnnxModel, rows: list[Any], folder: Path) -> dict[str, float]:
    """Mean microseconds of each kind of operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.file.content, options, providers=["CPUExecutionProvider"])
    for row in rows:
        session.run(None, feeds(model.inputs, model.preprocess(row)))
    spent: dict[str, float] = defaultdict(float)
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"] / len(rows)
    return spent


def measured(made: dict[str, Model], subject: Subject, quick: bool) -> dict[str, dict[str, Any]]:
    """Of each: errors, latency, time in a batch, bytes, and how many times as fast as the two references."""
    test: Split = subject.test.subset(np.arange(1000 if quick else TEST))
    rows = [subject.test.take(np.array([i])) for i in range(TIMED)]
    several = subject.test.take(np.arange(BATCH))
    runs, rounds = (60, 6) if quick else (RUNS, ROUNDS)
    single = side_by_side([in_turn(model.outputs, rows) for model in made.values()], runs, warm_up=5)
    apart = {name: model for name, model in made.items() if name != "torch.compile"}  # compiled for one picture
    batch = side_by_side([in_turn(model.outputs, [several]) for model in apart.values()], rounds)
    names = list(made)
    found: dict[str, dict[str, Any]] = {}
    for i, (name, model) in enumerate(made.items()):
        wrong = logits_of(made["torch"] if name == "torch.compile" else model, test).argmax(axis=1) != test.y
        in_batch = None
        if name in apart:
            in_batch = median(1000 * batch[:, list(apart).index(name)] / BATCH, unit="ms")
        found[name] = {
            "errors": clopper_pearson(int(wrong.sum()), len(wrong)).scaled(100, "%"),
            "p50": median(1000 * single[:, i], unit="ms"),
            "p99": quantile(1000 * single[:, i], 0.99, unit="ms"),
            "over_torch": times_faster(single[:, 0], single[:, i]),
            "over_onnx": times_faster(single[:, names.index("onnxruntime, 32 bits")], single[:, i]),
            "batch": in_batch,
            "bytes": model.describe()["bytes"],
        }
    return found


def page(found: dict[str, dict[str, Any]], missing: dict[str, str], operators: list[dict[str, float]], way: str) -> str:
    lines = []
    for name, one in found.items():
        same = [name == "torch", name == "onnxruntime, 32 bits"]
        factors = [
            "" if itself else interval(one[key]) for itself, key in zip(same, ("over_torch", "over_onnx"), strict=True)
        ]
        batch = "" if one["batch"] is None else f"{one['batch'].value:.3f}"
        lines.append(
            f"| {name} | {interval(one['errors'])} | {interval(one['p50'])} | {interval(one['p99'])} | "
            f"{' | '.join(factors)} | {batch} | {one['bytes'] / 1e6:.2f} |"
        )
    faster = found[f"onnxruntime, int8 {way}"]["over_onnx"]
    reached = "that is" if faster.low is not None and faster.low > 1.5 else "not surely"
    kinds = sorted(
        {*operators[0], *operators[1]}, key=lambda kind: -operators[0].get(kind, 0) - operators[1].get(kind, 0)
    )
    table = [f"| {kind} | {_spent(operators[0], kind)} | {_spent(operators[1], kind)} |" for kind in kinds]
    total = f"| all | {sum(operators[0].values()):.0f} | {sum(operators[1].values()):.0f} |"
    return PAGE.format(
        cpu=_processor(),
        runs=RUNS,
        rounds=ROUNDS,
        batch=BATCH,
        test=TEST,
        calibration=CALIBRATION,
        steps=STEPS,
        lines="\n".join(lines),
        missing="; ".join(f"{name}: {why}" for name, why in missing.items()) or "nothing",
        way=way,
        verdict=f"Eight bits are {interval(faster)} times as fast as 32 at one picture: {reached} more than 1.5.",
        operators="\n".join([*table, total]),
    )


def _spent(operators: dict[str, float], kind: str) -> str:
    return f"{operators[kind]:.0f}" if kind in operators else ""


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "this processor")
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name} ({'with' if 'vnni' in flags else 'without'} VNNI)"


def picture(found: dict[str, dict[str, Any]]) -> str:
    """Errors over the logarithm of the time of one picture, with intervals; numbered from the fastest."""
    across = fit([float(np.log10(x)) for one in found.values() for x in _ends(one["p50"])], 70, 520)
    up = fit([x for one in found.values() for x in _ends(one["errors"])], 330, 50)
    parts = [f"<style>{STYLE}</style>"]
    for tick in up.ticks():
        parts += [line(70, up.at(tick), 520, up.at(tick), "grid"), text(62, up.at(tick) + 4, f"{tick:g} %", "end")]
    for ms in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50):
        if across.low <= np.log10(ms) <= across.high:
            at = across.at(float(np.log10(ms)))
            parts += [line(at, 50, at, 330, "grid"), text(at, 348, f"{ms:g} ms", "tick")]
    placed: list[tuple[float, float]] = []
    ordered = sorted(found.items(), key=lambda item: item[1]["p50"].value)
    for number, (name, one) in enumerate(ordered, 1):
        x, y = across.at(float(np.log10(one["p50"].value))), up.at(one["errors"].value)
        (left, right), (low, high) = _ends(one["p50"]), _ends(one["errors"])
        parts.append(line(across.at(float(np.log10(left))), y, across.at(float(np.log10(right))), y, "bar"))
        parts += [line(x, up.at(low), x, up.at(high), "bar"), f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>']
        above = up.at(high) - 4
        while any(abs(x - a) < 16 and abs(above - b) < 12 for a, b in placed):  # numbers don't overlap
            above -= 12
        placed.append((x, above))
        parts += [text(x, above, str(number), "tick"), text(540, 16 + 22 * number, f"{number}  {name}", "name")]
    parts.append(text(295, 368, "one picture (logarithmic), and errors on test", "tick"))
    opening = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 380" width="860" height="380"'
    return f'{opening} role="img" aria-label="Errors over time of one picture">{"".join(parts)}</svg>\n'


def _ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT / "examples"))
    from cifar10_resnet20 import subject

    warnings.filterwarnings("ignore")
    given = subject()
    made, missing = ways(given, quick)
    found = measured(made, given, quick)
    static = [way for way in WAYS if way != "dynamic"]
    way = min(static, key=lambda way: found[f"onnxruntime, int8 {way}"]["p50"].value)
    rows = [given.test.take(np.array([i % TIMED])) for i in range(60 if quick else RUNS)]
    with tempfile.TemporaryDirectory() as folder:
        files = (made["onnxruntime, 32 bits"], made[f"onnxruntime, int8 {way}"])
        operators = [profiled(file, rows, Path(folder)) for file in files if isinstance(file, OnnxModel)]
    content = page(found, missing, operators, way)
    if not quick:
        (DOCS / "deployment.md").write_text(content)
        (DOCS / "deployment.svg").write_text(picture(found))
    sys.stdout.write(content)


if __name__ == "__main__":
    main()
