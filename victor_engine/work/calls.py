"""What passes between the runtime and whatever does a node's work.

An invoker is bound to a role, tool, handler or node by the workspace's configuration. It gets a
`NodeCall`, may write log lines and report a process through its `CallContext`, and returns the
result (anything JSON can hold) or raises `NodeError`. When it is cancelled it ends what it started
(the whole process group) before it lets the cancellation pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct

from victor_engine.api import UsageInfo
from victor_engine.definition.model import NO_CONSTRAINTS, Constraints
from victor_engine.work.process import place_for_child


class RunIdentity(Struct, frozen=True):
    """The run that work belongs to. `timezone` applies to wall times where the workflow names none."""

    run_id: str
    workflow: str
    version: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCall:
    """One attempt at one node's work. `timeout` is in seconds; the runtime enforces it too.

    `idempotency_key` is the same for every attempt of one iteration, also after a crash.
    `state` is the run's state where the node maps no inputs of its own (or its binding asks for it).
    """

    run_id: str
    workflow: str
    version: str
    node_id: str
    node_type: str
    iteration: int
    attempt: int
    idempotency_key: str
    role: str = ""
    goal: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] | None = None
    tools: tuple[str, ...] = ()
    tool_budget: int | None = None
    llm_config: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    constraints: Constraints = NO_CONSTRAINTS
    config: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    timeout_overridden: bool = False  # set by an operator for this run: a binding's own limit gives way

    def payload(self) -> dict[str, Any]:
        """The JSON object that a command reads on standard input, without what is not set."""
        data: dict[str, Any] = {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "version": self.version,
            "node_id": self.node_id,
            "node_type": self.node_type,
            "iteration": self.iteration,
            "attempt": self.attempt,
            "idempotency_key": self.idempotency_key,
            "inputs": dict(self.inputs),
        }
        optional: dict[str, Any] = {
            "role": self.role,
            "goal": self.goal,
            "tools": list(self.tools),
            "tool_budget": self.tool_budget,
            "llm_config": dict(self.llm_config),
            "profile": self.profile,
            "config": dict(self.config),
            "timeout": self.timeout,
        }
        data.update({key: value for key, value in optional.items() if value not in (None, "", [], {})})
        if self.state is not None:
            data["state"] = dict(self.state)
        return data


class CallContext(Protocol):
    """What an invoker may tell the runtime while it works."""

    def log(self, stream: str, text: str) -> None:
        """Append one or more lines to the attempt's log; `stream` is stdout, stderr or log. Never blocks."""
        ...

    def room(self) -> asyncio.Future[None] | None:
        """Return None, or a future to wait for before more is taken from a pipe into the log."""
        ...

    async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
        """Commit the process's identity, so that a crash of the engine leaves no orphan."""
        ...

    async def used(self, usage: UsageInfo) -> None:
        """Commit what the attempt has used in all until now."""
        ...


class Invoker(Protocol):
    """Something that can do a node's work. `description` is shown, so it holds no secret.

    One that starts a process of its own has `async needs_process() -> bool`, see `place_of`.
    """

    @property
    def description(self) -> str: ...

    async def __call__(self, call: NodeCall, context: CallContext) -> Any: ...


@asynccontextmanager
async def place_of(invoker: Invoker) -> AsyncIterator[None]:
    """Hold a place for the process that the invoker needs, if it needs one; wait until there is one."""
    needs = getattr(invoker, "needs_process", None)
    if needs is None or not await needs():
        yield
        return
    async with place_for_child():
        yield
