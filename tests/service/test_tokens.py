"""Tokens: a user listed under `proxies` calls on behalf of them, never with more rights than its own."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.test_permissions import PERMISSIONS, UIDS, Served, serving
from victor_engine.api import Answer, AuditQuery, EventQuery, Question, RequestQuery, RunQuery
from victor_engine.api.roles import Role
from victor_engine.errors import PermissionDeniedError, UsageError
from victor_engine.people.audit import csv_lines
from victor_engine.people.rights import Grant
from victor_engine.service import protocol
from victor_engine.service.client import Client
from victor_engine.service.protocol import OnBehalf

PROXIES = PERMISSIONS + "proxies: [ben, cy, dee]\n"
YES = Answer("approved")


class Tokens:
    """The tokens of servers, each with a connection of its own."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.clients: list[Client] = []

    async def __call__(
        self, name: str, server: str, role: Role, *scopes: str, may_answer: bool = False
    ) -> Client:
        self.served.users.peer = server
        grant = Grant(role, scopes, may_answer)
        client = await Client.connect(self.served.server.path, on_behalf=OnBehalf(name, grant))
        self.clients.append(client)
        return client


@pytest.fixture
async def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tokens]:
    async with serving(tmp_path, monkeypatch, PROXIES) as served:
        found = Tokens(served)
        yield found
        for client in found.clients:
            await client.close()


async def test_the_engine_records_the_token_and_the_user_of_its_server(tokens: Tokens) -> None:
    ci = await tokens("ci", "ben", Role.OPERATOR)
    assert (await ci.whoami()).user == "token:ci"
    assert (await ci.start_run("anyone")).started_by == "token:ci"
    await ci.drain("over the weekend")
    found = await tokens.served.engine.events(EventQuery(kinds=("engine.draining", "run.created")))
    assert len(found) == 2
    for actor in (event.actor for event in found):
        assert (actor.user, actor.proxy, actor.proxy_uid, actor.via) == (
            "token:ci",
            "ben",
            UIDS["ben"],
            "api",
        )
        assert actor.uid not in UIDS.values()
        assert actor.shown == "token:ci (of ben)"
    records = [json.loads(record.record)["by"] for record in await tokens.served.engine.audit_records()]
    assert {(by["user"], by["proxy"]) for by in records} == {("token:ci", "ben")}
    assert (await tokens.served.engine.verify_audit()).intact
    assert await ci.events(EventQuery(actor="token:ci"))


@pytest.mark.parametrize(
    ("server", "role", "roles"),
    [
        ("ben", Role.ADMIN, {Role.VIEWER, Role.OPERATOR, Role.ASK}),
        ("dee", Role.VIEWER, {Role.VIEWER}),
        ("cy", Role.OPERATOR, {Role.VIEWER}),
        ("dee", Role.ASK, {Role.ASK}),
    ],
)
async def test_a_token_has_the_roles_that_its_server_has_too(
    tokens: Tokens, server: str, role: Role, roles: set[Role]
) -> None:
    assert set((await (await tokens("x", server, role)).whoami()).roles) == roles


async def test_a_user_who_is_not_listed_acts_for_no_token(tokens: Tokens) -> None:
    with pytest.raises(PermissionDeniedError, match="may not act on behalf of tokens"):
        await tokens("ci", "ana", Role.VIEWER)
    # A client that ignores the hello message of the engine is refused too.
    reader, writer = await asyncio.open_unix_connection(str(tokens.served.server.path))
    assert "tokens" not in json.loads(await reader.readline())["hello"]
    hello = {"protocol": protocol.PROTOCOL, "on_behalf": {"name": "ci", "grant": {"role": "admin"}}}
    writer.write(protocol.line({"hello": hello}))
    assert json.loads(await reader.readline())["error"]["code"] == "permission"
    assert await reader.read() == b""
    writer.close()


async def test_an_invalid_name_is_refused(tokens: Tokens) -> None:
    tokens.served.users.peer = "ben"
    for name in ("", "ci:root", "Ä", "a" * 41):
        reader, writer = await asyncio.open_unix_connection(str(tokens.served.server.path))
        assert json.loads(await reader.readline())["hello"]["tokens"] is True
        hello = {"protocol": protocol.PROTOCOL, "on_behalf": {"name": name, "grant": {"role": "viewer"}}}
        writer.write(protocol.line({"hello": hello}))
        assert json.loads(await reader.readline())["error"]["code"] == UsageError.code
        writer.close()


