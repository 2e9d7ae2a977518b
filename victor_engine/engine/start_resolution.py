"""The start of a new run: its version, its first node, and the choice of an alias with two versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import DefinitionError, NotFoundError
from victor_engine.store.db import Tx
from victor_engine.store.repositories import definitions
from victor_engine.store.runs import Choice, Start
from victor_engine.versioning import catalog
from victor_engine.versioning.aliases import is_alias_name
from victor_engine.work.bindings import BindingTable

Definitions = Callable[[sqlite3.Connection, int], tuple[WorkflowDefinition, str]]
"""Returns a registered definition and its version, by its id."""


class StartResolver:
    """The resolution of versions for new runs. It refuses versions with nodes that have no binding."""

    def __init__(
        self,
        bindings: Callable[[], BindingTable],
        problems: Callable[[], Mapping[str, list[ProblemInfo]]],
        definitions: Definitions,
    ) -> None:
        self._bindings = bindings
        self._problems_of_files = problems
        self._definitions = definitions
        self._problems: dict[int, str | None] = {}

    def bindings_changed(self) -> None:
        """Clear the cache of checked definitions."""
        self._problems.clear()

    def resolve(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        """Return the version and the first node of a new run. Raise DefinitionError if a node has no binding.

        An alias with two versions chooses by the id of the run, so the id is created here.
        """
        if not is_alias_name(spec):
            return tx.once(("start", workflow, spec), lambda: self._resolved(tx, workflow, spec))
        return self._resolved(tx, workflow, spec)

    def _resolved(self, tx: Tx, workflow: str, spec: str | None) -> Start:
        run_id = next(tx.ids)
        found = self._find(tx, workflow, spec, seed=run_id)
        choice = None if found.pointing_id is None else Choice(run_id, found.pointing_id, found.version)
        return self.start(tx, found.id, choice)

    def start(self, tx: Tx, definition_id: int, choice: Choice | None = None) -> Start:
        """Return the start of a run of a definition. Raise DefinitionError if a node has no binding."""
        node = self.check(tx.connection, definition_id)
        definition, _ = self._definitions(tx.connection, definition_id)
        return Start(definition_id, node, choice, definition.inputs)

    def check_inputs(
        self, tx: Tx, workflow: str, spec: str | None, state: Mapping[str, Any], later: Iterable[str] = ()
    ) -> None:
        """Raise InvalidInputError if a state does not match the inputs of the version that a run would start on.

        `later` are the inputs that are added before the run starts.
        """
        found = self._find(tx, workflow, spec)
        definition, _ = self._definitions(tx.connection, found.id)
        if definition.inputs is not None:
            definition.inputs.check(workflow, state, later)

    def _find(self, tx: Tx, workflow: str, spec: str | None, seed: str | None = None) -> catalog.Resolved:
        """Return the version that `spec` names. Raise DefinitionError if an error in its file kept it from the store."""
        try:
            return catalog.resolve(tx, workflow, spec, seed=seed)
        except NotFoundError:
            errors = [p for p in self._problems_of_files().get(workflow, ()) if p.severity == "error"]
            if not errors or definitions.versions(tx, workflow):
                raise
            raise DefinitionError(
                f"{workflow} is not deployed, because its file has an error: {_first(errors)}"
            ) from None

    def check(self, connection: sqlite3.Connection, definition_id: int) -> str:
        """Return the first node of a definition. Raise DefinitionError if a node has no binding."""
        definition, version = self._definitions(connection, definition_id)
        if definition_id not in self._problems:
            self._problems[definition_id] = self._unbound_work(definition)
        problem = self._problems[definition_id]
        if problem is not None:
            raise DefinitionError(f"{definition.name} {version} cannot run here: {problem}")
        return definition.start

    def _unbound_work(self, definition: WorkflowDefinition) -> str | None:
        errors = [p for p in self._bindings().check(definition) if p.severity == "error"]
        if not errors:
            return None
        return _first(errors)


def _first(errors: list[ProblemInfo]) -> str:
    """Return the first of some errors, with the number of the others."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0].message}. {errors[0].remedy}{more}"
