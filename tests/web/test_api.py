"""`victor api` on a real engine: every method of the port over HTTP, with the rights of a token."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.engine.support import ME, workspace
from tests.service.test_permissions import PERMISSIONS, Served, serving
from tests.write_errors import errors
from victor_engine.addresses import is_loopback, listening_socket
from victor_engine.api import port
from victor_engine.api.roles import Role
from victor_engine.errors import (
    ConfigError,
    ConflictError,
    EngineUnavailableError,
    NotFoundError,
    PermissionDeniedError,
    UsageError,
)
from victor_engine.identity import acting_as, user_name
from victor_engine.people.rights import Grant
from victor_engine.service.client import Client
from victor_engine.service.connect import find, open_engine
from victor_engine.service.protocol import OnBehalf
from victor_engine.web import app, events, openapi, problems, rate
from victor_engine.web import serving as server
from victor_engine.web.engines import Engines
from victor_engine.web.tokens import Token, TokenFile

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Programs:
    """Programs that call the API, each with a token."""

    def __init__(self, served: Served, tokens: TokenFile, http: httpx.AsyncClient, api: app.Api) -> None:
        self.served, self.tokens, self.http, self.api = served, tokens, http, api
        self.now = NOW

    def token(self, name: str, role: Role, *scopes: str, may_answer: bool = False) -> str:
        return self.tokens.add(name, Grant(role, scopes, may_answer), NOW, DAY)

    async def __call__(self, token: str, path: str, body: Any = None, **named: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **named.pop("headers", {})}
        if body is not None:
            named["content"] = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        return await self.http.post(f"/v1/{path}", headers=headers, **named)


@pytest.fixture
async def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Programs]:
    async with serving(tmp_path, monkeypatch, PERMISSIONS + "proxies: [ben, cy]\n") as served:
        tokens = TokenFile(tmp_path / "tokens.json", served.engine.workspace_path)
        served.users.peer = "ben"

        async def connect(token: Token) -> Client:
            return await Client.connect(served.server.path, on_behalf=OnBehalf(token.name, token.grant))

        engines = Engines(connect, most=2)
        api = app.Api(tokens, engines, 10, lambda: found.now)
        transport = httpx.ASGITransport(app.application(api), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://victor") as http:
            found = Programs(served, tokens, http, api)
            yield found
        await engines.close()


def refused(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a problem document."""
    found = response.json()
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    assert found["status"] == response.status_code
    assert found["type"] == f"urn:victor:error:{found['code']}"
    return response.status_code, found["code"]


async def test_a_program_calls_the_engine_with_the_shapes_of_the_socket(programs: Programs) -> None:
    ci = programs.token("ci", Role.OPERATOR)
    run = await programs(ci, "runs/start_run", {"workflow": "anyone", "state": {"x": 1}})
    assert (run.status_code, run.headers["content-type"]) == (200, "application/json")
    assert run.json()["started_by"] == "token:ci"
    listed = await programs(ci, "runs/runs", {"query": {"workflow": "anyone"}})
    assert [each["id"] for each in listed.json()] == [run.json()["id"]]
    assert (await programs(ci, "engine/whoami")).json()["user"] == "token:ci"
    assert (await programs(ci, "people/requests", {"query": {"around": ""}})).status_code == 200
    assert "access-control-allow-origin" not in run.headers
    assert run.headers["cache-control"] == "no-store"


async def test_each_request_needs_a_valid_token(programs: Programs) -> None:
    ci = programs.token("ci", Role.OPERATOR)
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer victor_guess"}):
        response = await programs.http.post("/v1/engine/whoami", headers=headers)
        assert refused(response) == (401, "permission")
        assert response.headers["www-authenticate"] == "Bearer"
    programs.now = NOW + DAY
    response = await programs(ci, "engine/whoami")
    assert refused(response) == (401, "permission")
    assert response.json()["detail"] == (
        "token:ci has expired (2030-01-02 00:00 UTC). Revoke it, and add it again: victor api token revoke ci, then "
        "victor api token add ci"
    )
    programs.now = NOW
    programs.tokens.revoke("ci")
    assert refused(await programs(ci, "engine/whoami")) == (401, "permission")
    assert (await programs.http.get("/openapi.json")).status_code == 200


async def test_the_engine_refuses_what_the_token_may_not_do(programs: Programs) -> None:
    viewer = programs.token("viewer", Role.VIEWER, "runs")
    refusals = {
        "runs/start_run": ({"workflow": "anyone"}, "needs the role operator; token:viewer has viewer"),
        "versions/workflows": ({}, "needs the scope versions"),
    }
    for path, (body, reason) in refusals.items():
        response = await programs(viewer, path, body)
        assert refused(response) == (403, "permission")
        assert reason in response.json()["detail"]
    programs.served.users.peer = "ana"  # no proxy: the connection of a new token is refused
    response = await programs(programs.token("other", Role.VIEWER), "runs/runs", {"query": {}})
    assert refused(response) == (403, "permission")
    assert "may not act on behalf of tokens" in response.json()["detail"]


