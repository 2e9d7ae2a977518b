"""The part of the port that concerns versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from victor_engine.api.marks import action, query
from victor_engine.api.runs import RunInfo
from victor_engine.api.versions import (
    AliasChange,
    AliasInfo,
    DefinitionDiff,
    DefinitionInfo,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    RunMigrationInfo,
    VersionInfo,
    VersionsShown,
    WorkflowInfo,
)


class VersionsPort(Protocol):
    """Versions of workflows: compare, deprecate, name them by aliases, and move runs between them."""

    @query
    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        """Workflows by name (or one), with their versions, newest first; those without any are left out."""
        ...

    @query
    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo: ...

    @query
    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview: ...

    @query
    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff: ...

    @query
    async def migration_graph(self, workflow: str) -> list[MigrationEdge]: ...

    @query
    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]: ...

    @query
    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]: ...

    @query
    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        """What would become of each run and schedule; nothing is written. The reason is in each result."""
        ...

    @query
    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        """The history of moves, the newest first."""
        ...

    @action
    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        """Warn whoever starts on a version. `removal` is when nothing new is to start on it any more."""
        ...

    @action
    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        """Let nothing new start on a version, with a message; what runs on it goes on.

        ConflictError names the aliases that still point at it.
        """
        ...

    @action
    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        """Take a deprecation or removal back."""
        ...

    @action
    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        """Point an alias at a version; with `other`, give that one `weight` percent of what starts."""
        ...

    @action
    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None: ...

    @action
    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        """Give the second version of a split alias everything; or point alias `onto` at it."""
        ...

    @action
    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        """Give everything to the version that had it before."""
        ...

    @action
    async def migrate_runs(
        self, spec: MigrationSpec, note: str = "", plan: str | None = None
    ) -> MigrationReport:
        """Move runs and schedules that can be moved, each by itself and all or nothing, with a result for each.

        With the `plan` of a report, move only what that lists as ready. What changed since is left out and says so
        in `changed`. Raise PlanChangedError and move nothing if the target, `spec` or a migration changed.
        """
        ...

    @action
    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        """Put a run back to what it was before its last move; ConflictError if it has gone on since."""
        ...
