"""The policies of schedules as pure functions: catch-up, misfires and overlap.

The scheduling loop reads and writes; this module only decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from victor_engine.api import ScheduleSpec
from victor_engine.domain.statuses import FireOutcome, RunStatus
from victor_engine.scheduling.describe import elapsed
from victor_engine.scheduling.downtime import Gap
from victor_engine.scheduling.timing import Nominal, Timing
from victor_engine.store.queries.schedule_runs import ActiveRun

MAX_ROWS = 1000
"""The number of fires of one schedule that are decided one by one. Older fires are recorded in one row."""

MAX_COUNT = 100_000
"""The number of fires up to which that row has an exact count. Above it, the row says "more than"."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The oldest fires of a long downtime, recorded as one range. `more` marks the count as a lower bound."""

    first: Nominal
    last: Nominal
    count: int
    more: bool

    def __str__(self) -> str:
        count = f"more than {self.count:,}" if self.more else f"{self.count:,}"
        return f"{count} fires from {self.first.local} to {self.last.local}, recorded as one row"


@dataclass(frozen=True, slots=True)
class Backlog:
    """The due fires without an outcome: the newest, oldest first, and the range before them."""

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
    """Return the fires after `after` that are due by `until`.

    Without `jitter`, a fire counts as due at its nominal instant. The cost is bounded, however long the period is.
    """
    due = _due if jitter else _nominal
    first = list(islice(due(timing, after, until), MAX_ROWS + 1))
    if len(first) <= MAX_ROWS:
        return Backlog(tuple(first))
    # Too many to list: find the newest in a period that doubles, and count the rest.
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
class CatchupDecision:
    """The decision on a due fire: missed, with the reason in `missed`, or to be run, with `late` if it is late."""

    nominal: Nominal
    missed: str | None = None
    late: str | None = None


def apply_catchup(
    spec: ScheduleSpec,
    timing: Timing,
    fires: Sequence[Nominal],
    now: datetime,
    grace: float,
    gaps: Sequence[Gap] = (),
    excluded: Callable[[Nominal], bool] = lambda nominal: False,
) -> list[CatchupDecision]:
    """Return for each due fire whether it runs or is missed, oldest first.

    With `latest`, the newest fire runs that no calendar excludes and that is not older than the catch-up window.

    Args:
        spec: The spec with `catchup` and `catchup_window`.
        timing: The times of the spec.
        fires: The due fires, oldest first.
        now: The present instant.
        grace: Seconds after which a due fire is a misfire. A misfire runs only if `catchup` allows it.
        gaps: The downtimes that explain missed fires.
        excluded: Returns whether a calendar of the schedule excludes a fire.
    """
    limit = now - timedelta(seconds=grace)
    oldest = now - timedelta(seconds=spec.catchup_window) if spec.catchup_window is not None else None
    latest = None
    if spec.catchup == "latest":
        latest = next((each for each in reversed(fires) if not excluded(each)), None)
    decisions: list[CatchupDecision] = []
    span = ""
    for nominal in fires:
        due = timing.due(nominal)
        if due >= limit:
            decisions.append(CatchupDecision(nominal))
            continue
        if not span:
            span = f"the schedule was not checked from {nominal.local} until {timing.nominal(now).local[:16]}"
        gap = next((gap for gap in gaps if gap.covers(due)), None)
        why = f"missed: {gap if gap is not None else span}"
        if spec.catchup == "none":
            decisions.append(CatchupDecision(nominal, f"{why}; catchup is off"))
        elif oldest is not None and nominal.instant < oldest:
            decisions.append(CatchupDecision(nominal, f"{why}; older than the catch-up window"))
        elif latest is not None and nominal.instant < latest.instant:
            words = f"catchup is latest, and the fire of {latest.local} is the newest that may run"
            decisions.append(CatchupDecision(nominal, f"{why}; {words}"))
        else:
            late = elapsed((now - due).total_seconds())
            decisions.append(CatchupDecision(nominal, None, f"caught up, {late} late"))
    return decisions


@dataclass(frozen=True, slots=True)
class OverlapDecision:
    """The outcome of a fire by the overlap policy. `cancel` has the keys of the runs to cancel first."""

    outcome: FireOutcome
    reason: str
    cancel: tuple[int, ...] = ()


def apply_overlap(
    spec: ScheduleSpec, active: Sequence[ActiveRun], late: str | None = None
) -> OverlapDecision:
    """Return whether `overlap` and `max_active_runs` start, queue or skip one more run.

    Fires that are caught up with `catchup: all` are queued even if `overlap` is skip. Otherwise all but the first
    of them would be skipped.
    """
    if spec.overlap == "allow" or len(active) < spec.max_active_runs:
        return OverlapDecision(FireOutcome.STARTED, late or "due")
    last = active[-1]
    held = [run for run in active if run.held]
    words = f"run {last.run_id} is still {last.status}"
    prefix = f"{late}; " if late else ""
    if spec.overlap == "cancel_running":
        # The oldest runs give up their places, as many as needed for one more run.
        oldest = active[: len(active) - spec.max_active_runs + 1]
        words = ", ".join(f"run {run.run_id}" for run in oldest)
        reason = f"{prefix}{words} is cancelled first (overlap is cancel_running)"
        return OverlapDecision(FireOutcome.QUEUED, reason, tuple(run.key for run in oldest))
    if spec.overlap == "skip" and not (late and spec.catchup == "all"):
        return OverlapDecision(FireOutcome.SKIPPED, f"{words}, and overlap is skip")
    if spec.overlap == "buffer_one" and held:
        return OverlapDecision(
            FireOutcome.SKIPPED,
            f"run {held[0].run_id} is already queued (overlap is buffer_one; {words})",
        )
    rule = "catch-up runs one fire at a time" if spec.overlap == "skip" else f"overlap is {spec.overlap}"
    return OverlapDecision(
        FireOutcome.QUEUED, f"{prefix}behind run {last.run_id}, which is {last.status} ({rule})"
    )


Previous = tuple[str, str]
"""Id and status of the run of the fire before."""


def wait_words(spec: ScheduleSpec, previous: Previous | None) -> str | None:
    """Return why a run waits for the run of the fire before; None if it does not."""
    if spec.wait_for_previous is None or previous is None or previous[1] == RunStatus.SUCCEEDED:
        return None
    return f"waits until run {previous[0]}, which is {previous[1]}, succeeds (wait_for_previous is success)"


def apply_wait(
    spec: ScheduleSpec, decision: OverlapDecision, previous: Previous | None, late: str | None = None
) -> OverlapDecision:
    """Return the decision on a fire whose run may have to wait for the success of the run before it."""
    words = wait_words(spec, previous)
    if decision.outcome is not FireOutcome.STARTED or words is None:
        return decision
    return OverlapDecision(FireOutcome.QUEUED, f"{late}; {words}" if late else words)


def releasable(
    spec: ScheduleSpec, active: Sequence[ActiveRun], previous: Mapping[int, Previous | None]
) -> list[ActiveRun]:
    """Return the held runs that may start now, oldest first. `previous` has the run before each of them, by key."""
    held = [run for run in active if run.held]
    free = [run for run in held if wait_words(spec, previous.get(run.key)) is None]
    if spec.overlap == "allow":
        return free
    slots = spec.max_active_runs - (len(active) - len(held))
    return free[: max(0, slots)]
