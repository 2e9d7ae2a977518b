"""The aggregate roots that a transition locks before it changes something of them.

SQLite has one writer, so a lock costs nothing there and does nothing. A database with several writers
needs them: without a lock, two transitions that read the same row both act on what they read.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Root(IntEnum):
    """The kinds of aggregate roots, in the order in which one transition locks them.

    A transition that takes its locks in this order cannot form a circle with another one that does.
    """

    SCHEDULE = 1
    """A schedule, with its fires, backfills, expectations and arrivals. Key: the schedule's id."""
    RUN = 2
    """A run, with its attempts, states, logs, moves and dead letter. Key: `runs.key`."""
    REQUEST = 3
    """A request, with its votes, messages and reminders. Key: the request's id."""
    ALIAS = 4
    """The aliases of a workflow, with their history. Key: the workflow's name."""
    DEFINITION = 5
    """The versions of a workflow, with its declared migrations. Key: the workflow's name."""
    AUDIT = 6
    """The chain of the audit trail; one for each store. Key: 0."""


OWNED: dict[str, Root] = {
    "schedules": Root.SCHEDULE,
    "fires": Root.SCHEDULE,
    "backfills": Root.SCHEDULE,
    "backfill_fires": Root.SCHEDULE,
    "dependencies": Root.SCHEDULE,
    "arrivals": Root.SCHEDULE,
    "expectations": Root.SCHEDULE,
    "runs": Root.RUN,
    "run_choices": Root.RUN,
    "run_migrations": Root.RUN,
    "run_states": Root.RUN,
    "attempts": Root.RUN,
    "usage": Root.RUN,
    "logs": Root.RUN,
    "dead_letters": Root.RUN,
    "requests": Root.REQUEST,
    "request_messages": Root.REQUEST,
    "votes": Root.REQUEST,
    "reminders": Root.REQUEST,
    "aliases": Root.ALIAS,
    "pointings": Root.ALIAS,
    "definitions": Root.DEFINITION,
    "state_migrations": Root.DEFINITION,
}
"""The root of each table that has one. The others hold counters, cursors and rows that are only added."""
