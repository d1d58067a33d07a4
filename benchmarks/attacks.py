"""Is the worst case that uncork finds the worst there is? python -m benchmarks.attacks writes docs/attacks.md

    --part PART     one part only: mnist, mnist-square, cifar-1, cifar-2, cifar-8; with --peers also
                    cifar-1-torchattacks, cifar-1-torchattacks-100, and so on for the others
    --peers FOLDER  where torchattacks is installed without its dependencies (or UNCORK_PEERS)
    --rows N        the first N rows only; results then go to OUT/N
    --page          only write the page from what is there

mnist: a net whose paper proves an error below 5.8 % under any attack at L∞ 0.1, on 10,000 test images: the worst case
must lie between 94.1 % and the clean 98.20 %; mnist-square: Square alone on the same. cifar-N: ResNet-20 on 500 images
at L∞ N/255 by the standard set; the peer on the same images with its own 10 steps and with the paper's 100. Results go
to OUT/PART.json (default runs/attacks), every 100 images, and what is there is not made again: stopped, it goes on from
there. The page is written from all results that are there. Nets and images lie in shared/data beside the repository,
or where UNCORK_SHARED says.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

from uncork.models.torch_model import TorchModel
from uncork.stats.binomial import clopper_pearson
from uncork.stress.ball import Ball
from uncork.stress.standard import ATTACKS, attacked
from uncork.stress.target import target_of

ROOT = Path(__file__).resolve().parents[1]
OUT, DOCS = ROOT / "runs" / "attacks", ROOT / "docs"
SLICE = 100
CIFAR = (1, 2, 8)
PEERS = ("torchattacks", "torchattacks-100")

PAGE = """# Is the worst case that uncork finds the worst there is?

Written by `python -m benchmarks.attacks`. AutoAttack's standard set (APGD on cross-entropy, targeted APGD on DLR,
targeted FAB, Square) as uncork runs it: 100 steps, 5,000 queries, climbs that can't arrive given up early, and Square
only for 1,000 queries where gradients got further. Shares with 95 % Clopper–Pearson intervals; CPU seconds, one thread.

## A net with a certificate

A convolutional net for MNIST whose paper (Wong & Kolter, arXiv 1711.00851) proves an error below 5.8 % under any attack
at L∞ 0.1. A right figure lies between the proven 94.1 % and the clean share: above is a weak attack, below breaks its
own ε.

{mnist}

## ResNet-20 on CIFAR-10

Not trained against attacks. torchattacks 3.5.1 runs the same set with 10 steps; *100 steps* is the same with the
paper's number of steps for APGD and FAB.

{cifar}
"""

HEAD = "| images | clean | right under every attack | after each attack | CPU seconds |\n|---|---|---|---|---|"


class Certified(nn.Sequential):
    """Two convolutions of stride 2 and two linear layers."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )


def mnist(shared: Path) -> tuple[TorchModel, np.ndarray, np.ndarray]:
    """The net, and test images in 0…1."""
    net = Certified()
    net.load_state_dict(
        torch.load(shared / "weights" / "convex_adversarial_mnist.pth", weights_only=True, map_location="cpu")
    )
    with np.load(shared / "mnist.npz", allow_pickle=False) as data:
        x, y = data["x_test"], data["y_test"]
    return TorchModel(net, task="classification"), (x[:, None] / 255).astype(np.float32), y.astype(np.int64)


def cifar(shared: Path) -> tuple[TorchModel, np.ndarray, np.ndarray]:
    """The net, and test images in 0…1, channels first."""
    sys.path.insert(0, str(ROOT / "examples"))
    os.environ.setdefault("UNCORK_SHARED", str(shared))
    from cifar10_resnet20 import DEVIATION, MEAN, subject

    given = subject()
    x = np.ascontiguousarray(given.test.take(np.arange(500)).transpose(0, 3, 1, 2) / 255, dtype=np.float32)
    model = TorchModel(given.model, task="classification", preprocess=lambda z: (z - MEAN) / DEVIATION)
    return model, x, np.asarray(given.test.y[:500], dtype=np.int64)


