"""The traces of a daemon: sent to an OTLP endpoint, or appended to a file, as the configuration says."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from victor_engine.api import ProblemInfo
from victor_engine.config.model import TracingConfig
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.private import open_file
from victor_engine.service.followed import Followed

if TYPE_CHECKING:
    from victor_engine.service.trace_spans import RunTraces

log = logging.getLogger(__name__)

INSTALL = "pip install 'victor-tui[tracing]'"

EXPORT_SECONDS = 1.0
"""Seconds between two looks for ended runs."""

CLOSING_SECONDS = 5.0
"""Seconds in which the runs that have ended are exported when the engine stops."""


class TracingService:
    """The threads that export the runs that end, one for each receiver, until `close`."""

    def __init__(self, traces: list[RunTraces]) -> None:
        self._traces = traces
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._threads = [
            threading.Thread(target=self._export_on, args=(each,), name="victor-tracing", daemon=True)
            for each in traces
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Export the runs that have ended, and end the threads."""
        self._deadline = time.monotonic() + CLOSING_SECONDS
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        for each in self._traces:
            each.close()  # this also ends a request that waits for a receiver
        for thread in self._threads:
            thread.join(CLOSING_SECONDS)

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _export_on(self, traces: RunTraces) -> None:
        failing, last = "", False
        while not last:
            last = self._stopping.wait(EXPORT_SECONDS)
            try:
                traces.export(self._late)
                failing = ""
            except (
                sqlite3.Error,
                VictorError,
            ) as error:  # such as during a storage outage; it is tried again
                if str(error) != failing:
                    log.warning("traces cannot be read from the store: %s", error)
                failing = str(error)


def _open(engine: Engine, config: TracingConfig) -> TracingService | ProblemInfo | None:
    if config == TracingConfig():
        return None
    try:
        exporters = list(_exporters(config))
        from victor_engine.service.trace_spans import RunTraces
    except ImportError:
        return ProblemInfo(
            "error",
            "tracing has no effect, because the SDK of OpenTelemetry is not installed",
            remedy=f"Install it: {INSTALL}",
        )
    except OSError as error:
        return ProblemInfo(
            "error",
            f"the traces cannot be written to {config.file}: {error.strerror or error}",
            remedy="Write another tracing.file",
        )
    # The exporter logs each failed request. `RunTraces` logs when a failure begins and ends.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return TracingService([RunTraces(engine, exporter, receiver) for exporter, receiver in exporters])


def _exporters(config: TracingConfig) -> Iterator[tuple[Any, str]]:
    """Yield an exporter for each receiver of the configuration, with its name. Raise ImportError or OSError."""
    if config.endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        yield OTLPSpanExporter(endpoint=config.endpoint), config.endpoint
    if config.file is not None:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        file = os.fdopen(open_file(config.file, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8")
        yield (
            ConsoleSpanExporter(out=file, formatter=lambda span: f"{span.to_json(indent=None)}\n"),
            str(config.file),
        )


def start(engine: Engine) -> None:
    """Export the traces of an engine until it closes."""
    Followed(
        engine,
        "tracing",
        lambda: engine.workspace.config.tracing,
        TracingConfig(),
        lambda config: _open(engine, config),
    ).start()


__all__ = ["TracingService", "start"]
