"""A run as read from the store: its position and the history of its open steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import ErrorInfo, NodeOverride
from victor_engine.clock import from_us
from victor_engine.definition.model import Node, WorkflowDefinition
from victor_engine.definition.outputs import OUTPUT_ERROR
from victor_engine.graph_walk.effects import NO_HISTORY, Done, Position, StepHistory
from victor_engine.runs.transitions import RunRef
from victor_engine.store.patch import Patch
from victor_engine.store.repositories.attempt_rows import waiting
from victor_engine.store.stored_ending import UNDECIDED, Ending

NOT_RETRIED = frozenset(
    {
        "IterationLimitError",
        "ExecutionTimeoutError",
        "HumanTimeoutError",
        "CircuitOpenError",
        "RunDepthError",
        OUTPUT_ERROR,
    }
)
"""Errors that a retry of the workflow cannot fix, because it would meet the same limit or the same state."""


@dataclass(frozen=True, slots=True)
class WaitingAttempt:
    """An attempt that waited when the run was read: its handle, number and stored wait."""

    id: int
    number: int
    wait: dict[str, Any] | None = None
    child_key: int | None = None


@dataclass(slots=True)
class RunRecord:
    """A run as read from the store when it was claimed."""

    ref: RunRef
    definition: WorkflowDefinition
    version: str
    requested_by: str
    position: Position
    state: dict[str, Any]
    state_bytes: int  # size of the last snapshot of the state, as JSON
    spent: float
    reruns: int
    status: str
    started: bool
    history: dict[tuple[str, int], StepHistory] = field(default_factory=dict)
    waiting: dict[tuple[str, int], WaitingAttempt] = field(default_factory=dict)
    overrides: dict[str, NodeOverride] = field(default_factory=dict)
    ending: Ending = UNDECIDED

    def may_retry(self, error: ErrorInfo | None) -> bool:
        """Return whether the policy of the workflow retries a run that ended with this error."""
        kind = error.type if error is not None else ""
        return self.reruns < self.definition.max_retries and kind not in NOT_RETRIED

    def active_limit(self, seconds: float) -> tuple[str, float | None, float]:
        """Return the active part of the run, its limit of active time, and its active time, in seconds.

        Args:
            seconds: The active time of the run. Its part is the run, or a handler of its end.
        """
        if not self.ending.status:
            return "the run", self.definition.max_execution_timeout_seconds, seconds
        current = self.ending.handlers[0]
        limit = self.definition.handlers[current].timeout_seconds
        return current, limit, seconds - self.ending.spent / 1_000_000


def history_from_rows(
    rows: Sequence[Any], position: Position, nodes: dict[str, Node]
) -> dict[tuple[str, int], StepHistory]:
    """Return the history of the steps that the position does not count as done.

    `rows` are those of `attempts.recorded`.
    """
    found: dict[tuple[str, int], StepHistory] = {}
    for attempt, key, iteration, number, parent, stored, retry_at, patch, wait, error in rows:
        asked = wait is not None and jsonio.loads(wait).get("interrupted")
        status = "interrupted" if asked else stored
        base = key.split(".", 1)[0] if key not in nodes else key
        if iteration <= position.counts.get(base, 0):
            continue
        old = found.get((key, iteration), NO_HISTORY)
        failed = old.failed + (status in ("failed", "retrying") and attempt > position.mark)
        done = None
        if status == "succeeded" and parent is not None:
            data = jsonio.loads(patch) if patch else {}
            change = Patch.from_data(data)
            node = nodes.get(base)
            result = data.get("r", change.set.get(node.output_key) if node is not None else None)
            done = Done(change, tuple(data.get("n", ())), result=result)
        final = error is not None and attempt > position.mark
        due = from_us(retry_at) if status == "retrying" and retry_at is not None else None
        found[(key, iteration)] = StepHistory(
            tries=max(old.tries, number - (status == "waiting")),
            failed=failed,
            interrupted=status == "interrupted",
            done=done,
            retry_at=due,
            last=attempt,
            failure=msgspec.json.decode(error, type=ErrorInfo) if final else None,
        )
    return found


def waiting_attempts(connection: sqlite3.Connection, run_key: int) -> dict[tuple[str, int], WaitingAttempt]:
    """Return the waiting attempts of a run, by step."""
    return {
        (node_id, iteration): WaitingAttempt(attempt, number, jsonio.loads(wait) if wait else None, child)
        for node_id, iteration, attempt, number, wait, child in waiting(connection, run_key)
    }
