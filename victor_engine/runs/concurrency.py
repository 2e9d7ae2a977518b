"""The limit of runs with the same key: `concurrency` of a workflow.

A run gets its key when it is first claimed. It then counts towards the limit until its end, or waits in the queue. The end
of a run claims the next waiting run of its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.definition.model import Concurrency
from victor_engine.definition.templates import as_text, resolve_inputs
from victor_engine.errors import NodeError
from victor_engine.events import EventKind
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunRef
from victor_engine.store.queries.events import last_of_run
from victor_engine.store.repositories import concurrency as rows
from victor_engine.store.repositories import run_rows
from victor_engine.store.transaction import Tx

SKIPPED = "ConcurrencySkipped"
"""The type of the error of a run that `on_conflict: skip` has cancelled."""

REPLACED = "ConcurrencyReplaced"
"""The type of the error of a run that `on_conflict: cancel_running` has cancelled."""


def key_of(concurrency: Concurrency, state: Mapping[str, Any]) -> str:
    """Return the key of a run. A missing name is an empty text, so that the limit applies too. Raise nothing."""
    try:
        value = resolve_inputs({"key": concurrency.key}, state, "concurrency").get("key")
    except NodeError:
        value = None
    return "" if value is None else as_text(value)


def admit(tx: Tx, run: RunRef, concurrency: Concurrency, state: Mapping[str, Any]) -> bool:
    """Return whether a queued run starts now; then it counts towards the limit of its key.

    Otherwise it waits for the end of another run, or, with `skip`, is cancelled. With `cancel_running` the runs before it
    are cancelled.
    """
    found = rows.lock_and_read(tx, run.key)
    if found.held:
        return True
    key = found.key if found.key is not None else key_of(concurrency, state)
    ancestors = _ancestors(tx, run.key)
    holders = [each for each in rows.holders(tx, run.workflow, key) if each.key not in ancestors]
    if len(holders) < concurrency.max:
        rows.set_key(tx, run.key, key, held=True)
        return True
    first = found.key is None
    rows.set_key(tx, run.key, key, held=False)
    about = (
        f"run {holders[0].id} has the concurrency key {key!r}" if key else f"run {holders[0].id} is active"
    )
    if concurrency.on_conflict == "skip":
        transitions.warn(tx, run, None, f"skipped, because {about}", {})
        transitions.cancel_for(tx, run, holders[0], ErrorInfo(SKIPPED, f"skipped, because {about}"))
    elif concurrency.on_conflict == "cancel_running":
        reason = ErrorInfo(REPLACED, f"run {run.id} with the same concurrency key replaces it")
        for each in (*holders, *rows.waiting_before(tx, run, key)):
            transitions.cancel_for(tx, each, run, reason)
    elif first:
        transitions.warn(tx, run, None, f"waits in the queue, because {about}", {})
    return False


def cancelled_for(tx: Tx, run: RunRef) -> ErrorInfo | None:
    """Return the reason of the last cancellation of a run; None if it was not another run with its concurrency key."""
    found = last_of_run(tx, run.key, EventKind.RUN_CANCELLING)
    data = jsonio.loads(found[1] or "{}") if found is not None else {}
    return ErrorInfo(type=data["type"], message=data["note"]) if "by_run" in data and "type" in data else None


def _ancestors(tx: Tx, run_key: int) -> set[int]:
    """Return the keys of the runs that wait for a run. They hold their key for it too."""
    found: set[int] = set()
    parent = run_rows.parent_key(tx, run_key)
    while parent is not None and parent not in found:
        found.add(parent)
        parent = run_rows.parent_key(tx, parent)
    return found


__all__ = ["admit", "cancelled_for", "key_of"]
