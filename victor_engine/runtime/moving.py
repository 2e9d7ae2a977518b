"""Runs that rest, moved to another version: planned on what is stored, then applied under compare-and-set.

A plan writes nothing and may run an author's function, so it is made outside of the writer. It is
applied in one transition, which fails unless the run is still just as it was when it was planned.
Attempts that are over stay as they were; a question that looks the same under the new version
stays asked, with its deadline and its votes; another one is withdrawn and asked anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine import jsonio
from victor_engine.api import Actor, MigrationStepResult, RunMove
from victor_engine.clock import from_us
from victor_engine.definition.content import node_to_content
from victor_engine.definition.model import HITLNode, Node, ParallelNode, TeamNode, WorkflowDefinition
from victor_engine.errors import ConflictError, NodeError, NotFoundError, VictorError
from victor_engine.events import EventKind
from victor_engine.hitl.requests import Ask, build_ask, withdraw_requests
from victor_engine.runtime import journal
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.redrive import difference
from victor_engine.store.db import Tx, actor_from_json, actor_json
from victor_engine.store.patch import Patch
from victor_engine.store.progress import position_of
from victor_engine.store.state import EDIT, run_state
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration import MigrationError, WorkflowMigration
from victor_engine.versioning.position import Standing, check, move

MOVABLE = ("waiting", "paused", "failed")
"""Statuses in which nothing of a run is at work."""


class MovedMeanwhileError(ConflictError):
    """The run is not any more what it was when it was planned; plan it again."""

    code = "moved_meanwhile"


@dataclass(frozen=True, slots=True)
class Question:
    """A request that an attempt of a run waits on."""

    key: int
    revision: int
    status: str
    node_id: str
    digest: str
    ask: Ask
    deadline: int | None
    votes: int


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that is not over: it waits for a person, or for its retry."""

    id: int
    node_id: str
    iteration: int
    parent: str | None
    status: str
    retry_at: int | None
    question: Question | None = None
    child: int | None = None  # the run that it has started and waits for


@dataclass(frozen=True, slots=True)
class Resting:
    """A run as it is stored, and all that a plan depends on."""

    ref: RunRef
    status: str
    revision: int
    position: str
    started_by: str
    state: dict[str, Any]
    live: tuple[LiveAttempt, ...]
    inside: tuple[str, ...]  # parallel or team nodes that have begun and are not done
    last_attempt: int

    @property
    def mark(self) -> tuple[Any, ...]:
        """What must be the same for a plan to hold."""
        questions = tuple(
            (
                each.id,
                each.status,
                each.question and (each.question.revision, each.question.status, each.question.votes),
            )
            for each in self.live
        )
        return (
            self.status,
            self.revision,
            self.ref.definition_id,
            self.position,
            self.last_attempt,
            questions,
        )


