"""MiniLM with linear heads: what batches sorted by length save, and audits of four tasks on text.

python -m benchmarks.text                       # all of it, one thread: about 10 minutes; writes docs/text.md
python -m benchmarks.text --part speed          # one part anew, the page from what is in runs/text for the others
python -m benchmarks.text --part speed --texts 10000
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uncork import Report, audit
from uncork.data.split import Split
from uncork.models.torch_model import TorchModel
from uncork.run.executor import Executor
from uncork.schema.finding import Estimate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import minilm_text as example

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = Path("runs") / "text"
NAIVE, BLOCK = 32, 1000
WAYS = {
    "naive": f"batches of {NAIVE} in the order given, padded to the longest",
    "audit": "as an audit does: 256 rows at a time, sorted inside",
    "sorted": f"`text_features`: sorted among {BLOCK:,}",
}

#: By task: what `audit` is given, and of each probe the estimates shown.
Shown = dict[str, tuple[str, ...]]
AUDITS: dict[str, tuple[dict[str, Any], Shown]] = {
    "agnews": (
        {"pool": "head"},
        {
            "leaked-examples": ("validation_copies", "test_copies"),
            "miscalibration": ("calibration_error", "temperature_gain"),
            "behaviour-violations": ("a typing error",),
            "wrong-labels": ("out_of_sample_error", "noise_if_random"),
        },
    ),
    "clinc150": (
        {"pool": "off"},
        {
            "miscalibration": ("calibration_error", "temperature_gain"),
            "unrecognised-inputs": ("unrecognised", "false_rejection", "auroc_probability", "auroc_knn"),
        },
    ),
    "sst2": ({"pool": "off"}, {"leaked-examples": ("validation_copies", "test_copies", "metric_without_copies")}),
    "amazon": (
        {"pool": "off"},
        {
            "miscalibration": ("calibration_error",),
            "domain-shift": ("validation", "shifted", "drop", "threshold", "confidence", "two_sample_auc"),
        },
    ),
}

PAGE = """# Text: MiniLM and a linear head

Written by `python -m benchmarks.text` with torch {torch} and Python {python}, one thread. Times are of the processor.
The encoder is all-MiniLM-L6-v2, 22.7 million weights, which reads 256 tokens of a text; the heads are those of
examples/minilm_text.py. Intervals are 95 %.

## How

A sequence classifier that `save_pretrained` wrote, its tokenizer beside it, is a subject as it is:
`Subject("folder", test=Split(texts, labels))`. An encoder takes a head first:

```python
from uncork import Split, Subject, audit
from uncork.train.encoders import Tokens, linear_probe, probed

tokens = Tokens("folder")  # tokens beyond the model's length go unread; the report counts them
recipe = linear_probe("folder", n_outputs=4)  # or fine_tune("folder", n_outputs=4), trained by recipe.fit
net = probed(recipe, train, preprocess=tokens)  # one pass of the encoder over train, labels as class indices
audit(Subject(net, train=train, test=test, recipe=recipe, preprocess=tokens), pool="head")
```

A treated model comes back with `load_treated(run, build=recipe.build, preprocess=tokens)`; of a folder's own
classifier `build` is `lambda: load_model("folder").module`. Maps of single decisions, attacks by gradients, rival
families and comparisons of inputs are not applicable to texts, and say so; docs/modalities.md has the list.

## Batches sorted by length: {n:,} texts of AG News

{tokens:.0f} tokens a text on average, the longest {longest}. In blocks of {block:,}, the ways in turn.

| way | seconds | tokens run, padding included | times faster than naive (least to most of the blocks) |
|---|---|---|---|
{speed}

The features differ by {apart:.0e} at most.

