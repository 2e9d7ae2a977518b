"""Transitions on runs that more than one room needs: a run begins its life here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor, NodeOverride, TriggerKind
from victor_engine.errors import NotFoundError
from victor_engine.events import EventKind
from victor_engine.store.db import Tx, actor_json

HELD = (
    "(r.status = 'queued' AND r.started_at IS NULL AND EXISTS"
    " (SELECT 1 FROM fires f WHERE f.run_key = r.key AND f.outcome = 'queued'))"
)
"""Of a run `r`: it waits behind another run of its schedule (`overlap`), not for a free place."""

LIVE = "(a.status = 'running' OR a.status = 'waiting' OR a.status = 'retrying')"
"""Of an attempt `a`: it is not over. Spelled as in the index `attempts_live`, which SQLite uses only if it
recognises it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which side of an alias a run starts on. The choice follows from the run's id, so it is made first."""

    run_id: str
    pointing_id: int
    version: str


@dataclass(frozen=True, slots=True)
class Start:
    """What a version, range or alias comes to for one new run: its definition and first node."""

    definition_id: int
    node: str
    choice: Choice | None = None
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run starts from. `start_node` is where its walk begins."""

    workflow: str
    definition_id: int
    start_node: str
    state: dict[str, Any] = field(default_factory=dict)
    trigger: TriggerKind = "manual"
    actor: Actor | None = None
    schedule_id: str | None = None
    nominal_us: int | None = None
    parent_key: int | None = None
    priority: int = 0
    note: str = ""
    backfill_id: int | None = None
    choice: Choice | None = None


_INSERT = (
    "INSERT INTO runs (key, id, workflow, definition_id, status, trigger, actor, schedule_id, nominal,"
    " parent_key, priority, note, created_at, position, backfill_id)"
    " VALUES (?,?,?,?,'queued',?,?,?,?,?,?,?,?,?,?)"
)


class RunBatch:
    """Runs that are created in one transition, and written down together by `flush`.

    Nothing else may create runs in between.
    """

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._rows: list[tuple[Any, ...]] = []
        self._states: list[tuple[int, str]] = []
        self._choices: list[tuple[Any, ...]] = []
        self._deprecated: dict[int, dict[str, Any] | None] = {}
        self._next: int | None = None

    def add(self, new: NewRun) -> tuple[int, str]:
        """A queued run with its event; returns its key and id."""
        tx = self._tx
        if self._next is None:
            self._next = tx.execute("SELECT COALESCE(MAX(key), 0) + 1 FROM runs").fetchone()[0]
        key, self._next = self._next, self._next + 1
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
        self._states.append((key, jsonio.dumps_text(new.state)))
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
        self._notice(new, key, run_id)
        return key, run_id

    def _notice(self, new: NewRun, key: int, run_id: str) -> None:
        """Something new starts on a version that nobody should start on any more: say so."""
        if new.definition_id not in self._deprecated:
            self._deprecated[new.definition_id] = _deprecation(self._tx, new.definition_id)
        notice = self._deprecated[new.definition_id]
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

    def __len__(self) -> int:
        return len(self._rows)

    def rewind(self, mark: int) -> None:
        """Forget the runs since there were `mark` of them."""
        if len(self._rows) > mark:
            del self._rows[mark:], self._states[mark:]
            kept = {row[0] for row in self._rows}
            self._choices = [choice for choice in self._choices if choice[0] in kept]
            self._next = None if mark == 0 else self._rows[-1][0] + 1

    def flush(self) -> None:
        if not self._rows:
            return
        self._tx.connection.executemany(_INSERT, self._rows)
        self._tx.connection.executemany("INSERT INTO run_states VALUES (?,0,?)", self._states)
        for definition_id, count in Counter(row[3] for row in self._rows).items():
            self._tx.execute(
                "INSERT INTO run_totals VALUES (?, ?)"
                " ON CONFLICT (definition_id) DO UPDATE SET runs = runs + excluded.runs",
                (definition_id, count),
            )
        if self._choices:
            self._tx.connection.executemany(
                "INSERT INTO run_choices (run_key, pointing_id, version) VALUES (?,?,?)", self._choices
            )
        self._rows.clear()
        self._states.clear()
        self._choices.clear()


def insert_run(tx: Tx, new: NewRun) -> tuple[int, str]:
    """Create a queued run with its event; returns its key and id. The runtime picks it up."""
    batch = RunBatch(tx)
    created = batch.add(new)
    batch.flush()
    return created


def _deprecation(tx: Tx, definition_id: int) -> dict[str, Any] | None:
    """What there is to say of a deprecated definition."""
    version, message, successor = tx.execute(
        "SELECT version, deprecated, successor FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    if message is None:
        return None
    return {"version": version, "message": message, **({"successor": successor} if successor else {})}


def node_overrides(text: str | None) -> dict[str, NodeOverride]:
    """What an operator has set for nodes of a run (`runs.overrides`), by node."""
    return {} if text is None else msgspec.json.decode(text, type=dict[str, NodeOverride])


def run_key(tx: Tx, run_id: str) -> int:
    """The key of a run by its id; NotFoundError if there is none."""
    row = tx.execute("SELECT key FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}; `victor runs list` shows them")
    return int(row[0])
