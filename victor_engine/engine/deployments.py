"""Deployments: the plan of the changes of the files, its application in one transition, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from victor_engine.api import Actor, DeploymentCause, DeploymentInfo, DeploymentPlan, ProblemInfo
from victor_engine.domain.plans import read_plan
from victor_engine.engine import deployment_plan, registration
from victor_engine.engine.content_trust import leave_out, untrusted
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.registration import Changes
from victor_engine.errors import (
    ConflictError,
    DeploymentError,
    PlanChangedError,
    UntrustedError,
    VictorError,
)
from victor_engine.events import EventKind
from victor_engine.identity import acting
from victor_engine.loading.pieces import Problem
from victor_engine.scheduling import schedule_commands, stored_schedules
from victor_engine.scheduling.declarations import file_schedule_id
from victor_engine.store.db import Store, Tx
from victor_engine.store.locks import Root
from victor_engine.store.repositories import definitions
from victor_engine.store.repositories import deployments as stored
from victor_engine.store.repositories.deployments import Deployment, Replaced
from victor_engine.versioning import catalog, lifecycle


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, with the changes to commit or the deployment to take back."""

    plan: DeploymentPlan
    changes: Changes
    undone: Deployment | None = None


def prepare(
    connection: sqlite3.Connection, workspace: Workspace, now: datetime, *, undo: bool = False
) -> Prepared:
    """Return the plan to deploy the files, or to take the last deployment back. Raise ConflictError if there is none.

    An undo needs no file, so that errors of files do not prevent it.
    """
    changes = registration.look(connection, workspace)
    described = deployment_plan.describe(connection, changes)
    files = deployment_plan.files_digest(workspace)
    last = stored.latest(connection)
    states = deployment_plan.state_of_files(connection, workspace, changes, described)
    found = [problem for _, problem in changes.problems]
    problems = tuple(dict.fromkeys([*workspace.problems, *found]))
    goes_back = bool(described) and _is_undone(last, files)
    undone = None
    if undo:
        undone = stored.to_undo(connection)
        if undone is None:
            raise ConflictError("no deployment is left that could be undone")
        described = deployment_plan.describe_undo(connection, undone)
        problems = tuple(_withdrawn(connection, workspace, undone))
    number = undone.info.number if undone is not None else None
    made = deployment_plan.token_plan(described, files, workspace.settings, last, number, now)
    failed = any(problem.severity == "error" for problem in problems)
    plan = DeploymentPlan(
        made.digest,
        tuple(described),
        problems,
        tuple(states),
        made.token() if described and not failed else "",
        last.info if last is not None else None,
        goes_back,
        () if undo else untrusted(workspace),
        workspace.judgement.content.digest,
    )
    return Prepared(plan, changes, undone)


def _withdrawn(
    connection: sqlite3.Connection, workspace: Workspace, undone: Deployment
) -> Iterator[ProblemInfo]:
    """Yield an error for each version of an undo whose trust was withdrawn."""
    record = workspace.judgement.place.record
    for name, checksum in sorted(record.withdrawn_versions) if record is not None else ():
        version = undone.replaced.versions.get(name)
        if version is not None and definitions.with_content(connection, name, checksum, version) is not None:
            yield ProblemInfo(
                "error",
                f"{name} {version} is not brought back: the trust in it was withdrawn",
                remedy="Write the files that you want, trust them, and deploy them",
            )


def _is_undone(last: Deployment | None, files: str) -> bool:
    """Return whether the last deployment was an undo, and the files are as they were then."""
    return last is not None and last.info.how == "undo" and last.files == files


async def apply_valid(store: Store, workspace: Workspace, how: DeploymentCause) -> DeploymentInfo | None:
    """Deploy the changes of the files that have no error, and add the problems of the others to the workspace.

    Return the deployment; None if nothing changes. Files of which the deployment was undone stay as they are until
    they change.
    """
    files, actor = deployment_plan.files_digest(workspace), acting()
    if not leave_out(workspace):
        return None

    def look(connection: sqlite3.Connection) -> tuple[Changes, bool]:
        undone = how == "start" and _is_undone(stored.latest(connection), files)
        return registration.look(connection, workspace), undone

    changes, undone = await store.read(look)
    problems, info = changes.problems, None
    if changes and not undone:
        refused, info = await store.write(lambda tx: _commit(tx, actor, changes, how, files))
        problems += refused
    elif changes.settings is not None or changes.code:  # the engine uses them, whatever was undone
        await store.write(lambda tx: registration.put_in_use(tx, changes))
    for workflow, problem in problems:
        workspace.add(problem, workflow)
    return info


