"""Notifications of a whole engine: through Apprise to a server on loopback, and without Apprise."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, loaded, question, until_end, workspace
from tests.notify.support import Mailbox
from tests.runs.server import Server, plain
from victor_engine.api import Answer
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import StorageError
from victor_engine.notify import NotifyError
from victor_engine.notify.outbox import RETRIES
from victor_engine.work.content_guard import ContentGuard

FLOW = """
workflows:
  flow:
    nodes:
      - {id: gate, type: hitl, prompt: "Ship <b>it</b>?", name: Ship, next: [out]}
      - {id: out, type: transform, transform: "done = 1"}
"""


def files(rules: str) -> dict[str, str]:
    return {"victor.yaml": rules, "workflows/flow.yaml": FLOW}


async def until(engine: Engine, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        async for event in engine.subscribe(0):
            if event.kind == kind:
                return event.data
    raise AssertionError("the feed has ended")


# Apprise imports a module that later versions of Python do not have.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_a_notification_reaches_a_server_through_apprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("apprise")
    async with Server() as server:
        monkeypatch.setenv("HOOK", server.url.replace("http://", "json://") + "/hook?cto=5&rto=5")
        server.replies += [plain(b"{}"), plain(b"no", "503 Service Unavailable")]
        rules = 'secrets: {hook: {env: HOOK}}\nnotify: [{on: [new, expired], urls: [$secret.hook], body: "{prompt}"}]\n'
        async with engine_on(workspace(tmp_path, files(rules))) as engine:
            run = await engine.start_run("flow")
            said = await until(engine, "notify.sent")
            assert (said["to"], said["title"]) == ("$secret.hook", "flow: Ship")
            ((first, _, body),) = server.requests
            assert first.startswith("POST /hook")
            assert (body["title"], body["message"]) == ("flow: Ship", "Ship <b>it</b>?")

            await engine.start_run("flow")
            failed = await until(engine, "notify.failed")
            assert "503" in failed["message"]
            (problem,) = (await engine.engine()).problems
            assert problem.message.startswith("notify: rule 1 fails (1 waiting for a retry)")
            assert (problem.line, problem.column) == (2, 10)

            asked = await question(engine, run.id)
            await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
            assert (await until_end(engine, run.id)).run.status == "succeeded"


async def test_an_engine_sends_notifications_that_it_missed(tmp_path: Path) -> None:
    root = workspace(tmp_path, files("notify: [{on: new, urls: [json://x]}]\n"))
    mailbox = Mailbox()
    async with engine_on(root, sender=mailbox):
        pass
    async with engine_on(root, work=False) as hand:
        await hand.start_run("flow")
    async with engine_on(root, sender=mailbox) as engine:
        await mailbox.until(messages=1)
        await until(engine, "notify.sent")
    async with engine_on(root, sender=mailbox):
        pass
    assert mailbox.titles == ["flow: Ship"]


async def test_new_rules_apply_after_a_reload(tmp_path: Path) -> None:
    root = workspace(tmp_path, files(""))
    mailbox = Mailbox()
    async with engine_on(root, sender=mailbox) as engine:
        await question(engine, (await engine.start_run("flow")).id)
        (root / "victor.yaml").write_text("notify: [{on: new, urls: [json://x]}]\n")
        await engine.reload()
        await engine.start_run("flow")
        await mailbox.until(messages=1)
    assert mailbox.titles == ["flow: Ship"]


async def test_an_unexpected_error_of_a_sender_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    mailbox = Mailbox()
    mailbox.broken["json://x"] = NotifyError("no route")
    root = workspace(tmp_path, files("notify: [{on: new, urls: [json://x]}]\n"))
    async with engine_on(root, sender=mailbox) as engine:
        run = await engine.start_run("flow")
        await until(engine, "notify.failed")
        asked = await question(engine, run.id)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await until_end(engine, run.id)).run.status == "succeeded"


async def test_rules_without_apprise_are_an_error_with_its_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("victor_engine.engine.workspace.installed", lambda: False)
    root = workspace(tmp_path, files("notify:\n  - {on: new, urls: [json://x]}\n"))
    (problem,) = (await loaded(root)).problems
    assert "Apprise, which sends notifications, is not installed" in problem.message
    assert (problem.path, problem.line) == (str(root / "victor.yaml"), 2)
    assert "victor-tui[notify]" in problem.remedy


async def test_a_storage_outage_is_sent_without_the_store(tmp_path: Path) -> None:
    mailbox, clock = Mailbox(), FakeClock()
    mailbox.broken["json://down"] = NotifyError("no route")
    rules = "notify: [{on: storage, workflows: [other], urls: [json://x, json://down]}, {on: new, urls: [json://y]}]\n"
    async with engine_on(workspace(tmp_path, files(rules)), sender=mailbox, clock=clock) as engine:
        writer = engine.store._require_writer()
        writer.execute("PRAGMA query_only = 1")
        with pytest.raises(StorageError):
            await engine.start_run("flow")
        await mailbox.until(messages=1, tries=2)
        del mailbox.broken["json://down"]
        async with asyncio.timeout(30):
            while len(mailbox.messages) < 2:
                await clock.advance(RETRIES[0])
        writer.execute("PRAGMA query_only = 0")
        async with asyncio.timeout(30):
            while len(mailbox.messages) < 4:
                await clock.advance(1)
    lost, back = mailbox.messages[:2], mailbox.messages[2:]
    assert [url for url, *_ in lost] == ["json://x", "json://down"]
    assert sorted(url for url, *_ in back) == ["json://down", "json://x"]
    assert all(title.endswith("storage outage") and "read-only" in body for _, title, body in lost)
    assert all(title.endswith("storage outage ended") and "read-only" in body for _, title, body in back)


async def test_a_command_gets_the_messages_and_its_files_need_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "s3cret-token")
    monkeypatch.setenv("OTHER", "of the engine")
    rules = """
        secrets: {pager: {env: PAGER}}
        notify:
          - {name: page, on: [new], command: [sh, bin/page.sh, ops], env: {TOKEN: $secret.pager}}
        """
    script = 'printf "%s %s %s " "$1" "$TOKEN" "${OTHER-none}" >> said; cat >> said; echo >> said\n'
    root = workspace(tmp_path, {**files(rules), "bin/page.sh": script})
    async with engine_on(root) as engine:
        assert "sh bin/page.sh ops" in (await engine.trust_info()).commands
        run = await engine.start_run("flow")
        said = await until(engine, "notify.sent")
        assert (said["to"], said["rule"]) == ("command", "page")
        request = await question(engine, run.id)
        words, _, message = (root / "said").read_text().partition("{")
        assert words.split() == ["ops", "s3cret-token", "none"]
        found = json.loads("{" + message)
        assert found["title"] == "flow: Ship"
        assert (found["rule"], found["occasion"]) == ("page", "new")
        assert (found["workflow"], found["node"], found["request"]) == ("flow", "gate", request.id)
        assert found["run"] == run.id

        monkeypatch.setattr(ContentGuard, "refusal", lambda self, key: f"{key} changed since it was trusted")
        await engine.start_run("flow")
        failed = await until(engine, "notify.failed")
        assert "the command sh was not started: notify.page changed since it was trusted" in failed["message"]


async def test_a_command_that_fails_is_tried_again(tmp_path: Path) -> None:
    rules = 'notify: [{on: [new], command: [sh, -c, "echo no route >&2; exit 3"]}]'
    async with engine_on(workspace(tmp_path, files(rules))) as engine:
        await engine.start_run("flow")
        failed = await until(engine, "notify.failed")
        assert failed["message"] == "the command sh ended with 3: no route"
        assert "retry_at" in failed
