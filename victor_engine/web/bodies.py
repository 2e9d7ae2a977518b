"""The bodies of requests: JSON, within limits of size and time, for one request and for all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from victor_engine.errors import UsageError
from victor_engine.service import frames
from victor_engine.web.problems import HttpError

BODY_SECONDS = 30.0
"""Maximum seconds for the body of a request to arrive."""


class Bodies:
    """The bodies that are in memory. `largest` are the bytes of one, and `together` those of all."""

    def __init__(self, largest: int, together: int) -> None:
        self.largest = largest
        self.together = together
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request, which is in memory during the block.

        Raise HttpError if it is too large, too slow, or not JSON.
        """
        body = bytearray()
        try:
            await self._collect(request, body)
            if body and _media_type(request) != "application/json":
                raise HttpError(415, UsageError("the body must have the content type application/json"))
            yield bytes(body) or b"{}"
        finally:
            self._held -= len(body)

    async def _collect(self, request: Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self.largest:
                        message = f"the body is larger than {frames.megabytes(self.largest)}"
                        raise HttpError(413, UsageError(message))
                    if self._held + len(chunk) > self.together:
                        message = "too many bodies arrive at the same time"
                        raise HttpError(429, UsageError(message), {"Retry-After": "1"})
                    body += chunk
                    self._held += len(chunk)
        except TimeoutError:
            message = f"the body did not arrive within {BODY_SECONDS:g} seconds"
            raise HttpError(408, UsageError(message)) from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
