"""Report known vulnerabilities of the pinned packages: ``python -m tests.audit_constraints``, as `make audit` does.

It needs pip-audit. If the database cannot be reached, it says so and succeeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = ("constraints.txt", "constraints-bench.txt", "constraints-audit.txt")


def verdict(name: str, report: Mapping[str, Any] | None) -> tuple[bool, list[str]]:
    """Return whether a file has no known vulnerability, and the lines that say so. None is a report that failed."""
    packages = [] if report is None else report["dependencies"]
    checked = [package for package in packages if "skip_reason" not in package]
    if not checked:
        return True, [f"{name}: SKIPPED, the database of vulnerabilities cannot be reached"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    lines = [f"{name}: {package} is not in the database" for package in unknown]
    found = [(package, each) for package in checked for each in package["vulns"]]
    for package, each in found:
        remedy = (
            f"pin {' or '.join(each['fix_versions'])}" if each["fix_versions"] else "no fixed version exists"
        )
        lines.append(f"{name}: {package['name']} {package['version']} has {each['id']}; {remedy}")
    return not found, [*lines, f"{name}: {len(checked)} packages checked, {len(found)} known vulnerabilities"]


def audit(path: Path) -> Mapping[str, Any] | None:
    """Return the report of pip-audit on the pins of a file; None if it could not make one."""
    options = [
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "10",
    ]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        print(done.stderr[-500:], file=sys.stderr)
        return None
    return report


def main() -> int:
    good = True
    for name in FILES:
        safe, lines = verdict(name, audit(ROOT / name))
        good = good and safe
        print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
