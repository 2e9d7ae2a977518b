"""The HTTP server of `victor-tui serve`: it admits visitors, and connects each browser to a console of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from victor_tui.serving.sessions import LIFETIME, Sessions, is_loopback_host, is_same_origin

log = logging.getLogger(__name__)

VISITORS = 10
"""Maximum open consoles. Each is a process."""
MESSAGE_BYTES = 1024 * 1024
"""Maximum bytes of one message of a browser, such as a pasted text."""
END_SECONDS = 10.0
"""Seconds that a console gets to end after its visitor has left."""
COOKIE = "victor_session"
LARGEST = 500
"""Maximum columns and rows of a console."""

PAGES = Path(__file__).parent / "pages"
STATIC = Path(str(textual_serve.__file__)).parent / "static"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_LEFT_OUT = ("VISUAL", "EDITOR", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "NO_COLOR")
"""Variables that the console of a visitor does not get.

It starts no editor on the server, has no SSH session, and draws for a browser: NO_COLOR is for the terminal of the server.
"""


def console_environ(environ: Mapping[str, str], width: int, height: int) -> dict[str, str]:
    """Return the environment of the console of a visitor."""
    return {
        **{name: value for name, value in environ.items() if name not in _LEFT_OUT},
        "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        "TEXTUAL_FPS": "60",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TERM_PROGRAM": "textual",
        "TERM": "xterm-256color",
        "COLUMNS": str(width),
        "ROWS": str(height),
    }


class VisitorConsole(AppService):
    """The console of one visitor: a process, and the messages between it and the browser."""

    def __init__(self, command: Sequence[str], websocket: web.WebSocketResponse) -> None:
        async def close() -> None:
            await websocket.close()

        super().__init__(
            "",
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=DownloadManager(),
        )
        self._command = command

    async def _open_app_process(self, width: int = 80, height: int = 24) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=console_environ(os.environ, width, height),
            start_new_session=True,
        )
        self._stdin = self._process.stdin
        return self._process

    async def run(self) -> None:
        """Pass on the messages of the process, and close the connection of the browser at its end."""
        try:
            await super().run()
        finally:
            with suppress(ConnectionError, RuntimeError):
                await self.remote_close()

    async def stop(self) -> None:
        """Ask the process to end, and kill it after `END_SECONDS`."""
        task, process = self._task, self._process
        if task is None or process is None:
            return
        self._task = None
        with suppress(ConnectionError):
            await self.send_meta({"type": "quit"})
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.shield(process.wait())
        except TimeoutError:
            process.kill()
            await process.wait()
        task.cancel()
        await asyncio.wait([task])


class ConsoleServer:
    """The routes of the server. `command` is the command of the console."""

    def __init__(self, command: Sequence[str], sessions: Sessions) -> None:
        self._command = command
        self._sessions = sessions
        self._visitors = 0

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=4096)
        app.add_routes(
            [
                web.get("/", self._page),
                web.post("/login", self._login),
                web.get("/ws", self._connect),
                web.static("/pages", PAGES),
                web.static("/static", STATIC),
            ]
        )
        app.on_response_prepare.append(_set_headers)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse requests for another host or from the page of another origin."""
        if not is_loopback_host(request.host):
            raise web.HTTPForbidden(
                text="This server answers only to localhost. Use http://localhost with its port.\n"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not is_same_origin(origin, request.host):
            raise web.HTTPForbidden(
                text="This request came from a page of another server and was refused. Open the address that "
                "victor-tui serve printed.\n"
            )
        return await handler(request)

    def _admitted(self, request: web.Request) -> bool:
        """Return whether a request has a session or the token."""
        return self._sessions.has(request.cookies.get(COOKIE, "")) or self._has_token(request)

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._sessions.accepts(text.strip())

    async def _page(self, request: web.Request) -> web.Response:
        name = "console.html" if self._admitted(request) else "login.html"
        text = Template((PAGES / name).read_text("utf-8")).safe_substitute(host=request.host)
        return web.Response(text=text, content_type="text/html")

    async def _login(self, request: web.Request) -> web.Response:
        """Begin a session for a visitor with the token."""
        if not self._has_token(request):
            raise web.HTTPUnauthorized(
                text="The token is not valid. Open the address that victor-tui serve printed.\n"
            )
        response = web.Response(status=204)
        response.set_cookie(COOKIE, self._sessions.begin(), httponly=True, samesite="Strict", path="/")
        return response

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        """Connect a browser to a console of its own."""
        if not self._admitted(request) or ("Origin" not in request.headers and not self._has_token(request)):
            raise web.HTTPUnauthorized(text="Open the address that victor-tui serve printed.\n")
        if self._visitors >= VISITORS:
            raise web.HTTPServiceUnavailable(
                text=f"{VISITORS} consoles are open, which is the maximum. Close one, and open this page again.\n"
            )
        self._visitors += 1
        websocket = web.WebSocketResponse(heartbeat=15, max_msg_size=MESSAGE_BYTES)
        console = VisitorConsole(self._command, websocket)
        try:
            await websocket.prepare(request)
            await console.start(_size(request, "width", 80), _size(request, "height", 24))
            with suppress(TimeoutError):
                async with asyncio.timeout(LIFETIME):
                    await _pass_on(websocket, console)
        finally:
            await console.stop()
            self._visitors -= 1
        return websocket


async def _pass_on(websocket: web.WebSocketResponse, console: VisitorConsole) -> None:
    """Pass the messages of a browser on to a console. Messages of another form end the connection."""
    async for message in websocket:
        if message.type != WSMsgType.TEXT:
            continue
        try:
            match message.json():
                case ["stdin", str(text)]:
                    await console.send_bytes(text.encode("utf-8", "replace"))
                case ["resize", {"width": int(width), "height": int(height)}]:
                    await console.set_terminal_size(_bounded(width), _bounded(height))
                case ["ping", data]:
                    await websocket.send_json(["pong", data])
                case ["focus"]:
                    await console.focus()
                case ["blur"]:
                    await console.blur()
                case _:
                    return
        except (ValueError, ConnectionError, RecursionError):
            return


def _size(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return _bounded(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else default


def _bounded(size: int) -> int:
    return max(1, min(size, LARGEST))


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def console_command(workspace: str | None, state: str | None) -> list[str]:
    """Return the command of the console of a visitor."""
    words = [sys.executable, "-m", "victor_tui.serving.console"]
    for option, value in (("--workspace", workspace), ("--state", state)):
        if value is not None:
            words += [option, os.path.abspath(os.path.expanduser(value))]
    return words


def serve(bound: socket.socket, server: ConsoleServer) -> None:
    """Serve until SIGINT or SIGTERM."""
    web.run_app(
        server.application(),
        sock=bound,
        print=lambda *_: None,
        access_log=None,
        shutdown_timeout=END_SECONDS,
        keepalive_timeout=15,
    )
