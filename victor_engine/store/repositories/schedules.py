"""The table `schedules`.

A schedule has no column for its status: `ScheduleStatus` follows from `removed_at`, `vanished`, `paused` and its
spec. Only this module writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from victor_engine.api import PauseInfo, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one, expect_rows, expect_unchanged
from victor_engine.store.transaction import Tx

COLUMNS = (
    "id, workflow, spec, file_spec, origin, cursor, next_fire, skip_next, paused, created_at, runs_started,"
    " removed_at, problem, failures, vanished, skip_at"
)
"""The columns that the reading functions return, in this order. Instants are in microseconds; the specs and the
pause are JSON."""

_GET = f"SELECT {COLUMNS} FROM schedules WHERE id = ?"
_PRESENT = f"SELECT {COLUMNS} FROM schedules WHERE removed_at IS NULL"
_DUE = "SELECT id, next_fire FROM schedules WHERE next_fire IS NOT NULL AND removed_at IS NULL"


def _json(spec: ScheduleSpec | None) -> str | None:
    return None if spec is None else msgspec.json.encode(spec).decode()


# --- reading -----------------------------------------------------------------------------------


def find(source: Source, schedule_id: str) -> Any:
    """Return a schedule by its whole id, removed or not; None if there is none."""
    return source.execute(_GET, (schedule_id,)).fetchone()


def some(source: Source, schedule_ids: Sequence[str]) -> list[Any]:
    """Return the schedules with these ids that exist, in no order."""
    marks = ",".join("?" * len(schedule_ids))
    rows: list[Any] = source.execute(
        f"SELECT {COLUMNS} FROM schedules WHERE id IN ({marks})", schedule_ids
    ).fetchall()
    return rows


def present(source: Source) -> list[Any]:
    """Return all schedules that are not removed."""
    rows: list[Any] = source.execute(_PRESENT).fetchall()
    return rows


def moving(source: Source) -> list[Any]:
    """Return the schedules that move fires which a calendar excludes."""
    rows: list[Any] = source.execute(
        f"{_PRESENT} AND json_extract(spec, '$.on_excluded') IS NOT NULL"
    ).fetchall()
    return rows


def completing(source: Source) -> list[str]:
    """Return the ids of the schedules that depend on all runs of a period."""
    rows = source.execute(
        "SELECT id FROM schedules WHERE removed_at IS NULL AND json_extract(spec, '$.after.require') = 'complete'"
    )
    return [schedule_id for (schedule_id,) in rows]


def soonest(source: Source, limit: int) -> tuple[list[Any], int]:
    """Return the schedules that are due next, and how many there are in all."""
    rows = source.execute(
        f"{_PRESENT} ORDER BY next_fire IS NULL, next_fire, id LIMIT ?", (limit,)
    ).fetchall()
    (total,) = source.execute("SELECT COUNT(*) FROM schedules WHERE removed_at IS NULL").fetchone()
    return rows, total


def following(source: Source, workflow: str) -> list[Any]:
    """Return the schedules that depend on a workflow (`after`), by id."""
    rows: list[Any] = source.execute(
        f"{_PRESENT} AND id IN (SELECT schedule_id FROM dependencies WHERE upstream = ?) ORDER BY id",
        (workflow,),
    ).fetchall()
    return rows


def specs_of(source: Source, workflow: str) -> list[tuple[str, ScheduleSpec]]:
    """Return the id and the spec in force of each schedule of a workflow, by id."""
    rows = source.execute(
        "SELECT id, spec FROM schedules WHERE workflow = ? AND removed_at IS NULL ORDER BY id", (workflow,)
    )
    return [(schedule_id, msgspec.json.decode(spec, type=ScheduleSpec)) for schedule_id, spec in rows]


def spec_of(source: Source, schedule_id: str) -> ScheduleSpec | None:
    """Return the spec in force of a schedule, removed or not; None if it does not exist."""
    row = source.execute("SELECT spec FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=ScheduleSpec)


def due(source: Source) -> list[tuple[str, int]]:
    """Return when each schedule is due next, in microseconds."""
    rows: list[tuple[str, int]] = source.execute(_DUE).fetchall()
    return rows


def due_of(source: Source, schedule_id: str) -> int | None:
    """Return when a schedule is due next, in microseconds; None if it is not."""
    row = source.execute(f"{_DUE} AND id = ?", (schedule_id,)).fetchone()
    return None if row is None else int(row[1])


def latest_cursor(source: Source) -> int:
    """Return the latest cursor of all schedules, in microseconds; 0 for none."""
    return int(source.execute("SELECT COALESCE(MAX(cursor), 0) FROM schedules").fetchone()[0])


def ahead(source: Source, now: int) -> list[tuple[str, int]]:
    """Return id and last change of the schedules with a cursor, a beginning or a fire after `now`, by id."""
    rows: list[tuple[str, int]] = source.execute(
        "SELECT id, updated_at FROM schedules WHERE cursor > ? OR created_at > ?"
        " OR id IN (SELECT schedule_id FROM fires WHERE nominal > ?) ORDER BY id",
        (now, now, now),
    ).fetchall()
    return rows


# --- what people do ----------------------------------------------------------------------------


def add(
    tx: Tx,
    schedule_id: str,
    spec: ScheduleSpec,
    *,
    file_spec: ScheduleSpec | None,
    origin: str,
    path: str | None,
    next_fire: int | None,
) -> None:
    """Store a new schedule, or put it in the place of a removed one with the same id."""
    tx.lock(Root.SCHEDULE, schedule_id)
    cursor = tx.execute(
        "INSERT INTO schedules (id, workflow, spec, file_spec, origin, path, cursor, next_fire, created_at, updated_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET spec = excluded.spec,"
        " file_spec = excluded.file_spec, origin = excluded.origin, path = excluded.path, cursor = excluded.cursor,"
        " next_fire = excluded.next_fire, updated_at = excluded.updated_at, removed_at = NULL, vanished = NULL,"
        " paused = NULL, pause_until = NULL, skip_next = 0, skip_at = NULL, problem = NULL, runs_started = 0, failures = 0,"
        " created_at = excluded.created_at, revision = schedules.revision + 1 WHERE schedules.removed_at IS NOT NULL",
        (
            schedule_id, spec.workflow, _json(spec), _json(file_spec), origin, path, tx.now_us, next_fire,
            tx.now_us, tx.now_us,
        ),
    )  # fmt: skip
    expect_unchanged(cursor, "schedule", schedule_id)


def declare(tx: Tx, schedule_id: str, file_spec: ScheduleSpec, path: str | None) -> None:
    """Store what a file says of a schedule, beside the spec in force."""
    tx.lock(Root.SCHEDULE, schedule_id)
    cursor = tx.execute(
        "UPDATE schedules SET file_spec = ?, path = ? WHERE id = ?", (_json(file_spec), path, schedule_id)
    )
    expect_one(cursor, "schedule", schedule_id)


def put_spec(
    tx: Tx, schedule_id: str, spec: ScheduleSpec, cursor: int, next_fire: int | None, skip_at: int | None
) -> None:
    """Put a spec into force. `skip_at` is the skipped instant."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET spec = ?, next_fire = ?, cursor = ?, skip_at = ?, problem = NULL, updated_at = ?,"
        " revision = revision + 1 WHERE id = ?",
        (_json(spec), next_fire, cursor, skip_at, tx.now_us, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


def vanish(tx: Tx, schedule_id: str, note: str, cursor: int) -> None:
    """Disable a schedule until its workflow or block is in the files again; `note` says why."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET removed_at = ?, vanished = ?, next_fire = NULL, cursor = ?, updated_at = ?,"
        " revision = revision + 1 WHERE id = ? AND removed_at IS NULL",
        (tx.now_us, note, cursor, tx.now_us, schedule_id),
    )
    expect_unchanged(changed, "schedule", schedule_id)


def come_back(tx: Tx, schedule_id: str, cursor: int, next_fire: int | None) -> None:
    """Enable a schedule that vanished."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET removed_at = NULL, vanished = NULL, next_fire = ?, cursor = ?, updated_at = ?,"
        " revision = revision + 1 WHERE id = ? AND vanished IS NOT NULL",
        (next_fire, cursor, tx.now_us, schedule_id),
    )
    expect_unchanged(changed, "schedule", schedule_id)


