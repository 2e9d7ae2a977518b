"""Child processes: started only once they are on record, and ended with everything they started.

A child is the leader of a session and process group of its own. Its identity is pid, process group
and start time (clock ticks since boot, `/proc/PID/stat` field 22), so that after a crash a
recycled pid is never mistaken for it. The kernel kills it when its engine dies. A program that moves
itself into a session of its own (`setsid`, a daemon) leaves the group on purpose and is beyond this.
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
"""The child waits for a line on standard input and only then becomes the command. Where its engine
dies before the line is written it meets the end of the pipe and exits. `read` takes no byte past
the line, so the rest is the command's input; `exec` keeps pid and start time."""

_FIRST_POLL, _LAST_POLL = 0.01, 0.2
_WRITE = 65536
_READ = 16384
"""Bytes that are read at once: many short lines in them keep the loop for a few milliseconds."""

Sink = Callable[[bytes], asyncio.Future[None] | None]
"""Takes what a child has written. Where it returns a future, its pipe is not read again until that is done."""


_DESCRIPTORS = 4
"""Files that the engine holds open for each child: three pipes and a handle on the process."""

_RESERVED = 64
"""Files that are kept for everything else, at the least; a quarter of all where that is more."""

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def place_for_child() -> asyncio.Semaphore:
    """Hold this while a child lives: there are only as many places as this process may open files for.

    What finds no place waits for one, in the order of asking.
    """
    loop = asyncio.get_running_loop()
    found = _places.get(loop)
    if found is None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            files = 1 << 20
        places = (files - max(_RESERVED, files // 4)) // _DESCRIPTORS
        found = _places[loop] = asyncio.Semaphore(max(1, places))
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
    """What `/proc/PID/stat` says; None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the command's name stands in parentheses and may itself hold spaces and parentheses
    rest = data[data.rindex(b")") + 2 :].split()
    return ProcStat(pid, rest[0].decode(), int(rest[2]), int(rest[3]), int(rest[19]))


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot. Raises `ProcessLookupError`."""
    stat = read_stat(pid)
    if stat is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return stat.start_ticks


def group_members(pgid: int, since_ticks: int) -> list[ProcStat]:
    """Live processes of the group and session that `pgid` led from `since_ticks` on.

    The leader itself may be dead. Where the id now belongs to a younger leader the group is
    somebody else's, and nothing is returned.
    """
    leader = read_stat(pgid)
    if leader is not None and leader.start_ticks != since_ticks:
        return []
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = read_stat(int(name))
        # a shell with job control makes further groups, so the session counts, not the group alone
        if stat and stat.alive and stat.session == pgid and stat.start_ticks >= since_ticks:
            found.append(stat)
    return found


def signal_group(pgid: int, since_ticks: int, number: int) -> list[int]:
    """Send a signal to what lives of the group and its session; returns the pids."""
    members = group_members(pgid, since_ticks)
    if any(member.pgid == pgid for member in members):
        # one call for the whole group: a program that forks all the time cannot slip through it
        _send(os.killpg, pgid, number)
    for member in members:
        if member.pgid != pgid:
            _send(os.kill, member.pid, number)
    return [member.pid for member in members]


def _send(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except ProcessLookupError:
        return  # it ended by itself in between


async def end_group(pgid: int, since_ticks: int, grace: float) -> list[int]:
    """SIGTERM to the group, SIGKILL to what is left after `grace` seconds; returns all pids hit.

    Returns when none of them lives any more.
    """
    hit = dict.fromkeys(signal_group(pgid, since_ticks, signal.SIGTERM))
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + grace, _FIRST_POLL
    while hit and group_members(pgid, since_ticks) and (left := until - loop.time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_POLL)  # each look reads all of /proc
    while killed := signal_group(pgid, since_ticks, signal.SIGKILL):
        hit.update(dict.fromkeys(killed))
        await asyncio.sleep(_FIRST_POLL)
    return list(hit)


@dataclass(frozen=True, slots=True)
class EndedGroup:
    """What `end_process_group` found and did.

    `found` is `leader` (it still ran), `members` (only what it had started still ran), `recycled`
    (the id belongs to another process now, which was left alone) or `gone`.
    """

    found: str
    pids: tuple[int, ...] = ()


async def end_process_group(pid: int, pgid: int, since_ticks: int, *, grace: float = 5.0) -> EndedGroup:
    """End what a crashed engine left running; waits until it is gone. For recovery at start."""
    leader = read_stat(pid)
    if leader is not None and leader.start_ticks != since_ticks:
        return EndedGroup("recycled")
    found = "leader" if leader is not None and leader.alive else "members"
    pids = await end_group(pgid, since_ticks, grace)
    return EndedGroup(found, tuple(pids)) if pids else EndedGroup("gone")


class Child:
    """A started program with its pipes, on the running loop. `release` lets it begin.

    `on_stdout` and `on_stderr` get bytes as they come, see `Sink`. `wait` returns the exit status when the
    leader is dead, whoever still holds its pipes; `finish` then ends its leftovers and closes.
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
        self.start_ticks = start_ticks(self.pid)  # not reaped yet, so there even if it died at once
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
        """Queue bytes for standard input; a child that does not read them is no error."""
        self._to_write.append(memoryview(data))
        self._close_after_write = close
        self._on_writable()

    async def wait(self) -> int:
        """The exit status as `subprocess` gives it (negative is a signal); may be called again."""
        return await asyncio.shield(self._exited)

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    async def end(self, grace: float) -> list[int]:
        """End the whole group, reap the leader, close the pipes. Survives being cancelled again.

        A second cancellation skips the rest of the grace period; what was started is gone in any
        case when this returns or raises.
        """
        return await _uninterrupted(self._end(grace), self.kill)

    async def finish(self, grace: float) -> list[int]:
        """After `wait`: end what the command left behind, take the rest of its output, close."""
        return await _uninterrupted(self._end(grace), self.kill)

    def kill(self) -> None:
        """SIGKILL to the whole group, now; `wait` and `finish` still have to follow."""
        signal_group(self.pgid, self.start_ticks, signal.SIGKILL)

    async def _end(self, grace: float) -> list[int]:
        try:
            hit: list[int] = []
            if not self._exited.done() or self._group_exists():
                hit = await end_group(self.pgid, self.start_ticks, grace)
            await self.wait()
            if self._readers:
                # all writers are dead, unless one left the session: what is in the pipe is all there is
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

    def has_company(self) -> bool:
        """Whether anything beside the leader lives in its session."""
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


async def _uninterrupted(work: Coroutine[Any, Any, list[int]], hurry: Callable[[], None]) -> list[int]:
    """Await `work` to its end also if this task is cancelled meanwhile; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
            hurry()
    if cancelled is not None:
        raise cancelled
    return task.result()
