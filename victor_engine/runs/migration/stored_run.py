"""An idle run as stored, with all data on which its migration depends."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.people.requests import Ask
from victor_engine.store.db import actor_from_json
from victor_engine.store.repositories import attempt_rows, requests, run_rows
from victor_engine.store.repositories.run_rows import RunRef
from victor_engine.store.state import run_state
from victor_engine.store.stored_ending import ending_from
from victor_engine.store.stored_position import position_of


@dataclass(frozen=True, slots=True)
class Question:
    """The request on which an attempt waits."""

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
    """An open attempt: it waits for people or for its retry."""

    id: int
    node_id: str
    iteration: int
    parent: str | None
    status: str
    retry_at: int | None
    question: Question | None = None
    child: int | None = None  # the child run for which it waits


@dataclass(frozen=True, slots=True)
class MigratableRun:
    """A run as stored, with all data on which a plan depends."""

    ref: RunRef
    status: str
    revision: int
    position: str
    started_by: str
    state: dict[str, Any]
    live: tuple[LiveAttempt, ...]
    inside: tuple[str, ...]  # parallel, team or map nodes that have begun and are not done
    last_attempt: int
    handler: str = ""  # the handler of its end that it executes

    @property
    def mark(self) -> tuple[Any, ...]:
        """Return the values that must not change between the plan and its application."""
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


def read_run(connection: sqlite3.Connection, key: int) -> MigratableRun:
    """Return a run with its open attempts. Raise NotFoundError if it does not exist."""
    row = run_rows.read(connection, key)
    position = jsonio.dumps_text(position_of(connection, key))
    questions = _questions(connection, key)
    live = []
    for each in attempt_rows.not_over(connection, key):
        attempt, node_id, iteration, parent, state, retry_at, kind, child = each
        if kind in ("parallel", "map") or (kind == "team" and parent is None):
            continue  # it contains other attempts and does no work itself
        live.append(
            LiveAttempt(attempt, node_id, iteration, parent, state, retry_at, questions.get(attempt), child)
        )
    return MigratableRun(
        ref=row.ref,
        status=row.status,
        revision=row.revision,
        position=position,
        started_by=actor_from_json(row.actor).user,
        state=run_state(connection, key),
        live=tuple(live),
        inside=_inside(connection, key, jsonio.loads(position)),
        last_attempt=attempt_rows.last(connection, key),
        handler=ending_from(row.ending).current,
    )


def _questions(connection: sqlite3.Connection, key: int) -> dict[int, Question]:
    return {
        each.attempt_id: Question(
            each.key,
            each.revision,
            each.status,
            each.node_id,
            each.digest,
            msgspec.json.decode(each.spec, type=Ask),
            each.deadline,
            each.votes,
        )
        for each in requests.of_run(connection, key)
    }


def _inside(connection: sqlite3.Connection, key: int, position: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the nodes of the frontier whose members have begun in this visit."""
    found = []
    for node in position["frontier"]:
        since = position.get("counts", {}).get(node, 0)
        if attempt_rows.has_begun_members(connection, key, node, since):
            found.append(node)
    return tuple(found)
