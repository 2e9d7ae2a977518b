"""The checks of the migrations that a workflow file declares, with the place of each error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.definition.reader import Reader
from victor_engine.definition.yaml_document import Path
from victor_engine.errors import VictorError
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_reader import migration_from_block, step_from_block
from victor_engine.versioning.migration_steps import MigrationError
from victor_engine.versioning.position import RunPosition, move
from victor_engine.versioning.registry import WorkflowVersionRegistry
from victor_engine.versioning.semver import WorkflowVersion


def check_migrations(definition: WorkflowDefinition, reader: Reader) -> Iterator[ProblemInfo]:
    """Yield invalid steps, contradictions within the file, and steps that do not match its version.

    `reader` is the reader of the workflow. Contradictions with other files and the store are found when the
    migrations are registered.
    """
    registry = WorkflowVersionRegistry()
    for index, block in enumerate(definition.migrations):
        path = (*reader.path, "migrations", index)
        errors = list(_steps(block, path))
        if not errors:
            try:
                migration = migration_from_block(block, definition.version)
                registry.add_migration(definition.name, migration)
            except VictorError as error:
                errors = [(path, error.message)]
            else:
                errors = list(_mismatches(migration, definition, path))
        for place, message in errors:
            line, column = reader.document.place(place)
            yield ProblemInfo("error", f"{reader.what}: {message}", reader.problems.path, line, column)


def _steps(block: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the errors of steps that are invalid in themselves."""
    for name in ("steps", "reverse"):
        steps = block.get(name)
        for number, step in enumerate(steps if isinstance(steps, list | tuple) else ()):
            try:
                step_from_block(step).check()
            except VictorError as error:
                yield (*path, name, number), error.message


def _mismatches(
    migration: WorkflowMigration, definition: WorkflowDefinition, path: Path
) -> Iterator[tuple[Path, str]]:
    """Yield the errors of steps whose nodes and edges do not match the target version."""
    if definition.version is None or migration.to_version != WorkflowVersion.of(definition.version):
        return
    for number, step in enumerate(migration.steps):
        try:
            move(step, RunPosition(()), definition)
        except MigrationError as error:
            yield (*path, "steps", number), error.message
