"""Schedules, their fires, and what a spec would do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.domain.statuses import BackfillStatus, FireOutcome

UpstreamEnd = Literal["success", "failure", "completion"]
Period = Literal["exact", "hour", "day", "week", "month"]
BreachKind = Literal["start_within", "finish_within", "finish_by"]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]
Catchup = Literal["none", "latest", "all"]


class After(Struct, frozen=True, omit_defaults=True):
    """What a schedule waits for instead of a time: the ends of other workflows' runs.

    `on` says which ends count: success is succeeded, failure is failed or rejected, completion is
    any end. With `all`, every workflow must have ended so since the last fire: no further apart
    than `within` seconds, and with `period` in the same one (by the nominal time of the upstream
    run, in the schedule's zone; `exact` wants the very same nominal instant). `take` maps keys of
    the new run's state to `key` or `workflow.key` of the upstream's final state; a trailing `?`
    lets it be missing.
    """

    workflows: tuple[str, ...]
    require: Literal["all", "any"] = "all"
    on: UpstreamEnd = "success"
    within: float | None = None
    period: Period | None = None
    take: dict[str, str] = {}


class Expect(Struct, frozen=True, omit_defaults=True):
    """What is promised of each fire; a breach is told once.

    `start_within` are seconds from the nominal instant to the start of the run, `finish_within`
    from its start to its end. `finish_by` is wall time in the schedule's zone: the first such
    moment after the nominal instant, by which the run must have succeeded.
    """

    start_within: float | None = None
    finish_within: float | None = None
    finish_by: str | None = None


class ScheduleSpec(Struct, frozen=True, omit_defaults=True):
    """When a workflow is started, with what, under which policies; what is stored and edited.

    Exactly one of `cron`, `every_seconds`, `at` or `after` is set.
    """

    workflow: str
    cron: str | None = None
    every_seconds: float | None = None
    anchor: datetime | None = None
    at: datetime | None = None
    after: After | None = None
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
    exclude: tuple[str, ...] = ()  # calendars; what falls into them is skipped
    expect: Expect | None = None
    pause_after_failures: int | None = None  # consecutive failed runs


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


class BreachInfo(Struct, frozen=True, omit_defaults=True):
    """A promise that was not kept, by one fire of a schedule."""

    kind: BreachKind
    due: datetime
    at: datetime  # when it was noticed
    local: str  # nominal wall time of the fire
    text: str
    run_id: str | None = None


class UpstreamState(Struct, frozen=True, omit_defaults=True):
    """What a schedule that comes after others has seen of one of them since its last fire."""

    workflow: str
    met: bool
    text: str
    run_id: str | None = None
    at: datetime | None = None


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
    next_excluded: str | None = None  # why the next fire will be skipped by a calendar
    failures: int = 0  # consecutive failed runs
    last_breach: BreachInfo | None = None
    breaches: int = 0  # in the last 7 days
    upstream: tuple[UpstreamState, ...] = ()
    backfill: BackfillInfo | None = None  # the one that is not finished


class ClockChange(Struct, frozen=True, omit_defaults=True):
    """The next change of the clocks in a schedule's zone, with the fires on both sides of it.

    `before` is left out where it is the last of the fires that are shown.
    """

    at: datetime
    before: datetime | None = None
    after: datetime | None = None


class SchedulePreview(Struct, frozen=True, omit_defaults=True):
    """What a spec would do: plain English and the next instants, or the problem with it."""

    summary: str
    fires: tuple[datetime, ...] = ()
    problem: str | None = None
    excluded: tuple[Excluded, ...] = ()  # those of `fires` that a calendar skips
    clock_change: ClockChange | None = None  # where it comes after the last of `fires`, within a year
    changes: tuple[str, ...] = ()  # of an edit: what it changes, one setting each
    plan: str = ""  # of an edit: the token that saves exactly this


class Excluded(Struct, frozen=True):
    at: datetime
    reason: str


class ScheduleAdded(Struct, frozen=True):
    """`created` is False where the very same schedule already stood."""

    id: str
    created: bool


# --- looking back and ahead ----------------------------------------------------------------------


class ExplainLine(Struct, frozen=True, omit_defaults=True):
    """One fact of an explanation; `tone` is plain, good, warn or bad."""

    text: str
    at: datetime | None = None
    tone: str = "plain"


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Why a schedule did or did not run, in the order in which one asks."""

    schedule_id: str
    workflow: str
    headline: str
    lines: tuple[ExplainLine, ...] = ()
    fires: tuple[FireInfo, ...] = ()  # those that were asked about


class AgendaLane(Struct, frozen=True, omit_defaults=True):
    """One schedule over the spans of an agenda. Each tuple has one item a span."""

    schedule_id: str
    workflow: str
    planned: tuple[int, ...]  # fires to come, those that a calendar skips left out
    excluded: tuple[int, ...]
    past: tuple[dict[str, int], ...]  # fires that were, by run status, or by outcome where nothing ran
    typical_seconds: float | None = None
    paused: bool = False


class Agenda(Struct, frozen=True, omit_defaults=True):
    """What fires and has fired between consecutive `edges`."""

    edges: tuple[datetime, ...]
    lanes: tuple[AgendaLane, ...]
    more: int = 0  # schedules that are left out


class CalendarSpan(Struct, frozen=True):
    start: datetime
    end: datetime
    name: str


class CalendarInfo(Struct, frozen=True, omit_defaults=True):
    """An exclusion calendar: where it is from, what comes next in it, or what is wrong with it."""

    name: str
    path: str | None = None
    problem: str | None = None
    upcoming: tuple[CalendarSpan, ...] = ()
    used_by: tuple[str, ...] = ()  # ids of schedules


# --- backfill ------------------------------------------------------------------------------------


class BackfillSpec(Struct, frozen=True, omit_defaults=True):
    """Fires of a schedule between two instants, both included, that are to be run now.

    `redo` says which: missing (no run was started), failed (these, and those whose run did not
    succeed) or all. Its runs are apart from the schedule's own `overlap`.
    """

    schedule_id: str
    start: datetime
    end: datetime
    order: Literal["oldest", "newest"] = "oldest"
    concurrency: int = 1
    redo: Literal["missing", "failed", "all"] = "missing"


class BackfillPreview(Struct, frozen=True, omit_defaults=True):
    """What a backfill would run. With `problem`, it is refused."""

    count: int
    first: datetime | None = None
    last: datetime | None = None
    left_out: int = 0  # fires that ran already
    excluded: int = 0  # fires that a calendar skips
    sample: tuple[datetime, ...] = ()  # in the order in which they would run, at most 10
    typical_seconds: float | None = None
    estimate_seconds: float | None = None
    version: str | None = None
    problem: str | None = None
    plan: str = ""  # the token that starts exactly this


class BackfillInfo(Struct, frozen=True, omit_defaults=True):
    id: int
    workflow: str
    spec: BackfillSpec
    status: BackfillStatus
    total: int
    by: str
    created_at: datetime
    running: int = 0
    succeeded: int = 0
    failed: int = 0  # failed, rejected or cancelled
    finished_at: datetime | None = None
    note: str = ""
    problem: str | None = None
    left_out: tuple[str, ...] = ()  # where it is started by a plan: the fires that changed since, and how
