"""The transaction of a transition: the connection of the writer, the time, the event log, and deferred rows.

Events and the rows of `Tx.later` are held in memory and written in batches. Until they are written, a rollback only
drops them.
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
from victor_engine.exclusion import Excluded, nothing_excluded
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
"""Numbers for the most frequent kinds. The column `events.kind` decodes them."""


def actor_json(actor: Actor | None) -> str | None:
    """Return the stored form of an actor. NULL is the engine itself."""
    if actor is None or actor == ENGINE_ACTOR:
        return None
    return msgspec.json.encode(actor).decode()


def actor_from_json(text: str | None) -> Actor:
    return ENGINE_ACTOR if text is None else msgspec.json.decode(text, type=Actor)


TOGETHER = (32, 8)
"""Rows of one INSERT statement. A batch costs a quarter less than single rows, and releases the interpreter lock for
longer."""


@lru_cache(maxsize=256)
def _several(sql: str, rows: int) -> str | None:
    """Return an INSERT of one row as an INSERT of `rows` rows; None for any other statement."""
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
"""The number of events and of other rows that a transaction holds."""


class NotPlainError(Exception):
    """A plain transition has to execute statements of its own; see `Tx.apart`."""


class Tx:
    """One transaction, during its transitions."""

    __slots__ = (
        "_base",
        "_flushed",
        "_known",
        "_later",
        "_next_run",
        "_rows",
        "connection",
        "events",
        "excluded",
        "execute",
        "ids",
        "now",
        "now_us",
        "plain",
    )

    def __init__(
        self, connection: sqlite3.Connection, now: datetime, excluded: Excluded = nothing_excluded
    ) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.now = now
        self.now_us = to_us(now)
        self.ids = fresh_ids(now)
        """Unique ids for new rows of this transaction."""
        self.events: list[EventInfo] = []
        self.excluded = excluded
        """Returns the calendar that excludes an instant of a schedule."""
        self.plain = False
        """Whether a plain transition is running, which may not execute statements that write; see `store.group`."""
        self._known: dict[Any, Any] = {}
        self._next_run: int | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._flushed = 0
        self._later: list[tuple[str, tuple[Any, ...]]] = []
        (last,) = connection.execute("SELECT MAX(seq) FROM events").fetchone()
        self._base = (last or 0) + 1

    def begin(self) -> None:
        """Begin the next transition of this transaction, without locks."""

    def lock(self, root: Root, key: int | str) -> None:
        """Lock an aggregate root before a change of it, in the order of `Root`.

        Args:
            root: The kind of the root.
            key: The key of the root, as `Root` names it for each kind.

        SQLite has one writer, which holds every lock; the tests check that each change is preceded by its lock.
        """

    def created(self, root: Root, key: int | str) -> None:
        """Hold the lock of a root that this transition creates. No other transition can wait for it."""

    def later(self, sql: str, row: tuple[Any, ...]) -> None:
        """Defer `sql` with `row`. Deferred rows are written in batches before the next transition that is not plain.

        Rows of one statement keep their order; statements are executed in the order of their first row.
        """
        self._later.append((sql, row))

    def apart(self) -> None:
        """Write the deferred rows, so that the transition can execute statements of its own.

        A plain transition is aborted with NotPlainError, which must propagate, and runs again as a transition that is
        not plain.
        """
        if self.plain:
            raise NotPlainError
        self.flush()

    def once(self, key: Any, read: Callable[[], T]) -> T:
        """Return the result of `read`, which is shared by consecutive plain transitions.

        `read` may only read rows that no plain transition writes. `key` identifies the result.
        """
        if not self.plain:
            return read()
        if key not in self._known:
            self._known[key] = read()
        found: T = self._known[key]
        return found

    def forget(self) -> None:
        """Drop the results of `once`."""
        self._known.clear()

    def next_run(self) -> int:
        """Return a new, unique run key."""
        if self._next_run is None:
            self._next_run = self.execute("SELECT COALESCE(MAX(key), 0) + 1 FROM runs").fetchone()[0]
        key = self._next_run
        self._next_run += 1
        return key

    def mark(self) -> Mark:
        """Return a mark for `rewind`, for code with a savepoint of its own."""
        return len(self.events), len(self._later)

    def rewind(self, mark: Mark) -> None:
        """Drop the events and rows since `mark`. The caller has rolled back those that were written."""
        events, rows = mark
        del self.events[events:], self._rows[events:], self._later[rows:]
        self._flushed = min(self._flushed, events)

    def flush(self) -> None:
        """Write the events and rows that are held."""
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
        """Append one event. Return its sequence number. `run_id` saves a look-up if it is known."""
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
