"""The server of an engine: the port on a Unix socket, for other processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.api import Actor, EventInfo, Port
from victor_engine.api.port import methods as port_methods
from victor_engine.clock import Clock, SystemClock
from victor_engine.errors import ConfigError, PermissionDeniedError, UsageError, VictorError
from victor_engine.service import protocol
from victor_engine.service.guard import Gate, OwnerOnly
from victor_engine.service.identity import (
    ActorFactory,
    Claims,
    Peer,
    current_actor,
    group_name,
    peer_actor,
    peer_of,
    user_name,
)
from victor_engine.service.paths import make_socket_directory

log = logging.getLogger(__name__)

IN_FLIGHT = 256
"""Maximum concurrent requests of one connection; further requests wait in the socket."""

GREETING_SECONDS = 10.0
"""Maximum seconds until the hello message of a client."""

CONNECTIONS_PER_USER = 100
"""Maximum open connections of one user, so that no user can take the connections of the others."""

_BATCH = 100
"""Maximum events in one write, after which the server waits until the socket accepts more."""


class PortServer:
    """The server of `port` on a Unix socket at `path`. Start it only while the engine holds its lock."""

    def __init__(
        self,
        port: Port,
        path: Path,
        clock: Clock | None = None,
        actor_factory: ActorFactory = peer_actor,
        *,
        gate: Gate | None = None,
        product: str = "",
        mode: int = 0o600,
        group: int | None = None,
        per_user: int = CONNECTIONS_PER_USER,
    ) -> None:
        self.port = port
        self.path = path
        self.clock: Clock = clock or SystemClock()
        self.actor_factory = actor_factory
        self.gate: Gate = gate or OwnerOnly(port)
        self.product = product
        self.mode = mode
        self.group = group
        self.per_user = per_user
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}

    @property
    def connections(self) -> int:
        """Return the number of attached clients."""
        return len(self._connections)

    async def start(self) -> None:
        """Create the socket with its permissions and serve. A stale socket is replaced.

        Raise UsageError if another kind of file has the path of the socket, and ConfigError if the socket cannot
        be given to its group.
        """
        make_socket_directory(self.path)
        if self.path.exists() and not stat.S_ISSOCK(self.path.lstat().st_mode):
            raise UsageError(
                f"{self.path}: the engine needs this path for its socket, but it is another file; move it away"
            )
        # Bind it under another name first, so that it never has open permissions under its own name.
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(fresh))
            self._set_permissions(fresh)  # before it listens, so that no other user can connect
            self._server = await asyncio.start_unix_server(
                self._connected, sock=bound, limit=protocol.MAX_MESSAGE
            )
        except BaseException:
            bound.close()
            raise
        self._inode = fresh.stat().st_ino
        fresh.rename(self.path)

    async def move(self, path: Path, mode: int, group: int | None) -> None:
        """Listen on another path or with other permissions. Open connections stay.

        If that raises an error, the server keeps its socket.
        """
        old = (self._server, self.path, self.mode, self.group, self._inode)
        self.path, self.mode, self.group = path, mode, group
        try:
            await self.start()
        except BaseException:
            self._server, self.path, self.mode, self.group, self._inode = old
            raise
        server, old_path, _, _, inode = old
        if server is not None:
            server.close()
        _remove(old_path, inode)

    def _set_permissions(self, fresh: Path) -> None:
        if self.group is not None:
            try:
                os.chown(fresh, -1, self.group)
            except OSError as error:
                me, name = user_name(os.geteuid()), group_name(self.group)
                raise ConfigError(
                    f"socket.group: cannot give {self.path} to the group {name}: {error.strerror}; add {me} to the "
                    f"group {name}, or choose a group of {me}"
                ) from error
        fresh.chmod(self.mode)

    async def close(self) -> None:
        """Stop listening, close every connection, and remove the socket unless another engine replaced it."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        _remove(self.path, self._inode)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        connection = Connection(self, reader, writer, peer)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(self._disconnected)

    async def refusal(self, peer: Peer) -> VictorError | None:
        """Return why a new connection is refused; None if it is accepted. It is among the connections already."""
        if sum(each.peer.uid == peer.uid for each in self._connections.values()) > self.per_user:
            return PermissionDeniedError(
                f"permission denied: {user_name(peer.uid)} has {self.per_user} connections to this engine, which is "
                "the maximum for one user; close a console or a program that uses it"
            )
        if not await self.gate.may_connect(peer):
            me, owner = user_name(peer.uid), user_name(os.geteuid())
            return PermissionDeniedError(
                f"permission denied: {me} cannot use the engine of {owner}, ask {owner} for a role: `permissions` in "
                "the scheduler.yaml of the engine"
            )
        return None

    def _disconnected(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection failed", exc_info=error)


def _remove(path: Path, inode: int | None) -> None:
    """Remove a socket unless another one has its path."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


class Connection:
    """The connection of one client: its identity, its requests and its subscriptions."""

    def __init__(
        self,
        server: PortServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
    ) -> None:
        self.server = server
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.actor: Actor | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def serve(self) -> None:
        try:
            if await self._greet():
                await self._read_requests()
        except (ConnectionError, TimeoutError):
            pass  # the client disconnected, or did not send its hello message
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.writer.close()

    async def _greet(self) -> bool:
        """Exchange hello messages; return whether the client is permitted and compatible."""
        refusal = await self.server.refusal(self.peer)
        if refusal is not None:
            await self._refuse(refusal)
            return False
        hello = protocol.Hello(protocol=protocol.PROTOCOL, product=self.server.product, pid=os.getpid())
        await self._send(protocol.line({"hello": hello}))
        async with asyncio.timeout(GREETING_SECONDS):
            text = await self._line()
        if text is None:
            return False
        try:
            theirs = protocol.decode_client(text).hello
        except (msgspec.DecodeError, RecursionError) as error:
            await self._refuse(UsageError(f"the first message must be a hello message: {error}"))
            return False
        if theirs is None or theirs.protocol != protocol.PROTOCOL:
            version = "none" if theirs is None else f"version {theirs.protocol}"
            await self._refuse(
                UsageError(
                    f"this engine uses version {protocol.PROTOCOL} of the protocol, the client {version}; "
                    "use the client that was installed with the engine, or restart the engine"
                )
            )
            return False
        self.actor = self.server.actor_factory(self.peer, theirs.claims or Claims())
        return True

    async def _read_requests(self) -> None:
        while (text := await self._line()) is not None:
            try:
                message = protocol.decode_client(text)
            except (msgspec.DecodeError, RecursionError) as error:
                await self._refuse(UsageError(f"invalid message: {error}"))
                return
            if message.cancel is not None:
                if task := self._tasks.get(message.cancel):
                    task.cancel()
            elif message.id is None or message.id in self._tasks:
                await self._refuse(UsageError("a request needs a unique id"))
                return
            else:
                await self._slots.acquire()
                self._begin(message.id, message)

    def _begin(self, request: int, message: protocol.FromClient) -> None:
        work = self._stream if message.method == "subscribe" else self._answer
        task = asyncio.get_running_loop().create_task(work(request, message))
        self._tasks[request] = task

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.pop(request, None)
            self._slots.release()
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, ConnectionError):
                log.error("request %s failed", message.method, exc_info=error)

        task.add_done_callback(done)

    async def _answer(self, request: int, message: protocol.FromClient) -> None:
        try:
            text = protocol.result_line(request, await self._call(message))
            if len(text) > protocol.MAX_MESSAGE:
                raise UsageError(f"{message.method}: the response is larger than 64 MB; use a smaller limit")
        except Exception as error:
            text = protocol.error_line(request, _wire(error, message.method))
        await self._send(text)

    async def _call(self, message: protocol.FromClient) -> Any:
        method = protocol.methods().get(message.method)
        if method is None:
            raise UsageError(f"the port has no method {message.method!r}")
        try:
            given = protocol.arguments(method, message.params)
        except msgspec.DecodeError as error:
            raise UsageError(f"{message.method}: {error}") from error
        # Each request has its own task, so the context variable applies to this request only.
        assert self.actor is not None
        current_actor.set(self.actor)
        return await self.server.gate.call(self.actor, port_methods()[method.name], given)

    # --- subscriptions ---------------------------------------------------------------------

    async def _stream(self, request: int, message: protocol.FromClient) -> None:
        """Send events through a bounded queue. A subscriber that is too slow gets a gap."""
        try:
            given = protocol.arguments(protocol.subscription(), message.params)
        except msgspec.DecodeError as error:
            await self._send(protocol.error_line(request, UsageError(f"subscribe: {error}").to_wire()))
            return
        assert self.actor is not None
        actor = self.actor
        waiting: deque[EventInfo] = deque()
        arrived = asyncio.Event()
        ending: dict[str, Any] = {}

        async def pump() -> None:
            feed = self.server.gate.subscribe(actor, **given)
            try:
                async for event in feed:
                    if len(waiting) >= protocol.QUEUED_EVENTS:
                        break
                    waiting.append(event)
                    arrived.set()
                ending["gap"] = True
            except Exception as error:
                ending["error"] = _wire(error, "subscribe")
            finally:
                if isinstance(feed, AsyncGenerator):
                    await feed.aclose()
            arrived.set()

        async def watch() -> None:
            try:
                error = await self.server.gate.changed(actor)
                found = {"error": error.to_wire()} if error is not None else {"gap": True}
            except Exception as problem:
                found = {"error": _wire(problem, "subscribe")}
            pumping.cancel()
            waiting.clear()
            ending.update(found)
            arrived.set()

        loop = asyncio.get_running_loop()
        pumping, watching = loop.create_task(pump()), loop.create_task(watch())
        try:
            await self._send(protocol.result_line(request, None))
            while waiting or not ending:
                if not waiting:
                    arrived.clear()
                    await arrived.wait()
                    continue
                batch = [waiting.popleft() for _ in range(min(len(waiting), _BATCH))]
                await self._send(b"".join(protocol.line({"sub": request, "event": e}) for e in batch))
            await self._send(protocol.line({"sub": request, **ending}))
        finally:
            pumping.cancel()
            watching.cancel()
            await asyncio.gather(pumping, watching, return_exceptions=True)

    # --- the wire --------------------------------------------------------------------------

    async def _line(self) -> bytes | None:
        try:
            text = await self.reader.readline()
        except ValueError:
            await self._refuse(UsageError("a message is larger than 64 MB"))
            return None
        return text if text.endswith(b"\n") else None

    async def _send(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def _refuse(self, error: VictorError) -> None:
        """Send an error before the connection is closed."""
        with contextlib.suppress(ConnectionError):
            await self._send(protocol.line({"error": error.to_wire()}))


def _wire(error: Exception, method: str) -> dict[str, Any]:
    if isinstance(error, VictorError):
        return error.to_wire()
    log.error("%s failed", method, exc_info=error)
    return VictorError(f"{method}: internal error: {type(error).__name__}: {error}").to_wire()
