"""A connection to an engine over its socket: requests, responses, and the feed of events."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from pathlib import Path
from typing import Any, Self

import msgspec

from victor_engine.api import (
    EventInfo,
)
from victor_engine.errors import EngineUnavailableError, PermissionDeniedError, UsageError, VictorError
from victor_engine.identity import local_actor, remote_address, user_name
from victor_engine.service import protocol
from victor_engine.service.identity import Claims, peer_of

GREETING_SECONDS = 10.0
"""Maximum seconds until the hello message of the engine."""


ANSWER_SECONDS = 60.0
"""Seconds without any message from the engine after which a call fails. An engine that is alive answers `whoami`."""

_PROBE = "whoami"
"""The call that an engine answers at once, also while it works on another call."""

NOTE_SECONDS = 5.0
"""Seconds after which a call that waits for its answer is announced."""


class Pending(msgspec.Struct):
    """A call that waits for its answer."""

    method: str
    future: asyncio.Future[msgspec.Raw]
    since: float
    announced: bool = False


class Connection:
    """The client side of the protocol. A lost connection raises EngineUnavailableError in every open call."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
        self._reader = reader
        self._writer = writer
        self._path = path
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._heard = 0.0
        self.announce: Callable[[str], None] = lambda text: None
        """Called with the text of a call that waits longer than `NOTE_SECONDS`."""
        self.on_silence: Callable[[str], None] = lambda text: None
        """Called about once a second with a text while the engine does not answer, then with an empty text."""
        self._silent = False
        self._streams: dict[int, asyncio.Queue[protocol.FromServer | None]] = {}
        self._lost: str | None = None
        self.accepts_tokens = False
        """Whether the engine accepts calls of this user on behalf of tokens."""
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.reopen: Callable[[], Awaitable[Any]] = self._connect_again
        """Returns a new connection to the engine, or None if no engine runs."""
        self._options: dict[str, Any] = {}

    @classmethod
    async def connect(
        cls,
        path: Path,
        via: str = "api",
        *,
        trusted: Set[int] | None = None,
        on_behalf: protocol.OnBehalf | None = None,
    ) -> Self:
        """Connect and exchange hello messages. `via` is `console`, `cli` or `api`.

        `on_behalf` is the token for which all calls of this connection are made. Raise PermissionDeniedError if the
        engine does not accept calls of this user on behalf of tokens.

        `trusted` are the user ids that the engine may have in addition to root; by default, only the user of this
        process. Raise PermissionDeniedError if another user listens, or if the socket does not accept this user;
        EngineUnavailableError if no process listens (with `stale` in the details), or if it uses another version
        of the protocol. `closed` in the details says that the permissions of the socket do not admit this user,
        `blocked` that the engine sent nothing in time.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=protocol.MAX_MESSAGE)
        except OSError as error:
            raise _unreachable(path, error) from error
        client = cls(reader, writer, path)
        client._options = {"via": via, "trusted": trusted, "on_behalf": on_behalf}
        if via == "cli":
            client.announce = _print_note
        try:
            _check_listener(path, writer, {os.geteuid()} if trusted is None else trusted)
            note = asyncio.get_running_loop().call_later(
                NOTE_SECONDS, client.announce, f"waiting for the engine at {path} to accept the connection"
            )
            try:
                async with asyncio.timeout(GREETING_SECONDS):
                    await client._greet(via, on_behalf)
            finally:
                note.cancel()
        except TimeoutError:
            writer.close()
            raise EngineUnavailableError(
                f"{path}: the engine did not respond within {GREETING_SECONDS:g} seconds", blocked=True
            ) from None
        except BaseException:
            writer.close()
            raise
        client._task = asyncio.create_task(client._read(), name="victor-client")
        client._watcher = asyncio.create_task(client._watch(), name="victor-client-watch")
        return client

    async def _connect_again(self) -> Self:
        return await type(self).connect(self._path, **self._options)

    async def _greet(self, via: str, on_behalf: protocol.OnBehalf | None) -> None:
        message = await self._message()
        if message is None:
            raise EngineUnavailableError(f"{self._path}: the engine closed the connection")
        if message.error is not None:
            raise VictorError.from_wire(message.error)
        if message.hello is None or message.hello.protocol != protocol.PROTOCOL:
            theirs = message.hello.protocol if message.hello is not None else "?"
            raise EngineUnavailableError(
                f"the engine uses version {theirs} of the protocol, this client version {protocol.PROTOCOL}; use the "
                "client that was installed with the engine, or restart the engine"
            )
        me = local_actor(via)
        self.accepts_tokens = message.hello.tokens
        if on_behalf is not None and not self.accepts_tokens:
            raise PermissionDeniedError(protocol.not_a_proxy(me.user))
        claims = Claims(via=via, tty=me.tty, remote=remote_address())
        hello = protocol.Hello(protocol=protocol.PROTOCOL, claims=claims, on_behalf=on_behalf)
        self._writer.write(protocol.line({"hello": hello}))
        await self._writer.drain()

    async def _message(self) -> protocol.FromServer | None:
        try:
            text = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not text.endswith(b"\n"):
            return None
        return protocol.decode_server(text)

    async def _read(self) -> None:
        try:
            while (message := await self._message()) is not None:
                self._heard = asyncio.get_running_loop().time()
                self._deliver(message)
        except msgspec.DecodeError as error:
            self._lost = f"{self._path}: the engine sent an invalid message: {error}"
        finally:
            self._lose(self._lost or "the engine closed the connection")

    def _deliver(self, message: protocol.FromServer) -> None:
        if message.sub is not None:
            self._deliver_event(message.sub, message)
        elif message.id in self._streams:
            if message.error is not None:
                self._streams[message.id].put_nowait(message)
        elif message.id is not None:
            pending = self._pending.pop(message.id, None)
            if pending is not None and not pending.future.done():
                if message.error is not None:
                    pending.future.set_exception(VictorError.from_wire(message.error))
                else:
                    pending.future.set_result(message.result)
        elif message.error is not None:
            self._lose(str(message.error.get("message", "the engine refused the connection")))

    def _deliver_event(self, number: int, message: protocol.FromServer) -> None:
        queue = self._streams.get(number)
        if queue is None:
            return
        if message.event is None or queue.qsize() < protocol.QUEUED_EVENTS:
            queue.put_nowait(message)
            return
        # The subscriber is too slow. It reads the remaining events from the store.
        del self._streams[number]
        queue.put_nowait(protocol.FromServer(sub=number, gap=True))
        self._writer.write(protocol.line({"cancel": number}))

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(EngineUnavailableError(self._lost))
                pending.future.exception()
        self._pending.clear()
        for queue in self._streams.values():
            queue.put_nowait(None)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._lost is not None:
            raise EngineUnavailableError(self._lost)
        name = message["method"]
        try:
            text = protocol.line(message)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: cannot be sent: {error}") from error
        if len(text) > protocol.MAX_REQUEST:
            raise UsageError(
                f"{name}: the request is larger than {protocol.MAX_REQUEST // (1024 * 1024)} MB; put large values into "
                "a file and send its path"
            )
        self._writer.write(text)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            self._lose("the engine closed the connection")
            raise EngineUnavailableError(self._lost or "the engine closed the connection") from error

    async def _request(self, method: str, params: dict[str, Any]) -> tuple[int, msgspec.Raw]:
        number = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._pending[number] = Pending(method, future, asyncio.get_running_loop().time())
        try:
            await self._send({"id": number, "method": method, "params": params})
            return number, await future
        except asyncio.CancelledError:
            if self._lost is None:
                self._writer.write(protocol.line({"cancel": number}))
            raise
        finally:
            self._pending.pop(number, None)

    async def _watch(self) -> None:
        """Announce calls that wait long, and end the connection to an engine that does not answer at all."""
        clock = asyncio.get_running_loop().time
        while self._lost is None:
            await asyncio.sleep(min(1.0, NOTE_SECONDS))
            now = clock()
            late = [each for each in self._pending.values() if now - each.since >= NOTE_SECONDS]
            silent = now - max(self._heard, late[0].since) if late else 0.0
            self._report_silence(silent, late)
            if not late:
                continue
            if silent >= ANSWER_SECONDS:
                self._lose(
                    f"{self._path}: the engine did not answer {late[0].method} and sent nothing for {silent:.0f} seconds; "
                    "it is blocked or stopped. Its log shows where; end it with SIGKILL if it does not continue"
                )
                self._writer.transport.abort()
                return
            for each in late:
                if not each.announced:
                    each.announced = True
                    self.announce(f"waiting for the answer of the engine to {each.method}")
            if silent >= NOTE_SECONDS and all(each.method != _PROBE for each in self._pending.values()):
                number = next(self._ids)
                future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
                self._pending[number] = Pending(_PROBE, future, now, announced=True)
                self._writer.write(protocol.line({"id": number, "method": _PROBE, "params": {}}))

    @property
    def lost(self) -> bool:
        """Return whether the connection has ended."""
        return self._lost is not None

    async def call_raw(self, name: str, params: dict[str, Any]) -> bytes:
        """Send a call of a method of the port, and return its result as JSON."""
        _, raw = await self._request(name, params)
        return bytes(raw)

    def _report_silence(self, silent: float, late: list[Pending]) -> None:
        if silent >= NOTE_SECONDS:
            self._silent = True
            self.on_silence(f"the engine has not answered for {silent:.0f} seconds ({late[0].method})")
        elif self._silent:
            self._silent = False
            self.on_silence("")

    async def call(self, name: str, params: dict[str, Any]) -> Any:
        """Send a call of a method of the port, and return its result."""
        raw = msgspec.Raw(await self.call_raw(name, params))
        try:
            return protocol.result(protocol.methods()[name], raw)
        except msgspec.DecodeError as error:
            raise UsageError(f"{name}: the response of the engine cannot be decoded: {error}") from error

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield the events with a sequence number above `after`, without gaps.

        Raise EngineUnavailableError if the connection is lost.
        """
        last = after
        while True:
            number = next(self._ids)
            queue: asyncio.Queue[protocol.FromServer | None] = asyncio.Queue()
            self._streams[number] = queue
            try:
                await self._send({"id": number, "method": "subscribe", "params": {"after": last}})
                while True:
                    message = await queue.get()
                    if message is None:
                        raise EngineUnavailableError(self._lost or "the engine closed the connection")
                    if message.error is not None:
                        raise VictorError.from_wire(message.error)
                    if message.event is None:
                        break
                    last = message.event.seq
                    yield message.event
            finally:
                self._streams.pop(number, None)
                if self._lost is None:
                    self._writer.write(protocol.line({"cancel": number}))

    async def close(self) -> None:
        self._lost = self._lost or "the connection is closed"
        self._writer.close()
        tasks = [task for task in (self._task, self._watcher) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._writer.wait_closed()
        except (ConnectionError, OSError):
            return


def _print_note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _unreachable(path: Path, error: OSError) -> VictorError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionDeniedError(
            f"permission denied: {user_name(os.geteuid())} cannot connect to the engine at {path}, ask its owner "
            "for a role: `permissions` in the scheduler.yaml of the engine",
            closed=True,
        )
    stale = error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
    return EngineUnavailableError(
        f"{path}: cannot connect to the engine: {error.strerror or error}",
        **({"stale": True} if stale else {}),
    )


def _check_listener(path: Path, writer: asyncio.StreamWriter, trusted: Set[int]) -> None:
    """Raise PermissionDeniedError unless root or a trusted user listens. The kernel reports the user."""
    peer = peer_of(writer.get_extra_info("socket"))
    if peer.uid == 0 or peer.uid in trusted:
        return
    names = " or ".join(user_name(uid) for uid in sorted({0, *trusted}))
    raise PermissionDeniedError(
        f"{path}: process {peer.pid} of {user_name(peer.uid)} listens there instead of an engine of {names}; nothing "
        "was sent to it. Ask root to remove the file"
    )
