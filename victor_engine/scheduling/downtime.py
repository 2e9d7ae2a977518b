"""Downtimes: periods in which no engine checked the schedules."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from victor_engine import jsonio
from victor_engine.clock import from_us, to_us
from victor_engine.events import EventKind
from victor_engine.store.queries.events import (
    clock_changes,
    engine_starts,
    last_engine_start,
    last_sign_of_life,
)


@dataclass(frozen=True, slots=True)
class Gap:
    """One downtime, with its cause."""

    start: datetime
    end: datetime
    why: str

    def __str__(self) -> str:
        form = "%Y-%m-%d %H:%M" if self.start.second == self.end.second == 0 else "%Y-%m-%d %H:%M:%S"
        return f"{self.why} from {self.start:{form}} to {self.end:{form}} UTC"

    def covers(self, instant: datetime) -> bool:
        return self.start <= instant <= self.end


SHORTEST = 1_000_000
"""Microseconds below which the time between a stop and a start is not a downtime."""


def downtimes(source: sqlite3.Connection, start: datetime, end: datetime) -> list[Gap]:
    """Return the periods between `start` and `end` in which no engine ran on this store, oldest first.

    An engine that was killed writes no event when it ends. Its downtime starts at its last event.
    """
    found: list[Gap] = []
    began = engine_starts(source, to_us(start), 200)
    for seq, at in began:
        before = last_sign_of_life(source, seq)
        if before is None or from_us(before[0]) > end or at - before[0] < SHORTEST:
            continue
        why = (
            "the engine was down"
            if before[1] == EventKind.ENGINE_STOPPED
            else "the engine stopped unexpectedly and was down"
        )
        found.append(Gap(from_us(before[0]), from_us(at), why))
    return sorted([*found, *_jumps(source, start, end)], key=lambda gap: gap.start)


def _jumps(source: sqlite3.Connection, start: datetime, end: datetime) -> list[Gap]:
    """Return the jumps of the clock forward, and suspends, without those that a correction took back."""
    found: list[Gap] = []
    for at, kind, data in clock_changes(source, to_us(start), to_us(end)):
        if kind == EventKind.ENGINE_CLOCK_CORRECTED:
            found = [gap for gap in found if to_us(gap.end) <= at]
        elif data is not None:
            since = datetime.fromisoformat(jsonio.loads(data)["from"])
            found.append(Gap(since, from_us(at), "the machine was suspended or its clock was set"))
    return found


def newest_downtime(source: sqlite3.Connection) -> Gap | None:
    """Return the downtime before the latest start of an engine, if there was one."""
    started = last_engine_start(source)
    if started is None:
        return None
    found = downtimes(source, from_us(started), from_us(started))
    return found[-1] if found else None
