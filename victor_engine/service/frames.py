"""The messages of a client: one JSON object on each line, within the limits of its connection."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from victor_engine.errors import UsageError
from victor_engine.service import limits, protocol
from victor_engine.service.limits import Account

CHUNK = 65_536
"""Bytes in one read, and maximum size of the first message of a client."""

_LARGE = 262_144
"""Bytes of a message that is decoded in a thread instead of the event loop."""

_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*([0-9]{1,15})\s*[,}]')


class BadFrameError(UsageError):
    """A message that the server cannot accept. `request` is the id of the call, if it can be read."""

    def __init__(self, message: str, request: int | None = None) -> None:
        super().__init__(message)
        self.request = request


def request_id(frame: bytes | bytearray) -> int | None:
    """Return the id at the beginning of a message, which may be incomplete or invalid."""
    found = _ID.match(frame[:100])
    return int(found[1]) if found is not None else None


class FrameReader:
    """Reads the lines of a client. An unfinished line counts toward the incoming bytes of its connection and user."""

    def __init__(self, reader: asyncio.StreamReader, account: Account) -> None:
        self._reader = reader
        self._account = account
        self._rest = bytearray()
        self._searched = 0
        self._began = 0.0

    async def next(self, largest: int) -> bytes | None:
        """Return the next line, or None at the end of the stream.

        Raise BadFrameError for a line that is larger than `largest` or than the limits allow, after the line has been
        skipped, and TimeoutError if the client does not finish a line in time.
        """
        self._began = asyncio.get_running_loop().time()  # the server may have waited since the last line
        while True:
            end = self._rest.find(b"\n", self._searched)
            if end >= 0:
                return self._take(end + 1, largest)
            self._searched = len(self._rest)
            if self._searched > largest:
                raise await self._skip(f"the message is larger than {megabytes(largest)}")
            chunk = await self._read()
            if not chunk:
                self.close()
                return None
            if not self._account.fits(len(chunk)):
                self._append(chunk)
                raise await self._skip(
                    f"the unfinished requests of {self._account.whose} or of its user are too large together; send "
                    "them one after the other"
                )
            self._append(chunk)

    def close(self) -> None:
        """Return the bytes of an unfinished line."""
        self._drop(len(self._rest))

    def _take(self, length: int, largest: int) -> bytes:
        line = bytes(self._rest[:length])
        self._drop(length)
        if length > largest:
            raise BadFrameError(f"the message is larger than {megabytes(largest)}", request_id(line))
        return line

    async def _skip(self, reason: str) -> BadFrameError:
        """Skip the rest of a line without keeping it, and return the error."""
        error = BadFrameError(reason, request_id(self._rest))
        began = self._began
        while True:
            end = self._rest.find(b"\n")
            if end >= 0:
                self._drop(end + 1)
                return error
            self._drop(len(self._rest))
            async with asyncio.timeout_at(began + limits.UNFINISHED_SECONDS):
                chunk = await self._reader.read(CHUNK)
            if not chunk:
                return error
            self._append(chunk)

    async def _read(self) -> bytes:
        if not self._rest:
            chunk = await self._reader.read(CHUNK)
            self._began = asyncio.get_running_loop().time()
            return chunk
        async with asyncio.timeout_at(self._began + limits.UNFINISHED_SECONDS):
            return await self._reader.read(CHUNK)

    def _append(self, chunk: bytes) -> None:
        self._rest += chunk
        self._account.hold(len(chunk))

    def _drop(self, length: int) -> None:
        del self._rest[:length]
        self._searched = 0
        self._account.hold(-length)


async def decode(frame: bytes) -> protocol.FromClient:
    """Return a message. Raise BadFrameError. A large message is decoded in a thread."""
    if len(frame) > _LARGE:
        return await asyncio.to_thread(_decode, frame)
    return _decode(frame)


def _decode(frame: bytes) -> protocol.FromClient:
    try:
        protocol.check_values(frame)
        return protocol.decode_client(frame)
    except (ValueError, RecursionError) as error:
        raise BadFrameError(f"invalid message: {error}", request_id(frame)) from None


async def arguments(method: protocol.Method, message: protocol.FromClient) -> dict[str, Any]:
    """Return the arguments of a call. Raise UsageError, which names the method and the invalid parameter."""
    raw = bytes(message.params)
    try:
        if len(raw) > _LARGE:
            return await asyncio.to_thread(protocol.arguments, method, raw)
        return protocol.arguments(method, raw)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{method.name}: {error}") from error


def megabytes(size: int) -> str:
    return f"{size // (1024 * 1024)} MB" if size >= 1024 * 1024 else f"{size // 1024} KB"
