"""The log of attempts: written in batches, bounded with the cut visible.

Whoever takes lines from a pipe stops reading while too many of an attempt wait for the store (`AttemptLog.room`).

Of each attempt the beginning is kept, and the last lines. These are written as they come as well, so
that somebody who follows a log sees its end whatever its length; what falls out of the last lines is
deleted again, and a line in its place says how much that was.
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
"""What of an attempt's log is kept from its beginning, in characters."""

TAIL_LINES = 500
"""How many of its last lines are kept once the head is full."""

MAX_LINE = 16_000
"""A longer line is cut, visibly."""

FLUSH_SECONDS = 0.2
"""How long a line may wait for its neighbours before it is written."""

BATCH = 1000
"""How many lines one transition writes: whatever else is to be written waits for no more than these."""

MAX_WAITING = 300_000
"""How much of one attempt may wait for the store before its pipe is read on, in characters."""

LINE_WEIGHT = 100
"""What a line counts for in `MAX_WAITING`, beside its characters."""

Line = tuple[int, str, str]
"""Instant in microseconds, stream, text."""


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
        self.taken = 0
        """What was taken and is not yet written, as `MAX_WAITING` counts it."""
        self._room: asyncio.Future[None] | None = None

    def write(self, stream: str, text: str) -> None:
        """Take one or more lines; never blocks."""
        at = to_us(self._book.clock.now())
        text = self._book.clean(text)
        lines = [
            line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} … ({len(line) - MAX_LINE} characters cut)"
            for line in text.splitlines() or [""]
        ]
        head = 0
        while head < len(lines) and self._kept < HEAD_CHARS:
            self._kept += len(lines[head]) + 1
            head += 1
        self._after_head += len(lines) - head
        self.taken += len(text) + LINE_WEIGHT * len(lines)
        self._book.add(self, at, stream, lines[:head], lines[head:][-TAIL_LINES:])

    def room(self) -> asyncio.Future[None] | None:
        """Return None where more lines are welcome now, else a future that is done when they are."""
        if self.taken < MAX_WAITING:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
            self._book.hasten()
        return self._room

    def written(self, weight: int) -> None:
        """So much of what was taken is in the store, or has fallen out of the last lines."""
        self.taken -= weight
        if self._room is not None and self.taken < MAX_WAITING:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    @property
    def full(self) -> bool:
        """Whether somebody waits to go on writing."""
        return self._room is not None

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
        self._taking: dict[AttemptLog, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._hastened: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def open(self, run_key: int, attempt: int) -> AttemptLog:
        return AttemptLog(self, run_key, attempt)

    def add(self, log: AttemptLog, at: int, stream: str, head: list[str], last: list[str]) -> None:
        """Take clean lines of an attempt: those that stay, and those that stay until others come after them."""
        self._lines += [(log.run_key, log.attempt, at, stream, line) for line in head]
        if last:
            log.waiting.extend((at, stream, line) for line in last)
            self._tails[log] = None
        self._taking[log] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    def clean(self, text: str) -> str:
        """Return text that can be stored, without secrets."""
        # Surrogates and NULs cannot be stored as text; the rest is neutralised where it is shown.
        return self._mask(text).replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")

    async def _flush_soon(self) -> None:
        while self.waits:
            await self.clock.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except VictorError:
                # The store says so itself on the next transition; log lines stay for a later try.
                return

    def hasten(self) -> None:
        """Write now: somebody waits for room."""
        if self._hastened is None or self._hastened.done():
            self._hastened = asyncio.get_running_loop().create_task(self._make_room())

    async def _make_room(self) -> None:
        while any(log.full for log in self._taking):
            try:
                await self.flush()
            except FencedError:
                return
            except VictorError:
                await self.clock.sleep(FLUSH_SECONDS)

    async def close(self) -> None:
        """Write what waits, if the store takes it, and stop."""
        await self.settle()
        tasks = [task for task in (self._task, self._hastened) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def waits(self) -> bool:
        """Whether a line has not been given to the store yet."""
        return bool(self._lines or self._tails)

    async def settle(self) -> None:
        """Write what waits, if the store takes it; else it stays for a later try."""
        if self.waits:
            with contextlib.suppress(VictorError):
                await self.flush()

    async def flush(self) -> None:
        """Write every line that waits now; they stay in memory if the store cannot take them."""
        async with self._writing:
            taken = {log: log.taken for log in self._taking}
            self._taking = {}
            try:
                await self._write_lines(len(self._lines))
                if self._tails:
                    await self._write_tails()
            except BaseException:
                self._taking = dict.fromkeys([*taken, *self._taking])
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

    async def _write_tails(self) -> None:
        tails = [(log, log.tail, list(log.waiting), log.cut) for log in self._tails]
        self._tails = {}
        for log, *_ in tails:
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


def _write_tail(tx: Tx, log: AttemptLog, tail: Tail, new: list[Line], cut: int) -> Tail:
    """Add to the last lines of an attempt, delete what falls out of them, and say how much that was."""
    run, attempt = log.run_key, log.attempt
    if cut:
        tail = _mark_cut(tx, log, tail, new, cut)
    rows = [(run, attempt, *line) for line in new]
    if tail.start is None and rows:
        tail = replace(tail, start=logs.add_one(tx, rows.pop(0)))
    logs.add(tx, rows)
    return tail


def _mark_cut(tx: Tx, log: AttemptLog, tail: Tail, new: list[Line], cut: int) -> Tail:
    """Make room for new lines at the end, and say in the first place how many were cut."""
    run, attempt = log.run_key, log.attempt
    stored = [] if tail.start is None else logs.since(tx, run, attempt, tail.start)
    if tail.marker in stored:
        stored.remove(tail.marker)
    fallen = stored[: max(0, len(stored) + len(new) - TAIL_LINES)]
    at = new[0][0] if new else tx.now_us
    # The first line that falls out makes room for the one that says so.
    marker = fallen.pop(0) if tail.marker is None and fallen else tail.marker
    if marker is None:
        marker = logs.add_one(tx, (run, attempt, at, "engine", _cut_text(cut)))
        return Tail(marker if tail.start is None else tail.start, marker)
    logs.delete(tx, run, fallen)
    logs.replace(tx, run, marker, at, "engine", _cut_text(cut))
    return replace(tail, marker=marker)


def _cut_text(lines: int) -> str:
    return f"… {lines} lines were cut here …"


__all__ = ["HEAD_CHARS", "MAX_LINE", "TAIL_LINES", "AttemptLog", "Logbook"]
