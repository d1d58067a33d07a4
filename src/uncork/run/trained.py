"""Models that a treatment has trained, on disk, so that a treatment that was stopped goes on from there."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uncork
from uncork.gather._contract import Fan
from uncork.gather.fingerprints import hash_rows
from uncork.gather.store import checksum, write_atomically
from uncork.models.code import code_fingerprint
from uncork.models.weights import load_weights, packed
from uncork.remedies._contract import Treated
from uncork.schema.errors import BadInput
from uncork.train.recipe import Recipe


class Trainer:
    """Trains models side by side, each kept in `folder` as soon as it is there, named by its key and a checksum.

    Kept are torch modules that a Recipe builds; other models are trained again by a treatment that goes on.
    """

    def __init__(self, fan: Fan, folder: Path) -> None:
        self._fan, self._folder = fan, folder

    def __call__(self, jobs: Sequence[tuple[Treated, int]], about: str) -> list[Any]:
        """The model of each (treated, seed), in their order. `about`: what tells these jobs from those of others."""
        names = [_name(treated, seed, about) for treated, seed in jobs]
        models = [_kept(self._folder, name, treated) for name, (treated, _) in zip(names, jobs, strict=True)]
        missing = [i for i, model in enumerate(models) if model is None]
        for i, model in self._fan.each(_train, ((i, *jobs[i]) for i in missing)):
            models[i] = model
            _keep(self._folder, names[i], model)
        return models


def _train(position: int, treated: Treated, seed: int) -> tuple[int, Any]:
    """In a process of its own."""
    assert treated.train is not None
    return position, treated.train(treated.subject, seed)


def _name(treated: Treated, seed: int, about: str) -> str:
    """By everything that training depends on: rows and labels in order, recipe, how it is trained, seed and version.

    "" of what is not kept.
    """
    train, recipe = treated.subject.train, treated.subject.recipe
    if not isinstance(recipe, Recipe):
        return ""
    content = hashlib.blake2b(f"{uncork.__version__}|{about}|{seed}|{treated.changes}".encode(), digest_size=10)
    for part in (recipe.describe(), code_fingerprint(treated.train), train.y.tolist()):
        content.update(str(part).encode())
    content.update(hash_rows(train).tobytes())
    return f"trained-{content.hexdigest()}"


def _kept(folder: Path, name: str, treated: Treated) -> Any | None:
    """None where there is none that is whole: it is then trained again."""
    recipe = treated.subject.recipe
    if name:
        for path in sorted(folder.glob(f"{name}-*.safetensors")):
            if path.stem.rsplit("-", 1)[1] == checksum(path.read_bytes()):
                with contextlib.suppress(BadInput):  # of a net that the recipe doesn't build
                    return load_weights(recipe.make(), path).eval()
    return None


def _keep(folder: Path, name: str, model: Any) -> None:
    if name and hasattr(model, "state_dict"):
        content = packed(model)
        write_atomically(folder / f"{name}-{checksum(content)}.safetensors", content)
