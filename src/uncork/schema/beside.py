"""What stands beside report.json when a run is shown as a page: manuals, rows as they look, files to download."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uncork.schema.case import Picture, Shown

#: Of a probe or remedy: section → text, as in its docstring.
Manual = Mapping[str, str]


@dataclass(frozen=True)
class Mistake:
    """A row of validation that the model gets wrong. `probability`: of what it decided."""

    row: int
    label: str
    decided: str
    probability: float


@dataclass(frozen=True)
class Cases:
    """Rows that findings name, as they look: rows.json of a run.

    `rows`: split → position → (id, how it looks). `mistakes`: of validation, the surest first.
    """

    rows: Mapping[str, Mapping[int, tuple[str, Shown]]] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()

    def to_json(self) -> str:
        """Text of rows.json."""
        rows = {
            split: {str(at): {"id": id, **_packed(shown)} for at, (id, shown) in there.items()}
            for split, there in self.rows.items()
        }
        return json.dumps({"rows": rows, "mistakes": [vars(m) for m in self.mistakes]}, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Cases:
        """Raises ValueError, KeyError, TypeError or AttributeError where the text is no rows.json."""
        content = json.loads(text)
        rows = {
            split: {int(at): (str(row["id"]), _unpacked(row)) for at, row in there.items()}
            for split, there in content["rows"].items()
        }
        return Cases(rows, tuple(Mistake(**m) for m in content["mistakes"]))


@dataclass(frozen=True)
class Beside:
    """All of it; a page is made without what is missing. `files`: name → text, offered for download."""

    probes: Mapping[str, Manual] = field(default_factory=dict)
    remedies: Mapping[str, Manual] = field(default_factory=dict)
    cases: Cases = field(default_factory=Cases)
    files: Mapping[str, str] = field(default_factory=dict)


def sections(doc: str) -> dict[str, str]:
    """Section → text of a docstring whose headings are underlined with dashes."""
    lines = doc.splitlines()
    heads = [i for i, line in enumerate(lines[:-1]) if line.strip() and lines[i + 1].strip("-") == "" != lines[i + 1]]
    ends = [*heads[1:], len(lines)]
    return {lines[i]: "\n".join(lines[i + 2 : end]).strip() for i, end in zip(heads, ends, strict=False)}


def _packed(shown: Shown) -> dict[str, Any]:
    if shown.picture is not None:
        p = shown.picture
        return {"height": p.height, "width": p.width, "rgb": base64.b64encode(p.rgb).decode()}
    return {"text": shown.text} if shown.text else {"values": [list(pair) for pair in shown.values]}


def _unpacked(row: Mapping[str, Any]) -> Shown:
    if "rgb" in row:
        rgb = base64.b64decode(row["rgb"])
        if len(rgb) != 3 * row["height"] * row["width"]:
            raise ValueError("a picture has not as many bytes as pixels")
        return Shown(picture=Picture(int(row["height"]), int(row["width"]), rgb))
    return Shown(text=str(row.get("text", "")), values=tuple((str(n), v) for n, v in row.get("values", ())))
