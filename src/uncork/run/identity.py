"""What a run is of: fingerprints of weights, data, recipe and code, and the report's account of them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

import uncork
from uncork.data.split import Split
from uncork.data.thirds import thirds
from uncork.gather._contract import Context
from uncork.gather._given import fingerprint
from uncork.gather.fingerprints import hash_rows
from uncork.models.adapt import as_model
from uncork.models.code import code_fingerprint
from uncork.schema.artifacts import FingerprintsData, ProfileData
from uncork.schema.metric import Metric
from uncork.schema.subject import SPLITS, THREATS, Subject
from uncork.stats.quantiles import median


def identity(
    context: Context, prints: FingerprintsData, source: dict[str, Any], *, describe_only: bool
) -> dict[str, Any]:
    """The content of subject.json.

    What was labelled anew stands apart from the fingerprints: nothing that is stored depends on it, so that it can be
    brought to a run that is there already.
    """
    subject = context.subject
    fingerprints = {"model": context.model.fingerprint(), "metric": metric_key(subject.metric)}
    for name in SPLITS:
        split = getattr(subject, name)
        if split is not None and not (name == "test" and split is subject.validation):
            fingerprints[name] = rows_hash(getattr(prints, name), split.y, in_order=True)
            if split.groups is not None:
                groups = np.unique(split.groups, return_inverse=True)[1].astype(np.int64)
                fingerprints[f"{name} groups"] = _hash(groups.tobytes()).hex()
    fingerprints |= _beside(subject, context.facts.task)
    if subject.classes:  # behaviours are stated of them by name
        fingerprints["classes"] = code_fingerprint(list(subject.classes))
    if subject.behaviours:
        fingerprints["behaviours"] = code_fingerprint([vars(behaviour) for behaviour in subject.behaviours])
    for threat in THREATS:
        if threat in context.facts.require:
            fingerprints[threat] = repr(context.facts.require[threat])
    recipe = subject.recipe
    if recipe is not None:
        fingerprints["recipe"] = (
            str(recipe.describe()) if hasattr(recipe, "describe") else f"callable {code_fingerprint(recipe)}"
        )
    if subject.preprocess is not None:
        fingerprints["preprocess"] = code_fingerprint(subject.preprocess)
    if context.given is not None:
        fingerprints["pool"] = fingerprint(context.given)
    return {
        "name": subject.name,
        "fingerprints": fingerprints,
        "version": uncork.__version__,
        "seed": context.seed,
        "describe_only": describe_only,
        "relabelled": ""
        if context.relabelled is None
        else _hash(b"".join(a.tobytes() for a in context.relabelled)).hex(),
        "labels": _labels(context.labels),
        "source": source,
    }


def _labels(labels: int | tuple[np.ndarray, np.ndarray] | None) -> str:
    """How many labels of shifted were used, or a hash of those that were brought."""
    if isinstance(labels, tuple):
        return _hash(b"".join(a.tobytes() for a in labels)).hex()
    return "" if labels is None else str(labels)


def _beside(subject: Subject, task: str) -> dict[str, str]:
    """Of what stands beside the model and its own splits."""
    found = {}
    for name in ("strangers", "shifted", "unlabelled"):
        if getattr(subject, name) is not None:
            found[name] = _hash(hash_rows(getattr(subject, name)).tobytes()).hex()
    if subject.shifted is not None:
        found |= _of_shifted(subject)
    for name, backbone in (subject.backbones or {}).items():
        found[f"backbone {name}"] = as_model(backbone, task).fingerprint()
    return found


def _of_shifted(subject: Subject) -> dict[str, str]:
    """Labels; groups, times and ids, by which the rows are cut in thirds and paired with validation's."""
    split, validation = subject.shifted, subject.validation
    beside = {
        "labels": split.y,
        "times": split.times,
        "groups": None if split.groups is None else split.groups.astype(str),
    }
    if split.has_ids:
        beside |= {"ids": split.ids.astype(str), "ids of validation": validation.ids.astype(str)}
    return {f"shifted {name}": _hash(part.tobytes()).hex() for name, part in beside.items() if part is not None}


def metric_key(metric: Metric) -> str:
    """What tells one metric from another: its description, direction and, of a callable, the code."""
    code = code_fingerprint(metric.spec) if callable(metric.spec) else ""
    return f"{metric.describe()} higher_is_better={metric.higher_is_better} {code}".rstrip()


def rows_hash(hashes: np.ndarray, y: np.ndarray, *, in_order: bool) -> str:
    """One hash of many rows and their labels; `in_order=False` makes it blind to their order."""
    labels = np.ascontiguousarray(y, np.float64 if y.dtype.kind == "f" else np.int64).view(np.uint64)
    table = np.column_stack([np.ascontiguousarray(hashes).view(np.uint64), labels])
    if not in_order:
        table = table[np.lexsort(table.T)]
    return _hash(table.tobytes()).hex()


def test_rows(context: Context) -> str:
    """What the ledger knows a test split by, whatever the order and number type of its rows and whatever the run.

    Predictions are no rows: a split of them goes by its ids and labels, or by its labels in order.
    """
    return _known_by(context, context.split("test"))


def shifted_rows(context: Context) -> str:
    """What the ledger knows by the third of the shifted rows on which remedies are proven, as `test_rows`."""
    shifted = context.split("shifted")
    return _known_by(context, shifted.subset(thirds(shifted).prove))


def _known_by(context: Context, split: Split) -> str:
    assert split.y is not None
    y = split.y.astype(np.float32) if context.facts.task == "regression" else split.y
    if context.model.has_inputs:
        return rows_hash(hash_rows(split, _ledger_type(split)), y, in_order=False)
    names = [str(name) for name in split.ids] if split.has_ids else [""] * len(split)
    hashes = np.frombuffer(b"".join(_hash(name.encode()) for name in names), np.uint8).reshape(-1, 16)
    return rows_hash(hashes, y, in_order=not split.has_ids)


def answers_key(context: Context) -> str:
    """What tells one model's answers on test from another's: the model, and of predictions the predictions."""
    told = context.model.fingerprint()
    return told if context.model.has_inputs else f"{told}-{_hash(hash_rows(context.split('test')).tobytes()).hex()}"


def _ledger_type(split: Split) -> np.dtype[Any]:
    """float32 or int64, whatever the rows came in: one type for all runs, and too short rather than too long."""
    kind = getattr(getattr(split.take(np.arange(1)), "dtype", None), "kind", "f")
    return np.dtype(np.int64 if kind in "biu" else np.float32)


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


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


def describe(
    context: Context, delta: float, notes: Sequence[str], profile: ProfileData | None, *, describe_only: bool
) -> dict[str, Any]:
    """The report's account of the subject."""
    facts = context.facts
    about: dict[str, Any] = {
        "name": context.subject.name or "subject",
        "task": facts.task,
        "metric": {**facts.metric.describe(), "delta": delta},
        "classes": list(facts.classes),
        "splits": facts.sizes,
        "recipe": facts.has_recipe,
        "predictions_only": not facts.has_inputs,
        "describe_only": describe_only,
        "notes": list(notes),
        "model": context.model.describe(),
    }
    if profile is not None and facts.has_inputs:
        about["speed"] = {
            "one row": asdict(median(1000 * profile.single_seconds, unit="ms")),
            f"each row of {profile.batch_size}": asdict(
                median(1000 * profile.batch_seconds / profile.batch_size, unit="ms")
            ),
            "device": profile.device,
        }
    return about
