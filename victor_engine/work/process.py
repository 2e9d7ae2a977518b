"""Child processes: recorded before they begin, and ended with all processes that they started.

A child is the leader of its own session and process group. Its identity is pid, process group
and start time (clock ticks since boot, `/proc/PID/stat` field 22), so that a recycled pid is not mistaken
for it after a crash. The kernel kills it when the engine dies. A program that moves
itself into its own session (`setsid`, a daemon) leaves the group and is not ended.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from victor_engine.work.isolation import ends_with_engine

_GATE = 'read -r _ || exit 125; exec "$@"'
"""The child waits for a line on standard input and then becomes the command. If its engine dies before it
writes the line, the child reads the end of the pipe and exits. `read` takes no byte after the line, so
the rest is the input of the command; `exec` keeps pid and start time."""

_FIRST_POLL, _LAST_POLL = 0.01, 0.2
_WRITE = 65536
_READ = 16384
"""Bytes in one read: many short lines in them block the loop for a few milliseconds."""

Sink = Callable[[bytes], asyncio.Future[None] | None]
"""Receives the output of a child. If it returns a future, the pipe is not read again until that is done."""


_DESCRIPTORS = 4
"""File descriptors of the engine for each child: three pipes and a handle on the process."""

_RESERVED = 64
"""Minimum number of file descriptors for everything else; a quarter of all if that is more."""

_process_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def process_slots() -> asyncio.Semaphore:
    """Return the semaphore to hold while a child lives. It has as many slots as the limit of open files allows.

    Children wait for a slot in the order of their requests.
    """
    loop = asyncio.get_running_loop()
    found = _process_slots.get(loop)
    if found is None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            files = 1 << 20
        slots = (files - max(_RESERVED, files // 4)) // _DESCRIPTORS
        found = _process_slots[loop] = asyncio.Semaphore(max(1, slots))
    return found


@dataclass(frozen=True, slots=True)
class ProcStat:
    pid: int
    state: str
    pgid: int
    session: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


def read_stat(pid: int) -> ProcStat | None:
    """Return the content of `/proc/PID/stat`, or None if the process does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name of the command is in parentheses and may itself contain spaces and parentheses
    rest = data[data.rindex(b")") + 2 :].split()
    return ProcStat(pid, rest[0].decode(), int(rest[2]), int(rest[3]), int(rest[19]))


def start_ticks(pid: int) -> int:
    """Return the start of the process in clock ticks since boot. Raise ProcessLookupError."""
    stat = read_stat(pid)
    if stat is None:
        raise ProcessLookupError(f"process {pid} does not exist")
    return stat.start_ticks


def group_members(pgid: int, since_ticks: int) -> list[ProcStat]:
    """Return the live processes of the group and session that `pgid` has led since `since_ticks`.

    The leader itself may be dead. If the id now belongs to a later leader, the group is
    unrelated, and the list is empty.
    """
    leader = read_stat(pgid)
    if leader is not None and leader.start_ticks != since_ticks:
        return []
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = read_stat(int(name))
        # a shell with job control creates further groups, so the session counts, not only the group
        if stat and stat.alive and stat.session == pgid and stat.start_ticks >= since_ticks:
            found.append(stat)
    return found


def signal_group(pgid: int, since_ticks: int, number: int) -> list[int]:
    """Send a signal to the live processes of the group and its session. Return their pids."""
    members = group_members(pgid, since_ticks)
    if any(member.pgid == pgid for member in members):
        # one call for the whole group: a program that forks all the time cannot escape it
        _send(os.killpg, pgid, number)
    for member in members:
        if member.pgid != pgid:
            _send(os.kill, member.pid, number)
    return [member.pid for member in members]