{audits}
"""


def speed(texts: int) -> dict[str, Any]:
    """Seconds of processor of each way in each block, and what came of it."""
    data, tokens = example.table("text_agnews.parquet"), example.Tokens(example.encoder_folder())
    split = example.rows(data, "split", "train", texts)
    net: Any = example.linear_probe(tokens.folder, 4).make()
    model, encoder = TorchModel(net, task="classification", preprocess=tokens), net.encoder.eval()

    def naive(block: Split) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([encoder(**tokens(texts)).numpy() for _, texts in block.batches(NAIVE)])

    def audited(block: Split) -> Any:
        return np.concatenate([model.outputs(texts, features=True).features for _, texts in block.batches(256)])

    def in_order(block: Split) -> np.ndarray:
        return example.text_features(encoder, block, tokens)

    run: dict[str, Callable[[Split], np.ndarray]] = {"naive": naive, "audit": audited, "sorted": in_order}
    made: dict[str, Any] = {"n": len(split), "seconds": {way: [] for way in run}, "apart": 0.0}
    padded, counted = dict.fromkeys(run, 0), []

    def count(way: str) -> Callable[..., None]:
        def see(_: Any, __: Any, given: dict[str, torch.Tensor]) -> None:
            padded[way] += given["input_ids"].numel()

        return see

    for way in run:  # what is slow only once
        run[way](split.subset(np.arange(64)))
    for start in range(0, len(split), BLOCK):
        block, found = split.subset(np.arange(start, min(start + BLOCK, len(split)))), {}
        counted += [int(mask.sum()) for _, each in block.batches(BLOCK) for mask in tokens(each)["attention_mask"]]
        for way in run:
            hook = encoder.register_forward_pre_hook(count(way), with_kwargs=True)
            began = time.process_time()
            found[way] = run[way](block)
            made["seconds"][way].append(time.process_time() - began)
            hook.remove()
            made["apart"] = max(made["apart"], float(np.abs(found[way] - found["naive"]).max()))
        print(start, {way: round(made["seconds"][way][-1], 1) for way in run}, flush=True)
    return {**made, "padded": padded, "tokens": float(np.mean(counted)), "longest": max(counted)}


def audited(name: str) -> dict[str, Any]:
    """The figures of one task's audit; its jobs run here, so that their time counts."""
    settings, shown = AUDITS[name]
    subject = getattr(example, name)()
    began = time.process_time()
    place = KEPT / name
    shutil.rmtree(place, ignore_errors=True)
    report = audit(subject, probes=list(shown), out=place, budget="2h", **settings)
    spent = time.process_time() - began
    sizes = {
        split: len(getattr(subject, split))
        for split in ("train", "validation", "test", "shifted", "strangers")
        if getattr(subject, split) is not None
    }
    return {
        "sizes": sizes,
        "spent": spent,
        "classes": len(subject.classes),
        "told": told(report, shown),
    }


def told(report: Report, shown: Shown) -> list[list[str]]:
    """Rows of a table: finding, verdict, figure, value and interval."""
    head = report.headline
    rows = [["errors on test", "", head.unit, f"{head.value:.0f} ({head.low:.0f} to {head.high:.0f})"]]
    for id, names in shown.items():
        finding = report.finding(id)
        if not finding.estimates:
            rows.append([f"`{id}`", finding.verdict, "", finding.reason])
        rows += [
            [f"`{id}`", finding.verdict, f"{name.replace('_', ' ')}, {each.unit}", value(each)]
            for name in names
            if (each := finding.estimates.get(name)) is not None
        ]
    note = report.subject["model"]["note"]
    return [*rows, ["tokens beyond the length", "", "", note]] if note else rows


def value(e: Estimate) -> str:
    form = ".0f" if "per 1,000" in e.unit else ".3f"
    low, high = ("?" if end is None else f"{end:{form}}" for end in (e.low, e.high))
    exact = "per 1,000" in e.unit and e.low == e.high
    if exact and e.value is not None:
        return f"{e.value:.1f}: {e.value * e.n / 1000:.0f} of {e.n:,}, counted"
    return f"{low} to {high}" if e.value is None else f"{e.value:{form}} ({low} to {high})"


def lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(found: dict[str, Any]) -> str:
    about = found["speed"]
    seconds = {way: np.array(spent) for way, spent in about["seconds"].items()}
    table = []
    for way, words in WAYS.items():
        times, whole = seconds["naive"] / seconds[way], seconds["naive"].sum() / seconds[way].sum()
        faster = "" if way == "naive" else f"{whole:.2f} ({times.min():.2f} to {times.max():.2f})"
        table.append([words, f"{seconds[way].sum():.0f}", f"{about['padded'][way]:,}", faster])
    parts = []
    for name in AUDITS:
        if name in found:
            one = found[name]
            sizes = ", ".join(f"{split} {n:,}" for split, n in one["sizes"].items())
            columns = [["finding", "verdict", "figure", "value"], ["---"] * 4]
            parts.append(
                f"## `examples/minilm_text.py:{name}`\n\n{one['classes']} classes; {sizes}. Audited in "
                f"{one['spent']:.0f} s.\n\n{lines([*columns, *one['told']])}"
            )
    return PAGE.format(
        torch=torch.__version__.split("+")[0],
        python=platform.python_version(),
        n=about["n"],
        tokens=about["tokens"],
        longest=about["longest"],
        block=BLOCK,
        speed=lines(table),
        apart=about["apart"],
        audits="\n\n".join(parts),
    )


def here(self: Executor, function: Callable[..., Any], jobs: Any) -> Any:
    for job in jobs:
        yield function(*job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["speed", *AUDITS], help="this part alone")
    parser.add_argument("--texts", type=int, default=2000, help="of the speed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    Executor.each = here  # type: ignore[method-assign]
    for part in [given.part] if given.part else ["speed", *AUDITS]:
        made = speed(given.texts) if part == "speed" else audited(part)
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{part}.json").write_text(json.dumps(made, indent=1))
    found = {path.stem: json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))}
    if "speed" in found:
        (DOCS / "text.md").write_text(page(found))


if __name__ == "__main__":
    main()
