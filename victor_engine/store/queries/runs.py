"""Queries of runs: pages, one run in detail, and logs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from victor_engine import jsonio
from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    ENGINE_ACTOR,
    FINAL_RUN_STATUSES,
    AttemptInfo,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
    RunStatus,
    UsageInfo,
)
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.reserved import RUN
from victor_engine.run_instant import shown_instant
from victor_engine.store.db import actor_from_json
from victor_engine.store.patch import Patch
from victor_engine.store.queries import ids, people
from victor_engine.store.queries.conversions import error_info, instant, marks, notice
from victor_engine.store.queries.definitions import outputs_of, stored_graph
from victor_engine.store.queries.live import Doing, doing, waits_until
from victor_engine.store.queries.node_states import item_counts, node_states
from victor_engine.store.queries.queued_runs import queue_reasons
from victor_engine.store.queries.run_filters import by_time, conditions
from victor_engine.store.queries.typical_durations import Pace, Paces
from victor_engine.store.repositories import suspects
from victor_engine.store.repositories.suspects import Suspect
from victor_engine.store.runs import Created, node_overrides
from victor_engine.store.state import ITEM, given_state, run_state
from victor_engine.store.stored_ending import ending_from
from victor_engine.store.stored_position import progress

_IDLE = Doing()
_COLUMNS = (
    "r.key, r.id, r.workflow, d.version, r.status, r.trigger, r.actor, r.created_at, r.revision,"
    " r.started_at, r.finished_at, r.schedule_id, r.nominal, r.position, r.nodes_done, r.retries,"
    " p.id, r.error, r.note, l.run_key IS NOT NULL, r.definition_id,"
    " COALESCE(d.removed, d.deprecated), d.successor, r.ending, r.idle, r.concurrency"
)
_FROM = (
    " FROM runs r JOIN definitions d ON d.id = r.definition_id LEFT JOIN runs p ON p.key = r.parent_key"
    " LEFT JOIN dead_letters l ON l.run_key = r.key"
)


def select_runs(connection: sqlite3.Connection, query: RunQuery) -> tuple[str, list[Any]]:
    """The SQL of a page of runs, newest first, and its parameters.

    Without a filter on the time the order is that of the keys, so that every index that ends with
    the key delivers a page without sorting. What no index leads to is looked for from the newest run
    on, until the page is full.
    """
    where, values = conditions(connection, query)
    timed = by_time(query)
    if query.before_id is not None:
        full = ids.run_id(connection, query.before_id)
        key, created = connection.execute("SELECT key, created_at FROM runs WHERE id = ?", (full,)).fetchone()
        where.append("(r.created_at, r.key) < (?, ?)" if timed else "r.key < ?")
        values += [created, key] if timed else [key]
    way = "ASC" if query.oldest_first else "DESC"
    order = f"r.created_at {way}, r.key {way}" if timed else f"r.key {way}"
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    values.append(max(0, query.limit))
    return f"SELECT {_COLUMNS}{_FROM}{condition} ORDER BY {order} LIMIT ?", values


def runs(
    connection: sqlite3.Connection, query: RunQuery, now: datetime, paces: Paces | None = None
) -> list[RunInfo]:
    """Return a page of runs, newest first. Several statuses are merged from one index scan each."""
    if len(query.statuses) < 2:
        sql, values = select_runs(connection, query)
        return _run_infos(connection, connection.execute(sql, values).fetchall(), now, paces)
    rows: list[Any] = []
    for status in dict.fromkeys(query.statuses):
        sql, values = select_runs(connection, msgspec.structs.replace(query, statuses=(status,)))
        rows.extend(connection.execute(sql, values))
    timed = by_time(query)
    rows.sort(key=lambda row: (row[7], row[0]) if timed else row[0], reverse=not query.oldest_first)
    return _run_infos(connection, rows[: max(0, query.limit)], now, paces)


def run_info(
    connection: sqlite3.Connection, run_id: str, now: datetime, paces: Paces | None = None
) -> RunInfo:
    """Return a run by its id or a unique prefix."""
    full = ids.run_id(connection, run_id)
    row = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE r.id = ?", (full,)).fetchone()
    return _run_infos(connection, [row], now, paces)[0]


def new_run_info(created: Created, version: str, pace: Pace) -> RunInfo:
    """Return the result of `run_info` for a run that was just created, without reading it."""
    new, at = created.new, from_us(created.at)
    typical, slow = pace.usual(pace.timed)
    return RunInfo(
        id=created.id,
        workflow=new.workflow,
        version=version,
        status=RunStatus.QUEUED,
        trigger=new.trigger,
        started_by=(new.actor or ENGINE_ACTOR).user,
        created_at=at,
        revision=0,
        current=(new.start_node,),
        nodes_expected=pace.nodes_expected,
        typical_seconds=typical,
        typical_runs=pace.timed,
        slow_seconds=slow,
        node_seconds=pace.usual_of(new.start_node),
        note=new.note,
    )


def runs_by_key(
    connection: sqlite3.Connection, keys: Sequence[int], now: datetime, paces: Paces | None = None
) -> list[RunInfo]:
    """Return these runs, oldest first."""
    if not keys:
        return []
    rows = connection.execute(
        f"SELECT {_COLUMNS}{_FROM} WHERE r.key IN ({marks(len(keys))}) ORDER BY r.key", keys
    ).fetchall()
    return _run_infos(connection, rows, now, paces)


def _run_infos(
    connection: sqlite3.Connection, rows: Sequence[Any], now: datetime, paces: Paces | None
) -> list[RunInfo]:
    paces = paces or Paces()
    does = doing(connection, [row[0] for row in rows if row[4] in ACTIVE_RUN_STATUSES], now)
    held = suspects.quarantined(connection, [row[0] for row in rows if row[4] == RunStatus.PAUSED])
    queued = queue_reasons(connection, [row[0] for row in rows if row[4] == RunStatus.QUEUED])
    typical = {row[20]: paces.of(connection, row[2], row[20], now) for row in rows}
    return [
        _run_info(
            connection, row, does.get(row[0], _IDLE), typical[row[20]], held.get(row[0]), queued.get(row[0])
        )
        for row in rows
    ]


def _run_info(
    connection: sqlite3.Connection,
    row: Any,
    does: Doing,
    pace: Pace,
    held: Suspect | None,
    queued: str | None,
) -> RunInfo:
    status, actor, schedule, done = row[4], row[6], row[11], row[14]
    current = does.nodes
    if status in ACTIVE_RUN_STATUSES:
        stands = progress(connection, row[0], row[13])
        current, done = current or stands.frontier[:1], stands.nodes_done
    others = pace.timed - int(status == RunStatus.SUCCEEDED and pace.timed > 0)
    typical, slow = pace.usual(others)
    ending = ending_from(row[23])
    return RunInfo(
        id=row[1],
        workflow=row[2],
        version=row[3],
        status=status,
        trigger=row[5],
        started_by=schedule if actor is None and schedule is not None else actor_from_json(actor).user,
        created_at=from_us(row[7]),
        revision=row[8],
        started_at=instant(row[9]),
        finished_at=instant(row[10]),
        idle_seconds=row[24] / 1e6,
        schedule_id=schedule,
        nominal=instant(row[12]),
        current=current,
        nodes_done=done,
        nodes_expected=pace.nodes_expected,
        retries=row[15],
        typical_seconds=typical,
        typical_runs=others,
        slow_seconds=slow,
        since=does.since,
        node_seconds=pace.usual_of(current[0] if current else None),
        stuck_at=_stuck_at(does, pace),
        waits_for=does.waits_for or queued,
        concurrency_key=row[25] or "",
        request_id=does.request_id,
        parent_run=row[16],
        error=error_info(row[17]) or ending.error,
        ends_as=ending.status,
        handler=ending.current,
        handler_failures=ending.failures,
        note=row[18],
        dead_letter=bool(row[19]),
        quarantine="" if held is None else held.reason,
        deprecated=notice(row[21], row[22]) if status in ACTIVE_RUN_STATUSES or row[19] else None,
    )


def _stuck_at(does: Doing, pace: Pace) -> datetime | None:
    """Return the instant from which the first running attempt takes far too long. Waits are not judged."""
    instants = []
    for node, began in does.running:
        patience = pace.patience(node)
        if patience is not None:
            instants.append(began + timedelta(seconds=patience))
    return min(instants, default=None)


# --- one run -----------------------------------------------------------------------------------


def run_detail(
    connection: sqlite3.Connection, run_id: str, now: datetime, paces: Paces | None = None
) -> RunDetail:
    """Return a run in detail: its graph, node statuses, attempts, state, requests and children."""
    info = run_info(connection, run_id, now, paces)
    key, definition_id, overrides = connection.execute(
        "SELECT key, definition_id, overrides FROM runs WHERE id = ?", (info.id,)
    ).fetchone()
    graph = stored_graph(connection, definition_id)
    tries = attempts(connection, key)
    state = run_state(connection, key)
    given = jsonio.loads(given_state(connection, key))
    return RunDetail(
        run=info,
        graph=graph,
        nodes=node_states(graph, tries, info.status in FINAL_RUN_STATUSES, item_counts(connection, key)),
        attempts=tries,
        state={name: value for name, value in state.items() if name != RUN},
        requests=tuple(
            people.requests(connection, RequestQuery(statuses=people.ALL_STATUSES, run_id=info.id))
        ),
        overrides=tuple(node_overrides(overrides).values()),
        input={name: value for name, value in given.items() if name != RUN},
        children=tuple(_children(connection, key, now, paces)),
        instant=shown_instant(state),
        outputs=_result(connection, key, info.status, state),
    )


def _result(
    connection: sqlite3.Connection, run_key: int, status: str, state: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the declared outputs of a run that has succeeded."""
    outputs = outputs_of(connection, run_key) if status == RunStatus.SUCCEEDED else None
    return None if outputs is None else outputs.read(state)