def read_run(connection: sqlite3.Connection, key: int) -> Resting:
    """A run with what it waits for. NotFoundError if it is gone."""
    row = connection.execute(
        "SELECT id, workflow, definition_id, schedule_id, status, revision, actor FROM runs WHERE key = ?",
        (key,),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run with key {key}")
    run_id, workflow, definition_id, schedule_id, status, revision, actor = row
    position = jsonio.dumps_text(position_of(connection, key))
    questions = _questions(connection, key)
    live = []
    for each in connection.execute(
        "SELECT id, node_id, iteration, parent, status, retry_at, node_type, child_key FROM attempts"
        " WHERE run_key = ? AND status IN ('running', 'waiting', 'retrying') ORDER BY id",
        (key,),
    ):
        attempt, node_id, iteration, parent, state, retry_at, kind, child = each
        if kind == "parallel" or (kind == "team" and parent is None):
            continue  # holds others, and does nothing itself
        live.append(
            LiveAttempt(attempt, node_id, iteration, parent, state, retry_at, questions.get(attempt), child)
        )
    return Resting(
        ref=RunRef(key, run_id, workflow, definition_id, schedule_id),
        status=status,
        revision=revision,
        position=position,
        started_by=actor_from_json(actor).user,
        state=run_state(connection, key),
        live=tuple(live),
        inside=_inside(connection, key, jsonio.loads(position)),
        last_attempt=journal.last_attempt(connection, key),
    )


def _questions(connection: sqlite3.Connection, key: int) -> dict[int, Question]:
    import msgspec

    found = {}
    for attempt, number, revision, status, node_id, digest, spec, deadline, votes in connection.execute(
        "SELECT q.attempt_id, q.key, q.revision, q.status, q.node_id, q.digest, q.spec, q.deadline,"
        " (SELECT COUNT(*) FROM votes v WHERE v.request_key = q.key)"
        " FROM requests q WHERE q.run_key = ? AND q.status <> 'withdrawn' ORDER BY q.key",
        (key,),
    ):
        ask = msgspec.json.decode(spec, type=Ask)
        found[attempt] = Question(number, revision, status, node_id, digest, ask, deadline, votes)
    return found


def _inside(connection: sqlite3.Connection, key: int, position: Mapping[str, Any]) -> tuple[str, ...]:
    """Nodes of the frontier that have begun members of their own in this visit."""
    found = []
    for node in position["frontier"]:
        since = position.get("counts", {}).get(node, 0)
        if connection.execute(
            "SELECT 1 FROM attempts WHERE run_key = ? AND node_id = ? AND iteration > ?"
            " AND node_type IN ('parallel', 'team') LIMIT 1",
            (key, node, since),
        ).fetchone():
            found.append(node)
    return tuple(found)


# --- planning ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """How runs get from one version to another. `known` gives a version on the way, if it is registered."""

    source: WorkflowDefinition
    from_version: str
    target: WorkflowDefinition
    to_version: str
    target_id: int
    path: list[WorkflowMigration]
    known: Callable[[str], WorkflowDefinition | None]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(migration.migration_id for migration in self.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration makes of one run. `kept` maps attempts that go on to their node's new name."""

    run: Resting
    way: Way
    move: RunMove
    state: dict[str, Any] = field(default_factory=dict)
    stands: Standing = field(default_factory=lambda: Standing(()))
    kept: dict[int, str] = field(default_factory=dict)
    dropped: tuple[int, ...] = ()

    @property
    def ready(self) -> bool:
        return self.move.outcome == "ready"


def plan(run: Resting, way: Way, now: Any, *, detail: bool = True) -> Plan:
    """A dry run. Never raises for what the run or the migration is: the reason is in the move."""
    position = jsonio.loads(run.position)
    steps: list[MigrationStepResult] = []

    def told(outcome: str, reason: str = "", **more: Any) -> RunMove:
        return RunMove(
            run_id=run.ref.id,
            from_version=way.from_version,
            to_version=way.to_version,
            outcome=outcome,  # type: ignore[arg-type]
            run_status=run.status,
            reason=reason,
            path=way.ids,
            stands_on=tuple(position["frontier"]),
            steps=tuple(steps),
            breaking=any(migration.breaking for migration in way.path),
            **more,
        )

    try:
        _check_status(run)
        state, stands = _walk(run, way, steps, detail)
        check(stands, way.target)
        _check_inside(run, way, stands)
        kept, dropped, questions, timers = _live(run, way, state, stands, now)
    except VictorError as error:
        return Plan(run, way, told("refused", error.message))
    move_ = told("ready", goes_on_at=stands.frontier, questions=tuple(questions), timers=tuple(timers))
    return Plan(run, way, move_, state, stands, kept, dropped)


def _check_status(run: Resting) -> None:
    # A run that rests until its next attempt is due, or in whose parallel one branch waits and the others
    # are done, counts as running, and nothing of it is at work.
    rests = run.status == "running" and run.live and all(each.status != "running" for each in run.live)
    if run.status in ("queued", "running", "cancelling") and not rests:
        raise ConflictError(f"it is {run.status}; pause it, and it can be moved once it rests")
    if run.status not in MOVABLE and not rests:
        raise ConflictError(f"it is {run.status}, so there is nothing left to move")
    if any(each.status == "running" for each in run.live):
        raise ConflictError("one of its nodes is at work; pause it, and it can be moved once it rests")


def _walk(
    run: Resting, way: Way, steps: list[MigrationStepResult], detail: bool
) -> tuple[dict[str, Any], Standing]:
    """State and position after the whole chain, step by step in step."""
    import copy

    state: dict[str, Any] = copy.deepcopy(run.state)
    stands = Standing.at(jsonio.loads(run.position))
    for migration in way.path:
        there = way.known(str(migration.to_version))
        for number, step in enumerate(migration.steps, 1):
            before = copy.deepcopy(state) if detail else state
            state = migration.apply_one(number, state)
            try:
                stands, words = move(step, stands, there)
            except MigrationError as error:
                raise migration.failure(number, error) from error
            if detail:
                lines = tuple(change_lines(before, state))
                steps.append(MigrationStepResult(migration.migration_id, step.describe(), lines, words))
    return state, stands


def _check_inside(run: Resting, way: Way, stands: Standing) -> None:
    """A run that is inside a parallel or team can only move if that is the same in both versions."""
    for node in run.inside:
        if node not in stands.origin.values() or stands.origin.get(node) != node:
            raise MigrationError(
                f"the run is inside {node!r}, whose members have begun; it can move once that is done"
            )
        for member in _block(way.source, node) | _block(way.target, node):
            old, new = way.source.nodes.get(member), way.target.nodes.get(member)
            if old is None or new is None or node_to_content(old) != node_to_content(new):
                raise MigrationError(
                    f"the run is inside {node!r}, whose members have begun, and {member!r} differs in "
                    f"{way.to_version}; it can move once {node!r} is done"
                )


def _block(definition: WorkflowDefinition, node_id: str) -> set[str]:
    """A parallel or team node and all that its branches may do before they join."""
    node = definition.nodes[node_id]
    found = {node_id}
    if isinstance(node, ParallelNode):
        stop = {*node.next, node_id}
        todo = list(node.parallel_nodes)
        while todo:
            member = todo.pop()
            if member in found or member in stop or member not in definition.nodes:
                continue
            found.add(member)
            todo.extend(target for target, _, _ in definition.nodes[member].targets())
    elif not isinstance(node, TeamNode):
        return found
    return found


def _live(
    run: Resting, way: Way, state: dict[str, Any], stands: Standing, now: Any
) -> tuple[dict[int, str], tuple[int, ...], list[str], list[str]]:
    """Which attempts go on, which end, and what that means to questions and timers."""
    kept: dict[int, str] = {}
    dropped: list[int] = []
    questions: list[str] = []
    timers: list[str] = []
    names = {was: node for node, was in stands.origin.items()}
    for each in run.live:
        if each.parent is not None:
            kept[each.id] = each.node_id  # inside a node that is the same in both versions
            continue
        name = names.get(each.node_id)
        why = f"the run does not stand on {each.node_id} any more"
        if name is not None:
            why = _differs(run, way, state, name, each, now)
        if name is not None and not why:
            kept[each.id] = name
            _tell_kept(each, questions, timers)
            continue
        question = each.question
        if question is not None and question.status != "open":
            raise ConflictError(
                f"{each.node_id} was answered just now, and {why}; the answer is carried out by {way.from_version}"
            )
        if each.child is not None:
            raise ConflictError(
                f"{each.node_id} has started a run that goes on, and {why}; it can move once that run has ended"
            )
        dropped.append(each.id)
        if question is not None:
            lost = f", {question.votes} votes are lost" if question.votes else ""
            again = "asked anew" if name is not None else "withdrawn"
            questions.append(f"{each.node_id}: {again}, because {why}{lost}")
            if question.deadline is not None:
                new = "a new one comes with the new question" if name is not None else "it is gone"
                timers.append(
                    f"{each.node_id}: deadline {from_us(question.deadline):%Y-%m-%d %H:%M UTC}: {new}"
                )
        elif each.retry_at is not None:
            timers.append(f"{each.node_id}: the retry at {from_us(each.retry_at):%Y-%m-%d %H:%M UTC} is gone")
        elif each.status == "waiting":
            timers.append(f"{each.node_id}: its wait " + ("begins anew" if name is not None else "is over"))
    return kept, tuple(dropped), questions, timers


def _tell_kept(each: LiveAttempt, questions: list[str], timers: list[str]) -> None:
    if each.question is not None:
        said = "stays asked" if each.question.status == "open" else "is answered, and the answer counts"
        questions.append(f"{each.node_id}: {said}")
        if each.question.deadline is not None and each.question.status == "open":
            timers.append(
                f"{each.node_id}: deadline {from_us(each.question.deadline):%Y-%m-%d %H:%M UTC} stays"
            )
    elif each.retry_at is not None:
        timers.append(f"{each.node_id}: the retry at {from_us(each.retry_at):%Y-%m-%d %H:%M UTC} stays")
    elif each.status == "waiting":
        timers.append(f"{each.node_id}: its wait goes on")


def _differs(run: Resting, way: Way, state: dict[str, Any], name: str, each: LiveAttempt, now: Any) -> str:
    """Why an attempt at a node cannot go on under its new definition; '' if it can."""
    node = way.target.nodes[name]
    if each.question is None:
        old = way.source.nodes.get(each.node_id)
        if old is None or old.type != node.type:
            return f"it is a {node.type} node now"
        same = each.status != "waiting" or _itself(old) == _itself(node)
        return "" if same else "what it waits for is different"
    if not isinstance(node, HITLNode):
        return f"it is a {node.type} node now"
    old_node = way.source.nodes.get(each.node_id)
    try:
        ask, _ = build_ask(node, state, run.started_by, now)
        was = (
            build_ask(old_node, run.state, run.started_by, now)[0] if isinstance(old_node, HITLNode) else None
        )
    except NodeError as error:
        return f"the question cannot be asked: {error.message}"
    if not node.name and ask.title != each.question.ask.title:
        # Without a name of its own a question is called after its node: that alone is no other question.
        import msgspec

        ask = msgspec.structs.replace(ask, title=each.question.ask.title)
    if ask.shown_digest() != each.question.digest:
        return "the question is another one"
    if was is None or _rules(ask) != _rules(was):
        return "who may answer it, or until when, is different"
    return ""


def _itself(node: Node) -> dict[str, Any]:
    """What a node does, whatever it is called and wherever it leads."""
    leads = ("id", "next", "on_error", "name", "description")
    return {key: value for key, value in node_to_content(node).items() if key not in leads}


def _rules(ask: Ask) -> tuple[Any, ...]:
    return (
        ask.on_timeout, ask.timeout, ask.assignees, ask.required_approvals, ask.allow_self_approval,
        ask.require_comment, ask.max_asks, ask.escalation, ask.reject_policy,
    )  # fmt: skip


# --- applying ----------------------------------------------------------------------------------


def apply(tx: Tx, planned: Plan, actor: Actor, note: str = "") -> int:
    """Move the run as it was planned; returns the row of the history.

    MovedMeanwhileError, and nothing is changed, if the run is not any more what it was.
    """
    run, way = planned.run, planned.way
    if read_run(tx.connection, run.ref.key).mark != run.mark:
        raise MovedMeanwhileError(f"run {run.ref.id} has gone on since it was planned")
    edit = difference(run.state, planned.state)
    # What holds others, a parallel, has no process of its own: it is begun again when the run goes on.
    journal.end_live_attempts(tx, run.ref, "interrupted")
    _let_go(tx, run, planned)
    for attempt, node in planned.kept.items():
        tx.execute(
            "UPDATE attempts SET node_id = ?, definition_id = ? WHERE id = ?", (node, way.target_id, attempt)
        )
        tx.execute(
            "UPDATE requests SET node_id = ? WHERE run_key = ? AND attempt_id = ?",
            (node, run.ref.key, attempt),
        )
    if not edit.empty:
        record_edit(tx, run.ref.key, way.target_id, f"migrated: {', '.join(way.ids)}", edit)
    position = jsonio.dumps_text(_position(tx, planned))
    (overrides,) = tx.execute("SELECT overrides FROM runs WHERE key = ?", (run.ref.key,)).fetchone()
    status = _status_after(run, planned)
    tx.execute(
        "UPDATE runs SET definition_id = ?, position = ?, status = ?, overrides = ?, revision = revision + 1"
        " WHERE key = ?",
        (way.target_id, position, status, _overrides(overrides, planned), run.ref.key),
    )
    snapshot = {
        "definition_id": run.ref.definition_id,
        "position": run.position,
        "after": position,
        "state": run.state,
        "kept": [[each.id, each.node_id] for each in run.live if each.id in planned.kept],
        "overrides": overrides,
    }
    moved = "; ".join(step.position for step in planned.move.steps if step.position)
    cursor = tx.execute(
        "INSERT INTO run_migrations (run_key, workflow, from_version, to_version, path, checksums, digest_before,"
        " digest_after, moved, snapshot, at, actor, note) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            run.ref.key,
            run.ref.workflow,
            way.from_version,
            way.to_version,
            jsonio.dumps_text(way.ids),
            jsonio.dumps_text([migration.checksum for migration in way.path]),
            jsonio.digest(run.state),
            jsonio.digest(planned.state),
            moved or _moved(planned),
            jsonio.dumps_text(snapshot),
            tx.now_us,
            actor_json(actor),
            note,
        ),
    )
    row = cursor.lastrowid
    assert row is not None
    data: dict[str, Any] = {
        "version": way.to_version,
        "was": way.from_version,
        "path": list(way.ids),
        "row": row,
    }
    if note:
        data["note"] = note
    _event(tx, EventKind.RUN_MIGRATED, run.ref, actor, data)
    return row


def _moved(planned: Plan) -> str:
    was, now = planned.move.stands_on, planned.stands.frontier
    return f"stands on {', '.join(now)}" if was == now else f"{', '.join(was)} -> {', '.join(now)}"


def _let_go(tx: Tx, run: Resting, planned: Plan) -> None:
    if not planned.dropped:
        return
    for attempt in planned.dropped:
        end_attempt(tx, run.ref, attempt)
    withdraw_requests(tx, run.ref.key, f"the run moved to {planned.way.to_version}", cancelled_only=True)


def end_attempt(tx: Tx, ref: RunRef, attempt: int) -> None:
    """An attempt that waited is over without a result."""
    (node,) = tx.execute("SELECT node_id FROM attempts WHERE id = ?", (attempt,)).fetchone()
    tx.execute(
        "UPDATE attempts SET status = 'cancelled', finished_at = ?, retry_at = NULL WHERE id = ?",
        (tx.now_us, attempt),
    )
    tx.event(
        EventKind.NODE_CANCELLED,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=node,
    )


def record_edit(tx: Tx, run_key: int, definition_id: int, by: str, edit: Patch) -> None:
    """What changed of the state, as an attempt, so that a state stays the sum of its attempts."""
    (number,) = tx.execute(
        "SELECT COUNT(*) FROM attempts WHERE run_key = ? AND node_type = ?", (run_key, EDIT)
    ).fetchone()
    tx.execute(
        "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, status,"
        " started_at, finished_at, binding, patch) VALUES (?,?,?,?,?,1,'succeeded',?,?,?,?)",
        (run_key, definition_id, EDIT, EDIT, number + 1, tx.now_us, tx.now_us, by, edit.to_json()),
    )


def _position(tx: Tx, planned: Plan) -> dict[str, Any]:
    """The position after the move. A node that is newly stood on is a visit of its own."""
    old = jsonio.loads(planned.run.position)
    counts = dict(planned.stands.counts)
    floor = old.get("floor", 0)
    for node in planned.stands.frontier:
        if node in planned.stands.origin:
            continue
        (tried,) = tx.execute(
            "SELECT COALESCE(MAX(iteration), 0) FROM attempts WHERE run_key = ? AND node_id = ?",
            (planned.run.ref.key, node),
        ).fetchone()
        if tried > counts.get(node, 0):
            floor += tried - counts.get(node, 0)
            counts[node] = tried
    data = {**old, "frontier": list(planned.stands.frontier), "counts": counts}
    if floor:
        data["floor"] = floor
    return data


def _status_after(run: Resting, planned: Plan) -> str:
    if run.status not in ("waiting", "running"):
        return run.status
    waits = any(each.status == "waiting" and each.id in planned.kept for each in run.live)
    return "waiting" if waits else "queued"


def _overrides(text: str | None, planned: Plan) -> str | None:
    """What an operator has set for nodes, under their new names."""
    if text is None:
        return None
    names = {was: node for node, was in planned.stands.origin.items()}
    found = {}
    for node, override in jsonio.loads(text).items():
        name = names.get(node, node)
        found[name] = {**override, "node_id": name}
    return jsonio.dumps_text(found)


def _event(tx: Tx, kind: EventKind, ref: RunRef, actor: Actor, data: dict[str, Any]) -> None:
    tx.event(
        kind,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        data=data,
    )


# --- going back --------------------------------------------------------------------------------


def undo(tx: Tx, key: int, actor: Actor, note: str = "") -> None:
    """Put a run back to what it was before its last migration.

    ConflictError if it was never moved, if it has gone on since, or if what it asks was answered.
    """
    run = read_run(tx.connection, key)
    row = tx.execute(
        "SELECT id, from_version, to_version, snapshot FROM run_migrations"
        " WHERE run_key = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1",
        (key,),
    ).fetchone()
    if row is None:
        raise ConflictError(
            f"run {run.ref.id} was not moved to another version, so there is nothing to go back to"
        )
    row_id, from_version, to_version, text = row
    before = jsonio.loads(text)
    waits_only = run.status == "queued" and not run.live
    if not waits_only:
        _check_status(run)
    if run.position != before["after"]:
        raise ConflictError(
            f"run {run.ref.id} has gone on under {to_version}, so it cannot go back to {from_version}; "
            "redrive it on that version, or migrate it back where a migration leads there"
        )
    kept: dict[int, str] = dict(before["kept"])
    since = [each for each in run.live if each.id not in kept]
    if any(each.question is not None and each.question.status != "open" for each in since):
        raise ConflictError(f"run {run.ref.id} was answered under {to_version}, so it cannot go back")
    for each in since:
        end_attempt(tx, run.ref, each.id)
    withdraw_requests(tx, key, f"the run went back to {from_version}", cancelled_only=True)
    for attempt, node in kept.items():
        tx.execute(
            "UPDATE attempts SET node_id = ?, definition_id = ? WHERE id = ?",
            (node, before["definition_id"], attempt),
        )
        tx.execute(
            "UPDATE requests SET node_id = ? WHERE run_key = ? AND attempt_id = ?", (node, key, attempt)
        )
    edit = difference(run.state, before["state"])
    if not edit.empty:
        record_edit(tx, key, before["definition_id"], f"back to {from_version}", edit)
    status = "queued" if run.status in ("waiting", "running") and not kept else run.status
    tx.execute(
        "UPDATE runs SET definition_id = ?, position = ?, status = ?, overrides = ?, revision = revision + 1"
        " WHERE key = ?",
        (before["definition_id"], before["position"], status, before["overrides"], key),
    )
    tx.execute(
        "UPDATE run_migrations SET undone_at = ?, undone_by = ? WHERE id = ?",
        (tx.now_us, actor_json(actor), row_id),
    )
    data = {"version": from_version, "was": to_version, "row": row_id, **({"note": note} if note else {})}
    _event(tx, EventKind.RUN_UNMIGRATED, run.ref, actor, data)
