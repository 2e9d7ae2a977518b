"""The runs that the scheduler in memory starts if it has no executor: the workflows of the workspace."""

from __future__ import annotations

from contextlib import AsyncExitStack

from victor_engine.api import Port
from victor_engine.errors import UsageError
from victor_engine.events import EventKind
from victor_engine.scheduling.in_memory import ScheduledWorkflow
from victor_engine.service.connect import open_port


class WorkspaceRuns:
    """The workspace of the current directory, by its running engine or by one in this process."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._port: Port | None = None

    async def open(self) -> None:
        """Attach to the engine of the workspace, or open one that fires no schedules of its own."""
        self._port = await self._stack.enter_async_context(open_port(mode="embedded"))

    async def close(self) -> None:
        self._port = None
        await self._stack.aclose()

    async def require(self, workflow: str) -> None:
        """Raise UsageError if the workspace does not have a workflow of this name."""
        assert self._port is not None
        if not await self._port.workflows(workflow):
            where = (await self._port.engine()).workspace
            raise UsageError(
                f"{where} has no workflow {workflow!r}, and the scheduler has no executor; add the workflow, or pass "
                "executor= to schedule_workflow or WorkflowScheduler"
            )

    async def run(self, scheduled: ScheduledWorkflow) -> None:
        """Run the workflow, and wait for its end."""
        assert self._port is not None
        after = (await self._port.engine()).last_event
        run = await self._port.start_run(scheduled.workflow_name, state=scheduled.initial_state)
        async for event in self._port.subscribe(after):
            if event.kind == EventKind.RUN_FINISHED and event.run_id == run.id:
                return
