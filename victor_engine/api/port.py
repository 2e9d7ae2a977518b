"""The console port itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from victor_engine.api.engine import EngineInfo, EventInfo, EventQuery, TrustInfo
from victor_engine.api.insight import AttemptState, RunComparison, RunStats
from victor_engine.api.people import Answer, RequestInfo, RequestQuery
from victor_engine.api.runs import DeadLetterGroup, LogLine, RunDetail, RunInfo, RunQuery
from victor_engine.api.schedules import (
    Agenda,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    Explanation,
    FireInfo,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
)
from victor_engine.api.versions import (
    AliasChange,
    AliasInfo,
    DefinitionDiff,
    DefinitionInfo,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    ProblemInfo,
    RunMigrationInfo,
    VersionInfo,
    VersionsShown,
    WorkflowInfo,
)


@runtime_checkable
class Port(Protocol):
    """The console port. `Engine`, `Client` and `ReadOnlyPort` implement it; tests hold all three to it.

    Ids may be given as unique prefixes. `note` is free text that goes into the event.
    """

    # queries
    async def engine(self) -> EngineInfo: ...
    async def trust_info(self) -> TrustInfo: ...
    async def schedules(self) -> list[ScheduleInfo]: ...
    async def schedule(self, schedule_id: str) -> ScheduleInfo: ...
    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]: ...
    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview: ...
    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation: ...
    async def agenda(
        self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200
    ) -> Agenda: ...
    async def calendars(self) -> list[CalendarInfo]: ...
    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview: ...
    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]: ...
    async def runs(self, query: RunQuery) -> list[RunInfo]: ...
    async def run(self, run_id: str) -> RunDetail: ...
    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        """Lines with a number above `after`, oldest first; only a node's, only those that hold `text`."""
        ...

    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        """The state before and after one attempt of a run; NotFoundError if it is none of its."""
        ...

    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        """What became of the newest runs that fit; its `limit` bounds how many are looked at."""
        ...

    async def compare_runs(self, left: str, right: str) -> RunComparison: ...
    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        """Runs that failed for good, by cause, the one seen last first; `cause` asks for one of them."""
        ...

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        """A page of requests: the open ones by deadline, priority and age, then the decided ones, newest first."""
        ...

    async def request_count(self, query: RequestQuery) -> int:
        """How many requests fit a query, whatever its page."""
        ...

    async def request(self, request_id: str) -> RequestInfo: ...
    async def events(self, query: EventQuery) -> list[EventInfo]: ...
    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        """Workflows by name (or one), with their versions, newest first; those without any are left out."""
        ...

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo: ...
    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview: ...

    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff: ...
    async def migration_graph(self, workflow: str) -> list[MigrationEdge]: ...
    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]: ...
    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]: ...
    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        """What would become of each run and schedule; nothing is written. The reason is in each result."""
        ...

    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        """The history of moves, the newest first."""
        ...

    # actions on runs
    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...
    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def pause_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def resume_run(self, run_id: str, note: str = "") -> RunInfo: ...
    async def retry_run(self, run_id: str, note: str = "") -> RunInfo: ...
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
        """Let a failed, cancelled, rejected or paused run go on from a node, with attempts kept.

        `from_node` None is where it stopped. `state` is the whole new state; None keeps it, or with
        `rewind` takes it as it was when the run last came to that node (migrated where a migration
        leads to the other version). `version` None keeps the definition; a version
        without the node is refused (UsageError, `details["nodes"]` are those that it has). A
        `revision` that is not the run's own any more is a ConflictError that says who changed it.
        """
        ...

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
    ) -> RunInfo:
        """Start a new run with the same input (or `state`) on the same version (or another one).

        Its trigger is `rerun` and its `parent_run` the old run, which stays as it is.
        """
        ...

    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        """Set a node's time limit (seconds) or attempts for this run, from its next attempt on.

        Also while it waits for that attempt, which `retry_now` lets come at once (ConflictError if it
        waits for none). UsageError where it can have no effect.
        """
        ...

    async def discard_run(self, run_id: str, note: str = "") -> RunInfo:
        """Take a dead letter off the list; the run stays failed. ConflictError if it is none."""
        ...

    # actions on schedules
    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded: ...
    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo: ...
    async def remove_schedule(self, schedule_id: str, note: str = "") -> None: ...
    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...
    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo: ...
    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...
    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...

    async def start_backfill(self, spec: BackfillSpec, note: str = "") -> BackfillInfo: ...
    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...
    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...
    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...
    async def drain(self, note: str = "") -> EngineInfo: ...
    async def undrain(self, note: str = "") -> EngineInfo: ...

    # people
    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo: ...
    async def claim(self, request_id: str) -> RequestInfo: ...
    async def release(self, request_id: str) -> RequestInfo: ...
    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo: ...
    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo: ...
    async def undo_answer(self, request_id: str) -> RequestInfo: ...
    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo: ...
    async def ask_requester(self, request_id: str, question: str) -> RequestInfo: ...
    async def reply(self, request_id: str, text: str) -> RequestInfo: ...

    # versions, workspace, engine
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

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        """Let nothing new start on a version, with a message; what runs on it goes on.

        ConflictError names the aliases that still point at it.
        """
        ...

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        """Take a deprecation or removal back."""
        ...

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

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None: ...
    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        """Give the second version of a split alias everything; or point alias `onto` at it."""
        ...

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        """Give everything to the version that had it before."""
        ...

    async def migrate_runs(self, spec: MigrationSpec, note: str = "") -> MigrationReport:
        """Move runs and schedules that can be moved, each by itself and all or nothing, with a result for each."""
        ...

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        """Put a run back to what it was before its last move; ConflictError if it has gone on since."""
        ...

    async def reload(self) -> list[ProblemInfo]: ...
    async def trust(self) -> TrustInfo: ...
    async def stop_engine(self) -> None: ...

    # the live feed: events with a sequence above `after`, then every new one as it is committed
    def subscribe(self, after: int) -> AsyncIterator[EventInfo]: ...
    async def close(self) -> None: ...