CHILDREN = 200
"""The maximum number of child runs that are shown with a run, newest first."""


def _children(
    connection: sqlite3.Connection, run_key: int, now: datetime, paces: Paces | None
) -> list[RunInfo]:
    rows = connection.execute(
        "SELECT child_key FROM attempts WHERE run_key = ? AND child_key IS NOT NULL GROUP BY child_key"
        " ORDER BY MAX(id) DESC LIMIT ?",
        (run_key, CHILDREN),
    )
    return runs_by_key(connection, [row[0] for row in rows], now, paces)


def attempt_state(connection: sqlite3.Connection, run_id: str, attempt_id: int) -> Around:
    """Return an attempt of a run with the state before and after it. Raise NotFoundError if the run has no such attempt."""
    full = ids.run_id(connection, run_id)
    (key,) = connection.execute("SELECT key FROM runs WHERE id = ?", (full,)).fetchone()
    found = next((each for each in attempts(connection, key) if each.id == attempt_id), None)
    if found is None:
        raise NotFoundError(f"run {full} has no attempt {attempt_id}; `victor runs show {full}` lists them")
    first = found.id
    if found.parent is not None:
        row = connection.execute(
            "SELECT MAX(id) FROM attempts WHERE run_key = ? AND id < ? AND node_id = ? AND parent IS NULL",
            (key, attempt_id, found.parent),
        ).fetchone()
        first = row[0] or found.id
    before = run_state(connection, key, until_attempt=first - 1)
    before.pop(RUN, None)
    (patch,) = connection.execute("SELECT patch FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
    after = dict(before)
    Patch.from_json(patch).apply(after)
    return Around(found, before, after)


class Around(NamedTuple):
    """Return an attempt, and the state before and after it."""

    attempt: AttemptInfo
    before: dict[str, Any]
    after: dict[str, Any]


ITEMS = 200
"""The maximum number of attempts of items of maps that are shown with a run, the newest."""


def attempts(connection: sqlite3.Connection, run_key: int) -> tuple[AttemptInfo, ...]:
    """Return the attempts of a run, oldest first. Of the items of maps, only the newest `ITEMS` are included."""
    first_item = connection.execute(
        "SELECT id FROM attempts WHERE run_key = ? AND node_type = ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (run_key, ITEM, ITEMS - 1),
    ).fetchone()
    rows = connection.execute(
        "SELECT a.id, a.node_id, a.node_type, a.iteration, a.number, a.status, d.version, a.started_at,"
        " a.finished_at, a.retry_at, a.parent, a.binding, a.pid, a.patch, a.error, a.branch, a.wait, c.id,"
        " u.model, u.input_tokens, u.output_tokens, u.tool_calls, u.cost"
        " FROM attempts a JOIN definitions d ON d.id = a.definition_id"
        " LEFT JOIN usage u ON u.attempt_id = a.id LEFT JOIN runs c ON c.key = a.child_key"
        " WHERE a.run_key = ? AND (a.id >= ? OR a.node_type <> ?) ORDER BY a.id",
        (run_key, first_item[0] if first_item is not None else 0, ITEM),
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
            usage=UsageInfo(*row[18:]) if row[18] is not None else None,
        )
        for row in rows
    )


def _changes(text: str | None) -> dict[str, Any]:
    """Return a patch for display: `set` and `merged` objects, and a list of `deleted` keys."""
    patch = Patch.from_json(text)
    dropped = [f"{key}.{name}" for key, names in patch.drop.items() for name in names]
    parts = {
        "set": dict(patch.set),
        "merged": dict(patch.merge),
        "deleted": [*patch.delete, *dropped],
    }
    return {name: part for name, part in parts.items() if part}


def id_of(source: ids.Source, run_key: int) -> str | None:
    """Return the id of a run by its key; None if it is deleted."""
    row = source.execute("SELECT id FROM runs WHERE key = ?", (run_key,)).fetchone()
    return None if row is None else str(row[0])


def last_done(
    source: ids.Source, run_key: int, node_id: str, iteration: int
) -> tuple[str | None, str | None]:
    """Return parent and patch (JSON) of the last attempt of a node in an iteration."""
    parent, patch = source.execute(
        "SELECT parent, patch FROM attempts WHERE run_key = ? AND node_id = ? AND iteration = ?"
        " ORDER BY id DESC LIMIT 1",
        (run_key, node_id, iteration),
    ).fetchone()
    return parent, patch