async def deploy(
    store: Store,
    workspace: Workspace,
    now: datetime,
    token: str | None,
    *,
    undo: bool,
    how: DeploymentCause = "deploy",
) -> DeploymentInfo:
    """Deploy all changes of the files, or take the last deployment back. Raise DeploymentError if a file has an error.

    With a token, raise PlanChangedError unless the changes are those of its plan.
    """
    prepared = await store.read(lambda connection: prepare(connection, workspace, now, undo=undo))
    plan = prepared.plan
    if plan.errors:
        raise refused(plan.errors)
    if plan.untrusted:
        raise UntrustedError(
            f"nothing was deployed: {plan.untrusted[0].message}. {plan.untrusted[0].remedy}",
            problems=[problem.message for problem in plan.untrusted],
        )
    if token is not None:
        _check(token, plan, now)
    if not plan.changes:
        raise ConflictError("there is nothing to deploy: the files and the versions in force are the same")
    files, actor = deployment_plan.files_digest(workspace), acting()
    if prepared.undone is not None:
        undone = prepared.undone
        return await store.write(lambda tx: _undo(tx, actor, undone, files, plan.digest))
    _, info = await store.write(
        lambda tx: _commit(tx, actor, prepared.changes, how, files, whole=True, plan=plan.digest)
    )
    return info


def refused(errors: tuple[ProblemInfo, ...]) -> DeploymentError:
    """Return the error of a deployment of files with errors."""
    first = errors[0].message
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return DeploymentError(
        f"nothing was deployed, because the files have errors: {first}{more}. List them with `victor plan`, "
        "correct them, and deploy again",
        problems=[problem.message for problem in errors],
    )


def _check(token: str, plan: DeploymentPlan, now: datetime) -> None:
    given = read_plan(token, deployment_plan.DEPLOY, now)
    if not plan.plan:
        raise PlanChangedError(
            f"plan {given.digest} no longer applies: nothing is left to deploy", changed=[]
        )
    current = read_plan(plan.plan, deployment_plan.DEPLOY, now)
    current.check(given.rule, given.target, given.options)
    if given.digest != current.digest:
        before = {item.effect for item in given.items}
        changed = [item.effect for item in current.items if item.effect not in before]
        raise PlanChangedError(
            f"plan {given.digest} no longer applies: {'; '.join(changed) or 'its changes differ'}. Nothing was "
            "changed; plan again",
            changed=changed,
        )


def _commit(
    tx: Tx,
    actor: Actor,
    changes: Changes,
    how: DeploymentCause,
    files: str,
    *,
    whole: bool = False,
    plan: str = "",
) -> tuple[list[Problem], DeploymentInfo]:
    """Commit the changes with a record. With `whole`, an error of one of them prevents all."""
    lines = tuple(change.text for change in deployment_plan.describe(tx.connection, changes))
    gone = {each.workflow for each in changes.vanished.removed}
    known = stored_schedules.all_rows(tx) if gone else []
    disabled = tuple(row.id for row in known if row.workflow in gone)
    replaced = deployment_plan.replaced(tx.connection, changes, disabled)
    problems = registration.apply(tx, changes)
    errors = tuple(problem for _, problem in problems if problem.severity == "error")
    if whole and errors:
        raise refused(errors)
    return problems, _record(tx, actor, how, files, lines, replaced, plan=plan)


def _record(
    tx: Tx,
    actor: Actor,
    how: DeploymentCause,
    files: str,
    lines: tuple[str, ...],
    replaced: Replaced,
    undoes: int | None = None,
    *,
    plan: str = "",
) -> DeploymentInfo:
    """Store a deployment with its event. `plan` is the digest of the plan that was applied."""
    info = stored.add(tx, actor, how, files, lines, replaced, undoes)
    by_person = how in ("deploy", "undo")
    data: dict[str, Any] = {"number": info.number, "how": how, "lines": list(lines[:50])}
    if undoes is not None:
        data["undoes"] = undoes
    if plan:
        data["plan"] = plan
    tx.event(EventKind.DEPLOYMENT_APPLIED, actor=actor if by_person else None, data=data)
    return info


def _undo(tx: Tx, actor: Actor, undone: Deployment, files: str, plan: str) -> DeploymentInfo:
    """Put the versions and schedules that a deployment replaced back."""
    replaced = undone.replaced
    lines = tuple(change.text for change in deployment_plan.describe_undo(tx.connection, undone))
    schedules = {file_schedule_id(name) for name in replaced.specs} | {*replaced.disabled, *replaced.enabled}
    for schedule in sorted(schedules):
        tx.lock(Root.SCHEDULE, schedule)
    for name, version in replaced.versions.items():
        found = None if version is None else definitions.version(tx, name, version)
        if found is not None:
            catalog.put_in_force(tx, name, found.id, actor)
    for name, version in replaced.deprecated:
        lifecycle.restore(tx, name, version, actor)
    note = f"deployment {undone.info.number} was undone"
    for name, spec in replaced.specs.items():
        path = next((where for _, _, where in definitions.places(tx, name) if where), None)
        schedule_commands.declare(tx, name, path, spec)
    for schedule in replaced.disabled:
        _move(tx, schedule, schedule_commands.restore, removed=True)
    for schedule in replaced.enabled:
        _move(tx, schedule, lambda tx, row: schedule_commands.vanish(tx, row, note), removed=False)
    return _record(tx, actor, "undo", files, lines, Replaced(), undone.info.number, plan=plan)


def _move(
    tx: Tx, schedule: str, do: Callable[[Tx, stored_schedules.ScheduleRow], None], *, removed: bool
) -> None:
    """Enable or disable a schedule, unless it is so already or has been removed."""
    try:
        row = stored_schedules.get(tx, schedule, removed=True)
    except VictorError:
        return
    if removed == (row.vanished is not None) and removed == row.removed:
        do(tx, row)
