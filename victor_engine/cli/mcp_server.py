"""The command `victor mcp`: tools for an AI agent, over standard input and output.

An agent asks people, and starts and follows runs. No tool answers a request, so nothing can be approved here. The
engine sees the Unix user of this process, and checks each call like any other.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import click
import msgspec

from victor_engine.api import (
    ASKED_WORKFLOW,
    FINAL_RUN_STATUSES,
    Port,
    Question,
    RequestInfo,
    RequestQuery,
    RequestStatus,
    RunInfo,
)
from victor_engine.cli.output import port_of
from victor_engine.errors import ConfigError, PermissionDeniedError, VictorError
from victor_engine.identity import user_name

T = TypeVar("T")

CALLS_PER_MINUTE = 60
"""Calls of tools in a minute."""
WRITES_PER_MINUTE = 10
"""Questions and runs in a minute."""
LONGEST_WAIT = 300.0
"""The longest wait of one call for an answer or for the end of a run, in seconds."""
POLL_SECONDS = 0.5

INSTRUCTIONS = (
    "Ask people questions, and start and follow runs of the workflows of this workspace. start_run executes the work "
    "of a workflow at once: describe the workflow first. An answer comes from a person and can take long: ask, keep "
    "the id, and read the question again. You cannot answer questions here."
)


class Rate:
    """A limit of calls in a minute, by the monotonic clock."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._calls: deque[float] = deque()

    def take(self) -> None:
        """Count a call. Raise PermissionDeniedError if there were too many in the last minute."""
        now = self._now()
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) >= self._most:
            wait = self._calls[0] + 60 - now
            raise PermissionDeniedError(f"more than {self._most} calls in a minute; wait {wait:.0f} seconds")
        self._calls.append(now)


class Tools:
    """The functions of the tools. Each opens a connection, so that it works after a restart of the engine."""

    def __init__(self, ctx: click.Context, calls: Rate, writes: Rate) -> None:
        self._ctx = ctx
        self._calls = calls
        self._writes = writes
        self._user = user_name(os.geteuid())

    async def _call(self, work: Callable[[Port], Awaitable[T]], *, writes: bool = False) -> T:
        self._calls.take()
        if writes:
            self._writes.take()
        async with port_of(self._ctx, "attach") as port:
            return await work(port)

    async def ask_person(
        self,
        question: str,
        choices: list[str] | None = None,
        schema: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        assignees: list[str] | None = None,
        timeout_seconds: float | None = None,
        wait_seconds: float = 0,
    ) -> dict[str, Any]:
        """Ask people a question. The answer is yes or no, one of the choices, or a value that fits the JSON Schema.

        Return the id and the status. With wait_seconds (at most 300), wait so long for the answer.
        """
        given = Question(
            prompt=question,
            choices=tuple(choices or ()),
            input_schema=schema,
            context=context or {},
            assignees=tuple(assignees or ()),
            timeout=timeout_seconds,
        )

        async def work(port: Port) -> dict[str, Any]:
            return await self._decided(port, await port.ask(given), wait_seconds)

        return await self._call(work, writes=True)

    async def my_question(self, question_id: str, wait_seconds: float = 0) -> dict[str, Any]:
        """Return one of your questions with its answer. With wait_seconds (at most 300), wait so long for it."""

        async def work(port: Port) -> dict[str, Any]:
            return await self._decided(port, self._own(await port.request(question_id)), wait_seconds)

        return await self._call(work)

    async def my_questions(self, include_closed: bool = False) -> dict[str, Any]:
        """List your questions, by default the open ones."""
        statuses = tuple(RequestStatus) if include_closed else (RequestStatus.OPEN, "held")
        query = RequestQuery(statuses=statuses, workflow=ASKED_WORKFLOW, named=True, own=True, limit=100)

        async def work(port: Port) -> dict[str, Any]:
            found = await port.requests(query)
            return {"questions": [_shown(each) for each in found if each.requested_by == self._user]}

        return await self._call(work)

    async def withdraw_question(self, question_id: str, note: str = "") -> dict[str, Any]:
        """Withdraw one of your questions that is open."""

        async def work(port: Port) -> dict[str, Any]:
            return _shown(await port.withdraw(question_id, note))

        return await self._call(work)

    async def list_workflows(self) -> dict[str, Any]:
        """List the workflows with their descriptions and versions."""

        async def work(port: Port) -> dict[str, Any]:
            found = await port.workflows()
            return {
                "workflows": [
                    {
                        "name": each.name,
                        "description": each.description,
                        "versions": [version.version for version in each.versions],
                    }
                    for each in found
                ]
            }

        return await self._call(work)

    async def describe_workflow(self, workflow: str, version: str | None = None) -> dict[str, Any]:
        """Return the description of a workflow and the JSON Schema of its inputs, the `state` of start_run.

        Inputs with a default can be left out. Without a schema, the workflow accepts any state.
        """

        async def work(port: Port) -> dict[str, Any]:
            found = await port.definition(workflow, version)
            return {
                "name": found.workflow,
                "version": found.version,
                "description": str(found.content.get("description", "")),
                "inputs": found.inputs,
            }

        return await self._call(work)

    async def start_run(
        self,
        workflow: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
    ) -> dict[str, Any]:
        """Start a run of a workflow and return its id. `state` has its inputs, see describe_workflow."""

        async def work(port: Port) -> dict[str, Any]:
            return _run(await port.start_run(workflow, version, state, note))

        return await self._call(work, writes=True)

    async def follow_run(self, run_id: str, wait_seconds: float = 0) -> dict[str, Any]:
        """Return the status of a run, and its outputs if it has succeeded and declares some.

        With wait_seconds (at most 300), wait so long for its end.
        """

        async def work(port: Port) -> dict[str, Any]:
            until = asyncio.get_running_loop().time() + min(wait_seconds, LONGEST_WAIT)
            while True:
                found = await port.run(run_id)
                if found.run.status in FINAL_RUN_STATUSES or asyncio.get_running_loop().time() >= until:
                    outputs = {} if found.outputs is None else {"outputs": found.outputs}
                    return _run(found.run) | outputs
                await asyncio.sleep(POLL_SECONDS)

        return await self._call(work)

    async def _decided(self, port: Port, request: RequestInfo, seconds: float) -> dict[str, Any]:
        until = asyncio.get_running_loop().time() + min(seconds, LONGEST_WAIT)
        while _is_open(request) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(POLL_SECONDS)
            request = await port.request(request.id)
        return _shown(request)

    def _own(self, request: RequestInfo) -> RequestInfo:
        if request.workflow != ASKED_WORKFLOW or request.requested_by != self._user:
            raise PermissionDeniedError(f"request {request.id} is not a question of {self._user}")
        return request


