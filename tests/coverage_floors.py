"""Compare the coverage of each package with its floor in `coverage_floors.json`.

`make coverage` writes the report, and runs this with it. `python -m tests.coverage_floors --measure` makes what the last
report found the floors. A floor rises when the coverage does; it is lowered only with a reason.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

REPORT = Path(".coverage.json")
FLOORS = Path(__file__).with_suffix(".json")
"""The least percentage of covered lines, by package."""
ALLOWANCE = 1.0
"""Percentage points by which the coverage may vary from run to run."""
NOT_MEASURED = (
    "no floors have been measured; run `make coverage` and `python -m tests.coverage_floors --measure`"
)


def package_of(path: str) -> str:
    """Return the package of a module: `victor_engine.runs`, or `victor_engine` for a module outside packages."""
    return ".".join(Path(path).parts[:-1][:2])


def percentages(report: dict[str, Any]) -> dict[str, float]:
    """Return the percentage of covered lines of each package."""
    covered: defaultdict[str, int] = defaultdict(int)
    lines: defaultdict[str, int] = defaultdict(int)
    for path, module in report["files"].items():
        covered[package_of(path)] += module["summary"]["covered_lines"]
        lines[package_of(path)] += module["summary"]["num_statements"]
    return {name: 100 * covered[name] / count for name, count in sorted(lines.items()) if count}


def floors_of(found: dict[str, float]) -> dict[str, int]:
    """Return the floors for these percentages."""
    return {name: max(0, math.floor(percentage - ALLOWANCE)) for name, percentage in found.items()}


def failures(found: dict[str, float], floors: dict[str, int]) -> list[str]:
    """Return a line for each package below its floor, without a floor, or without a module."""
    if not floors:
        return [NOT_MEASURED]
    below = [
        f"{name}: {found[name]:.1f} % of the lines are covered, the floor is {floor} %; test what is new, or give a"
        f" reason for a lower floor in {FLOORS.name}"
        for name, floor in floors.items()
        if name in found and found[name] < floor
    ]
    new = [
        f"{name}: {found[name]:.1f} %, and no floor; add one to {FLOORS.name}"
        for name in found
        if name not in floors
    ]
    gone = [
        f"{name}: not measured; remove its floor from {FLOORS.name}" for name in floors if name not in found
    ]
    return below + new + gone


def main(words: list[str]) -> int:
    """Print the percentages. Return 1 if a package is below its floor; with `--measure`, write the floors."""
    if not REPORT.exists():
        print(f"{REPORT} does not exist; run `make coverage`", file=sys.stderr)
        return 1
    found = percentages(json.loads(REPORT.read_text()))
    if words == ["--measure"]:
        FLOORS.write_text(json.dumps(floors_of(found), indent=2) + "\n")
    floors: dict[str, int] = json.loads(FLOORS.read_text())
    for name, percentage in found.items():
        print(f"{name:32} {percentage:5.1f} %  floor {floors.get(name, 0):3} %")
    wrong = failures(found, floors)
    for line in wrong:
        print(f"coverage: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