def _send(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except ProcessLookupError:
        return  # it ended by itself


async def end_group(pgid: int, since_ticks: int, grace: float) -> list[int]:
    """Send SIGTERM to the group, and SIGKILL to the rest after `grace` seconds. Return all signalled pids.

    Return when none of them lives.
    """
    hit = dict.fromkeys(signal_group(pgid, since_ticks, signal.SIGTERM))
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + grace, _FIRST_POLL
    while hit and group_members(pgid, since_ticks) and (left := until - loop.time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_POLL)  # each poll reads all of /proc
    while killed := signal_group(pgid, since_ticks, signal.SIGKILL):
        hit.update(dict.fromkeys(killed))
        await asyncio.sleep(_FIRST_POLL)
    return list(hit)


@dataclass(frozen=True, slots=True)
class EndedGroup:
    """The result of `end_process_group`.

    `found` is `leader` (it was still running), `members` (only its children were still running), `recycled`
    (the id belongs to another process now, which was not touched) or `gone`.
    """

    found: str
    pids: tuple[int, ...] = ()


async def end_process_group(pid: int, pgid: int, since_ticks: int, *, grace: float = 5.0) -> EndedGroup:
    """End the processes that a crashed engine left running, and wait until they are gone."""
    leader = read_stat(pid)
    if leader is not None and leader.start_ticks != since_ticks:
        return EndedGroup("recycled")
    found = "leader" if leader is not None and leader.alive else "members"
    pids = await end_group(pgid, since_ticks, grace)
    return EndedGroup(found, tuple(pids)) if pids else EndedGroup("gone")


class Child:
    """A started program with its pipes, on the running loop. `release` lets it begin.

    `on_stdout` and `on_stderr` get bytes as they come, see `Sink`. `wait` returns the exit status when the
    leader is dead, even if other processes hold its pipes; `finish` then ends these and closes the pipes.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_stdout: Sink,
        on_stderr: Sink,
        gated: bool = True,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Before the gate: an engine that dies before this takes effect never opens the gate.
        words = ["/bin/sh", "-c", _GATE, "victor", *argv] if gated else list(argv)
        words = [*ends_with_engine(), *words]
        self._popen = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._popen.pid
        self.pgid = self.pid
        self.start_ticks = start_ticks(self.pid)  # not reaped yet, so it exists even if it died immediately
        self._pidfd = os.pidfd_open(self.pid)
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._readers: dict[int, Sink] = {}
        self._unbounded = False
        self._drained = asyncio.Event()
        self._to_write: deque[memoryview] = deque()
        self._close_after_write = False
        self._loop.add_reader(self._pidfd, self._on_exit)
        stdin, stdout, stderr = self._popen.stdin, self._popen.stdout, self._popen.stderr
        if stdin is None or stdout is None or stderr is None:
            raise ProcessLookupError("the child has no pipes")
        self._stdin = stdin.fileno()
        for pipe, sink in ((stdout, on_stdout), (stderr, on_stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._readers[pipe.fileno()] = sink
            self._loop.add_reader(pipe.fileno(), self._on_readable, pipe.fileno())
        os.set_blocking(self._stdin, False)

    def release(self, data: bytes) -> None:
        """Let the command begin, with `data` as its whole standard input."""
        self.write(b"\n" + data, close=True)

    def write(self, data: bytes, *, close: bool = False) -> None:
        """Queue bytes for standard input. It is not an error if the child does not read them."""
        self._to_write.append(memoryview(data))
        self._close_after_write = close
        self._on_writable()

    async def wait(self) -> int:
        """Return the exit status as `subprocess` does (negative is a signal). May be called again."""
        return await asyncio.shield(self._exited)

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    async def end(self, grace: float) -> list[int]:
        """End the whole group, reap the leader, close the pipes, even if this task is cancelled again.

        A second cancellation skips the rest of the grace period. In any case the processes are gone
        when this returns or raises.
        """
        return await _uninterrupted(self._end(grace), self.kill)

    async def finish(self, grace: float) -> list[int]:
        """After `wait`: end the remaining processes of the group, read the rest of the output, close the pipes."""
        return await _uninterrupted(self._end(grace), self.kill)

    def kill(self) -> None:
        """Send SIGKILL to the whole group. `wait` and `finish` must still follow."""
        signal_group(self.pgid, self.start_ticks, signal.SIGKILL)

    async def _end(self, grace: float) -> list[int]:
        try:
            hit: list[int] = []
            if not self._exited.done() or self._group_exists():
                hit = await end_group(self.pgid, self.start_ticks, grace)
            await self.wait()
            if self._readers:
                # all writers are dead, unless one left the session: the pipe holds all that remains
                self._unbounded = True
                for fd in self._readers:
                    self._read_on(fd)
                try:
                    await asyncio.wait_for(self._drained.wait(), 0.5)
                except TimeoutError:
                    hit.append(0)
            return [pid for pid in hit if pid]
        finally:
            self.close()

    def _group_exists(self) -> bool:
        try:
            os.killpg(self.pgid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def has_other_processes(self) -> bool:
        """Return whether other processes than the leader live in its session."""
        return any(member.pid != self.pid for member in group_members(self.pgid, self.start_ticks))

    def close(self) -> None:
        """Close the pipes. The process is not touched."""
        for fd in list(self._readers):
            self._loop.remove_reader(fd)
        self._readers.clear()
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._loop.remove_writer(self._stdin)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _on_exit(self) -> None:
        status = self._popen.poll()
        if status is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._exited.done():
            self._exited.set_result(status)

    def _on_readable(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return
        if data:
            room = self._readers[fd](data)
            if room is not None and not room.done() and not self._unbounded:
                self._loop.remove_reader(fd)
                room.add_done_callback(lambda _: self._read_on(fd))
            return
        self._loop.remove_reader(fd)
        del self._readers[fd]
        if not self._readers:
            self._drained.set()

    def _read_on(self, fd: int) -> None:
        if fd in self._readers:
            self._loop.add_reader(fd, self._on_readable, fd)

    def _on_writable(self) -> None:
        stdin = self._popen.stdin
        if stdin is None or stdin.closed:
            return
        try:
            while self._to_write:
                part = self._to_write[0]
                sent = os.write(self._stdin, part[:_WRITE])
                if sent < len(part):
                    self._to_write[0] = part[sent:]
                else:
                    self._to_write.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._stdin, self._on_writable)
            return
        except BrokenPipeError:
            self._to_write.clear()
            self._close_after_write = True
        self._loop.remove_writer(self._stdin)
        if self._close_after_write:
            stdin.close()


async def _uninterrupted(work: Coroutine[Any, Any, list[int]], on_cancel: Callable[[], None]) -> list[int]:
    """Await `work` to its end even if this task is cancelled; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
            on_cancel()
    if cancelled is not None:
        raise cancelled
    return task.result()
