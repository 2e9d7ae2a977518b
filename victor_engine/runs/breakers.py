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
from victor_engine.graph_walk.effects import Step
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.repositories import attempts, breakers, runs
from victor_engine.store.repositories.breakers import BreakerRow

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
    breaker = breakers.find_open(tx, run.workflow, step.key)
    if breaker is None:
        return
    if tx.now_us < breaker.retry_at:
        raise CircuitOpenError(
            f"{_open(step, breaker)}; it is tried again from {_clock(from_us(breaker.retry_at))} on",
            (breaker.retry_at - tx.now_us) / 1_000_000,
        )
    probe = breaker.probe_key
    if probe is not None and probe != run.key and attempts.tries(tx, probe, step.key):
        tried_by = runs.id_and_version(tx, probe)[0]
        raise CircuitOpenError(f"{_open(step, breaker)}; run {tried_by} is trying it now", 1.0)
    if not breakers.take_probe(tx, run.workflow, step.key, run.key, probe):
        raise CircuitOpenError(f"{_open(step, breaker)}; another run is trying it now", 1.0)
    _event(tx, run, step, EventKind.CIRCUIT_PROBED, {})


def succeeded(tx: Tx, run: RunRef, step: Step) -> None:
    """An attempt has succeeded: the failures before it no longer count."""
    opened_at = breakers.close(tx, run.workflow, step.key)
    if opened_at is not None:
        _event(tx, run, step, EventKind.CIRCUIT_CLOSED, {"opened_at": opened_at})


def failed(tx: Tx, run: RunRef, step: Step, breaker: CircuitBreaker, error: ErrorInfo) -> None:
    """An attempt has failed: the breaker opens once there are enough, and stays open if it was the one
    that was let through."""
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
        return  # it was begun before the breaker opened, and changes nothing any more
    retry_at = tx.now_us + int(breaker.reset_after * 1_000_000)
    breakers.open_until(tx, run.workflow, step.key, opened_at, retry_at)
    data = {"failures": failures, "type": error.type, "message": error.message[:500], "retry_at": retry_at}
    _event(tx, run, step, EventKind.CIRCUIT_OPENED, data)


def _open(step: Step, breaker: BreakerRow) -> str:
    last = msgspec.json.decode(breaker.error, type=ErrorInfo)
    return (
        f"{step.key}: its circuit is open since {_clock(from_us(breaker.opened_at))}, after {breaker.failures}"
        f" failures in a row (the last: {last.type}: {last.message[:300]})"
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
