"""Taking runs up: what the runtime knows of a run when it is created, begun, or gone on with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ENGINE_ACTOR
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import NotFoundError
from victor_engine.runtime import journal
from victor_engine.runtime.effects import Past, Position
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.record import RunRecord, past_from_rows, waiting_attempts
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.progress import position_of
from victor_engine.store.runs import Created, node_overrides
from victor_engine.store.state import run_state_sized

LoadDefinition = Callable[[sqlite3.Connection, int], tuple[WorkflowDefinition, str]]
"""Gives a pinned definition by its id, with its version."""

_NEW = (
    "SELECT r.id, r.workflow, r.definition_id, r.schedule_id, r.actor, r.position, s.state, r.overrides"
    " FROM runs r JOIN run_states s ON s.run_key = r.key AND s.after_attempt = 0"
    " WHERE r.key = ? AND r.status = 'queued' AND r.started_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_key = r.key)"
)


class Records:
    """Makes records of runs. Definitions are kept in memory, since they never change."""

    def __init__(self, load_definition: LoadDefinition) -> None:
        self._load_definition = load_definition
        self._definitions: dict[int, tuple[WorkflowDefinition, str]] = {}

    def definition(
        self, connection: sqlite3.Connection, definition_id: int
    ) -> tuple[WorkflowDefinition, str]:
        """A pinned definition and its version."""
        found = self._definitions.get(definition_id)
        if found is None:
            found = self._load_definition(connection, definition_id)
            self._definitions[definition_id] = found
        return found

    def known_definition(self, definition_id: int) -> tuple[WorkflowDefinition, str] | None:
        """As `definition`, if it is in memory."""
        return self._definitions.get(definition_id)

    def created(self, created: Created) -> RunRecord:
        """A run that was started as it was created. Its definition has to be in memory."""
        new = created.new
        return _fresh(
            RunRef(created.key, created.id, new.workflow, new.definition_id, new.schedule_id),
            self._definitions[new.definition_id],
            (new.actor or ENGINE_ACTOR).user,
            Position([new.start_node]),
            created.state,
        )

    def begin(self, tx: Tx, key: int) -> RunRecord | None:
        """Start a queued run of which nothing has happened yet; None if it has to be read whole first.

        A plain transition: no other plain one changes a run that has not begun.
        """
        row = tx.execute(_NEW, (key,)).fetchone()
        if row is None:
            return None
        run_id, workflow, definition_id, schedule_id, actor, position, state, overrides = row
        ref = RunRef(key, run_id, workflow, definition_id, schedule_id)
        journal.begin(tx, ref)
        record = _fresh(
            ref,
            self.definition(tx.connection, definition_id),
            actor_from_json(actor).user,
            Position.from_data(jsonio.loads(position)),
            state,
        )
        record.overrides = node_overrides(overrides)
        return record

    def load(self, connection: sqlite3.Connection, key: int) -> RunRecord:
        """A run with everything that has happened in it; NotFoundError if there is none."""
        row = connection.execute(
            "SELECT id, workflow, definition_id, schedule_id, status, spent, reruns, actor,"
            " started_at, overrides FROM runs WHERE key = ?",
            (key,),
        ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no run with key {key}")
        run_id, workflow, definition_id, schedule_id, status, spent, reruns, actor, *rest = row
        started, overrides = rest
        definition, version = self.definition(connection, definition_id)
        position = Position.from_data(position_of(connection, key))
        state, state_bytes = run_state_sized(connection, key)
        return RunRecord(
            ref=RunRef(key, run_id, workflow, definition_id, schedule_id),
            definition=definition,
            version=version,
            requested_by=actor_from_json(actor).user,
            position=position,
            state=state,
            state_bytes=state_bytes,
            spent=spent / 1_000_000,
            reruns=reruns,
            status=status,
            started=started is not None,
            past=past(connection, key, position, definition) if started is not None else {},
            overrides=node_overrides(overrides),
            waiting=waiting_attempts(connection, key),
        )


def _fresh(
    ref: RunRef, definition: tuple[WorkflowDefinition, str], requested_by: str, position: Position, state: str
) -> RunRecord:
    """The record of a run that begins now, with `state` (JSON)."""
    return RunRecord(
        ref=ref,
        definition=definition[0],
        version=definition[1],
        requested_by=requested_by,
        position=position,
        state=jsonio.loads(state),
        state_bytes=len(state),
        spent=0.0,
        reruns=0,
        status="running",
        started=False,
    )


def past(
    connection: sqlite3.Connection, key: int, position: Position, definition: WorkflowDefinition
) -> dict[tuple[str, int], Past]:
    """What the attempts of a run say of the steps after `position`."""
    rows: list[Any] = connection.execute(
        "SELECT id, node_id, iteration, number, parent,"
        " CASE WHEN status = 'waiting' AND json_extract(wait, '$.interrupted') THEN 'interrupted' ELSE status END,"
        " retry_at, CASE WHEN parent IS NULL THEN NULL ELSE patch END FROM attempts WHERE run_key = ? ORDER BY id",
        (key,),
    ).fetchall()
    return past_from_rows(rows, position, dict(definition.nodes))


__all__ = ["LoadDefinition", "Records", "past"]
