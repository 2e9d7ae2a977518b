"""The table `secret_answers`: encrypted values of secret fields. A trigger deletes them when their run ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories import meta
from victor_engine.store.repositories.requests import Handle
from victor_engine.store.transaction import Tx

AFTER = "secret_answers.after"
"""The name in `meta` of the last version that still gets secret answers in the state."""


class SecretRow(NamedTuple):
    """The encrypted value of a secret field."""

    node_id: str
    field: str
    key_id: str
    sealed: bytes


def put(tx: Tx, run_key: int, handle: Handle, rows: Iterable[SecretRow]) -> None:
    """Store the secret fields of the answer to a request, in place of those of an earlier answer to its node."""
    tx.lock(Root.RUN, run_key)
    for node_id, field, key_id, sealed in rows:
        tx.execute(
            "INSERT INTO secret_answers (run_key, node_id, field, request_key, key_id, sealed) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT (run_key, node_id, field) DO UPDATE SET request_key = excluded.request_key,"
            " key_id = excluded.key_id, sealed = excluded.sealed",
            (run_key, node_id, field, handle.key, key_id, sealed),
        )


def delete(tx: Tx, run_key: int, handle: Handle) -> None:
    """Delete the secret fields of the answer to a request, if it has any."""
    tx.lock(Root.RUN, run_key)
    tx.execute("DELETE FROM secret_answers WHERE run_key = ? AND request_key = ?", (run_key, handle.key))


def delete_of_node(tx: Tx, run_key: int, node_id: str) -> None:
    """Delete the secret fields of the earlier answers to a node."""
    tx.lock(Root.RUN, run_key)
    tx.execute("DELETE FROM secret_answers WHERE run_key = ? AND node_id = ?", (run_key, node_id))


def of_run(source: Source, run_id: str) -> list[SecretRow]:
    """Return the secret fields of the answers of a run."""
    rows = source.execute(
        "SELECT s.node_id, s.field, s.key_id, s.sealed FROM secret_answers s JOIN runs r ON r.key = s.run_key"
        " WHERE r.id = ?",
        (run_id,),
    )
    return [SecretRow(*row) for row in rows]


def in_state(source: Source, definition_id: int) -> bool:
    """Return whether a version is old enough to get secret answers in the state."""
    last = meta.get(source, AFTER)
    return last is not None and definition_id <= int(last)
