"""The facts that a load of the workspace compares with its files."""

from __future__ import annotations

import sqlite3

import msgspec

from victor_engine.api import ScheduleSpec


def deprecation(
    connection: sqlite3.Connection, definition_id: int
) -> tuple[str | None, str | None, int | None]:
    """Return the message, the successor and the planned removal (microseconds) of a version."""
    message, successor, removal_at = connection.execute(
        "SELECT deprecated, successor, removal_at FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return message, successor, removal_at


def deprecation_by_file(connection: sqlite3.Connection, definition_id: int) -> str | None:
    """Return the message of a deprecation that a file declared, not a user; None if there is none."""
    row = connection.execute(
        "SELECT deprecated FROM definitions WHERE id = ? AND deprecated_by IS NULL AND removed IS NULL",
        (definition_id,),
    ).fetchone()
    return None if row is None else row[0]


def declared_spec(connection: sqlite3.Connection, schedule_id: str) -> ScheduleSpec | None:
    """Return the spec that a file declares for a schedule. None if no file does, or the schedule is removed."""
    row = connection.execute(
        "SELECT file_spec FROM schedules WHERE id = ? AND file_spec IS NOT NULL AND removed_at IS NULL",
        (schedule_id,),
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=ScheduleSpec)


def files_with_schedules(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the files, newest first, of each workflow that has schedules and that only files define."""
    found: dict[str, list[str]] = {}
    for workflow, path in connection.execute(
        "SELECT workflow, path FROM definitions WHERE workflow IN"
        " (SELECT workflow FROM schedules WHERE removed_at IS NULL)"
        " AND workflow NOT IN (SELECT workflow FROM definitions WHERE path IS NULL) ORDER BY id DESC"
    ):
        found.setdefault(workflow, []).append(path)
    return found


def vanished_schedules(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the schedules that are disabled because their workflow is gone, by workflow."""
    found: dict[str, list[str]] = {}
    for workflow, schedule_id in connection.execute(
        "SELECT workflow, id FROM schedules WHERE vanished IS NOT NULL ORDER BY id"
    ):
        found.setdefault(workflow, []).append(schedule_id)
    return found
