"""The subjects that are treated: those of the diagnosis benchmark's open half, and five larger ones as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.diagnosis.cases import PlantedCase, design
from benchmarks.diagnosis.sets import SETS
from benchmarks.pool.members import cut
from uncork.planted.faults import Planted
from uncork.planted.ground import lay

_TABLE = {"batch_size": 128, "lr": 1e-3, "dropout": 0.1}
#: MLPs of two hidden layers of 64 units, with what one would set at first: nothing is planted, nothing was searched.
REAL = {
    "digits": cut(SETS["digits"], flat=True, train=1000, validation=397, test=400, epochs=40, lr=1e-3),
    "agnews": cut(SETS["agnews"], train=8000, validation=3000, test=6000, batch_size=128, epochs=5, dropout=0.3),
    "covtype": cut(SETS["covtype"], train=6000, validation=2000, test=2000, epochs=60, **_TABLE),
    "bank": cut(SETS["bank"], train=8000, validation=4000, test=10_000, epochs=15, **_TABLE),
    "california": cut(SETS["california"], train=8000, validation=4000, test=8000, epochs=40, **_TABLE),
}
QUICK = ("digits", "breast-cancer")


@dataclass(frozen=True)
class RealCase(PlantedCase):
    """A subject with whatever faults it has."""

    @property
    def key(self) -> str:
        return self.data

    @property
    def group(self) -> str:
        return f"{self.data}/real"

    def planted(self) -> Planted:
        ground = lay(REAL[self.data], self.seed)
        return Planted(ground, ground)


def cases(*, quick: bool = False) -> dict[str, list[PlantedCase]]:
    """The cases of each part, in an order that shows a fair sample of all where it is stopped."""
    opened = [case for case in design() if not case.frozen]
    found = {
        "planted": [case for case in opened if case.column == "quality"],
        "healthy": [case for case in opened if case.column == "healthy"],
        "real": [RealCase(name, "", 0, seed=0) for name in REAL],
    }
    mixed = {part: [of[i] for i in np.random.default_rng(0).permutation(len(of))] for part, of in found.items()}
    return {part: [case for case in of if not quick or case.data in QUICK] for part, of in mixed.items()}
