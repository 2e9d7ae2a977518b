"""The statuses that the store keeps and the port shows, with a sentence for each."""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class RunStatus(StrEnum):
    """The status of a run. The last four are final."""

    QUEUED = "queued"
    """Accepted; waits for a free slot."""
    RUNNING = "running"
    """At least one node is at work."""
    WAITING = "waiting"
    """Nothing is at work: the run waits for a person, a time, a file, an HTTP answer, or another run."""
    PAUSING = "pausing"
    """Told to pause. A node may still be at work; nothing starts after it."""
    PAUSED = "paused"
    """Held by an operator, with nothing at work."""
    CANCELLING = "cancelling"
    """Told to stop; something of it has not ended yet."""
    SUCCEEDED = "succeeded"
    """Ended with nothing left to do."""
    FAILED = "failed"
    """Ended by an error. Unless it is a child that its parent waits for, it is a dead letter."""
    REJECTED = "rejected"
    """Ended because a person rejected and no branch handles the rejection."""
    CANCELLED = "cancelled"
    """Ended by an operator, by its schedule's overlap policy, or with its parent."""


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
    """At work."""
    WAITING = "waiting"
    """Waits for an answer, a time, a file, an HTTP answer, or a child run."""
    RETRYING = "retrying"
    """Failed; another attempt is due at `retry_at`."""
    SUCCEEDED = "succeeded"
    """Its result is committed."""
    FAILED = "failed"
    """Ended by an error."""
    CANCELLED = "cancelled"
    """Ended because the run or the branch no longer needs it."""
    INTERRUPTED = "interrupted"
    """The engine ended while it was at work."""


@unique
class RequestStatus(StrEnum):
    """The status of a question to people."""

    OPEN = "open"
    """Can be answered."""
    ANSWERED = "answered"
    """Decided. While `settles_at` is set, the answer can still be taken back."""
    EXPIRED = "expired"
    """Its deadline passed, and its `on_timeout` decided."""
    WITHDRAWN = "withdrawn"
    """Nothing waits for an answer any more."""


@unique
class NodeStatus(StrEnum):
    """The status of a node in a run: that of its last attempt, or that it has none."""

    PENDING = "pending"
    """The run has not come to it yet."""
    RUNNING = "running"
    """At work."""
    WAITING = "waiting"
    """Waits for an answer, a time, a file, an HTTP answer, or a child run."""
    RETRYING = "retrying"
    """Failed; another attempt is due."""
    SUCCEEDED = "succeeded"
    """Done."""
    FAILED = "failed"
    """Failed for good."""
    CANCELLED = "cancelled"
    """Ended because the run or the branch no longer needs it."""
    INTERRUPTED = "interrupted"
    """The engine ended while it was at work."""
    SKIPPED = "skipped"
    """The run ended without coming to it."""


@unique
class FireOutcome(StrEnum):
    """The one outcome of a fire."""

    STARTED = "started"
    """A run was created, and takes a slot as soon as one is free."""
    QUEUED = "queued"
    """A run was created that waits behind another run of its schedule."""
    SKIPPED = "skipped"
    """A policy, a calendar or an operator left it out."""
    MISSED = "missed"
    """It was due while no engine decided it, and the catch-up policy leaves it out."""
    BACKFILLED = "backfilled"
    """A backfill started it."""


@unique
class ScheduleStatus(StrEnum):
    """The status of a schedule. It follows from what is stored of the schedule; see `schedule_status`."""

    ACTIVE = "active"
    """Starts runs when it is due."""
    PAUSED = "paused"
    """Held by an operator, or by its own failures; what is due is skipped until it is resumed."""
    DISABLED = "disabled"
    """Its spec says `enabled: false`; what is due is skipped until it is enabled."""
    VANISHED = "vanished"
    """Its workflow or its block is gone from the files; it comes back with them, as it was."""
    REMOVED = "removed"
    """Removed by an operator; its history stays."""


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
    """Starts nothing until it is resumed."""
    CANCELLED = "cancelled"
    """Starts nothing any more."""
    FINISHED = "finished"
    """All its fires have been started, and their runs have ended."""
