"""One connection of a client to the server: its identity, its requests and its subscriptions, within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from victor_engine.api import Actor
from victor_engine.api.port import methods as port_methods
from victor_engine.errors import PermissionDeniedError, UsageError, VictorError
from victor_engine.people.rights import current_grant
from victor_engine.service import frames, limits, protocol
from victor_engine.service.feed_queue import FeedQueue
from victor_engine.service.frames import BadFrameError, FrameReader
from victor_engine.service.guard import Gate
from victor_engine.service.identity import (
    ActorFactory,
    Claims,
    Peer,
    current_actor,
    token_actor,
    user_name,
)
from victor_engine.service.limits import CONNECTION, USER, Account

log = logging.getLogger(__name__)

_BATCH = 100
"""Maximum events in one write, after which the server waits until the socket accepts more."""


class Host(Protocol):
    """The part of a server that its connections use."""

    gate: Gate
    actor_factory: ActorFactory
    product: str
    on_call: Callable[[float], None]

    async def refusal(self, peer: Peer) -> VictorError | None:
        """Return why a new connection is refused."""
        ...

    def outgoing(self, uid: int) -> int:
        """Return the bytes that wait for the clients of a user."""
        ...


class Connection:
    """The connection of one client."""

    def __init__(
        self,
        server: Host,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        user: Account,
    ) -> None:
        self.server = server
        self.peer = peer
        self.writer = writer
        self.actor: Actor | None = None
        self._account = Account(CONNECTION, "this connection", user)
        self._frames = FrameReader(reader, self._account)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()

    @property
    def outgoing(self) -> int:
        """Return the bytes that wait until the client reads them."""
        return int(self.writer.transport.get_write_buffer_size())

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
            self._frames.close()
            if self.outgoing > limits.STALLED_BYTES:
                self.writer.transport.abort()
            self.writer.close()

    async def _greet(self) -> bool:
        """Exchange hello messages; return whether the client is permitted and compatible."""
        refusal = await self.server.refusal(self.peer)
        if refusal is not None:
            await self._refuse(refusal)
            return False
        hello = protocol.Hello(
            protocol=protocol.PROTOCOL,
            product=self.server.product,
            pid=os.getpid(),
            tokens=self.server.gate.may_act_for_tokens(self.peer),
        )
        await self._send(protocol.line({"hello": hello}))
        try:
            text = await self._first_message()
            if text is None:
                return False
            theirs = protocol.decode_client(text).hello
        except (msgspec.DecodeError, RecursionError, BadFrameError) as error:
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
        if theirs.on_behalf is None:
            return True
        return await self._act_for(self.actor, theirs.on_behalf)

    async def _act_for(self, server: Actor, token: protocol.OnBehalf) -> bool:
        """Make a token the actor of this connection; return whether the user of the client may do this."""
        try:
            if not self.server.gate.may_act_for_tokens(self.peer):
                raise PermissionDeniedError(protocol.not_a_proxy(server.user))
            self.actor = token_actor(server, token.name)
        except VictorError as error:
            await self._refuse(error)
            return False
        current_grant.set(token.grant)  # the tasks of this connection inherit it
        return True

    async def _first_message(self) -> bytes | None:
        try:
            async with asyncio.timeout(limits.GREETING_SECONDS):
                return await self._frames.next(frames.CHUNK)
        except TimeoutError:
            # After a time in which the loop was blocked, the message has arrived and is not read yet.
            async with asyncio.timeout(1.0):
                return await self._frames.next(frames.CHUNK)

    # --- requests --------------------------------------------------------------------------

    async def _read_requests(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                text = await self._frames.next(protocol.MAX_REQUEST)
                if text is None:
                    return
                message = await frames.decode(text)
            except BadFrameError as error:
                await self._answer_bad(error)
                continue
            except TimeoutError:
                await self._refuse(
                    UsageError(f"a message was not finished in {limits.UNFINISHED_SECONDS:g} seconds")
                )
                return
            if message.cancel is not None:
                if task := self._tasks.get(message.cancel):
                    task.cancel()
                continue
            if message.id is None or message.id in self._tasks:
                await self._refuse(UsageError("a request needs a unique id"))
                return
            if wait := self._account.wait_for(clock()):
                await asyncio.sleep(wait)
            if self.outgoing > frames.CHUNK:
                async with self._sending:
                    pass  # the client must read before it asks for more
            if message.method == "subscribe":
                await self._begin_feed(message.id, message)
            else:
                await self._begin_call(message.id, message, len(text))

    async def _answer_bad(self, error: BadFrameError) -> None:
        wire = UsageError(error.message).to_wire()
        if error.request is None or error.request in self._tasks:
            await self._send(protocol.line({"error": wire}))
        else:
            await self._send(protocol.error_line(error.request, wire))

    async def _begin_call(self, request: int, message: protocol.FromClient, size: int) -> None:
        user = self._account.parent
        assert user is not None
        await self._account.slots.acquire()
        try:
            await user.slots.acquire()
        except BaseException:
            self._account.slots.release()
            raise
        self._account.hold(size)

        def ended() -> None:
            self._account.slots.release()
            user.slots.release()
            self._account.hold(-size)

        self._begin(request, message, self._answer, ended)

    async def _begin_feed(self, request: int, message: protocol.FromClient) -> None:
        try:
            self._account.subscribe()
        except UsageError as error:
            await self._send(protocol.error_line(request, error.to_wire()))
            return
        self._begin(request, message, self._stream, self._account.unsubscribe)

    def _begin(
        self, request: int, message: protocol.FromClient, work: Callable[..., Any], ended: Callable[[], None]
    ) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work(request, message))
        self._tasks[request] = task
        method = message.method

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.pop(request, None)
            ended()
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, ConnectionError):
                log.error("request %s failed", method, exc_info=error)

        task.add_done_callback(done)

    async def _answer(self, request: int, message: protocol.FromClient) -> None:
        began = time.perf_counter()
        try:
            result = await self._call(message)
        except Exception as error:
            await self._send(protocol.error_line(request, _wire(error, message.method)))
            return
        finally:
            self.server.on_call(time.perf_counter() - began)
        # One response is encoded at a time, so that a client that does not read has one in memory.
        async with self._sending:
            try:
                text = protocol.result_line(request, result)
                if len(text) > protocol.MAX_MESSAGE:
                    raise UsageError(
                        f"{message.method}: the response is larger than 64 MB; use a smaller limit"
                    )
                if self.server.outgoing(self.peer.uid) + len(text) > USER.outgoing:
                    raise UsageError(
                        f"{message.method}: too many responses wait for {user_name(self.peer.uid)}; end the "
                        "programs that do not read their responses"
                    )
            except Exception as error:
                text = protocol.error_line(request, _wire(error, message.method))
            await self._write(text)

    async def _call(self, message: protocol.FromClient) -> Any:
        method = protocol.methods().get(message.method)
        if method is None:
            raise UsageError(f"the port has no method {message.method[:100]!r}")
        given = await frames.arguments(method, message)
        # Each request has its own task, so the context variable applies to this request only.
        assert self.actor is not None
        current_actor.set(self.actor)
        return await self.server.gate.call(self.actor, port_methods()[method.name], given)

    # --- subscriptions ---------------------------------------------------------------------

    async def _stream(self, request: int, message: protocol.FromClient) -> None:
        """Send events until the subscriber is too slow, loses its role, or cancels."""
        try:
            given = await frames.arguments(protocol.subscription(), message)
        except UsageError as error:
            await self._send(protocol.error_line(request, error.to_wire()))
            return
        assert self.actor is not None
        gate, actor = self.server.gate, self.actor
        queue = FeedQueue(gate.subscribe(actor, **given), partial(gate.changed, actor), self._not_read)
        try:
            await self._send(protocol.result_line(request, None))
            while batch := await queue.take(_BATCH):
                await self._send(b"".join(protocol.line({"sub": request, "event": e}) for e in batch))
            ending = {"gap": True} if queue.error is None else {"error": _wire(queue.error, "subscribe")}
            await self._send(protocol.line({"sub": request, **ending}))
        finally:
            await queue.close()

    def _not_read(self, events: int) -> None:
        log.warning(
            "a subscriber of %s (pid %s) does not read; %d waiting events were dropped. It continues from the store",
            user_name(self.peer.uid),
            self.peer.pid,
            events,
        )

    # --- the wire --------------------------------------------------------------------------

    async def _send(self, text: bytes) -> None:
        async with self._sending:
            await self._write(text)

    async def _write(self, text: bytes) -> None:
        """Write, and wait until the client has read enough. Close the connection of a client that reads nothing."""
        self.writer.write(text)
        while (before := self.outgoing) > limits.STALLED_BYTES:
            try:
                async with asyncio.timeout(limits.STALLED_SECONDS):
                    await self.writer.drain()
            except TimeoutError:
                if self.outgoing < before:
                    continue
                log.warning(
                    "the connection of %s (pid %s) is closed: %s wait, and it read nothing for %g seconds",
                    user_name(self.peer.uid),
                    self.peer.pid,
                    frames.megabytes(before),
                    limits.STALLED_SECONDS,
                )
                self.writer.transport.abort()
                raise ConnectionResetError("the client does not read") from None
        await self.writer.drain()

    async def _refuse(self, error: VictorError) -> None:
        """Send an error before the connection is closed."""
        with contextlib.suppress(ConnectionError):
            await self._send(protocol.line({"error": error.to_wire()}))


def _wire(error: Exception, method: str) -> dict[str, Any]:
    if isinstance(error, VictorError):
        return error.to_wire()
    if isinstance(error, OverflowError):  # an integer of more than 64 bits, or an instant after the year 9999
        return UsageError(f"{method}: a number is out of range: {error}").to_wire()
    log.error("%s failed", method, exc_info=error)
    return VictorError(f"{method}: internal error: {type(error).__name__}: {error}").to_wire()
