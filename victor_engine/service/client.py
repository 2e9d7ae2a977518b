"""The console port over the socket: what a second console and the command line speak."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from victor_engine.api import (
    Agenda,
    AliasChange,
    AliasInfo,
    Answer,
    AttemptState,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    DeadLetterGroup,
    DefinitionDiff,
    DefinitionInfo,
    EngineInfo,
    EventInfo,
    EventQuery,
    Explanation,
    FireInfo,
    LogLine,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    ProblemInfo,
    RequestInfo,
    RequestQuery,
    RunComparison,
    RunDetail,
    RunInfo,
    RunMigrationInfo,
    RunQuery,
    RunStats,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    TrustInfo,
    VersionInfo,
    VersionsShown,
    WorkflowInfo,
)
from victor_engine.service.connection import Connection


class Client(Connection):
    """`api.Port` over a Unix socket."""

    async def engine(self) -> EngineInfo:
        return await self._call("engine")  # type: ignore[no-any-return]

    async def trust_info(self) -> TrustInfo:
        return await self._call("trust_info")  # type: ignore[no-any-return]

    async def schedules(self) -> list[ScheduleInfo]:
        return await self._call("schedules")  # type: ignore[no-any-return]

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        return await self._call("schedule", schedule_id=schedule_id)  # type: ignore[no-any-return]

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._call("fires", schedule_id=schedule_id, limit=limit, workflow=workflow)  # type: ignore[no-any-return]

    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview:
        return await self._call(  # type: ignore[no-any-return]
            "preview_schedule", spec=spec, count=count, after=after, schedule_id=schedule_id
        )

    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation:
        return await self._call("explain_schedule", schedule_id=schedule_id, at=at, until=until)  # type: ignore[no-any-return]

    async def agenda(self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200) -> Agenda:
        return await self._call("agenda", edges=edges, schedule_id=schedule_id, limit=limit)  # type: ignore[no-any-return]

    async def calendars(self) -> list[CalendarInfo]:
        return await self._call("calendars")  # type: ignore[no-any-return]

    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview:
        return await self._call("preview_backfill", spec=spec)  # type: ignore[no-any-return]

    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]:
        return await self._call("backfills", schedule_id=schedule_id, limit=limit)  # type: ignore[no-any-return]

    async def start_backfill(self, spec: BackfillSpec, note: str = "") -> BackfillInfo:
        return await self._call("start_backfill", spec=spec, note=note)  # type: ignore[no-any-return]

    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        return await self._call("pause_backfill", backfill_id=backfill_id, note=note)  # type: ignore[no-any-return]

    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        return await self._call("resume_backfill", backfill_id=backfill_id, note=note)  # type: ignore[no-any-return]

    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        return await self._call("cancel_backfill", backfill_id=backfill_id, note=note)  # type: ignore[no-any-return]

    async def drain(self, note: str = "") -> EngineInfo:
        return await self._call("drain", note=note)  # type: ignore[no-any-return]

    async def undrain(self, note: str = "") -> EngineInfo:
        return await self._call("undrain", note=note)  # type: ignore[no-any-return]

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._call("runs", query=query)  # type: ignore[no-any-return]

    async def run(self, run_id: str) -> RunDetail:
        return await self._call("run", run_id=run_id)  # type: ignore[no-any-return]

    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        return await self._call(  # type: ignore[no-any-return]
            "run_log", run_id=run_id, after=after, limit=limit, node_id=node_id, text=text
        )

    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        return await self._call("attempt_state", run_id=run_id, attempt_id=attempt_id)  # type: ignore[no-any-return]

    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        return await self._call("run_stats", query=query, buckets=buckets)  # type: ignore[no-any-return]

    async def compare_runs(self, left: str, right: str) -> RunComparison:
        return await self._call("compare_runs", left=left, right=right)  # type: ignore[no-any-return]

    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        return await self._call("dead_letters", cause=cause, run_limit=run_limit)  # type: ignore[no-any-return]

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        return await self._call("requests", query=query)  # type: ignore[no-any-return]

    async def request_count(self, query: RequestQuery) -> int:
        return await self._call("request_count", query=query)  # type: ignore[no-any-return]

    async def request(self, request_id: str) -> RequestInfo:
        return await self._call("request", request_id=request_id)  # type: ignore[no-any-return]

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._call("events", query=query)  # type: ignore[no-any-return]

    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        return await self._call("workflows", workflow=workflow, shown=shown)  # type: ignore[no-any-return]

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        return await self._call("definition", workflow=workflow, version=version)  # type: ignore[no-any-return]

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        return await self._call(  # type: ignore[no-any-return]
            "preview_migration",
            workflow=workflow,
            from_version=from_version,
            to_version=to_version,
            state=state,
        )

    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff:
        return await self._call("diff_versions", workflow=workflow, old=old, new=new)  # type: ignore[no-any-return]

    async def migration_graph(self, workflow: str) -> list[MigrationEdge]:
        return await self._call("migration_graph", workflow=workflow)  # type: ignore[no-any-return]

    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]:
        return await self._call("aliases", workflow=workflow)  # type: ignore[no-any-return]

    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]:
        return await self._call("alias_history", workflow=workflow, alias=alias)  # type: ignore[no-any-return]

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        return await self._call("start_run", workflow=workflow, version=version, state=state, note=note)  # type: ignore[no-any-return]

    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("cancel_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def pause_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("pause_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def resume_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("resume_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def retry_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("retry_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def redrive_run(
        self,
        run_id: str,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
        version: str | None = None,
        revision: int | None = None,
        note: str = "",
        rewind: bool = False,
    ) -> RunInfo:
        return await self._call(  # type: ignore[no-any-return]
            "redrive_run",
            run_id=run_id,
            from_node=from_node,
            state=state,
            version=version,
            revision=revision,
            note=note,
            rewind=rewind,
        )

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
    ) -> RunInfo:
        return await self._call("rerun", run_id=run_id, version=version, state=state, note=note)  # type: ignore[no-any-return]

    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        return await self._call(  # type: ignore[no-any-return]
            "override_node",
            run_id=run_id,
            node_id=node_id,
            timeout=timeout,
            max_attempts=max_attempts,
            retry_now=retry_now,
            note=note,
        )

    async def discard_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("discard_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        return await self._call("add_schedule", spec=spec, note=note)  # type: ignore[no-any-return]

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        return await self._call("edit_schedule", schedule_id=schedule_id, spec=spec, note=note)  # type: ignore[no-any-return]

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        await self._call("remove_schedule", schedule_id=schedule_id, note=note)

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        return await self._call("trigger_schedule", schedule_id=schedule_id, state=state, note=note)  # type: ignore[no-any-return]

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        return await self._call("pause_schedule", schedule_id=schedule_id, note=note, until=until)  # type: ignore[no-any-return]

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        return await self._call("resume_schedule", schedule_id=schedule_id, note=note)  # type: ignore[no-any-return]

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        return await self._call("skip_next", schedule_id=schedule_id, note=note)  # type: ignore[no-any-return]

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        return await self._call("answer", request_id=request_id, revision=revision, answer=answer)  # type: ignore[no-any-return]

    async def claim(self, request_id: str) -> RequestInfo:
        return await self._call("claim", request_id=request_id)  # type: ignore[no-any-return]

    async def release(self, request_id: str) -> RequestInfo:
        return await self._call("release", request_id=request_id)  # type: ignore[no-any-return]

    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo:
        return await self._call(  # type: ignore[no-any-return]
            "reassign", request_id=request_id, revision=revision, assignees=assignees, note=note
        )

    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo:
        return await self._call(  # type: ignore[no-any-return]
            "delegate", request_id=request_id, revision=revision, to=to, note=note
        )

    async def undo_answer(self, request_id: str) -> RequestInfo:
        return await self._call("undo_answer", request_id=request_id)  # type: ignore[no-any-return]

    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo:
        return await self._call(  # type: ignore[no-any-return]
            "push_back", request_id=request_id, revision=revision, to_node=to_node, comment=comment
        )

    async def ask_requester(self, request_id: str, question: str) -> RequestInfo:
        return await self._call("ask_requester", request_id=request_id, question=question)  # type: ignore[no-any-return]

    async def reply(self, request_id: str, text: str) -> RequestInfo:
        return await self._call("reply", request_id=request_id, text=text)  # type: ignore[no-any-return]

    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        return await self._call(  # type: ignore[no-any-return]
            "deprecate",
            workflow=workflow,
            version=version,
            message=message,
            successor=successor,
            removal=removal,
        )

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        return await self._call("remove_version", workflow=workflow, version=version, message=message)  # type: ignore[no-any-return]

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        return await self._call("restore_version", workflow=workflow, version=version)  # type: ignore[no-any-return]

    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        return await self._call(  # type: ignore[no-any-return]
            "set_alias",
            workflow=workflow,
            alias=alias,
            version=version,
            other=other,
            weight=weight,
            note=note,
        )

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        await self._call("remove_alias", workflow=workflow, alias=alias, note=note)

    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        return await self._call("promote_alias", workflow=workflow, alias=alias, onto=onto, note=note)  # type: ignore[no-any-return]

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        return await self._call("roll_back_alias", workflow=workflow, alias=alias, note=note)  # type: ignore[no-any-return]

    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        return await self._call("plan_migration", spec=spec)  # type: ignore[no-any-return]

    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        return await self._call("run_migrations", workflow=workflow, run_id=run_id, limit=limit)  # type: ignore[no-any-return]

    async def migrate_runs(self, spec: MigrationSpec, note: str = "") -> MigrationReport:
        return await self._call("migrate_runs", spec=spec, note=note)  # type: ignore[no-any-return]

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("unmigrate_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def reload(self) -> list[ProblemInfo]:
        return await self._call("reload")  # type: ignore[no-any-return]

    async def trust(self) -> TrustInfo:
        return await self._call("trust")  # type: ignore[no-any-return]

    async def stop_engine(self) -> None:
        await self._call("stop_engine")
