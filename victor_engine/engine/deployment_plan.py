"""The decisions of a deployment, from the loaded files and a snapshot of the store: its changes as text, the values
that it replaces, and the state of the files of each workflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime

from victor_engine import jsonio
from victor_engine.api import DeploymentChange, FilesState, ProblemInfo, ScheduleSpec, WorkflowFiles
from victor_engine.domain.plans import Plan, PlanItem, plan_of
from victor_engine.engine import registration, schedule_checks
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.registration import Changes
from victor_engine.precedence import version_order
from victor_engine.scheduling.declarations import describe_changes
from victor_engine.store.queries.affected import on_other_versions
from victor_engine.store.queries.schedules import literal_summary
from victor_engine.store.queries.workflows import current_version
from victor_engine.store.repositories import definitions
from victor_engine.store.repositories.deployments import Deployment, Replaced
from victor_engine.text import plural
from victor_engine.versioning import aliases, catalog, stored_migrations
from victor_engine.versioning.declared_values import deprecation_of

DEPLOY = "deploy"


def files_digest(workspace: Workspace) -> str:
    """Return the digest of the declarations of a workspace, and of its files that cannot be read."""
    pieces = [
        [piece.name, piece.version, piece.checksum, piece.deprecated, list(piece.migrations), piece.spec]
        for piece in workspace.workflows
    ]
    broken = [str(path) for path in workspace.files_with_errors]
    return jsonio.digest([sorted(pieces, key=lambda each: (str(each[0]), str(each[1]))), sorted(broken)])[:12]


def plan_items(changes: list[DeploymentChange]) -> list[PlanItem]:
    return [
        PlanItem(f"{number}", {"kind": change.kind, "workflow": change.workflow}, change.text)
        for number, change in enumerate(changes)
    ]


def token_plan(
    changes: list[DeploymentChange],
    files: str,
    settings: dict[str, str],
    last: Deployment | None,
    undoes: int | None,
    now: datetime,
) -> Plan:
    """Return the plan of these changes. It depends on the files, the settings and the last deployment."""
    number = last.info.number if last is not None else 0
    target: dict[str, str | int | None] = {
        "files": files,
        "settings": jsonio.digest(settings)[:12],
        "last_deployment": number,
        "undoes": undoes,
    }
    return plan_of(DEPLOY, now, rule={}, target=target, items=plan_items(changes))


# --- forwards --------------------------------------------------------------------------------------


def describe(connection: sqlite3.Connection, changes: Changes) -> list[DeploymentChange]:
    """Return the changes of the files as text, by workflow."""
    found = [*_versions(connection, changes), *_others(connection, changes), *_schedules(connection, changes)]
    settings = [
        DeploymentChange("configuration", f"victor.yaml: {name} is {difference}")
        for name, difference in changes.changed_settings
    ]
    for piece, key in changes.changed_code:
        name = f"{piece.name} {piece.version or ''}".strip()
        found.append(DeploymentChange("configuration", f"{name}: the code of {key} is changed", piece.name))
    return [*settings, *sorted(found, key=lambda change: change.workflow)]


def _versions(connection: sqlite3.Connection, changes: Changes) -> Iterator[DeploymentChange]:
    for name, piece in changes.in_force.items():
        before = current_version(connection, name)
        known = catalog.find_registered(connection, piece, piece.checksum)
        version = known.version if known is not None else catalog.version_to_register(connection, piece)
        if before is None:
            yield DeploymentChange("new", f"{name} {version} is new", name, version)
        elif known is None:
            text = f"{name} {before} -> {version}{_affected(connection, name, version)}"
            yield DeploymentChange("changed", text, name, version, before)
        elif before != version:
            back = version_order(version) < version_order(before)
            verb = "goes back to" if back else "returns to"
            text = f"{name} {verb} {version} from {before}{_affected(connection, name, version)}"
            yield DeploymentChange("reverted", text, name, version, before)


def _affected(connection: sqlite3.Connection, name: str, version: str) -> str:
    """Return the active runs and the aliases that do not follow, to end a sentence."""
    runs, requests = on_other_versions(connection, name, version)
    parts = []
    if runs:
        asked = f" with {plural(requests, 'open request')}" if requests else ""
        parts.append(f"{plural(runs, 'active run')}{asked} stay on their versions")
    for alias, target in aliases.all_targets(connection, name):
        if version not in (target.version, target.other):
            parts.append(f"alias {alias} stays at {target.version}")
    return f" ({'; '.join(parts)})" if parts else ""


def _others(connection: sqlite3.Connection, changes: Changes) -> Iterator[DeploymentChange]:
    """Yield the registrations of versions that do not come into force, the deprecations and the migrations."""
    chosen = {id(piece) for piece in changes.in_force.values()}
    for piece in changes.new:
        known = catalog.find_registered(connection, piece, piece.checksum)
        if known is None and id(piece) not in chosen:
            text = f"{piece.name} {piece.version} is registered, and is not in force"
            yield DeploymentChange("registered", text, piece.name, piece.version or "")
        wanted = deprecation_of(piece.deprecated)
        if wanted is not None and (
            known is None or not registration.deprecation_known(connection, known, wanted)
        ):
            name = f"{piece.name} {piece.version or (known.version if known else '')}".strip()
            yield DeploymentChange("noticed", f"{name} is deprecated: {wanted[0]}", piece.name)
        if not stored_migrations.migrations_known(connection, piece):
            text = f"{piece.name}: {plural(len(piece.migrations), 'migration')} declared"
            yield DeploymentChange("noticed", text, piece.name)


def _schedules(connection: sqlite3.Connection, changes: Changes) -> Iterator[DeploymentChange]:
    for name, piece in schedule_checks.declared(changes.good).items():
        if piece.spec is None or name in changes.settled:
            continue
        old = registration.file_spec(connection, name)
        yield DeploymentChange("schedule", _schedule_text(name, old, piece.spec), name)
    for piece in changes.undeclared:
        text = f"schedule of {piece.name} is disabled: {piece.path} no longer declares a schedule"
        yield DeploymentChange("schedule", text, piece.name)
    for gone in changes.vanished.removed:
        yield DeploymentChange("vanished", f"{gone.note}; its schedules are disabled", gone.workflow)
    for workflow, schedule in changes.vanished.restored:
        yield DeploymentChange("schedule", f"schedule {schedule} of {workflow} is enabled again", workflow)


def _schedule_text(name: str, old: ScheduleSpec | None, new: ScheduleSpec) -> str:
    if old is None:
        return f"schedule of {name} is added: {_times(new)}"
    return f"schedule of {name} is changed: {'; '.join(describe_changes(old, new))}"


def _times(spec: ScheduleSpec) -> str:
    return literal_summary(spec, "", datetime.min)


def replaced(connection: sqlite3.Connection, changes: Changes, disabled: tuple[str, ...]) -> Replaced:
    """Return the values that the changes replace. `disabled` are the schedules of workflows that vanish."""
    versions: dict[str, str | None] = {}
    for name in changes.in_force:
        found = definitions.in_force(connection, name)
        versions[name] = found[1] if found is not None else current_version(connection, name)
    names = {
        name
        for name, piece in schedule_checks.declared(changes.good).items()
        if piece.spec is not None and name not in changes.settled
    } | {piece.name for piece in changes.undeclared}
    return Replaced(
        versions,
        {name: registration.file_spec(connection, name) for name in sorted(names)},
        disabled,
        tuple(schedule for _, schedule in changes.vanished.restored),
        tuple(_newly_deprecated(connection, changes)),
        tuple(name for name, _ in changes.changed_settings),
    )


def _newly_deprecated(connection: sqlite3.Connection, changes: Changes) -> Iterator[tuple[str, str]]:
    for piece in changes.new:
        known = catalog.find_registered(connection, piece, piece.checksum)
        if not piece.deprecated or known is None:
            continue
        if definitions.lifecycle(connection, known.definition_id).deprecated is None:
            yield piece.name, known.version


def state_of_files(
    connection: sqlite3.Connection, workspace: Workspace, changes: Changes, described: list[DeploymentChange]
) -> list[WorkflowFiles]:
    """Return the state of the files of each workflow of files or of the store's files."""
    texts: dict[str, list[str]] = {}
    for change in described:
        texts.setdefault(change.workflow, []).append(change.text)
    errors: dict[str, list[str]] = {}
    for name, problem in [*changes.problems, *_own_problems(workspace)]:
        if name is not None and problem.severity == "error":
            errors.setdefault(name, []).append(problem.message)
    declared = {piece.name for piece in workspace.workflows}
    found = []
    for name in sorted({*declared, *errors, *definitions.of_files(connection)}):
        version = current_version(connection, name) or ""
        state: FilesState = "in force"
        details = texts.get(name, [])
        if name in errors:
            state, details = "error", errors[name]
        elif name not in declared:
            broken = changes.may_be_in(name)
            state = "missing" if broken is None else "error"
            details = ["it is in no file" if broken is None else f"it may be in {broken}, which has errors"]
        elif details:
            state = "changed"
        found.append(WorkflowFiles(name, state, version, "; ".join(details), name in changes.conflicts))
    return found


