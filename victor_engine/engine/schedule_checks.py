"""The checks of declared schedules that need the calendars, the store and all files of a workspace."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator

from victor_engine.api import ProblemInfo
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import VictorError
from victor_engine.loading.pieces import Problem, WorkflowPiece
from victor_engine.scheduling.declared_checks import after_errors
from victor_engine.store.repositories import definitions
from victor_engine.versioning import aliases, catalog
from victor_engine.versioning.semver import WorkflowVersion


def declared(pieces: Iterable[WorkflowPiece]) -> dict[str, WorkflowPiece]:
    """Return, by workflow, the version whose schedule applies: the newest one that declares a schedule."""
    found: dict[str, tuple[WorkflowVersion | None, WorkflowPiece]] = {}
    for piece in pieces:
        if not piece.scheduled:
            continue
        parsed = WorkflowVersion.parse(piece.version) if piece.version is not None else None
        known = found.get(piece.name)
        if known is None or known[0] is None or (parsed is not None and parsed > known[0]):
            found[piece.name] = (parsed, piece)
    return {name: piece for name, (_, piece) in found.items()}


def check(
    connection: sqlite3.Connection,
    pieces: Collection[WorkflowPiece],
    new: Collection[WorkflowPiece],
    workspace: Workspace,
) -> list[Problem]:
    """Return the problems of the declared schedules of `pieces`, of which `new` are not registered yet.

    A workflow is left out if its schedule has an error, so those that depend on it have an error as well.
    """
    found: list[Problem] = []
    for piece in declared(pieces).values():
        found += _calendars(piece, workspace)
        found += _version(connection, piece, new)
    stored = set(definitions.names(connection))
    left = list(pieces)
    while True:
        left = [piece for piece in left if piece.name not in failed(found)]
        applied = declared(left)
        specs = {name: piece.spec for name, piece in applied.items() if piece.spec is not None}
        errors = list(after_errors(specs, frozenset(stored | {piece.name for piece in left})))
        if not errors:
            return found
        found += [(name, applied[name].problem(message)) for name, message in errors]


def failed(problems: Iterable[Problem]) -> set[str]:
    """Return the workflows with an error."""
    return {name for name, problem in problems if name is not None and problem.severity == "error"}


def _calendars(piece: WorkflowPiece, workspace: Workspace) -> Iterator[Problem]:
    for calendar in piece.spec.exclude if piece.spec is not None else ():
        try:
            workspace.calendars.get(calendar)
        except VictorError as error:
            yield piece.name, piece.problem(f"schedule.exclude: {error.message}")


def _version(
    connection: sqlite3.Connection, piece: WorkflowPiece, new: Collection[WorkflowPiece]
) -> Iterator[Problem]:
    """Yield a problem if `schedule.version` does not exist. It is a warning for an alias, which may be set later."""
    wanted = piece.spec.version if piece.spec is not None else None
    if piece.spec is None:
        return
    declared = {each.version or "0.0.1" for each in new if each.name == piece.name}
    if declared and (wanted is None or catalog.in_range(wanted, declared) is not None):
        return
    known = definitions.version_names(connection, piece.name)
    alias = aliases.is_alias_name(wanted)
    if known:
        try:
            catalog.resolve(connection, piece.name, wanted)
            return
        except VictorError as error:
            message = error.message
    if alias and not known:
        message = f"{piece.name} has no alias {wanted!r}"
    elif not alias and catalog.in_range(wanted or "latest", {*known, *declared}) is None:
        versions = ", ".join(sorted({*known, *declared}))
        message = f"{piece.name} has no version {wanted}; its versions are {versions}"
    at = piece.problem(f"schedule.version: {message}")
    yield piece.name, ProblemInfo("warning" if alias else "error", at.message, at.path, at.line, at.column)
