"""The commands of operators on runs, and the decisions on them: pure functions of what is stored.

A command is decided, committed with its event in one transition (`runs.command_handler`), and only then acted on in
memory and in processes (`runs.control`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec import Struct

from victor_engine.api import NodeOverride
from victor_engine.domain.statuses import RunStatus
from victor_engine.domain.transitions import RunCommand, next_status, refusal
from victor_engine.errors import ConflictError
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Position
from victor_engine.store.repositories.runs import StoredRun


class Pause(Struct, frozen=True):
    """Hold a run before its next node."""

    run_id: str
    note: str = ""


class Resume(Struct, frozen=True):
    """Let a paused run go on, or take back a pause."""

    run_id: str
    note: str = ""


class Cancel(Struct, frozen=True):
    """End a run; on a run that is cancelling, kill what has not ended."""

    run_id: str
    note: str = ""


class Retry(Struct, frozen=True):
    """Go on with a failed or cancelled run from the node at which it stopped."""

    run_id: str
    note: str = ""


class Discard(Struct, frozen=True):
    """Take a dead letter off the list; the run stays failed."""

    run_id: str
    note: str = ""


class Override(Struct, frozen=True):
    """Set a node's time limit or attempts for one run, from its next attempt on.

    `retry_now` ends the wait for that attempt.
    """

    run_id: str
    limits: NodeOverride
    retry_now: bool = False
    note: str = ""


class Redrive(Struct, frozen=True):
    """Go on with a run from a node, with another state or version.

    Args:
        run_id: The run.
        from_node: The node; None is where the run stopped.
        state: The whole new state. None leaves the state as it is, or with `rewind` as it was before the node
            began, and takes it through the migrations that lead to the version.
        rewind: Take the state from before the node.
        version: A version, a range or an alias to go on with; None keeps the run's own version.
        revision: Refuse the command if the run has another revision.
        note: Why, for the history.
    """

    run_id: str
    from_node: str | None = None
    state: dict[str, Any] | None = None
    rewind: bool = False
    version: str | None = None
    revision: int | None = None
    note: str = ""


Command = Pause | Resume | Cancel | Retry | Discard | Override | Redrive


class Change(Struct, frozen=True):
    """The status that a command leads to, and the kind of the event that tells of it."""

    status: RunStatus
    kind: EventKind


def decide_status(stored: StoredRun, command: Pause | Resume | Cancel) -> Change:
    """Decide a command that changes the status alone. Raise ConflictError if the status refuses it."""
    if isinstance(command, Cancel):
        return Change(next_status(stored.id, stored.status, RunCommand.CANCEL), EventKind.RUN_CANCELLING)
    if isinstance(command, Resume):
        return Change(next_status(stored.id, stored.status, RunCommand.RESUME), EventKind.RUN_RESUMED)
    status = next_status(stored.id, stored.status, RunCommand.PAUSE)
    # A run that waits may have been answered at this moment, so its task says when it has come to rest.
    paused = status is RunStatus.PAUSED
    return Change(status, EventKind.RUN_PAUSED if paused else EventKind.RUN_PAUSING)


def decide_retry(stored: StoredRun, position: Position, last_attempt: int) -> Position:
    """Return where a run goes on that is retried. Raise ConflictError if it cannot be retried."""
    next_status(stored.id, stored.status, RunCommand.RETRY)
    if not position.frontier:
        raise ConflictError(f"run {stored.id} has no node left to go on from")
    # An operator who lets it go on gives it its limits anew; else it would meet them again at once.
    return replace(position, mark=last_attempt, floor=sum(position.counts.values()))


def decide_override(
    stored: StoredRun, overrides: dict[str, NodeOverride], wanted: NodeOverride
) -> NodeOverride:
    """Return what holds for a node from now on. Raise ConflictError if the run makes no further attempt."""
    if refusal(RunStatus(stored.status), RunCommand.OVERRIDE) is not None:
        raise ConflictError(
            f"run {stored.id} is {stored.status}: no further attempt of {wanted.node_id} will come"
        )
    old = overrides.get(wanted.node_id, NodeOverride(wanted.node_id))
    return NodeOverride(
        wanted.node_id,
        timeout=old.timeout if wanted.timeout is None else wanted.timeout,
        max_attempts=old.max_attempts if wanted.max_attempts is None else wanted.max_attempts,
    )


__all__ = [
    "Cancel",
    "Change",
    "Command",
    "Discard",
    "Override",
    "Pause",
    "Redrive",
    "Resume",
    "Retry",
    "decide_override",
    "decide_retry",
    "decide_status",
]