async def test_a_user_who_is_removed_from_proxies_has_no_rights_for_tokens(tokens: Tokens) -> None:
    ci = await tokens("ci", "ben", Role.OPERATOR)
    await ci.runs(RunQuery())
    (Path.home() / ".victor" / "scheduler.yaml").write_text(PERMISSIONS)
    await tokens.served.engine.reload()
    with pytest.raises(PermissionDeniedError, match="runs needs the role viewer; token:ci has no role"):
        await ci.runs(RunQuery())
    await (await tokens.served.client("ben")).runs(RunQuery())


async def test_scopes_limit_a_token_to_parts_of_the_port(tokens: Tokens) -> None:
    ci = await tokens("ci", "ben", Role.OPERATOR, "runs")
    await ci.start_run("anyone")
    await ci.whoami()
    with pytest.raises(PermissionDeniedError, match="workflows needs the scope versions; token:ci has runs"):
        await ci.workflows()
    with pytest.raises(PermissionDeniedError, match="subscribe needs the scope engine"):
        await anext(ci.subscribe(0))


async def test_only_a_token_that_may_answer_answers(tokens: Tokens) -> None:
    request = await tokens.served.ask("anyone")
    with pytest.raises(PermissionDeniedError, match="token:a may not answer requests"):
        await (await tokens("a", "cy", Role.APPROVER)).answer(request.id, request.revision, YES)
    with pytest.raises(PermissionDeniedError, match="needs the role approver; token:b has operator"):
        await (await tokens("b", "ben", Role.ADMIN, may_answer=True)).answer(
            request.id, request.revision, YES
        )
    answered = await (await tokens("c", "cy", Role.APPROVER, may_answer=True)).answer(
        request.id, request.revision, YES
    )
    assert answered.answered_by is not None
    assert answered.answered_by.shown == "token:c (of cy)"
    exported = (await tokens.served.engine.audit_history(AuditQuery())).records
    rows = list(csv.DictReader(csv_lines(exported)))
    assert (rows[-1]["user"], rows[-1]["proxy"], rows[-1]["proxy_uid"]) == ("token:c", "cy", str(UIDS["cy"]))


async def test_the_tokens_of_one_server_are_one_person_for_votes_and_four_eyes(tokens: Tokens) -> None:
    root = tokens.served.engine.workspace_path
    gate = "{id: gate, type: hitl, hitl_type: approval, prompt: Go"
    (root / "v.yaml").write_text(
        f"workflows: {{votes: {{nodes: [{gate}, required_approvals: 2}}]}},"
        f" eyes: {{nodes: [{gate}, allow_self_approval: false}}]}}}}"
    )
    await tokens.served.engine.reload()
    one = await tokens("one", "dee", Role.ADMIN, may_answer=True)
    two = await tokens("two", "dee", Role.ADMIN, may_answer=True)
    request = await tokens.served.ask("votes")
    request = await one.answer(request.id, request.revision, YES)
    assert await one.request_count(RequestQuery(answerable=True)) == 0
    for voter in (two, await tokens.served.client("dee")):
        assert await voter.request_count(RequestQuery(answerable=True)) == 0
        with pytest.raises(Exception, match="you have given this answer"):
            await voter.answer(request.id, request.revision, YES)
    other = await tokens("one", "cy", Role.APPROVER, may_answer=True)
    assert (await other.answer(request.id, request.revision, YES)).outcome == "approved"
    run = await one.start_run("eyes")
    while not (found := await two.requests(RequestQuery(run_id=run.id))):
        await asyncio.sleep(0)
    for voter in (two, await tokens.served.client("dee")):
        with pytest.raises(PermissionDeniedError, match="four-eyes rule: token:one started"):
            await voter.answer(found[0].id, found[0].revision, YES)


async def test_a_token_owns_its_questions_and_claims(tokens: Tokens) -> None:
    one = await tokens("one", "dee", Role.ASK)
    two = await tokens("two", "dee", Role.ASK)
    asked = await one.ask(Question("May I?"))
    assert [each.id for each in await one.requests(RequestQuery())] == [asked.id]
    assert await two.requests(RequestQuery()) == []
    with pytest.raises(PermissionDeniedError):
        await two.request(asked.id)
    with pytest.raises(PermissionDeniedError, match="was asked by another user"):
        await two.withdraw(asked.id)
    await one.withdraw(asked.id)
    request = await tokens.served.ask("anyone")
    a = await tokens("a", "cy", Role.APPROVER, may_answer=True)
    b = await tokens("b", "cy", Role.APPROVER, may_answer=True)
    await a.claim(request.id)
    with pytest.raises(PermissionDeniedError, match="token:a has claimed"):
        await b.release(request.id)
