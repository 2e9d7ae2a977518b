"""A console port on a real engine: a temporary store, a clock that tests move, and a person at the console.

`RealPort` passes every call on to an engine and replies nothing itself. It notes the actions, and a test can
have it delay or fail a call, or break the connection.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import yaml

from victor_engine.api import (
    Actor,
    Answer,
    CallerInfo,
    EngineInfo,
    EventInfo,
    Port,
    RequestInfo,
    RequestQuery,
    RunInfo,
)
from victor_engine.api.port import PortMethod, derive
from victor_engine.api.roles import Role
from victor_engine.clock import FakeClock
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.identity import acting_as

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)
ANA = Actor(user="ana", uid=1000, via="console", tty="pts/3")
"""The person at the console."""
BO = Actor(user="bo", uid=1001, via="cli", tty="pts/5")
"""Somebody else, at another terminal."""
PATIENCE = 60
"""Seconds after which something that has not happened counts as a failure."""
_PID = 4242
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
ROLES = {"release": ["ana", "bo"], "leads": ["root", "nobody"]}
BARE = {
    "victor.yaml": yaml.safe_dump(
        {"hitl": {"unknown_assignees": "warn"}, "roles": ROLES, "console": {"undo": "0s"}}
    )
}
"""Answers count at once: the clock stands still unless a test moves it."""


def pass_on(method: PortMethod) -> Callable[..., Awaitable[Any]]:
    """Return a method that calls the engine as the person at the console."""

    async def call(self: RealPort, *given: Any, **named: Any) -> Any:
        arguments = method.arguments(given, named)
        await self.before(method, tuple(arguments.values()))
        self.busy += 1
        try:
            with acting_as(self.actor):
                return self.shown(await getattr(self.engine_, method.name)(**arguments))
        finally:
            self.busy -= 1

    return call


@derive(pass_on)
class RealPort(Port):
    """`api.Port` on an engine of its own, opened by `open` or, as a console does it, by `connect`.

    What `connect` opens, `prepare` acts on before the console sees it.

    `calls` has the actions as (name, arguments), `reads` the queries. `fail_next` is raised by the next action,
    `fail_reads` by the next call of that name; a call of a name in `gates` waits for the event. While `down` is
    set, every call fails as if the engine had gone away.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        files: dict[str, str] | None = None,
        state: Path | None = None,
        clock: FakeClock | None = None,
        trusted: bool = True,
        fire: bool = False,
        prepare: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="victor-test-") if root is None else None
        self.root = root or Path(self._folder.name) / "workflows"  # type: ignore[union-attr]
        self.state = state or self.root.parent / "state"
        self.clock = clock or FakeClock(NOW)
        self.console_clock = self.clock
        self.actor = ANA
        self.roles: tuple[Role, ...] = tuple(Role)
        """The roles of the user of the console. The engine in this process does not check them."""
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.reads: list[tuple[str, tuple[Any, ...]]] = []
        self.fail_next: VictorError | None = None
        self.fail_reads: dict[str, VictorError] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.down = False
        self.closed = False
        self.same_everywhere = False
        """Whether paths, process and release look the same on every machine, as pictures need it."""
        self.hidden = [self.root.parent]
        """The directories that are shown as `/srv` then."""
        self.busy = 0
        """How many calls are with the engine."""
        self.engine_: Engine
        self._opened = False
        self._ends_with_console = False
        self._fire = fire
        self._prepare = prepare
        self._broken: list[asyncio.Event] = []
        self._files: dict[str, Path] = {}
        for name, text in (BARE if files is None else files).items():
            self.write(name, text)
        if trusted:
            trust(self.root)

    def write(self, name: str, text: str) -> None:
        """Write a file of the workspace."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    async def open(self) -> RealPort:
        """Open the engine. The caller also calls `end`."""
        with acting_as(self.actor):
            self.engine_ = await Engine.open(self.root, self.state, clock=self.clock, fire=self._fire)
        self._opened = True
        return self

    async def end(self) -> None:
        """Close the engine and remove its files."""
        if self._opened:
            self._opened = False
            await self.engine_.close()
        if self._folder is not None:
            self._folder.cleanup()

    async def connect(self) -> Port:
        """Return this port to a console; an engine that is opened here ends with the console."""
        if self.down:
            raise EngineUnavailableError("no engine answers: start it with `victor scheduler start`")
        if not self._opened:
            await self.open()
            self._ends_with_console = True
            if self._prepare is not None:
                await self._prepare(self)
        return self

    # --- the port ------------------------------------------------------------------------------

    async def before(self, method: PortMethod, arguments: tuple[Any, ...]) -> None:
        if self.down:
            raise EngineUnavailableError("the engine went away: start it with `victor scheduler start`")
        if method.name in self.gates:
            await self.gates[method.name].wait()
        if method.name in self.fail_reads:
            raise self.fail_reads.pop(method.name)
        if method.kind == "action":
            if self.fail_next is not None:
                error, self.fail_next = self.fail_next, None
                raise error
            self.calls.append((method.name, arguments))
        else:
            self.reads.append((method.name, arguments))

    def shown(self, value: Any) -> Any:
        """Return what the engine returned, without what differs from machine to machine if the test wants that."""
        if not self.same_everywhere:
            return value
        for path in self.hidden:
            value = _steady(value, str(path), "/srv")
        if isinstance(value, EngineInfo):
            return msgspec.structs.replace(value, pid=_PID, host="ops-1", product_version="0.1.0")
        return value

    async def whoami(self) -> CallerInfo:
        return CallerInfo(self.actor.user, self.actor.uid, self.roles)

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield the engine's events, until the connection is broken."""
        broken = asyncio.Event()
        self._broken.append(broken)
        events = self.engine_.subscribe(after)
        end = asyncio.create_task(broken.wait())
        try:
            while True:
                more = asyncio.ensure_future(anext(events))
                await asyncio.wait({more, end}, return_when=asyncio.FIRST_COMPLETED)
                if not more.done():
                    more.cancel()
                    await asyncio.gather(more, return_exceptions=True)
                    raise EngineUnavailableError("the connection to the engine broke")
                try:
                    yield self.shown(more.result())
                except StopAsyncIteration:
                    return
        finally:
            end.cancel()
            self._broken.remove(broken)
            await events.aclose()  # type: ignore[attr-defined]

    async def close(self) -> None:
        self.closed = True
        if self._ends_with_console:
            await self.end()

    # --- what tests do -------------------------------------------------------------------------

    def go_down(self) -> None:
        """Break the connection: feeds end, calls fail until `down` is False again."""
        self.down = True
        for broken in self._broken:
            broken.set()

    def names(self) -> list[str]:
        """Return the names of the actions so far."""
        return [name for name, _ in self.calls]

    async def by(self, actor: Actor, name: str, *given: Any, **named: Any) -> Any:
        """Call a method of the engine as somebody else, past this console."""
        with acting_as(actor):
            return await getattr(self.engine_, name)(*given, **named)

    async def answer_elsewhere(self, request_id: str, outcome: str = "rejected", actor: Actor = BO) -> None:
        """Let another operator answer first."""
        request = await self.engine_.request(request_id)
        await self.by(actor, "answer", request.id, request.revision, Answer(outcome))  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until `condition` returns something true, and return it."""
        async with asyncio.timeout(PATIENCE):
            while not (found := await condition()):
                await asyncio.sleep(0.001)
        return found

    async def add(self, name: str, workflow: dict[str, Any]) -> None:
        """Put a workflow into a file of its own and load it. Fail if the engine reports an error in it."""
        path = self._files.setdefault(name, self.root / "workflows" / f"{len(self._files)}.yaml")
        text = yaml.dump({"workflows": {name: workflow}}, Dumper=_DUMPER, allow_unicode=True, sort_keys=False)
        if path.exists() and path.read_text() == text:
            return
        self.write(str(path.relative_to(self.root)), text)
        problems = await self.engine_.reload()
        assert not (wrong := [problem for problem in problems if problem.severity == "error"]), wrong

    async def ask(self, kind: str = "approval", *, by: Actor = ANA, **fields: Any) -> RequestInfo:
        """Run a workflow up to a question, and return that. `fields` are those of `RequestInfo`."""
        name, workflow, state = asking(kind, fields)
        await self.add(name, workflow)
        with acting_as(by):
            run: RunInfo = await self.engine_.start_run(name, state=state)

        async def asked() -> list[RequestInfo]:
            found = await self.requests(RequestQuery(run_id=run.id))
            return [await self.request(request.id) for request in found]

        (request,) = await self.until(asked)
        return request  # type: ignore[no-any-return]


def _steady(value: Any, old: str, new: str) -> Any:
    """Return a value with one path in place of another, and with a constant number in place of each process id."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {
            name: found for name, held in fields.items() if (found := _steady(held, old, new)) is not held
        }
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, dict):
        return {key: _PID if key == "pid" else _steady(held, old, new) for key, held in value.items()}
    if isinstance(value, list | tuple):
        found = [_steady(held, old, new) for held in value]
        same = all(one is other for one, other in zip(found, value, strict=True))
        return value if same else type(value)(found)
    return value


