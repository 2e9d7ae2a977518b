"""Checks of the schedules that the files of a workspace declare, which only the whole workspace shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from victor_engine.api import ScheduleSpec
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.errors import VictorError
from victor_engine.scheduling.timing import Timing


def after_errors(
    specs: Mapping[str, ScheduleSpec], workflows: frozenset[str] | None
) -> Iterator[tuple[str, str]]:
    """Yield the errors of `after:` keys, as workflow and message.

    Args:
        specs: The declared specs, by workflow.
        workflows: The workflows that exist: those of the files, and those of the store. None if they are not known.
    """
    for workflow, spec in sorted(specs.items()):
        if spec.after is None:
            continue
        for upstream in spec.after.workflows:
            if workflows is not None and upstream not in workflows:
                hint = did_you_mean(upstream, workflows)
                yield workflow, f"schedule.after: the workflow {upstream!r} does not exist. {hint}"
        cycle = _cycle(specs, workflow)
        if cycle:
            yield workflow, f"schedule.after: the workflows form a cycle: {' -> '.join(cycle)}"


def _cycle(specs: Mapping[str, ScheduleSpec], start: str) -> list[str]:
    """Return the shortest cycle through a workflow, upstream first; empty if there is none."""
    came: dict[str, str] = {}
    queue = [start]
    for name in queue:
        spec = specs.get(name)
        for upstream in spec.after.workflows if spec is not None and spec.after is not None else ():
            if upstream == start:
                cycle = [start, name]
                while cycle[-1] != start:
                    cycle.append(came[cycle[-1]])
                return cycle
            if upstream not in came:
                came[upstream] = name
                queue.append(upstream)
    return []


def past_times(specs: Mapping[str, ScheduleSpec], now: datetime) -> Iterator[tuple[str, str]]:
    """Yield a warning for each schedule that will not fire again, and for each that waits for such a workflow."""
    over: dict[str, str] = {}
    for workflow, spec in sorted(specs.items()):
        if spec.after is not None or not spec.enabled:
            continue
        try:
            if Timing(spec, workflow, now).next_after(now) is None:
                key = "at" if spec.at is not None else "end_date"
                at = spec.at or spec.end_date
                when = f"{at.isoformat()} has passed" if at is not None and at <= now else "it has no fires"
                over[workflow] = f"schedule.{key}: the schedule will not fire again: {when}"
        except VictorError:
            continue  # the error of the spec is reported with its file
    yield from over.items()
    for workflow, spec in sorted(specs.items()):
        for upstream in spec.after.workflows if spec.after is not None else ():
            if spec.after is not None and spec.after.require == "complete" and upstream not in specs:
                yield (
                    workflow,
                    f"schedule.after: {upstream} declares no schedule, and require: complete needs one: add it, or no "
                    "period is complete",
                )
            if upstream in over:
                yield (
                    workflow,
                    f"schedule.after: {upstream} will not be started by its schedule again, so only runs that are "
                    "started by hand lead to a fire",
                )
