"""The part of the port that concerns runs."""

from __future__ import annotations

from typing import Any, Protocol

from victor_engine.api.insight import AttemptState, RunComparison, RunStats
from victor_engine.api.marks import action, query
from victor_engine.api.runs import (
    DeadLetterGroup,
    LogLine,
    RunDetail,
    RunInfo,
    RunPlanCommand,
    RunQuery,
    RunsPlan,
)


class RunsPort(Protocol):
    """Runs: start, follow, steer and compare them."""

    @query
    async def runs(self, query: RunQuery) -> list[RunInfo]: ...

    @query
    async def run(self, run_id: str) -> RunDetail: ...

    @query
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

    @query
    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        """The state before and after one attempt of a run; NotFoundError if it is none of its."""
        ...

    @query
    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        """What became of the newest runs that fit; its `limit` bounds how many are looked at."""
        ...

    @query
    async def compare_runs(self, left: str, right: str) -> RunComparison: ...

    @query
    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        """Runs that failed for good, by cause, the one seen last first; `cause` asks for one of them."""
        ...

    @query
    async def plan_runs(
        self,
        command: RunPlanCommand,
        run_ids: list[str],
        version: str | None = None,
        from_node: str | None = None,
        states: dict[str, dict[str, Any]] | None = None,
    ) -> RunsPlan:
        """What a command would do to each run. `version` and `from_node` are those of a redrive or rerun.

        `states` has the whole new state of each run that gets one, by the id in `run_ids`.

        The action takes the `plan` of an item. It then raises ItemChangedError if the run is not what was shown, and
        PlanChangedError if the version to go on with is another one.
        """
        ...

    @action
    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...

    @action
    async def cancel_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo: ...

    @action
    async def pause_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo: ...

    @action
    async def resume_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo: ...

    @action
    async def retry_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo: ...

    @action
    async def redrive_run(
        self,
        run_id: str,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
        version: str | None = None,
        revision: int | None = None,
        note: str = "",
        rewind: bool = False,
        plan: str | None = None,
    ) -> RunInfo:
        """Let a failed, cancelled, rejected or paused run go on from a node, with attempts kept.

        `from_node` None is where it stopped. `state` is the whole new state; None keeps it, or with
        `rewind` takes it as it was when the run last came to that node (migrated where a migration
        leads to the other version). `version` None keeps the definition; a version
        without the node is refused (UsageError, `details["nodes"]` are those that it has). A
        `revision` that is not the run's own any more is a ConflictError that says who changed it.
        """
        ...

    @action
    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        plan: str | None = None,
    ) -> RunInfo:
        """Start a new run with the same input (or `state`) on the same version (or another one).

        Its trigger is `rerun` and its `parent_run` the old run, which stays as it is.
        """
        ...

    @action
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

    @action
    async def discard_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        """Take a dead letter off the list; the run stays failed. ConflictError if it is none."""
        ...
