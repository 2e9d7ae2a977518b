"""What a new run starts on: a version, its first node, and the choice that a split alias makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import DefinitionError
from victor_engine.store.db import Tx
from victor_engine.store.runs import Choice, Start
from victor_engine.versioning import catalog
from victor_engine.versioning.aliases import is_alias_name
from victor_engine.work.bindings import BindingTable

Definitions = Callable[[sqlite3.Connection, int], tuple[WorkflowDefinition, str]]
"""Returns a registered definition and its version, by its id."""


class Starting:
    """Resolves versions for new runs, and refuses those with work that is bound to nothing."""

    def __init__(self, bindings: Callable[[], BindingTable], definitions: Definitions) -> None:
        self._bindings = bindings
        self._definitions = definitions
        self._faults: dict[int, str | None] = {}

    def bindings_changed(self) -> None:
        """Forget which definitions can run."""
        self._faults.clear()

    def resolve(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        """Return what a new run starts on. Raise DefinitionError if work in it is bound to nothing.

        An alias that is split chooses by the id of the run, which is made here for that.
        """
        if not is_alias_name(spec):
            return tx.once(("start", workflow, spec), lambda: self._resolved(tx, workflow, spec))
        return self._resolved(tx, workflow, spec)

    def _resolved(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        run_id = next(tx.ids)
        found = catalog.resolve(tx, workflow, spec, seed=run_id)
        choice = None if found.pointing_id is None else Choice(run_id, found.pointing_id, found.version)
        return Start(found.id, self.node(tx, found.id), choice)

    def node(self, tx: Tx, definition_id: int) -> str:
        """Return the first node of a definition. Raise DefinitionError if work in it is bound to nothing."""
        definition, version = self._definitions(tx.connection, definition_id)
        if definition_id not in self._faults:
            self._faults[definition_id] = self._unbound_work(definition)
        fault = self._faults[definition_id]
        if fault is not None:
            raise DefinitionError(f"{definition.name} {version} cannot run here: {fault}")
        return definition.start

    def _unbound_work(self, definition: WorkflowDefinition) -> str | None:
        errors = [p for p in self._bindings().check(definition) if p.severity == "error"]
        if not errors:
            return None
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"{errors[0].message}. {errors[0].remedy}{more}"
