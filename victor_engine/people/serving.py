"""Programs that answer: `serve` gives open and new requests to a handler until it is cancelled.

A request that the program is not asked, and a request that fails, are reported and left open. A lost connection is
opened again, with a growing delay.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import msgspec

from victor_engine.api import Answer, Port, RequestInfo, RequestQuery
from victor_engine.clock import Clock, SystemClock
from victor_engine.domain.statuses import RequestStatus
from victor_engine.errors import (
    ConflictError,
    EngineUnavailableError,
    FencedError,
    StorageError,
    VictorError,
)
from victor_engine.people.handlers import HITLHandler, HITLRequest, HITLResponse, HITLStatus

log = logging.getLogger(__name__)

BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Delays in seconds before each reconnect. The last one repeats."""
CHANGES = frozenset(
    {
        "request.opened",
        "request.escalated",
        "request.passed_on",
        "request.reassigned",
        "request.delegated",
        "request.undone",
        "request.replied",
    }
)
"""The kinds of events after which a request can be new to a program."""
_TEMPORARY = (EngineUnavailableError, StorageError)

Result = Literal["answered", "passed", "not asked", "decided", "failed", "disconnected"]


@dataclass(frozen=True, slots=True)
class Report:
    """One step of `serve`: the result for one request, or a lost connection (`request_id` is empty).

    `not asked` is a request to other people, `decided` one that another user decided or changed first. `failed` is
    an error of the handler, or an answer that the engine refuses; `error` has it.
    """

    result: Result
    text: str
    request_id: str = ""
    node_id: str = ""
    error: Exception | None = None


@runtime_checkable
class Reopening(Protocol):
    """A port that can be opened again after its engine went away."""

    @property
    def reopen(self) -> Callable[[], Awaitable[Port | None]]: ...


def to_log(report: Report) -> None:
    """Write a report to the log: results at level INFO, other reports at level WARNING."""
    usual = report.result in ("answered", "passed")
    log.log(logging.INFO if usual else logging.WARNING, "%s", report.text, exc_info=_unexpected(report.error))


def _unexpected(error: Exception | None) -> Exception | None:
    return None if isinstance(error, VictorError) else error


async def serve(
    port: Port,
    handler: HITLHandler,
    query: RequestQuery | None = None,
    *,
    report: Callable[[Report], None] = to_log,
    clock: Clock | None = None,
) -> None:
    """Answer the open requests and then each new request, until cancelled.

    Args:
        port: The port to the engine. A port that `open_port` attached is opened again when its engine restarts.
        handler: The program that answers. It is called once for each revision of a request.
        query: The requests to answer; all open requests if None.
        report: Called for each request that was answered, passed, skipped or failed, and for each lost connection.
        clock: The clock of the delays between two connections.

    Requests to other people are skipped. An error of the handler, or an answer that the engine refuses, concerns
    one request only: it is reported, and the request stays open for people. Errors that a new connection cannot
    remove propagate, for example a query that is not valid, or the end of an engine in this process.
    """
    if not callable(getattr(handler, "request_human_input", None)):
        raise TypeError(
            f"{type(handler).__name__} has no method request_human_input; see victor_engine.hitl.HITLHandler"
        )
    await _Serving(port, handler, query or RequestQuery(), report, clock or SystemClock()).run()


