"""The run folder: subject.json, plan.json, artifacts/, report.json, report.html."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from uncork.gather._contract import Training
from uncork.gather.store import Store, explained, write_atomically
from uncork.report.html import render
from uncork.run.beside import beside
from uncork.schema.errors import BadInput
from uncork.schema.report import Report


class RunFolder:
    """One audit on disk. Every file is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = [place for place in (path, *path.parents) if not place.exists()]

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any]) -> tuple[RunFolder, bool]:
        """(the folder, whether it is new). Raises BadInput where it holds another subject, or can't be written."""
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise BadInput(f"{path} is a file: choose another folder with --out")
        # What a stopped run left behind before it had written subject.json whole is nothing.
        new = not path.exists() or all(file.name.startswith(".subject.json.") for file in path.iterdir())
        if not new:
            folder._refuse_another(identity)
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / "subject.json", json.dumps(identity, indent=1, ensure_ascii=False))
        with explained(path):
            (path / "artifacts").mkdir(exist_ok=True)
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
        before, now = self.about(), identity["fingerprints"]
        if before["describe_only"] != identity["describe_only"]:
            how = "with" if before["describe_only"] else "without"
            raise BadInput(f"{self.path} holds a run {how} --describe-only: choose another folder with --out")
        was = before["fingerprints"]
        changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        if changed:
            verb = "differs" if len(changed) == 1 else "differ"
            raise BadInput(
                f"{self.path} holds the run of another subject ({', '.join(changed)} {verb}): audit this one into a "
                f"folder of its own with --out, or delete {self.path}"
            )

    def store(self, identity: dict[str, Any]) -> Store:
        """Artifacts of this subject, gathered by this version with this seed."""
        about = {k: identity[k] for k in ("fingerprints", "version", "seed", "describe_only")}
        return Store(self.path / "artifacts", json.dumps(about, sort_keys=True))

    def about(self) -> dict[str, Any]:
        """subject.json. Raises BadInput where it is missing or damaged."""
        path = self.path / "subject.json"
        way_out = "audit again into another folder with --out"
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise BadInput(f"{self.path} holds no run (no subject.json): give the folder of an audit") from None
        except (OSError, ValueError) as e:
            raise BadInput(f"{path} is damaged ({e}): {way_out}") from None
        parts = {"fingerprints": dict, "source": dict, "describe_only": bool}
        for name, kind in parts.items():
            if not isinstance(content, dict) or not isinstance(content.get(name), kind):
                raise BadInput(f"{path} is damaged (it says nothing of {name}): {way_out}")
        return content

    def timed(self) -> dict[str, Any] | None:
        """What an earlier run's prices rested on; None where there is none, or plan.json is damaged."""
        try:
            found = json.loads((self.path / "plan.json").read_text())["timed"]
            rows = float(found["seconds_per_row"])
            training = {str(arm): Training(float(a), int(b)) for arm, (a, b) in found["training"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return {"seconds_per_row": rows, "training": training}

    def write(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, json.dumps(content, indent=1, ensure_ascii=False))

    def save(self, report: Report) -> Report:
        """Writes report.json and report.html; the returned report knows its folder."""
        placed = dataclasses.replace(report, folder=str(self.path))
        write_atomically(self.path / "report.json", placed.to_json())
        write_atomically(self.path / "report.html", render(placed, beside(self.path)))
        return placed

    def load(self) -> Report:
        """The report, as it was written."""
        path = self.path / "report.json"
        self.about()  # a folder that is no run is told apart from a run that was stopped
        if not path.exists():
            raise BadInput(f"{self.path} holds no report.json: its audit was stopped; give it again to finish it")
        text = path.read_bytes().decode(errors="replace")
        return dataclasses.replace(Report.from_json(text, str(path)), folder=str(self.path))

    def with_earlier_treatments(self, report: Report) -> Report:
        """A report of the same subject audited again keeps what `treat` had found in this folder."""
        if not (self.path / "report.json").exists():
            return report
        try:
            earlier = self.load()
        except BadInput:  # damaged, or of another version: the new one takes its place
            return report
        return dataclasses.replace(report, treatments=earlier.treatments, verification=earlier.verification)

    def discard(self) -> None:
        """Takes away what this call made, when its subject turned out to be unusable."""
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in self._new[1:]:
            with contextlib.suppress(OSError):
                parent.rmdir()
