"""Queries of the scheduler: active runs, typical durations, ended runs and fires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from victor_engine.domain.statuses import FINAL_RUN_STATUSES, RunStatus
from victor_engine.store.queries.conversions import ACTIVE
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.typical_durations import ENOUGH
from victor_engine.store.runs import HELD


class ActiveRun(NamedTuple):
    """An active run of a schedule. `held` is true if it is queued behind another run of the schedule."""

    key: int
    run_id: str
    status: str
    held: bool


class Ended(NamedTuple):
    """A run that ends, with its schedule. The nominal instant is in microseconds."""

    id: str
    workflow: str
    schedule_id: str | None
    backfill_id: int | None
    nominal: int


_OF_ONE = (
    f"SELECT r.key, r.id, r.status, {HELD} FROM runs r WHERE r.schedule_id = ? AND r.status IN {ACTIVE}"
    " AND r.trigger <> 'backfill' ORDER BY r.key"
)


def active_runs(source: Source, schedule_id: str) -> list[ActiveRun]:
    """Return the active runs of a schedule, oldest first, without those of backfills."""
    rows = source.execute(_OF_ONE, (schedule_id,))
    return [ActiveRun(key, run_id, status, bool(held)) for key, run_id, status, held in rows]


def active_runs_of(source: Source, schedule_ids: Sequence[str]) -> dict[str, list[ActiveRun]]:
    """Return the active runs of several schedules, by schedule id."""
    marks = ",".join("?" * len(schedule_ids))
    found: dict[str, list[ActiveRun]] = {}
    for schedule_id, key, run_id, status, held in source.execute(
        f"SELECT r.schedule_id, r.key, r.id, r.status, {HELD} FROM runs r WHERE r.schedule_id IN ({marks})"
        f" AND r.status IN {ACTIVE} AND r.trigger <> 'backfill' ORDER BY r.key",
        schedule_ids,
    ):
        found.setdefault(schedule_id, []).append(ActiveRun(key, run_id, status, bool(held)))
    return found


def previous_run(source: Source, schedule_id: str, nominal: int) -> tuple[str, str] | None:
    """Return id and status of the run of the newest fire before an instant that has a run; None if there is none."""
    found: tuple[str, str] | None = source.execute(
        "SELECT r.id, r.status FROM fires f INDEXED BY fires_nominal JOIN runs r ON r.key = f.run_key"
        " WHERE f.schedule_id = ? AND f.nominal < ? ORDER BY f.nominal DESC LIMIT 1",
        (schedule_id, nominal),
    ).fetchone()
    return found


def previous_of_run(source: Source, run_key: int) -> tuple[str, str] | None:
    """Return id and status of the run of the fire before that of a run; None if there is none."""
    fire = source.execute(
        "SELECT schedule_id, MAX(nominal) FROM fires WHERE run_key = ? GROUP BY schedule_id", (run_key,)
    ).fetchone()
    return None if fire is None else previous_run(source, *fire)


def schedules_with_held_runs(source: Source) -> list[str]:
    """Return the schedules with a run that is queued behind another run."""
    rows = source.execute(f"SELECT DISTINCT r.schedule_id FROM runs r WHERE {HELD}").fetchall()
    return [schedule_id for (schedule_id,) in rows]


def ended(source: Source, run_key: int) -> Ended:
    """Return a run that ends."""
    row = source.execute(
        "SELECT id, workflow, schedule_id, backfill_id, COALESCE(nominal, created_at) FROM runs WHERE key = ?",
        (run_key,),
    ).fetchone()
    return Ended(*row)


def error_of(source: Source, run_key: int) -> str | None:
    """Return the error of a run as JSON; None if it has none."""
    (error,) = source.execute("SELECT error FROM runs WHERE key = ?", (run_key,)).fetchone()
    return None if error is None else str(error)


def error_by_id(source: Source, run_id: str) -> str | None:
    """Return the error of the run with an id as JSON; None if it has none."""
    (error,) = source.execute("SELECT error FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if error is None else str(error)


def typical_seconds(source: Source, workflow: str) -> float | None:
    """Return the median duration of the last 50 runs of a workflow that succeeded; None if they are too few."""
    took = sorted(
        took
        for (took,) in source.execute(
            "SELECT finished_at - started_at - idle FROM runs WHERE workflow = ? AND status = 'succeeded'"
            " AND started_at IS NOT NULL ORDER BY key DESC LIMIT 50",
            (workflow,),
        )
    )
    return took[len(took) // 2] / 1e6 if len(took) >= ENOUGH else None


# --- fires -------------------------------------------------------------------------------------


def runs_of_fires(
    source: Source, schedule_id: str, after: int, until: int
) -> dict[tuple[str, int], tuple[str, str]]:
    """Return the status and id of the run of each fire in a span that has one, by wall time and fold."""
    rows = source.execute(
        "SELECT f.local, f.fold, r.status, r.id FROM fires f JOIN runs r ON r.key = f.run_key"
        " WHERE f.schedule_id = ? AND f.nominal > ? AND f.nominal <= ?",
        (schedule_id, after, until),
    )
    return {(local, fold): (status, run_id) for local, fold, status, run_id in rows}


class PeriodFire(NamedTuple):
    """A fire with its run, if it has one. `nominal` is that of the run, in microseconds; `ended_at` too."""

    local: str
    outcome: str
    nominal: int
    run_key: int | None
    run_id: str | None
    status: str | None
    ended_at: int | None


_PERIOD_FIRE = (
    "SELECT f.local, f.outcome, COALESCE(r.nominal, f.nominal), r.key, r.id, r.status, r.finished_at"
    " FROM fires f LEFT JOIN runs r ON r.key = f.run_key WHERE f.schedule_id = ?"
)


def fires_by_wall_time(source: Source, schedule_id: str, first: str, end: str) -> list[PeriodFire]:
    """Return the fires of a schedule with its own times whose wall time is from `first` to before `end`."""
    rows = source.execute(f"{_PERIOD_FIRE} AND f.local >= ? AND f.local < ?", (schedule_id, first, end))
    return [PeriodFire(*row) for row in rows]


def newest_fires(source: Source, schedule_id: str, limit: int = 5000) -> list[PeriodFire]:
    """Return the newest fires of a schedule."""
    rows = source.execute(f"{_PERIOD_FIRE} ORDER BY f.id DESC LIMIT ?", (schedule_id, limit))
    return [PeriodFire(*row) for row in rows]


def fires_between(
    source: Source, start: int, end: int, schedule_id: str | None, limit: int
) -> list[tuple[str, int, str]]:
    """Return schedule, nominal instant and status of the fires from `start` to before `end`, newest first.

    The status is that of the run; without a run, it is the outcome.
    """
    where, values = "", [start, end, limit]
    if schedule_id is not None:
        where, values = " AND f.schedule_id = ?", [start, end, schedule_id, limit]  # type: ignore[list-item]
    rows: list[tuple[str, int, str]] = source.execute(
        "SELECT f.schedule_id, f.nominal, COALESCE(r.status, f.outcome) FROM fires f"
        f" LEFT JOIN runs r ON r.key = f.run_key WHERE f.nominal >= ? AND f.nominal < ?{where}"
        " ORDER BY f.nominal DESC LIMIT ?",
        values,
    ).fetchall()
    return rows


def fire_ids(source: Source, schedule_id: str, start: int, end: int, limit: int) -> list[int]:
    """Return the ids of the fires of a schedule from `start` to before `end`, oldest first."""
    rows = source.execute(
        "SELECT id FROM fires WHERE schedule_id = ? AND nominal >= ? AND nominal < ? ORDER BY nominal LIMIT ?",
        (schedule_id, start, end, limit),
    )
    return [number for (number,) in rows]


def long_absence(source: Source, schedule_id: str, until: int) -> str | None:
    """Return the reason of the newest fire by `until` that records a range of fires; None if there is none."""
    row = source.execute(
        "SELECT reason FROM fires WHERE schedule_id = ? AND nominal <= ? AND reason LIKE '%recorded as one%'"
        " ORDER BY nominal DESC LIMIT 1",
        (schedule_id, until),
    ).fetchone()
    return None if row is None else str(row[0])


def arrivals(source: Source, schedule_id: str, period: str) -> dict[str, tuple[str, str, int]]:
    """Return run id, status and end of the upstream runs of a schedule in a period, by workflow."""
    rows = source.execute(
        "SELECT a.workflow, r.id, a.status, a.ended_at FROM arrivals a JOIN runs r ON r.key = a.run_key"
        " WHERE a.schedule_id = ? AND a.period = ?",
        (schedule_id, period),
    )
    return {workflow: (run_id, status, ended_at) for workflow, run_id, status, ended_at in rows}


def breaches_of(source: Source, schedule_id: str, local: str, fold: int) -> list[tuple[str, str]]:
    """Return the kind and the text of each expectation of a fire that is not met."""
    rows: list[tuple[str, str]] = source.execute(
        "SELECT kind, text FROM expectations WHERE schedule_id = ? AND local = ? AND fold = ?"
        " AND breached_at IS NOT NULL",
        (schedule_id, local, fold),
    ).fetchall()
    return rows


# --- backfills ---------------------------------------------------------------------------------


def active_of_backfill(source: Source, backfill_id: int) -> int:
    """Return how many runs of a backfill have not ended."""
    (count,) = source.execute(
        f"SELECT COUNT(*) FROM runs WHERE backfill_id = ? AND status IN {ACTIVE}", (backfill_id,)
    ).fetchone()
    return int(count)


def last_of_backfill(source: Source, backfill_id: int) -> tuple[str, str] | None:
    """Return id and status of the newest run of a backfill; None if it has none."""
    found: tuple[str, str] | None = source.execute(
        "SELECT id, status FROM runs WHERE backfill_id = ? ORDER BY key DESC LIMIT 1", (backfill_id,)
    ).fetchone()
    return found


def backfill_counts(source: Source, backfill_id: int) -> tuple[int, int, int]:
    """Return how many runs of a backfill are active, have succeeded, and have ended otherwise."""
    found = dict(
        source.execute(
            "SELECT status, COUNT(*) FROM runs WHERE backfill_id = ? GROUP BY status", (backfill_id,)
        )
    )
    succeeded = found.pop(RunStatus.SUCCEEDED, 0)
    failed = sum(found.pop(status, 0) for status in FINAL_RUN_STATUSES)
    return sum(found.values()), succeeded, failed
