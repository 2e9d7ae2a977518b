"""What the parts of the engine share: its store, runtime and scheduler, and how names are resolved."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from victor_engine.api import (
    EngineMode,
)
from victor_engine.clock import Clock
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.engine.loaded import Workspace
from victor_engine.engine.reading import Reading
from victor_engine.errors import DefinitionError, UntrustedError
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.manager import Runtime
from victor_engine.scheduler.calendars import Calendars
from victor_engine.scheduler.loop import SchedulerLoop
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx
from victor_engine.store.runs import Choice, Start
from victor_engine.versioning import catalog
from victor_engine.versioning.aliases import is_alias_name

T = TypeVar("T")


class EngineBase(Reading):
    """What every part of the engine's port stands on."""

    workspace_path: Path
    state_dir: Path
    store: Store
    clock: Clock
    mode: EngineMode
    trusted: bool
    started_at: datetime
    workspace: Workspace
    runtime: Runtime
    scheduler: SchedulerLoop
    _working: bool
    _fires: bool
    _unbound: dict[int, str | None]
    _tasks: set[asyncio.Task[Any]]

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something without waiting for it; it is ended with the engine."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _ref_of_key(connection: sqlite3.Connection, key: int) -> RunRef:
        row = connection.execute(
            "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE key = ?", (key,)
        ).fetchone()
        return RunRef(*row)

    async def _ref(self, run_id: str) -> RunRef:
        def find(connection: sqlite3.Connection) -> RunRef:
            full = queries.run_id(connection, run_id)
            row = connection.execute(
                "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE id = ?", (full,)
            ).fetchone()
            return RunRef(*row)

        return await self.store.read(find)

    def _resolve(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        """What a new run starts on; DefinitionError if somebody's work in it is bound to nothing.

        An alias that is split chooses by the id of the run, which is made here for that.
        """
        if not is_alias_name(spec):
            return tx.once(("start", workflow, spec), lambda: self._resolved(tx, workflow, spec))
        return self._resolved(tx, workflow, spec)

    def _resolved(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        run_id = next(tx.ids)
        found = catalog.resolve(tx, workflow, spec, seed=run_id)
        choice = None if found.pointing_id is None else Choice(run_id, found.pointing_id, found.version)
        return Start(found.id, self._start_node(tx, found.id), choice)

    def _start_node(self, tx: Tx, definition_id: int) -> str:
        """Where a registered definition begins; DefinitionError if somebody's work in it is bound to nothing."""
        definition, version = self.runtime.definition(tx.connection, definition_id)
        if definition_id not in self._unbound:
            self._unbound[definition_id] = self._unbound_work(definition)
        fault = self._unbound[definition_id]
        if fault is not None:
            raise DefinitionError(f"{definition.name} {version} cannot run here: {fault}")
        return definition.start

    def _unbound_work(self, definition: WorkflowDefinition) -> str | None:
        errors = [p for p in self.workspace.bindings.check(definition) if p.severity == "error"]
        if not errors:
            return None
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"{errors[0].message}. {errors[0].remedy}{more}"

    def _masked(self, value: T) -> T:
        """Return what a person gave, without the secrets in it: they are not stored."""
        return self.workspace.bindings.secrets.masker.value(value)  # type: ignore[no-any-return]

    def _calendars(self) -> Calendars:
        return self.workspace.calendars

    def _may_run(self) -> None:
        if not self.trusted:
            raise UntrustedError(
                f"{self.workspace_path} is not trusted, so nothing in it is executed; look at what it would run "
                "and say `victor trust`"
            )

    async def _read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        return await self.store.read(lambda connection: query(connection, *arguments, **keywords))
