"""The wait of the command line for the decision on a request, and its exit codes.

0 is yes or an answer, and 1 is only no. 124 is the end of the time without an answer, and 12 a withdrawn request. 70
stands for an unexpected error, so that no error can be taken for an answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import click

from victor_engine.api import RequestInfo, RequestStatus, is_self_approved
from victor_engine.cli.output import port_of, print_error, print_json, print_line, print_note
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.service.signals import SignalReceivedError, Signals

NO, WITHDRAWN, INTERNAL, TIMED_OUT = 1, 12, 70, 124

POLL_SECONDS = (*([0.1] * 20), *([0.3] * 60), 1.0)
"""Seconds between two looks at a request. The last one repeats."""


def exit_code(request: RequestInfo) -> int:
    """Return the exit code for a decided request."""
    if request.outcome in ("rejected", "timed_out", "withdrawn"):
        return {"rejected": NO, "timed_out": TIMED_OUT}.get(request.outcome, WITHDRAWN)
    if request.status == RequestStatus.EXPIRED and request.outcome != "approved":
        return TIMED_OUT
    return 0


def answer_text(request: RequestInfo) -> str:
    """Return an answer as a script reads it: yes or no, a text unchanged, and other values as JSON."""
    if request.outcome in ("approved", "rejected") and isinstance(request.answer, bool | None):
        return "yes" if request.outcome == "approved" else "no"
    return (
        request.answer if isinstance(request.answer, str) else json.dumps(request.answer, ensure_ascii=False)
    )


def report(request: RequestInfo, as_json: bool) -> int:
    """Print the decision on a request, and return the exit code."""
    code = exit_code(request)
    by = f" by {request.answered_by.shown}" if request.answered_by else ""
    if as_json:
        print_json(request)
    elif code == TIMED_OUT:
        print_note(f"timed out: no one answered: {request.title}")
    elif code == WITHDRAWN:
        print_note(f"withdrawn: {request.title}")
    else:
        print_line(answer_text(request))
    if code in (0, NO) and by:
        itself = " (self-approved)" if is_self_approved(request) else ""
        comment = f": {request.comment}" if request.comment else ""
        print_note(f"{(request.outcome or '').replace('_', ' ')}{by}{itself}{comment}")
    return code


async def decided(ctx: click.Context, request_id: str, *, asked: bool = False) -> RequestInfo:
    """Wait until a request is decided, and return it. If its engine ends, wait for the next one.

    Raise EngineUnavailableError if no engine runs at first, unless this command has just `asked` the question.
    """
    told: set[str] = set()
    looks = 0
    while True:
        try:
            async with port_of(ctx, "attach") as port:
                while True:
                    found = await port.request(request_id)
                    if found.status != RequestStatus.OPEN and found.settles_at is None:
                        return found
                    _tell_questions(found, told)
                    await asyncio.sleep(POLL_SECONDS[min(looks, len(POLL_SECONDS) - 1)])
                    looks += 1
        except EngineUnavailableError as error:
            if not looks and not asked:
                raise
            if "engine" not in told:
                told.add("engine")
                print_note(f"the engine has ended; the question stays open until it returns. {error.message}")
            await asyncio.sleep(POLL_SECONDS[-1])


def _tell_questions(request: RequestInfo, told: set[str]) -> None:
    """Print each question to the requester once."""
    for message in request.messages:
        key = f"{message.at}{message.text}"
        if message.kind == "question" and key not in told:
            told.add(key)
            print_note(
                f"{message.actor.shown} asks: {message.text}\n"
                f"to reply, run: victor inbox reply {request.id} TEXT"
            )


def finish(
    work: Callable[[], Coroutine[Any, Any, int]],
    after_signal: Callable[[], Awaitable[None]] | None = None,
    limit: float | None = None,
) -> int:
    """Do the work of a command that waits, and return its exit code. Only an answer leads to 0 or 1.

    After a signal, or after `limit` seconds, `after_signal` is called.
    """

    async def go() -> int:
        with Signals() as signals:
            try:
                async with asyncio.timeout(limit):
                    return await signals.run_until_signal(work())
            except TimeoutError:
                await cleaned()
                print_error(f"no answer within {limit or 0:g} seconds")
                return TIMED_OUT

    async def cleaned() -> None:
        if after_signal is not None:
            async with asyncio.timeout(10):
                await after_signal()

    try:
        try:
            return asyncio.run(go())
        except SignalReceivedError as caught:
            asyncio.run(cleaned())
            return caught.exit_code
    except VictorError as error:
        print_error(error.message)
        return error.exit_code if error.exit_code not in (0, NO) else INTERNAL
    except TimeoutError:
        print_error("the engine did not respond within 10 seconds")
        return INTERNAL
    except BrokenPipeError:
        return INTERNAL
    except Exception as error:
        print_error(f"unexpected error: {type(error).__name__}: {error}")
        return INTERNAL


@click.command("wait")
@click.argument("request")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def wait(ctx: click.Context, request: str, as_json: bool) -> None:
    """Wait for the answer to REQUEST, and print it.

    The exit code is 0 for yes or an answer, 1 for no, 124 if its time has passed, and 12 if it was withdrawn. An
    interrupt ends the wait; the request stays open.
    """

    async def work() -> int:
        return report(await decided(ctx, request), as_json)

    sys.exit(finish(work))
