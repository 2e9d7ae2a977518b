"""Webhooks: a signed request starts a workflow with declared inputs, and a request that is sent twice one run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.web.test_api import DAY, NOW, Programs, programs, refused
from victor_engine.api import RunQuery
from victor_engine.api.roles import Role
from victor_engine.web import hooks

__all__ = ["programs"]

FLOWS = """\
workflows:
  deploy:
    inputs: {ref: {type: string, required: true}, dry: {type: boolean, default: false}}
    nodes: [{id: a, type: transform, transform: "x = 1"}]
  loose: {nodes: [{id: a, type: transform, transform: "x = 1"}]}
"""
BODY = b'{"ref": "main"}'


@pytest.fixture
async def secret(programs: Programs) -> str:
    """Return the secret of the webhook `push`, which starts `deploy`."""
    (programs.served.engine.workspace_path / "d.yaml").write_text(FLOWS)
    await programs.served.engine.reload()
    return programs.tokens.add_hook("push", "deploy", None, NOW, DAY)


async def send(
    programs: Programs,
    secret: str,
    key: str,
    body: bytes = BODY,
    *,
    name: str = "push",
    age: float = 0,
    **changed: str,
) -> httpx.Response:
    timestamp = str(int((NOW - timedelta(seconds=age)).timestamp()))
    headers = {
        "Content-Type": "application/json",
        "Victor-Timestamp": timestamp,
        "Idempotency-Key": key,
        "Victor-Signature": hooks.signature(secret, timestamp, key, body),
    }
    headers |= {each.replace("_", "-"): text for each, text in changed.items()}
    return await programs.http.post(f"/v1/hooks/{name}", content=body, headers=headers)


async def runs(programs: Programs) -> list[Any]:
    return await programs.served.engine.runs(RunQuery(workflow="deploy"))


async def test_a_signed_request_starts_one_run_however_often_it_is_sent(
    programs: Programs, secret: str
) -> None:
    first = await send(programs, secret, "delivery-1")
    assert first.status_code == 202
    again = await asyncio.gather(*(send(programs, secret, "delivery-1") for _ in range(5)))
    assert {each.json()["run"] for each in again} == {first.json()["run"]}
    [run] = await runs(programs)
    assert run.started_by == "token:push"
    detail = await programs.served.engine.run(run.id)
    assert (detail.state["ref"], detail.state["dry"]) == ("main", False)
    assert (await send(programs, secret, "delivery-2")).json()["run"] != run.id
    assert len(await runs(programs)) == 2


async def test_a_request_that_is_not_signed_for_this_time_key_and_body_starts_nothing(
    programs: Programs, secret: str
) -> None:
    good = {"Victor_Signature": hooks.signature(secret, str(int(NOW.timestamp())), "k", BODY)}
    responses = [
        await send(programs, "another secret", "k"),
        await send(programs, secret, "k", name="other"),
        await send(programs, secret, "k", age=hooks.WINDOW_SECONDS + 1),
        await send(programs, secret, "k", age=-hooks.WINDOW_SECONDS - 1),
        await send(programs, secret, "k", b'{"ref": "evil"}', **good),
        await send(programs, secret, "other key", **good),
        await send(programs, secret, "k", Victor_Timestamp="1"),
        await send(programs, secret, "k", Victor_Timestamp="now"),
        await send(programs, secret, "k", Victor_Signature=""),
        await send(programs, secret, ""),
        await send(programs, secret, "k" * (hooks.KEY_LENGTH + 1)),
        await programs.http.post("/v1/hooks/push", content=BODY),
    ]
    assert [refused(each) for each in responses] == [(401, "permission")] * len(responses)
    assert len({each.json()["detail"] for each in responses}) == 1
    assert await runs(programs) == []
    assert (await send(programs, secret, "k", age=hooks.WINDOW_SECONDS)).status_code == 202


async def test_the_inputs_are_checked_and_the_workflow_must_declare_them(
    programs: Programs, secret: str
) -> None:
    assert refused(await send(programs, secret, "1", b'{"ref": 1}')) == (422, "invalid_input")
    assert refused(await send(programs, secret, "2", b"[]")) == (400, "usage")
    assert refused(await send(programs, secret, "3", b"{")) == (400, "usage")
    loose = programs.tokens.add_hook("loose", "loose", None, NOW, DAY)
    response = await send(programs, loose, "1", b"{}", name="loose")
    assert refused(response) == (409, "conflict")
    assert "declares no inputs" in response.json()["detail"]
    assert await runs(programs) == []


async def test_the_secret_of_a_webhook_is_no_token_and_ends_with_it(programs: Programs, secret: str) -> None:
    assert refused(await programs(secret, "engine/whoami")) == (401, "permission")
    programs.tokens.revoke("push")
    assert refused(await send(programs, secret, "k")) == (401, "permission")


async def test_an_expired_webhook_names_the_commands_that_replace_it(programs: Programs, secret: str) -> None:
    programs.tokens.revoke("push")
    secret = programs.tokens.add_hook("push", "deploy", None, NOW - DAY, DAY)
    response = await send(programs, secret, "k")
    assert refused(response) == (401, "permission")
    assert "victor api token revoke push, then victor api hook add push deploy" in response.json()["detail"]


async def test_a_key_of_a_start_belongs_to_its_user_and_its_workflow(programs: Programs, secret: str) -> None:
    one, two = programs.token("one", Role.OPERATOR), programs.token("two", Role.OPERATOR)
    body = {"workflow": "deploy", "state": {"ref": "x"}, "key": "same"}
    ids = [(await programs(token, "runs/start_run", body)).json()["id"] for token in (one, one, two)]
    assert ids[0] == ids[1] != ids[2]
    other = await programs(one, "runs/start_run", {"workflow": "loose", "key": "same"})
    assert refused(other) == (409, "conflict")
    assert ids[0] in other.json()["detail"]
    long = await programs(one, "runs/start_run", {"workflow": "loose", "key": "x" * 201})
    assert refused(long) == (400, "usage")
