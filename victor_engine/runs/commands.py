"""The commands of operators on runs, and the decisions about them as pure functions of the stored rows.

A command is decided and committed with its event in one transition (`runs.command_handler`). Memory and processes
change only after the commit (`runs.control`).
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
from victor_engine.store.repositories.run_rows import StoredRun


class Pause(Struct, frozen=True):
    """Pause a run before its next node."""

    run_id: str
    note: str = ""


class Resume(Struct, frozen=True):
    """Continue a paused run, or cancel a pause that is not yet complete."""

    run_id: str
    note: str = ""


class Cancel(Struct, frozen=True):
    """End a run. If it is already cancelling, force-kill its attempts."""

    run_id: str
    note: str = ""


class Retry(Struct, frozen=True):
    """Continue a failed or cancelled run from the node at which it stopped.

    With `restart_children`, that node starts another child instead of continuing the child that failed.
    """

    run_id: str
    note: str = ""
    restart_children: bool = False


class Discard(Struct, frozen=True):
    """Remove a run from the list of dead letters. The run stays failed."""

    run_id: str
    note: str = ""


class Override(Struct, frozen=True):
    """Set the time limit or the number of attempts of a node for one run, from the next attempt.

    `retry_now` ends the wait for that attempt.
    """

    run_id: str
    limits: NodeOverride
    retry_now: bool = False
    note: str = ""


class Redrive(Struct, frozen=True):
    """Continue a run from a node, optionally with another state or version.

    Args:
        run_id: The run.
        from_node: The node; None for the node at which the run stopped.
        state: The whole new state. None keeps the state (with `rewind`, the state before the node began) and
            applies the migrations that lead to the version.
        rewind: Use the state from before the node.
        version: The version, range or alias to continue on; None keeps the version of the run.
        revision: Refuse the command if the run has another revision.
        note: The reason, for the history.
        restart_children: Start another child instead of continuing the one that failed.
    """

    run_id: str
    from_node: str | None = None
    state: dict[str, Any] | None = None
    rewind: bool = False
    version: str | None = None
    revision: int | None = None
    note: str = ""
    restart_children: bool = False


Command = Pause | Resume | Cancel | Retry | Discard | Override | Redrive


class Change(Struct, frozen=True):
    """The status after a command, and the kind of its event."""

    status: RunStatus
    kind: EventKind


def decide_status(stored: StoredRun, command: Pause | Resume | Cancel) -> Change:
    """Decide a command that changes only the status. Raise ConflictError if the status does not allow it."""
    if isinstance(command, Cancel):
        return Change(next_status(stored.id, stored.status, RunCommand.CANCEL), EventKind.RUN_CANCELLING)
    if isinstance(command, Resume):
        return Change(next_status(stored.id, stored.status, RunCommand.RESUME), EventKind.RUN_RESUMED)
    status = next_status(stored.id, stored.status, RunCommand.PAUSE)
    # A waiting run may receive its answer now, so its task reports when it has paused.
    paused = status is RunStatus.PAUSED
    return Change(status, EventKind.RUN_PAUSED if paused else EventKind.RUN_PAUSING)


def decide_retry(
    stored: StoredRun, position: Position, last_attempt: int, *, restart_children: bool = False
) -> Position:
    """Return the position from which a run is retried. Raise ConflictError if it cannot be retried."""
    next_status(stored.id, stored.status, RunCommand.RETRY)
    if not position.frontier:
        raise ConflictError(f"run {stored.id} has no pending node to continue from; redrive it from a node")
    return again_from(position, last_attempt, restart_children=restart_children)


def again_from(position: Position, last_attempt: int, *, restart_children: bool = False) -> Position:
    """Return the position from which a run continues where it stopped."""
    # The limits count from zero, because otherwise the run would reach them again immediately.
    fresh = last_attempt if restart_children else position.fresh
    return replace(position, mark=last_attempt, floor=sum(position.counts.values()), fresh=fresh)


def decide_override(
    stored: StoredRun, overrides: dict[str, NodeOverride], wanted: NodeOverride
) -> NodeOverride:
    """Return the new override of a node. Raise ConflictError if the run makes no further attempt."""
    if refusal(RunStatus(stored.status), RunCommand.OVERRIDE) is not None:
        raise ConflictError(
            f"run {stored.id} is {stored.status}: {wanted.node_id} will not have another attempt"
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
    "again_from",
    "decide_override",
    "decide_retry",
    "decide_status",
]
