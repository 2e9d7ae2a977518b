"""Loading of the runs that an engine claims."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from victor_engine import jsonio
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.graph_walk.effects import Position, StepHistory
from victor_engine.runs import transitions
from victor_engine.runs.concurrency import admit
from victor_engine.runs.endings import with_facts
from victor_engine.runs.run_record import RunRecord, history_from_rows, waiting_attempts
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.repositories import attempt_rows, run_rows, runs
from victor_engine.store.runs import node_overrides
from victor_engine.store.state import run_state_sized
from victor_engine.store.stored_ending import ending_from
from victor_engine.store.stored_position import position_of

LoadDefinition = Callable[[sqlite3.Connection, int], tuple[WorkflowDefinition, str]]
"""Returns a definition and its version by the id of the definition."""


class RunLoader:
    """Reads runs from the store. Definitions are cached, because they never change."""

    def __init__(self, load_definition: LoadDefinition) -> None:
        self._load_definition = load_definition
        self._definitions: dict[int, tuple[WorkflowDefinition, str]] = {}

    def definition(
        self, connection: sqlite3.Connection, definition_id: int
    ) -> tuple[WorkflowDefinition, str]:
        """Return a definition and its version."""
        found = self._definitions.get(definition_id)
        if found is None:
            found = self._load_definition(connection, definition_id)
            self._definitions[definition_id] = found
        return found

    def known_definition(self, definition_id: int) -> tuple[WorkflowDefinition, str] | None:
        """Return a definition and its version if they are in the cache, else None."""
        return self._definitions.get(definition_id)

    def begin(self, tx: Tx, key: int) -> RunRecord | None:
        """Start a queued run that has no history. Return None if the run has one; then use `load`.

        A plain transition: no other plain transition changes a run that has not begun.
        """
        new = runs.lock_new(tx, key)
        if new is None:
            return None
        definition, version = self.definition(tx.connection, new.ref.definition_id)
        if definition.concurrency is not None:
            return None  # `start` decides whether it begins
        transitions.begin(tx, new.ref)
        return RunRecord(
            ref=new.ref,
            definition=definition,
            version=version,
            requested_by=actor_from_json(new.actor).user,
            position=Position.from_data(jsonio.loads(new.position)),
            state=jsonio.loads(new.state),
            state_bytes=len(new.state),
            spent=0.0,
            reruns=0,
            status="running",
            started=False,
            overrides=node_overrides(new.overrides),
        )

    def start(self, tx: Tx, record: RunRecord) -> bool:
        """Start a queued run, or continue one. Return False if its status or its concurrency key does not allow it."""
        limit = record.definition.concurrency
        if limit is not None and record.status == "queued" and not admit(tx, record.ref, limit, record.state):
            return False
        return transitions.start(tx, record.ref, record.started)

    def load(self, connection: sqlite3.Connection, key: int) -> RunRecord:
        """Return a run with its history. Raise NotFoundError if it does not exist."""
        row = run_rows.read(connection, key)
        definition, version = self.definition(connection, row.ref.definition_id)
        position = Position.from_data(position_of(connection, key))
        state, state_bytes = run_state_sized(connection, key)
        ending = ending_from(row.ending)
        if ending.status:
            state = with_facts(state, ending.status, ending.error)
        return RunRecord(
            ref=row.ref,
            definition=definition,
            version=version,
            requested_by=actor_from_json(row.actor).user,
            position=position,
            state=state,
            state_bytes=state_bytes,
            spent=row.spent / 1_000_000,
            reruns=row.reruns,
            status=row.status,
            started=row.started,
            history=history(connection, key, position, definition) if row.started else {},
            overrides=node_overrides(row.overrides),
            waiting=waiting_attempts(connection, key),
            ending=ending,
        )


def history(
    connection: sqlite3.Connection, key: int, position: Position, definition: WorkflowDefinition
) -> dict[tuple[str, int], StepHistory]:
    """Return the history of the steps after `position`, from the attempts of the run."""
    return history_from_rows(attempt_rows.recorded(connection, key), position, dict(definition.nodes))


__all__ = ["LoadDefinition", "RunLoader", "history"]
