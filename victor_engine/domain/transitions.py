"""The state machines of runs, requests, schedules and backfills.

For each status and command they have the status that follows, or the reason of the refusal.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import NamedTuple

from victor_engine.domain.statuses import BackfillStatus, RequestStatus, RunStatus, ScheduleStatus
from victor_engine.errors import ConflictError


@unique
class RunCommand(StrEnum):
    """A command of an operator on one run."""

    PAUSE = "pause"
    """Pause the run before its next node."""
    RESUME = "resume"
    """Continue a paused run, or undo a pause."""
    CANCEL = "cancel"
    """Stop the run. A second time: force-kill its active work, and skip the handlers of its end."""
    RETRY = "retry"
    """Continue from the node at which the run stopped."""
    REDRIVE = "redrive"
    """Continue from any node, with another state or version."""
    OVERRIDE = "override"
    """Set the limits of a node for this run. The status does not change."""


_Q, _R, _W = RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING
_PAUSING, _PAUSED, _CANCELLING = RunStatus.PAUSING, RunStatus.PAUSED, RunStatus.CANCELLING
_FAILED, _REJECTED, _CANCELLED = RunStatus.FAILED, RunStatus.REJECTED, RunStatus.CANCELLED
_SUCCEEDED = RunStatus.SUCCEEDED

RUN_TRANSITIONS: dict[RunCommand, dict[RunStatus, RunStatus]] = {
    RunCommand.PAUSE: {_Q: _PAUSED, _W: _PAUSING, _R: _PAUSING},
    RunCommand.RESUME: {_PAUSED: _Q, _PAUSING: _R},
    RunCommand.CANCEL: dict.fromkeys((_Q, _R, _W, _PAUSING, _PAUSED, _CANCELLING), _CANCELLING),
    RunCommand.RETRY: dict.fromkeys((_FAILED, _CANCELLED), _Q),
    RunCommand.REDRIVE: dict.fromkeys((_FAILED, _CANCELLED, _REJECTED, _PAUSED, _SUCCEEDED), _Q),
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


# --- requests ----------------------------------------------------------------------------------


@unique
class RequestCommand(StrEnum):
    """A command on one request. People use the commands up to `reply`, the engine the others."""

    ANSWER = "answer"
    """Answer it. Until the quorum is reached, the answer is a vote and the request stays open."""
    PUSH_BACK = "push_back"
    """Answer it by sending the run back to a node that it has visited."""
    UNDO = "undo"
    """Undo an answer while its undo window is open."""
    CLAIM = "claim"
    """Mark it as being worked on. Other people can still answer it."""
    RELEASE = "release"
    """End a claim."""
    REASSIGN = "reassign"
    """Replace its assignees."""
    DELEGATE = "delegate"
    """Let another person answer in one's own place."""
    ASK = "ask"
    """Ask the requester a question. The deadline does not run until the reply."""
    REPLY = "reply"
    """Reply to a question to the requester. The deadline runs again."""
    EXPIRE = "expire"
    """Close it because its deadline has passed."""
    ESCALATE = "escalate"
    """Open it again, or ask more people, because its deadline has passed."""
    SETTLE = "settle"
    """Apply an answer whose undo window has ended."""
    WITHDRAW = "withdraw"
    """Close it because its run no longer needs the answer."""


_OPEN, _ANSWERED = RequestStatus.OPEN, RequestStatus.ANSWERED

REQUEST_TRANSITIONS: dict[RequestCommand, dict[RequestStatus, RequestStatus]] = {
    RequestCommand.ANSWER: {_OPEN: _ANSWERED},
    RequestCommand.PUSH_BACK: {_OPEN: _ANSWERED},
    RequestCommand.UNDO: {_ANSWERED: _OPEN},
    RequestCommand.CLAIM: {_OPEN: _OPEN},
    RequestCommand.RELEASE: {_OPEN: _OPEN},
    RequestCommand.REASSIGN: {_OPEN: _OPEN},
    RequestCommand.DELEGATE: {_OPEN: _OPEN},
    RequestCommand.ASK: {_OPEN: _OPEN},
    RequestCommand.REPLY: {_OPEN: _OPEN},
    RequestCommand.EXPIRE: {_OPEN: RequestStatus.EXPIRED},
    RequestCommand.ESCALATE: {_OPEN: _OPEN},
    RequestCommand.SETTLE: {_ANSWERED: _ANSWERED},
    RequestCommand.WITHDRAW: dict.fromkeys((_OPEN, _ANSWERED), RequestStatus.WITHDRAWN),
}
"""For each command, the statuses in which it is accepted and the status that follows.

Some commands need more than the status (`REQUEST_NEEDS`).
"""

