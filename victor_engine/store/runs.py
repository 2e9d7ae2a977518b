"""The creation of runs, which several packages share."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import Actor, NodeOverride, TriggerKind
from victor_engine.definition.inputs import Inputs
from victor_engine.errors import NotFoundError
from victor_engine.events import EventKind
from victor_engine.reserved import RUN, SECRETS, refusal, reserved_in
from victor_engine.store.db import Tx, actor_json
from victor_engine.store.repositories import runs as rows
from victor_engine.store.repositories import start_keys
from victor_engine.store.repositories.attempt_rows import LIVE
from victor_engine.store.repositories.run_rows import HELD


class Choice(Struct, frozen=True):
    """The side of an alias on which a run starts. It is derived from the run's id, which is therefore made first."""

    run_id: str
    pointing_id: int
    version: str


class Start(Struct, frozen=True):
    """The start of a run, resolved from a version, range or alias: its definition, first node and declared inputs."""

    definition_id: int
    node: str
    choice: Choice | None = None
    inputs: Inputs | None = None


class NewRun(Struct, frozen=True, kw_only=True):
    """The values of a new run. `start_node` is its first node.

    `secrets` are the references to secrets in its state, from `secretrefs.separated`. `instant` is the instant that
    it is for, from `run_instant`. `inputs` are the declared inputs of its workflow; its state must match them, and gets
    their defaults. `start_key` identifies the start, in a transition that is not plain.
    """

    workflow: str
    definition_id: int
    start_node: str
    inputs: Inputs | None = None
    state: dict[str, Any] = {}
    trigger: TriggerKind = "manual"
    actor: Actor | None = None
    schedule_id: str | None = None
    nominal_us: int | None = None
    parent_key: int | None = None
    priority: int = 0
    note: str = ""
    backfill_id: int | None = None
    start_key: str = ""
    choice: Choice | None = None
    secrets: dict[str, Any] = {}
    instant: dict[str, Any] = {}


class Created(Struct, frozen=True):
    """A run that was just created. `at` is in microseconds; `noticed` is true if its version is deprecated."""

    key: int
    id: str
    new: NewRun
    at: int
    noticed: bool


class RunBatch:
    """Runs that are created in one transition and written together by `flush`."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._rows: list[tuple[Any, ...]] = []
        self._states: list[tuple[int, int, str]] = []
        self._choices: list[tuple[int, int, str]] = []
        self._deprecated: dict[int, dict[str, Any] | None] = {}

    def add(self, new: NewRun) -> Created:
        """Add a queued run with its events. Raise InvalidInputError if its state does not match its inputs."""
        names = reserved_in(new.state)
        given = new.state if not names else {k: v for k, v in new.state.items() if k not in names}
        if new.inputs is not None:
            given = new.inputs.accept(new.workflow, given)
        tx = self._tx
        key = tx.next_run()
        run_id = next(tx.ids) if new.choice is None else new.choice.run_id
        if new.choice is not None:
            self._choices.append((key, new.choice.pointing_id, new.choice.version))
        self._rows.append(
            (
                key,
                run_id,
                new.workflow,
                new.definition_id,
                new.trigger,
                actor_json(new.actor),
                new.schedule_id,
                new.nominal_us,
                new.parent_key,
                new.priority,
                new.note,
                tx.now_us,
                f'{{"frontier":[{jsonio.dumps_text(new.start_node)}]}}',
                new.backfill_id,
            )
        )
        if new.secrets:
            given = {**given, SECRETS: new.secrets}
        if new.instant:
            given = {**given, RUN: new.instant}
        state = jsonio.dumps_text(given)
        self._states.append((key, 0, state))
        data: dict[str, Any] = {"trigger": new.trigger}
        if new.note:
            data["note"] = new.note
        tx.event(
            EventKind.RUN_CREATED,
            actor=new.actor,
            run_key=key,
            run_id=run_id,
            schedule_id=new.schedule_id,
            workflow=new.workflow,
            data=data,
        )
        if names:
            tx.event(
                EventKind.RUN_WARNING,
                actor=new.actor,
                run_key=key,
                run_id=run_id,
                schedule_id=new.schedule_id,
                workflow=new.workflow,
                data={"message": refusal(names), "reserved": list(names)},
            )
        noticed = self._notice(new, key, run_id)
        return Created(key, run_id, new, tx.now_us, noticed)

    def _notice(self, new: NewRun, key: int, run_id: str) -> bool:
        """Write an event if the run starts on a deprecated version. Return whether it does."""
        definition_id = new.definition_id
        if definition_id not in self._deprecated:
            self._deprecated[definition_id] = self._tx.once(
                ("deprecation", definition_id), lambda: _deprecation(self._tx, definition_id)
            )
        notice = self._deprecated[definition_id]
        if notice is not None:
            self._tx.event(
                EventKind.VERSION_NOTICE,
                actor=new.actor,
                run_key=key,
                run_id=run_id,
                schedule_id=new.schedule_id,
                workflow=new.workflow,
                data=notice,
            )
        return notice is not None

    def __len__(self) -> int:
        return len(self._rows)

    def rewind(self, mark: int) -> None:
        """Drop the runs after the first `mark`."""
        if len(self._rows) > mark:
            del self._rows[mark:], self._states[mark:]
            kept = {row[0] for row in self._rows}
            self._choices = [choice for choice in self._choices if choice[0] in kept]

    def flush(self) -> None:
        """Write the runs, or defer them in a plain transition."""
        rows.insert(self._tx, self._rows, self._states, self._choices)
        if not self._tx.plain:
            self._tx.flush()
        self._rows.clear()
        self._states.clear()
        self._choices.clear()


def create_run(tx: Tx, new: NewRun) -> Created:
    """Create a queued run with its events. The supervisor starts it.

    Raise InvalidInputError if its state does not match the inputs of its workflow.
    """
    batch = RunBatch(tx)
    created = batch.add(new)
    batch.flush()
    if new.start_key and new.actor is not None:
        start_keys.add(tx, new.actor.uid, new.start_key, created.key)
    return created


def insert_run(tx: Tx, new: NewRun) -> tuple[int, str]:
    """Create a queued run with its event. Return its key and id."""
    created = create_run(tx, new)
    return created.key, created.id


def _deprecation(tx: Tx, definition_id: int) -> dict[str, Any] | None:
    """Return the data of the notice about a deprecated definition; None if it is not deprecated."""
    version, message, successor = tx.execute(
        "SELECT version, deprecated, successor FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    if message is None:
        return None
    return {"version": version, "message": message, **({"successor": successor} if successor else {})}


def node_overrides(text: str | None) -> dict[str, NodeOverride]:
    """Return the overrides of the nodes of a run (`runs.overrides`), by node."""
    return {} if text is None else msgspec.json.decode(text, type=dict[str, NodeOverride])


def run_key(tx: Tx, run_id: str) -> int:
    """Return the key of a run by its id. Raise NotFoundError if it does not exist."""
    row = tx.execute("SELECT key FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"run {run_id!r} does not exist; `victor runs list` lists the runs")
    return int(row[0])


__all__ = [
    "HELD",
    "LIVE",
    "Choice",
    "Created",
    "NewRun",
    "RunBatch",
    "Start",
    "create_run",
    "insert_run",
    "node_overrides",
    "run_key",
]
