"""What becomes of the fires that are due: pure decisions, given the time, the spec and what runs.

The loop reads and writes; everything that has to be judged is judged here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from victor_engine.api import ScheduleSpec
from victor_engine.domain.statuses import FireOutcome
from victor_engine.scheduling.describe import elapsed
from victor_engine.scheduling.downtime import Gap
from victor_engine.scheduling.timing import Nominal, Timing
from victor_engine.store.queries.schedule_runs import ActiveRun

MAX_ROWS = 1000
"""Fires of one schedule that are decided one by one at one time; older ones are put into one row."""

MAX_COUNT = 100_000
"""Fires of that one row that are counted; beyond it the row says "more than"."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The oldest fires of a long absence: recorded as a range. `more` says that the count is a lower bound."""

    first: Nominal
    last: Nominal
    count: int
    more: bool

    def __str__(self) -> str:
        count = f"more than {self.count:,}" if self.more else f"{self.count:,}"
        return f"{count} fires from {self.first.local} to {self.last.local}, recorded as one"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is due and not yet decided: the newest fires, oldest first, and what came before them."""

    fires: tuple[Nominal, ...]
    cut: Cut | None = None


def _due(timing: Timing, after: datetime, until: datetime) -> Iterator[Nominal]:
    cursor = after
    while (nominal := timing.next_after(cursor)) is not None and timing.due(nominal) <= until:
        yield nominal
        cursor = nominal.instant


def _nominal(timing: Timing, after: datetime, until: datetime) -> Iterator[Nominal]:
    return map(timing.nominal, takewhile(lambda instant: instant <= until, timing.instants(after)))


def backlog(timing: Timing, after: datetime, until: datetime, *, jitter: bool = True) -> Backlog:
    """All fires after `after` that are due by `until`; without `jitter`, those whose nominal instant has come.

    Its cost is bounded, however long that is.
    """
    due = _due if jitter else _nominal
    first = list(islice(due(timing, after, until), MAX_ROWS + 1))
    if len(first) <= MAX_ROWS:
        return Backlog(tuple(first))
    # Too many to list: the newest, found by looking back ever further. The rest is counted.
    span = timedelta(hours=1)
    newest: deque[Nominal] = deque()
    while len(newest) <= MAX_ROWS:
        span *= 2
        newest = deque(due(timing, max(after, until - span), until), maxlen=MAX_ROWS + 1)
    last = newest.popleft()
    older = takewhile(lambda instant: instant <= last.instant, timing.instants(after))
    count = sum(1 for _ in islice(older, MAX_COUNT + 1))
    return Backlog(tuple(newest), Cut(first[0], last, min(count, MAX_COUNT), count > MAX_COUNT))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A due fire: to be run, or missed for `missed`. `late` is how it is told that it runs after its time."""

    nominal: Nominal
    missed: str | None = None
    late: str | None = None


def judge(
    spec: ScheduleSpec,
    timing: Timing,
    fires: Sequence[Nominal],
    now: datetime,
    grace: float,
    gaps: Sequence[Gap] = (),
) -> list[Verdict]:
    """Which of the due fires run and which count as missed, oldest first.

    A fire is late when `grace` seconds have passed since it was due. What is late runs only if
    `catchup` says so, and is not older than `catchup_window`. `gaps` say why nobody was there.
    """
    limit = now - timedelta(seconds=grace)
    oldest = now - timedelta(seconds=spec.catchup_window) if spec.catchup_window is not None else None
    verdicts: list[Verdict] = []
    span = ""
    for nominal in fires:
        due = timing.due(nominal)
        if due >= limit:
            verdicts.append(Verdict(nominal))
            continue
        if not span:
            span = f"nothing looked at it from {nominal.local} until {timing.nominal(now).local[:16]}"
        gap = next((gap for gap in gaps if gap.covers(due)), None)
        why = f"missed: {gap if gap is not None else span}"
        if spec.catchup == "none":
            verdicts.append(Verdict(nominal, f"{why}; catchup is off"))
        elif spec.catchup == "latest" and nominal is not fires[-1]:
            verdicts.append(Verdict(nominal, f"{why}; catchup is latest, and a later one runs"))
        elif oldest is not None and nominal.instant < oldest:
            verdicts.append(Verdict(nominal, f"{why}; older than the catch-up window"))
        else:
            late = elapsed((now - due).total_seconds())
            verdicts.append(Verdict(nominal, None, f"caught up, {late} late"))
    return verdicts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fire goes: started, queued (behind a run) or skipped; `cancel` are runs to be cancelled first."""

    outcome: FireOutcome
    reason: str
    cancel: tuple[int, ...] = ()


def place(spec: ScheduleSpec, active: Sequence[ActiveRun], late: str | None = None) -> Place:
    """What `overlap` and `max_active_runs` say to one more run.

    Fires that are caught up under `catchup: all` wait for each other where `overlap` is skip:
    to skip all but the first of them would catch up nothing.
    """
    if spec.overlap == "allow" or len(active) < spec.max_active_runs:
        return Place(FireOutcome.STARTED, late or "due")
    last = active[-1]
    held = [run for run in active if run.held]
    words = f"run {last.run_id} is still {last.status}"
    prefix = f"{late}; " if late else ""
    if spec.overlap == "cancel_running":
        reason = f"{prefix}{words}; it is cancelled first (overlap is cancel_running)"
        return Place(FireOutcome.QUEUED, reason, tuple(run.key for run in active))
    if spec.overlap == "skip" and not (late and spec.catchup == "all"):
        return Place(FireOutcome.SKIPPED, f"{words}, and overlap is skip")
    if spec.overlap == "buffer_one" and held:
        return Place(
            FireOutcome.SKIPPED,
            f"run {held[0].run_id} already waits for its turn (overlap is buffer_one; {words})",
        )
    rule = "one after the other" if spec.overlap == "skip" else f"overlap is {spec.overlap}"
    return Place(FireOutcome.QUEUED, f"{prefix}behind {last.run_id}, which is {last.status} ({rule})")


def released(spec: ScheduleSpec, active: Sequence[ActiveRun]) -> list[ActiveRun]:
    """Which of the held runs may start now, oldest first."""
    held = [run for run in active if run.held]
    if spec.overlap == "allow":
        return held
    room = spec.max_active_runs - (len(active) - len(held))
    return held[: max(0, room)]
