"""The log of attempts: captured at any rate, written in batches, bounded with the cut visible."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

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


class AttemptLog:
    """The lines of one attempt on their way into the store."""

    def __init__(self, book: Logbook, run_key: int, attempt: int) -> None:
        self._book = book
        self._run_key = run_key
        self._attempt = attempt
        self._kept = 0
        self._cut = 0
        self._tail: deque[tuple[int, str, str]] = deque(maxlen=TAIL_LINES)

    def write(self, stream: str, text: str) -> None:
        """Take one or more lines; never blocks."""
        at = to_us(self._book.clock.now())
        for line in text.splitlines() or [""]:
            if len(line) > MAX_LINE:
                line = f"{line[:MAX_LINE]} … ({len(line) - MAX_LINE} characters cut)"
            if self._kept < HEAD_CHARS:
                self._kept += len(line) + 1
                self._book.add(self._run_key, self._attempt, at, stream, line)
            else:
                if len(self._tail) == TAIL_LINES:
                    self._cut += 1
                self._tail.append((at, stream, line))

    def close(self) -> None:
        """Write what was kept back, with a line that says how much was cut."""
        if self._cut:
            at = self._tail[0][0]
            self._book.add(self._run_key, self._attempt, at, "engine", f"… {self._cut} lines were cut here …")
        for at, stream, line in self._tail:
            self._book.add(self._run_key, self._attempt, at, stream, line)
        self._tail.clear()
        self._cut = 0


class Logbook:
    """All lines that wait to be written, and the task that writes them."""

    def __init__(self, store: Store, clock: Clock, mask: Callable[[str], str] = lambda text: text) -> None:
        self.clock = clock
        self._store = store
        self._mask = mask
        self._lines: list[tuple[int, int, int, str, str]] = []
        self._task: asyncio.Task[None] | None = None

    def open(self, run_key: int, attempt: int) -> AttemptLog:
        return AttemptLog(self, run_key, attempt)

    def add(self, run_key: int, attempt: int, at: int, stream: str, line: str) -> None:
        # Surrogates and NULs cannot be stored as text; the rest is neutralised where it is shown.
        clean = self._mask(line).replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
        self._lines.append((run_key, attempt, at, stream, clean))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await self.clock.sleep(FLUSH_SECONDS)
        try:
            await self.flush()
        except VictorError:
            # The store says so itself on the next transition; log lines stay for a later try.
            return

    async def flush(self) -> None:
        """Write every line that waits; they stay in memory if the store cannot take them."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []

        def insert(tx: Tx) -> None:
            tx.connection.executemany(
                "INSERT INTO logs (run_key, attempt_id, at, stream, text) VALUES (?,?,?,?,?)", lines
            )

        try:
            await self._store.persist(insert)
        except VictorError:
            self._lines = lines + self._lines
            raise
