"""The audit of the pinned packages: a known vulnerability fails it, an unreachable database does not."""

from __future__ import annotations

from typing import Any

from tests.audit_constraints import FILES, ROOT, verdict

SAFE = {"name": "safe", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3.0"]}]}


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


def test_a_known_vulnerability_fails_with_its_remedy() -> None:
    safe, lines = verdict("c.txt", report(SAFE, BAD, UNKNOWN))
    assert not safe
    assert lines == [
        "c.txt: unknown is not in the database",
        "c.txt: bad 2.0 has CVE-1; pin 2.1 or 3.0",
        "c.txt: 2 packages checked, 1 known vulnerabilities",
    ]
    assert verdict("c.txt", report(SAFE)) == (True, ["c.txt: 1 packages checked, 0 known vulnerabilities"])


def test_a_database_that_cannot_be_reached_is_reported() -> None:
    skipped = (True, ["c.txt: SKIPPED, the database of vulnerabilities cannot be reached"])
    assert verdict("c.txt", None) == skipped
    assert verdict("c.txt", report(UNKNOWN)) == skipped


def test_each_line_of_the_constraints_is_a_pin() -> None:
    lines = [line for name in FILES for line in (ROOT / name).read_text().splitlines()]
    assert [line for line in lines if line.count("==") != 1 or " " in line] == []
