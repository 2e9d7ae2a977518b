"""The part of the port for runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from victor_engine.api.engine import RetentionInfo
from victor_engine.api.insight import AttemptState, RunComparison, RunStats
from victor_engine.api.marks import action, query
from victor_engine.api.roles import Role
from victor_engine.api.runs import (
    DeadLetterGroup,
    LogLine,
    RunDetail,
    RunGrid,
    RunInfo,
    RunPlanCommand,
    RunQuery,
    RunsPlan,
)


class RunsPort(Protocol):
    """Runs: start, follow, control and compare."""

    @query
    async def runs(self, query: RunQuery) -> list[RunInfo]:
        """Return the runs that match a query, newest first unless it has `oldest_first`."""
        ...

    @query
    async def run(self, run_id: str) -> RunDetail:
        """Return one run with its graph, attempts and state."""
        ...

    @query
    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        """Return lines with a `seq` above `after`, oldest first, at most `limit`.

        With `node_id`, return only lines of that node; with `text`, only lines that contain it.
        """
        ...

    @query
    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        """Return the state before and after one attempt. Raise NotFoundError if the run has no such attempt."""
        ...

    @query
    async def run_grid(self, workflow: str, limit: int = 30) -> RunGrid:
        """Return the nodes of the newest runs of a workflow, at most `limit` and 100 runs."""
        ...

    @query
    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        """Return statistics of the newest runs that match a query, at most `query.limit`, in time buckets."""
        ...

    @query
    async def compare_runs(self, left: str, right: str) -> RunComparison:
        """Return the differences of two runs. They can be of different versions or workflows."""
        ...

    @query
    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        """Return dead letters grouped by cause, the latest cause first, each with at most `run_limit` run ids.

        With `cause`, a unique prefix, return that group only. Raise NotFoundError if it does not exist.
        """
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
        """Return the effect of a command on each run, with plans. A redrive or rerun has `version` and `from_node`.

        `states` maps ids of `run_ids` to new states, for the runs whose whole state is replaced.

        With the `plan` of an item, the action raises ItemChangedError if the run has changed since, and
        PlanChangedError if the version of a redrive or rerun has changed.
        """
        ...

    @action(role=Role.OPERATOR)
    async def start_run(
        self,
        workflow: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        nominal: datetime | None = None,
        key: str = "",
    ) -> RunInfo:
        """Start a run of a workflow with an initial state.

        `version` is exact, a range, an alias, or None for `latest`. `nominal` is the instant that the run is for,
        with a time zone. With a `key`, a second call of the same user with the same key returns the run of the first
        one; it raises ConflictError for another workflow. Raise NotFoundError if the workflow or version
        does not exist, VersionRemovedError if the version is removed, ConflictError while the engine drains, and
        UntrustedError if the workspace is not trusted.
        """
        ...

    @action(role=Role.OPERATOR)
    async def cancel_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        """Cancel a run and stop its commands. A second call force-kills the commands."""
        ...

    @action(role=Role.OPERATOR)
    async def pause_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        """Pause a run after its current node."""
        ...

    @action(role=Role.OPERATOR)
    async def resume_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        """Resume a paused run."""
        ...

    @action(role=Role.OPERATOR)
    async def retry_run(
        self, run_id: str, note: str = "", plan: str | None = None, restart_children: bool = False
    ) -> RunInfo:
        """Retry a failed or cancelled run from the node at which it stopped.

        If a child run failed there, it continues where it stopped. With `restart_children`, the node starts another
        child.
        """
        ...

    @action(role=Role.OPERATOR)
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
        restart_children: bool = False,
    ) -> RunInfo:
        """Continue a failed, cancelled, rejected, paused or succeeded run from a node. It keeps its attempts.

        The default of `from_node` is the node at which the run stopped; a succeeded run needs one. `state` replaces
        the whole state. With `rewind`, the state is that from before the last visit to the node, migrated if a
        migration leads to the other version. The default of `version` is that of the run. `restart_children` is as in
        `retry_run`. Raise UsageError if the version does not have the node (`details["nodes"]` lists its nodes), and
        ConflictError, with the user of the last change, if `revision` is not the current revision of the run.
        """
        ...

    @action(role=Role.OPERATOR)
    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        plan: str | None = None,
    ) -> RunInfo:
        """Start a new run with the input of an earlier run (or `state`), on its version (or `version`).

        The trigger of the new run is `rerun`, and its `parent_run` is the earlier run, which does not change.
        """
        ...

    @action(role=Role.OPERATOR)
    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        """Set the time limit (seconds) or the number of attempts of a node for this run, from its next attempt on.

        `retry_now` starts an attempt that waits for its retry time; raise ConflictError if none waits. Raise
        UsageError if the override can have no effect.
        """
        ...

    @action(role=Role.OPERATOR)
    async def discard_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        """Discard a dead letter. The run stays failed. Raise ConflictError if the run is not a dead letter."""
        ...

    @query
    async def retention(self) -> RetentionInfo:
        """Return the rules of retention, whether they are in force, and the ended runs that they delete now."""
        ...

    @action(role=Role.ADMIN)
    async def confirm_retention(self, digest: str) -> RetentionInfo:
        """Confirm the rules of retention with a digest (`retention`). The engine then deletes history by them.

        Raise ConflictError if the rules have changed since, or delete nothing.
        """
        ...
