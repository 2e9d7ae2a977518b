"""The metrics of a daemon: served on loopback or a Unix socket, or written to a file, as the configuration says.

The serving thread and the writing thread share nothing with the event loop but numbers.
"""

from __future__ import annotations

import logging
import os
import socket
import socketserver
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from victor_engine.api import ProblemInfo
from victor_engine.config.model import MetricsConfig
from victor_engine.config.observing import UNIX, split_address
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.files import replace_file
from victor_engine.service.followed import Followed

if TYPE_CHECKING:
    from victor_engine.service.metric_series import MetricSeries

log = logging.getLogger(__name__)

INSTALL = "pip install 'victor-tui[metrics]'"

TEXTFILE_SECONDS = 15.0
"""Seconds between two writes of the text file. The series are refreshed as often, also if no client reads them."""

REQUEST_SECONDS = 10.0
"""Seconds after which the connection of a client is closed."""

MOST_CLIENTS = 8
"""The maximum number of clients at a time. Further ones are disconnected."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        return


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A server for a few clients at a time. `family` and address decide between TCP and a Unix socket."""

    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, address: Any, app: Any) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(address, _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_UNIX:
            socketserver.TCPServer.server_bind(self)
            os.chmod(str(self.server_address), 0o660)
        else:
            self.allow_reuse_address = True
            socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        def end() -> None:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(REQUEST_SECONDS, end)
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("", 0)  # wsgiref expects a host, and a Unix socket has none

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that leaves is not an error
            log.warning("a request for the metrics failed", exc_info=True)


def _bound(listen: str, app: Any) -> _Server:
    """Return a server that is bound to an address of the configuration. Raise OSError if that fails."""
    if listen.startswith(UNIX):
        path = Path(listen.removeprefix(UNIX))
        if path.is_socket():
            path.unlink()
        return _Server(socket.AF_UNIX, str(path), app)
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _Server(family, ("127.0.0.1" if host == "localhost" else host, int(port)), app)


class _Failure:
    """A failure of one kind, which is logged when it begins."""

    def __init__(self) -> None:
        self._message = ""

    def begin(self, message: str) -> None:
        """Log a message, unless it is the message of the failure that lasts."""
        if message != self._message:
            log.warning("%s", message)
        self._message = message

    def end(self) -> None:
        """Let the next failure be logged."""
        self._message = ""


class MetricsService:
    """The threads that serve and write the metrics by one configuration, until `close`."""

    def __init__(self, series: MetricSeries, config: MetricsConfig) -> None:
        """Listen and write. Raise OSError if the address cannot be used."""
        from prometheus_client import generate_latest, make_wsgi_app

        self._series = series
        self._config = config
        self._render: Callable[[], bytes] = lambda: generate_latest(series.registry)
        self._stopping = threading.Event()
        self._reading = _Failure()
        self._writing = _Failure()
        inner: Any = make_wsgi_app(series.registry)

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            self._refresh()
            answer: Iterable[bytes] = inner(environ, start)
            return answer

        self._server = _bound(config.listen, app) if config.listen else None
        self._threads = [threading.Thread(target=self._write_on, name="victor-metrics", daemon=True)]
        if self._server is not None:
            serve = self._server.serve_forever
            self._threads.append(
                threading.Thread(target=serve, args=(0.2,), name="victor-metrics-http", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads. Blocks until they have ended."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            if self._config.listen.startswith(UNIX):
                with suppress(OSError):
                    os.unlink(self._config.listen.removeprefix(UNIX))
        for thread in self._threads:
            thread.join(REQUEST_SECONDS)

    def _refresh(self) -> None:
        try:
            self._series.refresh()
            self._reading.end()
        except (
            sqlite3.Error,
            VictorError,
        ) as error:  # such as during an outage; the series keep their values
            self._reading.begin(f"the metrics cannot be read from the store: {error}")

    def _write_on(self) -> None:
        while True:
            self._refresh()
            if self._config.textfile is not None:
                try:
                    replace_file(self._config.textfile, self._render(), mode=0o644)  # each user can read it
                    self._writing.end()
                except OSError as error:
                    self._writing.begin(f"the metrics cannot be written to {self._config.textfile}: {error}")
            if self._stopping.wait(TEXTFILE_SECONDS):
                return


def _open(
    engine: Engine, config: MetricsConfig, known: list[MetricSeries]
) -> MetricsService | ProblemInfo | None:
    """Serve by a configuration. The series continue when it changes: `known` holds them."""
    if config == MetricsConfig():
        return None
    try:
        from victor_engine.service.metric_series import MetricSeries
    except ImportError:
        return ProblemInfo(
            "error",
            "metrics has no effect, because prometheus-client, which writes the metrics, is not installed",
            remedy=f"Install it: {INSTALL}",
        )
    if not known:
        known.append(MetricSeries(engine))
    try:
        return MetricsService(known[0], config)
    except OSError as error:
        message = f"the metrics cannot be served at {config.listen}: {error.strerror or error}"
        return ProblemInfo(
            "error", message, remedy="Write another metrics.listen, or end the program that uses it"
        )


def start(engine: Engine) -> None:
    """Serve the metrics of an engine until it closes."""
    known: list[MetricSeries] = []
    Followed(
        engine,
        "metrics",
        lambda: engine.workspace.config.metrics,
        MetricsConfig(),
        lambda config: _open(engine, config, known),
    ).start()


__all__ = ["MetricsService", "start"]
