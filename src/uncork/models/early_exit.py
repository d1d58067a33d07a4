"""A net whose easy rows leave it early, by heads between its blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from uncork.models.base import Output, rows_in
from uncork.models.blocks import first_tensor
from uncork.models.lengths import by_length
from uncork.models.tensors import REFUSALS, call, place, reference, refusal, to_tensors
from uncork.models.torch_model import TorchModel, evaluating
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CELLS = 2  # a side of what a map is pooled to


@dataclass(frozen=True, eq=False)
class Head:
    """Logits W f + b (K, d), (K,) of what block `after` makes of a row. `replayed`: it and the blocks before it.

    `share`: of the net's operations, those up to there.
    """

    after: str
    replayed: tuple[str, ...]
    share: float
    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Certificate:
    """What is guaranteed of a threshold: with probability `level` at most the share `limit` of rows like the `rows` it
    was set on is answered wrongly by a head and rightly by the whole net; `harmed` of those rows were."""

    threshold: float
    limit: float
    level: float
    harmed: int
    rows: int


class EarlyExit(Wrapped):
    """A torch model; each row leaves at the first head that is sure enough of it, and is then out of the batch.

    `heads`: in the order in which they are passed. A row leaves where the largest probability of a head is at least the
    certificate's threshold; the rest go on without those that left. Features, where asked for, are the whole net's,
    which then runs for all rows. Raises BadInput where heads and net don't fit together.
    """

    called = "early exits"

    def __init__(self, inner: TorchModel, heads: Sequence[Head], certificate: Certificate) -> None:
        super().__init__(inner)
        self.inner: TorchModel
        self.heads, self.certificate = tuple(heads), certificate
        named = dict(inner.module.named_modules())
        for head in heads:
            unknown = [name for name in head.replayed if name not in named]
            if unknown or head.after != head.replayed[-1]:
                raise BadInput(f"the net has no block {(unknown or [head.after])[0]!r} for a head to stand after")
            if len(head.weight) != inner.n_outputs:
                raise BadInput(
                    f"a head has {len(head.weight)} outputs, the net {inner.n_outputs}: give one for each class"
                )
        digest = hashlib.blake2b(digest_size=8)
        for head in heads:
            digest.update(head.weight.tobytes() + head.bias.tobytes())
        self.told = {
            "early_exit": {
                "after": [head.after for head in heads],
                "share_of_operations": [round(head.share, 4) for head in heads],
                **vars(certificate),
                "hash": digest.hexdigest(),
            }
        }
        device = reference(inner.module).device
        self._tensors = [(torch.tensor(h.weight).to(device), torch.tensor(h.bias).to(device)) for h in heads]

    def moved(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def outputs(self, batch: Any, features: bool = False) -> Output:
        kept = self.inner.outputs(batch, features=True).features if features else None
        return Output(self.answers(batch)[0], kept)

    def answers(self, batch: Any) -> tuple[Float[np.ndarray, "b K"], Int[np.ndarray, " b"]]:
        """(logits, at which head each row left: 0 for the first, the number of heads for the end of the net)."""
        inner = self.inner
        with evaluating(inner.module), torch.inference_mode():
            tensors = place(to_tensors(batch, inner.preprocess), reference(inner.module))
            if getattr(inner.preprocess, "padded", False):
                logits, left = by_length(self._walk, tensors)
            else:
                logits, left = self._walk(tensors)
            assert left is not None
        return logits.cpu().numpy(), left[:, 0].cpu().numpy()

    def _walk(self, tensors: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The net, again from where it was each time some rows have left and others not."""
        b, inner = rows_in(tensors), self.inner
        device = reference(inner.module).device
        logits = torch.empty(b, inner.n_outputs, device=device)
        left = torch.full((b, 1), len(self.heads), device=device)
        there = torch.arange(b, device=device)
        at, states = 0, None
        while len(there):
            try:
                with self._from(at, states, tensors):
                    raw = call(inner.module, tensors)
            except _Leaving as some:
                gone = there[some.leave]
                logits[gone], left[gone] = some.logits[some.leave], some.head
                stay = ~some.leave
                tensors, states = _rows(tensors, stay, len(stay)), _rows(some.output, stay, len(stay))
                at, there = some.head + 1, there[stay]
            except REFUSALS as error:
                raise refusal(error, tensors, inner.module, inner.preprocess is not None) from error
            else:
                rounded = torch.finfo(raw.dtype).eps if raw.is_floating_point() else 0.0
                read = inner._logits(raw.float().cpu().numpy(), len(there), rounded)
                logits[there] = torch.from_numpy(read).to(device)
                break
        return logits, left

    @contextmanager
    def _from(self, at: int, states: Any, tensors: Any) -> Iterator[None]:
        """The net with heads `at` and later in place; what comes before gives `states` at once."""
        module = self.inner.module
        mask = _mask(tensors)
        replayed = [module.get_submodule(name) for name in self.heads[at - 1].replayed] if at else []
        own = [{name: value for name, value in vars(block).items() if name == "forward"} for block in replayed]
        hooks = [
            module.get_submodule(self.heads[i].after).register_forward_hook(self._head(i, mask))
            for i in range(at, len(self.heads))
        ]
        try:
            for block in replayed:
                block.forward = lambda *_, **__: states
            yield
        finally:
            for block, forward in zip(replayed, own, strict=True):
                vars(block).pop("forward", None)
                vars(block).update(forward)
            for hook in hooks:
                hook.remove()

    def _head(self, i: int, mask: torch.Tensor | None) -> Callable[..., None]:
        def look(_: nn.Module, __: Any, output: Any) -> None:
            logits = nn.functional.linear(pooled(first_tensor(output), mask), *self._tensors[i])
            leave = self._leaves(i, logits)
            if bool(leave.any()):
                raise _Leaving(i, leave, logits, output)

        return look

    def _leaves(self, i: int, logits: Float[torch.Tensor, "b K"]) -> torch.Tensor:
        """(b,) which rows leave at head `i`."""
        return torch.softmax(logits, dim=1).amax(dim=1) >= self.certificate.threshold

    def arrays(self) -> dict[str, np.ndarray]:
        """The heads' weights, by name."""
        parts = {f"{i}.weight": head.weight for i, head in enumerate(self.heads)}
        return {**parts, **{f"{i}.bias": head.bias for i, head in enumerate(self.heads)}}

    def about(self) -> dict[str, Any]:
        """JSON: all but the heads' weights."""
        heads = [{"after": h.after, "replayed": list(h.replayed), "share": h.share} for h in self.heads]
        return {"heads": heads, "certificate": vars(self.certificate)}

    @staticmethod
    def of_parts(inner: Any, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> EarlyExit:
        """What `about` and `arrays` were taken from."""
        heads = [
            Head(h["after"], tuple(h["replayed"]), h["share"], arrays[f"{i}.weight"], arrays[f"{i}.bias"])
            for i, h in enumerate(about["heads"])
        ]
        return EarlyExit(inner, heads, Certificate(**about["certificate"]))

    def describe(self) -> dict[str, Any]:
        known = super().describe()
        size = sum(head.weight.size + head.bias.size for head in self.heads)
        return {**known, "parameters": known["parameters"] + size, "bytes": known["bytes"] + 4 * size}


class RandomExit(EarlyExit):
    """As many rows leaving at each head, `shares` of those that come to it, whichever they are: what sureness is
    compared with.

    Which ones follows from what the head says of the batch and the seed, so that a batch is answered alike each time.
    """

    called = "early exits at random"

    def __init__(self, like: EarlyExit, shares: Sequence[float], seed: int) -> None:
        super().__init__(like.inner, like.heads, like.certificate)
        self.shares, self.seed = tuple(map(float, shares)), int(seed)
        self.told = {**self.told, "at_random": list(self.shares), "seed": self.seed}

    def _leaves(self, i: int, logits: torch.Tensor) -> torch.Tensor:
        digest = hashlib.blake2b(logits.cpu().numpy().tobytes(), digest_size=8).digest()
        drawn = np.random.default_rng([self.seed, i, int.from_bytes(digest, "little")]).random(len(logits))
        return torch.from_numpy(drawn < self.shares[i]).to(logits.device)


class _Leaving(Exception):
    """Some rows leave at a head: `leave` (b,), with its `logits` (b, K); `output`: what the block gave, of all rows."""

    def __init__(self, head: int, leave: torch.Tensor, logits: torch.Tensor, output: Any) -> None:
        super().__init__(head)
        self.head, self.leave, self.logits, self.output = head, leave, logits, output


def seen(
    inner: TorchModel, names: Sequence[str], batch: Any
) -> tuple[Float[np.ndarray, "b K"], list[Float[np.ndarray, "b d"]]]:
    """The net's logits for a batch, and what each of these blocks made of its rows, pooled."""
    with evaluating(inner.module), torch.inference_mode():
        tensors = place(to_tensors(batch, inner.preprocess), reference(inner.module))
        widths: list[int] = []

        def run(part: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
            found: list[torch.Tensor] = []
            mask = _mask(part)

            def keep(_: nn.Module, __: Any, output: Any) -> None:
                found.append(pooled(first_tensor(output), mask).clone())

            hooks = [inner.module.get_submodule(name).register_forward_hook(keep) for name in names]
            try:
                raw = call(inner.module, part)
            finally:
                for hook in hooks:
                    hook.remove()
            widths[:] = [each.shape[1] for each in found]
            return raw, torch.cat(found, dim=1)

        raw, found = by_length(run, tensors) if getattr(inner.preprocess, "padded", False) else run(tensors)
        rounded = torch.finfo(raw.dtype).eps if raw.is_floating_point() else 0.0
        logits = inner._logits(raw.float().cpu().numpy(), rows_in(batch), rounded)
        assert found is not None
        return logits, [part.float().cpu().numpy() for part in torch.split(found, widths, dim=1)]


def pooled(states: torch.Tensor, mask: torch.Tensor | None) -> Float[torch.Tensor, "b d"]:
    """What a block gives, as features: (b, d) as it is; (b, places, d) the mean over places, of those in `mask` (b,
    places) where it fits; maps (b, d, …) pooled to two cells a side."""
    if states.ndim == 2:
        return states.float()
    if states.ndim == 3:
        if mask is not None and mask.shape == states.shape[:2]:
            weight = mask[:, :, None].to(states.dtype)
            return ((states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)).float()
        return states.mean(dim=1).float()
    flat = states.flatten(3) if states.ndim > 4 else states
    return nn.functional.adaptive_avg_pool2d(flat.float(), CELLS).flatten(1)


def _mask(tensors: Any) -> torch.Tensor | None:
    return tensors.get("attention_mask") if isinstance(tensors, Mapping) else None


def _rows(value: Any, which: torch.Tensor, b: int) -> Any:
    """The same with these rows of every tensor that has one entry a row."""
    if isinstance(value, torch.Tensor):
        return value[which] if value.ndim and len(value) == b else value
    if isinstance(value, Mapping):
        return {name: _rows(part, which, b) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_rows(part, which, b) for part in value)
    return value
