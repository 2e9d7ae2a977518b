"""A real HTTP server on loopback with responses from the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Writer = asyncio.StreamWriter
Reply = Callable[[Writer], Awaitable[None]]


@dataclass
class Server:
    replies: list[Reply] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest) if k}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((first, headers, json.loads(body) if body else None))
            await self.replies.pop(0)(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def plain(body: bytes, status: str = "200 OK", *headers: str) -> Reply:
    async def reply(writer: Writer) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return reply


def stream(*chunks: Any, done: bool = True, hold: asyncio.Event | None = None) -> Reply:
    """Send server-sent events; with `hold`, keep the connection open after them."""

    async def reply(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for chunk in chunks:
            text = chunk if isinstance(chunk, str) else json.dumps(chunk)
            writer.write(f"data: {text}\n\n".encode())
            await writer.drain()
        if hold is not None:
            await hold.wait()
        if done:
            writer.write(b"data: [DONE]\n\n")

    return reply


def delta(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}
