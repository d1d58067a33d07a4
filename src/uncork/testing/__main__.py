"""`python -m uncork.testing`: every probe, remedy and gatherer documents all its sections; the schema is current."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from uncork.gather._contract import gatherers
from uncork.probes._contract import registered
from uncork.remedies._contract import remedies
from uncork.schema.contract import Gatherer, Probe, Remedy
from uncork.schema.report import json_schema
from uncork.testing.documentation import missing_sections

SCHEMA = Path("docs/report.schema.json")


def main(arguments: list[str]) -> int:
    current = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if "--write-schema" in arguments:
        SCHEMA.write_text(current)
    units: list[Probe | Remedy | Gatherer] = [*registered().values(), *remedies().values(), *gatherers().values()]
    faults = [
        f"{unit.id}: no section “{section}”" for unit in units for section in missing_sections(unit.doc, unit.sections)
    ]
    if SCHEMA.exists() and SCHEMA.read_text() != current:
        faults.append(f"{SCHEMA} has drifted from the code: make schema")
    print("\n".join(faults) or "every probe, remedy and gatherer documents all its sections")  # noqa: T201
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
