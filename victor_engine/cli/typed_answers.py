"""Answers that are typed on the terminal of `victor run`, to the requests of the run that it follows."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from types import TracebackType

from victor_engine.api import EventInfo, Port, RequestInfo, RequestStatus
from victor_engine.cli.inbox_actions import answer_from_arguments
from victor_engine.cli.output import print_error, print_note
from victor_engine.definition.secret_fields import secret_fields
from victor_engine.errors import VictorError

_CLOSED = {"request.answered": "answered", "request.expired": "expired", "request.withdrawn": "withdrawn"}


def is_possible() -> bool:
    """Return whether a user can read a question and type the answer: standard input and error are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class TypedAnswers:
    """Offers the open requests of a run, one after the other, and sends the lines that are typed.

    A context manager. An empty line leaves a request in the inbox. It still follows the run, and an answer of
    another user ends the offer.
    """

    def __init__(self, port: Port, *, enabled: bool) -> None:
        self._port = port
        self._enabled = enabled and is_possible()
        self._waiting: list[RequestInfo] = []
        self._typed = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> TypedAnswers:
        if self._enabled:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        for task in self._tasks:
            task.cancel()

    def _stop(self) -> None:
        if self._enabled:
            self._enabled = False
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())

    async def on_event(self, event: EventInfo) -> bool:
        """Offer an opened request, or end the offer of a closed one. Return whether the request is offered."""
        if not self._enabled or event.request_id is None:
            return False
        if event.kind in _CLOSED:
            self._end(event.request_id, f"{_CLOSED[event.kind]} by {event.actor.shown}")
        if event.kind != "request.opened":
            return False
        found = await self._port.request(event.request_id)
        secret = found.input_schema is not None and bool(secret_fields(found.input_schema))
        if found.status != RequestStatus.OPEN or not found.asked_as or secret:
            return False
        self._waiting.append(found)
        if len(self._waiting) == 1:
            self._show()
        return True

    def _end(self, request_id: str, why: str) -> None:
        first = bool(self._waiting) and self._waiting[0].id == request_id
        self._waiting = [request for request in self._waiting if request.id != request_id]
        if first:
            print_note(f"           request {request_id}: {why}")
            self._show()

    def _show(self) -> None:
        """Print the first request. What was typed before it was shown is not an answer."""
        if not self._waiting:
            return
        request = self._waiting[0]
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        self._typed = b""
        print_note(f"\n{request.title}\n\n{request.prompt}\n")
        for key, value in request.context.items():
            print_note(f"{key}: {value}")
        print_note(f"{_how(request)}; an empty line leaves it in the inbox as {request.id}:")

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65_536)
        if not data:
            self._stop()
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            if self._waiting:
                task = asyncio.ensure_future(
                    self._send(self._waiting[0], line.decode(errors="replace").strip())
                )
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send(self, request: RequestInfo, line: str) -> None:
        if not line:
            self._end(request.id, "left in the inbox")
            return
        try:
            await self._port.answer(
                request.id, request.revision, answer_from_arguments(request, line, None, "")
            )
        except VictorError as error:
            print_error(error.message)
            if self._waiting and self._waiting[0].id == request.id:
                print_note(f"{_how(request)}:")


def _how(request: RequestInfo) -> str:
    """Return how to answer a request."""
    if request.choices and request.kind != "override":
        return "Type one of " + ", ".join(str(choice.value) for choice in request.choices)
    if request.kind in ("approval", "confirmation", "review"):
        return "Type approve or reject"
    if request.kind == "override":
        return "Type accept, or another value"
    return "Type the answer, as JSON for a form"
