"""A workspace as it is loaded: its workflow files read, checked, registered and declared."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from victor_engine.api import ProblemInfo, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.config import Config
from victor_engine.config.places import place_from_text
from victor_engine.definition.expressions import FunctionRegistry
from victor_engine.definition.loader import checksum, load_file
from victor_engine.definition.nesting import check_nesting
from victor_engine.engine import vanished
from victor_engine.engine.loaded import Loaded, Workspace
from victor_engine.errors import UsageError, VictorError
from victor_engine.hitl.checks import check_people
from victor_engine.notify.courier import INSTALL, installed
from victor_engine.runtime.bindings import BindingTable, unused_nodes
from victor_engine.scheduler.calendars import Calendars
from victor_engine.scheduler.declare import spec_from_block
from victor_engine.scheduler.operations import declare
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import declared
from victor_engine.versioning import catalog, lifecycle
from victor_engine.versioning.checks import check_migrations
from victor_engine.versioning.semver import WorkflowVersion

log = logging.getLogger(__name__)


def load_workspace(config: Config, *, trusted: bool) -> Workspace:
    """Read every workflow file. Nothing of the workspace is executed or imported unless it is trusted."""
    bindings = BindingTable(config)
    functions = FunctionRegistry()
    calendars = Calendars(config.calendars, config.workspace)
    workspace = Workspace(config, bindings, functions, calendars)
    for problem in config.warnings:
        workspace.add(problem)
    for fault in calendars.faults().values():
        workspace.add(_calendar_problem(fault, config))
    if config.notify and not installed():
        workspace.add(_unsendable(config))
    if trusted:
        try:
            for name, function in bindings.functions().items():
                functions.register(name, function)
        except VictorError as error:
            workspace.add(ProblemInfo(severity="error", message=error.message, path=str(config.workspace)))
    else:
        for name in config.functions:
            functions.register(name, _untrusted(name))
    workspace.files = config.workflow_files()
    for path in workspace.files:
        result = load_file(path, functions=functions, root=config.workspace)
        if any(problem.severity == "error" for problem in result.problems):
            workspace.faulty.add(path)
        for problem in result.problems:
            workspace.add(problem)
        for name, definition in result.workflows.items():
            found = [
                *check_people(definition, result.nodes[name], config, str(path)),
                *check_migrations(definition, result.readers[name]),
            ]
            for problem in found:
                workspace.add(problem, name)
            if any(problem.severity == "error" for problem in found):
                workspace.faulty.add(path)
                continue
            workspace.workflows.append(
                Loaded(definition, result.texts[name], path, result.schedules.get(name, {}))
            )
            for problem in bindings.check(definition, result.places(name)):
                workspace.add(msgspec.structs.replace(problem, path=problem.path or str(path)), name)
    definitions = [loaded.definition for loaded in workspace.workflows]
    for problem in unused_nodes(config, definitions, everything=True):
        workspace.add(problem)
    for name, problem in check_nesting(loaded.definition for loaded in workspace.workflows):
        workspace.add(problem, name)
    return workspace


def _calendar_problem(fault: VictorError, config: Config) -> ProblemInfo:
    """A calendar that cannot be read, at the place where that is said."""
    detail = fault.details
    return ProblemInfo(
        severity="error",
        message=str(detail.get("problem") or fault.message),
        path=str(detail.get("path") or config.workspace / "victor.yaml"),
        line=int(detail.get("line") or 0),
        column=int(detail.get("column") or 0),
        remedy=str(detail.get("remedy") or ""),
    )


def _unsendable(config: Config) -> ProblemInfo:
    """Rules of `notify` that nothing can carry out."""
    path, line, column = place_from_text(config.notify[0].place)
    message = f"notify has {len(config.notify)} rules, and apprise, which sends, is not installed"
    return ProblemInfo(
        severity="error",
        message=message,
        path=path,
        line=line,
        column=column,
        remedy=f"Install it: {INSTALL}",
    )


def _untrusted(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise VictorError(f"{name} belongs to a workspace that is not trusted")

    return refuse


async def register(store: Store, workspace: Workspace) -> None:
    """Bring what the files declare into the store. Where nothing has changed, nothing is written."""
    newest: dict[str, tuple[WorkflowVersion | None, Loaded]] = {}
    for loaded in workspace.workflows:
        try:
            await _register_one(store, loaded)
        except VictorError as error:
            place = ProblemInfo(severity="error", message=error.message, path=str(loaded.path))
            workspace.add(place, loaded.definition.name)
            continue
        if loaded.definition.schedule is not None:
            _newest(newest, loaded)
    names = {loaded.definition.name for loaded in workspace.workflows}
    for _, loaded in newest.values():
        spec = _spec(workspace, loaded)
        if spec is not None:
            await _declare(store, loaded, spec, workspace)
            await _check_version(store, loaded, spec, workspace)
    for name in names - set(newest):
        if vanished.may_be_in(workspace, name) is not None:
            continue  # the block may be in the file with errors
        without = next(item for item in workspace.workflows if item.definition.name == name)
        await _declare(store, without, None, workspace)
    await vanished.follow(store, workspace, names)


def _newest(newest: dict[str, tuple[WorkflowVersion | None, Loaded]], loaded: Loaded) -> None:
    """Of several versions that declare a schedule, the newest one's is in force."""
    version = loaded.definition.version
    parsed = WorkflowVersion.parse(version) if version is not None else None
    known = newest.get(loaded.definition.name)
    if known is None or known[0] is None or (parsed is not None and parsed > known[0]):
        newest[loaded.definition.name] = (parsed, loaded)


