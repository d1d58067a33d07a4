"""The treated model on disk: plain weights and the changes in words, nothing to unpickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uncork.gather.store import explained, write_atomically
from uncork.models.offset import Offset
from uncork.models.temperature import Tempered
from uncork.schema.subject import Subject


def save_treated(folder: Path, subject: Subject, changes: list[str]) -> str:
    """Writes `treated/treated.json` and, for a torch module, `treated/weights.safetensors`; returns the folder's name.

    The weights load with `uncork.load_weights(module, path)`; logits are then divided by treated.json's `temperature`,
    and its `offset`, one number for each class or null, is added.
    """
    place = folder / "treated"
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
    offset: Any = None
    temperature, model = 1.0, subject.model
    while isinstance(model, Tempered | Offset):
        if isinstance(model, Tempered):
            temperature *= model.temperature
        else:
            offset = model.offset / temperature + (0.0 if offset is None else offset)
        model = model.inner
    module: Any = getattr(model, "module", model)
    about: dict[str, Any] = {"changes": changes, "temperature": temperature, "weights": None}
    about["offset"] = None if offset is None else offset.tolist()
    if hasattr(module, "state_dict"):
        from safetensors.torch import save

        state = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
        write_atomically(place / "weights.safetensors", save(state))
        about["weights"] = "weights.safetensors"
    write_atomically(place / "treated.json", json.dumps(about, indent=1, ensure_ascii=False))
    return place.name
