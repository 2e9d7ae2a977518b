"""The state machines of runs and backfills: commands, the status that each leads to, the reason for each refusal."""

from __future__ import annotations

from enum import StrEnum, unique

from victor_engine.domain.statuses import BackfillStatus, RunStatus
from victor_engine.errors import ConflictError


@unique
class RunCommand(StrEnum):
    """A command of an operator on one run."""

    PAUSE = "pause"
    """Hold the run before its next node."""
    RESUME = "resume"
    """Let a paused run go on, or take back a pause."""
    CANCEL = "cancel"
    """End the run; on a run that is cancelling, kill what has not ended."""
    RETRY = "retry"
    """Go on from the node at which the run stopped."""
    REDRIVE = "redrive"
    """Go on from any node, with another state or version."""
    OVERRIDE = "override"
    """Set a node's limits for this run; the status stays."""


_Q, _R, _W = RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING
_PAUSING, _PAUSED, _CANCELLING = RunStatus.PAUSING, RunStatus.PAUSED, RunStatus.CANCELLING
_FAILED, _REJECTED, _CANCELLED = RunStatus.FAILED, RunStatus.REJECTED, RunStatus.CANCELLED

RUN_TRANSITIONS: dict[RunCommand, dict[RunStatus, RunStatus]] = {
    RunCommand.PAUSE: {_Q: _PAUSED, _W: _PAUSING, _R: _PAUSING},
    RunCommand.RESUME: {_PAUSED: _Q, _PAUSING: _R},
    RunCommand.CANCEL: dict.fromkeys((_Q, _R, _W, _PAUSING, _PAUSED, _CANCELLING), _CANCELLING),
    RunCommand.RETRY: dict.fromkeys((_FAILED, _CANCELLED), _Q),
    RunCommand.REDRIVE: dict.fromkeys((_FAILED, _CANCELLED, _REJECTED, _PAUSED), _Q),
    RunCommand.OVERRIDE: {status: status for status in (_Q, _R, _W, _PAUSING, _PAUSED)},
}
"""For each command, the statuses in which it is accepted and the status that follows.

A status that is missing refuses the command (`refusal`).
"""


_CAN: dict[RunCommand, str] = {
    RunCommand.PAUSE: "can be paused",
    RunCommand.CANCEL: "can be cancelled",
    RunCommand.RETRY: "can be retried",
    RunCommand.REDRIVE: "can be redriven",
    RunCommand.OVERRIDE: "can have the limits of a node changed",
}


def refusal(status: RunStatus, command: RunCommand) -> str | None:
    """Return why `command` is refused in `status`, as the rest of a sentence about the run; None if it is accepted."""
    accepted = RUN_TRANSITIONS[command]
    if status in accepted:
        return None
    if command is RunCommand.RESUME:
        return f"is {status}, not paused"
    if command is RunCommand.PAUSE and status in (_PAUSING, _PAUSED):
        return f"is {status} already"
    names = [*accepted]
    return f"is {status}; only a run that is {', '.join(names[:-1])} or {names[-1]} {_CAN[command]}"


def next_status(run_id: str, status: str, command: RunCommand) -> RunStatus:
    """Return the status that `command` leads to. Raise ConflictError with the reason if it is refused."""
    current = RunStatus(status)
    reason = refusal(current, command)
    if reason is not None:
        raise ConflictError(f"run {run_id} {reason}")
    return RUN_TRANSITIONS[command][current]


# --- backfills ---------------------------------------------------------------------------------


@unique
class BackfillCommand(StrEnum):
    """A command of an operator on one backfill."""

    PAUSE = "pause"
    """Start nothing more until it is resumed; what runs goes on."""
    RESUME = "resume"
    """Let a paused backfill go on."""
    CANCEL = "cancel"
    """Start nothing more; what runs goes on."""


BACKFILL_TRANSITIONS: dict[BackfillCommand, dict[BackfillStatus, BackfillStatus]] = {
    BackfillCommand.PAUSE: {BackfillStatus.RUNNING: BackfillStatus.PAUSED},
    BackfillCommand.RESUME: {BackfillStatus.PAUSED: BackfillStatus.RUNNING},
    BackfillCommand.CANCEL: dict.fromkeys(
        (BackfillStatus.RUNNING, BackfillStatus.PAUSED), BackfillStatus.CANCELLED
    ),
}
"""For each command, the statuses in which it is accepted and the status that follows."""

_CAN_BACKFILL: dict[BackfillCommand, str] = {
    BackfillCommand.PAUSE: "can be paused",
    BackfillCommand.RESUME: "can be resumed",
    BackfillCommand.CANCEL: "can be cancelled",
}


def backfill_refusal(status: BackfillStatus, command: BackfillCommand) -> str | None:
    """Return why `command` is refused, as the rest of a sentence about the backfill; None if it is accepted."""
    accepted = BACKFILL_TRANSITIONS[command]
    if status in accepted:
        return None
    return f"is {status}; only a backfill that is {' or '.join(accepted)} {_CAN_BACKFILL[command]}"


def next_backfill_status(
    backfill_id: int, status: BackfillStatus, command: BackfillCommand
) -> BackfillStatus:
    """Return the status that `command` leads to. Raise ConflictError with the reason if it is refused."""
    reason = backfill_refusal(status, command)
    if reason is not None:
        raise ConflictError(f"backfill {backfill_id} {reason}")
    return BACKFILL_TRANSITIONS[command][status]
