"""Schedules and fires as they are stored, and the recording of a fire's outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import msgspec

from victor_engine.api import Actor, PauseInfo, ScheduleSpec
from victor_engine.clock import from_us, to_us
from victor_engine.domain.statuses import FireOutcome, ScheduleStatus, schedule_status
from victor_engine.errors import VictorError
from victor_engine.events import EventKind
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.scheduling.timing import Nominal, Timing
from victor_engine.store.db import Tx, actor_json
from victor_engine.store.locks import Root
from victor_engine.store.queries import ids
from victor_engine.store.repositories import fires, schedules
from victor_engine.store.repositories.fires import Fire
from victor_engine.store.runs import Start
from victor_engine.text import plural

Resolve = Callable[[Tx, str, str | None], Start]
"""Returns the definition on which a run of a workflow and a version spec starts. Raises VictorError if it has none."""


@dataclass(slots=True)
class ScheduleRow:
    """A schedule as it is stored."""

    id: str
    workflow: str
    spec: ScheduleSpec
    file_spec: ScheduleSpec | None
    origin: str
    cursor: datetime
    next_fire: datetime | None
    skip_next: bool  # the next fire of a dependency; `skip_at` is the instant of another schedule
    paused: PauseInfo | None
    created_at: datetime
    runs_started: int
    removed: bool
    problem: str | None = None
    failures: int = 0
    vanished: str | None = None  # why it is disabled until its workflow or block is in the files again
    skip_at: datetime | None = None
    excluded: Excluded = nothing_excluded
    _timing: Timing | None = None

    def skips(self, nominal: Nominal) -> bool:
        """Return whether an operator skipped a fire. A skip belongs to its instant."""
        return self.skip_next or self.skip_at == nominal.instant

    @property
    def timing(self) -> Timing:
        if self._timing is None or self._timing.spec is not self.spec:
            self._timing = Timing(self.spec, self.id, self.created_at, self.excluded)
        return self._timing

    @property
    def exhausted(self) -> bool:
        """Return whether `max_runs` runs have started."""
        return self.spec.max_runs is not None and self.runs_started >= self.spec.max_runs

    @property
    def status(self) -> ScheduleStatus:
        return schedule_status(
            removed=self.removed,
            vanished=self.vanished is not None,
            paused=self.paused is not None,
            enabled=self.spec.enabled,
        )

    @property
    def firing(self) -> bool:
        """Return whether the schedule starts runs at its times."""
        return self.status is ScheduleStatus.ACTIVE


_decode_spec = msgspec.json.Decoder(ScheduleSpec).decode


def decode_row(
    row: Any,
    excluded: Excluded,
    spec: ScheduleSpec | None = None,
    timing: Timing | None = None,
) -> ScheduleRow:
    """Decode a stored row. `spec` and `timing` save work if they are known already."""
    if spec is None:
        spec = _decode_spec(row[2])
    return ScheduleRow(
        id=row[0],
        workflow=row[1],
        spec=spec,
        file_spec=msgspec.json.decode(row[3], type=ScheduleSpec) if row[3] is not None else None,
        origin=row[4],
        cursor=from_us(row[5]),
        next_fire=from_us(row[6]) if row[6] is not None else None,
        skip_next=bool(row[7]),
        paused=msgspec.json.decode(row[8], type=PauseInfo) if row[8] is not None else None,
        created_at=from_us(row[9]),
        runs_started=row[10],
        removed=row[11] is not None,
        problem=row[12],
        failures=row[13],
        vanished=row[14],
        skip_at=from_us(row[15]) if row[15] is not None else None,
        excluded=excluded,
        _timing=timing,
    )


class SpecCache:
    """A cache of decoded specs and their times. The oldest entries are evicted."""

    LIMIT = 20_000

    def __init__(self, excluded: Excluded) -> None:
        self._excluded = excluded
        self._specs: dict[tuple[str, str, int], tuple[ScheduleSpec, Timing]] = {}
        self._lock = Lock()  # the writer thread and a reader thread use it at the same time

    def row(self, stored: Any) -> ScheduleRow:
        """Decode a stored row; see `decode_row`."""
        key = (stored[0], stored[2], stored[9])
        known = self._specs.get(key)
        if known is None:
            row = decode_row(stored, self._excluded)
            known = row.spec, row.timing
            with self._lock:
                if len(self._specs) >= self.LIMIT:
                    del self._specs[next(iter(self._specs))]
                self._specs[key] = known
            return row
        return decode_row(stored, self._excluded, *known)

    def upcoming(self, stored: Iterable[Any]) -> dict[str, UpcomingFire]:
        """Compute the next fire of schedules that will soon be due, by id."""
        found: dict[str, UpcomingFire] = {}
        for item in stored:
            try:
                row = self.row(item)
                nominal = row.timing.next_after(row.cursor)
                if nominal is not None:
                    due = to_us(row.timing.due(nominal))
                    found[row.id] = UpcomingFire(
                        row.spec,
                        item[5],
                        nominal,
                        due,
                        first_fire(row.timing, nominal.instant),
                        row.timing.previous_before(nominal.instant),
                    )
            except VictorError:
                continue  # the error is reported when the schedule is due
        return found


@dataclass(frozen=True, slots=True)
class UpcomingFire:
    """The next fire of a schedule, computed before it is due. Instants are microseconds.

    It is valid while the schedule has the same `spec` object and the same `cursor`.
    """

    spec: ScheduleSpec
    cursor: int
    nominal: Nominal
    due: int
    following: int | None
    previous: datetime | None


def uses_up_runs(row: ScheduleRow, spec: ScheduleSpec) -> bool:
    """Return whether a schedule could not start another run with a spec, because `max_runs` is reached."""
    return spec.enabled and spec.max_runs is not None and row.runs_started >= spec.max_runs


def used_up_words(row: ScheduleRow, spec: ScheduleSpec) -> str:
    """Return why a schedule would never fire with a spec whose `max_runs` is reached."""
    return (
        f"the schedule would never fire: it has started {plural(row.runs_started, 'run')}, and max_runs is "
        f"{spec.max_runs}; set a higher max_runs"
    )


def _calendars_of(source: ids.Source) -> Excluded:
    return source.excluded if isinstance(source, Tx) else nothing_excluded


def get(
    source: ids.Source, schedule: str, *, removed: bool = False, excluded: Excluded | None = None
) -> ScheduleRow:
    """Return a schedule by its id, a prefix of the id, or the name of its workflow; see `ids.schedule_id`.

    The calendars are `excluded`, or those of a transaction.
    """
    full = ids.schedule_id(source, schedule, removed=removed)
    return decode_row(schedules.find(source, full), excluded or _calendars_of(source))


def locked(tx: Tx, schedule: str) -> ScheduleRow:
    """Lock a schedule that is not removed, and return it. See `get` for its name."""
    full = ids.schedule_id(tx, schedule)
    tx.lock(Root.SCHEDULE, full)
    return decode_row(schedules.find(tx, full), tx.excluded)


def all_rows(source: ids.Source) -> list[ScheduleRow]:
    """Return all schedules that are not removed."""
    return [decode_row(row, _calendars_of(source)) for row in schedules.present(source)]


def first_fire(timing: Timing, after: datetime) -> int | None:
    """Return when the first fire after `after` is due, in microseconds: its nominal instant plus its jitter."""
    nominal = timing.next_after(after)
    return to_us(timing.due(nominal)) if nominal is not None else None


MOST_DECIDED = 1000
"""The maximum number of fires with an outcome that `next_open` passes over."""


def next_open(source: ids.Source, row: ScheduleRow, after: datetime) -> Nominal | None:
    """Return the first fire after `after` that has no outcome. Fires have one early if the clock was ahead."""
    nominal = row.timing.next_after(after)
    for _ in range(MOST_DECIDED):
        if nominal is None or not fires.is_decided(source, row.id, nominal.local, nominal.fold):
            break
        nominal = row.timing.next_after(nominal.instant)
    return nominal


def first_open(source: ids.Source, row: ScheduleRow, after: datetime) -> int | None:
    """Return when the first fire after `after` that has no outcome is due, in microseconds."""
    nominal = next_open(source, row, after)
    return None if nominal is None else to_us(row.timing.due(nominal))


def skip_after(row: ScheduleRow) -> tuple[int | None, list[str]]:
    """Return the skipped instant if it is a fire of the changed schedule, else None and the change in words."""
    if row.skip_at is None or row.skip_at <= row.cursor:
        return None, []
    kept = row.timing.next_after(row.skip_at - timedelta(microseconds=1))
    if kept is not None and kept.instant == row.skip_at:
        return to_us(row.skip_at), []
    return None, [f"the skip of the fire of {row.skip_at:%Y-%m-%d %H:%M} UTC goes with that fire"]


def paused_words(paused: PauseInfo) -> str:
    """Return who paused a schedule, since when and why, in words."""
    note = f": {paused.note}" if paused.note else ""
    return f"paused by {paused.by} since {paused.at:%Y-%m-%d %H:%M} UTC{note}"


def fire_row(
    tx: Tx,
    row: ScheduleRow,
    nominal: Nominal,
    outcome: FireOutcome,
    reason: str,
    run_key: int | None,
    actor: Actor | None,
) -> Fire:
    """Return a fire that is decided now, as it is stored."""
    return Fire(
        row.id, row.workflow, nominal.local, nominal.fold, to_us(nominal.instant), outcome, reason,
        actor_json(actor), tx.now_us, run_key,
    )  # fmt: skip


def record_fire(
    tx: Tx,
    row: ScheduleRow,
    nominal: Nominal,
    outcome: FireOutcome,
    reason: str,
    *,
    run_key: int | None = None,
    run_id: str | None = None,
    actor: Actor | None = None,
) -> bool:
    """Record the outcome of a fire. Return False if the fire has an outcome already."""
    if not fires.add(tx, fire_row(tx, row, nominal, outcome, reason, run_key, actor)):
        return False
    write_fire_event(tx, row, nominal, outcome, reason, run_key=run_key, run_id=run_id, actor=actor)
    return True


def write_fire_event(
    tx: Tx,
    row: ScheduleRow,
    nominal: Nominal,
    outcome: FireOutcome,
    reason: str,
    *,
    run_key: int | None = None,
    run_id: str | None = None,
    actor: Actor | None = None,
) -> None:
    """Write the event of a fire that was decided."""
    tx.event(
        EventKind.FIRE_DECIDED,
        actor=actor,
        run_key=run_key,
        run_id=run_id,
        schedule_id=row.id,
        workflow=row.workflow,
        data={
            "nominal": nominal.local,
            "outcome": outcome,
            "reason": reason,
            **({"fold": 1} if nominal.fold else {}),
            **(
                {"timezone": row.spec.timezone} if row.spec.after is None and nominal.local[-1] != "Z" else {}
            ),
        },
    )


def find(source: ids.Source, schedule: str) -> ScheduleRow | None:
    """Return a schedule by its whole id, removed or not; None if it does not exist."""
    stored = schedules.find(source, schedule)
    return None if stored is None else decode_row(stored, _calendars_of(source))
