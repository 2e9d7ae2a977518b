"""The log of attempts: captured at any rate, written in batches, bounded with the cut visible.

Of each attempt the beginning is kept, and the last lines. These are written as they come as well, so
that somebody who follows a log sees its end whatever its length; what falls out of the last lines is
deleted again, and a line in its place says how much that was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from victor_engine.clock import Clock, to_us
from victor_engine.errors import VictorError
from victor_engine.store.db import Store, Tx

HEAD_CHARS = 1_000_000
"""What of an attempt's log is kept from its beginning, in characters."""

TAIL_LINES = 500
"""How many of its last lines are kept once the head is full."""

MAX_LINE = 16_000
"""A longer line is cut, visibly."""

FLUSH_SECONDS = 0.2
"""How long a line may wait for its neighbours before it is written."""

Line = tuple[int, str, str]
"""Instant in microseconds, stream, text."""

_INSERT = "INSERT INTO logs (run_key, attempt_id, at, stream, text) VALUES (?,?,?,?,?)"


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the last lines of an attempt's log are stored: from which id on, and the line that says what
    was cut between them and the head."""

    start: int | None = None
    marker: int | None = None


class AttemptLog:
    """The lines of one attempt on their way into the store."""

    def __init__(self, book: Logbook, run_key: int, attempt: int) -> None:
        self._book = book
        self.run_key = run_key
        self.attempt = attempt
        self._kept = 0
        self._after_head = 0
        self.waiting: deque[Line] = deque(maxlen=TAIL_LINES)
        self.tail = Tail()

    def write(self, stream: str, text: str) -> None:
        """Take one or more lines; never blocks."""
        at = to_us(self._book.clock.now())
        for line in text.splitlines() or [""]:
            if len(line) > MAX_LINE:
                line = f"{line[:MAX_LINE]} … ({len(line) - MAX_LINE} characters cut)"
            if self._kept < HEAD_CHARS:
                self._kept += len(line) + 1
                self._book.add(self, at, stream, line)
            else:
                self._after_head += 1
                self._book.add_to_tail(self, at, stream, line)

    @property
    def cut(self) -> int:
        """How many lines are neither in the head nor among the last ones."""
        return max(0, self._after_head - TAIL_LINES)


class Logbook:
    """All lines that wait to be written, and the task that writes them."""

    def __init__(self, store: Store, clock: Clock, mask: Callable[[str], str] = lambda text: text) -> None:
        self.clock = clock
        self._store = store
        self._mask = mask
        self._lines: list[tuple[int, int, int, str, str]] = []
        self._tails: dict[AttemptLog, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def open(self, run_key: int, attempt: int) -> AttemptLog:
        return AttemptLog(self, run_key, attempt)

    def add(self, log: AttemptLog, at: int, stream: str, line: str) -> None:
        self._lines.append((log.run_key, log.attempt, at, stream, self._clean(line)))
        self._wake()

    def add_to_tail(self, log: AttemptLog, at: int, stream: str, line: str) -> None:
        """A line that is kept until enough others have come after it."""
        log.waiting.append((at, stream, self._clean(line)))
        self._tails[log] = None
        self._wake()

    def _clean(self, line: str) -> str:
        # Surrogates and NULs cannot be stored as text; the rest is neutralised where it is shown.
        return self._mask(line).replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        while self._lines or self._tails:
            await self.clock.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except VictorError:
                # The store says so itself on the next transition; log lines stay for a later try.
                return

    @property
    def waits(self) -> bool:
        """Whether a line has not been given to the store yet."""
        return bool(self._lines or self._tails)

    async def flush(self) -> None:
        """Write every line that waits; they stay in memory if the store cannot take them."""
        async with self._writing:
            if self._lines or self._tails:
                await self._write()

    async def _write(self) -> None:
        lines, self._lines = self._lines, []
        tails = [(log, log.tail, list(log.waiting), log.cut) for log in self._tails]
        self._tails = {}
        for log, *_ in tails:
            log.waiting.clear()

        def insert(tx: Tx) -> list[Tail]:
            tx.connection.executemany(_INSERT, lines)
            return [_write_tail(tx, log, tail, new, cut) for log, tail, new, cut in tails]

        try:
            written = await self._store.persist(insert)
        except VictorError:
            self._lines = lines + self._lines
            for log, _, new, _ in tails:
                log.waiting.extendleft(reversed(new[max(0, len(log.waiting) + len(new) - TAIL_LINES) :]))
                self._tails[log] = None
            raise
        for (log, *_), tail in zip(tails, written, strict=True):
            log.tail = tail


def _write_tail(tx: Tx, log: AttemptLog, tail: Tail, new: list[Line], cut: int) -> Tail:
    """Add to the last lines of an attempt, delete what falls out of them, and say how much that was."""
    if tail.start is None:
        (newest,) = tx.execute("SELECT COALESCE(MAX(id), 0) FROM logs").fetchone()
        tail = Tail(newest + 1)
    if cut:
        stored = tx.execute(
            "SELECT id FROM logs WHERE run_key = ? AND id >= ? AND attempt_id = ? AND id IS NOT ? ORDER BY id",
            (log.run_key, tail.start, log.attempt, tail.marker),
        ).fetchall()
        fallen = stored[: max(0, len(stored) + len(new) - TAIL_LINES)]
        if tail.marker is None and fallen:
            # The first line that falls out makes room for the one that says so.
            tail = replace(tail, marker=fallen.pop(0)[0])
        elif tail.marker is None:
            tail = replace(tail, marker=tx.execute(_INSERT, (log.run_key, log.attempt, 0, "", "")).lastrowid)
        tx.connection.executemany("DELETE FROM logs WHERE id = ?", fallen)
        tx.execute(
            "UPDATE logs SET at = ?, stream = 'engine', text = ? WHERE id = ?",
            (new[0][0] if new else tx.now_us, f"… {cut} lines were cut here …", tail.marker),
        )
    tx.connection.executemany(_INSERT, [(log.run_key, log.attempt, *line) for line in new])
    return tail


__all__ = ["HEAD_CHARS", "MAX_LINE", "TAIL_LINES", "AttemptLog", "Logbook"]
