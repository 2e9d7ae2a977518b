"""The COMMIT of the writer of a store at which it stops, or at which the disk is full."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 100.0
"""Seconds that a writer stands still at most."""


@dataclass
class Moment:
    """The fault at a COMMIT of the writer: a full disk or a kill."""

    full: bool = False
    fills_in: int = 0
    """The disk is full from this COMMIT on, counted from 1; 0: never."""
    left: int = 0
    """COMMITs until the kill; 0: none is drawn."""
    after: bool = False
    """Whether the kill comes after that COMMIT, before anybody was told of it."""
    stands: bool = False
    taken: Callable[[], None] = lambda: None
    """Copies the files of the store; called where the writer cannot wait for the loop."""
    go_on: threading.Event = field(default_factory=threading.Event)

    def arm(self, left: int, after: bool) -> None:
        self.left, self.after, self.stands = left, after, False
        self.go_on.clear()

    def disarm(self) -> None:
        self.left, self.full, self.fills_in = 0, False, 0
        self.go_on.set()

    def commit(self, execute: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        if self.fills_in:
            self.fills_in -= 1
            self.full = self.fills_in == 0
        if self.full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        here = self.left == 1
        self.left = max(self.left - 1, 0)
        if here and not self.after:
            self._stand()
        cursor = execute()
        if here and self.after:
            self._stand()
        return cursor

    def _stand(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.taken()
            self.stands = True
            return
        self.stands = True
        assert self.go_on.wait(PATIENCE), "the test did not let the writer go on"


class Writer:
    """The connection of the writer, whose COMMITs pass through a `Moment`."""

    def __init__(self, connection: sqlite3.Connection, moment: Moment) -> None:
        self._connection = connection
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            return self._moment.commit(lambda: self._connection.execute(sql))
        return self._connection.execute(sql, *parameters)


MOMENT = Moment()
