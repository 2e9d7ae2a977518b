"""Circuit breakers: after repeated failures of a node, in any run, its attempts stop for a time.

closed → (a number of failures in a row) → open → (after a time) one attempt is admitted → closed, or
open again. A node of a workflow (or a member of a team) has one breaker for all runs and versions. It is
stored, so it survives a restart. The functions are part of the transitions that begin and end attempts,
so that the state of the breaker is always that of the attempts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.clock import from_us
from victor_engine.definition.limits import CircuitBreaker
from victor_engine.errors import NodeError
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Step
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.repositories import attempt_rows, breakers, run_rows
from victor_engine.store.repositories.breakers import BreakerRow

NOT_COUNTED = frozenset({"ExecutionTimeoutError", "InterruptedError"})
"""Errors that say nothing about the node: the run reached its own limit, or its engine stopped."""


class CircuitOpenError(NodeError):
    """The circuit breaker of the node is open, so no attempt starts before `retry_after` seconds have passed."""

    code = "circuit_open"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(
            message, error_type="CircuitOpenError", retryable=False, retry_after=max(0.0, retry_after)
        )


def admit(tx: Tx, run: RunRef, step: Step) -> None:
    """Check the breaker before an attempt begins. Raise CircuitOpenError if it is open.

    After its time, one attempt is admitted. Others are refused until that attempt has ended.
    """
    breaker = breakers.find_open(tx, run.workflow, step.key)
    if breaker is None:
        return
    if tx.now_us < breaker.retry_at:
        raise CircuitOpenError(
            f"{_open(step, breaker)}; the next attempt is possible at {_clock(from_us(breaker.retry_at))}",
            (breaker.retry_at - tx.now_us) / 1_000_000,
        )
    probe = breaker.probe_key
    if probe is not None and probe != run.key and attempt_rows.tries(tx, probe, step.key):
        tried_by = run_rows.id_and_version(tx, probe)[0]
        raise CircuitOpenError(f"{_open(step, breaker)}; run {tried_by} is testing it now", 1.0)
    if not breakers.take_probe(tx, run.workflow, step.key, run.key, probe):
        raise CircuitOpenError(f"{_open(step, breaker)}; another run is testing it now", 1.0)
    _event(tx, run, step, EventKind.CIRCUIT_PROBED, {})


def succeeded(tx: Tx, run: RunRef, step: Step) -> None:
    """Record a successful attempt: close the breaker and reset its count of failures."""
    opened_at = breakers.close(tx, run.workflow, step.key)
    if opened_at is not None:
        _event(tx, run, step, EventKind.CIRCUIT_CLOSED, {"opened_at": opened_at})


def failed(tx: Tx, run: RunRef, step: Step, breaker: CircuitBreaker, error: ErrorInfo) -> None:
    """Record a failed attempt: open the breaker after enough failures, or keep it open if this was the test
    attempt."""
    if error.type in NOT_COUNTED:
        return
    stored = msgspec.json.encode(error).decode()
    now = breakers.count_failure(tx, run.workflow, step.key, stored)
    failures, opened_at = now.failures, now.opened_at
    if opened_at is None:
        if failures < breaker.failures:
            return
        opened_at = tx.now_us
    elif now.probe_key != run.key:
        return  # the attempt began before the breaker opened, so it does not count
    retry_at = tx.now_us + int(breaker.reset_after * 1_000_000)
    breakers.open_until(tx, run.workflow, step.key, opened_at, retry_at)
    data = {"failures": failures, "type": error.type, "message": error.message[:500], "retry_at": retry_at}
    _event(tx, run, step, EventKind.CIRCUIT_OPENED, data)


def _open(step: Step, breaker: BreakerRow) -> str:
    last = msgspec.json.decode(breaker.error, type=ErrorInfo)
    return (
        f"{step.key}: the circuit breaker has been open since {_clock(from_us(breaker.opened_at))}, after"
        f" {breaker.failures} failures in a row (the last: {last.type}: {last.message[:300]})"
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
