"""Strangers made by hand, for examples and tests: no model, no training."""

from __future__ import annotations

import numpy as np

from uncork.schema.strangers import KINDS, StrangersData


def strangers(
    n: int = 1000,
    m: int = 400,
    *,
    apart: float = 0.0,
    kind: str = "given",
    classes: int = 0,
    beside: float | None = None,
    seed: int = 0,
    missing: dict[str, str] | None = None,
) -> StrangersData:
    """n known rows and m strangers whose −ln of the largest probability is log-normal, ln of it larger by `apart` s.d.

    AUROC: Φ(apart / √2). `beside`: a second score, "knn", normal and as much larger by itself. `classes`: so many
    models trained without a class, each with n known rows and m strangers; `kind` is then "left-out".
    """
    rng = np.random.default_rng((seed, 17))
    sizes = [(0, n, 0), *((c + 1, n, m) for c in range(classes))] if classes else [(0, n, m)]
    model = np.concatenate([np.full(known + others, c) for c, known, others in sizes]).astype(np.int16)
    stranger = np.concatenate([np.arange(known + others) >= known for _, known, others in sizes])
    size = len(stranger)
    scores = [np.exp(rng.normal(size=size) + apart * stranger - 3)]
    if beside is not None:
        scores.append(rng.normal(size=size) + beside * stranger)
    return StrangersData(
        scores=("probability", "knn")[: len(scores)],
        strangeness=np.stack(scores, axis=1).astype(np.float32),
        kind=np.where(stranger, KINDS.index("left-out" if classes else kind), 0).astype(np.int8),
        model=model,
        answered=np.ones(size, bool),
        chooses=rng.permutation(size) % 2 == 0,
        clusters=np.arange(size),
        left_out=tuple(f"class {c}" for c in range(classes)),
        missing=missing or {},
    )