async def test_only_a_token_that_may_answer_answers_over_http(programs: Programs) -> None:
    request = await programs.served.ask("anyone")
    programs.served.users.peer = "cy"
    body = {"request_id": request.id, "revision": request.revision, "answer": {"outcome": "approved"}}
    response = await programs(programs.token("quiet", Role.APPROVER), "people/answer", body)
    assert refused(response) == (403, "permission")
    answering = programs.token("answering", Role.APPROVER, may_answer=True)
    answered = (await programs(answering, "people/answer", body)).json()
    assert (answered["answered_by"]["user"], answered["answered_by"]["proxy"]) == ("token:answering", "cy")
    assert refused(await programs(answering, "people/answer", body)) == (409, "already_answered")


async def test_errors_are_problem_documents(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    ci, path = programs.token("ci", Role.OPERATOR), "runs/start_run"
    text = {"Content-Type": "text/plain"}
    assert refused(await programs(ci, path, {"workflow": "none"})) == (404, "not_found")
    assert refused(await programs(ci, path, {"workflow": 1})) == (400, "usage")
    assert refused(await programs(ci, path, {"workflow": "anyone", "other": 1})) == (400, "usage")
    assert refused(await programs(ci, path, {})) == (400, "usage")
    empty = await programs(ci, path, {"workflow": "anyone", "key": ""})
    assert refused(empty) == (400, "usage")
    assert empty.json()["detail"] == "start_run: the key is empty; give a key, or omit it"
    assert refused(await programs(ci, path, [])) == (400, "usage")
    assert refused(await programs(ci, "engine/deployments", {"limit": 2**70})) == (400, "usage")
    assert refused(await programs(ci, path, {"workflow": "anyone"}, headers=text)) == (415, "usage")
    assert refused(await programs(ci, path, {}, params={"token": ci})) == (400, "usage")
    assert refused(await programs(ci, "runs/close")) == (404, "not_found")
    get = await programs.http.get("/v1/runs/start_run", headers={"Authorization": f"Bearer {ci}"})
    assert refused(get) == (405, "usage")
    assert get.headers["allow"] == "POST"
    head = await programs.http.head("/v1/engine/subscribe", headers={"Authorization": f"Bearer {ci}"})
    assert (head.status_code, head.content) == (200, b"")
    programs.api.bodies.largest = 1000
    large = programs.token("large", Role.OPERATOR)
    assert refused(await programs(large, path, {"workflow": "x" * 1000})) == (413, "usage")
    programs.api.bodies.together = 500
    assert refused(await programs(large, path, {"workflow": "x" * 600})) == (429, "usage")
    monkeypatch.setattr("victor_engine.web.bodies.BODY_SECONDS", 0.01)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    assert refused(await programs(large, path, content=slow())) == (408, "usage")
    monkeypatch.setattr(app, "CALL_SECONDS", 0.0)
    assert refused(await programs(large, path, {"workflow": "anyone"})) == (504, "engine_unavailable")
    monkeypatch.undo()
    await programs.served.server.close()
    assert refused(await programs(programs.token("late", Role.VIEWER), "engine/whoami")) == (
        503,
        "engine_unavailable",
    )


async def test_a_token_has_a_rate_and_others_are_not_affected(programs: Programs) -> None:
    one, two = programs.token("one", Role.VIEWER), programs.token("two", Role.VIEWER)
    responses = [await programs(one, "engine/whoami") for _ in range(40)]
    last = responses[-1]
    assert refused(last) == (429, "usage")
    assert int(last.headers["retry-after"]) >= 1
    assert (await programs(two, "engine/whoami")).status_code == 200


async def test_connections_that_are_lost_or_too_many_are_opened_again(programs: Programs) -> None:
    names = [programs.token(name, Role.VIEWER) for name in ("a", "b", "c")]
    for token in (*names, *names):
        assert (await programs(token, "engine/whoami")).status_code == 200
    assert programs.served.server.connections <= 2
    await programs.served.server.close()
    await programs.served.server.start()
    async with asyncio.timeout(10):
        while (await programs(names[0], "engine/whoami")).status_code != 200:
            await asyncio.sleep(0.11)


async def test_the_server_starts_only_beside_an_engine_that_accepts_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "home" / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = find(workspace(tmp_path, {"victor.yaml": ""}), tmp_path / "state")
    with pytest.raises(EngineUnavailableError, match="no engine runs on"):
        await server.check_engine(paths)
    me = user_name(os.geteuid())
    with acting_as(ME):
        engine = await open_engine(paths, fire=False)
        try:
            with pytest.raises(
                PermissionDeniedError, match=f"{me} may not act on behalf of tokens; add {me} to"
            ):
                await server.check_engine(paths)
            settings.write_text(f"proxies: [{me}]\n")
            await engine.reload()
            await server.check_engine(paths)
        finally:
            await engine.close()


async def test_a_client_that_does_not_finish_its_header_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    bound = listening_socket("127.0.0.1", 0)
    paths = find(workspace(tmp_path, {"victor.yaml": ""}), tmp_path / "state")
    serve = server.serve(paths, bound, TokenFile(tmp_path / "tokens.json", paths.workspace), 10)
    task = asyncio.create_task(serve)

    async def answer(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(data)
        found = await reader.read()
        writer.close()
        return found

    try:
        async with asyncio.timeout(60):
            assert await answer(b"") == b""
            assert await answer(b"POST /v1/engine/whoami HTTP/1.1\r\nHost: x\r\n") == b""
            assert (await answer(b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000)).startswith(b"HTTP/1.1 400")
            complete = b"POST /v1/engine/whoami HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            found = await answer(complete + b"POST /v1")
            assert found.startswith(b"HTTP/1.1 401")
            assert found.count(b"HTTP/1.1") == 1
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_each_method_of_the_port_is_in_the_document() -> None:
    found = json.loads(openapi.document())
    key = found["components"]["schemas"]["start_run_parameters"]["properties"]["key"]
    assert key == {"type": "string", "minLength": 1}
    operations = {each["operationId"] for path in found["paths"].values() for each in path.values()}
    assert operations == {*port.methods(), "subscribe", "start_by_hook"}
    references = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            references.update(text for name, text in value.items() if name == "$ref")
            for each in value.values():
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(found)
    names = {text.removeprefix("#/components/schemas/") for text in references}
    assert names <= set(found["components"]["schemas"])


def test_each_error_code_has_a_status() -> None:
    assert set(problems.STATUSES) == {cls.code for _, cls in errors()}


@pytest.mark.parametrize(
    ("header", "after", "found"),
    [(None, None, None), ("7", None, 7), (None, "0", 0), ("9", "3", 9)],
)
def test_a_stream_begins_after_the_last_event(
    header: str | None, after: str | None, found: int | None
) -> None:
    assert events.resume_after(header, after) == found


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "²", "9" * 19, "1" * 30])
def test_another_text_is_not_the_number_of_an_event(text: str) -> None:
    with pytest.raises(UsageError, match="is not the number of an event"):
        events.resume_after(text, None)


