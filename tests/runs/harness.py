"""A runtime on a real store, with invokers that are functions of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from victor_engine import jsonio
from victor_engine.api import Actor, Answer
from victor_engine.clock import Clock, SystemClock
from victor_engine.config import Config
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.loader import load_text
from victor_engine.definition.problem_messages import raise_for
from victor_engine.definition.stored_content import definition_from_content
from victor_engine.people.requests import Person, answer_request
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Store, open_store
from victor_engine.store.runs import NewRun, insert_run
from victor_engine.store.state import run_state
from victor_engine.work.calls import NodeCall
from victor_engine.work.secrets import SecretStore

ALICE = Actor(user="alice", uid=1001, via="cli")
BOB = Actor(user="bob", uid=1002, via="cli")
FINAL = ("succeeded", "failed", "rejected", "cancelled")


class Work:
    """Bindings for a test: the work of a node (or `node.member`) is a function of its call."""

    workspace = Path(".")
    timezone = "UTC"
    secrets = SecretStore()
    config = Config(workspace=Path("."))

    def __init__(self, **work: Any) -> None:
        self.work = work
        self.calls: list[NodeCall] = []

    def resolve(self, workflow: str, node: Any, role: str | None = None) -> Any:
        return _Invoker(self)


class _Invoker:
    description = "test work"

    def __init__(self, owner: Work) -> None:
        self._owner = owner

    async def __call__(self, call: NodeCall, context: Any) -> Any:
        self._owner.calls.append(call)
        name = call.node_id.replace(".", "__")
        work = self._owner.work.get(name, {})
        result = work(call) if callable(work) else work
        return await result if asyncio.iscoroutine(result) else result


class Bench:
    """A store and a runtime, with methods to drive them."""

    def __init__(self, path: Path, work: Work, clock: Clock | None = None, **options: Any) -> None:
        self.path = path
        self.work = work
        self.clock = clock or SystemClock()
        self.options = options
        self.store: Store
        self.runtime: RunSupervisor
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Bench:
        self.store = open_store(self.path / "victor.db", clock=self.clock)
        self.store.begin_epoch()
        self.store.start()
        self.store.listen(lambda events: self.changed.set())
        functions = FunctionRegistry()

        def load(connection: Any, definition_id: int) -> Any:
            row = connection.execute(
                "SELECT workflow, content, version FROM definitions WHERE id = ?", (definition_id,)
            ).fetchone()
            return definition_from_content(row[0], jsonio.loads(row[1])), row[2]

        self.runtime = RunSupervisor(
            self.store,
            self.clock,
            load_definition=load,
            bindings=lambda: self.work,  # type: ignore[arg-type,return-value]
            functions=lambda: functions,
            **self.options,
        )
        await self.runtime.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runtime.stop()
        await self.store.close()

    async def define(self, text: str) -> tuple[int, str, str]:
        result = load_text(text)
        raise_for(result.problems)
        (name, definition), *_ = result.workflows.items()
        content = jsonio.dumps_text(definition.content)

        def insert(tx: Any) -> int:
            tx.execute(
                "INSERT OR IGNORE INTO definitions (workflow, version, checksum, content, text, registered_at)"
                " VALUES (?, '1.0.0', '', ?, ?, 0)",
                (name, content, text),
            )
            return tx.execute("SELECT id FROM definitions WHERE workflow = ?", (name,)).fetchone()[0]  # type: ignore[no-any-return]

        return await self.store.write(insert), name, definition.start

    async def start(self, text: str, state: dict[str, Any] | None = None, **more: Any) -> RunRef:
        definition_id, name, first = await self.define(text)
        new = NewRun(
            workflow=name,
            definition_id=definition_id,
            start_node=first,
            state=state or {},
            actor=ALICE,
            **more,
        )
        key, run_id = await self.store.write(lambda tx: insert_run(tx, new))
        self.runtime.enqueue(key)
        return RunRef(key, run_id, name, definition_id, None)

    async def until(self, condition: Callable[[], Awaitable[Any]], limit: float = 20.0) -> Any:
        """Check the condition after each commit until it holds."""
        async with asyncio.timeout(limit):
            while True:
                self.changed.clear()
                found = await condition()
                if found:
                    return found
                await self.changed.wait()

    async def status(self, ref: RunRef) -> str:
        return await self.one("SELECT status FROM runs WHERE key = ?", ref.key)

    async def until_status(self, ref: RunRef, wanted: str) -> None:
        """A pause has no separate event, so this also checks between commits."""
        async with asyncio.timeout(20):
            while await self.status(ref) != wanted:
                await asyncio.sleep(0)

    async def end(self, ref: RunRef) -> str:
        async def final() -> str | None:
            status = await self.status(ref)
            return status if status in FINAL else None

        return str(await self.until(final))

    async def one(self, sql: str, *parameters: Any) -> Any:
        rows = await self.all(sql, *parameters)
        return rows[0][0] if rows else None

    async def all(self, sql: str, *parameters: Any) -> list[Any]:
        return await self.store.read(lambda c: c.execute(sql, parameters).fetchall())

    async def state(self, ref: RunRef) -> dict[str, Any]:
        return await self.store.read(lambda c: run_state(c, ref.key))

    async def error(self, ref: RunRef) -> dict[str, Any]:
        return jsonio.loads(await self.one("SELECT error FROM runs WHERE key = ?", ref.key))

    async def question(self, ref: RunRef) -> tuple[str, int]:
        async def asked() -> Any:
            rows = await self.all(
                "SELECT id, revision FROM requests WHERE run_key = ? AND status = 'open'", ref.key
            )
            return rows[0] if rows else None

        return await self.until(asked)  # type: ignore[no-any-return]

    async def answer(self, ref: RunRef, answer: Answer, actor: Actor = BOB) -> None:
        request_id, revision = await self.question(ref)
        decision = await self.store.write(
            lambda tx: answer_request(tx, request_id, revision, answer, Person(actor))
        )
        if decision is not None:
            self.runtime.deliver(request_id, decision)
