"""Circuit breakers: a node that keeps failing, in whatever run, is left alone for a while.

closed → (enough failures in a row) → open → (after a while) one attempt is let through → closed or
open again. One breaker for each node of a workflow (and each member of a team), across its runs and
versions, in the store: its state outlives the engine. What is asked and what is recorded here is
part of the transitions that begin and end attempts, so that no attempt slips in between.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.clock import from_us
from victor_engine.definition.model import CircuitBreaker
from victor_engine.errors import NodeError
from victor_engine.events import EventKind
from victor_engine.runtime.effects import Step
from victor_engine.runtime.journal import RunRef
from victor_engine.store.db import Tx

NOT_COUNTED = frozenset({"ExecutionTimeoutError", "InterruptedError"})
"""Failures that say nothing of the node: the run's own limit was met, or its engine ended."""


class CircuitOpenError(NodeError):
    """The circuit breaker of the node is open, so its work does not start before `retry_after`."""

    code = "circuit_open"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(
            message, error_type="CircuitOpenError", retryable=False, retry_after=max(0.0, retry_after)
        )


def admit(tx: Tx, run: RunRef, step: Step) -> None:
    """Called as an attempt begins: raises CircuitOpenError if the breaker is open.

    Once its time is over, one attempt is let through; others are refused while that one lasts.
    """
    row = tx.execute(
        "SELECT failures, opened_at, retry_at, probe_key, error FROM breakers WHERE workflow = ? AND node_id = ?",
        (run.workflow, step.key),
    ).fetchone()
    if row is None or row[1] is None:
        return
    failures, opened_at, retry_at, probe_key, error = row
    if tx.now_us < retry_at:
        raise CircuitOpenError(
            f"{_open(step, opened_at, failures, error)}; it is tried again from {_clock(from_us(retry_at))} on",
            (retry_at - tx.now_us) / 1_000_000,
        )
    if probe_key is not None and probe_key != run.key and _at_work(tx, probe_key, step):
        (probe,) = tx.execute("SELECT id FROM runs WHERE key = ?", (probe_key,)).fetchone()
        raise CircuitOpenError(
            f"{_open(step, opened_at, failures, error)}; run {probe} is trying it now", 1.0
        )
    tx.execute(
        "UPDATE breakers SET probe_key = ? WHERE workflow = ? AND node_id = ?",
        (run.key, run.workflow, step.key),
    )
    _event(tx, run, step, EventKind.CIRCUIT_PROBED, {})


def succeeded(tx: Tx, run: RunRef, step: Step) -> None:
    """An attempt has succeeded: the failures before it no longer count."""
    row = tx.execute(
        "DELETE FROM breakers WHERE workflow = ? AND node_id = ? RETURNING opened_at",
        (run.workflow, step.key),
    ).fetchone()
    if row is not None and row[0] is not None:
        _event(tx, run, step, EventKind.CIRCUIT_CLOSED, {"opened_at": row[0]})


def failed(tx: Tx, run: RunRef, step: Step, breaker: CircuitBreaker, error: ErrorInfo) -> None:
    """An attempt has failed: the breaker opens once there are enough, and stays open if it was the one
    that was let through."""
    if error.type in NOT_COUNTED:
        return
    stored = msgspec.json.encode(error).decode()
    failures, opened_at, retry_at, probe_key = tx.execute(
        "INSERT INTO breakers (workflow, node_id, failures, error) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (workflow, node_id) DO UPDATE SET failures = failures + 1, error = excluded.error"
        " RETURNING failures, opened_at, retry_at, probe_key",
        (run.workflow, step.key, stored),
    ).fetchone()
    if opened_at is None:
        if failures < breaker.failures:
            return
        opened_at = tx.now_us
    elif probe_key != run.key:
        return  # it was begun before the breaker opened, and changes nothing any more
    retry_at = tx.now_us + int(breaker.reset_after * 1_000_000)
    tx.execute(
        "UPDATE breakers SET opened_at = ?, retry_at = ?, probe_key = NULL WHERE workflow = ? AND node_id = ?",
        (opened_at, retry_at, run.workflow, step.key),
    )
    data = {"failures": failures, "type": error.type, "message": error.message[:500], "retry_at": retry_at}
    _event(tx, run, step, EventKind.CIRCUIT_OPENED, data)


def _at_work(tx: Tx, run_key: int, step: Step) -> bool:
    row = tx.execute(
        "SELECT 1 FROM attempts WHERE run_key = ? AND node_id = ? AND status IN ('running', 'waiting')",
        (run_key, step.key),
    ).fetchone()
    return row is not None


def _open(step: Step, opened_at: int, failures: int, error: str) -> str:
    last = msgspec.json.decode(error, type=ErrorInfo)
    return (
        f"{step.key}: its circuit is open since {_clock(from_us(opened_at))}, after {failures} failures in a row"
        f" (the last: {last.type}: {last.message[:300]})"
    )


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _event(tx: Tx, run: RunRef, step: Step, kind: EventKind, data: dict[str, Any]) -> None:
    tx.event(
        kind,
        run_key=run.key,
        run_id=run.id,
        schedule_id=run.schedule_id,
        workflow=run.workflow,
        node_id=step.key,
        data=data,
    )
