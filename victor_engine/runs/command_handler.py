"""Commits the commands of operators on runs: read the row, decide, and write the row and its event."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import Actor, NodeOverride
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import ConflictError
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Position
from victor_engine.runs.child_runs import Resolve
from victor_engine.runs.commands import (
    Cancel,
    Command,
    Discard,
    Override,
    Pause,
    Redrive,
    Resume,
    Retry,
    decide_override,
    decide_retry,
    decide_status,
)
from victor_engine.runs.conflicts import refuse_ending, refuse_question, why_no_dead_letter
from victor_engine.runs.endings import skips_handlers
from victor_engine.runs.overrides import check_override
from victor_engine.runs.redrive import Target, path_of, redrive
from victor_engine.runs.run_plans import Expect
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.repositories import attempt_rows, attempts, runs, suspects
from victor_engine.store.repositories.deadletters import remove_dead_letter
from victor_engine.store.repositories.run_rows import StoredRun
from victor_engine.store.runs import node_overrides, run_key
from victor_engine.store.stored_ending import ending_from
from victor_engine.store.stored_position import position_of
from victor_engine.versioning.stored_migrations import Load


class Outcome(Struct, frozen=True):
    """A committed command: the run, its new status and its priority.

    `limits` are the limits of a node after an `Override`.
    """

    ref: RunRef
    status: str
    priority: int
    limits: NodeOverride | None = None


class Handler:
    """Commits commands.

    Args:
        definition: Returns a definition and its version by the id of the definition.
        resolve: Returns the start of a run for a version, range or alias of a workflow.
    """

    def __init__(
        self,
        definition: Callable[[sqlite3.Connection, int], tuple[WorkflowDefinition, str]],
        resolve: Resolve,
    ) -> None:
        self._definition = definition
        self._resolve = resolve

    def commit(
        self,
        tx: Tx,
        command: Command,
        actor: Actor,
        expect: Expect | None = None,
        load: Load | None = None,
    ) -> Outcome:
        """Commit a command in a transition. Raise NotFoundError, UsageError or ConflictError if it is refused.

        `expect` refuses the command if the run is not as a plan showed it. `load` loads the functions of custom
        migration steps; without it they may not run.
        """
        stored = runs.lock(tx, run_key(tx, command.run_id))
        if expect is not None:
            expect(tx, stored)
        if isinstance(command, Retry | Redrive | Override):
            refuse_question(stored.id, stored.workflow)
        if isinstance(command, Resume | Redrive | Cancel):
            suspects.clear(tx, stored.key)
        match command:
            case Pause() | Resume() | Cancel():
                return self._status(tx, stored, command, actor)
            case Retry():
                return self._retry(tx, stored, command, actor)
            case Redrive():
                return self._redrive(tx, stored, command, actor, load)
            case Override():
                return self._override(tx, stored, command, actor)
            case Discard():
                return self._discard(tx, stored, command, actor)

    def _status(self, tx: Tx, stored: StoredRun, command: Pause | Resume | Cancel, actor: Actor) -> Outcome:
        change = decide_status(stored, command)
        if isinstance(command, Cancel) and skips_handlers(stored.status, ending_from(stored.ending)):
            runs.skip_handlers(tx, stored.key)
        runs.set_status(tx, stored.key, change.status)
        _event(tx, stored, change.kind, actor, _noted({}, command.note))
        return Outcome(stored.ref, change.status, stored.priority)

    def _retry(self, tx: Tx, stored: StoredRun, command: Retry, actor: Actor) -> Outcome:
        position = Position.from_data(position_of(tx, stored.key))
        last = attempt_rows.last(tx, stored.key)
        position = decide_retry(stored, position, last, restart_children=command.restart_children)
        runs.requeue(tx, stored.key, jsonio.dumps_text(position.to_data()), stored.definition_id)
        remove_dead_letter(tx, stored.key)
        data: dict[str, Any] = {"from": position.frontier[0]}
        if command.restart_children:
            data["restart_children"] = True
        _event(tx, stored, EventKind.RUN_RESUMED, actor, _noted(data, command.note))
        return Outcome(stored.ref, "queued", stored.priority)

    def _redrive(
        self, tx: Tx, stored: StoredRun, command: Redrive, actor: Actor, load: Load | None
    ) -> Outcome:
        refuse_ending(stored)
        new_id = stored.definition_id
        if command.version is not None:
            new_id = self._resolve(tx, stored.workflow, command.version).definition_id
        _, old_version = self._definition(tx.connection, stored.definition_id)
        definition, version = self._definition(tx.connection, new_id)
        path = path_of(tx, stored.workflow, old_version, version, load)
        target = Target(new_id, definition, version, old_version, path)
        redrive(tx, stored, actor, command, target)
        return Outcome(stored.ref, "queued", stored.priority)

    def _override(self, tx: Tx, stored: StoredRun, command: Override, actor: Actor) -> Outcome:
        wanted = command.limits
        check_override(self._definition(tx.connection, stored.definition_id)[0], wanted, command.retry_now)
        overrides = node_overrides(stored.overrides)
        new = overrides[wanted.node_id] = decide_override(stored, overrides, wanted)
        if command.retry_now and not attempts.retry_now(tx, stored.key, wanted.node_id):
            raise ConflictError(f"{wanted.node_id} of run {stored.id} does not wait for another attempt")
        runs.set_overrides(tx, stored.key, msgspec.json.encode(overrides).decode())
        data = {
            "timeout": wanted.timeout,
            "max_attempts": wanted.max_attempts,
            "retry_now": command.retry_now or None,
            "note": command.note or None,
        }
        data = {key: value for key, value in data.items() if value is not None}
        _event(tx, stored, EventKind.NODE_OVERRIDDEN, actor, data, wanted.node_id)
        return Outcome(stored.ref, stored.status, stored.priority, new)

    def _discard(self, tx: Tx, stored: StoredRun, command: Discard, actor: Actor) -> Outcome:
        if not remove_dead_letter(tx, stored.key):
            raise ConflictError(f"run {stored.id} {why_no_dead_letter(tx, stored.key)}")
        runs.revise(tx, stored.key)
        _event(tx, stored, EventKind.RUN_DISCARDED, actor, _noted({}, command.note))
        return Outcome(stored.ref, stored.status, stored.priority)


def _noted(data: dict[str, Any], note: str) -> dict[str, Any] | None:
    return {**data, "note": note} if note else data or None


def _event(
    tx: Tx,
    stored: StoredRun,
    kind: EventKind,
    actor: Actor,
    data: dict[str, Any] | None,
    node_id: str | None = None,
) -> None:
    tx.event(
        kind,
        actor=actor,
        run_key=stored.key,
        run_id=stored.id,
        schedule_id=stored.schedule_id,
        workflow=stored.workflow,
        node_id=node_id,
        data=data,
    )


__all__ = ["Handler", "Outcome"]
