"""The timed transitions of requests: reminders, escalation, expiry, and the end of undo windows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from victor_engine.clock import from_us, to_us
from victor_engine.domain.transitions import RequestCommand, request_refusal
from victor_engine.events import EventKind
from victor_engine.people.answers import Decision, decision_of, default_fits
from victor_engine.people.questions import Ask, timeout_text
from victor_engine.people.reminders import drop_reminders, plan_reminders, send_reminders
from victor_engine.people.stored_request import Row, lock_row, write_ask, write_event
from victor_engine.store.db import Tx
from victor_engine.store.repositories import requests


def expire_request(tx: Tx, request_id: str) -> Decision | None:
    """Apply `on_timeout` to a request whose deadline has passed.

    Return the decision, or None if the request is asked again or escalated, or if it is decided or not due.
    """
    row = lock_row(tx, request_id)
    if (
        request_refusal(row.state, RequestCommand.EXPIRE) is not None
        or row.deadline is None
        or row.deadline > tx.now_us
    ):
        return None
    ask = row.ask
    if ask.on_timeout == "retry" and ask.asks < ask.max_asks:
        again = msgspec.structs.replace(ask, asks=ask.asks + 1)
        _ask_again(tx, row, again, ask.timeout, {"asked": again.asks, "of": ask.max_asks})
        return None
    if ask.step < len(ask.escalation):
        step = ask.escalation[ask.step]
        people = tuple(dict.fromkeys((*ask.assignees, step.to))) if ask.assignees else ()
        rest = ask.escalation[ask.step + 1 :]
        then = "abort" if ask.on_timeout == "retry" else ask.on_timeout  # max_asks is reached
        words = timeout_text(then, ask.default, ask.has_default, ask.max_asks, rest)
        raised = msgspec.structs.replace(ask, assignees=people, step=ask.step + 1, on_timeout_text=words)
        _ask_again(tx, row, raised, step.after or ask.timeout, {"escalated_to": step.to})
        return None
    outcome, value = _timeout_outcome(ask)
    requests.expire(tx, row.handle, outcome, value)
    drop_reminders(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_EXPIRED, None, {"outcome": outcome, "on_timeout": ask.on_timeout})
    return decision_of(tx, row.id)


def _timeout_outcome(ask: Ask) -> tuple[str, Any]:
    outcomes: Mapping[str, tuple[str, Any]] = {
        "continue": ("timed_out", ask.default if ask.has_default else None),
        "skip": ("skipped", ask.default if ask.has_default else None),
        "reject": ("rejected", False),
        "approve": ("approved", True),
    }
    outcome, value = outcomes.get(ask.on_timeout, ("aborted", None))
    if outcome == "timed_out" and ask.has_default and not default_fits(ask):
        return "aborted", None
    return outcome, value


def _ask_again(tx: Tx, row: Row, ask: Ask, seconds: float | None, data: dict[str, Any]) -> None:
    deadline = tx.now_us + int(seconds * 1_000_000) if seconds is not None else None
    write_ask(tx, row, ask)
    requests.put_deadline(tx, row.handle, deadline)
    plan_reminders(tx, row.handle, ask, deadline)
    write_event(tx, row, EventKind.REQUEST_ESCALATED, None, data)


def settle_request(tx: Tx, request_id: str) -> Decision | None:
    """Make an answer final at the end of its undo window. Return the decision, or None if it is not due."""
    row = lock_row(tx, request_id)
    if (
        request_refusal(row.state, RequestCommand.SETTLE) is not None
        or row.settles_at is None
        or row.settles_at > tx.now_us
    ):
        return None
    requests.settle(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_SETTLED, None, {"outcome": row.outcome})
    return decision_of(tx, row.id)


def run_timers(tx: Tx, request_id: str) -> Decision | None:
    """Apply the due events of a request: reminders, then its deadline or the end of its undo window."""
    send_reminders(tx, lock_row(tx, request_id))
    return expire_request(tx, request_id) or settle_request(tx, request_id)


def due_requests(connection: sqlite3.Connection, now: datetime) -> list[str]:
    """Return the requests with a due timer, the longest overdue first."""
    return requests.due(connection, to_us(now))


def next_deadline(connection: sqlite3.Connection) -> datetime | None:
    """Return the earliest instant at which a timer of a request is due."""
    instant = requests.next_due(connection)
    return None if instant is None else from_us(instant)
