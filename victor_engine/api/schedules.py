"""Schedules, their fires, and what a spec would do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

FireOutcome = Literal["started", "queued", "skipped", "missed", "backfilled"]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]
Catchup = Literal["none", "latest", "all"]


class ScheduleSpec(Struct, frozen=True, omit_defaults=True):
    """When a workflow is started, with what, under which policies; what is stored and edited.

    Exactly one of `cron`, `every_seconds`, `at` or `after` is set.
    """

    workflow: str
    cron: str | None = None
    every_seconds: float | None = None
    anchor: datetime | None = None
    at: datetime | None = None
    after: tuple[str, ...] = ()
    timezone: str = "UTC"
    version: str | None = None  # exact, range or alias; None is `latest`
    initial_state: dict[str, Any] = {}
    enabled: bool = True
    catchup: Catchup = "none"
    catchup_window: float | None = None
    misfire_grace: float = 60.0  # a fire that is later than this counts as missed
    overlap: Overlap = "skip"
    max_active_runs: int = 1
    jitter: float = 0.0
    start_date: datetime | None = None
    end_date: datetime | None = None
    max_runs: int | None = None
    priority: int = 0
    description: str = ""


class PauseInfo(Struct, frozen=True, omit_defaults=True):
    by: str
    at: datetime
    note: str = ""
    until: datetime | None = None


class FireInfo(Struct, frozen=True, omit_defaults=True):
    """One nominal instant of a schedule and what became of it."""

    id: int
    schedule_id: str
    workflow: str
    nominal: datetime
    local: str  # nominal wall time in the schedule's zone, `2026-03-08T02:30`
    fold: int
    outcome: FireOutcome
    reason: str
    decided_at: datetime
    actor: str = "engine"
    run_id: str | None = None
    run_status: str | None = None
    run_seconds: float | None = None


class ScheduleInfo(Struct, frozen=True, omit_defaults=True):
    id: str
    spec: ScheduleSpec
    origin: Literal["file", "console", "cli", "python"]
    path: str | None  # the file that declares it
    summary: str  # plain English: "every day at 09:00"
    next_fire: datetime | None
    skip_next: bool = False
    paused: PauseInfo | None = None
    overridden: tuple[str, ...] = ()  # fields in which an edit differs from the file
    last_fire: FireInfo | None = None
    recent: tuple[FireInfo, ...] = ()  # newest first, at most 20
    active_runs: int = 0
    runs_started: int = 0
    resolved_version: str | None = None
    deprecated: str | None = None
    problem: str | None = None  # why it cannot fire, if it cannot


class SchedulePreview(Struct, frozen=True, omit_defaults=True):
    """What a spec would do: plain English and the next instants, or the problem with it."""

    summary: str
    fires: tuple[datetime, ...] = ()
    problem: str | None = None


class ScheduleAdded(Struct, frozen=True):
    """`created` is False where the very same schedule already stood."""

    id: str
    created: bool
