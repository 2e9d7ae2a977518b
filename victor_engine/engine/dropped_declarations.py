"""Deprecations and migrations that the store has from a file which does not declare them any more. They stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from victor_engine.api import ProblemInfo
from victor_engine.errors import VictorError
from victor_engine.loading.pieces import Problem, WorkflowPiece
from victor_engine.store.queries import declared as facts
from victor_engine.versioning import catalog
from victor_engine.versioning.stored_migrations import declared_migrations, load_registry


def find(
    connection: sqlite3.Connection,
    pieces: Collection[WorkflowPiece],
    may_be_in: Callable[[str], Path | None],
) -> Iterator[Problem]:
    """Yield a warning for each one. Workflows that a file with errors may contain are passed over."""
    for name in dict.fromkeys(piece.name for piece in pieces):
        if may_be_in(name) is None:
            own = [piece for piece in pieces if piece.name == name]
            yield from _deprecations(connection, own)
            yield from _migrations(connection, own)


def _deprecations(connection: sqlite3.Connection, pieces: Collection[WorkflowPiece]) -> Iterator[Problem]:
    for piece in pieces:
        known = catalog.find_registered(connection, piece, piece.checksum)
        if known is None or piece.deprecated:
            continue
        message = facts.deprecation_by_file(connection, known.definition_id)
        if message is not None:
            name = f"{piece.name} {known.version}"
            yield _warning(
                piece,
                f"{name} stays deprecated ({message}), although its file does not say so any more",
                f"To take the deprecation back, run: victor versions restore {name}",
            )


def _migrations(connection: sqlite3.Connection, pieces: Collection[WorkflowPiece]) -> Iterator[Problem]:
    """Yield the migrations to a version of these files which none of the files declares."""
    versions = {catalog.normal_version(piece.version): piece for piece in pieces if piece.version is not None}
    if not versions:
        return
    try:
        declared = {
            migration.checksum
            for piece in pieces
            for migration in declared_migrations(piece.migrations, piece.version)
        }
    except VictorError:
        return  # it is reported with its file
    name = next(iter(versions.values())).name
    for migration in load_registry(connection, name).get_migrations(name):
        piece = versions.get(str(migration.to_version))
        if piece is not None and not migration.undoes and migration.checksum not in declared:
            steps = f"{name}: the migration {migration.from_version} -> {migration.to_version}"
            yield _warning(
                piece, f"{steps} stays registered, although its file does not declare it any more", ""
            )


def _warning(piece: WorkflowPiece, message: str, remedy: str) -> Problem:
    return piece.name, ProblemInfo("warning", message, path=piece.path, remedy=remedy)
