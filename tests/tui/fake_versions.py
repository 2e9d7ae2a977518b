"""What the fake port does with versions and aliases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tests.tui import fake_data as data
from victor_engine.api import (
    AliasChange,
    AliasInfo,
    AliasSide,
    DefinitionDiff,
    DefinitionInfo,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    MigrationStepResult,
    RunInfo,
    RunMigrationInfo,
    RunMove,
    VersionInfo,
    VersionsShown,
    WorkflowInfo,
)
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, NotFoundError
from victor_engine.versioning.diff import compare


class FakeVersions:
    """Mixed into the fake port, whose workflows it works on."""

    clock: FakeClock
    workflow_map: dict[str, WorkflowInfo]
    run_map: dict[str, RunInfo]

    alias_map: dict[tuple[str, str], AliasInfo]

    def _enter(self, name: str, *args: Any, action: bool = False) -> None:
        raise NotImplementedError(name)

    def emit(self, kind: str, **ids: Any) -> Any:
        raise NotImplementedError(kind)

    @staticmethod
    def _find(items: dict[str, Any], key: str, word: str) -> Any:
        raise NotImplementedError(word)

    def give_aliases(self) -> None:
        """A rollout in the middle, and an alias that just points."""
        self.listed: list[tuple[str | None, VersionsShown]] = []
        now = self.clock.now()
        self.alias_map = {}
        if not self.workflow_map:
            return
        stable = AliasSide("1.1.0", 80, 412, 3, 400, 8, 1, 0, 400 / 408, 312.0)
        canary = AliasSide("2.0.0", 20, 98, 1, 90, 7, 0, 0, 90 / 97, 260.0)
        self.alias_map["data_pipeline", "stable"] = AliasInfo(
            "data_pipeline", "stable", (stable, canary), now - timedelta(hours=5), "ana", "half of the fleet", 1, "1.1.0"
        )  # fmt: skip
        side = AliasSide("2.1.0", 100, 12, 1, 11, 0, 0, 0, 1.0, 1900.0)
        self.alias_map["deploy", "stable"] = AliasInfo(
            "deploy", "stable", (side,), now - timedelta(days=8), "ben", "", 1, "2.0.0"
        )
        for (workflow, name), info in self.alias_map.items():
            for place, each in enumerate(info.sides):
                share = each.weight if len(info.sides) > 1 else None
                status = "ramping" if place else "current"
                self._change(workflow, each.version, aliases=(name,), share=share, status=status)

    def _version(self, workflow: str, version: str | None) -> VersionInfo:
        info: WorkflowInfo = self._find(self.workflow_map, workflow, "workflow")
        for entry in info.versions:
            if version in (None, entry.version):
                return entry
        raise NotFoundError(f"{workflow} has no version {version}")

    def _change(self, workflow: str, version: str, **changes: Any) -> VersionInfo:
        changed = replace(self._version(workflow, version), **changes)
        info = self.workflow_map[workflow]
        versions = tuple(changed if v.version == version else v for v in info.versions)
        self.workflow_map[workflow] = replace(info, versions=versions)
        return changed

    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        self._enter("workflows")
        self.listed.append((workflow, shown))
        found = [info for info in self.workflow_map.values() if workflow in (None, info.name)]
        counted = [replace(info, version_count=len(info.versions)) for info in found]
        if shown == "heads":
            return [replace(info, versions=tuple(v for v in info.versions if v.current)) for info in counted]
        if shown == "notices":
            told = [
                replace(info, versions=tuple(v for v in info.versions if v.deprecated or v.removed))
                for info in counted
            ]
            return [info for info in told if info.versions]
        return counted

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        self._enter("definition")
        return data.make_definition(self._version(workflow, version))

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        self._enter("preview_migration")
        step = f"{from_version}->{to_version}"
        return MigrationPreview(
            (step,),
            state,
            {**state, "migrated": True},
            (MigrationStepResult(step, "sets migrated to true", ("+ migrated = true",)),),
        )

    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff:
        self._enter("diff_versions")
        return compare(await self.definition(workflow, old), await self.definition(workflow, new))

    async def migration_graph(self, workflow: str) -> list[MigrationEdge]:
        self._enter("migration_graph")
        info: WorkflowInfo = self._find(self.workflow_map, workflow, "workflow")
        return [
            MigrationEdge(
                origin,
                version.version,
                "Restructure the state",
                breaking=origin[0] != version.version[0],
                steps=("rename field rows to records", "rename node check to checks"),
            )
            for version in reversed(info.versions)
            for origin in version.migrations_from
        ]

    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]:
        self._enter("aliases")
        return [info for (flow, _), info in sorted(self.alias_map.items()) if workflow in (None, flow)]

    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]:
        self._enter("alias_history")
        info = self.alias_map[workflow, alias]
        return [AliasChange(workflow, alias, "set", info.since, info.set_by, info.version)]

    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        self._enter("plan_migration")
        return self._report(spec, applied=False)

    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        self._enter("run_migrations")
        return []

    async def migrate_runs(
        self, spec: MigrationSpec, note: str = "", plan: str | None = None
    ) -> MigrationReport:
        self._enter("migrate_runs", spec, note, action=True)
        return self._report(spec, applied=True)

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        self._enter("unmigrate_run", run_id, note, action=True)
        run: RunInfo = self._find(self.run_map, run_id, "run")
        return run

    def _report(self, spec: MigrationSpec, *, applied: bool) -> MigrationReport:
        """Every third run is at work and refused."""
        runs = [
            run
            for run in self.run_map.values()
            if run.id in spec.run_ids
            or (not spec.run_ids and run.workflow == spec.workflow and run.version == spec.from_version)
        ]
        path = (f"{spec.from_version or '1.0.0'}->{spec.to_version}",)
        moves = []
        for place, run in enumerate(runs):
            if place % 3 == 2:
                reason = "it is running; pause it, and migrate it when it is paused"
                moves.append(
                    RunMove(run.id, run.version, spec.to_version, "refused", run.status, reason, path)
                )
                continue
            steps = (
                MigrationStepResult(
                    path[0], "rename field rows to records", ("- rows = 12", "+ records = 12")
                ),
                MigrationStepResult(
                    path[0], "rename node check to checks", (), "stands on check, which is now checks"
                ),
            )
            moves.append(
                RunMove(
                    run.id,
                    run.version,
                    spec.to_version,
                    "migrated" if applied else "ready",
                    run.status,
                    "",
                    path,
                    ("check",),
                    ("checks",),
                    ("check: stays open",),
                    ("check: deadline 2026-03-10 16:00 UTC stays",),
                    steps,
                    True,
                )
            )
        return MigrationReport(spec.workflow, spec.to_version, applied, tuple(moves))

    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        self._enter("deprecate", workflow, version, message, successor, action=True)
        changed = self._change(
            workflow,
            version,
            deprecated=message,
            deprecated_by="ana",
            successor=successor,
            removal_at=removal,
            status="deprecated",
        )
        self.emit("version.deprecated", workflow=workflow, data={"version": version})
        return changed

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        self._enter("remove_version", workflow, version, message, action=True)
        self.emit("version.removed", workflow=workflow, data={"version": version})
        return self._change(workflow, version, removed=message or "removed", status="removed")

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        self._enter("restore_version", workflow, version, action=True)
        self.emit("version.restored", workflow=workflow, data={"version": version})
        return self._change(workflow, version, removed=None, deprecated=None, status="unused")

    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        self._enter("set_alias", workflow, alias, version, other, weight, note, action=True)
        sides = (AliasSide(version, 100 - weight), *((AliasSide(other, weight),) if other else ()))
        info = AliasInfo(workflow, alias, sides, self.clock.now(), "ana", note, 0, None)
        self.alias_map[workflow, alias] = info
        self.emit("alias.changed", workflow=workflow, data={"alias": alias})
        return info

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        self._enter("remove_alias", workflow, alias, note, action=True)
        del self.alias_map[workflow, alias]
        self.emit("alias.removed", workflow=workflow, data={"alias": alias})

    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        self._enter("promote_alias", workflow, alias, onto, note, action=True)
        info = self.alias_map[workflow, alias]
        if onto is None and len(info.sides) < 2:
            raise ConflictError(f"alias {alias!r} is not split")
        return await self.set_alias(workflow, onto or alias, info.sides[-1].version)

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        self._enter("roll_back_alias", workflow, alias, note, action=True)
        info = self.alias_map[workflow, alias]
        if info.rolls_back_to is None:
            raise ConflictError(f"alias {alias!r} was never at anything else")
        return await self.set_alias(workflow, alias, info.rolls_back_to)
