"""The part of the port for versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from victor_engine.api.marks import action, query
from victor_engine.api.roles import Role
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
    PruneReport,
    RunMigrationInfo,
    VersionInfo,
    VersionsShown,
    WorkflowInfo,
)


class VersionsPort(Protocol):
    """Versions of workflows: list, compare, deprecate and remove; aliases; migrations."""

    @query
    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        """Return all workflows by name, or one, with their versions, newest first.

        `shown` selects the versions. Workflows without such versions are omitted.
        """
        ...

    @query
    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        """Return the definition of a version, a range or an alias; the default is `latest`."""
        ...

    @query
    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        """Return the steps of a migration and their changes of a given state."""
        ...

    @query
    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff:
        """Return the differences of two versions."""
        ...

    @query
    async def migration_graph(self, workflow: str) -> list[MigrationEdge]:
        """Return the registered migrations of a workflow."""
        ...

    @query
    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]:
        """Return all aliases, or those of one workflow, with the outcomes of their runs."""
        ...

    @query
    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]:
        """Return the changes of an alias, newest first."""
        ...

    @query
    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        """Return the result of a migration for each run and schedule, with a plan, and write nothing."""
        ...

    @query
    async def plan_prune(self, workflow: str | None = None) -> PruneReport:
        """Return the versions that nothing uses, with a plan, and the reason for each version that is kept.

        A version is unused if it is not in force, no file of the workspace declares it, no stored run has used it, no
        alias, schedule or other workflow refers to it, and no migrations lead through it.
        """
        ...

    @query
    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        """Return the migrations of runs, newest first; of one workflow or one run if given."""
        ...

    @action(role=Role.OPERATOR)
    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        """Deprecate a version: warn when it is used for new runs. `removal` is the planned date of its removal.

        Raise UsageError if `removal` has no time zone.
        """
        ...

    @action(role=Role.OPERATOR)
    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        """Remove a version: new runs cannot start on it, and its active runs continue.

        Raise ConflictError, with their names, if aliases still point at it.
        """
        ...

    @action(role=Role.OPERATOR)
    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        """Restore a deprecated or removed version."""
        ...

    @action(role=Role.ADMIN)
    async def prune_versions(self, plan: str, note: str = "") -> PruneReport:
        """Delete the versions that a plan of `plan_prune` lists as ready. A version that is used since is kept."""
        ...

    @action(role=Role.OPERATOR)
    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        """Set an alias to a version. With `other`, that version gets `weight` percent (1 to 99) of new runs.

        Raise UsageError for an invalid name or weight, ConflictError if a version is removed.
        """
        ...

    @action(role=Role.OPERATOR)
    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        """Remove an alias."""
        ...

    @action(role=Role.OPERATOR)
    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        """Promote the second version of an alias: it gets all new runs. With `onto`, set that alias to it instead."""
        ...

    @action(role=Role.OPERATOR)
    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        """Set an alias back to its previous version, which gets all new runs."""
        ...

    @action(role=Role.OPERATOR)
    async def migrate_runs(
        self, spec: MigrationSpec, note: str = "", plan: str | None = None
    ) -> MigrationReport:
        """Migrate runs and schedules, each in its own transaction, and return a result for each.

        With the `plan` of a report, migrate only the items that it lists as ready. Items that have changed since
        are refused, with the change in `changed`. Raise PlanChangedError, and migrate nothing, if the target,
        `spec` or a migration has changed.
        """
        ...

    @action(role=Role.OPERATOR)
    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        """Undo the last migration of a run. Raise ConflictError if the run has continued since."""
        ...

    @action(role=Role.OPERATOR)
    async def unmigrate_runs(self, batch: str, note: str = "") -> MigrationReport:
        """Undo the migrations of runs by one call of `migrate_runs`, and return a result for each run.

        A run that has continued, or was migrated again, is refused with the reason. Raise NotFoundError if no call
        has this id, ConflictError if all its migrations are undone. Schedules stay on their version.
        """
        ...
