"""The reader of migrations in YAML, in both spellings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.errors import DefinitionError
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError, MigrationStep, MigrationType
from victor_engine.versioning.semver import WorkflowVersion

_STEP_KEYS = frozenset({
    "type", "node_id", "old_value", "new_value", "custom_handler", "description", "field", "from", "to", "default",
    "node", "handler", "before",
})  # fmt: skip
_BLOCK_KEYS = frozenset({
    "from_version", "to_version", "from", "to", "steps", "description", "breaking", "downgrade", "reverse",
})  # fmt: skip


def step_from_block(block: Mapping[str, Any]) -> MigrationStep:
    """Return a step from YAML, with `node_id`, `old_value`, `new_value` or `field`, `from`, `to`, `default`.

    Raises DefinitionError if the step is invalid.
    """
    if not isinstance(block, Mapping):
        raise DefinitionError(f"a migration step must be a mapping with a type, not {block!r}")
    for key in block:
        if key not in _STEP_KEYS:
            raise DefinitionError(
                f"migration step: unknown key {key!r}. {did_you_mean(str(key), _STEP_KEYS)}"
            )
    name = str(block.get("type", "")).strip().lower()
    try:
        kind = MigrationType.named(name)
    except MigrationError as error:
        raise DefinitionError(f"migration step: {error.message}") from None
    return MigrationStep(
        type=kind,
        node_id=_first(block, "node_id", "field", "node"),
        old_value=_first(block, "old_value", "from"),
        new_value=_first(block, "new_value", "to", "default", "before"),
        description=str(block.get("description", "")),
        custom_handler=_first(block, "custom_handler", "handler"),
    )


def _first(block: Mapping[str, Any], *names: str) -> Any:
    return next((block[name] for name in names if name in block), None)


def migration_from_block(block: Mapping[str, Any], to_version: str | None = None) -> WorkflowMigration:
    """Return a migration from YAML. Raises DefinitionError or MigrationError if it is invalid.

    `to_version` is the target of a migration that gives none: the version of its file.
    """
    for key in block:
        if key not in _BLOCK_KEYS:
            raise DefinitionError(f"migration: unknown key {key!r}. {did_you_mean(str(key), _BLOCK_KEYS)}")
    migration = WorkflowMigration(
        from_version=_version(block, "from_version", "from"),
        to_version=_version(block, "to_version", "to", otherwise=to_version),
        steps=_steps(block, "steps"),
        description=str(block.get("description") or ""),
        breaking=_flag(block, "breaking"),
        downgrade=_flag(block, "downgrade"),
        reverse=_steps(block, "reverse") or None,
    )
    migration.check()
    return migration


def migration_functions(block: Mapping[str, Any]) -> Iterator[str]:
    """Yield the functions that the steps of a migration name, also of one with errors."""
    for key in ("steps", "reverse"):
        steps = block.get(key)
        for step in steps if isinstance(steps, list) else ():
            reference = _first(step, "custom_handler", "handler") if isinstance(step, Mapping) else None
            if isinstance(reference, str):
                yield reference


def _version(block: Mapping[str, Any], *names: str, otherwise: str | None = None) -> WorkflowVersion:
    written = _first(block, *names)
    text = otherwise if written is None else str(written)
    if text is None:
        raise DefinitionError(f"migration: {names[0]} is missing. Add one, such as {names[0]}: 1.2.0")
    try:
        return WorkflowVersion.parse(text)
    except ValueError as error:
        raise DefinitionError(f"migration: {names[0]}: {error}") from None


def _steps(block: Mapping[str, Any], name: str) -> tuple[MigrationStep, ...]:
    written = block.get(name) or ()
    if not isinstance(written, list | tuple):
        raise DefinitionError(f"migration: {name} must be a list of steps, not {written!r}")
    return tuple(step_from_block(step) for step in written)


def _flag(block: Mapping[str, Any], name: str) -> bool:
    value = block.get(name, False)
    if not isinstance(value, bool):
        raise DefinitionError(f"migration: {name} must be true or false, not {value!r}")
    return value
