"""The interface between the runtime and invokers.

The configuration of the workspace binds an invoker to a role, tool, handler or node. An invoker gets a
`NodeCall`, may write log lines and report a process through its `CallContext`, and returns the
result (a JSON value) or raises NodeError. When it is cancelled, it ends its processes (the whole
process group) before it raises the cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct

from victor_engine.api import UsageInfo
from victor_engine.definition.limits import NO_CONSTRAINTS, Constraints
from victor_engine.work.process import process_slots


class RunIdentity(Struct, frozen=True):
    """The run to which work belongs. `timezone` applies to wall times if the workflow does not name a zone."""

    run_id: str
    workflow: str
    version: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCall:
    """The call for one attempt of a node. `timeout` is in seconds; the runtime enforces it too.

    `instant` is the instant that the run is for, see `run_instant`; it is `run` in the payload.
    `idempotency_key` is the same for all attempts of one iteration, also after a crash.
    `state` is the state of the run if the node maps no inputs, or if its binding asks for the state.
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
    instant: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] | None = None
    tools: tuple[str, ...] = ()
    tool_budget: int | None = None
    llm_config: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    constraints: Constraints = NO_CONSTRAINTS
    config: Mapping[str, Any] = field(default_factory=dict)
    process: Mapping[str, Any] = field(default_factory=dict)  # env, cwd and stdin of the node
    timeout: float | None = None
    timeout_overridden: bool = False  # the override of an operator replaces the limit of the binding
    traceparent: str = ""  # the context of the trace; empty if the engine exports no traces

    def payload(self) -> dict[str, Any]:
        """Return the JSON object that a command reads on standard input, without empty fields."""
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
            "run": dict(self.instant),
            "timeout": self.timeout,
        }
        data.update({key: value for key, value in optional.items() if value not in (None, "", [], {})})
        if self.state is not None:
            data["state"] = dict(self.state)
        return data


class CallContext(Protocol):
    """The services of the runtime for an invoker."""

    def log(self, stream: str, text: str) -> None:
        """Append one or more lines to the log of the attempt; `stream` is stdout, stderr or log. Never blocks."""
        ...

    def warn(self, message: str) -> None:
        """Write a warning event about the work. Never blocks."""
        ...

    def room(self) -> asyncio.Future[None] | None:
        """Return None, or a future to await before more data is read from a pipe into the log."""
        ...

    def capped(self) -> bool:
        """Return whether only the last lines of the log are kept from now on."""
        ...

    def dropped(self, lines: int, size: int) -> None:
        """Count lines and bytes of a capped log that came too fast and are not logged."""
        ...

    async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
        """Commit the identity of the process, so that a crash of the engine leaves no orphan."""
        ...

    async def used(self, usage: UsageInfo) -> None:
        """Commit the total usage of the attempt until now."""
        ...


class Invoker(Protocol):
    """Does the work of a node. `description` is shown, so it must not contain secrets.

    An invoker that starts a process has `async needs_process() -> bool`, see `process_slot_of`.
    """

    @property
    def description(self) -> str: ...

    async def __call__(self, call: NodeCall, context: CallContext) -> Any: ...


@asynccontextmanager
async def process_slot_of(invoker: Invoker) -> AsyncIterator[None]:
    """Hold a process slot if the invoker needs a process. Wait until a slot is free."""
    needs = getattr(invoker, "needs_process", None)
    if needs is None or not await needs():
        yield
        return
    async with process_slots():
        yield
