"""Runs: a page of them, one of them whole, and their logs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from victor_engine import jsonio
from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    FINAL_RUN_STATUSES,
    AttemptInfo,
    GraphInfo,
    LogLine,
    NodeState,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
)
from victor_engine.clock import from_us, to_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.patch import Patch
from victor_engine.store.progress import progress
from victor_engine.store.queries import ids, people
from victor_engine.store.queries.definitions import stored_graph
from victor_engine.store.queries.text import LIVE, error_info, instant, left, like, marks
from victor_engine.store.runs import node_overrides
from victor_engine.store.state import EDIT, run_state

HISTORY = 25
"""How many recent successful runs of a workflow tell what is typical of it."""

_COLUMNS = (
    "r.key, r.id, r.workflow, d.version, r.status, r.trigger, r.actor, r.created_at, r.revision,"
    " r.started_at, r.finished_at, r.schedule_id, r.nominal, r.position, r.nodes_done, r.retries,"
    " p.id, r.error, r.note, l.run_key IS NOT NULL"
)
_FROM = (
    " FROM runs r JOIN definitions d ON d.id = r.definition_id LEFT JOIN runs p ON p.key = r.parent_key"
    " LEFT JOIN dead_letters l ON l.run_key = r.key"
)


def select_runs(connection: sqlite3.Connection, query: RunQuery) -> tuple[str, list[Any]]:
    """The SQL of a page of runs, newest first, and its parameters.

    Without a filter on the time the order is that of the keys, so that every index that ends with
    the key delivers a page without sorting. `text` and `longer_than` walk from the newest run on
    and stop as soon as the page is full.
    """
    where: list[str] = []
    values: list[Any] = []

    def add(clause: str, *given: Any) -> None:
        where.append(clause)
        values.extend(given)

    if query.workflow is not None:
        add("r.workflow = ?", query.workflow)
    if query.schedule_id is not None:
        add("r.schedule_id = ?", ids.schedule_id(connection, query.schedule_id, removed=True))
    if query.cause is not None:
        add(
            "r.key IN (SELECT run_key FROM dead_letters WHERE cause_id ="
            " (SELECT id FROM dead_causes WHERE fingerprint = ?))",
            query.cause,
        )
    if query.statuses:
        add(f"r.status IN ({marks(len(query.statuses))})", *query.statuses)
    if query.text:
        pattern = like(query.text)
        columns = ("r.id", "r.workflow", "r.note", "r.error")
        add("(" + " OR ".join(f"{c} LIKE ? ESCAPE '\\'" for c in columns) + ")", *[pattern] * len(columns))
    if query.longer_than is not None:
        add("r.finished_at - r.started_at > ?", int(query.longer_than * 1_000_000))
    if query.created_after is not None:
        add("r.created_at >= ?", to_us(query.created_after))
    if query.created_before is not None:
        add("r.created_at < ?", to_us(query.created_before))
    by_time = query.created_after is not None or query.created_before is not None
    if query.before_id is not None:
        full = ids.run_id(connection, query.before_id)
        key, created = connection.execute("SELECT key, created_at FROM runs WHERE id = ?", (full,)).fetchone()
        if by_time:
            add("(r.created_at, r.key) < (?, ?)", created, key)
        else:
            add("r.key < ?", key)
    order = "r.created_at DESC, r.key DESC" if by_time else "r.key DESC"
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    values.append(max(0, query.limit))
    return f"SELECT {_COLUMNS}{_FROM}{condition} ORDER BY {order} LIMIT ?", values


def runs(connection: sqlite3.Connection, query: RunQuery, now: datetime) -> list[RunInfo]:
    """A page of runs, newest first. Several statuses are merged from one index walk each."""
    if len(query.statuses) < 2:
        sql, values = select_runs(connection, query)
        return _run_infos(connection, connection.execute(sql, values).fetchall(), now)
    rows: list[Any] = []
    for status in dict.fromkeys(query.statuses):
        sql, values = select_runs(connection, _with_status(query, status))
        rows.extend(connection.execute(sql, values))
    by_time = query.created_after is not None or query.created_before is not None
    rows.sort(key=lambda row: (row[7], row[0]) if by_time else row[0], reverse=True)
    return _run_infos(connection, rows[: max(0, query.limit)], now)


def _with_status(query: RunQuery, status: str) -> RunQuery:
    import msgspec

    return msgspec.structs.replace(query, statuses=(status,))


def run_info(connection: sqlite3.Connection, run_id: str, now: datetime) -> RunInfo:
    """One run by its id or unique prefix."""
    full = ids.run_id(connection, run_id)
    row = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE r.id = ?", (full,)).fetchone()
    return _run_infos(connection, [row], now)[0]


def _run_infos(connection: sqlite3.Connection, rows: Sequence[Any], now: datetime) -> list[RunInfo]:
    active = [row[0] for row in rows if row[4] in ACTIVE_RUN_STATUSES]
    live = _live_nodes(connection, active)
    asked = _open_requests(connection, active, now)
    awaited = _waits(connection, active, now)
    typical = {workflow: _typical(connection, workflow) for workflow in {row[2] for row in rows}}
    found = []
    for row in rows:
        key, status, actor, done = row[0], row[4], row[6], row[14]
        seconds, expected = typical[row[2]]
        request_id, waits_for = asked.get(key, (None, awaited.get(key)))
        current: tuple[str, ...] = ()
        if status in ACTIVE_RUN_STATUSES:
            stands = progress(connection, key, row[13])
            current, done = live.get(key) or stands.frontier[:1], stands.nodes_done
        found.append(
            RunInfo(
                id=row[1],
                workflow=row[2],
                version=row[3],
                status=status,
                trigger=row[5],
                started_by=_started_by(actor, row[11]),
                created_at=from_us(row[7]),
                revision=row[8],
                started_at=instant(row[9]),
                finished_at=instant(row[10]),
                schedule_id=row[11],
                nominal=instant(row[12]),
                current=current,
                nodes_done=done,
                nodes_expected=expected,
                retries=row[15],
                typical_seconds=seconds,
                waits_for=waits_for,
                request_id=request_id,
                parent_run=row[16],
                error=error_info(row[17]),
                note=row[18],
                dead_letter=bool(row[19]),
            )
        )
    return found


def _started_by(actor: str | None, schedule: str | None) -> str:
    if actor is None and schedule is not None:
        return schedule
    return actor_from_json(actor).user


def _live_nodes(connection: sqlite3.Connection, keys: Iterable[int]) -> dict[int, tuple[str, ...]]:
    found = {}
    for key in keys:
        rows = connection.execute(
            f"SELECT DISTINCT node_id FROM attempts WHERE run_key = ? AND status IN {LIVE} ORDER BY id",
            (key,),
        )
        nodes = tuple(row[0] for row in rows)
        if nodes:
            found[key] = nodes
    return found


def _open_requests(
    connection: sqlite3.Connection, keys: Iterable[int], now: datetime
) -> dict[int, tuple[str, str]]:
    """For each run its most urgent open request and what it waits for, in plain words."""
    found = {}
    for key in keys:
        rows = connection.execute(
            "SELECT id, node_id, kind, deadline FROM requests WHERE run_key = ? AND status = 'open'"
            " ORDER BY deadline IS NULL, deadline, key",
            (key,),
        ).fetchall()
        if rows:
            request, node, kind, deadline = rows[0]
            more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            found[key] = (request, f"{node}: {kind}, {left(instant(deadline), now)}{more}")
    return found


def _waits(connection: sqlite3.Connection, keys: Iterable[int], now: datetime) -> dict[int, str]:
    """For each run what it waits for beside people, the soonest first, in plain words."""
    found = {}
    for key in keys:
        waits = []
        for node, text, child in connection.execute(
            "SELECT a.node_id, a.wait, c.id FROM attempts a LEFT JOIN runs c ON c.key = a.child_key"
            f" WHERE a.run_key = ? AND a.status IN {LIVE} AND a.status = 'waiting' AND a.wait IS NOT NULL"
            " ORDER BY a.id",
            (key,),
        ):
            wait = jsonio.loads(text)
            until = waits_until(wait)
            name = wait["text"] if child is None else f"{wait['text']}, run {child}"
            words = f"{node}: {name}" if until is None else f"{node}: {name}, {left(until, now)}"
            waits.append((until is None, until or now, words))
        if waits:
            waits.sort(key=lambda wait: wait[:2])
            more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
            found[key] = waits[0][2] + more
    return found


def waits_until(wait: Mapping[str, Any]) -> datetime | None:
    """When a stored wait ends at the latest."""
    return instant(min((wait[key] for key in ("due", "deadline") if key in wait), default=None))


def _typical(connection: sqlite3.Connection, workflow: str) -> tuple[float | None, int | None]:
    """Median seconds and median number of nodes of a workflow's recent successful runs."""
    rows = connection.execute(
        "SELECT started_at, finished_at, nodes_done FROM runs WHERE workflow = ? AND status = 'succeeded'"
        " ORDER BY key DESC LIMIT ?",
        (workflow, HISTORY),
    ).fetchall()
    durations = [(end - start) / 1e6 for start, end, _ in rows if start is not None and end is not None]
    nodes = [count for _, _, count in rows if count]
    return (median(durations) if durations else None, round(median(nodes)) if nodes else None)


