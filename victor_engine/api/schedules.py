"""The structs of schedules, fires, previews and backfills."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.domain.statuses import BackfillStatus, FireOutcome, schedule_status
from victor_engine.domain.transitions import ScheduleCommand, schedule_refusal

UpstreamEnd = Literal["success", "failure", "completion"]
Require = Literal["all", "any", "complete"]
Period = Literal["exact", "hour", "day", "week", "month"]
BreachKind = Literal["start_within", "finish_within", "finish_by"]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]
Catchup = Literal["none", "latest", "all"]
OnExcluded = Literal["skip", "next_day", "previous_day"]


class After(Struct, frozen=True, omit_defaults=True):
    """The dependencies of a schedule: it fires when runs of other workflows have finished.

    `on` selects the outcomes: success is succeeded, failure is failed or rejected, completion is any.
    If `require` is `all`, each workflow must have finished with such an outcome since the last fire, within
    `within` seconds of each other, and in the same `period` (by the nominal instant of the upstream run in
    the time zone of the schedule; `exact` requires the same nominal instant). If it is `complete`, all runs of the fires
    of each workflow in the `period` must have finished with such an outcome. `take` maps keys of the state
    of the new run to `key` or `workflow.key` of the final state of the upstream run; a trailing `?` makes a
    key optional.
    """

    workflows: tuple[str, ...]
    require: Require = "all"
    on: UpstreamEnd = "success"
    within: float | None = None
    period: Period | None = None
    take: dict[str, str] = {}


class Expect(Struct, frozen=True, omit_defaults=True):
    """The expectation on the run of each fire. A breach is reported once.

    `start_within` is the maximum of seconds from the nominal instant to the start of the run, `finish_within`
    from its start to its end. `finish_by` is a wall time in the time zone of the schedule: the run must have
    succeeded by the first such time after the nominal instant.
    """

    start_within: float | None = None
    finish_within: float | None = None
    finish_by: str | None = None


class ScheduleSpec(Struct, frozen=True, omit_defaults=True):
    """The stored settings of a schedule: times, initial state and policies. Durations are seconds.

    Exactly one of `cron`, `every_seconds`, `at` or `after` is set. With `every_at`, a wall time such as `09:00`, the
    interval is of whole days in the time zone of the schedule; without it, `every_seconds` is elapsed time.
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
    misfire_grace: float = 60.0  # a fire that is decided later than this is missed
    overlap: Overlap = "skip"
    max_active_runs: int = 1
    jitter: float = 0.0
    start_date: datetime | None = None
    end_date: datetime | None = None
    max_runs: int | None = None
    priority: int = 0
    description: str = ""
    exclude: tuple[str, ...] = ()  # names of exclusion calendars
    expect: Expect | None = None
    pause_after_failures: int | None = None  # consecutive failed runs
    every_at: str | None = None  # the wall time of an interval of whole days
    on_excluded: OnExcluded = "skip"  # the day to which a fire moves that a calendar excludes
    wait_for_previous: Literal["success"] | None = (
        None  # a run waits until the run of the fire before succeeds
    )


class PauseInfo(Struct, frozen=True, omit_defaults=True):
    """A pause or drain: the user, the time, and the automatic end."""

    by: str
    at: datetime
    note: str = ""
    until: datetime | None = None


class FireInfo(Struct, frozen=True, omit_defaults=True):
    """One nominal instant of a schedule with its outcome."""

    id: int
    schedule_id: str
    workflow: str
    nominal: datetime
    local: str  # nominal wall time in the time zone of the schedule, `2026-03-08T02:30`
    fold: int
    outcome: FireOutcome
    reason: str
    decided_at: datetime
    actor: str = "engine"
    run_id: str | None = None
    run_status: str | None = None
    run_seconds: float | None = None
    timezone: str = ""  # the zone of `local`; empty for the fire of a dependency


class BreachInfo(Struct, frozen=True, omit_defaults=True):
    """An expectation that one fire did not meet."""

    kind: BreachKind
    due: datetime
    at: datetime  # the instant of detection
    local: str  # nominal wall time of the fire
    text: str
    run_id: str | None = None


class UpstreamState(Struct, frozen=True, omit_defaults=True):
    """The status of one dependency of a schedule since its last fire."""

    workflow: str
    met: bool
    text: str
    run_id: str | None = None
    at: datetime | None = None


class ScheduleInfo(Struct, frozen=True, omit_defaults=True):
    """One schedule with its spec, its status and its recent fires."""

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
    problem: str | None = None  # why it cannot fire
    next_excluded: str | None = None  # why a calendar excludes the next fire
    next_moved: MovedFire | None = None  # the origin of the next fire, if a calendar moved it
    failures: int = 0  # consecutive failed runs
    last_breach: BreachInfo | None = None
    breaches: int = 0  # in the last 7 days
    upstream: tuple[UpstreamState, ...] = ()
    backfill: BackfillInfo | None = None  # the unfinished backfill


