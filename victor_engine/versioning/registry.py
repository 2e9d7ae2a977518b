"""The registry of versions and migrations in memory, for Python programs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from victor_engine import jsonio
from victor_engine.errors import DefinitionError
from victor_engine.versioning import migration_paths
from victor_engine.versioning.diff import diff
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError, State
from victor_engine.versioning.ranges import select
from victor_engine.versioning.semver import WorkflowVersion

AnyVersion = WorkflowVersion | str


@dataclass
class VersionedWorkflow:
    """One version of one workflow. `definition` is its content (a mapping) or a WorkflowDefinition.

    `version` may be given as a string.
    """

    name: str
    version: WorkflowVersion
    definition: Any = None
    deprecated: bool = False
    deprecation_message: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.version = WorkflowVersion.of(self.version)

    @property
    def version_id(self) -> str:
        """The name with the version, such as `deploy@1.0.0`."""
        return f"{self.name}@{self.version}"

    def is_deprecated(self) -> bool:
        """Return whether the version is deprecated."""
        return self.deprecated

    @property
    def content(self) -> Mapping[str, Any]:
        """The content of the definition, as a mapping."""
        if isinstance(self.definition, Mapping):
            return self.definition
        from victor_engine.definition.content import definition_to_content
        from victor_engine.definition.model import WorkflowDefinition

        if isinstance(self.definition, WorkflowDefinition):
            return definition_to_content(self.definition)
        return {"definition": repr(self.definition)}

    @property
    def checksum(self) -> str:
        """The SHA-256 (hex) of the content."""
        return jsonio.digest(dict(self.content))


class WorkflowVersionRegistry:
    """A registry of the versions of workflows and of the migrations between them."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[WorkflowVersion, VersionedWorkflow]] = {}
        self._migrations: dict[str, dict[tuple[WorkflowVersion, WorkflowVersion], WorkflowMigration]] = {}

    # --- versions ------------------------------------------------------------------------------

    def register(self, workflow: VersionedWorkflow) -> None:
        """Add a version. A second call with the same content changes nothing.

        Raises DefinitionError if the version is registered with different content.
        """
        versions = self._versions.setdefault(workflow.name, {})
        known = versions.get(workflow.version)
        if known is not None and known.checksum != workflow.checksum:
            lines = [change.describe() for change in diff(known.content, workflow.content)][:10]
            raise DefinitionError(
                f"{workflow.version_id} is registered with different content, and a version never changes. "
                f"Use version {next_free(workflow.version, versions)}. Differences: {'; '.join(lines)}"
            )
        if known is None:
            versions[workflow.version] = workflow

    def unregister(self, workflow_name: str, version: AnyVersion) -> bool:
        """Remove a version. Return whether it was registered."""
        return self._versions.get(workflow_name, {}).pop(WorkflowVersion.of(version), None) is not None

    def get(self, workflow_name: str, version: AnyVersion | None = None) -> VersionedWorkflow | None:
        """Return the version (exact, or the newest that a range allows), or None."""
        versions = self._versions.get(workflow_name, {})
        if version is None:
            return self.get_latest(workflow_name)
        if isinstance(version, WorkflowVersion):
            return versions.get(version)
        chosen = select(version, [str(known) for known in versions])
        return versions[WorkflowVersion.parse(chosen)] if chosen is not None else None

    def get_latest(self, workflow_name: str, include_prerelease: bool = False) -> VersionedWorkflow | None:
        """Return the newest version, or None. Prereleases count with `include_prerelease`, or if all are."""
        versions = self._versions.get(workflow_name, {})
        chosen = select("latest", [str(known) for known in versions], prereleases=include_prerelease)
        return versions[WorkflowVersion.parse(chosen)] if chosen is not None else None

    def get_all_versions(self, workflow_name: str) -> list[VersionedWorkflow]:
        """Return all versions, oldest first."""
        versions = self._versions.get(workflow_name, {})
        return [versions[version] for version in sorted(versions)]

    def list_workflows(self) -> list[str]:
        """Return the names of the workflows with at least one version, sorted."""
        return sorted(name for name, versions in self._versions.items() if versions)

    def deprecate(self, workflow_name: str, version: AnyVersion, message: str = "") -> bool:
        """Mark a version as deprecated. Return whether it is registered."""
        found = self.get(workflow_name, WorkflowVersion.of(version))
        if found is None:
            return False
        found.deprecated = True
        found.deprecation_message = message
        return True

    # --- migrations ----------------------------------------------------------------------------

    def add_migration(self, workflow_name: str, migration: WorkflowMigration) -> None:
        """Add a migration between two versions, and the migration back if it has one.

        Raises MigrationError if it is invalid or another migration between the versions exists. A second call with
        the same migration changes nothing.
        """
        migration.check()
        known = self._migrations.setdefault(workflow_name, {})
        back = migration.backwards()
        for each in (migration, back):
            existing = each and known.get((each.from_version, each.to_version))
            if each is not None and existing is not None and not _same(each, existing):
                origin = f" (the reverse of {migration.migration_id})" if each is back else ""
                raise MigrationError(
                    f"{workflow_name}: a different migration {each.migration_id} exists already{origin}; "
                    "two versions can have only one migration between them"
                )
        known[migration.from_version, migration.to_version] = migration
        if back is not None:
            known.setdefault((back.from_version, back.to_version), back)

    def get_migrations(self, workflow_name: str) -> list[WorkflowMigration]:
        """Return all migrations, with those derived from `reverse`, sorted by source and target version."""
        known = self._migrations.get(workflow_name, {})
        return [known[key] for key in sorted(known)]

    def get_migration_paths(
        self, workflow_name: str, from_version: AnyVersion, to_version: AnyVersion, limit: int = 5
    ) -> list[list[WorkflowMigration]]:
        """Return paths from one version to another, best first: the shortest, then the least breaking."""
        start, goal = WorkflowVersion.of(from_version), WorkflowVersion.of(to_version)
        known = self._migrations.get(workflow_name, {})
        return list(islice(migration_paths.find_paths(known.values(), start, goal), limit))

    def get_migration_path(
        self, workflow_name: str, from_version: AnyVersion, to_version: AnyVersion
    ) -> list[WorkflowMigration]:
        """Return the best path, empty from a version to itself. Raises MigrationError, which names the gap."""
        start, goal = WorkflowVersion.of(from_version), WorkflowVersion.of(to_version)
        if start == goal:
            return []
        found = self.get_migration_paths(workflow_name, start, goal, limit=1)
        if found:
            return found[0]
        migrations = self.get_migrations(workflow_name)
        low, high = sorted((start, goal))
        reached = [
            version for version in migration_paths.reachable(migrations, start) if low <= version <= high
        ]
        nearest = (max if start < goal else min)(reached)
        known = ", ".join(migration.migration_id for migration in migrations) or "none"
        raise MigrationError(
            f"{workflow_name}: no migration leads from {start} to {goal}; the chain ends at {nearest} "
            f"(registered: {known}). Add a migration {nearest}->{goal}"
        )

    def migrate_state(
        self, workflow_name: str, state: Mapping[str, Any], from_version: AnyVersion, to_version: AnyVersion
    ) -> tuple[State, list[str]]:
        """Return the state for another version and the ids of the applied migrations.

        The given state does not change. Raises MigrationError if no path exists or a step fails.
        """
        current: State = copy.deepcopy(dict(state))
        applied: list[str] = []
        for migration in self.get_migration_path(workflow_name, from_version, to_version):
            current = migration.apply_to_state(current)
            applied.append(migration.migration_id)
        return current, applied


def _same(one: WorkflowMigration, other: WorkflowMigration) -> bool:
    """Return whether two migrations between the same versions are the same."""
    if one.undoes or other.undoes:
        return [step.to_block() for step in one.steps] == [step.to_block() for step in other.steps]
    return one.checksum == other.checksum


def next_free(version: WorkflowVersion, taken: Any) -> WorkflowVersion:
    """Return the next patch version that is not taken."""
    free = version.bump_patch()
    while free in taken:
        free = free.bump_patch()
    return free


_registry: WorkflowVersionRegistry | None = None


def get_version_registry() -> WorkflowVersionRegistry:
    """Return the registry of this process."""
    global _registry
    if _registry is None:
        _registry = WorkflowVersionRegistry()
    return _registry


def reset_version_registry() -> None:
    """Discard the registry of this process (for tests)."""
    global _registry
    _registry = None