# --- one run -----------------------------------------------------------------------------------


def run_detail(connection: sqlite3.Connection, run_id: str, now: datetime) -> RunDetail:
    """One run whole: its graph, the state of every node, all attempts, its state and requests."""
    info = run_info(connection, run_id, now)
    key, definition_id, overrides = connection.execute(
        "SELECT key, definition_id, overrides FROM runs WHERE id = ?", (info.id,)
    ).fetchone()
    graph = stored_graph(connection, definition_id)
    tries = attempts(connection, key)
    return RunDetail(
        run=info,
        graph=graph,
        nodes=node_states(graph, tries, info.status in FINAL_RUN_STATUSES),
        attempts=tries,
        state=run_state(connection, key),
        requests=tuple(
            people.requests(connection, RequestQuery(statuses=people.ALL_STATUSES, run_id=info.id))
        ),
        overrides=tuple(node_overrides(overrides).values()),
    )


def attempts(connection: sqlite3.Connection, run_key: int) -> tuple[AttemptInfo, ...]:
    """All attempts of a run, oldest first."""
    rows = connection.execute(
        "SELECT a.id, a.node_id, a.node_type, a.iteration, a.number, a.status, d.version, a.started_at,"
        " a.finished_at, a.retry_at, a.parent, a.binding, a.pid, a.patch, a.error, a.branch, a.wait, c.id"
        " FROM attempts a JOIN definitions d ON d.id = a.definition_id"
        " LEFT JOIN runs c ON c.key = a.child_key WHERE a.run_key = ? ORDER BY a.id",
        (run_key,),
    )
    return tuple(
        AttemptInfo(
            id=row[0],
            node_id=row[1],
            node_type=row[2],
            iteration=row[3],
            number=row[4],
            status=row[5],
            version=row[6],
            started_at=from_us(row[7]),
            finished_at=instant(row[8]),
            retry_at=instant(row[9]),
            parent=row[10],
            binding=row[11] or "",
            pid=row[12],
            changes=_changes(row[13]),
            error=error_info(row[14]),
            took_branch=row[15],
            waits_until=waits_until(jsonio.loads(row[16])) if row[16] and row[5] == "waiting" else None,
            child_run=row[17],
        )
        for row in rows
    )


