"""The state machines of runs, requests, schedules and backfills: what each command leads to, and why it is refused."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import NamedTuple

from victor_engine.domain.statuses import BackfillStatus, RequestStatus, RunStatus, ScheduleStatus
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


# --- requests ----------------------------------------------------------------------------------


@unique
class RequestCommand(StrEnum):
    """A command on one request: of a person, or, from `expire` on, of the engine."""

    ANSWER = "answer"
    """Answer it. Until enough people agree, the answer is a vote, and the request stays open."""
    PUSH_BACK = "push_back"
    """Answer it by sending the run back to a node that it has visited."""
    UNDO = "undo"
    """Take an answer back while its undo window is open."""
    CLAIM = "claim"
    """Tell the others that one is on it."""
    RELEASE = "release"
    """Give a claim back."""
    REASSIGN = "reassign"
    """Put other people in the place of those who are asked."""
    DELEGATE = "delegate"
    """Let somebody else answer in one's own place."""
    ASK = "ask"
    """Ask the requester something; the deadline stands still until the reply."""
    REPLY = "reply"
    """Reply to a question to the requester; the deadline goes on."""
    EXPIRE = "expire"
    """End it because its deadline has passed."""
    ESCALATE = "escalate"
    """Ask again, or ask more people, because its deadline has passed."""
    SETTLE = "settle"
    """Let an answer count whose undo window is over."""
    WITHDRAW = "withdraw"
    """End it because nothing waits for an answer any more."""


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
    RequestCommand.UNDO: "has an answer to take back",
    RequestCommand.CLAIM: "can be claimed",
    RequestCommand.RELEASE: "can be released",
    RequestCommand.REASSIGN: "can be reassigned",
    RequestCommand.DELEGATE: "can be delegated",
    RequestCommand.ASK: "takes questions to its requester",
    RequestCommand.REPLY: "takes replies of its requester",
    RequestCommand.EXPIRE: "can expire",
    RequestCommand.ESCALATE: "can be escalated",
    RequestCommand.SETTLE: "has an answer that can come to count",
    RequestCommand.WITHDRAW: "can be withdrawn",
}


class RequestState(NamedTuple):
    """What of a request decides which commands it accepts."""

    status: RequestStatus
    settling: bool = False  # its answer can still be taken back
    held: bool = False  # its requester was asked something, and has not replied
    takes_questions: bool = False  # its author wrote `allow_questions: true`

    @property
    def undecided(self) -> bool:
        """Whether nothing has come of an answer yet."""
        return self.status is _OPEN or self.settling


REQUEST_NEEDS: dict[RequestCommand, tuple[str, str]] = {
    RequestCommand.UNDO: (
        "settling",
        "has an answer that counts already: it is too late to take it back, or its author gave no undo_window",
    ),
    RequestCommand.SETTLE: ("settling", "has an answer that counts already"),
    RequestCommand.WITHDRAW: ("undecided", "has an answer that counts already"),
    RequestCommand.ASK: (
        "takes_questions",
        "takes no questions to its requester (its author did not write allow_questions: true)",
    ),
    RequestCommand.REPLY: ("held", "waits for no reply: nobody has asked its requester anything"),
}
"""What else a command needs of a request, and the reason where that is missing."""


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
    """Hold it; what is due is skipped until it is resumed. A pause may be replaced by another one."""
    RESUME = "resume"
    """End its pause, or enable it."""
    SKIP = "skip"
    """Skip its next fire."""
    TRIGGER = "trigger"
    """Start a run of it now, whatever its times."""
    REMOVE = "remove"
    """Remove it; its history stays."""


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
        return "has no next fire that could be skipped"
    return None


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
