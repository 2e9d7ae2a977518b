"""The spans of ended runs, made by the official SDK of OpenTelemetry.

A run becomes a trace when its end is committed: a span for the run, and one for each attempt of its nodes. The spans have
the identifiers that the work of the attempts was given (`work.trace_context`).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from victor_engine import __version__, jsonio
from victor_engine.store import queries
from victor_engine.store.connecting import connect
from victor_engine.store.queries import traces as stored
from victor_engine.store.queries.traces import EndedAttempt, EndedRun
from victor_engine.work.trace_context import attempt_span_id, run_span_id, trace_id

if TYPE_CHECKING:
    from victor_engine.engine import Engine

log = logging.getLogger(__name__)

PAGE = 2_000
"""The maximum number of events that are read in one snapshot."""

MOST_SPANS = 10_000
"""The maximum number of attempts of one run with spans."""

BATCH = 500
"""The maximum number of spans that are exported at once."""

LONGEST_MESSAGE = 500


class _Given(IdGenerator):
    """Returns the identifiers that were set before."""

    trace = 1
    span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class RunTraces:
    """Exports the runs of an engine that end from now on. Used in one thread."""

    def __init__(self, engine: Engine, exporter: SpanExporter, receiver: str = "the receiver") -> None:
        self._engine = engine
        self._receiver = receiver
        self._exporter = exporter
        self._ids = _Given()
        resource = Resource.create({"service.name": "victor", "service.version": __version__})
        provider = TracerProvider(id_generator=self._ids, resource=resource, shutdown_on_exit=False)
        self._tracer = provider.get_tracer("victor", __version__)
        with closing(connect(engine.store.path, readonly=True)) as connection:
            self._cursor = queries.last_event(connection)
        self._failing = False

    def export(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Export the runs that ended since the last call, until `stop` returns True.

        Raise sqlite3.Error or StoreError if they cannot be read.
        """
        with closing(connect(self._engine.store.path, readonly=True)) as connection:
            self._export(connection, stop)

    def _export(self, connection: sqlite3.Connection, stop: Callable[[], bool]) -> None:
        while self._cursor < queries.last_event(connection):
            runs, until = stored.ended_runs(connection, self._cursor, PAGE)
            for run in runs:
                if stop():
                    return
                self._send(list(self._spans(run, stored.ended_attempts(connection, run, MOST_SPANS))))
            self._cursor = until

    def close(self) -> None:
        self._exporter.shutdown()

    def _spans(self, run: EndedRun, attempts: list[EndedAttempt]) -> Iterator[ReadableSpan]:
        yield self._run_span(run, len(attempts))
        for attempt in attempts:
            yield self._attempt_span(run, attempt)

    def _run_span(self, run: EndedRun, attempts: int) -> ReadableSpan:
        attributes = {
            "victor.run": run.id, "victor.workflow": run.workflow, "victor.version": run.version,
            "victor.status": run.status, "victor.trigger": run.trigger, "victor.schedule": run.schedule,
            "victor.attempts": attempts,
        }  # fmt: skip
        links = [] if run.parent is None else [Link(_context(run.parent, run_span_id(run.parent)))]
        failed = run.status != "succeeded"
        return self._span(
            run, run_span_id(run.id), f"run {run.workflow}", run.begun, run.ended, attributes, links=links,
            error=_message(run.error) or run.status if failed else None,
        )  # fmt: skip

    def _attempt_span(self, run: EndedRun, attempt: EndedAttempt) -> ReadableSpan:
        attributes = {
            "victor.run": run.id, "victor.workflow": run.workflow, "victor.node": attempt.node,
            "victor.node_type": attempt.type, "victor.iteration": attempt.iteration,
            "victor.attempt": attempt.number, "victor.status": attempt.status, "victor.binding": attempt.binding,
        }  # fmt: skip
        number = attempt_span_id(run.id, attempt.node, attempt.iteration, attempt.number)
        parent = _context(run.id, run_span_id(run.id))
        failed = attempt.status != "succeeded"
        return self._span(
            run, number, f"node {attempt.node}", attempt.begun, attempt.ended, attributes, parent=parent,
            error=_message(attempt.error) or attempt.status if failed else None,
        )  # fmt: skip

    def _span(
        self,
        run: EndedRun,
        number: int,
        name: str,
        begun: int,
        ended: int,
        attributes: Mapping[str, Any],
        *,
        parent: SpanContext | None = None,
        links: list[Link] | None = None,
        error: str | None = None,
    ) -> ReadableSpan:
        self._ids.trace, self._ids.span = trace_id(run.id), number
        span: Any = self._tracer.start_span(
            name,
            context=None if parent is None else set_span_in_context(NonRecordingSpan(parent)),
            attributes={key: value for key, value in attributes.items() if value is not None},
            links=links,
            start_time=begun * 1_000,
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(max(begun, ended) * 1_000)
        found: ReadableSpan = span
        return found

    def _send(self, spans: list[ReadableSpan]) -> None:
        """Export the spans of a run. A failure is logged when it begins, and its spans are lost."""
        for start in range(0, len(spans), BATCH):
            try:
                result = self._exporter.export(spans[start : start + BATCH])
            except Exception as error:  # an exporter can raise any error
                self._note(f"{type(error).__name__}: {error}")
                return
            self._note(
                "" if result is SpanExportResult.SUCCESS else "it does not answer, or does not accept them"
            )

    def _note(self, failure: str) -> None:
        if failure and not self._failing:
            log.warning("traces cannot be exported to %s: %s", self._receiver, failure)
        elif self._failing and not failure:
            log.warning("traces are exported to %s again", self._receiver)
        self._failing = bool(failure)


def _context(run_id: str, span: int) -> SpanContext:
    return SpanContext(trace_id(run_id), span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _message(error: str | None) -> str:
    """Return the type and the message of a stored error, shortened."""
    if error is None:
        return ""
    found = jsonio.loads(error)
    return f"{found.get('type', '')}: {found.get('message', '')}"[:LONGEST_MESSAGE]