def _changes(text: str | None) -> dict[str, Any]:
    """A patch as people read it: `set` and `merged` objects, and a list of `deleted` keys."""
    patch = Patch.from_json(text)
    parts = {"set": dict(patch.set), "merged": dict(patch.merge), "deleted": list(patch.delete)}
    return {name: part for name, part in parts.items() if part}


def node_states(graph: GraphInfo, tries: Sequence[AttemptInfo], final: bool) -> tuple[NodeState, ...]:
    """Where each node stands: its last attempt decides; what a finished run never reached is skipped."""
    last: dict[str, AttemptInfo] = {}
    first: dict[str, AttemptInfo] = {}
    count: dict[str, int] = {}
    for attempt in tries:
        node = attempt.node_id
        if attempt.node_type == EDIT:
            continue
        if node not in last or last[node].iteration != attempt.iteration:
            first[node], count[node] = attempt, 0
        last[node] = attempt
        count[node] += 1
    order = dict.fromkeys([node.id for node in graph.nodes] + list(last))
    found = []
    for node in order:
        if node not in last:
            found.append(NodeState(node_id=node, status="skipped" if final else "pending"))
            continue
        attempt = last[node]
        found.append(
            NodeState(
                node_id=node,
                status=attempt.status,
                iteration=attempt.iteration,
                attempts=count[node],
                started_at=first[node].started_at,
                finished_at=attempt.finished_at,
                error=attempt.error,
                waits_until=attempt.waits_until,
                child_run=attempt.child_run,
            )
        )
    return tuple(found)


def run_log(
    connection: sqlite3.Connection,
    run_id: str,
    after: int = 0,
    limit: int = 2000,
    node_id: str | None = None,
    text: str | None = None,
) -> list[LogLine]:
    """Log lines of a run with a number above `after`, oldest first.

    `node_id` also means the members of a team (`team.member`); `text` is found whatever its case.
    """
    full = ids.run_id(connection, run_id)
    (key,) = connection.execute("SELECT key FROM runs WHERE id = ?", (full,)).fetchone()
    only = ""
    values: list[Any] = [key, after]
    if node_id is not None:
        only += " AND (a.node_id = ? OR substr(a.node_id, 1, ?) = ?)"
        values += [node_id, len(node_id) + 1, f"{node_id}."]
    if text:
        only += " AND l.text LIKE ? ESCAPE '\\'"
        values.append(like(text))
    rows = connection.execute(
        "SELECT l.id, l.at, a.node_id, a.number, l.stream, l.text FROM logs l"
        f" LEFT JOIN attempts a ON a.id = l.attempt_id WHERE l.run_key = ? AND l.id > ?{only}"
        " ORDER BY l.id LIMIT ?",
        [*values, max(0, limit)],
    )
    return [
        LogLine(seq=seq, at=from_us(at), node_id=node or "", attempt=number or 0, stream=stream, text=line)
        for seq, at, node, number, stream, line in rows
    ]
