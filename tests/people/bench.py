"""A real store with a run in it, and questions that are put without a runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor, Answer
from victor_engine.clock import FakeClock, to_us
from victor_engine.definition.model import HITLNode
from victor_engine.people.questions import Ask
from victor_engine.people.requests import (
    Decision,
    Person,
    RequestRef,
    answer_request,
    build_ask,
    due_requests,
    expire_request,
    open_request,
    run_timers,
)
from victor_engine.store.db import Store, Tx, actor_from_json, open_store
from victor_engine.store.runs import NewRun, insert_run

T = TypeVar("T")

ALICE = Actor(user="alice", uid=1001, via="console", tty="/dev/pts/3", remote="192.0.2.7")
BOB = Actor(user="bob", uid=1002, via="cli")
CAROL = Actor(user="carol", uid=1003, via="api")

YES = Answer(outcome="approved")
NO = Answer(outcome="rejected")


class Bench:
    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.run_key = 0
        self.run_id = ""
        self.asked = 0

    async def new_run(self, actor: Actor | None = ALICE, parent: int | None = None) -> int:
        def insert(tx: Tx) -> tuple[int, str]:
            definition = tx.execute(
                "INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)"
                " VALUES ('w', '1.0.0', '', '{}', '', 0) ON CONFLICT DO UPDATE SET text = '' RETURNING id"
            ).fetchone()[0]
            run = NewRun(
                workflow="w", definition_id=definition, start_node="gate", actor=actor, parent_key=parent
            )
            return insert_run(tx, run)

        self.run_key, self.run_id = await self.store.write(insert)
        return self.run_key

    async def ask(self, state: dict[str, Any] | None = None, **fields: Any) -> RequestRef:
        self.asked += 1
        number = self.asked
        node = HITLNode(id="gate", **{"prompt": "Ship it?", **fields})
        ask, deadline = build_ask(node, state or {}, "alice", self.clock.now())
        return await self.store.write(
            lambda tx: open_request(
                tx,
                run_key=self.run_key,
                run_id=self.run_id,
                workflow="w",
                attempt_id=number,
                node_id="gate",
                iteration=number,
                ask=ask,
                deadline_us=to_us(deadline) if deadline is not None else None,
            )
        )

    async def answer(
        self,
        ref: RequestRef,
        answer: Answer,
        actor: Actor = BOB,
        revision: int | None = None,
        *,
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
    ) -> Decision | None:
        wanted = ref.revision if revision is None else revision
        person = Person(actor, frozenset(groups), frozenset(roles))
        return await self.store.write(lambda tx: answer_request(tx, ref.id, wanted, answer, person))

    async def expire(self, ref: RequestRef, after: float = 0.0) -> Decision | None:
        self.clock.set_wall(self.clock.now() + timedelta(seconds=after))
        return await self.store.write(lambda tx: expire_request(tx, ref.id))

    async def run_timers(self, ref: RequestRef, after: float = 0.0) -> Decision | None:
        """Let time pass, and do what the engine does then."""
        self.clock.set_wall(self.clock.now() + timedelta(seconds=after))
        decision = None
        for request_id in await self.store.read(lambda c: due_requests(c, self.clock.now())):
            found = await self.store.write(lambda tx, request_id=request_id: run_timers(tx, request_id))  # type: ignore[misc]
            decision = found if request_id == ref.id else decision
        return decision

    async def ask_row(self, ref: RequestRef) -> Ask:
        return msgspec.json.decode((await self.row(ref))["spec"], type=Ask)

    async def events(self, ref: RequestRef, kind: str) -> list[dict[str, Any]]:
        rows = await self.all(
            "SELECT data, actor FROM events WHERE request_id = ? AND kind = ? ORDER BY seq", ref.id, kind
        )
        return [{**jsonio.loads(data or "{}"), "actor": actor_from_json(actor).user} for data, actor in rows]

    async def all(self, sql: str, *values: Any) -> list[Any]:
        return await self.store.read(lambda connection: connection.execute(sql, values).fetchall())

    async def row(self, ref: RequestRef) -> dict[str, Any]:
        names = ("status", "outcome", "answer", "revision", "deadline", "claimed_by", "spec", "digest")
        ((*values,),) = await self.all(f"SELECT {', '.join(names)} FROM requests WHERE id = ?", ref.id)
        return dict(zip(names, values, strict=True))

    async def kinds(self, ref: RequestRef) -> list[str]:
        return [
            kind
            for (kind,) in await self.all("SELECT kind FROM events WHERE request_id = ? ORDER BY seq", ref.id)
        ]

    async def write(self, transition: Callable[[Tx], T]) -> T:
        return await self.store.write(transition)


@asynccontextmanager
async def bench(path: Path) -> AsyncIterator[Bench]:
    clock = FakeClock()
    store = open_store(path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start()
    try:
        made = Bench(store, clock)
        await made.new_run()
        yield made
    finally:
        await store.close()
