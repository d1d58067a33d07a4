"""What the post-hoc trust probes cost beside a forward pass: python -m benchmarks.trust writes docs/trust.md

Every probe of the trust column that needs neither retraining nor attacks nor attributions, on the 10,000 test pictures
of CIFAR-10 with a ResNet-20, beside bare forward passes of the same batch size, in turns within one run, on two
threads. Aim: at most one more forward pass for all of them together. Needs shared/data; three rounds, some minutes.
`--rounds 1` prints the page instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uncork.gather._contract import Context, gatherers
from uncork.models.base import logits_of
from uncork.probes._contract import registered
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.measure import bind
from uncork.schema.artifacts import Facts, Pass, Request
from uncork.schema.contract import Probe
from uncork.schema.errors import Unavailable
from uncork.schema.finding import NotApplicable
from uncork.schema.seeds import generator

LEFT_OUT = ("pool", "attacked", "attribution")  # retraining, attacks, attributions
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]

PAGE = """# What trust costs

Written by `python -m benchmarks.trust`: ResNet-20 on the 10,000 test pictures of CIFAR-10, {threads} threads, medians
of {rounds} rounds. Every probe of the trust column that needs neither retraining nor attacks nor attributions.
*Gathered*: what it needs beyond the forward pass over the rows, shared by all. The aim: at most one more forward pass.
Mistakes patched and strangers are gathered for probes in preview only.

| | seconds | of a forward pass |
|---|---|---|
{lines}
"""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    try:
        outcome = work()
    except Unavailable as error:
        outcome = error
    return time.perf_counter() - start, outcome


def post_hoc() -> list[Probe]:
    """The trust probes that read what is there."""
    return [
        probe
        for probe in registered().values()
        if probe.column == "trust" and not {r.kind for r in probe.requires.values()} & set(LEFT_OUT)
    ]


def one_round(context: Context) -> dict[str, float]:
    """Seconds of a bare forward pass, of each artifact and of each probe; what there is none of says so."""
    seconds = {"forward pass, bare": timed(lambda: logits_of(context.model, context.split("validation")))[0]}
    artifacts: dict[Request, Any] = {}
    for probe in post_hoc():
        for request in probe.requires.values():
            if not isinstance(request, Facts) and request not in artifacts:
                spent, artifacts[request] = timed(lambda r=request: gatherers()[type(r)].gather(r, context))
                seconds[f"gathered: {request.label()}"] = spent
    for probe in post_hoc():
        needed = [artifacts[r] for r in probe.requires.values() if not isinstance(r, Facts)]
        if any(isinstance(given, Unavailable) for given in needed):
            seconds[f"{probe.id} (not applicable)"] = 0.0
            continue
        read = bind(probe, context, artifacts.__getitem__)
        spent, outcome = timed(lambda p=probe, read=read: p.measure(**read, rng=generator(0, "probe", p.id)))
        said = " (not applicable)" if isinstance(outcome, NotApplicable) else ""
        seconds[f"{probe.id}{said}"] = spent
    return seconds


def page(rounds: list[dict[str, float]]) -> str:
    """The table: each median, and the sum of all beyond the pass over the rows."""
    bare, outputs = "forward pass, bare", f"gathered: {Pass('validation').label()}"
    sums = [sum(s for name, s in found.items() if name not in (bare, outputs)) for found in rounds]
    columns = {name: [found[name] for found in rounds] for name in rounds[0]} | {"**all beyond the outputs**": sums}
    ratio = {
        name: np.median([s / found[bare] for s, found in zip(column, rounds, strict=True)])
        for name, column in columns.items()
    }
    lines = [f"| {name} | {np.median(column):.2f} | {ratio[name]:.3f} |" for name, column in columns.items()]
    return PAGE.format(threads=torch.get_num_threads(), rounds=len(rounds), lines="\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer print the page instead of writing it")
    count = parser.parse_args().rounds
    torch.set_num_threads(2)
    subject = runpy.run_path(str(ROOT / "examples" / "cifar10_resnet20.py"))["subject"]()
    context = admit(subject, describe_only=True, seed=0, fan=Executor("loky", None)).context
    text = page([one_round(context) for _ in range(count)])
    if count >= ROUNDS:
        (ROOT / "docs" / "trust.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
