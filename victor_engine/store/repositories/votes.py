"""The table `votes`: the votes of people on requests. A vote that is undone stays in the table."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.requests import Handle
from victor_engine.store.transaction import Tx, actor_from_json


class Vote(NamedTuple):
    """A vote that was not undone."""

    actor: Actor
    outcome: str
    value: Any
    comment: str
    stage: int


def current(source: Source, request_key: int) -> list[Vote]:
    """Return the votes on a request that were not undone, oldest first."""
    rows = source.execute(
        "SELECT actor, outcome, value, comment, stage FROM votes WHERE request_key = ? AND undone_at IS NULL"
        " ORDER BY id",
        (request_key,),
    )
    return [
        Vote(actor_from_json(actor), outcome, None if value is None else jsonio.loads(value), comment, stage)
        for actor, outcome, value, comment, stage in rows
    ]


def add(tx: Tx, handle: Handle, actor: Actor, outcome: str, value: Any, comment: str, stage: int) -> None:
    """Store a vote on a request as it was read."""
    person = actor.person if isinstance(actor.person, int) else -1
    tx.lock(Root.REQUEST, handle.id)
    tx.execute(
        "INSERT INTO votes (request_key, revision, at, actor, uid, outcome, value, comment, stage)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (
            handle.key, handle.revision, tx.now_us, msgspec.json.encode(actor).decode(), person, outcome,
            jsonio.dumps_text(value), comment, stage,
        ),
    )  # fmt: skip


def take_back_last(tx: Tx, handle: Handle) -> None:
    """Store that the last vote on a request is undone."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE votes SET undone_at = ? WHERE id = (SELECT MAX(id) FROM votes WHERE request_key = ?)",
        (tx.now_us, handle.key),
    )
    expect_one(cursor, "vote on request", handle.id)
