"""The migrations in the store: their registration, and the chains between versions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from victor_engine import jsonio
from victor_engine.api import MigrationEdge, MigrationPreview, MigrationStepResult
from victor_engine.events import EventKind
from victor_engine.reserved import refusal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories import definitions
from victor_engine.versioning.catalog import Declared, VersionConflictError, normal_version
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration import WorkflowMigration, renamed_nodes, with_functions
from victor_engine.versioning.migration_reader import migration_from_block
from victor_engine.versioning.migration_steps import Handler, MigrationError, State
from victor_engine.versioning.registry import WorkflowVersionRegistry

Load = Callable[[str], Handler]
"""A function that loads the function of a custom step by its reference."""


def register_migrations(
    tx: Tx, workflow: str, blocks: Iterable[Mapping[str, Any]], version: str | None = None
) -> int:
    """Register the migrations that a file of this version declares. Return the number of new ones.

    Raises VersionConflictError for a migration that is registered with different steps, or that contradicts the
    reverse of another one.
    """
    tx.lock(Root.DEFINITION, workflow)
    registry = load_registry(tx, workflow)
    new = 0
    for migration in declared_migrations(blocks, version):
        key = (workflow, str(migration.from_version), str(migration.to_version))
        known = definitions.migration_checksum(tx, *key)
        if known is not None and known != migration.checksum:
            raise VersionConflictError(
                f"{workflow}: migration {migration.migration_id} is registered with different steps, and a registered "
                "migration never changes; restore its steps, or change its target to a new version"
            )
        try:
            registry.add_migration(workflow, migration)
        except MigrationError as error:
            raise VersionConflictError(error.message) from error
        if known is not None:
            continue
        definitions.add_migration(
            tx, *key, content=jsonio.dumps_text(migration.to_block()), checksum=migration.checksum
        )
        tx.event(
            EventKind.VERSION_MIGRATION,
            workflow=workflow,
            data={
                "from_version": key[1],
                "to_version": key[2],
                "steps": len(migration.steps),
                "checksum": migration.checksum,
            },
        )
        new += 1
    return new


def declared_migrations(blocks: Iterable[Mapping[str, Any]], version: str | None) -> list[WorkflowMigration]:
    """Return the migrations of a file of this version. Raises DefinitionError or MigrationError."""
    return [migration_from_block(block, version) for block in blocks]


def migrations_known(source: Source, definition: Declared) -> bool:
    """Return whether all migrations of a file are registered unchanged. Only reads; raises as `declared_migrations`."""
    if not definition.migrations:
        return True
    known = definitions.migration_checksums(source, definition.name)
    declared = declared_migrations(definition.migrations, definition.version)
    return all(migration.checksum in known for migration in declared)


def load_registry(source: Source, workflow: str) -> WorkflowVersionRegistry:
    """Return a registry of the stored migrations of one workflow."""
    registry = WorkflowVersionRegistry()
    for content in definitions.migrations(source, workflow):
        registry.add_migration(workflow, migration_from_block(jsonio.loads(content)))
    return registry


def renames_between(source: Source, workflow: str, old: str, new: str) -> dict[str, str]:
    """Return the old and the new id of each node that the migrations between two versions rename, in either order."""
    registry = load_registry(source, workflow)
    for start, goal in ((old, new), (new, old)):
        paths = registry.get_migration_paths(workflow, start, goal, limit=1)
        if paths:
            names = renamed_nodes(paths[0])
            return names if start == old else {after: before for before, after in names.items()}
    return {}


def migration_graph(source: Source, workflow: str) -> list[MigrationEdge]:
    """Return all migrations of a workflow, with those that are derived from `reverse`."""
    return [
        MigrationEdge(
            from_version=str(migration.from_version),
            to_version=str(migration.to_version),
            description=migration.description,
            breaking=migration.breaking,
            reverse=migration.undoes,
            steps=tuple(step.describe() for step in migration.steps),
            checksum=migration.checksum,
        )
        for migration in load_registry(source, workflow).get_migrations(workflow)
    ]


def preview_migration(
    source: Source,
    workflow: str,
    from_version: str,
    to_version: str,
    state: Mapping[str, Any],
    load: Load | None = None,
) -> MigrationPreview:
    """Return a dry run on a state: the chain, and the changes of each step. Writes nothing."""
    registry = load_registry(source, workflow)
    path = migration_path(registry, workflow, from_version, to_version, load)
    after: State = copy.deepcopy(dict(state))
    steps = []
    for migration in path:
        for number, step in enumerate(migration.steps, 1):
            before = copy.deepcopy(after)
            after, names = migration.apply_one(number, after)
            lines = (*change_lines(before, after), *([refusal(names)] if names else ()))
            steps.append(MigrationStepResult(migration.migration_id, step.describe(), lines))
    return MigrationPreview(
        path=tuple(migration.migration_id for migration in path),
        before=dict(state),
        after=after,
        steps=tuple(steps),
        breaking=any(migration.breaking for migration in path),
        alternatives=other_paths(registry, workflow, from_version, to_version),
    )


def other_paths(
    registry: WorkflowVersionRegistry, workflow: str, from_version: str, to_version: str
) -> tuple[tuple[str, ...], ...]:
    """Return the paths that are not taken, as ids of migrations, the best first."""
    found = registry.get_migration_paths(workflow, from_version, to_version)
    return tuple(tuple(migration.migration_id for migration in path) for path in found[1:])


def migration_path(
    registry: WorkflowVersionRegistry,
    workflow: str,
    from_version: str,
    to_version: str,
    load: Load | None = None,
) -> list[WorkflowMigration]:
    """Return the chain from one version to another, with its functions loaded.

    Raises MigrationError, which names the gap, and DefinitionError if a text is not a version.
    """
    start, goal = normal_version(from_version), normal_version(to_version)
    path = registry.get_migration_path(workflow, start, goal)
    return [with_functions(migration, load) for migration in path]