PROMPT = "Deploy **build 7** to production?"
CONTEXT = {"host": "web-1", "checks": [{"name": "db", "ok": True}, {"name": "api", "ok": False}]}
PASSED = (
    "required_approvals", "assignees", "require_comment", "allow_edit", "multiple", "input_schema", "chain",
    "on_timeout", "escalate_to", "allow_questions", "allow_self_approval", "priority", "undo_window", "reminders",
    "reject_policy",
)  # fmt: skip


def asking(kind: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the name of a workflow that asks such a question, its content, and the state of its run."""
    fields = dict(fields)
    state = dict(fields.pop("context", CONTEXT))
    shown = list(state)
    node: dict[str, Any] = {
        "id": fields.pop("node_id", "gate"), "type": "hitl", "hitl_type": kind,
        "name": fields.pop("title", "May it go out?"), "prompt": fields.pop("prompt", PROMPT),
    }  # fmt: skip
    if (deadline := fields.pop("deadline", timedelta(minutes=12))) is not None:
        node["timeout"] = deadline.total_seconds()
    if "document" in fields:
        state["document"] = fields.pop("document")
        shown.insert(0, "document")
    if "recommendation" in fields:
        node["default_value"] = fields.pop("recommendation")
    if "default" in fields:
        node["default_value"] = fields.pop("default")
    if "choices" in fields:
        node["choices"] = [
            {"value": each.value, "label": each.label, "description": each.description, "style": each.style}
            for each in fields.pop("choices")
        ]
    fields.pop("has_default", None)  # there is one if it is given
    before = list(fields.pop("can_go_back_to", ()))
    name = fields.pop("workflow", "deploy")
    for key in PASSED:
        if key in fields:
            value = fields.pop(key)
            node[key] = list(value) if isinstance(value, tuple) else value
    assert not fields, f"no key of a node says {', '.join(fields)}"
    nodes = [
        {"id": each, "type": "transform", "transform": f"{each} = true", "next": [follower]}
        for each, follower in pairwise([*before, node["id"]])
    ]
    node["context_keys"] = shown
    return name, {"nodes": [*nodes, node]}, state
