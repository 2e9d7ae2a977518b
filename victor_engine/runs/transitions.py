"""Transitions of runs and attempts: every change of a run is one of these, with its event."""

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
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.repositories.attempts import StepRow, at_work, processes
from victor_engine.store.repositories.attempts import last as last_attempt
from victor_engine.store.repositories.deadletters import add_dead_letter
from victor_engine.store.repositories.runs import RunRef
from victor_engine.store.stored_position import onward_json, position_of


def error_json(error: ErrorInfo | None) -> str | None:
    return None if error is None else msgspec.json.encode(error).decode()


def rest(tx: Tx, run: RunRef) -> str:
    """Let a run that is `pausing` rest as `paused`; attempts that were at work are interrupted.

    Return the status: another one than `paused` if the run was resumed or cancelled since.
    """
    end_live_attempts(tx, run, "interrupted")
    if not runs.set_paused(tx, run.key):
        return runs.status_of(tx, run.key)
    asked = last_of_run(tx, run.key, EventKind.RUN_PAUSING)
    actor, data = (actor_from_json(asked[0]), jsonio.loads(asked[1] or "{}")) if asked else (None, None)
    _event(tx, run, EventKind.RUN_PAUSED, actor=actor, data=data)
    return "paused"


def start(tx: Tx, run: RunRef, again: bool) -> bool:
    """A queued run gets its place, or a run is taken up again after a restart or a pause.

    Return False if its status has changed meanwhile; it then stays what it was made.
    """
    if not runs.start(tx, run.key):
        return False
    _event(tx, run, EventKind.RUN_RESUMED if again else EventKind.RUN_STARTED)
    return True


def begin(tx: Tx, run: RunRef) -> None:
    """A run that `runs.lock_new` has found gets its place. A plain transition."""
    runs.begin(tx, run.key)
    _event(tx, run, EventKind.RUN_STARTED)


class RunEnd(Struct, frozen=True):
    """How a run ended. `spent` is the microseconds that it was at work, `nodes_done` the steps that its walk
    has done (None: they are counted)."""

    status: str
    spent: int
    nodes_done: int | None = None
    error: ErrorInfo | None = None


def finish(tx: Tx, run: RunRef, end: RunEnd) -> None:
    """The run's end. A failed run keeps its position, so that it can go on from there, and is a dead letter
    until somebody deals with it. Of one that has not failed this is a plain transition."""
    done = end.nodes_done if end.nodes_done is not None else position_of(tx, run.key).get("at", 0)
    runs.finish(tx, run.key, end.status, error_json(end.error), end.spent, done)
    data: dict[str, Any] = {"status": end.status}
    if end.error is not None:
        data["error"] = {"type": end.error.type, "message": end.error.message, "node": end.error.node_id}
    _event(tx, run, EventKind.RUN_FINISHED, data=data)
    if end.status == "failed":
        tx.apart()
        # What becomes of a child's failure is for the parent that waits for it to say.
        if not attempts.awaits_child(tx, run.key):
            add_dead_letter(tx, run.key, run.workflow, end.error)


def _row(run: RunRef, step: Step) -> StepRow:
    return StepRow(run, step.key, step.node.type, step.iteration, step.parent)


def begin_attempt(tx: Tx, run: RunRef, step: Step, number: int, binding: str) -> int:
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
    """With the next attempt the one before it has failed for good."""
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
    """An attempt that waits from its first moment on. With `rests` the run has nothing else to do."""
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
    """Let an interrupted attempt wait for what people say of it; return its number, start and binding."""
    wait = {"text": "a person, because it was interrupted", "since": tx.now_us, "interrupted": True}
    attempts.await_decision(tx, run.key, attempt, jsonio.dumps_text(wait))
    return attempts.begun(tx, attempt)


def stay_interrupted(tx: Tx, run: RunRef, attempt: int) -> None:
    """An attempt that people were asked about counts as interrupted again: it is tried once more."""
    attempts.stay_interrupted(tx, run.key, attempt)


def set_waiting(tx: Tx, run: RunRef) -> None:
    """All that a run could do is done: it waits. One that was told to pause or to end stays so."""
    runs.set_waiting(tx, run.key)


def set_working(tx: Tx, run: RunRef, *, revised: bool = True) -> None:
    """A run that waited has something to do again. `revised`: whoever looked at it has to look again."""
    runs.set_working(tx, run.key, revised=revised)


def process_started(tx: Tx, run: RunRef, attempt: int, pid: int, pgid: int, start_ticks: int) -> None:
    attempts.set_process(tx, run.key, attempt, pid, pgid, start_ticks)


def used(tx: Tx, run: RunRef, attempt: int, usage: UsageInfo) -> None:
    attempts.set_usage(tx, run.key, attempt, msgspec.structs.astuple(usage))


def pure_step(run: RunRef, step: Step, done: Done, onward: Onward | None, patch: str | None, tx: Tx) -> None:
    """A step that only computes: an attempt that is over as it begins. A plain transition."""
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
    """A step's result, with what it changes of the position. Without an attempt (a pure node) one is recorded.

    `patch` is what `patch_json` gives, `snapshot` the JSON of the state after the step.
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
    """Everything of a run (or of one parallel in it) that still ran becomes cancelled or interrupted."""
    # A question stays asked and a retry stays due: neither needs its engine to be alive.
    rows = attempts.live(tx, run.key, only_running=status == "interrupted", inside=parent)
    kind = EventKind.NODE_CANCELLED if status == "cancelled" else EventKind.NODE_INTERRUPTED
    for attempt, node_id in rows:
        if status == "cancelled":
            _cancel_child(tx, run, attempt)
        attempts.end(tx, run.key, attempt, status)
        _event(tx, run, kind, node_id=node_id)
    return len(rows)


def _cancel_child(tx: Tx, run: RunRef, attempt: int) -> None:
    """Whatever an attempt has started and waits for ends with it."""
    child = attempts.awaited_child(tx, attempt)
    if child is not None:
        cancel_child(tx, run, child)


def cancel_child(tx: Tx, run: RunRef, child: RunRef) -> None:
    """Mark a child as to be cancelled because its parent no longer waits for it, unless it has ended."""
    if runs.set_cancelling(tx, child.key):
        data = {"by_parent": run.id, "note": f"run {run.id}, which has started it, no longer waits for it"}
        _event(tx, child, EventKind.RUN_CANCELLING, data=data)


def warn(tx: Tx, run: RunRef, node_id: str | None, message: str, data: dict[str, Any]) -> None:
    _event(tx, run, EventKind.RUN_WARNING, node_id=node_id, data={"message": message, **data})


def warn_reserved(tx: Tx, run: RunRef, node_id: str | None, names: Sequence[str]) -> None:
    """Record that something tried to write names of the state that the engine alone writes."""
    warn(tx, run, node_id, refusal(names), {"reserved": list(names)})


def patch_json(step: Step, done: Done) -> str | None:
    """The stored form of what a step changed."""
    if step.parent is None:
        return done.patch.to_json()
    # Inside a parallel or team the way on and a member's bare result are kept as well: after a
    # crash the branch goes on from there without doing the step again.
    data = done.patch.to_data()
    if done.successors:
        data["n"] = list(done.successors)
    if step.member is not None:
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
    "complete_attempt",
    "end_live_attempts",
    "fail_attempt",
    "finish",
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
