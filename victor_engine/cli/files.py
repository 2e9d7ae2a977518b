"""The state of the workflow files beside listings and starts: whether the files and the versions in force differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine.api import DeploymentInfo, DeploymentPlan, Port, ProblemInfo, ScheduleInfo, WorkflowFiles
from victor_engine.cli.output import print_note
from victor_engine.errors import DefinitionError, DeploymentError, VictorError
from victor_engine.text import plural

Unreadable = str
"""Why the files could not be compared."""


async def compare(port: Port) -> DeploymentPlan | Unreadable:
    """Return the plan of a deployment, or why the files could not be compared."""
    try:
        return await port.plan_deployment()
    except VictorError as error:
        return error.message


def note_deployment(done: DeploymentInfo | None) -> None:
    """Print the changes of a deployment on standard error."""
    for line in deployment_lines(done):
        print_note(line)


def deployment_lines(done: DeploymentInfo | None) -> list[str]:
    """Return the changes of a deployment, each with its number."""
    return [f"deployment {done.number}: {line}" for line in done.lines] if done is not None else []


def note_untrusted(found: DeploymentPlan) -> None:
    """Print on standard error the files that are not trusted."""
    from victor_engine.definition.problem_messages import describe

    for problem in found.untrusted[:3]:
        print_note(describe(problem))
    if len(found.untrusted) > 3:
        print_note(
            f"{plural(len(found.untrusted) - 3, 'more file')} not trusted; to list them, run: victor plan"
        )


async def note_files(port: Port, workflows: Collection[str]) -> dict[str, WorkflowFiles]:
    """Print on standard error each of some workflows whose files and version in force differ; return all states."""
    found = await compare(port)
    if isinstance(found, Unreadable):
        print_note(f"warning: the files could not be compared with the versions in force: {found}")
        return {}
    note_untrusted(found)
    for each in found.workflows:
        if each.state != "in force" and each.workflow in workflows:
            print_note(f"{each.workflow}: files {each.state}: {each.text}")
    return {each.workflow: each for each in found.workflows}


async def with_files(
    port: Port, items: Sequence[Struct], workflow: Callable[[Any], str]
) -> list[dict[str, Any]]:
    """Return structs as JSON values, each with the state of the files of its workflow under `files`."""
    states = await note_files(port, {workflow(item) for item in items})
    found: list[dict[str, Any]] = []
    for item in items:
        state = states.get(workflow(item))
        found.append({**msgspec.to_builtins(item), "files": state.state if state is not None else None})
    return found


async def note_schedules(port: Port, schedules: Collection[ScheduleInfo]) -> None:
    """Print on standard error the workflows of schedules whose files differ, and the deprecated versions."""
    await note_files(port, {schedule.spec.workflow for schedule in schedules})
    for schedule in schedules:
        if schedule.deprecated:
            print_note(
                f"warning: schedule {schedule.id} uses {schedule.spec.workflow} {schedule.resolved_version}, "
                f"which is deprecated: {schedule.deprecated}"
            )


async def note_status(port: Port, known: Collection[ProblemInfo], *, trusted: bool) -> dict[str, Any] | None:
    """Print on standard error whether files and versions in force differ, with the errors that are not `known`.

    `trusted` is whether the workspace is trusted; otherwise the caller has said so. Return the numbers of differences
    as JSON values; None if they are not known.
    """
    from victor_engine.definition.problem_messages import describe

    found = await compare(port)
    if isinstance(found, Unreadable):
        print_note(f"warning: the files could not be compared with the versions in force: {found}")
        return None
    for problem in found.errors:
        if problem not in known:
            print_note(describe(problem))
    if trusted and not any(problem in known for problem in found.untrusted):
        note_untrusted(found)
    if found.undone and found.last is not None:
        print_note(f"undone by {found.last.by} {found.last.at.astimezone():%H:%M}; files differ")
    elif found.changes:
        print_note(
            f"the files differ: {plural(len(found.changes), 'change')} not in force; to see them, run: victor plan"
        )
    return {"changes": len(found.changes), "errors": len(found.errors), "undone": found.undone}


async def check_start(port: Port, workflow: str, version: str | None, *, deploy: bool) -> None:
    """Deploy first if asked, and print on standard error how the files of a workflow differ from what will start.

    Raise DefinitionError if the files declare the version in force with other content, unless a version is given.
    """
    found = await compare(port)
    if isinstance(found, Unreadable):
        if deploy:
            raise DeploymentError(f"nothing was deployed or started: {found}")
        return
    if deploy and (found.changes or found.errors or found.untrusted):
        note_deployment(await port.deploy(found.plan or None))
        return
    state = next((each for each in found.workflows if each.workflow == workflow), None)
    if state is None or version is not None or state.state == "in force":
        return
    if state.conflict:
        raise DefinitionError(f"{state.text}. To start the version in force, give --version {state.version}")
    remedy = ". To deploy it first, give --deploy" if state.state == "changed" else ""
    print_note(
        f"warning: {workflow} {state.version} starts, which is in force; files {state.state}: {state.text}{remedy}"
    )
