"""The shifted rows that a person is asked to label, as a table to be filled in and given back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from uncork.gather.store import write_atomically
from uncork.schema.shifted import ShiftedLabelsData

NAME = "to_label.csv"


def write_to_label(folder: Path, labels: ShiftedLabelsData | None) -> None:
    """Writes `to_label.csv`, a line for each random row to label, its label left empty; nothing where none is asked.

    `uncork audit --labels` takes it once it is filled in.
    """
    if labels is None or not labels.asked:
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "label"])
    table.writerows([id, ""] for id in labels.asked)
    write_atomically(folder / NAME, text.getvalue())