def _own_problems(workspace: Workspace) -> Iterator[tuple[str, ProblemInfo]]:
    for name, problems in workspace.by_workflow.items():
        for problem in problems:
            yield name, problem


# --- back ------------------------------------------------------------------------------------------


def describe_undo(connection: sqlite3.Connection, undone: Deployment) -> list[DeploymentChange]:
    """Return the changes that take a deployment back."""
    found: list[DeploymentChange] = []
    for name, version in undone.replaced.versions.items():
        before = current_version(connection, name) or ""
        if version is None:
            text = f"{name} {before} stays registered, because no version was in force before"
            found.append(DeploymentChange("registered", text, name, before, before))
        elif version != before:
            text = f"{name} goes back to {version} from {before}{_affected(connection, name, version)}"
            found.append(DeploymentChange("reverted", text, name, version, before))
    for name, spec in undone.replaced.specs.items():
        now = registration.file_spec(connection, name)
        if spec == now:
            continue
        text = (
            f"schedule of {name} is disabled"
            if spec is None
            else f"schedule of {name} is added again: {_times(spec)}"
            if now is None
            else f"schedule of {name} is changed: {'; '.join(describe_changes(now, spec))}"
        )
        found.append(DeploymentChange("schedule", text, name))
    for name, version in undone.replaced.deprecated:
        text = f"{name} {version} is not deprecated any more"
        found.append(DeploymentChange("noticed", text, name, version))
    for schedule in undone.replaced.disabled:
        found.append(DeploymentChange("schedule", f"schedule {schedule} is enabled again"))
    for schedule in undone.replaced.enabled:
        found.append(DeploymentChange("schedule", f"schedule {schedule} is disabled"))
    for name in undone.replaced.settings:
        text = f"victor.yaml: {name} stays as the file has it, because settings have no versions"
        found.append(DeploymentChange("configuration", text))
    if not found:
        text = f"deployment {undone.info.number} changed nothing that could go back: versions stay registered"
        found.append(DeploymentChange("registered", text))
    return sorted(found, key=lambda change: change.workflow)
