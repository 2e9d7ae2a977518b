"""Transitions of runs and attempts: every change of a run is one of these, with its event."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import Actor, ErrorInfo, UsageInfo
from victor_engine.clock import to_us
from victor_engine.domain.transitions import RunCommand, next_status
from victor_engine.events import EventKind
from victor_engine.reserved import refusal
from victor_engine.runtime.effects import Done, Onward, Step
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.deadletters import add_dead_letter
from victor_engine.store.progress import onward_json, position_of
from victor_engine.store.runs import LIVE


class RunRef(Struct, frozen=True):
    """What a transition needs to know of a run."""

    key: int
    id: str
    workflow: str
    definition_id: int
    schedule_id: str | None


def error_json(error: ErrorInfo | None) -> str | None:
    return None if error is None else msgspec.json.encode(error).decode()


def cancel(tx: Tx, run: RunRef, actor: Actor, note: str) -> None:
    """Mark a run as cancelling. ConflictError if it has ended."""
    (status,) = tx.execute("SELECT status FROM runs WHERE key = ?", (run.key,)).fetchone()
    new = next_status(run.id, status, RunCommand.CANCEL)
    tx.execute("UPDATE runs SET status = ?, revision = revision + 1 WHERE key = ?", (new, run.key))
    _event(tx, run, EventKind.RUN_CANCELLING, actor=actor, data={"note": note} if note else None)


def pause(tx: Tx, run: RunRef, actor: Actor, note: str) -> str:
    """Hold a run, and return its new status: `paused` if it is queued, else `pausing`.

    A run that waits may have been answered at this moment, so its task says when it has come to rest.
    """
    (status,) = tx.execute("SELECT status FROM runs WHERE key = ?", (run.key,)).fetchone()
    new = next_status(run.id, status, RunCommand.PAUSE)
    tx.execute("UPDATE runs SET status = ?, revision = revision + 1 WHERE key = ?", (new, run.key))
    kind = EventKind.RUN_PAUSED if new == "paused" else EventKind.RUN_PAUSING
    _event(tx, run, kind, actor=actor, data={"note": note} if note else None)
    return new


def rest(tx: Tx, run: RunRef) -> str:
    """Let a run that is `pausing` rest as `paused`; attempts that were at work are interrupted.

    Return the status: another one than `paused` if the run was resumed or cancelled since.
    """
    end_live_attempts(tx, run, "interrupted")
    changed = tx.execute(
        "UPDATE runs SET status = 'paused', revision = revision + 1 WHERE key = ? AND status = 'pausing'",
        (run.key,),
    ).rowcount
    if not changed:
        return str(tx.execute("SELECT status FROM runs WHERE key = ?", (run.key,)).fetchone()[0])
    asked = tx.execute(
        "SELECT actor, data FROM events WHERE run_key = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
        (run.key, EventKind.RUN_PAUSING),
    ).fetchone()
    actor, data = (actor_from_json(asked[0]), jsonio.loads(asked[1] or "{}")) if asked else (None, None)
    _event(tx, run, EventKind.RUN_PAUSED, actor=actor, data=data)
    return "paused"


def resume(tx: Tx, run: RunRef, actor: Actor, note: str) -> tuple[str, int]:
    """Let a paused or pausing run go on; return its new status and its priority."""
    status, priority = tx.execute("SELECT status, priority FROM runs WHERE key = ?", (run.key,)).fetchone()
    new = next_status(run.id, status, RunCommand.RESUME)
    tx.execute("UPDATE runs SET status = ?, revision = revision + 1 WHERE key = ?", (new, run.key))
    _event(tx, run, EventKind.RUN_RESUMED, actor=actor, data={"note": note} if note else None)
    return new, int(priority)


def start(tx: Tx, run: RunRef, again: bool) -> bool:
    """A queued run gets its place, or a run is taken up again after a restart or a pause.

    Return False if its status has changed meanwhile; it then stays what it was made.
    """
    cursor = tx.execute(
        "UPDATE runs SET status = 'running', started_at = COALESCE(started_at, ?), revision = revision + 1"
        " WHERE key = ? AND status IN ('queued', 'running')",
        (tx.now_us, run.key),
    )
    if cursor.rowcount:
        _event(tx, run, EventKind.RUN_RESUMED if again else EventKind.RUN_STARTED)
    return cursor.rowcount > 0


_BEGIN = (
    "UPDATE runs SET status = 'running', started_at = ?, revision = revision + 1"
    " WHERE key = ? AND status = 'queued' AND started_at IS NULL"
)


def begin(tx: Tx, run: RunRef) -> None:
    """A run that is queued and has not begun gets its place. A plain transition."""
    tx.later(_BEGIN, (tx.now_us, run.key))
    _event(tx, run, EventKind.RUN_STARTED)


class RunEnd(Struct, frozen=True):
    """How a run ended. `spent` is the microseconds that it was at work, `nodes_done` the steps that its walk
    has done (None: they are counted)."""

    status: str
    spent: int
    nodes_done: int | None = None
    error: ErrorInfo | None = None


_FINISH = (
    "UPDATE runs SET status = ?, finished_at = ?, error = ?, spent = ?, nodes_done = ?, revision = revision + 1"
    " WHERE key = ?"
)


def finish(tx: Tx, run: RunRef, end: RunEnd) -> None:
    """The run's end. A failed run keeps its position, so that it can go on from there, and is a dead letter
    until somebody deals with it. Of one that has not failed this is a plain transition."""
    done = end.nodes_done if end.nodes_done is not None else position_of(tx, run.key).get("at", 0)
    tx.later(_FINISH, (end.status, tx.now_us, error_json(end.error), end.spent, done, run.key))
    data: dict[str, Any] = {"status": end.status}
    if end.error is not None:
        data["error"] = {"type": end.error.type, "message": end.error.message, "node": end.error.node_id}
    _event(tx, run, EventKind.RUN_FINISHED, data=data)
    if end.status == "failed":
        tx.apart()
        # What becomes of a child's failure is for the parent that waits for it to say.
        if not _awaited(tx, run):
            add_dead_letter(tx, run.key, run.workflow, end.error)


def _awaited(tx: Tx, run: RunRef) -> bool:
    return (
        tx.execute("SELECT 1 FROM attempts WHERE child_key = ? AND status = 'waiting'", (run.key,)).fetchone()
        is not None
    )


def begin_attempt(tx: Tx, run: RunRef, step: Step, number: int, binding: str) -> int:
    _end_retrying(tx, run, step, number)
    attempt = _insert(tx, run, step, number, "running", binding=binding)
    _event(
        tx,
        run,
        EventKind.NODE_STARTED,
        node_id=step.key,
        data={"attempt": number, "iteration": step.iteration, "by": binding},
    )
    return attempt


def _end_retrying(tx: Tx, run: RunRef, step: Step, number: int) -> None:
    """With the next attempt the one before it has failed for good."""
    if number > 1:
        tx.execute(
            "UPDATE attempts SET status = 'failed', retry_at = NULL"
            " WHERE run_key = ? AND node_id = ? AND iteration = ? AND status = 'retrying'",
            (run.key, step.key, step.iteration),
        )


def begin_wait(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    binding: str,
    wait: dict[str, Any],
    *,
    rests: bool,
    child_key: int | None = None,
) -> int:
    """An attempt that waits from its first moment on. With `rests` the run has nothing else to do."""
    _end_retrying(tx, run, step, number)
    attempt = _insert(tx, run, step, number, "waiting", binding=binding)
    tx.execute(
        "UPDATE attempts SET wait = ?, child_key = ? WHERE id = ?",
        (jsonio.dumps_text(wait), child_key, attempt),
    )
    if rests:
        set_waiting(tx, run)
    data = {"attempt": number, "iteration": step.iteration, "by": binding}
    until = [wait[key] for key in ("due", "deadline") if key in wait]
    if until:
        data["until"] = min(until)
    _event(tx, run, EventKind.NODE_STARTED, node_id=step.key, data=data)
    return attempt


def await_verdict(tx: Tx, attempt: int) -> tuple[int, int, str]:
    """Let an interrupted attempt wait for what people say of it; return its number, start and binding."""
    wait = {"text": "a person, because it was interrupted", "since": tx.now_us, "interrupted": True}
    tx.execute(
        "UPDATE attempts SET status = 'waiting', wait = ? WHERE id = ? AND status = 'interrupted'",
        (jsonio.dumps_text(wait), attempt),
    )
    number, started_at, binding = tx.execute(
        "SELECT number, started_at, binding FROM attempts WHERE id = ?", (attempt,)
    ).fetchone()
    return int(number), int(started_at), str(binding or "")


def stay_interrupted(tx: Tx, attempt: int) -> None:
    """An attempt that people were asked about counts as interrupted again: it is tried once more."""
    tx.execute(
        "UPDATE attempts SET status = 'interrupted', wait = NULL WHERE id = ? AND status = 'waiting'",
        (attempt,),
    )


def set_waiting(tx: Tx, run: RunRef) -> None:
    """All that a run could do is done: it waits."""
    tx.execute(
        "UPDATE runs SET status = 'waiting', revision = revision + 1 WHERE key = ? AND status = 'running'",
        (run.key,),
    )


def set_working(tx: Tx, run: RunRef, *, revised: bool = True) -> None:
    """A run that waited has something to do again. `revised`: whoever looked at it has to look again."""
    tx.execute(
        "UPDATE runs SET status = 'running', revision = revision + ? WHERE key = ? AND status = 'waiting'",
        (int(revised), run.key),
    )


def process_started(tx: Tx, attempt: int, pid: int, pgid: int, start_ticks: int) -> None:
    tx.execute(
        "UPDATE attempts SET pid = ?, pgid = ?, proc_start = ? WHERE id = ?",
        (pid, pgid, start_ticks, attempt),
    )


def used(tx: Tx, attempt: int, usage: UsageInfo) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO usage (attempt_id, model, input_tokens, output_tokens, tool_calls, cost)"
        " VALUES (?,?,?,?,?,?)",
        (attempt, *msgspec.structs.astuple(usage)),
    )


def pure_step(run: RunRef, step: Step, done: Done, onward: Onward | None, patch: str | None, tx: Tx) -> None:
    """A step that only computes: an attempt that is over as it begins. A plain transition."""
    node = step.node
    tx.later(
        _PURE_STEP,
        (
            run.key,
            run.definition_id,
            step.key,
            node.type,
            step.iteration,
            step.parent,
            tx.now_us,
            tx.now_us,
            patch,
            done.branch,
            *_onward(onward),
        ),
    )
    _completed(tx, run, step, done)


_PURE_STEP = (
    "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, parent, status,"
    " started_at, finished_at, patch, branch, ordinal, onward, counted)"
    " VALUES (?,?,?,?,?,1,?,'succeeded',?,?,?,?,?,?,?)"
)


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
        # A failed attempt whose failure the author handles keeps its status.
        tx.execute(
            "UPDATE attempts SET status = CASE status WHEN 'failed' THEN 'failed' ELSE 'succeeded' END,"
            " finished_at = ?, patch = ?, branch = ?, ordinal = ?, onward = ?, counted = ? WHERE id = ?",
            (tx.now_us, patch, done.branch, *_onward(onward), attempt),
        )
        _completed(tx, run, step, done)
    if onward is not None:
        tx.execute("UPDATE runs SET spent = ? WHERE key = ? AND spent <> ?", (spent, run.key, spent))
        set_working(tx, run, revised=False)
    if snapshot is not None:
        tx.execute("INSERT INTO run_states VALUES (?,?,?)", (run.key, attempt, snapshot))
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
        attempt = _insert(
            tx, run, step, number, status, error=error_json(error), ended=True, retry_at=retry_at
        )
    else:
        _cancel_child(tx, run, attempt)
        tx.execute(
            "UPDATE attempts SET status = ?, finished_at = ?, error = ?, retry_at = ? WHERE id = ?",
            (status, tx.now_us, error_json(error), retry_at, attempt),
        )
    if retry_at is not None:
        tx.execute("UPDATE runs SET retries = retries + 1 WHERE key = ?", (run.key,))
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
    which = "a.status = 'running'" if status == "interrupted" else LIVE
    query = f"SELECT a.id, a.node_id FROM attempts a WHERE a.run_key = ? AND {which}"
    parameters: list[Any] = [run.key]
    if parent is not None:
        # With what is inside of what is inside of it.
        query = (
            "WITH RECURSIVE inside (id) AS (SELECT ? UNION SELECT a.node_id FROM attempts a JOIN inside i"
            " ON a.parent = i.id WHERE a.run_key = ? AND a.node_type IN ('parallel', 'team')) "
        ) + f"{query} AND a.parent IN (SELECT id FROM inside)"
        parameters = [parent, run.key, run.key]
    rows = tx.execute(query, parameters).fetchall()
    kind = EventKind.NODE_CANCELLED if status == "cancelled" else EventKind.NODE_INTERRUPTED
    for attempt, node_id in rows:
        if status == "cancelled":
            _cancel_child(tx, run, attempt)
        tx.execute(
            "UPDATE attempts SET status = ?, finished_at = ?, retry_at = NULL WHERE id = ?",
            (status, tx.now_us, attempt),
        )
        _event(tx, run, kind, node_id=node_id)
    return len(rows)


def _cancel_child(tx: Tx, run: RunRef, attempt: int) -> None:
    """Whatever an attempt has started and waits for ends with it."""
    row = tx.execute(
        "SELECT c.key, c.id, c.workflow, c.definition_id, c.schedule_id FROM attempts a"
        " JOIN runs c ON c.key = a.child_key WHERE a.id = ? AND a.status = 'waiting'",
        (attempt,),
    ).fetchone()
    if row is not None:
        cancel_child(tx, run, RunRef(*row))


def cancel_child(tx: Tx, run: RunRef, child: RunRef) -> None:
    """Mark a child as to be cancelled because its parent no longer waits for it."""
    cursor = tx.execute(
        "UPDATE runs SET status = 'cancelling', revision = revision + 1"
        " WHERE key = ? AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused')",
        (child.key,),
    )
    if cursor.rowcount:
        data = {"by_parent": run.id, "note": f"run {run.id}, which has started it, no longer waits for it"}
        _event(tx, child, EventKind.RUN_CANCELLING, data=data)


def warn(tx: Tx, run: RunRef, node_id: str | None, message: str, data: dict[str, Any]) -> None:
    _event(tx, run, EventKind.RUN_WARNING, node_id=node_id, data={"message": message, **data})


def warn_reserved(tx: Tx, run: RunRef, node_id: str | None, names: Sequence[str]) -> None:
    """Record that something tried to write names of the state that the engine alone writes."""
    warn(tx, run, node_id, refusal(names), {"reserved": list(names)})


def processes(connection: sqlite3.Connection, run_key: int) -> list[tuple[int, int, int]]:
    """Process id, group and start of every attempt of a run that is on record as running."""
    return connection.execute(
        "SELECT pid, pgid, proc_start FROM attempts WHERE run_key = ? AND status = 'running' AND pid IS NOT NULL",
        (run_key,),
    ).fetchall()


def at_work(source: Tx | sqlite3.Connection, run_key: int) -> bool:
    """Whether an attempt of a run is on record as running."""
    sql = "SELECT 1 FROM attempts WHERE run_key = ? AND status = 'running' LIMIT 1"
    return source.execute(sql, (run_key,)).fetchone() is not None


def last_attempt(source: Tx | sqlite3.Connection, run_key: int) -> int:
    row = source.execute("SELECT MAX(id) FROM attempts WHERE run_key = ?", (run_key,)).fetchone()
    return int(row[0] or 0)


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


def _insert(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    status: str,
    *,
    binding: str | None = None,
    patch: str | None = None,
    branch: str | None = None,
    error: str | None = None,
    retry_at: int | None = None,
    ended: bool = False,
) -> int:
    cursor = tx.execute(
        "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, parent, status,"
        " started_at, finished_at, retry_at, binding, patch, branch, error)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            run.key,
            run.definition_id,
            step.key,
            step.node.type,
            step.iteration,
            number,
            step.parent,
            status,
            tx.now_us,
            tx.now_us if ended else None,
            retry_at,
            binding,
            patch,
            branch,
            error,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


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
    "await_verdict",
    "begin",
    "begin_attempt",
    "begin_wait",
    "cancel",
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
