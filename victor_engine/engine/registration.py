"""The versions and schedules that the files of a workspace change: found in a reader, committed in one transition."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from victor_engine import jsonio
from victor_engine.api import ProblemInfo, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.config.settings import changed_settings
from victor_engine.definition.checks.declared_twice import Declaration, declared_twice
from victor_engine.engine import dropped_declarations, removed_workflows, schedule_checks
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.schedule_checks import declared, failed
from victor_engine.errors import VictorError
from victor_engine.loading.pieces import Problem, WorkflowPiece
from victor_engine.scheduling.declarations import describe_changes, file_schedule_id
from victor_engine.scheduling.schedule_commands import declare
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries import declared as facts
from victor_engine.store.queries.workflows import latest_of
from victor_engine.store.repositories import definitions, meta
from victor_engine.store.savepoints import savepoint
from victor_engine.versioning import catalog, lifecycle, stored_migrations
from victor_engine.versioning.declared_values import deprecation_of
from victor_engine.versioning.semver import WorkflowVersion


@dataclass(slots=True)
class Changes:
    """The changes to commit; false if there are none. All expensive work is done before the transition."""

    good: list[WorkflowPiece] = field(default_factory=list)  # registered already, or to be registered
    new: list[WorkflowPiece] = field(default_factory=list)
    settled: set[str] = field(
        default_factory=set
    )  # workflows whose declared schedule is in the store already
    undeclared: list[WorkflowPiece] = field(
        default_factory=list
    )  # workflows whose `schedule:` block was removed
    in_force: dict[str, WorkflowPiece] = field(
        default_factory=dict
    )  # the version to put in force of each workflow
    vanished: removed_workflows.Plan = field(default_factory=removed_workflows.Plan)
    problems: list[Problem] = field(default_factory=list)
    settings: dict[str, str] | None = None  # the settings to store; None if they are those of the store
    changed_settings: tuple[tuple[str, str], ...] = ()  # their names, with the difference as text
    code: list[tuple[WorkflowPiece, dict[str, str]]] = field(
        default_factory=list
    )  # versions with the digests of their code to store, by binding
    changed_code: list[tuple[WorkflowPiece, str]] = field(
        default_factory=list
    )  # registered versions with the bindings whose code has changed
    conflicts: set[str] = field(default_factory=set)  # workflows with a registered version of other content
    may_be_in: Callable[[str], Path | None] = lambda _: None
    """Returns a file with errors that may contain a workflow."""

    def __bool__(self) -> bool:
        unsettled = declared(self.good).keys() - self.settled
        versions = bool(self.new or unsettled or self.undeclared or self.in_force or self.vanished)
        return versions or bool(self.changed_settings or self.changed_code)

    def keep_whole(self, broken: Set[str]) -> set[str]:
        """Leave out the workflows with an error, because a workflow is deployed whole or not at all. Return them.

        `broken` are the workflows whose file has an error, such as a node without a binding.
        """
        refused = failed(self.problems) | broken
        refused |= {piece.name for piece in self.good if piece.scheduled and piece.spec is None}
        self.good = [piece for piece in self.good if piece.name not in refused]
        self.new = [piece for piece in self.new if piece.name not in refused]
        return refused


def in_force(pieces: Iterable[WorkflowPiece]) -> dict[str, WorkflowPiece]:
    """Return, by workflow, the version that the files put in force.

    If files declare several versions of a workflow, it is the newest one that is not deprecated.
    """
    found: dict[str, dict[str, WorkflowPiece]] = {}
    for piece in pieces:
        version = str(WorkflowVersion.parse(piece.version)) if piece.version is not None else "0.0.0"
        found.setdefault(piece.name, {})[version] = piece
    return {
        name: declared[
            latest_of(
                (version, "deprecated" if piece.deprecated else None, None)
                for version, piece in declared.items()
            )
            or ""
        ]
        for name, declared in found.items()
    }


# --- plan ------------------------------------------------------------------------------------------


def look(connection: sqlite3.Connection, workspace: Workspace) -> Changes:
    """Return the changes to commit. Read the store, and the files of workflows that are not there any more."""
    plan = Changes()
    for piece in workspace.workflows:
        try:
            if not _is_registered(connection, piece):
                plan.new.append(piece)
        except VictorError as error:
            plan.problems.append(_problem(piece, error))
            if isinstance(error, catalog.VersionConflictError):
                plan.conflicts.add(piece.name)
        else:
            plan.good.append(piece)
            plan.problems += _refused(connection, piece)
    plan.problems += _declared_twice(plan.good)
    broken = workspace.workflows_with_errors()
    plan.keep_whole(broken)
    plan.problems += schedule_checks.check(connection, plan.good, plan.new, workspace)
    refused = plan.keep_whole(broken)
    applied = declared(plan.good)
    for name, piece in applied.items():
        known_spec = file_spec(connection, name)
        if piece.spec is None or (known_spec is not None and not describe_changes(known_spec, piece.spec)):
            plan.settled.add(name)
    for name, piece in in_force(plan.good).items():
        current = definitions.in_force(connection, name)
        known = catalog.find_registered(connection, piece, piece.checksum)
        if known is not None and current is not None and known.definition_id == current[0]:
            continue
        if not _may_be_declared(current, piece, workspace):
            plan.in_force[name] = piece
    search = removed_workflows.Search(workspace)
    plan.may_be_in = search.may_be_in
    pieces = {piece.name: piece for piece in reversed(workspace.workflows)}
    for name in sorted(pieces.keys() - applied.keys() - refused):
        # The block may be in a file with errors.
        if file_spec(connection, name) is not None and search.may_be_in(name) is None:
            plan.undeclared.append(pieces[name])
    plan.vanished = removed_workflows.find(connection, search, set(pieces))
    plan.problems += plan.vanished.problems
    plan.problems += dropped_declarations.find(connection, plan.good, search.may_be_in)
    _compare_code(connection, plan, workspace)
    before = meta.settings(connection)
    if before != workspace.settings:
        plan.settings = workspace.settings
        if before is not None:
            plan.changed_settings = tuple(changed_settings(before, workspace.settings))
    return plan


def _compare_code(connection: sqlite3.Connection, plan: Changes, workspace: Workspace) -> None:
    """Find the versions whose bindings execute other code than at their last deployment."""
    for piece in plan.good:
        code = workspace.judgement.content.code_of(piece.bindings)
        known = catalog.find_registered(connection, piece, piece.checksum)
        stored = definitions.code(connection, known.definition_id) if known is not None else None
        if code == stored or not (code or stored):
            continue
        plan.code.append((piece, code))
        if stored is not None:
            changed = sorted(key for key in code.keys() | stored.keys() if code.get(key) != stored.get(key))
            plan.changed_code += [(piece, key) for key in changed]


def _declared_twice(pieces: Iterable[WorkflowPiece]) -> Iterator[Problem]:
    """Yield an error for each version that two files declare differently."""
    declarations = (
        Declaration(
            piece.name,
            catalog.normal_version(piece.version) if piece.version is not None else None,
            piece.checksum,
            piece.spec,
            piece.path,
        )
        for piece in pieces
    )
    for found, message in declared_twice(declarations):
        yield found.workflow, ProblemInfo(severity="error", message=message, path=found.path)


def _may_be_declared(
    current: tuple[int, str, str | None] | None, piece: WorkflowPiece, workspace: Workspace
) -> bool:
    """Return whether the version in force may still be declared, in another file that has errors."""
    path = current[2] if current is not None else None
    return path is not None and path != piece.path and Path(path) in workspace.files_with_errors


def _refused(connection: sqlite3.Connection, piece: WorkflowPiece) -> Iterator[Problem]:
    """Yield the errors of new content; they are warnings for content that the store has."""
    if not piece.refused:
        return
    known = catalog.find_registered(connection, piece, piece.checksum) is not None
    for problem in piece.refused:
        yield piece.name, (msgspec.structs.replace(problem, severity="warning") if known else problem)


def _is_registered(connection: sqlite3.Connection, piece: WorkflowPiece) -> bool:
    wanted = deprecation_of(piece.deprecated)
    known = catalog.find_registered(connection, piece, piece.checksum)
    if known is None:
        catalog.refuse_conflict(connection, piece, jsonio.loads(piece.content), piece.path)
        return False
    settled = wanted is None or deprecation_known(connection, known, wanted)
    return settled and stored_migrations.migrations_known(connection, piece)


def deprecation_known(
    connection: sqlite3.Connection,
    known: catalog.Registered,
    wanted: tuple[str, str | None, datetime | None],
) -> bool:
    """Return whether a version has this message, successor and removal."""
    stored = facts.deprecation(connection, known.definition_id)
    return stored == (wanted[0], wanted[1], wanted[2] and to_us(wanted[2]))


def file_spec(connection: sqlite3.Connection, workflow: str) -> ScheduleSpec | None:
    """Return the spec that a file declared, unless its schedule is removed."""
    return facts.declared_spec(connection, file_schedule_id(workflow))


# --- commit ----------------------------------------------------------------------------------------


def apply(tx: Tx, plan: Changes) -> list[Problem]:
    """Commit the changes; return the problems of those that are refused."""
    problems: list[Problem] = []

    def attempt(do: Callable[[], object], problem: Callable[[VictorError], Problem]) -> bool:
        """Perform one change completely or not at all. An error does not affect the other changes."""
        try:
            with savepoint(tx):
                do()
        except VictorError as error:
            problems.append(problem(error))
            return False
        return True

    removed_workflows.lock(tx, plan.vanished)
    for name in sorted(declared(plan.good).keys() | {piece.name for piece in plan.undeclared}):
        tx.lock(Root.SCHEDULE, file_schedule_id(name))
    refused = {
        id(piece)
        for piece in plan.new
        if not attempt(lambda: _register(tx, piece), lambda error: _problem(piece, error))  # noqa: B023
    }
    good = [piece for piece in plan.good if id(piece) not in refused]
    incomplete = {piece.name for piece in plan.new if id(piece) in refused}
    for name, piece in plan.in_force.items():
        if name not in incomplete:
            _put_in_force(tx, piece)
    schedules = {
        name: piece
        for name, piece in declared(good).items()
        if piece.spec is not None and (name not in plan.settled or refused)
    }
    failures: list[Problem] = []
    # A schedule can close a cycle of dependencies with one that changes after it, so failures are tried again.
    while schedules:
        failures = []
        left = {}
        for name, piece in schedules.items():
            try:
                with savepoint(tx):
                    declare(tx, name, piece.path, piece.spec)
            except VictorError as error:
                failures.append((name, piece.problem(_key(error) + error.message)))
                left[name] = piece
        if len(left) == len(schedules):
            break
        schedules = left
    problems += failures
    for piece in plan.undeclared:
        attempt(
            lambda: declare(tx, piece.name, piece.path, None),  # noqa: B023
            lambda error: _problem(piece, error),  # noqa: B023
        )
    problems += removed_workflows.apply(tx, plan.vanished)
    put_in_use(tx, plan)
    return problems


def put_in_use(tx: Tx, plan: Changes) -> None:
    """Store the settings and the code that the engine uses from now on."""
    for piece, code in plan.code:
        known = catalog.find_registered(tx, piece, piece.checksum)
        if known is not None:
            definitions.put_code(tx, piece.name, known.definition_id, code)
    if plan.settings is not None:
        meta.put_settings(tx, plan.settings)


def _register(tx: Tx, piece: WorkflowPiece) -> None:
    content = jsonio.loads(piece.content)
    known = catalog.register_definition(tx, piece, content, piece.text, piece.path, piece.checksum)
    if piece.migrations:
        stored_migrations.register_migrations(tx, piece.name, piece.migrations, known.version)
    wanted = deprecation_of(piece.deprecated)
    if wanted is not None:
        message, successor, removal = wanted
        lifecycle.deprecate(tx, piece.name, known.version, message, successor, removal=removal)


def _put_in_force(tx: Tx, piece: WorkflowPiece) -> None:
    known = catalog.find_registered(tx, piece, piece.checksum)
    if known is not None:
        catalog.put_in_force(tx, piece.name, known.definition_id)


def _key(error: VictorError) -> str:
    return "schedule.after: " if error.message.startswith("after") else "schedule: "


def _problem(piece: WorkflowPiece, error: VictorError) -> Problem:
    message = error.message.removeprefix(f"{piece.path}: ")
    return piece.name, ProblemInfo(severity="error", message=message, path=piece.path)
