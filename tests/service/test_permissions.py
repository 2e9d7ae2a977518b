"""Permissions: the engine checks each call by the user that the kernel reports, and by the groups of this user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import question, workspace
from tests.service.roles_table import expected, permitted
from victor_engine.api import Answer, EventInfo, EventQuery, RequestInfo, RequestQuery, RunQuery
from victor_engine.api.roles import Role
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, NotFoundError, PermissionDeniedError
from victor_engine.identity import login_of
from victor_engine.people.groups import CACHE_SECONDS
from victor_engine.service import protocol
from victor_engine.service.client import Client
from victor_engine.service.guard import RECHECK_SECONDS, Guard
from victor_engine.service.identity import Peer
from victor_engine.service.server import PortServer

PERMISSIONS = """\
permissions:
  viewer: ["@watchers"]
  operator: [ben]
  approver: [cy, "@oncall"]
  admin: [dee]
  ask: [bot]
"""
FLOWS = """\
workflows:
  anyone: {nodes: [{id: gate, type: hitl, hitl_type: approval, prompt: "Ship it?"}]}
  named:
    nodes:
    - {id: gate, type: hitl, hitl_type: approval, prompt: "Quorum?", assignees: ["group:pair"], required_approvals: 2}
"""
UIDS = {
    "ana": 61001,
    "ben": 61002,
    "cy": 61003,
    "dee": 61004,
    "bot": 61005,
    "eve": 61006,
    "fay": 61007,
    "zed": 61008,
}
NAMES = {uid: name for name, uid in UIDS.items()}


class Users:
    """The users and groups of the machine, as the test sets them."""

    def __init__(self) -> None:
        self.groups = {"ana": {"watchers"}, "eve": {"pair"}, "fay": {"pair"}}
        self.peer = "ana"

    def of(self, user: str) -> frozenset[str]:
        return frozenset(self.groups.get(user, ()))


class Served:
    """An engine with permissions on a socket, and its clients."""

    def __init__(self, engine: Engine, server: PortServer, clock: FakeClock, users: Users) -> None:
        self.engine, self.server, self.clock, self.users = engine, server, clock, users
        self.clients: list[Client] = []

    async def client(self, user: str) -> Client:
        self.users.peer = user
        found = await Client.connect(self.server.path, via="cli")
        self.clients.append(found)
        return found

    async def ask(self, workflow: str) -> RequestInfo:
        run = await self.engine.start_run(workflow)
        return await question(self.engine, run.id)

    async def end(self) -> None:
        for client in self.clients:
            await client.close()
        await self.server.close()
        await self.engine.close()


@asynccontextmanager
async def serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permissions: str = PERMISSIONS
) -> AsyncIterator[Served]:
    users, home = Users(), tmp_path / "home"
    (home / ".victor").mkdir(parents=True)
    (home / ".victor" / "scheduler.yaml").write_text(permissions)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("victor_engine.service.server.peer_of", lambda _: Peer(1, UIDS[users.peer], 61000))
    for module in ("engine.core", "service.identity", "service.server", "service.guard"):
        monkeypatch.setattr(f"victor_engine.{module}.user_name", lambda uid: NAMES.get(uid, "owner"))
    monkeypatch.setattr("victor_engine.people.roles.unix_groups", users.of)
    monkeypatch.setattr("victor_engine.people.roles.exists", lambda assignee, roles: True)
    root = workspace(tmp_path, {"victor.yaml": "hitl: {unknown_assignees: warn}", "w.yaml": FLOWS})
    clock = FakeClock()
    engine = await Engine.open(root, root / ".state", clock=clock, fire=False)
    guard = Guard(engine, engine.rights, clock, lambda: engine.workspace.assignees)
    server = PortServer(engine, tmp_path / "s" / "engine.sock", clock, gate=guard)
    await server.start()
    found = Served(engine, server, clock, users)
    try:
        async with asyncio.timeout(60):
            yield found
    finally:
        await found.end()


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    async with serving(tmp_path, monkeypatch) as found:
        yield found


@pytest.mark.parametrize(
    ("user", "granted"),
    [
        ("ana", [Role.VIEWER]),
        ("ben", [Role.OPERATOR]),
        ("cy", [Role.APPROVER]),
        ("dee", [Role.ADMIN]),
        ("bot", [Role.ASK]),
        ("eve", []),
    ],
)
async def test_each_role_does_what_the_table_says_and_nothing_else(
    served: Served, user: str, granted: list[Role]
) -> None:
    request = await served.ask("anyone")
    await served.engine.answer(
        request.id, request.revision, Answer("approved")
    )  # so that no call takes part in it
    client = await served.client(user)
    assert await permitted(client, request.id) == expected(granted)
    whoami = await client.whoami()
    assert whoami.user == user
    assert set(granted) <= set(whoami.roles)


async def test_a_refusal_names_the_role_and_who_can_grant_it(served: Served) -> None:
    client = await served.client("ana")
    with pytest.raises(PermissionDeniedError) as caught:
        await client.cancel_run("x")
    assert caught.value.message == (
        "permission denied: cancel_run needs the role operator; ana has viewer. Ask root or owner for a role"
    )
    assert caught.value.exit_code == 6


async def test_an_assignee_without_a_role_sees_and_answers_only_their_requests(served: Served) -> None:
    other, mine = await served.ask("anyone"), await served.ask("named")
    eve, fay = await served.client("eve"), await served.client("fay")
    assert [r.id for r in await eve.requests(RequestQuery())] == [mine.id]
    assert await eve.request_count(RequestQuery()) == 1
    page = await eve.request_page(RequestQuery())
    assert ([r.id for r in page.rows], page.total) == ([mine.id], 1)
    queue = await eve.request_queue()
    assert queue.next is not None
    assert (queue.next.id, queue.count, queue.open) == (mine.id, 1, 1)
    assert (await eve.request(mine.id)).prompt == "Quorum?"
    for method, given in (("request", (other.id,)), ("claim", (other.id,)), ("request", ("no-such",))):
        with pytest.raises(PermissionDeniedError, match="eve has no role"):
            await getattr(eve, method)(*given)
    with pytest.raises(PermissionDeniedError):
        await eve.requests(RequestQuery(run_id=other.run_id[:1]))
    with pytest.raises(PermissionDeniedError, match="run needs the role viewer"):
        await eve.run(mine.run_id)
    info = await eve.engine()
    assert (info.limited, info.waiting, info.open_requests, info.problems) == (True, 0, 0, ())

    voted = await eve.answer(mine.id, mine.revision, Answer("approved"))
    assert (voted.status, len(voted.votes)) == ("open", 1)
    answered = await fay.answer(mine.id, mine.revision, Answer("approved"))
    assert (answered.status, answered.outcome) == ("answered", "approved")
    assert [vote.actor.user for vote in answered.votes] == ["eve", "fay"]
    assert [r.id for r in await eve.requests(RequestQuery(statuses=("answered",)))] == [mine.id]


async def test_a_viewer_answers_requests_to_them_and_no_others(served: Served) -> None:
    mine, other = await served.ask("named"), await served.ask("anyone")
    served.users.groups["ana"] = {"watchers", "pair"}
    ana = await served.client("ana")
    assert (await ana.claim(mine.id)).claimed_by == "ana"
    with pytest.raises(PermissionDeniedError, match="claim needs the role approver; ana has viewer"):
        await ana.claim(other.id)
    ben = await served.client("ben")
    with pytest.raises(PermissionDeniedError, match="is assigned to group:pair, and you are ben"):
        await ben.claim(mine.id)
    with pytest.raises(NotFoundError):
        await ben.claim("no-such")


async def test_the_feed_of_an_assignee_has_their_requests_only(served: Served) -> None:
    eve = await served.client("eve")
    feed = eve.subscribe(0)
    other, mine = await served.ask("anyone"), await served.ask("named")
    first: EventInfo = await anext(feed)
    assert (first.kind, first.request_id) == ("request.opened", mine.id)
    assert other.id != mine.id
    await eve.claim(mine.id)
    assert (await anext(feed)).kind == "request.claimed"


async def pass_time(served: Served, done: Callable[[], bool]) -> float:
    """Advance the clock by seconds until `done`; return them."""
    for second in range(120):
        if done():
            return float(second)
        await served.clock.advance(1)
        await asyncio.sleep(0.002)  # the socket is real
    raise AssertionError("nothing happened within two minutes")


async def test_a_lost_membership_ends_calls_and_subscriptions_within_a_minute(served: Served) -> None:
    assert CACHE_SECONDS + RECHECK_SECONDS < 60
    ana = await served.client("ana")
    await ana.runs(RunQuery())
    errors: list[PermissionDeniedError] = []

    async def follow() -> None:
        try:
            async for _ in ana.subscribe(0):
                pass
        except PermissionDeniedError as error:
            errors.append(error)

    following = asyncio.create_task(follow())
    await served.ask("anyone")
    await served.clock.advance(RECHECK_SECONDS * 2)
    await ana.runs(RunQuery())
    assert not following.done()
    served.users.groups["ana"] = set()
    assert await pass_time(served, following.done) <= 60
    [error] = errors
    assert error.message.startswith(
        "permission denied: subscribe needs the role viewer; ana has no role. Ask root or owner"
    )
    with pytest.raises(PermissionDeniedError, match="ana has no role"):
        await ana.runs(RunQuery())
    served.users.groups["ana"] = {"watchers"}
    await served.clock.advance(CACHE_SECONDS)
    await ana.runs(RunQuery())


async def test_strangers_cannot_connect(served: Served) -> None:
    with pytest.raises(PermissionDeniedError, match="zed cannot use the engine of"):
        await served.client("zed")
    served.users.groups["zed"] = {"watchers"}
    await served.clock.advance(CACHE_SECONDS)
    await (await served.client("zed")).runs(RunQuery())


async def test_without_permissions_only_the_owner_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, "") as served:
        await served.ask("named")
        for user in ("ana", "dee", "eve"):
            with pytest.raises(PermissionDeniedError):
                await served.client(user)


async def test_permissions_that_a_reload_removes_end_all_roles(served: Served) -> None:
    dee = await served.client("dee")
    await dee.runs(RunQuery())
    (Path.home() / ".victor" / "scheduler.yaml").write_text("scheduler: {}\n")
    await dee.reload()
    with pytest.raises(PermissionDeniedError, match="runs needs the role viewer; dee has no role"):
        await dee.runs(RunQuery())


async def test_a_forged_identity_changes_nothing(served: Served) -> None:
    served.users.peer = "ana"
    reader, writer = await asyncio.open_unix_connection(str(served.server.path), limit=protocol.MAX_MESSAGE)

    async def send(message: dict[str, Any]) -> dict[str, Any]:
        writer.write(protocol.line(message))
        return dict(json.loads(await reader.readline()))

    await reader.readline()
    claims = {"via": "console", "user": "root", "uid": 0, "tty": "pts/0", "remote": "10.0.0.1"}
    writer.write(protocol.line({"hello": {"protocol": protocol.PROTOCOL, "claims": claims, "uid": 0}}))
    found = await send({"id": 1, "method": "whoami", "uid": 0, "actor": {"user": "root", "uid": 0}})
    assert found["result"] == {"user": "ana", "uid": UIDS["ana"], "roles": ["viewer"]}
    found = await send({"id": 2, "method": "drain", "params": {}, "actor": {"user": "root", "uid": 0}})
    assert found["error"]["code"] == "permission"
    found = await send({"id": 3, "method": "drain", "params": {"actor": {"user": "root"}}})
    assert found["error"]["code"] in ("usage", "permission")
    found = await send({"id": 4, "method": "_reload", "params": {}})
    assert found["error"]["code"] == "usage"
    writer.close()
    assert (await served.engine.engine()).draining is None


async def test_a_browser_answers_only_if_the_administrator_allows_it(served: Served) -> None:
    request = await served.ask("anyone")
    served.users.peer = "cy"
    browser = await Client.connect(served.server.path, via="web")
    served.clients.append(browser)
    for call in (browser.answer(request.id, request.revision, Answer("approved")), browser.claim(request.id)):
        with pytest.raises(PermissionDeniedError, match="requests cannot be answered in a browser"):
            await call
    (Path.home() / ".victor" / "scheduler.yaml").write_text(PERMISSIONS + "serve: {may_answer: true}\n")
    await served.engine.reload()
    answered = await browser.answer(request.id, request.revision, Answer("approved"))
    assert answered.answered_by is not None
    assert (answered.answered_by.user, answered.answered_by.via) == ("cy", "web")


async def test_all_visitors_are_one_person_for_votes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch, PERMISSIONS + "serve: {may_answer: true}\n") as served:
        request = await served.ask("named")
        visitors = []
        for user in ("eve", "eve", "fay"):
            served.users.peer = user
            visitors.append(await Client.connect(served.server.path, via="web"))
        served.clients += visitors
        request = await visitors[0].answer(request.id, request.revision, Answer("approved"))
        with pytest.raises(ConflictError, match="you have given this answer"):
            await visitors[1].answer(request.id, request.revision, Answer("approved"))
        assert (
            await visitors[2].answer(request.id, request.revision, Answer("approved"))
        ).outcome == "approved"


async def test_the_login_user_is_recorded_beside_the_user(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = {1: "ana"}
    monkeypatch.setattr("victor_engine.service.identity.login_of", lambda pid, uid: logins.get(pid))
    request = await served.ask("anyone")
    dee = await served.client("dee")
    found = await dee.answer(request.id, request.revision, Answer("approved"))
    assert found.answered_by is not None
    assert (found.answered_by.user, found.answered_by.login) == ("dee", "ana")
    assert found.answered_by.shown == "dee (login ana)"
    [event] = await served.engine.events(EventQuery(kinds=("request.answered",)))
    assert event.actor.login == "ana"
    records = [json.loads(record.record) for record in await served.engine.audit_records()]
    assert [record["by"]["login"] for record in records if record["request"] == request.id] == ["ana"]
    assert (await served.engine.verify_audit()).intact
    with pytest.raises(PermissionDeniedError, match="needs the role operator; ana has viewer"):
        await (await served.client("ana")).drain()


def test_the_login_user_is_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("victor_engine.identity.PROC", tmp_path)
    monkeypatch.setattr("victor_engine.identity.user_name", lambda uid: f"user {uid}")
    for pid, text in {7: "1000", 8: "4294967295", 9: "not a number"}.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "loginuid").write_text(text)
    assert login_of(7, 0) == "user 1000"
    assert [login_of(7, 1000), login_of(8, 0), login_of(9, 0), login_of(10, 0)] == [None] * 4
