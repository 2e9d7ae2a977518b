"""A small store with something of everything, written the way the engine writes it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor, ErrorInfo, ScheduleSpec
from victor_engine.clock import FakeClock, to_us
from victor_engine.ids import new_id
from victor_engine.store.db import Store, Tx, actor_json, open_store
from victor_engine.store.patch import Patch
from victor_engine.store.runs import NewRun, insert_run

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALICE = Actor(user="alice", uid=1000, via="cli")
CONTENT: dict[str, Any] = {
    "description": "Build and ship",
    "nodes": [
        {"id": "build", "type": "compute", "handler": "make", "next": ["gate"]},
        {"id": "gate", "type": "hitl", "hitl_type": "approval", "prompt": "Ship?", "next": ["ship"]},
        {"id": "ship", "type": "compute", "handler": "ship"},
    ],
}


def add_definition(tx: Tx, workflow: str, version: str, **columns: Any) -> int:
    row = {
        "workflow": workflow,
        "version": version,
        "checksum": f"{workflow}-{version}",
        "content": jsonio.dumps_text(CONTENT),
        "text": f"# {workflow} {version}",
        "registered_at": tx.now_us,
        **columns,
    }
    marks = ",".join("?" * len(row))
    cursor = tx.execute(f"INSERT INTO definitions ({','.join(row)}) VALUES ({marks})", list(row.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def add_attempt(tx: Tx, run_key: int, node: str, status: str, **columns: Any) -> int:
    row = {
        "run_key": run_key,
        "definition_id": 1,
        "node_id": node,
        "node_type": "compute",
        "iteration": 1,
        "number": 1,
        "status": status,
        "started_at": tx.now_us,
        **columns,
    }
    marks = ",".join("?" * len(row))
    cursor = tx.execute(f"INSERT INTO attempts ({','.join(row)}) VALUES ({marks})", list(row.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def add_schedule(tx: Tx, schedule_id: str, spec: ScheduleSpec, **columns: Any) -> None:
    row = {
        "id": schedule_id,
        "workflow": spec.workflow,
        "spec": msgspec.json.encode(spec).decode(),
        "origin": "cli",
        "cursor": tx.now_us,
        "next_fire": tx.now_us + 60_000_000,
        "created_at": tx.now_us,
        "updated_at": tx.now_us,
        **columns,
    }
    marks = ",".join("?" * len(row))
    tx.execute(f"INSERT INTO schedules ({','.join(row)}) VALUES ({marks})", list(row.values()))


def finish(tx: Tx, key: int, status: str, seconds: float, **columns: Any) -> None:
    sets = {
        "status": status,
        "started_at": tx.now_us,
        "finished_at": tx.now_us + int(seconds * 1e6),
        "nodes_done": 3,
        **columns,
    }
    assigned = ", ".join(f"{name} = ?" for name in sets)
    tx.execute(f"UPDATE runs SET {assigned} WHERE key = ?", [*sets.values(), key])


def populate(tx: Tx) -> dict[str, str]:
    """Fill an empty store; returns ids by the names that the tests use."""
    old = add_definition(tx, "deploy", "1.0.0", deprecated="use 2", successor="1.10.0")
    new = add_definition(tx, "deploy", "1.10.0")
    add_definition(tx, "deploy", "1.9.0")
    add_definition(tx, "report", "1.0.0")
    tx.execute(
        "INSERT INTO state_migrations (workflow, from_version, to_version, content, checksum, registered_at)"
        " VALUES ('deploy', '1.0.0', '1.10.0', '{}', '', ?)",
        (tx.now_us,),
    )
    ids: dict[str, str] = {}
    for number, seconds in enumerate((10, 30, 20)):
        key, ids[f"done{number}"] = insert_run(
            tx, NewRun(workflow="deploy", definition_id=old, start_node="build", actor=ALICE)
        )
        finish(tx, key, "succeeded", seconds)
    key, ids["failed"] = insert_run(
        tx,
        NewRun(
            workflow="deploy", definition_id=new, start_node="build", note="100% of it", schedule_id="nightly"
        ),
    )
    error = ErrorInfo(type="ProcessError", message="make: no rule", node_id="build", exit_code=2)
    finish(tx, key, "failed", 700, error=msgspec.json.encode(error).decode())
    tx.execute(
        "INSERT INTO fires (schedule_id, workflow, local, fold, nominal, outcome, reason, decided_at, run_key)"
        " VALUES ('nightly', 'deploy', '2026-03-01T12:00', 0, ?, 'started', '', ?, ?)",
        (tx.now_us, tx.now_us, key),
    )
    tx.execute(
        "INSERT INTO fires (schedule_id, workflow, local, fold, nominal, outcome, reason, decided_at)"
        " VALUES ('nightly', 'deploy', '2026-03-01T12:01', 0, ?, 'skipped', 'overlap', ?)",
        (tx.now_us, tx.now_us),
    )
    spec = ScheduleSpec(workflow="deploy", cron="0 3 * * *", overlap="allow")
    declared = msgspec.structs.replace(spec, overlap="skip")
    add_schedule(tx, "nightly", spec, origin="file", file_spec=msgspec.json.encode(declared).decode())
    add_schedule(tx, "nightmare", ScheduleSpec(workflow="report", every_seconds=60), next_fire=None)
    ids["waiting"] = _waiting_run(tx, new, ids)
    key, ids["queued"] = insert_run(tx, NewRun(workflow="report", definition_id=4, start_node="collect"))
    return ids


def _waiting_run(tx: Tx, definition: int, ids: dict[str, str]) -> str:
    key, run_id = insert_run(
        tx,
        NewRun(
            workflow="deploy",
            definition_id=definition,
            start_node="build",
            state={"a": 1, "b": 2},
            actor=ALICE,
        ),
    )
    patch = Patch(set={"build": "ok"}, delete=("a",)).to_json()
    failed = ErrorInfo(type="ProcessError", message="flaky")
    add_attempt(tx, key, "build", "failed", finished_at=tx.now_us, error=msgspec.json.encode(failed).decode())
    built = add_attempt(tx, key, "build", "succeeded", number=2, finished_at=tx.now_us, patch=patch)
    asked = add_attempt(tx, key, "gate", "waiting", node_type="hitl")
    for text in ("one", "two", "three"):
        tx.execute(
            "INSERT INTO logs (run_key, attempt_id, at, stream, text) VALUES (?,?,?,?,?)",
            (key, built, tx.now_us, "stdout", text),
        )
    ids["request"] = new_id(tx.now)
    shown = {"title": "Ship?", "prompt": "Ship **it**?", "on_timeout": "reject", "unknown": 1, "max_asks": 3}
    deadline = to_us(tx.now + timedelta(minutes=12))
    tx.execute(
        "INSERT INTO requests (id, run_key, attempt_id, workflow, node_id, iteration, kind, status, spec, digest,"
        " created_at, deadline, claimed_by) VALUES (?,?,?,'deploy','gate',1,'approval','open',?,'d',?,?,?)",
        (ids["request"], key, asked, jsonio.dumps_text(shown), tx.now_us, deadline, actor_json(ALICE)),
    )
    tx.execute("INSERT INTO request_people (request_key, name, may) SELECT key, '', 1 FROM requests")
    tx.execute(
        "UPDATE runs SET status = 'waiting', started_at = ?, nodes_done = 1 WHERE key = ?", (tx.now_us, key)
    )
    tx.event("request.opened", run_key=key, request_id=ids["request"], workflow="deploy", node_id="gate")
    return run_id


async def seeded(path: Path) -> tuple[Store, dict[str, str]]:
    """An open, running store with the population above."""
    store = open_store(path, clock=FakeClock(NOW))
    store.start()
    store.begin_epoch()
    return store, await store.write(populate)


def plans(connection: sqlite3.Connection, statements: list[str]) -> list[tuple[str, str]]:
    """(statement, line of its query plan), one by one."""
    return [
        (statement, str(row[3]))
        for statement in statements
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