def remove(tx: Tx, schedule_id: str) -> None:
    """Remove a schedule and keep its history."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET removed_at = ?, next_fire = NULL, updated_at = ?, revision = revision + 1"
        " WHERE id = ? AND removed_at IS NULL",
        (tx.now_us, tx.now_us, schedule_id),
    )
    expect_unchanged(changed, "schedule", schedule_id)


def pause(tx: Tx, schedule_id: str, info: PauseInfo, cursor: int) -> None:
    """Store a pause, in place of an earlier one. The schedule is due when the pause ends."""
    tx.lock(Root.SCHEDULE, schedule_id)
    until = to_us(info.until) if info.until is not None else None
    changed = tx.execute(
        "UPDATE schedules SET paused = ?, pause_until = ?, next_fire = ?, cursor = ?, updated_at = ?,"
        " revision = revision + 1 WHERE id = ?",
        (msgspec.json.encode(info).decode(), until, until, cursor, tx.now_us, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


def resume(tx: Tx, schedule_id: str, spec: ScheduleSpec, cursor: int, next_fire: int | None) -> None:
    """End a pause, and store the spec with which the schedule continues."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET paused = NULL, pause_until = NULL, failures = 0, spec = ?, cursor = ?,"
        " next_fire = ?, updated_at = ?, revision = revision + 1 WHERE id = ?",
        (_json(spec), cursor, next_fire, tx.now_us, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


def skip(tx: Tx, schedule_id: str, nominal: int | None) -> None:
    """Store the nominal instant of a fire that is to be skipped; None for the next fire of a dependency."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET skip_next = ?, skip_at = ?, revision = revision + 1 WHERE id = ?",
        (int(nominal is None), nominal, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


# --- what fires do -----------------------------------------------------------------------------


def skipped(tx: Tx, schedule_id: str) -> None:
    """Store that the next fire is no longer skipped, because it has been skipped."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute("UPDATE schedules SET skip_next = 0 WHERE id = ?", (schedule_id,))
    expect_one(changed, "schedule", schedule_id)


def fired(tx: Tx, schedule_id: str, *, skip_next: bool, runs_started: int) -> None:
    """Store what a fire without a nominal time has changed."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET skip_next = ?, runs_started = ? WHERE id = ?",
        (int(skip_next), runs_started, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


def move_all(tx: Tx, moves: Sequence[tuple[int, int | None, int, int, str]]) -> None:
    """Store where schedules stand: cursor, next fire, whether the next one is skipped, runs started, and the id."""
    for move in moves:
        tx.lock(Root.SCHEDULE, move[4])
    changed = tx.connection.executemany(
        "UPDATE schedules SET cursor = ?, next_fire = ?, skip_next = ?, runs_started = ? WHERE id = ?", moves
    )
    expect_rows(changed, len(moves), "schedules")


def set_next_fire(tx: Tx, schedule_id: str, next_fire: int | None) -> None:
    """Store when a schedule is due next, without another change."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute("UPDATE schedules SET next_fire = ? WHERE id = ?", (next_fire, schedule_id))
    expect_one(changed, "schedule", schedule_id)


def set_back(tx: Tx, schedule_id: str, *, cursor: int, created_at: int, next_fire: int | None) -> None:
    """Store where a schedule stands after the clock was set back."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET cursor = ?, created_at = ?, next_fire = ?, updated_at = MIN(updated_at, ?),"
        " revision = revision + 1 WHERE id = ?",
        (cursor, created_at, next_fire, tx.now_us, schedule_id),
    )
    expect_one(changed, "schedule", schedule_id)


def set_problem(tx: Tx, schedule_id: str, problem: str | None) -> bool:
    """Store why a schedule cannot start runs, or that it can; return whether that is news."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute(
        "UPDATE schedules SET problem = ? WHERE id = ? AND COALESCE(problem, '') <> ?",
        (problem, schedule_id, problem or ""),
    )
    return changed.rowcount > 0


def count_failure(tx: Tx, schedule_id: str) -> None:
    """Count one more failure in a row."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute("UPDATE schedules SET failures = failures + 1 WHERE id = ?", (schedule_id,))
    expect_one(changed, "schedule", schedule_id)


def forget_failures(tx: Tx, schedule_id: str) -> bool:
    """End the row of failures; return whether there was one."""
    tx.lock(Root.SCHEDULE, schedule_id)
    changed = tx.execute("UPDATE schedules SET failures = 0 WHERE id = ? AND failures > 0", (schedule_id,))
    return changed.rowcount > 0
