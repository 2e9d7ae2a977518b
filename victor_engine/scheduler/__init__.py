"""When workflows are started: cron, intervals, policies, the scheduling loop."""

from victor_engine.scheduler.workspace_runs import WorkspaceRuns
from victor_engine.scheduling import in_memory
from victor_engine.scheduling.cron import CronSchedule
from victor_engine.scheduling.in_memory import (
    ScheduledWorkflow,
    WorkflowScheduler,
    get_scheduler,
    reset_scheduler,
    schedule_workflow,
)

__all__ = [
    "CronSchedule",
    "ScheduledWorkflow",
    "WorkflowScheduler",
    "get_scheduler",
    "reset_scheduler",
    "schedule_workflow",
]

in_memory.runs_of_workspace = WorkspaceRuns
