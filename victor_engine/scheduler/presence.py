"""When nothing looked at the schedules: the engine was down, the machine slept, the clock was set."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from victor_engine.clock import from_us, to_us


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without anybody watching, and why."""

    start: datetime
    end: datetime
    why: str

    def __str__(self) -> str:
        form = "%Y-%m-%d %H:%M" if self.start.second == self.end.second == 0 else "%Y-%m-%d %H:%M:%S"
        return f"{self.why} from {self.start:{form}} to {self.end:{form}} UTC"

    def covers(self, instant: datetime) -> bool:
        return self.start <= instant <= self.end


SHORTEST = 1_000_000
"""Microseconds below which an absence is none: a start that follows an end at once."""

_LIFE = "(actor IS NULL OR kind IN ('engine.started', 'engine.stopped'))"
"""Events that only an engine writes: a command line without one also leaves events."""


def downtimes(source: sqlite3.Connection, start: datetime, end: datetime) -> list[Gap]:
    """The times between `start` and `end` in which no engine ran on this store, oldest first.

    An engine that was killed says no farewell: its last event is its last sign of life.
    """
    found: list[Gap] = []
    began = source.execute(
        "SELECT seq, at FROM events WHERE node_id IS NULL AND kind = 'engine.started' AND at >= ?"
        " ORDER BY at, seq LIMIT 200",
        (to_us(start),),
    ).fetchall()
    for seq, at in began:
        before = source.execute(
            f"SELECT at, kind FROM events WHERE seq < ? AND {_LIFE} ORDER BY seq DESC LIMIT 1", (seq,)
        ).fetchone()
        if before is None or from_us(before[0]) > end or at - before[0] < SHORTEST:
            continue
        why = "the engine was down" if before[1] == "engine.stopped" else "the engine was gone (no farewell)"
        found.append(Gap(from_us(before[0]), from_us(at), why))
    return found


def newest_downtime(source: sqlite3.Connection) -> Gap | None:
    """The time before the engine's latest start in which none ran."""
    row = source.execute(
        "SELECT MAX(at) FROM events WHERE node_id IS NULL AND kind = 'engine.started'"
    ).fetchone()
    if row[0] is None:
        return None
    found = downtimes(source, from_us(row[0]), from_us(row[0]))
    return found[-1] if found else None
