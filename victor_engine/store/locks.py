"""The aggregate roots that a transition locks before it changes rows that belong to them.

SQLite has one writer, so a lock has no effect and no cost. A database with several writers needs the locks: without
them, two transitions can read the same row and both act on it.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Root(IntEnum):
    """The kinds of aggregate roots, in the order in which one transition locks them.

    Transitions that lock in this order cannot deadlock.
    """

    SCHEDULE = 1
    """A schedule, with its fires, backfills, expectations and arrivals. Key: the schedule's id."""
    RUN = 2
    """A run, with its attempts, states, logs, moves, secret answers, dead letter and count of deaths. Key: `runs.key`."""
    REQUEST = 3
    """A request, with its people, votes, messages and reminders. Key: the request's id."""
    ALIAS = 4
    """The aliases of a workflow, with their history. Key: the workflow's name."""
    DEFINITION = 5
    """The versions of a workflow, with its declared migrations. Key: the workflow's name."""
    AUDIT = 6
    """The chain of the audit trail; one for each store. Key: 0."""


OWNED: dict[str, Root] = {
    "schedules": Root.SCHEDULE,
    "schedule_moves": Root.SCHEDULE,
    "fires": Root.SCHEDULE,
    "backfills": Root.SCHEDULE,
    "backfill_fires": Root.SCHEDULE,
    "dependencies": Root.SCHEDULE,
    "arrivals": Root.SCHEDULE,
    "expectations": Root.SCHEDULE,
    "runs": Root.RUN,
    "run_choices": Root.RUN,
    "start_keys": Root.RUN,
    "run_migrations": Root.RUN,
    "run_states": Root.RUN,
    "attempts": Root.RUN,
    "usage": Root.RUN,
    "logs": Root.RUN,
    "dead_letters": Root.RUN,
    "secret_answers": Root.RUN,
    "suspects": Root.RUN,
    "requests": Root.REQUEST,
    "request_messages": Root.REQUEST,
    "request_people": Root.REQUEST,
    "votes": Root.REQUEST,
    "reminders": Root.REQUEST,
    "aliases": Root.ALIAS,
    "pointings": Root.ALIAS,
    "definitions": Root.DEFINITION,
    "state_migrations": Root.DEFINITION,
    "audit": Root.AUDIT,
    "audit_chain": Root.AUDIT,
}
"""The root of each table that has one."""

UNOWNED = frozenset(
    {"announcements", "breakers", "dead_causes", "deployments", "events", "meta", "run_totals"}
)
"""Tables without a root: counters, cursors, and rows that are only added or changed by one statement."""
