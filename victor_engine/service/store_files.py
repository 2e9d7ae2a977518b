"""Work on the files of a store, as the user of the engine: back up, restore, check, measure, vacuum."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from victor_engine.errors import ConfigError, EngineLockedError, PermissionDeniedError, StoreError, UsageError
from victor_engine.identity import user_name
from victor_engine.people.audit_verification import verify
from victor_engine.people.secret_answers import key_path, read_key
from victor_engine.service.engine_lock import EngineLock
from victor_engine.service.paths import Paths, workspace_name
from victor_engine.store import pragmas, schema
from victor_engine.store.db import connect
from victor_engine.store.maintenance import copying, salvage, sizes
from victor_engine.store.maintenance.copying import CopyInfo
from victor_engine.store.maintenance.salvage import TableRows
from victor_engine.store.maintenance.sizes import StoreSize
from victor_engine.store.queries import whole_store
from victor_engine.store.snapshot import SnapshotReader

T = TypeVar("T")


class BackupInfo(msgspec.Struct, frozen=True):
    """A finished backup. `audit_intact` is None if its schema is older than this product."""

    copy: CopyInfo
    audit_intact: bool | None
    notes: tuple[str, ...] = ()


class RestoreInfo(msgspec.Struct, frozen=True):
    """A finished restore. `replaced` is the path to which the store that was there has moved."""

    copy: CopyInfo
    replaced: str | None
    notes: tuple[str, ...] = ()


class CheckInfo(msgspec.Struct, frozen=True):
    """The result of a check. Without `damage` the store is sound.

    `tables` counts the rows that can be read, and `saved` is the file that got them.
    """

    path: str
    damage: tuple[str, ...]
    audit_intact: bool | None = None
    contents: whole_store.Contents | None = None
    tables: tuple[TableRows, ...] = ()
    saved: str | None = None


class SizeInfo(msgspec.Struct, frozen=True):
    """The sizes in bytes of a store and of the files of its state directory, and the free bytes of the disk."""

    path: str
    store: StoreSize
    files: dict[str, int]
    disk_free: int


def back_up(paths: Paths, target: Path, now: datetime, *, replace: bool = False) -> BackupInfo:
    """Copy the store to `target`, or to a file with a name of its own in the directory `target`, and check the copy.

    An engine can run: the copy has every change that was acknowledged before the call.
    """
    if target.is_dir():
        target /= f"{workspace_name(paths.workspace)}-{now:%Y%m%dT%H%M%SZ}.db"
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a directory; create it, or give another file")
    if target.exists() and paths.db_path.exists() and target.samefile(paths.db_path):
        raise UsageError(f"{target} is the store itself; give another file")
    with copying.new_file(target, replace=replace) as partial:
        read(paths, lambda connection: copying.copy(connection, partial))
        with copying.opened(partial) as copied:
            found = copying.require_sound(copied, f"the copy of {paths.db_path}")
            intact = _audit_intact(copied)
    notes = []
    if intact is False:
        notes.append(
            "the audit chain of the store is not intact, and so is its copy; see: victor audit verify"
        )
    if found.secret_answers:
        notes.append(
            f"the backup has {found.secret_answers} secret answers, encrypted with the key {key_path()[0]}, which is "
            "not in it; back the key up to another place"
        )
    return BackupInfo(CopyInfo(str(target), target.stat().st_size, found), intact, tuple(notes))


def read(paths: Paths, query: Callable[[sqlite3.Connection], T]) -> T:
    """Run a query on one snapshot of the store, of any release, without changing a file."""
    _require_owner(paths)
    reader = SnapshotReader(paths.db_path, any_schema=True)
    try:
        return reader.read(query)
    finally:
        reader.close()


def _require_owner(paths: Paths) -> None:
    """Raise PermissionDeniedError unless this user may read the files of the store."""
    folder = paths.state_dir
    try:
        if not folder.exists() or os.access(folder, os.R_OK | os.X_OK):
            return
        owner = user_name(folder.stat().st_uid)
    except PermissionError:
        owner = "another user"
    raise PermissionDeniedError(
        f"permission denied: {folder} belongs to {owner}; run the command as {owner}, for example with sudo -u"
    )


def _audit_intact(connection: sqlite3.Connection) -> bool | None:
    current = pragmas.schema_version(connection) == schema.newest_version()
    return verify(connection).intact if current else None


@contextmanager
def stopped(paths: Paths) -> Iterator[None]:
    """Hold the lock of the state directory. Raise EngineLockedError if an engine runs on it."""
    paths.make()
    lock = EngineLock(paths.state_dir)
    try:
        lock.try_acquire("cli", "")
    except EngineLockedError as error:
        raise EngineLockedError(
            f"{error.message}; stop it first: victor scheduler stop", **error.details
        ) from None
    with lock:
        yield


def check(paths: Paths, file: Path | None = None, save: Path | None = None) -> CheckInfo:
    """Check a store, or the store in `file`: its pages, indexes, references and audit chain.

    If it is damaged, count the rows that can be read, and write them as a new store to `save`.
    """
    if file is not None and not file.is_file():
        raise UsageError(f"{file}: the file does not exist; give the path of a store or of a backup")
    path = paths.db_path if file is None else file

    def examine(connection: sqlite3.Connection) -> CheckInfo:
        damage = copying.damage_of(connection)
        if not damage:
            return CheckInfo(str(path), (), _audit_intact(connection), whole_store.contents(connection))
        if save is None:
            return CheckInfo(str(path), tuple(damage), tables=tuple(salvage.readable(connection)))
        with copying.new_file(save) as partial:
            saved = salvage.save(connection, partial)
            with copying.opened(partial) as fresh:
                intact = _audit_intact(fresh)
                found = copying.require_sound(fresh, save)
        return CheckInfo(str(path), tuple(damage), intact, found, tuple(saved), str(save))

    try:
        if file is None:
            return read(paths, examine)
        reader = SnapshotReader(path, any_schema=True)
        try:
            return reader.read(examine)
        finally:
            reader.close()
    except StoreError as error:
        if not isinstance(error.__cause__, sqlite3.DatabaseError) or save is not None:
            raise
        return CheckInfo(str(path), (str(error.__cause__),))


def vacuum(paths: Paths) -> tuple[int, int]:
    """Write the store anew without free pages, and return its sizes in bytes before and after. No engine may run."""
    with stopped(paths):
        path = paths.db_path
        if not path.exists():
            raise StoreError(f"{path} does not exist; nothing was changed")
        before = path.stat().st_size
        free = shutil.disk_usage(path.parent).free
        connection = connect(path)
        try:
            size, count, unused = pragmas.usage(connection)
            needed = size * (count - unused)
            if free < needed:
                raise StoreError(
                    f"{path.parent} has {free} bytes free, and the new file needs {needed}; make room there. Nothing was "
                    "changed"
                )
            with copying.new_file(path, replace=True) as partial:
                pragmas.vacuum_into(connection, partial)
                with copying.opened(partial) as fresh:
                    copying.require_sound(fresh, path)
                connection.close()  # and with it the write-ahead log of the old file
        finally:
            connection.close()
        return before, path.stat().st_size


def size(paths: Paths) -> SizeInfo:
    """Return the size of the store by table, and of the other files of the state directory."""
    found = read(paths, sizes.of_tables)
    files = {path.name: path.stat().st_size for path in sorted(paths.state_dir.iterdir()) if path.is_file()}
    return SizeInfo(str(paths.db_path), found, files, shutil.disk_usage(paths.state_dir).free)


def restore(paths: Paths, source: Path, now: datetime, *, replace: bool = False) -> RestoreInfo:
    """Put a copy of the backup `source` in the place of the store. No engine may run.

    With `replace`, a store that is there is kept under another name. Otherwise raise StoreError if there is one.
    """
    if not source.is_file():
        raise UsageError(f"{source}: the file does not exist; give the path of a backup")
    with stopped(paths):
        present = paths.db_path.exists()
        if present and source.samefile(paths.db_path):
            raise UsageError(f"{source} is the store itself; give the path of a backup")
        if present and not replace:
            raise StoreError(
                f"{paths.db_path} exists; give --force to replace it (it is kept under another name), or another "
                "--state-dir"
            )
        fresh = paths.db_path.with_name("victor.db.restored")
        reader = SnapshotReader(source, any_schema=True)
        try:
            with copying.new_file(fresh, replace=True) as partial:
                reader.read(lambda connection: copying.copy(connection, partial))
                with copying.opened(partial) as copied:
                    found = _require_usable(copied, source)
        finally:
            reader.close()
        kept = _keep(paths.db_path, f"{now:%Y%m%dT%H%M%SZ}") if present else None
        fresh.replace(paths.db_path)
        copying.sync(paths.state_dir)
    size = paths.db_path.stat().st_size
    notes = tuple(_restore_notes(found))
    return RestoreInfo(CopyInfo(str(paths.db_path), size, found), str(kept) if kept else None, notes)


def _require_usable(connection: sqlite3.Connection, source: Path) -> whole_store.Contents:
    try:
        found = copying.require_sound(connection, source)
    except StoreError as error:
        raise StoreError(
            f"{error.message}. Nothing was changed; to see what can be saved, run: victor db check {source}"
        ) from error
    if found.schema > schema.newest_version():
        raise StoreError(
            f"{source} was written by a newer victor (schema {found.schema}, this one reads "
            f"{schema.newest_version()}); install that version. Nothing was changed"
        )
    return found


def _keep(db: Path, stamp: str) -> Path:
    """Give the store another name, with its write-ahead log. The old name stays until another file replaces it."""
    kept = db.with_name(f"{db.name}.replaced-{stamp}")
    number = 1
    while os.path.lexists(kept):
        number += 1
        kept = db.with_name(f"{db.name}.replaced-{stamp}.{number}")
    os.link(db, kept)
    # A log beside another database would be taken for its log.
    for suffix in ("-wal", "-shm"):
        log = db.with_name(db.name + suffix)
        if log.exists():
            log.replace(kept.with_name(kept.name + suffix))
    copying.sync(db.parent)
    return kept


def _restore_notes(found: whole_store.Contents) -> Iterator[str]:
    if found.active_runs:
        yield (
            f"{found.active_runs} active runs continue when an engine starts, and their interrupted nodes run again. If "
            "the engine of the original still runs, stop it first: both would do the same work"
        )
    if found.secret_keys:
        path, _ = key_path()
        try:
            key = read_key()
        except ConfigError as error:
            yield error.message
            return
        if key is None or set(found.secret_keys) != {key.id}:
            yield (
                f"{found.secret_answers} secret answers cannot be read: they were encrypted with another key than {path}; "
                "restore that key, or let the questions be answered again"
            )


__all__ = [
    "BackupInfo",
    "CheckInfo",
    "RestoreInfo",
    "SizeInfo",
    "back_up",
    "check",
    "read",
    "restore",
    "size",
    "stopped",
    "vacuum",
]
