"""When workflows are started: cron, intervals, policies, the scheduling loop."""

from victor_engine.scheduler.cron import CronSchedule
from victor_engine.scheduler.guide import (
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
