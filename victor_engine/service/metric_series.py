"""The series of the Prometheus metrics of an engine.

`refresh` counts the fires, ended runs and closed requests that were committed since the last call, and reads the gauges.
It runs in a thread of its caller, with a connection that it closes, so it delays neither the event loop nor the writer.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from victor_engine import __version__
from victor_engine.domain.statuses import FINAL_RUN_STATUSES
from victor_engine.store import queries
from victor_engine.store.connecting import connect
from victor_engine.store.queries import metrics as stored
from victor_engine.store.repositories import suspects

if TYPE_CHECKING:
    from victor_engine.engine import Engine

MOST_WORKFLOWS = 200
"""The maximum number of workflows with series of their own while the engine runs. The others share the label `other`."""

OTHER = "other"

FRESH_SECONDS = 1.0
"""The age up to which the series are not read again."""

PAGE = 2_000
"""The maximum number of rows that are read in one snapshot."""

RUN_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
LATE_BUCKETS = (0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 3_600)
ANSWER_BUCKETS = (10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800)
LATENCY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)


class MetricSeries:
    """The metrics of one engine, in `registry`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._refreshed = float("-inf")
        self._cursor: stored.Cursor | None = None
        self._workflows: set[str] = set()
        without_created: Any = disable_created_metrics  # the client declares no types for it
        without_created()
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"victor_{name}", text, registry=registry)

        build = Gauge("victor_build_info", "The version of the product.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        gauge("engine_start_time_seconds", "When the engine started.").set(engine.started_at.timestamp())
        self.fires = Counter("victor_fires", "Decided fires.", ["workflow", "outcome"], registry=registry)
        self.lateness = Histogram(
            "victor_fire_lateness_seconds", "Time from the nominal instant of a fire that started a run to its decision.",
            buckets=LATE_BUCKETS, registry=registry,
        )  # fmt: skip
        self.ended = Counter("victor_runs_finished", "Ended runs.", ["workflow", "status"], registry=registry)
        self.durations = Histogram(
            "victor_run_duration_seconds", "Time from the start of a run to its end.", ["workflow"],
            buckets=RUN_BUCKETS, registry=registry,
        )  # fmt: skip
        self.closed = Counter("victor_requests_closed", "Closed requests.", ["status"], registry=registry)
        self.answers = Histogram(
            "victor_request_answer_seconds", "Time from the opening of a request to its answer.",
            buckets=ANSWER_BUCKETS, registry=registry,
        )  # fmt: skip
        self.commits = Histogram(
            "victor_store_commit_seconds", "Duration of a transaction of the store.",
            buckets=LATENCY_BUCKETS, registry=registry,
        )  # fmt: skip
        self.lag = Histogram(
            "victor_event_loop_lag_seconds", "Lateness of a timer of the event loop, measured once a second.",
            buckets=LATENCY_BUCKETS, registry=registry,
        )  # fmt: skip
        self.calls = Histogram(
            "victor_call_seconds", "Time from the request of a client to its answer.",
            buckets=LATENCY_BUCKETS, registry=registry,
        )  # fmt: skip
        self.runs = Gauge("victor_runs", "Active runs.", ["status"], registry=registry)
        self.slots = gauge("slots", "Runs that can execute at the same time.")
        self.slots_used = gauge("slots_in_use", "Slots that executing runs hold.")
        self.queue = gauge("queued_runs", "Runs that wait for a slot.")
        self.open = gauge("open_requests", "Open requests.")
        self.oldest = gauge("oldest_request_age_seconds", "Age of the oldest open request; 0 without one.")
        self.dead = gauge("dead_letters", "Failed runs that wait for a decision.")
        self.quarantined = gauge("quarantined_runs", "Runs in quarantine.")
        self.problems = gauge("schedules_with_problems", "Schedules that cannot fire.")
        self.outage = gauge("storage_outage", "1 during a storage outage.")
        self.disk = gauge("disk_free_bytes", "Free bytes on the file system of the state directory.")
        self.files = Gauge("victor_store_bytes", "Size of the store.", ["file"], registry=registry)
        engine.store.on_commit = self.commits.observe
        engine.measures.lag = self.lag.observe
        engine.measures.call = self.calls.observe

    def refresh(self) -> None:
        """Count what was committed since the last call, and read the gauges.

        Raise sqlite3.Error or StoreError if that fails.
        """
        with self._lock:
            if time.monotonic() - self._refreshed < FRESH_SECONDS:
                return
            # A connection for each call: the server has a thread for each request, and ends them without notice.
            with closing(connect(self._engine.store.path, readonly=True)) as connection:
                self._count(connection)
                self._measure(connection)
            self._refreshed = time.monotonic()

    def _count(self, connection: sqlite3.Connection) -> None:
        if self._cursor is None:
            self._cursor = stored.newest(connection)
        if len(self._workflows) < MOST_WORKFLOWS:
            self._begin(stored.workflows_in_force(connection, MOST_WORKFLOWS))
        fire, event = self._cursor
        while fires := stored.fires_after(connection, fire, PAGE):
            for _, each in fires:
                self._count_fire(each)
            fire = fires[-1][0]
            self._cursor = stored.Cursor(fire, event)
        while event < queries.last_event(connection):
            ended, event = stored.ends_after(connection, event, PAGE)
            for end in ended:
                self._count_end(end)
            self._cursor = stored.Cursor(fire, event)

    def _begin(self, in_force: list[str]) -> None:
        """Begin the series of workflows, so that the first failure is an increase and not a new series."""
        new = [name for name in in_force if name not in self._workflows]
        for name in new[: MOST_WORKFLOWS - len(self._workflows)]:
            self._workflows.add(name)
            for status in FINAL_RUN_STATUSES:
                self.ended.labels(name, str(status))

    def _name(self, workflow: str) -> str:
        return workflow if workflow in self._workflows else OTHER

    def _count_fire(self, fire: stored.CountedFire) -> None:
        self.fires.labels(self._name(fire.workflow), fire.outcome).inc()
        if fire.outcome in ("started", "queued"):
            self.lateness.observe(max(0.0, fire.late))

    def _count_end(self, end: stored.EndedRun | stored.ClosedRequest) -> None:
        if isinstance(end, stored.EndedRun):
            self.ended.labels(self._name(end.workflow), end.status).inc()
            if end.seconds is not None:
                self.durations.labels(self._name(end.workflow)).observe(end.seconds)
            return
        self.closed.labels(end.status).inc()
        if end.seconds is not None:
            self.answers.observe(end.seconds)

    def _measure(self, connection: sqlite3.Connection) -> None:
        engine, slots = self._engine, self._engine.runtime.slots
        now = engine.clock.now()
        counts = queries.engine_counts(connection, now)
        for status in ("running", "queued", "waiting"):
            self.runs.labels(status).set(getattr(counts, status))
        self.slots.set(slots.limit)
        self.slots_used.set(slots.in_use)
        self.queue.set(slots.queued)
        self.open.set(counts.open_requests)
        oldest = counts.oldest_request
        self.oldest.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        self.dead.set(counts.dead_letters)
        self.quarantined.set(len(suspects.all_quarantined(connection)))
        self.problems.set(stored.schedules_with_problems(connection))
        self.outage.set(engine.store.outage is not None)
        self._measure_disk(engine.store.path)

    def _measure_disk(self, database: Path) -> None:
        with suppress(OSError):
            found = os.statvfs(database.parent)
            self.disk.set(found.f_bavail * found.f_frsize)
        for label, path in (("database", database), ("wal", database.with_name(f"{database.name}-wal"))):
            with suppress(OSError):
                self.files.labels(label).set(path.stat().st_size)
