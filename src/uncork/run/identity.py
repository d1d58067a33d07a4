"""What makes two runs the same: fingerprints of weights, data, recipe and code."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import numpy as np

import uncork
from uncork.gather._contract import Context
from uncork.gather.fingerprints import hash_rows
from uncork.models.code import code_fingerprint
from uncork.schema.artifacts import FingerprintsData
from uncork.schema.subject import SPLITS


def identity(
    context: Context, prints: FingerprintsData, source: dict[str, Any], *, describe_only: bool
) -> dict[str, Any]:
    """The content of subject.json."""
    subject = context.subject
    fingerprints = {"model": context.model.fingerprint(), "metric": str(subject.metric.describe())}
    for name in SPLITS:
        split = getattr(subject, name)
        if split is not None:
            fingerprints[name] = rows_hash(getattr(prints, name), split.y, in_order=True)
    recipe = subject.recipe
    if recipe is not None:
        fingerprints["recipe"] = (
            str(recipe.describe()) if hasattr(recipe, "describe") else f"callable {code_fingerprint(recipe)}"
        )
    if subject.preprocess is not None:
        fingerprints["preprocess"] = code_fingerprint(subject.preprocess)
    return {
        "name": subject.name,
        "fingerprints": fingerprints,
        "version": uncork.__version__,
        "seed": context.seed,
        "describe_only": describe_only,
        "source": source,
    }


def rows_hash(hashes: np.ndarray, y: np.ndarray, *, in_order: bool) -> str:
    """One hash of many rows and their labels; `in_order=False` makes it blind to their order."""
    rows = [h.tobytes() + str(label).encode() for h, label in zip(hashes, y.tolist(), strict=True)]
    digest = hashlib.blake2b(digest_size=16)
    for row in rows if in_order else sorted(rows):
        digest.update(row)
    return digest.hexdigest()


def test_rows(context: Context) -> str:
    """What the ledger knows a test split by, whatever the order of its rows and whatever the run."""
    split = context.split("test")
    assert split.y is not None
    return rows_hash(hash_rows(split), split.y, in_order=False)


def environment() -> dict[str, Any]:
    """Versions and kind of machine; nothing that names it or its user."""
    from importlib.metadata import version

    return {
        "uncork": uncork.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
    }
