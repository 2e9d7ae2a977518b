"""The end of a run with handlers: `on_failure`, `on_cancel` and `finally`.

The end is decided and committed with the last step or the failure of the run: `runs.ending` has the final status, and
`runs.position` the first node of the first handler. The walk then executes the handlers as it executes other nodes, also
after a restart or a pause. After the last one the run gets its final status, and the position at which it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import ErrorInfo, HandlerFailure
from victor_engine.definition.model import EndHandler, WorkflowDefinition
from victor_engine.domain.statuses import RunStatus
from victor_engine.graph_walk.effects import Position
from victor_engine.reserved import RUN
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.repositories import attempt_rows, runs
from victor_engine.store.stored_ending import Ending, ending_from
from victor_engine.store.stored_position import position_of
from victor_engine.store.transaction import Tx

_BY_STATUS = {
    RunStatus.FAILED: ("on_failure", "finally"),
    RunStatus.CANCELLED: ("on_cancel", "finally"),
}
"""The handlers of an end, in order. Other ends have `finally`."""


def skips_handlers(status: str, ending: Ending) -> bool:
    """Return whether a cancellation skips the handlers: a second one, or one while they are executed.

    Args:
        status: The status of the run before the cancellation.
        ending: The ending of the run.
    """
    return status == RunStatus.CANCELLING or bool(ending.status)


def handlers_for(definition: WorkflowDefinition, status: str) -> tuple[str, ...]:
    """Return the handlers of a definition for a final status, in order."""
    return tuple(key for key in _BY_STATUS.get(RunStatus(status), ("finally",)) if key in definition.handlers)


def facts_of(status: str, error: ErrorInfo | None) -> dict[str, str]:
    """Return the values that handlers read as `$run.status`, `$run.error`, `$run.error_type` and `$run.error_node`."""
    return {
        "status": status,
        "error": "" if error is None else error.message,
        "error_type": "" if error is None else error.type,
        "error_node": (error.node_id or "") if error is not None else "",
    }


def with_facts(state: Mapping[str, Any], status: str, error: ErrorInfo | None) -> dict[str, Any]:
    """Return a state in which handlers see the end of the run."""
    return {**state, RUN: {**(state.get(RUN) or {}), **facts_of(status, error)}}


def without_facts(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state without the end of the run, as it is stored."""
    facts = facts_of("", None)
    instant = {key: value for key, value in (state.get(RUN) or {}).items() if key not in facts}
    rest = {key: value for key, value in state.items() if key != RUN}
    return {**rest, RUN: instant} if instant else rest


def proceed(tx: Tx, run: RunRef, definition: WorkflowDefinition, end: RunEnd) -> RunEnd | None:
    """Commit the end of the body of a run, or of one of its handlers.

    Return the end of the run, or None if a handler follows. `end` is that of the body or of the handler.
    """
    stored = runs.ending_row(tx, run.key)
    ending = ending_from(stored.ending)
    position = Position.from_data(position_of(tx, run.key))
    spent = max(end.spent, stored.spent)
    if ending.status:
        ending = _handler_ended(tx, run, ending, end)
    else:
        ending = _decided(tx, run, definition, ending, end, position, begun=stored.begun)
    if ending.handlers and not ending.skip:
        handler = definition.handlers[ending.handlers[0]]
        ending = msgspec.structs.replace(ending, spent=spent)
        runs.set_ending(
            tx, run.key, _ending_json(ending), _position_json(_into(tx, run, handler, position)), spent
        )
        transitions.handler_started(tx, run, ending.handlers[0], ending.status)
        return None
    back = {**position.to_data(), **ending.resume}
    kept = _ending_json(Ending(failures=ending.failures)) if ending.failures else None
    runs.set_ending(tx, run.key, kept, jsonio.dumps_text(back), spent)
    return RunEnd(ending.status, spent, position.ordinal, ending.error)


def _decided(
    tx: Tx,
    run: RunRef,
    definition: WorkflowDefinition,
    ending: Ending,
    end: RunEnd,
    position: Position,
    *,
    begun: bool,
) -> Ending:
    """Return the ending of a run whose body has ended. A run that never began has nothing to clean up."""
    handlers = handlers_for(definition, end.status) if begun else ()
    if ending.skip and handlers:
        transitions.handlers_skipped(tx, run, handlers)
    resume = {
        "frontier": position.frontier,
        "mark": position.mark,
        "floor": position.floor,
        "fresh": position.fresh,
    }
    return Ending(end.status, () if ending.skip else handlers, end.error, resume=resume)


def _handler_ended(tx: Tx, run: RunRef, ending: Ending, end: RunEnd) -> Ending:
    """Return the ending after the end of its current handler, whose failure is recorded."""
    if ending.skip:
        transitions.handlers_skipped(tx, run, ending.handlers)
        return msgspec.structs.replace(ending, handlers=())
    current, *rest = ending.handlers
    failures = ending.failures
    if end.status != "succeeded":
        error = end.error or ErrorInfo(type="Error", message=end.status)
        failures = (*failures, HandlerFailure(current, error))
    transitions.handler_finished(tx, run, current, end)
    return msgspec.structs.replace(ending, handlers=tuple(rest), failures=failures)


def _into(tx: Tx, run: RunRef, handler: EndHandler, position: Position) -> Position:
    """Return the position at the begin of a handler. Its nodes are new visits, with new idempotency keys."""
    counts = position.counts | {
        node: attempt_rows.last_iteration(tx, run.key, node) for node in handler.nodes
    }
    return replace(
        position,
        frontier=[handler.start],
        counts=counts,
        mark=attempt_rows.last(tx, run.key),
        floor=sum(counts.values()),
    )


def _ending_json(ending: Ending) -> str:
    return msgspec.json.encode(ending).decode()


def _position_json(position: Position) -> str:
    return jsonio.dumps_text(position.to_data())


__all__ = ["facts_of", "handlers_for", "proceed", "skips_handlers", "with_facts", "without_facts"]
