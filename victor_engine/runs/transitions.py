"""Transitions of runs and attempts. Each change of a run is one of these, together with its event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import Actor, ErrorInfo, UsageInfo
from victor_engine.clock import to_us
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Done, Onward, Step
from victor_engine.reserved import refusal
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.events import last_of_run
from victor_engine.store.repositories import attempt_rows, attempts, run_rows, runs
from victor_engine.store.repositories.attempt_rows import at_work, processes
from victor_engine.store.repositories.attempt_rows import last as last_attempt
from victor_engine.store.repositories.attempts import StepRow
from victor_engine.store.repositories.deadletters import add_dead_letter
from victor_engine.store.repositories.run_rows import RunRef
from victor_engine.store.state import ITEM
from victor_engine.store.stored_position import onward_json, position_of


def error_json(error: ErrorInfo | None) -> str | None:
    """Return the stored form of an error."""
    return None if error is None else msgspec.json.encode(error).decode()


def rest(tx: Tx, run: RunRef) -> str:
    """Make a `pausing` run `paused`, and its active attempts interrupted.

    Return the status. It is not `paused` if the run was resumed or cancelled before.
    """
    end_live_attempts(tx, run, "interrupted")
    if not runs.set_paused(tx, run.key):
        return run_rows.status_of(tx, run.key)
    asked = last_of_run(tx, run.key, EventKind.RUN_PAUSING)
    actor, data = (actor_from_json(asked[0]), jsonio.loads(asked[1] or "{}")) if asked else (None, None)
    _event(tx, run, EventKind.RUN_PAUSED, actor=actor, data=data)
    return "paused"


def start(tx: Tx, run: RunRef, again: bool) -> bool:
    """Start a queued run, or continue a run after a restart or a pause.

    Return False, with nothing changed, if its status no longer allows it.
    """
    if not runs.start(tx, run.key):
        return False
    _event(tx, run, EventKind.RUN_RESUMED if again else EventKind.RUN_STARTED)
    return True


def begin(tx: Tx, run: RunRef) -> None:
    """Start a run that `runs.lock_new` has found. A plain transition."""
    runs.begin(tx, run.key)
    _event(tx, run, EventKind.RUN_STARTED)


class RunEnd(Struct, frozen=True):
    """The end of a run. `spent` is its active time in microseconds. `nodes_done` is the number of steps of its walk;
    None reads the number from the position."""

    status: str
    spent: int
    nodes_done: int | None = None
    error: ErrorInfo | None = None


def finish(tx: Tx, run: RunRef, end: RunEnd) -> None:
    """End a run. A failed run keeps its position, so that it can continue from there, and becomes a dead letter.
    For a run that has not failed this is a plain transition."""
    done = end.nodes_done if end.nodes_done is not None else position_of(tx, run.key).get("at", 0)
    runs.finish(tx, run.key, end.status, error_json(end.error), end.spent, done)
    data: dict[str, Any] = {"status": end.status}
    if end.error is not None:
        data["error"] = {"type": end.error.type, "message": end.error.message, "node": end.error.node_id}
    _event(tx, run, EventKind.RUN_FINISHED, data=data)
    if end.status == "failed":
        tx.apart()
        # The parent that waits for a child decides about the failure of the child.
        if not attempt_rows.awaits_child(tx, run.key):
            add_dead_letter(tx, run.key, run.workflow, end.error)


def handler_started(tx: Tx, run: RunRef, handler: str, status: str) -> None:
    """Record that a handler of the end of a run begins. `status` is the final status of the run."""
    _event(tx, run, EventKind.RUN_ENDING, data={"handler": handler, "status": status})


def handler_finished(tx: Tx, run: RunRef, handler: str, end: RunEnd) -> None:
    """Record the end of a handler of the end of a run."""
    data: dict[str, Any] = {"handler": handler, "status": end.status}
    if end.error is not None:
        data["error"] = {"type": end.error.type, "message": end.error.message, "node": end.error.node_id}
    _event(tx, run, EventKind.RUN_HANDLER_FINISHED, data=data)


def handlers_skipped(tx: Tx, run: RunRef, handlers: Sequence[str]) -> None:
    """Record that handlers of the end of a run are not executed, because an operator cancelled them."""
    _event(tx, run, EventKind.RUN_HANDLERS_SKIPPED, data={"handlers": list(handlers)})


def _row(run: RunRef, step: Step) -> StepRow:
    kind = step.node.type if step.item is None else ITEM
    return StepRow(run, step.key, kind, step.iteration, step.parent)


def begin_attempt(tx: Tx, run: RunRef, step: Step, number: int, binding: str) -> int:
    """Begin an attempt and return its handle."""
    row = _row(run, step)
    _end_retrying(tx, row, number)
    attempt = attempts.add(tx, row, number, "running", binding=binding)
    _event(
        tx,
        run,
        EventKind.NODE_STARTED,
        node_id=step.key,
        data={"attempt": number, "iteration": step.iteration, "by": binding},
    )
    return attempt


def _end_retrying(tx: Tx, step: StepRow, number: int) -> None:
    """Mark the previous attempt as failed when the next one begins."""
    if number > 1:
        attempts.fail_retrying(tx, step)


def begin_wait(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    binding: str,
    wait: dict[str, Any],
    *,
    idle: bool,
    child_key: int | None = None,
) -> int:
    """Begin an attempt that waits from the start. `idle` says that all strands of the run wait."""
    row = _row(run, step)
    _end_retrying(tx, row, number)
    attempt = attempts.add(
        tx, row, number, "waiting", binding=binding, wait=jsonio.dumps_text(wait), child_key=child_key
    )
    if idle:
        set_waiting(tx, run)
    data = {"attempt": number, "iteration": step.iteration, "by": binding}
    until = [wait[key] for key in ("due", "deadline") if key in wait]
    if until:
        data["until"] = min(until)
    _event(tx, run, EventKind.NODE_STARTED, node_id=step.key, data=data)
    return attempt


def await_decision(tx: Tx, run: RunRef, attempt: int) -> tuple[int, int, str]:
    """Make an interrupted attempt wait for a decision of people. Return its number, start and binding."""
    wait = {"text": "a decision about the interrupted attempt", "since": tx.now_us, "interrupted": True}
    attempts.await_decision(tx, run.key, attempt, jsonio.dumps_text(wait))
    return attempt_rows.begun(tx, attempt)


def stay_interrupted(tx: Tx, run: RunRef, attempt: int) -> None:
    """Make an attempt interrupted again after people have decided that it is retried."""
    attempts.stay_interrupted(tx, run.key, attempt)


def set_waiting(tx: Tx, run: RunRef) -> None:
    """Make an idle run `waiting`, unless it is pausing or cancelling."""
    runs.set_waiting(tx, run.key)


def set_working(tx: Tx, run: RunRef, *, revised: bool = True) -> None:
    """Make a waiting run `running`. With `revised`, operators must read the run again before a command."""
    runs.set_working(tx, run.key, revised=revised)


def process_started(tx: Tx, run: RunRef, attempt: int, pid: int, pgid: int, start_ticks: int) -> None:
    """Record the process of an attempt before its command begins."""
    attempts.set_process(tx, run.key, attempt, pid, pgid, start_ticks)


def used(tx: Tx, run: RunRef, attempt: int, usage: UsageInfo) -> None:
    """Record the total usage of an attempt."""
    attempts.set_usage(tx, run.key, attempt, msgspec.structs.astuple(usage))


def pure_step(run: RunRef, step: Step, done: Done, onward: Onward | None, patch: str | None, tx: Tx) -> None:
    """Record a step that only computes, as an attempt that begins and ends at once. A plain transition."""
    attempts.add_done(tx, _row(run, step), patch, done.branch, *_onward(onward))
    _completed(tx, run, step, done)


def complete_attempt(
    tx: Tx,
    run: RunRef,
    step: Step,
    attempt: int | None,
    done: Done,
    onward: Onward | None,
    patch: str | None,
    spent: int,
    snapshot: str | None,
) -> int:
    """Record the result of a step and its change of the position. A step without an attempt gets one.

    `patch` is the result of `patch_json`, and `snapshot` is the JSON of the state after the step.
    """
    if attempt is None:
        pure_step(run, step, done, onward, patch, tx)
        tx.flush()
        attempt = last_attempt(tx, run.key)
    else:
        attempts.complete(tx, run.key, attempt, patch, done.branch, *_onward(onward))
        _completed(tx, run, step, done)
    if onward is not None:
        runs.set_spent(tx, run.key, spent)
        set_working(tx, run, revised=False)
    if snapshot is not None:
        runs.add_state(tx, run.key, attempt, snapshot)
    return attempt


def _onward(onward: Onward | None) -> tuple[int | None, str | None, str | None]:
    """Return `ordinal`, `onward` and `counted` of an attempt."""
    if onward is None:
        return None, None, None
    return onward.ordinal, *onward_json(onward.frontier, onward.inside)


def _completed(tx: Tx, run: RunRef, step: Step, done: Done) -> None:
    data: dict[str, Any] = {"iteration": step.iteration}
    if done.branch is not None:
        data["branch"] = done.branch
    _event(tx, run, EventKind.NODE_COMPLETED, node_id=step.key, data=data)
    if done.ended is not None:
        _event(tx, run, EventKind.BRANCH_ENDED, node_id=step.key, data={"reason": done.ended})
    if done.reserved:
        warn_reserved(tx, run, step.key, done.reserved)


def fail_attempt(
    tx: Tx,
    run: RunRef,
    step: Step,
    attempt: int | None,
    number: int,
    error: ErrorInfo,
    retry_at: int | None,
) -> int:
    """Record the failure of an attempt: finally, or with the time of its retry in microseconds. Return its handle."""
    status = "failed" if retry_at is None else "retrying"
    if attempt is None:
        attempt = attempts.add(
            tx, _row(run, step), number, status, error=error_json(error), ended=True, retry_at=retry_at
        )
    else:
        _cancel_child(tx, run, attempt)
        attempts.fail(tx, run.key, attempt, error_json(error), retry_at)
    if retry_at is not None:
        runs.count_retry(tx, run.key)
    _event(
        tx,
        run,
        EventKind.NODE_FAILED if retry_at is None else EventKind.NODE_RETRYING,
        node_id=step.key,
        data={
            "attempt": number,
            "iteration": step.iteration,
            "type": error.type,
            "message": error.message[:2000],
            **({"retry_at": retry_at} if retry_at is not None else {}),
        },
    )
    return attempt


def end_live_attempts(tx: Tx, run: RunRef, status: str, parent: str | None = None) -> int:
    """Cancel or interrupt the open attempts of a run, or of one parallel node in it. Return their number."""
    # An interruption leaves requests and retries open, because they do not need a running engine.
    rows = attempts.live(tx, run.key, only_running=status == "interrupted", inside=parent)
    kind = EventKind.NODE_CANCELLED if status == "cancelled" else EventKind.NODE_INTERRUPTED
    for attempt, node_id in rows:
        if status == "cancelled":
            _cancel_child(tx, run, attempt)
        attempts.end(tx, run.key, attempt, status)
        _event(tx, run, kind, node_id=node_id)
    return len(rows)


def _cancel_child(tx: Tx, run: RunRef, attempt: int) -> None:
    """Cancel the child that an attempt has started and waits for."""
    child = attempt_rows.awaited_child(tx, attempt)
    if child is not None:
        cancel_child(tx, run, child)


def cancel_child(tx: Tx, run: RunRef, child: RunRef) -> None:
    """Make a child `cancelling` because its parent no longer waits for it, unless it has ended."""
    if runs.set_cancelling(tx, child.key):
        data = {"by_parent": run.id, "note": f"its parent, run {run.id}, no longer waits for it"}
        _event(tx, child, EventKind.RUN_CANCELLING, data=data)


def cancel_for(tx: Tx, run: RunRef, other: RunRef, reason: ErrorInfo) -> None:
    """Make a run `cancelling` because of another run with its concurrency key, unless it has ended."""
    if runs.set_cancelling(tx, run.key):
        data = {"by_run": other.id, "type": reason.type, "note": reason.message}
        _event(tx, run, EventKind.RUN_CANCELLING, data=data)


def child_continued(tx: Tx, run: RunRef, child: RunRef, node: str) -> None:
    """Record that a run continues its child from a node, because the run is tried again."""
    _event(tx, child, EventKind.RUN_RESUMED, data={"from": node, "by_parent": run.id})


def warn(tx: Tx, run: RunRef, node_id: str | None, message: str, data: dict[str, Any]) -> None:
    """Record a warning of a run."""
    _event(tx, run, EventKind.RUN_WARNING, node_id=node_id, data={"message": message, **data})


def warn_reserved(tx: Tx, run: RunRef, node_id: str | None, names: Sequence[str]) -> None:
    """Record that a step tried to write reserved keys of the state."""
    warn(tx, run, node_id, refusal(names), {"reserved": list(names)})


def patch_json(step: Step, done: Done) -> str | None:
    """Return the stored form of the change of a step."""
    if step.parent is None:
        return done.patch.to_json()
    # Inside a parallel, team or map, the successors and the result of a member are stored too, so that the
    # branch continues after a crash without a repetition of the step.
    data = done.patch.to_data()
    if done.successors:
        data["n"] = list(done.successors)
    if step.member is not None or step.item is not None:
        data["r"] = done.result
    return jsonio.dumps_text(data)


def _event(
    tx: Tx,
    run: RunRef,
    kind: EventKind,
    *,
    actor: Actor | None = None,
    node_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    tx.event(
        kind,
        actor=actor,
        run_key=run.key,
        run_id=run.id,
        schedule_id=run.schedule_id,
        workflow=run.workflow,
        node_id=node_id,
        data=data,
    )


__all__ = [
    "RunEnd",
    "RunRef",
    "at_work",
    "await_decision",
    "begin",
    "begin_attempt",
    "begin_wait",
    "cancel_child",
    "cancel_for",
    "child_continued",
    "complete_attempt",
    "end_live_attempts",
    "fail_attempt",
    "finish",
    "handler_finished",
    "handler_started",
    "handlers_skipped",
    "last_attempt",
    "patch_json",
    "process_started",
    "processes",
    "pure_step",
    "set_waiting",
    "set_working",
    "start",
    "stay_interrupted",
    "to_us",
    "used",
    "warn",
    "warn_reserved",
]
