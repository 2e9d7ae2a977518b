"""The events of an engine as server-sent events, which a client resumes by their number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from victor_engine.api import EventInfo
from victor_engine.errors import UsageError, VictorError
from victor_engine.service import protocol
from victor_engine.service.client import Client
from victor_engine.web import problems

HEARTBEAT_SECONDS = 15.0
"""Seconds without an event after which a comment is sent, so that both sides notice a lost connection."""
RECHECK_SECONDS = 5.0
"""Seconds between two checks whether the token of a stream was revoked or has expired."""


def resume_after(last_event_id: str | None, after: str | None) -> int | None:
    """Return the number after which a stream begins; None for new events only. Raise UsageError for other texts."""
    for name, text in (("Last-Event-ID", last_event_id), ("after", after)):
        if text is None:
            continue
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > 2**63 - 1:
            raise UsageError(f"{name} is not the number of an event: {text[:40]!r}")
        return int(text)
    return None


async def stream(client: Client, after: int, check: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    """Yield the events after a number, and comments while there are none.

    `check` raises the error that ends the stream. The last message is then a `problem`.
    """
    feed = client.subscribe(after)
    clock = asyncio.get_running_loop().time
    said = clock()
    following: asyncio.Task[EventInfo] | None = None
    try:
        yield b"retry: 2000\n\n"
        while True:
            following = following or asyncio.ensure_future(_next(feed))
            await asyncio.wait({following}, timeout=RECHECK_SECONDS)
            check()
            if following.done():
                event, following = following.result(), None
                yield b"id: %d\ndata: %b\n\n" % (event.seq, protocol.encode(event))
                said = clock()
            elif clock() - said >= HEARTBEAT_SECONDS:
                yield b": waiting\n\n"
                said = clock()
    except VictorError as error:
        status = problems.STATUSES.get(error.code, 500)
        yield b"event: problem\ndata: %b\n\n" % msgspec.json.encode(
            problems.document(error, status), enc_hook=str
        )
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})


async def _next(feed: AsyncIterator[EventInfo]) -> EventInfo:
    return await anext(feed)