def schedule_refused(schedule: ScheduleInfo, command: ScheduleCommand) -> str | None:
    """Return why a schedule refuses a command, as the end of a sentence about it; None if it accepts it.

    Permissions are not checked.
    """
    status = schedule_status(
        removed=False, vanished=False, paused=schedule.paused is not None, enabled=schedule.spec.enabled
    )
    fires = schedule.next_fire is not None or schedule.spec.after is not None
    return schedule_refusal(status, command, fires=fires)


class ClockChange(Struct, frozen=True, omit_defaults=True):
    """The next clock change in the time zone of a schedule, with the fires before and after it.

    `before` is None if it is the last of the previewed fires.
    """

    at: datetime
    before: datetime | None = None
    after: datetime | None = None


class SchedulePreview(Struct, frozen=True, omit_defaults=True):
    """A preview of a spec: its description and next fires, or the problem with it."""

    summary: str
    fires: tuple[datetime, ...] = ()
    problem: str | None = None
    excluded: tuple[Excluded, ...] = ()  # those of `fires` that a calendar excludes
    clock_change: ClockChange | None = None  # if it is after the last of `fires`, within a year
    changes: tuple[str, ...] = ()  # of an edit: one line for each changed setting
    plan: str = ""  # of an edit: the token that applies exactly this edit
    moved: tuple[MovedFire, ...] = ()  # those of `fires` that moved because a calendar excludes another day


class MovedFire(Struct, frozen=True):
    """A fire that moved to `at`, because a calendar excludes `origin`."""

    at: datetime
    origin: datetime
    reason: str


class Excluded(Struct, frozen=True):
    """A fire that a calendar excludes."""

    at: datetime
    reason: str


class ScheduleAdded(Struct, frozen=True):
    """The result of adding a schedule. `created` is False if the same schedule already exists."""

    id: str
    created: bool


# --- explanations and previews ----------------------------------------------------------------------


class ExplainLine(Struct, frozen=True, omit_defaults=True):
    """One fact of an explanation. `tone` is plain, good, warn or bad."""

    text: str
    at: datetime | None = None
    tone: str = "plain"


class Explanation(Struct, frozen=True, omit_defaults=True):
    """The explanation why a schedule did or did not fire."""

    schedule_id: str
    workflow: str
    headline: str
    lines: tuple[ExplainLine, ...] = ()
    fires: tuple[FireInfo, ...] = ()  # the fires in question


class AgendaLane(Struct, frozen=True, omit_defaults=True):
    """One schedule of an agenda. Each tuple has one item for each period."""

    schedule_id: str
    workflow: str
    planned: tuple[int, ...]  # future fires, without excluded ones
    excluded: tuple[int, ...]
    past: tuple[dict[str, int], ...]  # past fires by run status, or by outcome if no run started
    typical_seconds: float | None = None
    paused: bool = False


class Agenda(Struct, frozen=True, omit_defaults=True):
    """The numbers of past and future fires between consecutive `edges`."""

    edges: tuple[datetime, ...]
    lanes: tuple[AgendaLane, ...]
    more: int = 0  # number of omitted schedules


class CalendarSpan(Struct, frozen=True):
    """One entry of an exclusion calendar."""

    start: datetime
    end: datetime
    name: str


class CalendarInfo(Struct, frozen=True, omit_defaults=True):
    """An exclusion calendar with its source, its next entries, or its problem."""

    name: str
    path: str | None = None
    problem: str | None = None
    upcoming: tuple[CalendarSpan, ...] = ()
    used_by: tuple[str, ...] = ()  # ids of schedules


# --- backfill ------------------------------------------------------------------------------------


class BackfillSpec(Struct, frozen=True, omit_defaults=True):
    """A backfill to start: the fires of a schedule from `start` to `end`, both included.

    `redo` selects fires: missing (no run was started), failed (missing, and those whose run did not
    succeed) or all. The `overlap` policy of the schedule does not apply to its runs.
    """

    schedule_id: str
    start: datetime
    end: datetime
    order: Literal["oldest", "newest"] = "oldest"
    concurrency: int = 1
    redo: Literal["missing", "failed", "all"] = "missing"


class BackfillPreview(Struct, frozen=True, omit_defaults=True):
    """A preview of a backfill. If `problem` is set, the backfill would be refused."""

    count: int
    first: datetime | None = None
    last: datetime | None = None
    left_out: int = 0  # fires that already have a run
    excluded: int = 0  # fires that a calendar excludes
    sample: tuple[datetime, ...] = ()  # the first fires in the order of their start, at most 10
    typical_seconds: float | None = None
    estimate_seconds: float | None = None
    version: str | None = None
    problem: str | None = None
    plan: str = ""  # the token that starts exactly this backfill


class BackfillInfo(Struct, frozen=True, omit_defaults=True):
    """One backfill with its progress."""

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
    left_out: tuple[str, ...] = ()  # started with a plan: the fires that have changed since the preview
