"""The log of attempts: written in batches, with a limit for each attempt.

A reader of a pipe stops reading while too many characters of an attempt wait for the store (`AttemptLog.room`).

The head and the last lines of each log are kept. The last lines are written as they come, so that the
end of a log can be followed whatever its length. Lines that are no longer among the last ones are
deleted, and a marker line gives their number.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from victor_engine.clock import Clock, to_us
from victor_engine.errors import FencedError, VictorError
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import logs

HEAD_CHARS = 1_000_000
"""Size of the head of a log, in characters."""

SHORTEST = 20
"""Characters that a line of the head counts at least, because each line is a row of the store."""

TAIL_LINES = 500
"""Number of last lines that are kept after the head is full."""

MAX_LINE = 16_000
"""Maximum length of a line, in characters. A longer line is cut and marked."""

FLUSH_SECONDS = 0.2
"""Maximum time for which a line waits for its batch."""

BATCH = 1000
"""Lines in one transition, so that other transitions do not wait long."""

MAX_WAITING = 300_000
"""Characters of one attempt that may wait for the store before its pipe is not read any more."""

LINE_WEIGHT = 100
"""Weight of a line in `MAX_WAITING`, in addition to its characters."""

Line = tuple[int, str, str]
"""Instant in microseconds, stream, text."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The stored last lines of a log: the id of the first one, and the id of the marker line between the head and
    them."""

    start: int | None = None
    marker: int | None = None


class AttemptLog:
    """The lines of one attempt on their way into the store."""

    def __init__(self, writer: LogWriter, run_key: int, attempt: int) -> None:
        self._writer = writer
        self.run_key = run_key
        self.attempt = attempt
        self._kept = 0
        self._after_head = 0
        self._dropped_lines = self._dropped_bytes = 0
        self.waiting: deque[Line] = deque(maxlen=TAIL_LINES)
        self.tail = Tail()
        self.unwritten = 0
        """The weight of the lines that are not yet written, as `MAX_WAITING` counts it."""
        self._room: asyncio.Future[None] | None = None

    def write(self, stream: str, text: str) -> None:
        """Add one or more lines. Never blocks."""
        at = to_us(self._writer.clock.now())
        text = self._writer.clean(text)
        lines = [
            line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} … ({len(line) - MAX_LINE} characters cut)"
            for line in text.splitlines() or [""]
        ]
        head = 0
        while head < len(lines) and self._kept < HEAD_CHARS:
            self._kept += max(len(lines[head]) + 1, SHORTEST)
            head += 1
        self._after_head += len(lines) - head
        self.unwritten += len(text) + LINE_WEIGHT * len(lines)
        self._writer.add(self, at, stream, lines[:head], lines[head:][-TAIL_LINES:])

    def room(self) -> asyncio.Future[None] | None:
        """Return None if more lines may be written now, else a future that is done when they may."""
        if self.unwritten < MAX_WAITING:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
            self._writer.flush_now()
        return self._room

    def written(self, weight: int) -> None:
        """Subtract the weight of lines that are written or dropped."""
        self.unwritten -= weight
        if self._room is not None and self.unwritten < MAX_WAITING:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    @property
    def capped(self) -> bool:
        """Whether the head is full, so that only the last lines are kept."""
        return self._kept >= HEAD_CHARS

    def drop(self, lines: int, size: int) -> None:
        """Count lines and bytes that are not logged, because they came too fast. The head ends before them."""
        self._kept = max(self._kept, HEAD_CHARS)
        self._dropped_lines += lines
        self._dropped_bytes += size
        self._writer.changed(self)

    @property
    def full(self) -> bool:
        """Whether a writer waits for room."""
        return self._room is not None

    @property
    def cut(self) -> int:
        """The number of lines that are neither in the head nor among the last lines."""
        return max(0, self._after_head - TAIL_LINES) + self._dropped_lines

    @property
    def cut_text(self) -> str:
        """The text of the marker line."""
        if not self._dropped_bytes:
            return f"… {self.cut} lines were cut here …"
        return (
            f"… {self.cut} lines were cut here; {self._dropped_lines} of them, {_size(self._dropped_bytes)}, came faster "
            "than a long log is read …"
        )


class LogWriter:
    """All unwritten lines, and the task that writes them."""

    def __init__(self, store: Store, clock: Clock, mask: Callable[[str], str] = lambda text: text) -> None:
        self.clock = clock
        self._store = store
        self._mask = mask
        self._lines: list[tuple[int, int, int, str, str]] = []
        self._tails: dict[AttemptLog, None] = {}
        self._logs: dict[AttemptLog, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._flush_task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def open(self, run_key: int, attempt: int) -> AttemptLog:
        return AttemptLog(self, run_key, attempt)

    def add(self, log: AttemptLog, at: int, stream: str, head: list[str], last: list[str]) -> None:
        """Add masked lines of an attempt: lines of the head, and last lines."""
        self._lines += [(log.run_key, log.attempt, at, stream, line) for line in head]
        if last:
            log.waiting.extend((at, stream, line) for line in last)
            self._tails[log] = None
        self._logs[log] = None
        self._start()

    def changed(self, log: AttemptLog) -> None:
        """Write the marker line of a log with the next batch."""
        self._tails[log] = None
        self._logs[log] = None
        self._start()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    def clean(self, text: str) -> str:
        """Return text that can be stored, with secrets masked."""
        # Surrogates and NULs cannot be stored; other control characters are escaped when they are shown.
        return self._mask(text).replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")

    async def _flush_soon(self) -> None:
        while self.pending:
            await self.clock.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except VictorError:
                # The next transition reports the error of the store; the lines are kept for a later try.
                return

    def flush_now(self) -> None:
        """Write now, because a writer waits for room."""
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.get_running_loop().create_task(self._make_room())

    async def _make_room(self) -> None:
        while any(log.full for log in self._logs):
            try:
                await self.flush()
            except FencedError:
                return
            except VictorError:
                await self.clock.sleep(FLUSH_SECONDS)

    async def close(self) -> None:
        """Write the remaining lines, if the store accepts them, and stop."""
        await self.settle()
        tasks = [task for task in (self._task, self._flush_task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def pending(self) -> bool:
        """Whether lines have not been written yet."""
        return bool(self._lines or self._tails)

    async def settle(self) -> None:
        """Write the remaining lines, if the store accepts them; otherwise keep them for a later try."""
        if self.pending:
            with contextlib.suppress(VictorError):
                await self.flush()

    async def flush(self) -> None:
        """Write all waiting lines. Keep them in memory if the store does not accept them."""
        async with self._writing:
            taken = {log: log.unwritten for log in self._logs}
            self._logs = {}
            # A head that becomes full during the write is not written whole: its last lines wait for the next flush.
            full = list(self._tails)
            try:
                await self._write_lines(len(self._lines))
                if full:
                    await self._write_tails(full)
            except BaseException:
                self._logs = dict.fromkeys([*taken, *self._logs])
                raise
            for log, weight in taken.items():
                log.written(weight)

    async def _write_lines(self, count: int) -> None:
        while count > 0:
            batch = self._lines[: min(count, BATCH)]
            del self._lines[: len(batch)]
            count -= len(batch)
            try:
                await self._store.persist(partial(_insert, batch))
            except VictorError:
                self._lines[:0] = batch
                raise

    async def _write_tails(self, full: list[AttemptLog]) -> None:
        """Write the last lines of logs whose head is written."""
        tails = [(log, log.tail, list(log.waiting), log.cut_text if log.cut else "") for log in full]
        for log in full:
            self._tails.pop(log, None)
            log.waiting.clear()

        def insert(tx: Tx) -> list[Tail]:
            return [_write_tail(tx, log, tail, new, cut) for log, tail, new, cut in tails]

        try:
            written = await self._store.persist(insert)
        except VictorError:
            for log, _, new, _ in tails:
                log.waiting.extendleft(reversed(new[max(0, len(log.waiting) + len(new) - TAIL_LINES) :]))
                self._tails[log] = None
            raise
        for (log, *_), tail in zip(tails, written, strict=True):
            log.tail = tail


def _insert(lines: list[tuple[int, int, int, str, str]], tx: Tx) -> None:
    logs.add(tx, lines)


def _write_tail(tx: Tx, log: AttemptLog, tail: Tail, new: list[Line], cut: str) -> Tail:
    """Add to the last lines of an attempt, delete the older ones, and update the marker line."""
    run, attempt = log.run_key, log.attempt
    if cut:
        tail = _mark_cut(tx, log, tail, new, cut)
    rows = [(run, attempt, *line) for line in new]
    if tail.start is None and rows:
        tail = replace(tail, start=logs.add_one(tx, rows.pop(0)))
    logs.add(tx, rows)
    return tail


def _mark_cut(tx: Tx, log: AttemptLog, tail: Tail, new: list[Line], cut: str) -> Tail:
    """Delete lines to make room for new ones, and write the number of deleted lines into the marker line."""
    run, attempt = log.run_key, log.attempt
    stored = [] if tail.start is None else logs.since(tx, run, attempt, tail.start)
    if tail.marker in stored:
        stored.remove(tail.marker)
    fallen = stored[: max(0, len(stored) + len(new) - TAIL_LINES)]
    at = new[0][0] if new else tx.now_us
    # The first deleted line becomes the marker line.
    marker = fallen.pop(0) if tail.marker is None and fallen else tail.marker
    if marker is None:
        marker = logs.add_one(tx, (run, attempt, at, "engine", cut))
        return Tail(marker if tail.start is None else tail.start, marker)
    logs.delete(tx, run, fallen)
    logs.replace(tx, run, marker, at, "engine", cut)
    return replace(tail, marker=marker)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


__all__ = ["HEAD_CHARS", "MAX_LINE", "TAIL_LINES", "AttemptLog", "LogWriter"]