def _is_open(request: RequestInfo) -> bool:
    return request.status == RequestStatus.OPEN or request.settles_at is not None


def _shown(request: RequestInfo) -> dict[str, Any]:
    """Return a question as an agent reads it. An answer that can still be undone is not shown."""
    found: dict[str, Any] = {"id": request.id, "question": request.prompt, "status": request.status}
    if _is_open(request):
        found["status"] = "open"
        asked_back = [message.text for message in request.messages if message.kind == "question"]
        return {**found, "asked_back": asked_back} if asked_back else found
    found |= {"outcome": request.outcome, "answer": request.answer, "comment": request.comment}
    if request.answered_by is not None:
        found["answered_by"] = request.answered_by.user
    return found


def _run(run: RunInfo) -> dict[str, Any]:
    names = ("id", "workflow", "version", "status", "current", "waits_for", "note", "error")
    return {
        name: msgspec.to_builtins(value)
        for name in names
        if (value := getattr(run, name)) not in (None, (), "")
    }


TOOLS = (
    "ask_person",
    "my_question",
    "my_questions",
    "withdraw_question",
    "list_workflows",
    "describe_workflow",
    "start_run",
    "follow_run",
)


def build(tools: Tools) -> Any:
    """Return the server with its tools. Raise ConfigError if the package is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise ConfigError("victor mcp needs the package mcp: pip install 'victor-tui[mcp]'")
    library: Any = importlib.import_module("mcp.server")
    failed: Any = importlib.import_module("mcp.server.mcpserver.exceptions").ToolError
    server = library.MCPServer("victor", instructions=INSTRUCTIONS, log_level="ERROR")
    for name in TOOLS:
        server.add_tool(_reporting(getattr(tools, name), failed), name=name)
    return server


def _reporting(
    function: Callable[..., Awaitable[Any]], failed: type[Exception]
) -> Callable[..., Awaitable[Any]]:
    """Return a tool that reports a refusal of the engine with its message."""

    @wraps(function)
    async def call(*given: Any, **named: Any) -> Any:
        try:
            return await function(*given, **named)
        except VictorError as error:
            raise failed(error.message) from None

    return call


@click.command()
@click.pass_context
def mcp(ctx: click.Context) -> None:
    """Serve tools for an AI agent over standard input and output (Model Context Protocol).

    An agent can ask people, look at its own questions, list workflows, and start and follow runs, with the rights of
    your user. It cannot answer requests.
    """
    server = build(Tools(ctx, Rate(CALLS_PER_MINUTE), Rate(WRITES_PER_MINUTE)))
    asyncio.run(server.run_stdio_async())
