"""The run folder: subject.json, plan.json, artifacts/, report.json, report.html."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from uncork.gather.store import Store, explained, write_atomically
from uncork.report.html import render
from uncork.schema.errors import BadInput
from uncork.schema.report import Report


class RunFolder:
    """One audit on disk. Every file is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any]) -> tuple[RunFolder, bool]:
        """(the folder, whether it is new). Raises BadInput where it holds another subject, or can't be written."""
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise BadInput(f"{path} is a file: choose another folder with --out")
        new = not path.exists() or not any(path.iterdir())
        if not new:
            folder._refuse_another(identity)
        with explained(path):
            (path / "artifacts").mkdir(parents=True, exist_ok=True)
        write_atomically(path / "subject.json", json.dumps(identity, indent=1, ensure_ascii=False))
        return folder, new

    @classmethod
    def at(cls, path: str | Path) -> RunFolder:
        """A folder that is there already. Raises BadInput where it is none."""
        if not Path(path).is_dir():
            raise BadInput(f"there is no folder {path}: give the folder of a run, such as runs/demo")
        return cls(Path(path))

    def _refuse_another(self, identity: dict[str, Any]) -> None:
        if not (self.path / "subject.json").exists():
            raise BadInput(f"{self.path} is not empty and holds no run: choose an empty folder with --out")
        before = self.read("subject.json")
        changed = [
            name
            for name, value in identity["fingerprints"].items()
            if before.get("fingerprints", {}).get(name) != value
        ]
        if changed:
            raise BadInput(
                f"{self.path} holds the run of another subject ({', '.join(changed)} differ): choose another folder "
                "with --out, or delete this one"
            )

    def store(self, identity: dict[str, Any]) -> Store:
        """Artifacts of this subject, gathered by this version with this seed."""
        about = {k: identity[k] for k in ("fingerprints", "version", "seed", "describe_only")}
        return Store(self.path / "artifacts", json.dumps(about, sort_keys=True))

    def read(self, name: str) -> dict[str, Any]:
        """One JSON file. Raises BadInput where it is missing or damaged."""
        path = self.path / name
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise BadInput(f"{self.path} holds no {name}: give the folder of a run, such as runs/demo") from None
        except (OSError, ValueError) as e:
            raise BadInput(f"{path} can't be read ({e}): run the audit again into another folder") from None
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, json.dumps(content, indent=1, ensure_ascii=False))

    def save(self, report: Report) -> Report:
        """Writes report.json and report.html; the returned report knows its folder."""
        placed = dataclasses.replace(report, folder=str(self.path))
        write_atomically(self.path / "report.json", placed.to_json())
        write_atomically(self.path / "report.html", render(placed))
        return placed

    def load(self) -> Report:
        """The report, as it was written."""
        path = self.path / "report.json"
        if not path.exists():
            raise BadInput(f"{self.path} holds no report.json: run the audit first, or give it again if it was stopped")
        return dataclasses.replace(Report.from_json(path.read_text(), str(path)), folder=str(self.path))

    def discard(self) -> None:
        """Takes a folder away that this call made, when its subject turned out to be unusable."""
        shutil.rmtree(self.path, ignore_errors=True)
