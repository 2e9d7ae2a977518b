"""The statuses that the store keeps and the port shows, with a sentence for each."""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class RunStatus(StrEnum):
    """The status of a run. The last four are final."""

    QUEUED = "queued"
    """Accepted; waits for a free slot, or for the end of a run with its concurrency key."""
    RUNNING = "running"
    """At least one node is active, of its body or of a handler of its end."""
    WAITING = "waiting"
    """The run waits for a person, a time, a file, an HTTP response or another run. No node is active."""
    PAUSING = "pausing"
    """A pause was requested. Active nodes end, and no other node starts."""
    PAUSED = "paused"
    """Paused by an operator. No node is active."""
    CANCELLING = "cancelling"
    """A cancellation was requested. Some of its work, `on_cancel` or `finally` has not ended yet."""
    SUCCEEDED = "succeeded"
    """All its nodes are done."""
    FAILED = "failed"
    """Ended by an error. Unless it is a child that its parent waits for, it is a dead letter."""
    REJECTED = "rejected"
    """Ended because a person rejected and no branch handles the rejection."""
    CANCELLED = "cancelled"
    """Ended by an operator, by its schedule's overlap policy, by its concurrency key, or with its parent."""


FINAL_RUN_STATUSES: frozenset[str] = frozenset(
    {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.REJECTED, RunStatus.CANCELLED}
)
"""Statuses of runs that have ended."""

ACTIVE_RUN_STATUSES: frozenset[str] = frozenset(RunStatus) - FINAL_RUN_STATUSES
"""Statuses of runs that have not ended."""


@unique
class AttemptStatus(StrEnum):
    """The status of one try of a node."""

    RUNNING = "running"
    """Active."""
    WAITING = "waiting"
    """Waits for an answer, a time, a file, an HTTP response or a child run."""
    RETRYING = "retrying"
    """Failed; another attempt is due at `retry_at`."""
    SUCCEEDED = "succeeded"
    """Its result is committed."""
    FAILED = "failed"
    """Ended by an error."""
    CANCELLED = "cancelled"
    """Ended because the run or the branch no longer needs it."""
    INTERRUPTED = "interrupted"
    """The engine stopped before it finished."""


@unique
class RequestStatus(StrEnum):
    """The status of a request to people."""

    OPEN = "open"
    """Can be answered."""
    ANSWERED = "answered"
    """Decided. While `settles_at` is set, the answer can still be undone."""
    EXPIRED = "expired"
    """Its deadline passed, and its `on_timeout` took effect."""
    WITHDRAWN = "withdrawn"
    """Its run no longer needs the answer."""


@unique
class NodeStatus(StrEnum):
    """The status of a node in a run: the status of its last attempt, or pending or skipped without an attempt."""

    PENDING = "pending"
    """The run has not reached it yet."""
    RUNNING = "running"
    """Active."""
    WAITING = "waiting"
    """Waits for an answer, a time, a file, an HTTP response or a child run."""
    RETRYING = "retrying"
    """Failed; another attempt is due."""
    SUCCEEDED = "succeeded"
    """Done."""
    FAILED = "failed"
    """Failed without another attempt."""
    CANCELLED = "cancelled"
    """Ended because the run or the branch no longer needs it."""
    INTERRUPTED = "interrupted"
    """The engine stopped before it finished."""
    SKIPPED = "skipped"
    """The run ended without reaching it."""


@unique
class FireOutcome(StrEnum):
    """The outcome of a fire."""

    STARTED = "started"
    """A run was created and gets a slot as soon as one is free."""
    QUEUED = "queued"
    """A run was created and waits behind another run of its schedule."""
    SKIPPED = "skipped"
    """A policy, a calendar or an operator skipped it."""
    MISSED = "missed"
    """It was due while no engine ran, and the catch-up policy does not run it."""
    BACKFILLED = "backfilled"
    """A backfill started it."""


@unique
class ScheduleStatus(StrEnum):
    """The status of a schedule, computed from its stored settings (`schedule_status`)."""

    ACTIVE = "active"
    """Starts runs at its times."""
    PAUSED = "paused"
    """Paused by an operator, or after failures. Its fires are skipped until it is resumed."""
    DISABLED = "disabled"
    """Its spec has `enabled: false`. Its fires are skipped until it is enabled."""
    VANISHED = "vanished"
    """Its workflow or its `schedule:` block was removed from the files. It returns with them, unchanged."""
    REMOVED = "removed"
    """Removed by an operator. Its history is kept."""


def schedule_status(*, removed: bool, vanished: bool, paused: bool, enabled: bool) -> ScheduleStatus:
    """Return the status of a schedule. A schedule that vanished is also stored as removed."""
    if vanished:
        return ScheduleStatus.VANISHED
    if removed:
        return ScheduleStatus.REMOVED
    if paused:
        return ScheduleStatus.PAUSED
    return ScheduleStatus.ACTIVE if enabled else ScheduleStatus.DISABLED


@unique
class BackfillStatus(StrEnum):
    """The status of a backfill."""

    RUNNING = "running"
    """Starts its fires as slots become free."""
    PAUSED = "paused"
    """Starts no fires until it is resumed."""
    CANCELLED = "cancelled"
    """Starts no further fires."""
    FINISHED = "finished"
    """All its fires were started, and their runs have ended."""
