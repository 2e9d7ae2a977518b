"""The history of a store as JSON objects, one for each row, for an export."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from victor_engine.clock import from_us
from victor_engine.store.shared_values import restore

_RUN = "JOIN runs r ON r.key = t.run_key"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of exported objects: its columns by their exported names, and the tables that they come from.

    `at` is the instant by which the objects are selected, `workflow` the expression for their workflow. The columns
    of `instants` are microseconds, those of `values` are JSON.
    """

    columns: dict[str, str]
    tables: str
    order: str
    at: str
    workflow: str = "t.workflow"
    instants: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()


def _same(*names: str) -> dict[str, str]:
    return {name: f"t.{name}" for name in names}


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS: dict[str, Kind] = {
    "version": Kind(
        _same("workflow", "version", "checksum", "content", "path", "registered_at", "deprecated", "removed_at"),
        "definitions t",
        "t.id",
        "t.registered_at",
        instants=_set("registered_at removed_at"),
        values=_set("content"),
    ),
    "schedule": Kind(
        _same("id", "workflow", "spec", "origin", "created_at", "updated_at", "removed_at"),
        "schedules t",
        "t.id",
        "t.created_at",
        instants=_set("created_at updated_at removed_at"),
        values=_set("spec"),
    ),
    "fire": Kind(
        {
            **_same("schedule_id", "workflow", "nominal", "outcome", "reason", "actor", "decided_at"),
            "run_id": "r.id",
        },
        "fires t LEFT JOIN runs r ON r.key = t.run_key",
        "t.id",
        "t.decided_at",
        instants=_set("nominal decided_at"),
        values=_set("actor"),
    ),
    "run": Kind(
        {
            **_same(
                "id", "workflow", "status", "trigger", "actor", "schedule_id", "nominal", "priority", "note",
                "created_at", "started_at", "finished_at", "nodes_done", "retries", "reruns", "error",
            ),
            "version": "d.version",
            "parent_id": "(SELECT p.id FROM runs p WHERE p.key = t.parent_key)",
        },
        "runs t JOIN definitions d ON d.id = t.definition_id",
        "t.key",
        "t.created_at",
        instants=_set("nominal created_at started_at finished_at"),
        values=_set("actor error"),
    ),
    "attempt": Kind(
        {
            "id": "t.id",
            "run_id": "r.id",
            "workflow": "r.workflow",
            **_same(
                "node_id", "node_type", "iteration", "number", "parent", "status", "started_at", "finished_at",
                "binding", "patch", "branch", "error",
            ),
        },
        f"attempts t {_RUN}",
        "t.id",
        "t.started_at",
        "r.workflow",
        _set("started_at finished_at"),
        _set("patch error"),
    ),
    "log": Kind(
        {"run_id": "r.id", **_same("attempt_id", "at", "stream", "text")},
        f"logs t {_RUN}",
        "t.id",
        "t.at",
        "r.workflow",
        _set("at"),
    ),
    "request": Kind(
        {
            "run_id": "r.id",
            **_same(
                "id", "revision", "workflow", "node_id", "iteration", "kind", "status", "spec", "digest", "created_at",
                "deadline", "priority", "outcome", "answer", "comment", "answered_by", "answered_at",
            ),
        },
        f"requests t {_RUN}",
        "t.key",
        "t.created_at",
        instants=_set("created_at deadline answered_at"),
        values=_set("spec answer answered_by"),
    ),
    "vote": Kind(
        {"request_id": "q.id", **_same("revision", "at", "actor", "uid", "outcome", "value", "comment", "undone_at")},
        "votes t JOIN requests q ON q.key = t.request_key",
        "t.id",
        "t.at",
        "q.workflow",
        _set("at undone_at"),
        _set("actor value"),
    ),
    "message": Kind(
        {"request_id": "q.id", **_same("at", "actor", "kind", "text")},
        "request_messages t JOIN requests q ON q.key = t.request_key",
        "t.id",
        "t.at",
        "q.workflow",
        _set("at"),
        _set("actor"),
    ),
    "event": Kind(
        {
            **_same("seq", "at", "kind", "actor", "schedule_id", "request_id", "node_id", "data"),
            "run_id": "r.id",
            "workflow": "COALESCE(t.workflow, r.workflow)",
        },
        "events t LEFT JOIN runs r ON r.key = t.run_key",
        "t.seq",
        "t.at",
        "COALESCE(t.workflow, r.workflow)",
        _set("at"),
        _set("actor data"),
    ),
    "deployment": Kind(
        _same("number", "at", "actor", "how", "files", "lines"),
        "deployments t",
        "t.number",
        "t.at",
        "NULL",
        _set("at"),
        _set("actor lines"),
    ),
    "decision": Kind(
        _same("seq", "at", "event_seq", "record", "digest"),
        "audit t",
        "t.seq",
        "t.at",
        "NULL",
        _set("at"),
    ),
}  # fmt: skip
"""The exported kinds. Secret answers are not among them."""


def history(
    connection: sqlite3.Connection,
    kinds: tuple[str, ...],
    *,
    since: int | None = None,
    until: int | None = None,
    workflow: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the objects of each kind from `since` to before `until` (microseconds), oldest first.

    With `workflow`, yield only objects of this workflow.
    """
    for name in kinds:
        kind = KINDS[name]
        where, values = ["1 = 1"], []
        for clause, value in (
            (f"{kind.at} >= ?", since),
            (f"{kind.at} < ?", until),
            (f"{kind.workflow} = ?", workflow),
        ):
            if value is not None:
                where.append(clause)
                values.append(value)
        columns = ", ".join(kind.columns.values())
        for row in connection.execute(
            f"SELECT {columns} FROM {kind.tables} WHERE {' AND '.join(where)} ORDER BY {kind.order}", values
        ):
            yield {
                "type": name,
                **{key: _plain(kind, key, value) for key, value in zip(kind.columns, row, strict=True)},
            }


def _plain(kind: Kind, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in kind.instants:
        return from_us(value).isoformat().replace("+00:00", "Z")
    if name not in kind.values:
        return value
    found = json.loads(value)
    if name == "patch" and "k" in found:  # a value that is stored once stands under both keys again
        shared = found.pop("k")
        restore(found["s"], shared)
    return found
