"""Queries: functions of a read-only connection that return the structs of the port.

Each runs inside one snapshot (`Store.read`), writes nothing, accepts unique prefixes of ids, and
touches only the rows of its page, however many runs there are.
"""

from victor_engine.store.queries.aliases import alias_history, aliases
from victor_engine.store.queries.counts import EngineCounts, engine_counts, epoch
from victor_engine.store.queries.deadletters import dead_letters
from victor_engine.store.queries.definitions import (
    checksum_of,
    definition_info,
    stored_graph,
    version_ids,
    version_notice,
)
from victor_engine.store.queries.events import events, events_after, last_event
from victor_engine.store.queries.ids import request_id, run_id, run_keys, run_ref, schedule_id
from victor_engine.store.queries.people import request, request_count, request_page, request_queue, requests
from victor_engine.store.queries.run_grid import run_grid
from victor_engine.store.queries.run_logs import log_size, run_log
from victor_engine.store.queries.run_migrations import batch_of_moves, movable_runs, run_migrations
from victor_engine.store.queries.runs import attempt_state, attempts, new_run_info, run_detail, run_info, runs
from victor_engine.store.queries.schedules import fires, schedule, schedules
from victor_engine.store.queries.stats import run_stats
from victor_engine.store.queries.typical_durations import Pace, Paces
from victor_engine.store.queries.workflows import current_version, workflows

__all__ = [
    "EngineCounts",
    "Pace",
    "Paces",
    "alias_history",
    "aliases",
    "attempt_state",
    "attempts",
    "batch_of_moves",
    "checksum_of",
    "current_version",
    "dead_letters",
    "definition_info",
    "engine_counts",
    "epoch",
    "events",
    "events_after",
    "fires",
    "last_event",
    "log_size",
    "movable_runs",
    "new_run_info",
    "request",
    "request_count",
    "request_id",
    "request_page",
    "request_queue",
    "requests",
    "run_detail",
    "run_grid",
    "run_id",
    "run_info",
    "run_keys",
    "run_log",
    "run_migrations",
    "run_ref",
    "run_stats",
    "runs",
    "schedule",
    "schedule_id",
    "schedules",
    "stored_graph",
    "version_ids",
    "version_notice",
    "workflows",
]
