"""The history that retention may delete, and what it keeps whatever its rules say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from victor_engine.domain.retention import Retention
from victor_engine.domain.statuses import FINAL_RUN_STATUSES
from victor_engine.store.queries.audit import decision_condition
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.audit import chain

_FINAL = ",".join(f"'{status}'" for status in sorted(FINAL_RUN_STATUSES))


class EndedRun(NamedTuple):
    """An ended run; `finished_at` is in microseconds."""

    key: int
    workflow: str
    status: str
    finished_at: int


def ended_runs(
    connection: sqlite3.Connection, after: int, created_before: int, limit: int
) -> tuple[int | None, list[EndedRun]]:
    """Return the ended runs among the next `limit` runs after a key, and the key of the last; None at the end.

    Runs that were created after `created_before` are not read: keys follow the time of creation.
    """
    rows = connection.execute(
        "SELECT key, workflow, status, finished_at, created_at FROM runs WHERE key > ? ORDER BY key LIMIT ?",
        (after, limit),
    ).fetchall()
    found = [EndedRun(*row[:4]) for row in rows if row[2] in FINAL_RUN_STATUSES and row[3] is not None]
    ended = not rows or rows[-1][4] >= created_before
    return (None if ended else rows[-1][0]), found


def oldest_kept(connection: sqlite3.Connection, rules: Retention) -> dict[tuple[int, str], int]:
    """Return, for each rule with a count and each workflow, the oldest run that the count keeps."""
    kept: dict[tuple[int, str], int] = {}
    names = [name for (name,) in connection.execute("SELECT DISTINCT workflow FROM definitions")]
    for number, rule in enumerate(rules.rules):
        if rule.count is None:
            continue
        for workflow in names:
            newest: list[int] = []
            for status in rules.statuses_of(number, workflow):
                rows = connection.execute(
                    "SELECT key FROM runs WHERE workflow = ? AND status = ? ORDER BY key DESC LIMIT ?",
                    (workflow, status, rule.count),
                )
                newest += [key for (key,) in rows]
            newest.sort(reverse=True)
            if len(newest) >= rule.count:
                kept[number, workflow] = newest[rule.count - 1]
    return kept


def prunable(source: Source, keys: Sequence[int]) -> list[int]:
    """Return those of the runs that may be deleted.

    Kept are active runs, listed dead letters, the run of the newest fire of a schedule, runs of an active backfill,
    runs with an answer that can be undone, children of a stored run, and parents of an active one. The newest run and
    the run of the newest attempt are kept too, so that their numbers are not used again.
    """
    marks = ",".join("?" * len(keys))
    # The + keeps SQLite from reading all ended runs by their status, which it does for more than some ten keys.
    rows = source.execute(
        f"SELECT r.key FROM runs r WHERE r.key IN ({marks}) AND +r.status IN ({_FINAL})"
        " AND r.key < (SELECT MAX(key) FROM runs)"
        " AND r.key <> COALESCE((SELECT run_key FROM attempts ORDER BY id DESC LIMIT 1), 0)"
        " AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.run_key = r.key)"
        " AND NOT EXISTS (SELECT 1 FROM runs p WHERE p.key = r.parent_key)"
        f" AND NOT EXISTS (SELECT 1 FROM attempts a JOIN runs c ON c.key = a.child_key"
        f" WHERE a.run_key = r.key AND c.status NOT IN ({_FINAL}))"
        " AND NOT EXISTS (SELECT 1 FROM backfills b WHERE b.id = r.backfill_id AND b.status IN ('running', 'paused'))"
        " AND NOT EXISTS (SELECT 1 FROM requests q WHERE q.run_key = r.key"
        " AND (q.status = 'open' OR q.settles_at IS NOT NULL))"
        " AND NOT EXISTS (SELECT 1 FROM fires f WHERE f.run_key = r.key"
        " AND f.id = (SELECT MAX(g.id) FROM fires g WHERE g.schedule_id = f.schedule_id))"
        " ORDER BY r.key",
        list(keys),
    )
    return [key for (key,) in rows]


def with_many_rows(connection: sqlite3.Connection, keys: Iterable[int], limit: int) -> list[int]:
    """Return those of the runs with more than `limit` lines of logs or events."""
    found = []
    for key in keys:
        for table in ("logs", "events"):
            (count,) = connection.execute(
                f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE run_key = ? LIMIT ?)", (key, limit + 1)
            ).fetchone()
            if count > limit:
                found.append(key)
                break
    return found


class OldFire(NamedTuple):
    """A fire without a run."""

    id: int
    schedule_id: str
    workflow: str
    decided_at: int


def old_fires(connection: sqlite3.Connection, after: int, before: int, limit: int) -> list[OldFire]:
    """Return the next fires without a run that were decided before an instant, except the newest of each schedule."""
    rows = connection.execute(
        "SELECT f.id, f.schedule_id, f.workflow, f.decided_at FROM fires f WHERE f.id > ? AND f.run_key IS NULL"
        " AND f.decided_at < ? AND f.id < (SELECT MAX(g.id) FROM fires g WHERE g.schedule_id = f.schedule_id)"
        " ORDER BY f.id LIMIT ?",
        (after, before, limit),
    )
    return [OldFire(*row) for row in rows]


class OldBackfill(NamedTuple):
    """A backfill that has ended, without a stored run."""

    id: int
    schedule_id: str
    workflow: str
    finished_at: int


_ENDED_BACKFILL = (
    "status NOT IN ('running', 'paused') AND finished_at < ? AND id < (SELECT MAX(id) FROM backfills)"
    " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.backfill_id = backfills.id)"
)


def old_backfills(source: Source, after: int, before: int, limit: int) -> list[OldBackfill]:
    """Return the next backfills that ended before an instant and have no stored run, except the newest."""
    rows = source.execute(
        "SELECT id, schedule_id, workflow, finished_at FROM backfills"
        f" WHERE id > ? AND {_ENDED_BACKFILL} ORDER BY id LIMIT ?",
        (after, before, limit),
    )
    return [OldBackfill(*row) for row in rows]


def old_events(
    connection: sqlite3.Connection, after: tuple[int, int], before: int, limit: int
) -> tuple[tuple[int, int] | None, list[int]]:
    """Return the events without a run among the next `limit` events after an instant and number, from before an instant.

    Decisions are not among them as long as the audit chain has a record of them. The first value is the instant and the
    number of the last event that was read; None at the end.
    """
    condition, values = decision_condition()
    pruned = chain(connection).pruned_event
    rows = connection.execute(
        f"SELECT e.at, e.seq, e.run_key IS NULL AND (e.seq <= ? OR NOT {condition})"
        " AND e.seq < (SELECT MAX(seq) FROM events) FROM events e"
        " WHERE e.node_id IS NULL AND e.at < ? AND (e.at, e.seq) > (?, ?) ORDER BY e.at, e.seq LIMIT ?",
        (pruned, *values, before, *after, limit),
    ).fetchall()
    last = (rows[-1][0], rows[-1][1]) if len(rows) == limit else None
    return last, [seq for _, seq, deletable in rows if deletable]


def first_record(connection: sqlite3.Connection) -> int | None:
    """Return the instant of the first record of the audit chain."""
    row = connection.execute("SELECT at FROM audit ORDER BY seq LIMIT 1").fetchone()
    return None if row is None else row[0]
