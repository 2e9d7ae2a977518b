"""`victor-tui serve`: the admission of visitors, and the console in a real browser."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.engine.support import workspace
from tests.web.browser import browser, chromium
from tests.web.site import SECONDS, Site, open_site
from victor_engine.addresses import listening_socket
from victor_engine.errors import UsageError
from victor_tui.serving import command, server
from victor_tui.serving.sessions import LIFETIME, MOST, Sessions, is_loopback_host, is_same_origin

TOKEN = "the-token"
ENDED = [sys.executable, "-c", "print('__GANGLION__', flush=True)"]
"""The command of a console that ends at once."""


@pytest.mark.parametrize("host", ["localhost", "localhost:8471", "127.0.0.1:1", "[::1]:80", "[::1]"])
def test_hosts_of_this_machine(host: str) -> None:
    assert is_loopback_host(host)
    assert is_same_origin(f"http://{host}", host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8471", "localhost.evil.example:1", "127.0.0.1:x", "127.0.0.1:", ":80"],
)
def test_other_hosts(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    "origin", ["null", "http://localhost:9", "https://localhost:8471", "http://localhost:84711"]
)
def test_other_origins(origin: str) -> None:
    assert not is_same_origin(origin, "localhost:8471")


def test_sessions_end_and_are_bounded() -> None:
    clock = [0.0]
    sessions = Sessions(TOKEN, lambda: clock[0])
    assert sessions.accepts(TOKEN)
    assert not sessions.accepts("other")
    first = sessions.begin()
    assert sessions.has(first)
    assert not sessions.has("")
    clock[0] = LIFETIME
    assert not sessions.has(first)
    second = sessions.begin()
    for _ in range(MOST):
        sessions.begin()
    assert not sessions.has(second)


@pytest.mark.parametrize("listen", ["0.0.0.0:8471", "10.0.0.1:80", "[::]:80", "example.org:80", "8471"])
def test_only_loopback_addresses_are_served(listen: str) -> None:
    with pytest.raises(UsageError, match="is not a loopback address with a port"):
        command.loopback(listen)


def test_a_console_of_a_browser_starts_no_editor_on_the_server() -> None:
    environ = {"EDITOR": "vi", "VISUAL": "vi", "SSH_CONNECTION": "10.0.0.1 1 2 3", "VICTOR_STATE": "/s"}
    found = server.console_environ(environ, 80, 24)
    assert not {"EDITOR", "VISUAL", "SSH_CONNECTION"} & set(found)
    assert (found["VICTOR_STATE"], found["COLUMNS"], found["ROWS"]) == ("/s", "80", "24")


def test_without_an_engine_it_names_the_command_that_starts_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, {"victor.yaml": ""})
    assert command.main(["--workspace", str(root), "--state", str(tmp_path / "state")]) == 7
    assert "start one with `victor scheduler start`" in capsys.readouterr().err


@pytest.fixture
async def visitor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """Return a browser without a session, at a server whose consoles end at once."""
    served = server.ConsoleServer(ENDED, Sessions(TOKEN, lambda: 0.0))
    runner = web.AppRunner(served.application(), access_log=None)
    await runner.setup()
    bound = listening_socket("127.0.0.1", 0)
    await web.SockSite(runner, bound).start()
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(base, cookie_jar=jar, headers={"Origin": base}) as session:
        yield session
    await runner.cleanup()


async def test_the_token_is_exchanged_for_a_cookie(visitor: aiohttp.ClientSession) -> None:
    assert "login.js" in await (await visitor.get("/")).text()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        assert (await visitor.post("/login", headers=headers)).status == 401
    assert (await visitor.post(f"/login?token={TOKEN}")).status == 401
    assert (await visitor.get("/ws")).status == 401
    answer = await visitor.post("/login", headers={"Authorization": f"Bearer {TOKEN}"})
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 204
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    page = await visitor.get("/")
    assert "textual-terminal" in await page.text()
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in page.headers
    async with visitor.ws_connect("/ws?width=80&height=24") as socket:
        assert (await socket.receive(SECONDS)).type == aiohttp.WSMsgType.CLOSE


async def test_pages_of_other_hosts_and_origins_are_refused(visitor: aiohttp.ClientSession) -> None:
    await visitor.post("/login", headers={"Authorization": f"Bearer {TOKEN}"})
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for path in ("/", "/ws", "/static/js/textual.js"):
            assert (await visitor.get(path, headers=headers)).status == 403
    refused = await visitor.get("/", headers={"Origin": "http://evil.example"})
    assert "from a page of another server and was refused. Open the address" in await refused.text()
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await visitor.ws_connect("/ws", headers={"Origin": "http://localhost:1"})
    token = {"Authorization": f"Bearer {TOKEN}"}
    del visitor.headers["Origin"]  # as a program
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await visitor.ws_connect("/ws")
    async with visitor.ws_connect("/ws", headers=token):
        pass


async def test_the_number_of_consoles_is_limited(
    visitor: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "VISITORS", 0)
    answer = await visitor.get("/ws", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 503
    assert "0 consoles are open, which is the maximum. Close one" in await answer.text()


@pytest.mark.process
@pytest.mark.timeout(240)
async def test_a_question_is_answered_in_chromium(tmp_path: Path) -> None:
    chromium()
    settings = "serve: {may_answer: true, listen: '127.0.0.1:0'}\n"
    with open_site(tmp_path, settings, api=False) as site:
        words = [
            "-m",
            "victor_tui",
            "serve",
            "--workspace",
            str(site.root),
            "--state",
            str(site.root / ".state"),
        ]
        served = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=site.environ, stderr=subprocess.PIPE
        )
        try:
            assert served.stderr is not None
            address = (await served.stderr.readline()).decode().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#[\w-]{43}", address), address
            site.victor("run", "ask")
            async with browser(tmp_path / "profile") as page:
                await page.open(address)
                await page.until_text("◆")  # the header counts the request
                assert (
                    await page.evaluate("location.hash + document.cookie") == ""
                )  # the cookie is not for scripts
                await page.press("a")
                await page.until_text("Go")
                await page.press("ArrowLeft")
                async with asyncio.timeout(SECONDS):
                    while (answered := decided(site)) is None:
                        # A dialog ignores ctrl+s in the first moment in which it is visible.
                        await page.press("s", ctrl=True)
                        await asyncio.sleep(0.2)
            assert (answered["outcome"], answered["answered_by"]["via"]) == ("approved", "web")
        finally:
            served.terminate()
            assert await served.wait() == 0


def decided(site: Site) -> dict[str, Any] | None:
    """Return the request of the site, once its answer is final."""
    [request] = json.loads(site.victor("inbox", "list", "--all", "--json").stdout)
    return dict(request) if request["status"] == "answered" else None
