"""What a transition works with: the writer's connection, the time, the event log, and rows for later.

Events and the rows of `Tx.later` are held back and written many at a time. Until then nothing of them
is in the database, so that taking them back means to forget them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from victor_engine import jsonio
from victor_engine.api import ENGINE_ACTOR, Actor, EventInfo
from victor_engine.clock import to_us
from victor_engine.ids import fresh_ids
from victor_engine.store.locks import Root

T = TypeVar("T")

_INSERT_EVENT = (
    "INSERT INTO events (seq, at, code, name, actor, run_key, schedule_id, request_id, workflow, node_id, data)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)

_CODES = {
    "node.completed": 1,
    "node.started": 2,
    "run.created": 3,
    "run.started": 4,
    "run.finished": 5,
    "fire.decided": 6,
}
"""Numbers for the kinds that are written most; the column `events.kind` knows them too."""


def actor_json(actor: Actor | None) -> str | None:
    """The stored form of an actor; NULL stands for the engine itself."""
    if actor is None or actor == ENGINE_ACTOR:
        return None
    return msgspec.json.encode(actor).decode()


def actor_from_json(text: str | None) -> Actor:
    return ENGINE_ACTOR if text is None else msgspec.json.decode(text, type=Actor)


TOGETHER = (32, 8)
"""Rows that one statement inserts: so many cost a quarter less than each for itself, and the interpreter's
lock is left to others for longer at a time."""


@lru_cache(maxsize=256)
def _several(sql: str, rows: int) -> str | None:
    """An INSERT of one row as one of several; None if it is none, or more than that."""
    head, values, row = sql.partition(" VALUES ")
    if not values or not head.startswith("INSERT INTO ") or not row.endswith(")") or " ON " in row:
        return None
    return f"{head}{values}{','.join([row] * rows)}"


def _write(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute a statement with each of the rows, in order."""
    done = 0
    for size in TOGETHER:
        if len(rows) - done >= size and (several := _several(sql, size)) is not None:
            while len(rows) - done >= size:
                connection.execute(several, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
    if done < len(rows):
        connection.executemany(sql, rows[done:])


Mark = tuple[int, int]
"""How much a transaction has held back: events, and other rows."""


class NotPlainError(Exception):
    """A plain transition has found that it has to write by itself; see `Tx.apart`."""


class Tx:
    """One transaction, while its transitions run."""

    __slots__ = (
        "_base",
        "_flushed",
        "_known",
        "_later",
        "_next_run",
        "_rows",
        "connection",
        "events",
        "execute",
        "ids",
        "now",
        "now_us",
        "plain",
    )

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.now = now
        self.now_us = to_us(now)
        self.ids = fresh_ids(now)
        """Ids for what this transition creates; no two are the same."""
        self.events: list[EventInfo] = []
        self.plain = False
        """Whether a plain transition is at work: it may not write by itself; see `store.group`."""
        self._known: dict[Any, Any] = {}
        self._next_run: int | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._flushed = 0
        self._later: list[tuple[str, tuple[Any, ...]]] = []
        (last,) = connection.execute("SELECT MAX(seq) FROM events").fetchone()
        self._base = (last or 0) + 1

    def begin(self) -> None:
        """Begin the next transition of this transaction: it holds no locks yet."""

    def lock(self, root: Root, key: int | str) -> None:
        """Lock an aggregate root before a change of it, in the order of `Root`.

        Args:
            root: The kind of the root.
            key: The key of the root, as `Root` names it for each kind.

        SQLite has one writer, which holds every lock; the tests check that each change is preceded by its lock.
        """

    def created(self, root: Root, key: int | str) -> None:
        """Hold the lock of a root that this transition creates: nobody else can wait for it, whatever the order."""

    def later(self, sql: str, row: tuple[Any, ...]) -> None:
        """Execute `sql` with `row` before anybody but a plain transition looks, together with its like.

        Rows of one statement keep their order; statements are executed in the order of their first row.
        """
        self._later.append((sql, row))

    def apart(self) -> None:
        """From here on a transition writes by itself, and sees what was held back before it.

        A plain one is broken off, and called again as one that is not (NotPlainError: let it pass).
        """
        if self.plain:
            raise NotPlainError
        self.flush()

    def once(self, key: Any, read: Callable[[], T]) -> T:
        """What `read` gives, which is asked once for all plain transitions that follow each other.

        It may read only what no plain transition writes. `key` says what it is that is read.
        """
        if not self.plain:
            return read()
        if key not in self._known:
            self._known[key] = read()
        found: T = self._known[key]
        return found

    def forget(self) -> None:
        """What `once` knows may be so no more."""
        self._known.clear()

    def next_run(self) -> int:
        """The key of a run that is about to be created; no other run gets it."""
        if self._next_run is None:
            self._next_run = self.execute("SELECT COALESCE(MAX(key), 0) + 1 FROM runs").fetchone()[0]
        key = self._next_run
        self._next_run += 1
        return key

    def mark(self) -> Mark:
        """A point to which `rewind` goes back; for whoever sets a savepoint of their own."""
        return len(self.events), len(self._later)

    def rewind(self, mark: Mark) -> None:
        """Forget what was held back since `mark`; whoever had it written meanwhile has rolled that back."""
        events, rows = mark
        del self.events[events:], self._rows[events:], self._later[rows:]
        self._flushed = min(self._flushed, events)

    def flush(self) -> None:
        """Write what is held back."""
        if self._later:
            together: dict[str, list[tuple[Any, ...]]] = {}
            for sql, row in self._later:
                together.setdefault(sql, []).append(row)
            for sql, rows in together.items():
                _write(self.connection, sql, rows)
            self._later.clear()
        if self._flushed < len(self._rows):
            _write(self.connection, _INSERT_EVENT, self._rows[self._flushed :])
            self._flushed = len(self._rows)

    def event(
        self,
        kind: str,
        *,
        actor: Actor | None = None,
        run_key: int | None = None,
        run_id: str | None = None,
        schedule_id: str | None = None,
        request_id: str | None = None,
        workflow: str | None = None,
        node_id: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> int:
        """Append one event; returns its sequence number. `run_id` saves a look-up if it is known."""
        kind = str(kind)
        seq: int = self._base + len(self.events)
        if run_key is not None and run_id is None:
            row = self.execute("SELECT id FROM runs WHERE key = ?", (run_key,)).fetchone()
            run_id = row[0] if row else None
        code = _CODES.get(kind, 0)
        self._rows.append(
            (
                seq, self.now_us, code, None if code else kind, actor_json(actor), run_key, schedule_id,
                request_id, workflow if run_key is None else None, node_id,
                jsonio.dumps_text(data) if data else None,
            )
        )  # fmt: skip
        self.events.append(
            EventInfo(
                seq=seq,
                at=self.now,
                kind=kind,
                actor=actor or ENGINE_ACTOR,
                run_id=run_id,
                schedule_id=schedule_id,
                request_id=request_id,
                workflow=workflow,
                node_id=node_id,
                data=data or {},
            )
        )
        return seq


__all__ = ["Mark", "NotPlainError", "Tx", "actor_from_json", "actor_json"]
