"""The reading of schedules before they are due, so that a large batch starts without delay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from victor_engine.api import ScheduleSpec
from victor_engine.clock import Clock, to_us
from victor_engine.errors import VictorError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import policy
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.due_times import DueTimes
from victor_engine.scheduling.schedule_commands import next_due
from victor_engine.scheduling.timezones import get_zone
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import schedules

READ_AHEAD = 5.0
"""Seconds before its due time at which a schedule is read."""

PART = 512
"""Schedules that are read together."""


class ReadAhead:
    """The fires that are due soon, computed in reader threads: `fires`, by schedule.

    Calendars are computed there too. It can take seconds, and the writer does not wait.
    """

    def __init__(
        self, store: Store, clock: Clock, specs: ops.SpecCache, due: DueTimes, excluded: Excluded
    ) -> None:
        self._store = store
        self._clock = clock
        self._specs = specs
        self._due = due
        self._excluded = excluded
        self.fires: dict[str, ops.UpcomingFire] = {}

    async def read(self) -> None:
        """Compute the fires of the schedules that are due in the next seconds."""
        horizon = to_us(self._clock.now()) + int((READ_AHEAD + 1) * 1_000_000)
        due = dict.fromkeys(self._due.until(horizon, 2 * ops.SpecCache.LIMIT))
        self.fires = {schedule: found for schedule, found in self.fires.items() if schedule in due}
        soon = [schedule for schedule in due if schedule not in self.fires]
        for first in range(0, len(soon), PART):
            part = soon[first : first + PART]
            self.fires |= await self._store.read(lambda c: self._compute(c, part))  # noqa: B023

    async def prepare(self, due: Sequence[str]) -> None:
        """Compute the calendars of due schedules that were not read ahead, for example after a downtime."""
        unread = [schedule for schedule in due if schedule not in self.fires]
        if unread:
            await self._store.read(lambda c: self._prepare(c, unread))

    async def follow_calendars(self) -> None:
        """Set the next fires of schedules with `on_excluded` anew, because calendars can have changed."""
        now = self._clock.now()
        changed = await self._store.read(lambda c: self._changed(c, now))
        for schedule in changed:
            self.fires.pop(schedule, None)
        if changed:

            def transition(tx: Tx) -> None:
                for schedule in sorted(changed):
                    row = ops.find(tx, schedule)
                    if row is not None and not row.removed:
                        schedules.set_next_fire(tx, schedule, next_due(row))

            await self._store.write(transition)

    def _changed(self, connection: sqlite3.Connection, now: datetime) -> list[str]:
        """Return the schedules whose fires move and whose stored next fire is not the one by their calendars."""
        found = []
        for stored in schedules.moving(connection):
            try:
                row = ops.decode_row(stored, self._excluded)
                self._expand(row.spec, policy.backlog(row.timing, row.cursor, now).fires)
                if next_due(row) != stored[6]:
                    found.append(row.id)
            except VictorError:
                continue  # the error is reported when the schedule is due
        return found

    def _compute(self, connection: sqlite3.Connection, due: list[str]) -> dict[str, ops.UpcomingFire]:
        found = self._specs.upcoming(schedules.some(connection, due))
        for upcoming in found.values():
            self._expand(upcoming.spec, [upcoming.nominal])
        return found

    def _prepare(self, connection: sqlite3.Connection, due: list[str]) -> None:
        now = self._clock.now()
        for stored in schedules.some(connection, due):
            try:
                row = self._specs.row(stored)
                if row.spec.exclude and not row.removed and row.paused is None:
                    self._expand(row.spec, policy.backlog(row.timing, row.cursor, now).fires)
            except VictorError:
                continue

    def _expand(self, spec: ScheduleSpec, nominals: Iterable[Nominal]) -> None:
        """Compute the calendars of a schedule at the instants of fires."""
        for nominal in nominals if spec.exclude else ():
            try:
                self._excluded(spec, nominal.instant, get_zone(spec.timezone))
            except (VictorError, ValueError):
                return  # the decision reports the error
