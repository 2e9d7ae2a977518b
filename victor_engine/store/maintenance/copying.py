"""Copies of whole stores: written beside their target, checked, and put in its place in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from victor_engine.errors import StoreError
from victor_engine.private import open_file
from victor_engine.store import pragmas
from victor_engine.store.outage import storage_code
from victor_engine.store.queries import whole_store
from victor_engine.store.queries.whole_store import Contents


class CopyInfo(msgspec.Struct, frozen=True):
    """A finished copy of a store: its file, its size in bytes, and its contents."""

    path: str
    size: int
    contents: Contents


@contextlib.contextmanager
def new_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a private file beside `target`, and put it in the place of `target` when the body has succeeded.

    After an error the file is deleted. Raise StoreError if `target` exists, unless `replace` is true.
    """
    if not replace and os.path.lexists(target):
        raise StoreError(f"{target} exists already; give another file, or --force to replace it")
    if os.path.lexists(target) and (target.is_symlink() or not target.is_file()):
        raise StoreError(f"{target} is not a regular file, so it is not replaced; give another file")
    partial = target.with_name(f".{target.name}.partial")
    try:
        _remove(partial)  # of a process that was killed
        os.close(open_file(partial, os.O_EXCL | os.O_WRONLY))
        yield partial
        sync(partial)
        if replace:
            partial.replace(target)
        else:
            _put(partial, target)
        sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{target} cannot be written: {_reason(error)}; make room there, or give another file. "
            "Nothing of it was kept"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(partial)


def _remove(path: Path) -> None:
    """Delete a file of SQLite with its logs."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _put(partial: Path, target: Path) -> None:
    """Rename a file without replacing another one."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise StoreError(f"{target} exists already; give another file, or --force to replace it") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        partial.rename(target)  # the file system has no hard links


def _reason(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy the snapshot that `source` reads to the empty file `target`. A store that is written is not disturbed."""
    connection = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(connection)
        pragmas.keep_in_one_file(connection)
    except sqlite3.OperationalError as error:
        # Not an error of SQLite for the reader of the source, which would read again.
        code = errno.ENOSPC if storage_code(error) == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(code, str(error), str(target)) from error
    finally:
        connection.close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store that no process writes, for reading. No file is created or changed."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        pragmas.refuse_writes(connection)
        yield connection
    finally:
        connection.close()


def damage_of(connection: sqlite3.Connection) -> list[str]:
    """Return the damage of a store; empty if it is sound and a store of this product."""
    try:
        found = pragmas.all_damage(connection)
        if not found:
            whole_store.contents(connection)
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return found


def require_sound(connection: sqlite3.Connection, path: Path | str) -> Contents:
    """Return the contents of a store. Raise StoreError if it is damaged, or is not a store of this product."""
    found = damage_of(connection)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise StoreError(f"{path} is damaged or is not a store: {found[0]}{more}")
    return whole_store.contents(connection)


def sync(path: Path) -> None:
    """Write a file, or the entries of a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["CopyInfo", "copy", "damage_of", "new_file", "opened", "require_sound", "sync"]