_CAN_REQUEST: dict[RequestCommand, str] = {
    RequestCommand.ANSWER: "can be answered",
    RequestCommand.PUSH_BACK: "can send its run back",
    RequestCommand.UNDO: "has an answer that can be undone",
    RequestCommand.CLAIM: "can be claimed",
    RequestCommand.RELEASE: "can be released",
    RequestCommand.REASSIGN: "can be reassigned",
    RequestCommand.DELEGATE: "can be delegated",
    RequestCommand.ASK: "accepts questions to its requester",
    RequestCommand.REPLY: "accepts replies of its requester",
    RequestCommand.EXPIRE: "can expire",
    RequestCommand.ESCALATE: "can be escalated",
    RequestCommand.SETTLE: "has an answer that can be applied",
    RequestCommand.WITHDRAW: "can be withdrawn",
}


class RequestState(NamedTuple):
    """The properties of a request that decide which commands it accepts."""

    status: RequestStatus
    settling: bool = False  # its answer can still be undone
    held: bool = False  # its requester has not replied to a question yet
    takes_questions: bool = False  # its node has `allow_questions: true`

    @property
    def undecided(self) -> bool:
        """Whether no answer has been applied yet."""
        return self.status is _OPEN or self.settling


REQUEST_NEEDS: dict[RequestCommand, tuple[str, str]] = {
    RequestCommand.UNDO: (
        "settling",
        "has an answer that already counts: its undo window has ended, or its node has no undo_window",
    ),
    RequestCommand.SETTLE: ("settling", "has an answer that already counts"),
    RequestCommand.WITHDRAW: ("undecided", "has an answer that already counts"),
    RequestCommand.ASK: (
        "takes_questions",
        "does not accept questions to its requester (its node needs allow_questions: true)",
    ),
    RequestCommand.REPLY: ("held", "has no open question to its requester"),
}
"""The property that a command needs in addition, and the reason of the refusal without it."""


def request_refusal(state: RequestState, command: RequestCommand) -> str | None:
    """Return why `command` is refused, as the rest of a sentence about the request; None if it is accepted."""
    accepted = REQUEST_TRANSITIONS[command]
    if state.status not in accepted:
        return f"is {state.status}; only a request that is {' or '.join(accepted)} {_CAN_REQUEST[command]}"
    if command not in REQUEST_NEEDS:
        return None
    need, reason = REQUEST_NEEDS[command]
    return None if getattr(state, need) else reason


# --- schedules ---------------------------------------------------------------------------------


@unique
class ScheduleCommand(StrEnum):
    """A command of an operator on one schedule."""

    PAUSE = "pause"
    """Pause it: its fires are skipped until it is resumed. A new pause replaces the old one."""
    RESUME = "resume"
    """End its pause, or enable it."""
    SKIP = "skip"
    """Skip its next fire."""
    TRIGGER = "trigger"
    """Start a run immediately, regardless of its times."""
    REMOVE = "remove"
    """Remove it. Its history is kept."""


_ACTIVE, _HELD, _DISABLED = ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED, ScheduleStatus.DISABLED

SCHEDULE_TRANSITIONS: dict[ScheduleCommand, dict[ScheduleStatus, ScheduleStatus]] = {
    ScheduleCommand.PAUSE: dict.fromkeys((_ACTIVE, _HELD, _DISABLED), _HELD),
    ScheduleCommand.RESUME: dict.fromkeys((_HELD, _DISABLED), _ACTIVE),
    ScheduleCommand.SKIP: {_ACTIVE: _ACTIVE},
    ScheduleCommand.TRIGGER: {status: status for status in (_ACTIVE, _HELD, _DISABLED)},
    ScheduleCommand.REMOVE: dict.fromkeys((_ACTIVE, _HELD, _DISABLED), ScheduleStatus.REMOVED),
}
"""For each command, the statuses in which it is accepted and the status that follows."""

_CAN_SCHEDULE: dict[ScheduleCommand, str] = {
    ScheduleCommand.PAUSE: "can be paused",
    ScheduleCommand.SKIP: "has a next fire that can be skipped",
    ScheduleCommand.TRIGGER: "can be triggered",
    ScheduleCommand.REMOVE: "can be removed",
}


def schedule_refusal(status: ScheduleStatus, command: ScheduleCommand, *, fires: bool = True) -> str | None:
    """Return why `command` is refused, as the rest of a sentence about the schedule; None if it is accepted.

    Args:
        status: The status of the schedule.
        command: The command.
        fires: Whether the schedule has a next fire.
    """
    accepted = SCHEDULE_TRANSITIONS[command]
    if status not in accepted:
        if command is ScheduleCommand.RESUME:
            return f"is {status}, not {' or '.join(accepted)}"
        return f"is {status}; only a schedule that is {' or '.join(accepted)} {_CAN_SCHEDULE[command]}"
    if command is ScheduleCommand.SKIP and not fires:
        return "has no next fire to skip"
    return None


# --- backfills ---------------------------------------------------------------------------------


@unique
class BackfillCommand(StrEnum):
    """A command of an operator on one backfill."""

    PAUSE = "pause"
    """Start no further fires until it is resumed. Active runs continue."""
    RESUME = "resume"
    """Continue a paused backfill."""
    CANCEL = "cancel"
    """Start no further fires. Active runs continue."""


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
