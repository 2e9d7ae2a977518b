"""Versions of workflows in memory, with their migrations: the interface for Python programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.errors import DefinitionError, NotFoundError
from victor_engine.versioning.diff import diff
from victor_engine.versioning.migration import MigrationError, State, WorkflowMigration
from victor_engine.versioning.semver import WorkflowVersion, select

AnyVersion = WorkflowVersion | str


def _version(version: AnyVersion) -> WorkflowVersion:
    return version if isinstance(version, WorkflowVersion) else WorkflowVersion.parse(version)


@dataclass
class VersionedWorkflow:
    """One version of one workflow. `definition` is its content (a mapping) or a WorkflowDefinition."""

    name: str
    version: WorkflowVersion
    definition: Any = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    deprecated: bool = False
    deprecation_message: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def version_id(self) -> str:
        return f"{self.name}@{self.version}"

    def is_deprecated(self) -> bool:
        return self.deprecated

    @property
    def content(self) -> Mapping[str, Any]:
        if isinstance(self.definition, Mapping):
            return self.definition
        from victor_engine.definition.content import definition_to_content
        from victor_engine.definition.model import WorkflowDefinition

        if isinstance(self.definition, WorkflowDefinition):
            return definition_to_content(self.definition)
        return {"definition": repr(self.definition)}

    @property
    def checksum(self) -> str:
        return jsonio.digest(dict(self.content))


class WorkflowVersionRegistry:
    """Versions by workflow, and the ways between them."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[WorkflowVersion, VersionedWorkflow]] = {}
        self._migrations: dict[str, dict[tuple[WorkflowVersion, WorkflowVersion], WorkflowMigration]] = {}

    # --- versions ------------------------------------------------------------------------------

    def register(self, workflow: VersionedWorkflow) -> None:
        """Add a version. The same version with the same content is no change; with another, an error."""
        versions = self._versions.setdefault(workflow.name, {})
        known = versions.get(workflow.version)
        if known is not None and known.checksum != workflow.checksum:
            lines = [change.describe() for change in diff(known.content, workflow.content)][:10]
            raise DefinitionError(
                f"{workflow.version_id} is registered with another content; a version never changes. "
                f"Call this one {next_free(workflow.version, versions)}. What differs: {'; '.join(lines)}"
            )
        if known is None:
            versions[workflow.version] = workflow

    def unregister(self, workflow_name: str, version: AnyVersion) -> bool:
        """Forget a version; whether there was one."""
        return self._versions.get(workflow_name, {}).pop(_version(version), None) is not None

    def get(self, workflow_name: str, version: AnyVersion | None = None) -> VersionedWorkflow | None:
        """The version (exact, or the newest that a range allows), or None."""
        versions = self._versions.get(workflow_name, {})
        if version is None:
            return self.get_latest(workflow_name)
        if isinstance(version, WorkflowVersion):
            return versions.get(version)
        chosen = select(version, [str(known) for known in versions])
        return versions[WorkflowVersion.parse(chosen)] if chosen is not None else None

    def get_latest(self, workflow_name: str, include_prerelease: bool = False) -> VersionedWorkflow | None:
        """The newest version; prereleases only when asked for."""
        versions = self._versions.get(workflow_name, {})
        chosen = select("latest", [str(known) for known in versions], prereleases=include_prerelease)
        return versions[WorkflowVersion.parse(chosen)] if chosen is not None else None

    def get_all_versions(self, workflow_name: str) -> list[VersionedWorkflow]:
        """All versions, oldest first."""
        versions = self._versions.get(workflow_name, {})
        return [versions[version] for version in sorted(versions)]

    def list_workflows(self) -> list[str]:
        return sorted(name for name, versions in self._versions.items() if versions)

    def deprecate(self, workflow_name: str, version: AnyVersion, message: str = "") -> None:
        """Mark a version as one that nobody should start on."""
        found = self.get(workflow_name, _version(version))
        if found is None:
            raise NotFoundError(f"there is no {workflow_name}@{version}")
        found.deprecated = True
        found.deprecation_message = message

    # --- migrations ----------------------------------------------------------------------------

    def add_migration(self, workflow_name: str, migration: WorkflowMigration) -> None:
        """Add a way between two versions. MigrationError if it contradicts itself or one that is there."""
        migration.check()
        known = self._migrations.setdefault(workflow_name, {})
        key = (migration.from_version, migration.to_version)
        if key in known and known[key].checksum != migration.checksum:
            raise MigrationError(
                f"{workflow_name}: there is another migration {migration.migration_id} already"
            )
        known[key] = migration
        if migration.reverse:
            back = WorkflowMigration(
                from_version=migration.to_version,
                to_version=migration.from_version,
                steps=tuple(migration.reverse),
                description=f"Back from {migration.description or migration.migration_id}",
                breaking=migration.breaking,
                downgrade=migration.from_version < migration.to_version,
            )
            known.setdefault((back.from_version, back.to_version), back)

    def get_migrations(self, workflow_name: str) -> list[WorkflowMigration]:
        known = self._migrations.get(workflow_name, {})
        return [known[key] for key in sorted(known)]

    def get_migration_paths(
        self, workflow_name: str, from_version: AnyVersion, to_version: AnyVersion, limit: int = 5
    ) -> list[list[WorkflowMigration]]:
        """Ways from one version to another, best first: shortest, then with fewer breaking ones."""
        start, goal = _version(from_version), _version(to_version)
        ways: dict[WorkflowVersion, list[WorkflowMigration]] = {}
        for (source, _), migration in sorted(self._migrations.get(workflow_name, {}).items()):
            ways.setdefault(source, []).append(migration)
        found: list[list[WorkflowMigration]] = []
        level: list[tuple[WorkflowVersion, list[WorkflowMigration]]] = [(start, [])]
        while level and len(found) < limit:
            following: list[tuple[WorkflowVersion, list[WorkflowMigration]]] = []
            done: list[list[WorkflowMigration]] = []
            for version, path in level:
                seen = {start, *(step.to_version for step in path)}
                for migration in ways.get(version, ()):
                    if migration.to_version == goal:
                        done.append([*path, migration])
                    elif migration.to_version not in seen:
                        following.append((migration.to_version, [*path, migration]))
            found += sorted(done, key=lambda path: sum(migration.breaking for migration in path))
            level = following[:1000]
        return found[:limit]

    def get_migration_path(
        self, workflow_name: str, from_version: AnyVersion, to_version: AnyVersion
    ) -> list[WorkflowMigration]:
        """The best way; empty where there is nothing to do. MigrationError names the gap if there is none."""
        start, goal = _version(from_version), _version(to_version)
        if start == goal:
            return []
        paths = self.get_migration_paths(workflow_name, start, goal, limit=1)
        if paths:
            return paths[0]
        reached = self._reachable(workflow_name, start)
        nearest = max((version for version in reached if version <= goal), default=start)
        known = ", ".join(m.migration_id for m in self.get_migrations(workflow_name)) or "none"
        raise MigrationError(
            f"{workflow_name}: no migration leads from {start} to {goal}; the chain ends at {nearest} "
            f"(registered: {known}). Add a migration {nearest}->{goal}"
        )

    def _reachable(self, workflow_name: str, start: WorkflowVersion) -> set[WorkflowVersion]:
        reached = {start}
        todo = [start]
        while todo:
            version = todo.pop()
            for source, target in self._migrations.get(workflow_name, {}):
                if source == version and target not in reached:
                    reached.add(target)
                    todo.append(target)
        return reached

    def migrate_state(
        self, workflow_name: str, state: Mapping[str, Any], from_version: AnyVersion, to_version: AnyVersion
    ) -> tuple[State, list[str]]:
        """The state for another version and the ids of the migrations applied; the given state stays."""
        current: State = dict(state)
        applied: list[str] = []
        for migration in self.get_migration_path(workflow_name, from_version, to_version):
            current = migration.apply_to_state(current)
            applied.append(migration.migration_id)
        return current, applied


def next_free(version: WorkflowVersion, taken: Any) -> WorkflowVersion:
    """The next patch version that is not taken."""
    free = version.bump_patch()
    while free in taken:
        free = free.bump_patch()
    return free


_registry: WorkflowVersionRegistry | None = None


def get_version_registry() -> WorkflowVersionRegistry:
    """The registry of this process."""
    global _registry
    if _registry is None:
        _registry = WorkflowVersionRegistry()
    return _registry


def reset_version_registry() -> None:
    """Forget the registry of this process (for tests)."""
    global _registry
    _registry = None