def test_the_limits_of_a_token() -> None:
    clock = [0.0]
    usage = rate.TokenUsage("ci", 2, lambda: clock[0])
    for _ in range(4):
        usage.count()
    with pytest.raises(problems.HttpError) as caught:
        usage.count()
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    clock[0] += 0.5
    usage.count()
    with ExitStack() as streams:
        for _ in range(rate.STREAMS):
            streams.enter_context(usage.active("streams"))
        assert not usage.idle
        with pytest.raises(problems.HttpError), usage.active("streams"):
            pass
    assert usage.idle


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:8470", "[::1]:80"])
def test_the_server_listens_on_loopback(listen: str) -> None:
    server.address(listen, "127.0.0.1:8470")


@pytest.mark.parametrize("listen", ["0.0.0.0:8470", "10.0.0.1:80", "[::]:80"])
def test_another_address_needs_the_configuration_of_the_administrator(listen: str) -> None:
    with pytest.raises(PermissionDeniedError, match="other machines can reach"):
        server.address(listen, "127.0.0.1:8470")
    assert not is_loopback(server.address(listen, listen)[0])


@pytest.mark.parametrize(
    "listen", ["", "8470", "localhost:80", "::1:80", "127.0.0.1:70000", "127.0.0.1:x", "[1.2.3.4]:1"]
)
def test_a_text_that_is_not_an_address(listen: str) -> None:
    with pytest.raises(UsageError, match="is not an address with a port"):
        server.address(listen, "127.0.0.1:8470")


def test_tokens_are_stored_as_hashes_for_one_workspace(tmp_path: Path) -> None:
    path = tmp_path / "home" / "tokens.json"
    one, other = TokenFile(path, tmp_path / "one"), TokenFile(path, tmp_path / "other")
    text = one.add("ci", Grant(Role.VIEWER), NOW, DAY)
    assert text not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    token = one.find(text)
    assert token is not None
    assert (token.name, token.valid_at(NOW), token.valid_at(NOW + DAY)) == ("ci", True, False)
    assert other.find(text) is None
    assert other.all() == []
    with pytest.raises(ConflictError, match="exists already"):
        one.add("ci", Grant(Role.VIEWER), NOW, DAY)
    with pytest.raises(UsageError, match="is not a name of a token"):
        one.add("CI 1", Grant(Role.VIEWER), NOW, DAY)
    with pytest.raises(NotFoundError, match="does not exist; the tokens of this workspace: none"):
        other.revoke("ci")
    one.revoke("ci")
    assert one.find(text) is None
    assert not one.has(token)


def test_a_file_of_tokens_that_others_can_write_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = TokenFile(path, tmp_path)
    tokens.add("ci", Grant(Role.VIEWER), NOW, DAY)
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="other users can write it"):
        tokens.all()
    path.chmod(0o600)
    path.write_bytes(msgspec.json.encode({"tokens": [1]}))
    with pytest.raises(ConfigError, match="cannot be read"):
        tokens.find("x")
