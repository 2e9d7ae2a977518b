"""The server process of `victor api`: its address, its HTTP server, and its check that the engine accepts it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from victor_engine.addresses import address_of, is_loopback
from victor_engine.errors import EngineUnavailableError, PermissionDeniedError, UsageError
from victor_engine.identity import user_name
from victor_engine.service import protocol
from victor_engine.service.finding import attach, how_to_start
from victor_engine.service.paths import Paths
from victor_engine.web.app import Api, application
from victor_engine.web.engines import Engines, connecting
from victor_engine.web.tokens import TokenFile

log = logging.getLogger(__name__)

CONNECTIONS = 200
"""Maximum connections of clients. Further ones get the status 503."""
HEADER_SECONDS = 10.0
"""Maximum seconds for the header of a request to arrive."""
HEADER_BYTES = 16 * 1024
"""Maximum bytes of the header of a request."""
IDLE_SECONDS = 10
"""Seconds for which a connection without a request stays open."""


class Protocol(H11Protocol):
    """HTTP/1.1 with a limit of the time for the header of a request."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """Close the connection unless the header of a request arrives in time."""
        self._cancel()
        self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Server(uvicorn.Server):
    """A server that SIGINT and SIGTERM end with the exit code 0. A second signal ends it at once."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def address(listen: str, configured: str) -> tuple[str, int]:
    """Return the address and port to listen on. `configured` is `api.listen` of the administrator.

    Raise UsageError for an invalid address, and PermissionDeniedError for an address that other machines reach and
    that the administrator did not configure.
    """
    found = address_of(listen)
    if found is None:
        raise UsageError(f"--listen: {listen!r} is not an address with a port, such as 127.0.0.1:8470")
    if not is_loopback(found[0]) and found != address_of(configured):
        raise PermissionDeniedError(
            f"permission denied: other machines can reach {listen}; set `api: {{listen: {listen!r}}}` in "
            "/etc/victor/scheduler.yaml or ~/.victor/scheduler.yaml to permit it"
        )
    return found


async def check_engine(paths: Paths) -> None:
    """Raise EngineUnavailableError without an engine, and PermissionDeniedError if it accepts no tokens of this user."""
    client = await attach(paths, "api")
    if client is None:
        raise EngineUnavailableError(how_to_start(paths))
    try:
        if not client.accepts_tokens:
            raise PermissionDeniedError(protocol.not_a_proxy(user_name(os.geteuid())))
    finally:
        await client.close()


async def serve(paths: Paths, bound: socket.socket, tokens: TokenFile, rate: float) -> None:
    """Serve until a signal ends the process."""
    engines = Engines(connecting(paths))
    api = Api(tokens, engines, rate, lambda: datetime.now(UTC))
    config = uvicorn.Config(
        application(api),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    try:
        await _Server(config).serve(sockets=[bound])
    finally:
        await engines.close()