Slice = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def ours(model: TorchModel, eps: float, attacks: tuple[str, ...] = ATTACKS) -> Slice:
    """Attacks some rows in the box 0…1, and counts."""
    ball = Ball("linf", eps, torch.tensor(0.0), torch.tensor(1.0))

    def run(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        rows, label = torch.from_numpy(x), torch.from_numpy(y)
        target = target_of(model, rows, lambda z: z.numpy())
        clean, _ = target.right(rows, label)
        start = time.process_time()
        worst = attacked(target, rows[clean], label[clean], ball, seed=0, attacks=attacks, checked=False)
        seconds = time.process_time() - start
        moved = target.right(worst.x, label[clean])[0]
        assert torch.equal(~moved, worst.by >= 0)
        after = [int(clean.sum()) - int(((worst.by >= 0) & (worst.by <= i)).sum()) for i in range(len(attacks))]
        return {"rows": len(y), "clean": int(clean.sum()), "after": after, "seconds": seconds}

    return run


def theirs(model: TorchModel, eps: float, steps: int, peers: Path) -> Slice:
    """torchattacks' AutoAttack on the same rows. `steps`: of APGD and FAB."""
    sys.path.append(str(peers))
    import torchattacks

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.module

        def forward(self, x: Tensor) -> Tensor:
            assert model.preprocess is not None
            out: Tensor = self.net(model.preprocess(x))
            return out

    whole = Whole().eval()

    def run(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        attack = torchattacks.AutoAttack(whole, norm="Linf", eps=eps, seed=0)
        rows, label = torch.from_numpy(x), torch.from_numpy(y)
        with torch.no_grad():
            left = whole(rows).argmax(1) == label
        clean, after, start = int(left.sum()), [], time.process_time()
        rows, label = rows[left], label[left]
        for part in attack._autoattack.attacks:
            part.steps = steps
            if len(rows):
                moved = part(rows, label)
                with torch.no_grad():
                    left = whole(moved).argmax(1) == label
                rows, label = rows[left], label[left]
            after.append(len(rows))
        return {"rows": len(y), "clean": clean, "after": after, "seconds": time.process_time() - start}

    return run


def measure(part: str, shared: Path, peers: Path | None, rows: int | None, out: Path) -> None:
    """One part, a slice at a time, each kept once it is done."""
    family, _, rest = part.partition("-")
    model, x, y = (mnist if family == "mnist" else cifar)(shared)
    eps, _, peer = rest.partition("-")
    if family == "mnist":
        run = ours(model, 0.1, ("Square",) if rest else ATTACKS)
    elif peer:
        assert peers is not None, "give --peers, where torchattacks is installed"
        run = theirs(model, int(eps) / 255, 100 if peer.endswith("100") else 10, peers)
    else:
        run = ours(model, int(eps) / 255)
    path, n = out / f"{part}.json", min(rows or len(y), len(y))
    done = json.loads(path.read_text()) if path.exists() else []
    for start in range(SLICE * len(done), n, SLICE):
        done.append(run(x[start : min(start + SLICE, n)], y[start : min(start + SLICE, n)]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(done))
        print(f"{part}: {min(start + SLICE, n)} of {n}: {done[-1]}", flush=True)


def line(name: str, slices: list[dict[str, Any]]) -> str:
    n, clean = (sum(part[key] for part in slices) for key in ("rows", "clean"))
    after = np.sum([part["after"] for part in slices], axis=0)
    held = clopper_pearson(int(after[-1]), n)
    each = ", ".join(f"{100 * left / n:.2f}" for left in after)
    seconds = sum(part["seconds"] for part in slices)
    ends = f"{100 * (held.low or 0):.2f} to {100 * (held.high or 0):.2f}"
    share = f"{100 * (held.value or 0):.2f} % ({ends})"
    return f"| {name}: {n:,} | {100 * clean / n:.2f} % | {share} | {each} | {seconds:,.0f} |"


def page(out: Path) -> str:
    """The page of what is there; what is not is named."""
    kept = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    names = {"mnist": "the standard set", "mnist-square": "Square alone"}
    for eps in CIFAR:
        names[f"cifar-{eps}"] = f"{eps}/255, uncork"
        names |= {f"cifar-{eps}-{peer}": f"{eps}/255, {peer.replace('-100', ', 100 steps')}" for peer in PEERS}
    tables = {}
    for family in ("mnist", "cifar"):
        own = [key for key in names if key.split("-")[0] == family]
        lines = [line(names[key], kept[key]) for key in own if key in kept]
        missing = [names[key] for key in own if key not in kept]
        said = f"\n\nNot measured: {'; '.join(missing)}." if missing else ""
        tables[family] = "\n".join([HEAD, *lines]) + said
    return PAGE.format(**tables)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part")
    parser.add_argument("--peers", type=Path, default=os.environ.get("UNCORK_PEERS"))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    out = asked.out if asked.rows is None else asked.out / str(asked.rows)
    peers = None if asked.peers is None else Path(asked.peers)
    of_peers = [f"cifar-{eps}-{peer}" for eps in CIFAR for peer in PEERS] if peers else []
    parts = ["mnist", "mnist-square", *(f"cifar-{eps}" for eps in CIFAR), *of_peers]
    if asked.part and asked.part not in parts:
        parser.error(f"there is no part {asked.part}: choose from {', '.join(parts)}")
    torch.set_num_threads(1)
    shared = Path(os.environ.get("UNCORK_SHARED", ROOT.parent / "shared" / "data"))
    for part in [] if asked.page else [asked.part] if asked.part else parts:
        measure(part, shared, peers, asked.rows, out)
    text = page(out)
    if out.resolve() == OUT:
        (DOCS / "attacks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