async def _register_one(store: Store, loaded: Loaded) -> None:
    definition = loaded.definition
    content = definition.content or {}
    digest = checksum(content)
    wanted = _deprecation(content)

    def unchanged(connection: Any) -> bool:
        known = catalog.find_registered(connection, definition, digest)
        if known is None:
            return False
        stored = declared.deprecation(connection, known.definition_id)
        settled = wanted is None or stored == (wanted[0], wanted[1], wanted[2] and to_us(wanted[2]))
        return settled and catalog.migrations_known(connection, definition)

    if await store.read(unchanged):
        return

    def transition(tx: Tx) -> None:
        known = catalog.register_definition(tx, definition, content, loaded.text, str(loaded.path), digest)
        catalog.register_migrations(tx, definition.name, definition.migrations, known.version)
        if wanted is not None:
            message, successor, removal = wanted
            lifecycle.deprecate(tx, definition.name, known.version, message, successor, removal=removal)

    await store.write(transition)


def _deprecation(content: Any) -> tuple[str, str | None, datetime | None] | None:
    """Message, successor and planned removal of a `deprecated:` key."""
    value = content.get("deprecated")
    if not value:
        return None
    if isinstance(value, dict):
        successor = value.get("successor")
        return (
            str(value.get("message", "deprecated")),
            str(successor) if successor is not None else None,
            _removal(value.get("removal")),
        )
    return (value if isinstance(value, str) else "deprecated"), None, None


def _removal(value: Any) -> datetime | None:
    """A date (or instant) as it is written; UTC where it names no zone."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"deprecated.removal is no date: {value!r}; write 2027-01-31") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _spec(workspace: Workspace, loaded: Loaded) -> ScheduleSpec | None:
    defaults = workspace.config.scheduler.defaults
    given = {
        name: getattr(defaults, name) for name in defaults.__slots__ if getattr(defaults, name) is not None
    }
    spec, faults = spec_from_block(loaded.definition.name, loaded.definition.schedule or {}, given)
    for fault in faults:
        workspace.add(loaded.problem(fault), loaded.definition.name)
    for calendar in spec.exclude if spec is not None else ():
        try:
            workspace.calendars.get(calendar)
        except VictorError as error:
            workspace.add(loaded.problem(f"schedule.exclude: {error.message}"), loaded.definition.name)
    return spec


async def _declare(store: Store, loaded: Loaded, spec: ScheduleSpec | None, workspace: Workspace) -> None:
    name, path = loaded.definition.name, str(loaded.path)

    def settled(connection: Any) -> bool:
        from victor_engine.scheduler.declare import file_schedule_id

        return declared.declared_spec(connection, file_schedule_id(name)) == spec

    try:
        if not await store.read(settled):
            await store.write(lambda tx: declare(tx, name, path, spec))
    except UsageError as error:
        key = "schedule.after: " if error.message.startswith("after") else "schedule: "
        workspace.add(loaded.problem(key + error.message), name)


async def _check_version(store: Store, loaded: Loaded, spec: ScheduleSpec, workspace: Workspace) -> None:
    """Report a `schedule.version` that does not exist. The schedule stands: an alias may be set later."""
    try:
        await store.read(lambda connection: catalog.resolve(connection, spec.workflow, spec.version))
    except VictorError as error:
        workspace.add(loaded.problem(f"schedule.version: {error.message}"), loaded.definition.name)
