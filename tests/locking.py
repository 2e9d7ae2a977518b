"""A transaction that fails if a transition changes a row without the lock of its aggregate root."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import victor_engine
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.store.locks import OWNED, Root
from victor_engine.store.transaction import Tx

CHECKED: set[str] = set(OWNED)
"""The tables whose changes are checked."""

_PRODUCT = str(Path(victor_engine.__file__).parent)

_CHANGE = re.compile(
    r"\s*(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+\"?(\w+)",
    re.I,
)


@lru_cache(maxsize=2048)
def changed_table(sql: str) -> str | None:
    """Return the table that a statement changes, or None for a query."""
    found = _CHANGE.match(sql)
    return found[1] if found else None


class LockedTx(Tx):
    """A `Tx` that asserts for each change that its root is locked, and that roots are locked in order.

    A root that is locked already may be locked again. Statements of the test itself are not checked.
    """

    __slots__ = ("_created", "_locked")

    def __init__(
        self, connection: sqlite3.Connection, now: datetime, excluded: Excluded = nothing_excluded
    ) -> None:
        self._locked: list[tuple[Root, int | str]] = []
        self._created: set[tuple[Root, int | str]] = set()
        super().__init__(connection, now, excluded)
        execute = self.execute

        def checked(sql: str, *arguments: Any) -> sqlite3.Cursor:
            self._check(sql, sys._getframe(1).f_code.co_filename)
            return execute(sql, *arguments)

        self.execute: Callable[..., sqlite3.Cursor] = checked

    def begin(self) -> None:
        self._locked.clear()
        self._created.clear()

    def lock(self, root: Root, key: int | str) -> None:
        if (root, key) in self._locked or (root, key) in self._created:
            return
        later = [locked.name for locked, _ in self._locked if locked > root]
        assert not later, f"{root.name} {key!r} is locked after {', '.join(later)}; see the order of Root"
        self._locked.append((root, key))

    def created(self, root: Root, key: int | str) -> None:
        self._created.add((root, key))

    def later(self, sql: str, row: tuple[Any, ...]) -> None:
        self._check(sql, sys._getframe(1).f_code.co_filename)
        super().later(sql, row)

    def _check(self, sql: str, path: str) -> None:
        table = changed_table(sql)
        if table in CHECKED and path.startswith(_PRODUCT):
            root = OWNED[table]
            assert any(locked is root for locked, _ in (*self._locked, *self._created)), (
                f"{table} is changed without a lock of its {root.name}: {sql[:120]}"
            )
