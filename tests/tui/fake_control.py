"""What the fake port does with dead letters, redrives and reruns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from victor_engine.api import DeadLetterGroup, ErrorInfo, RunInfo, RunPlanCommand, RunPlanItem, RunsPlan
from victor_engine.errors import ConflictError, NotFoundError


def cause_of(run: RunInfo) -> str:
    error = run.error or ErrorInfo(type="Error", message="")
    return f"{run.workflow}-{error.node_id}-{error.type}"


class FakeControl:
    """Mixed into the fake port, whose runs it works on."""

    run_map: dict[str, RunInfo]

    def _enter(self, name: str, *args: Any, action: bool = False) -> None:
        raise NotImplementedError(name)

    @staticmethod
    def _find(items: dict[str, Any], key: str, word: str) -> Any:
        raise NotImplementedError(word)

    def _set_run(self, run: RunInfo, kind: str, note: str = "") -> RunInfo:
        raise NotImplementedError(kind)

    def _dead(self) -> Iterable[RunInfo]:
        return (run for run in self.run_map.values() if run.dead_letter)

    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        self._enter("dead_letters")
        groups: dict[str, list[RunInfo]] = {}
        for run in self._dead():
            groups.setdefault(cause_of(run), []).append(run)
        found = []
        for name, runs in groups.items():
            runs.sort(key=lambda run: run.finished_at or run.created_at, reverse=True)
            error = runs[0].error or ErrorInfo(type="Error", message="")
            found.append(
                DeadLetterGroup(
                    cause=name,
                    workflow=runs[0].workflow,
                    error_type=error.type,
                    pattern=error.message,
                    count=len(runs),
                    first_seen=runs[-1].finished_at or runs[-1].created_at,
                    last_seen=runs[0].finished_at or runs[0].created_at,
                    example=error,
                    run_ids=tuple(run.id for run in runs[:run_limit]),
                    node_id=error.node_id,
                )
            )
        found.sort(key=lambda group: group.last_seen, reverse=True)
        if cause is None:
            return found
        matches = [group for group in found if group.cause.startswith(cause)]
        if len(matches) != 1:
            raise NotFoundError(f"there is no cause {cause!r} of dead letters")
        return matches

    async def plan_runs(
        self,
        command: RunPlanCommand,
        run_ids: list[str],
        version: str | None = None,
        from_node: str | None = None,
        states: dict[str, dict[str, Any]] | None = None,
    ) -> RunsPlan:
        self._enter("plan_runs")
        found = [self.run_map[run_id] for run_id in run_ids]
        items = (
            RunPlanItem(
                run.id, run.workflow, run.version, run.status, "", "continues", plan=f"token of {run.id}"
            )
            for run in found
        )
        return RunsPlan(command, tuple(items), "token")

    async def discard_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        self._enter("discard_run", run_id, note, action=True)
        run: RunInfo = self._find(self.run_map, run_id, "run")
        if not run.dead_letter:
            raise ConflictError(f"run {run.id} is not a dead letter")
        return self._set_run(replace(run, dead_letter=False), "run.discarded", note)

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
        self._enter("redrive_run", run_id, from_node, state, version, revision, note, rewind, action=True)
        run: RunInfo = self._find(self.run_map, run_id, "run")
        if revision is not None and revision != run.revision:
            raise ConflictError(
                f"run {run.id} has changed since you read it (bo: run redriven); read it again, then retry"
            )
        if run.status not in ("failed", "cancelled", "rejected", "paused"):
            raise ConflictError(f"run {run.id} is {run.status}")
        changed = replace(
            run,
            status="running",
            finished_at=None,
            error=None,
            dead_letter=False,
            version=version or run.version,
            current=(from_node,) if from_node else run.current,
        )
        return self._set_run(changed, "run.redriven", note)

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
        plan: str | None = None,
    ) -> RunInfo:
        self._enter("rerun", run_id, version, state, note, action=True)
        run: RunInfo = self._find(self.run_map, run_id, "run")
        new = RunInfo(
            id=f"{run.id}r",
            workflow=run.workflow,
            version=version or run.version,
            status="queued",
            trigger="rerun",
            started_by="ana",
            created_at=run.created_at,
            parent_run=run.id,
            note=note,
        )
        return self._set_run(new, "run.created", note)

    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        self._enter("override_node", run_id, node_id, timeout, max_attempts, retry_now, note, action=True)
        run: RunInfo = self._find(self.run_map, run_id, "run")
        if run.status not in ("queued", "running", "waiting", "paused"):
            raise ConflictError(f"run {run.id} is {run.status}: {node_id} will not have another attempt")
        return self._set_run(run, "node.overridden", note)
