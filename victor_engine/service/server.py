"""The server of an engine: the port on a Unix socket, for other processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from victor_engine.api import Port
from victor_engine.clock import Clock, SystemClock
from victor_engine.errors import ConfigError, PermissionDeniedError, UsageError, VictorError
from victor_engine.service import frames, free_memory
from victor_engine.service.guard import Gate, OwnerOnly
from victor_engine.service.identity import ActorFactory, Peer, group_name, peer_actor, peer_of, user_name
from victor_engine.service.limits import CONNECTIONS_PER_USER, USER, Account
from victor_engine.service.paths import make_socket_directory
from victor_engine.service.served_connection import Connection

log = logging.getLogger(__name__)

GIVE_BACK_AFTER = 5.0
"""Seconds from the end of a connection until the engine gives free memory back."""


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
        self.on_call: Callable[[float], None] = lambda seconds: None
        """Called with the seconds from each request to its answer."""
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._giving_back: asyncio.TimerHandle | None = None
        self._users: dict[int, Account] = {}

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
            self._server = await asyncio.start_unix_server(self._connected, sock=bound, limit=frames.CHUNK)
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
        if self._giving_back is not None:
            self._giving_back.cancel()
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        _remove(self.path, self._inode)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        user = self._users.get(peer.uid)
        if user is None:
            user = self._users[peer.uid] = Account(USER, user_name(peer.uid))
        connection = Connection(self, reader, writer, peer, user)
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

    def outgoing(self, uid: int) -> int:
        """Return the bytes that wait for the clients of a user."""
        return sum(each.outgoing for each in self._connections.values() if each.peer.uid == uid)

    def _disconnected(self, task: asyncio.Task[None]) -> None:
        uid = self._connections.pop(task).peer.uid
        if all(each.peer.uid != uid for each in self._connections.values()):
            self._users.pop(uid, None)
        if self._giving_back is None:
            self._giving_back = asyncio.get_running_loop().call_later(GIVE_BACK_AFTER, self._give_back)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection failed", exc_info=error)

    def _give_back(self) -> None:
        self._giving_back = None
        free_memory.give_back()


def _remove(path: Path, inode: int | None) -> None:
    """Remove a socket unless another one has its path."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()