@dataclass
class _Serving:
    """The state of one call of `serve`."""

    port: Port
    handler: HITLHandler
    query: RequestQuery
    report: Callable[[Report], None]
    clock: Clock
    seen: set[tuple[str, int]] = field(default_factory=set)
    unsent: dict[tuple[str, int], Answer] = field(default_factory=dict)
    """Answers whose sending failed with the connection. The handler is not asked for them again."""
    tries: int = 0

    async def run(self) -> None:
        original = self.port
        try:
            while True:
                try:
                    await self._follow()
                    error: VictorError = EngineUnavailableError("the engine closed its event feed")
                except FencedError:
                    raise
                except _TEMPORARY as problem:
                    error = problem
                await self._reopen(error)
        finally:
            if self.port is not original:  # the caller closes its own port
                await _close(self.port)

    async def _follow(self) -> None:
        after = (await self.port.engine()).last_event
        events = self.port.subscribe(after)
        await self._answer_open()
        self.tries = 0
        async for event in events:
            if event.kind in CHANGES:
                await self._answer_open()

    async def _reopen(self, error: VictorError) -> None:
        """Open the port again after a delay. Raise `error` if it is the port of an engine in this process."""
        if not isinstance(self.port, Reopening):
            raise error
        lost = self.port
        reopen = self.port.reopen
        while True:
            delay = BACKOFF[min(self.tries, len(BACKOFF) - 1)]
            self.tries += 1
            self._say("disconnected", f"{error.message}; the next attempt is in {delay:g} s", error=error)
            await self.clock.sleep(delay)
            try:
                found = await reopen()
            except _TEMPORARY as problem:
                error = problem
                continue
            if found is None:
                error = EngineUnavailableError("no engine runs")
                continue
            self.port = found
            await _close(lost)
            return

    async def _answer_open(self) -> None:
        for info in await _all_pages(self.port, self.query):
            key = (info.id, info.revision)
            if info.status != RequestStatus.OPEN or key in self.seen:
                # A vote that does not reach the quorum leaves the request open; it is not answered twice.
                continue
            if info.assignees and not info.asked_as:
                self.seen.add(key)
                self._say("not asked", f"skipped: it is assigned to {', '.join(info.assignees)}", info)
                continue
            answer = self.unsent.get(key) or await self._ask_handler(info)
            if answer is not None:
                await self._send(info, answer)

    async def _ask_handler(self, info: RequestInfo) -> Answer | None:
        """Return the answer of the handler; None, after a report, if it gave none."""
        self.seen.add((info.id, info.revision))
        try:
            response = await self.handler.request_human_input(HITLRequest.from_info(info))
            if not isinstance(response, HITLResponse):
                raise TypeError(f"a handler returns a HITLResponse, not {type(response).__name__}")
            if response.status is HITLStatus.PASSED:
                self._say("passed", "the handler left it to other people", info)
                return None
            return response.to_answer()
        except Exception as error:  # of one request only, whatever the handler did
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            self._say("failed", f"the handler failed: {text}; the request stays open", info, error)
            return None

    async def _send(self, info: RequestInfo, answer: Answer) -> None:
        key = (info.id, info.revision)
        self.unsent[key] = answer
        self.seen.discard(key)
        try:
            await self.port.answer(info.id, info.revision, answer)
        except _TEMPORARY:
            raise
        except ConflictError as error:
            self._say("decided", error.message, info, error)
        except Exception as error:  # for example a value that cannot be sent
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            self._say("failed", f"the answer was not accepted: {text}; the request stays open", info, error)
        else:
            self._say("answered", f"answered: {answer.outcome}", info)
        del self.unsent[key]
        self.seen.add(key)

    def _say(
        self, result: Result, text: str, info: RequestInfo | None = None, error: Exception | None = None
    ) -> None:
        request_id, node_id = (info.id, info.node_id) if info is not None else ("", "")
        where = f"request {request_id} ({node_id}): " if info is not None else ""
        self.report(Report(result, where + text, request_id, node_id, error))


async def _close(port: Port) -> None:
    try:
        await port.close()
    except VictorError as error:
        log.debug("closing a lost connection failed: %s", error.message)


async def _all_pages(port: Port, query: RequestQuery) -> list[RequestInfo]:
    """Return all requests of a query, over all pages. A handler may pass any number of them."""
    found: list[RequestInfo] = []
    while page := await port.requests(msgspec.structs.replace(query, offset=query.offset + len(found))):
        found += page
        if len(page) < query.limit:
            break
    return found
