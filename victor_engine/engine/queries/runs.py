"""The queries of the port on runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from victor_engine.api import (
    AttemptState,
    DeadLetterGroup,
    LogLine,
    RetentionInfo,
    RunComparison,
    RunDetail,
    RunGrid,
    RunInfo,
    RunPlanCommand,
    RunQuery,
    RunsPlan,
    RunStats,
)
from victor_engine.clock import Clock
from victor_engine.domain.retention import Retention
from victor_engine.engine.queries.reader import Reader
from victor_engine.engine.retention_plan import describe
from victor_engine.engine.run_comparison import attempt_state, compare_runs
from victor_engine.runs.redrive import CheckStart
from victor_engine.runs.run_plans import plan_runs
from victor_engine.store import queries


class RunQueries:
    """The queries on runs."""

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        rules: Callable[[], Retention],
        check_start: CheckStart | None = None,
    ) -> None:
        self._reader = reader
        self._check_start = check_start
        self._clock = clock
        self._rules = rules
        self.paces = queries.Paces()
        """The typical durations of workflows, by version."""

    async def info(self, run_id: str) -> RunInfo:
        """Return one run as in a list."""
        return await self._reader.read(queries.run_info, run_id, self._clock.now(), self.paces)

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._reader.read(queries.runs, query, self._clock.now(), self.paces)

    async def run(self, run_id: str) -> RunDetail:
        return await self._reader.read(queries.run_detail, run_id, self._clock.now(), self.paces)

    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        return await self._reader.read(queries.run_log, run_id, after, limit, node_id, text)

    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        return await self._reader.read(attempt_state, run_id, attempt_id)

    async def run_grid(self, workflow: str, limit: int = 30) -> RunGrid:
        return await self._reader.read(queries.run_grid, workflow, limit, self._clock.now(), self.paces)

    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        return await self._reader.read(queries.run_stats, query, buckets)

    async def compare_runs(self, left: str, right: str) -> RunComparison:
        return await self._reader.read(compare_runs, left, right, self._clock.now(), self.paces)

    async def retention(self) -> RetentionInfo:
        return await describe(self._reader, self._rules(), self._clock.now())

    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        return await self._reader.read(queries.dead_letters, cause, run_limit)

    async def plan_runs(
        self,
        command: RunPlanCommand,
        run_ids: list[str],
        version: str | None = None,
        from_node: str | None = None,
        states: dict[str, dict[str, Any]] | None = None,
    ) -> RunsPlan:
        now = self._clock.now()
        return await self._reader.read(
            plan_runs, command, run_ids, version, from_node, states, now, self._check_start
        )
