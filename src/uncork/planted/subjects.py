"""A small CNN on real digits, healthy or with a fault that is known because it was put there."""

from __future__ import annotations

from uncork import BadInput, Subject
from uncork.planted.data import SETS
from uncork.planted.faults import FAULTS
from uncork.planted.ground import lay


def planted(fault: str | None = None, *, data: str = "mnist-5k", seed: int = 0) -> Subject:
    """A small CNN on real digits, trained by its recipe, with one fault of `FAULTS` at its usual severity, or none.

    `data`: "mnist-5k" (1,000 rows of train, 2,000 of validation, 2,000 of test) or "digits" (600, 600, 597).
    Raises BadInput for a fault or data set that there isn't.
    """
    if fault is not None and fault not in FAULTS:
        raise BadInput(f"there is no fault {fault!r} to plant: choose from {', '.join(FAULTS)}")
    if data not in SETS:
        raise BadInput(f"there is no data set {data!r}: choose from {', '.join(SETS)}")
    ground = lay(SETS[data], seed)
    if fault is not None:
        ground = FAULTS[fault].plant(ground, FAULTS[fault].usual).faulty
    return ground.subject(ground.fit(seed), name=f"demo-{fault}" if fault else "demo")
