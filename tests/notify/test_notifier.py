"""Notifications are sent once; a failure delays nothing and is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.notify.support import Mailbox
from tests.people.bench import ALICE, BOB, YES, Bench, bench
from victor_engine import jsonio
from victor_engine.api import Answer
from victor_engine.config.model import NotifyRule, SecretSource
from victor_engine.events import EventKind
from victor_engine.notify import Notifier, NotifyError, notify_problems
from victor_engine.notify.outbox import RETRIES
from victor_engine.people import corrections, reassignment
from victor_engine.people.audit_verification import head_of, verify
from victor_engine.people.requests import answer_request, withdraw_requests
from victor_engine.people.roles import Person
from victor_engine.store.db import Tx
from victor_engine.store.repositories.deadletters import add_dead_letter
from victor_engine.work.secrets import SecretStore

ALL = ("new", "reminder", "escalated", "expired", "reassigned", "question", "sla", "failed")
PAGER = "json://pager"


def rule(*on: str, name: str = "r", **fields: Any) -> NotifyRule:
    return NotifyRule(name=name, on=on or ALL, **{"urls": (PAGER,), **fields})


class Office:
    """A test bench with a notifier that can be stopped and started again, like an engine."""

    def __init__(self, at: Bench, *rules: NotifyRule) -> None:
        self.bench = at
        self.rules = rules
        self.mailbox = Mailbox()
        self.secrets = SecretStore({"pager": SecretSource(env="PAGER")}, {"PAGER": "json://s3cret-token"})
        self.notifier: Notifier

    async def start(self) -> None:
        self.notifier = Notifier(
            self.bench.store,
            self.bench.clock,
            rules=lambda: self.rules,
            roles=lambda: {"approver": ("dora",)},
            secrets=lambda: self.secrets,
            sender=self.mailbox,
        )
        await self.notifier.start()

    async def settled(self) -> None:
        """Wait until all committed events are processed and no message is due."""
        (last,) = (
            await self.bench.all("SELECT COALESCE(MAX(seq), 0) FROM events WHERE kind NOT LIKE 'notify.%'")
        )[0]
        async with asyncio.timeout(20):
            while (self.notifier._cursor or 0) < last or await self._due():
                self.notifier._wake.set()
                await asyncio.sleep(0)

    async def _due(self) -> int:
        now = int(self.bench.clock.now().timestamp() * 1_000_000)
        count: int = (await self.bench.all("SELECT COUNT(*) FROM announcements WHERE due <= ?", now))[0][0]
        return count

    async def events(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.bench.all("SELECT data FROM events WHERE kind = ? ORDER BY seq", kind)
        return [jsonio.loads(data) for (data,) in rows]


@asynccontextmanager
async def office(path: Path, *rules: NotifyRule) -> AsyncIterator[Office]:
    async with bench(path) as at:
        made = Office(at, *rules)
        await made.start()
        try:
            yield made
        finally:
            await made.notifier.stop()


async def test_a_new_request_is_sent_with_the_command_to_show_it(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        ref = await here.bench.ask(name="Ship 1.2", assignees=("alice",), timeout_seconds=3600)
        await here.mailbox.until(messages=1)
        ((url, title, body),) = here.mailbox.messages
        assert (url, title) == (PAGER, "w: Ship 1.2")
        assert f"victor inbox show {ref.id}" in body
        assert "for alice" in body
        assert "Deadline: 2026-01-01 01:00 UTC. If no one answers: the run is aborted." in body
        await here.settled()
        (said,) = await here.events("notify.sent")
        assert said == {"rule": "r", "occasion": "new", "to": "json://…", "title": "w: Ship 1.2"}


async def test_each_occasion_is_sent_to_its_recipients(tmp_path: Path) -> None:
    async with office(tmp_path, rule()) as here:
        at = here.bench
        ref = await at.ask(
            name="Ship", timeout_seconds=600, reminders=(60.0,), allow_questions=True, fallback="escalate",
            escalation=({"to": "lead", "after": 300},), assignees=("alice",),
        )  # fmt: skip
        await here.mailbox.until(messages=1)
        bob = Person(BOB, admin=True)
        await at.write(lambda tx: reassignment.delegate_request(tx, ref.id, 1, "bob", "on leave", bob))
        await here.mailbox.until(messages=2)
        await at.write(lambda tx: corrections.ask_requester(tx, ref.id, "Which one?", bob))
        await here.mailbox.until(messages=3)
        await at.write(lambda tx: corrections.reply_to_question(tx, ref.id, "That one.", Person(ALICE)))
        await at.run_timers(ref, after=545)
        await here.mailbox.until(messages=4)
        await at.run_timers(ref, after=60)
        await here.mailbox.until(messages=5)
        await at.run_timers(ref, after=301)
        await here.mailbox.until(messages=6)
        assert here.mailbox.titles == [
            "w: Ship",
            "Assigned to alice, bob: w: Ship",
            "Question by bob to alice: w: Ship",
            "Reminder, 55 s left: w: Ship",
            "Escalated to lead: w: Ship",
            "Expired (aborted): w: Ship",
        ]
        assert "on leave" in here.mailbox.messages[1][2]
        assert "Which one?" in here.mailbox.messages[2][2]


async def test_answers_replies_and_withdrawals_say_by_whom(tmp_path: Path) -> None:
    decided = rule("asked_back", "replied", "answered", "withdrawn")
    async with office(tmp_path, decided) as here:
        at = here.bench
        ref = await at.ask(name="Ship", prompt="Ship 1.2?", allow_questions=True, undo_window=5.0)
        bob = Person(BOB, admin=True)
        await at.write(lambda tx: corrections.ask_requester(tx, ref.id, "Which one?", bob))
        await here.mailbox.until(messages=1)
        await at.write(lambda tx: corrections.reply_to_question(tx, ref.id, "That one.", Person(ALICE)))
        await here.mailbox.until(messages=2)
        answer = Answer("rejected", comment="not today")
        await at.write(lambda tx: answer_request(tx, ref.id, 1, answer, bob))
        await here.settled()
        assert len(here.mailbox.messages) == 2  # the answer can still be undone
        await at.run_timers(ref, after=6)
        other = await at.ask(name="Later")
        await at.write(lambda tx: withdraw_requests(tx, at.run_key, "enough", actor=ALICE))
        await here.mailbox.until(messages=4)
        await here.settled()
        assert here.mailbox.titles == [
            "Question by bob to alice: w: Ship",
            "Reply by alice: w: Ship",
            "rejected by bob: w: Ship",
            "Withdrawn by alice: w: Later",
        ]
        bodies = [body for _, _, body in here.mailbox.messages]
        assert all("Ship 1.2?" in body for body in bodies[:3])
        assert "not today" in bodies[2]
        assert "enough" in bodies[3]
        assert other.id in bodies[3]


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"workflows": ("w",)}, True),
        ({"workflows": ("x", "*")}, True),
        ({"workflows": ("x-*",)}, False),
        ({"assignees": ("alice",)}, True),
        ({"assignees": ("user:alice",)}, True),
        ({"assignees": ("group:ops",)}, True),
        ({"assignees": ("dora",)}, True),
        ({"assignees": ("bob", "@viewer")}, False),
    ],
)
async def test_a_rule_applies_to_its_workflows_and_assignees(
    tmp_path: Path, fields: dict[str, Any], heard: bool
) -> None:
    everything = rule("new", name="all", urls=("json://all",))
    async with office(tmp_path, rule("new", **fields), everything) as here:
        await here.bench.ask(assignees=("alice", "ops", "@approver"))
        await here.settled()
        assert [url for url, _, _ in here.mailbox.messages] == ([PAGER] if heard else []) + ["json://all"]


async def test_requests_to_anyone_match_only_rules_without_assignees(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new", assignees=("alice",))) as here:
        await here.bench.ask()
        await here.settled()
        assert here.mailbox.messages == []


async def test_templates_of_a_rule_and_no_control_sequences(tmp_path: Path) -> None:
    words = rule("new", title="{kind} {title}", body="{prompt}|{assignees}|{left}")
    async with office(tmp_path, words) as here:
        await here.bench.ask(name="a\nb\x1b]0;c\x07", prompt="\x1b[2J<b>now</b> {{x}}")
        await here.mailbox.until(messages=1)
        (_, title, body) = here.mailbox.messages[0]
        assert title == "approval a⏎b␛]0;c␇"
        assert body == "␛[2J<b>now</b> {x}|anyone|no limit"


async def test_a_restart_neither_repeats_nor_loses_messages(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        await here.bench.ask(name="one")
        await here.mailbox.until(messages=1)
        await here.settled()
        await here.notifier.stop()
        await here.bench.ask(name="two")
        await here.start()
        await here.mailbox.until(messages=2)
        await here.settled()
        assert here.mailbox.titles == ["w: one", "w: two"]


async def test_events_before_the_first_rule_are_not_sent(tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        await here.bench.ask(name="before")
        here.rules = (rule("new"),)
        await here.notifier.changed()
        await here.bench.ask(name="after")
        await here.mailbox.until(messages=1)
        await here.settled()
        here.rules = ()
        await here.notifier.changed()
        await here.bench.ask(name="unheard")
        here.rules = (rule("new"),)
        await here.notifier.changed()
        await here.settled()
        assert here.mailbox.titles == ["w: after"]


async def test_a_stored_message_is_sent_after_a_restart(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.stuck = asyncio.Event()
        await here.bench.ask(name="one")
        await here.mailbox.until(tries=1)
        task = here.notifier._task
        assert task is not None
        task.cancel()  # like a kill: nothing is recorded after that
        await asyncio.gather(task, return_exceptions=True)
        here.mailbox.stuck = None
        await here.start()
        await here.mailbox.until(messages=1)
        await here.settled()
        assert here.mailbox.titles == ["w: one"]


async def test_a_closed_request_is_not_sent(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.broken[PAGER] = NotifyError("down")
        ref = await here.bench.ask()
        await here.mailbox.until(tries=1)
        await here.settled()
        await here.bench.answer(ref, YES)
        del here.mailbox.broken[PAGER]
        await here.bench.clock.advance(RETRIES[0])
        await here.settled()
        assert (here.mailbox.messages, len(here.mailbox.tries)) == ([], 1)
        assert await here.bench.all("SELECT * FROM announcements") == []


async def test_a_failure_is_recorded_retried_and_cleared_by_success(tmp_path: Path) -> None:
    both = rule("new", urls=("$secret.pager", "json://other"))
    async with office(tmp_path, both) as here:
        here.mailbox.broken["json://s3cret-token"] = NotifyError("json://s3cret-token refused")
        await here.bench.ask(name="one")
        await here.mailbox.until(messages=1, tries=2)
        await here.settled()
        (problem,) = await here.bench.store.read(
            lambda c: notify_problems(c, here.bench.clock.now(), (both,))
        )
        assert problem.message == ("notify: r fails (1 waiting for a retry): $secret.pager: *** refused")
        assert problem.severity == "error"  # the header of a console shows it
        (said,) = await here.events("notify.failed")
        assert (said["message"], said["to"], said["attempts"]) == ("*** refused", "$secret.pager", 1)
        await here.bench.ask(name="two")
        await here.mailbox.until(messages=2, tries=4)
        await here.settled()
        del here.mailbox.broken["json://s3cret-token"]
        await here.bench.clock.advance(RETRIES[0])
        await here.settled()
        assert sorted(here.mailbox.titles) == ["w: one", "w: one", "w: two", "w: two"]
        assert await here.bench.store.read(lambda c: notify_problems(c, here.bench.clock.now())) == []


async def test_a_message_is_abandoned_after_the_retries_and_reported_for_a_day(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.broken[PAGER] = NotifyError("down")
        await here.bench.ask()
        await here.mailbox.until(tries=1)
        await here.settled()
        for number, delay in enumerate(RETRIES):
            await here.bench.clock.advance(delay)
            await here.mailbox.until(tries=number + 2)
            await here.settled()
        said = await here.events("notify.failed")
        assert [(e.get("gave_up", False), e["attempts"]) for e in said] == [
            (False, 1),
            (True, len(RETRIES) + 1),
        ]
        now: Callable[[], Any] = here.bench.clock.now
        (problem,) = await here.bench.store.read(lambda c: notify_problems(c, now()))
        assert "1 abandoned" in problem.message
        await here.bench.clock.advance(86_400)
        assert await here.bench.store.read(lambda c: notify_problems(c, now())) == []


async def test_an_invalid_address_is_abandoned_at_once(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new", urls=("$secret.nowhere", PAGER))) as here:
        here.mailbox.broken[PAGER] = NotifyError("no such service", permanent=True)
        await here.bench.ask()
        await here.mailbox.until(tries=1)
        await here.settled()
        said = {event["to"]: event for event in await here.events("notify.failed")}
        assert said["json://…"]["gave_up"] is True
        assert "the secret 'nowhere' is not available" in said["$secret.nowhere"]["message"]


async def test_messages_to_a_removed_address_are_deleted(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.broken[PAGER] = NotifyError("down")
        await here.bench.ask()
        await here.mailbox.until(tries=1)
        await here.settled()
        here.rules = (rule("new", urls=("json://other",)),)
        await here.notifier.changed()
        assert await here.bench.all("SELECT * FROM announcements") == []
        assert await here.bench.store.read(lambda c: notify_problems(c, here.bench.clock.now())) == []


async def test_unexpected_errors_stop_nothing(tmp_path: Path) -> None:
    async with office(tmp_path, rule()) as here:
        here.mailbox.broken[PAGER] = ValueError("of a plugin")
        ref = await here.bench.ask()
        await here.mailbox.until(tries=1)
        await here.settled()
        data = {"to": 5}
        await here.bench.write(lambda tx: tx.event("request.reassigned", request_id=ref.id, data=data))
        await here.settled()
        assert [event["message"] for event in await here.events("notify.failed")] == [
            "ValueError: of a plugin",
            "no message for request.reassigned: TypeError: 'int' object is not iterable",
        ]
        here.mailbox.broken.clear()
        await here.bench.ask(name="next")
        await here.mailbox.until(messages=1)
        assert here.mailbox.titles == ["w: next"]


async def test_many_messages_are_combined(tmp_path: Path) -> None:
    async with office(tmp_path, rule("failed")) as here:

        def fail(tx: Any) -> None:
            for _ in range(30):
                add_dead_letter(tx, here.bench.run_key, "w", None)
                tx.event("run.finished", run_key=here.bench.run_key, workflow="w", data={"status": "failed"})
                tx.execute("DELETE FROM dead_letters")
            add_dead_letter(tx, here.bench.run_key, "w", None)

        await here.bench.write(fail)
        await here.settled()
        assert here.mailbox.titles == ["30 notifications, last: Failed: w"]


async def test_messages_over_the_limit_are_dropped_with_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("victor_engine.notify.outbox.PENDING", 2)
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.broken[PAGER] = NotifyError("down")
        for _ in range(4):
            await here.bench.ask()
        await here.settled()
        (waiting,) = (await here.bench.all("SELECT COUNT(*) FROM announcements"))[0]
        assert waiting == 2
        assert sum(event.get("dropped", 0) for event in await here.events("notify.failed")) == 2


async def test_a_sender_that_hangs_delays_nothing(tmp_path: Path) -> None:
    async with office(tmp_path, rule("new")) as here:
        here.mailbox.stuck = asyncio.Event()
        ref = await here.bench.ask()
        await here.mailbox.until(tries=1)
        decision = await here.bench.answer(ref, YES)
        assert decision is not None
        assert decision.outcome == "approved"
        here.mailbox.stuck.set()


async def test_the_head_of_the_audit_chain_is_sent_at_most_once_an_hour(tmp_path: Path) -> None:
    async with office(tmp_path, rule("audit", workflows=("other",))) as here:
        at = here.bench
        await here.mailbox.until(messages=1)
        assert here.mailbox.titles[0].endswith("head of the audit chain, record 1")
        await at.answer(await at.ask(), YES)
        await here.settled()
        assert len(here.mailbox.messages) == 1
        await at.clock.advance(3600)
        here.notifier._wake.set()
        await here.mailbox.until(messages=2)
        head = await at.store.read(head_of)
        sent = here.mailbox.messages[1][2].split()[0]
        assert sent == f"{head.seq}:{head.digest}"
        assert (await at.store.read(lambda c: verify(c, sent))).intact
        await at.clock.advance(7200)
        await here.settled()
        assert len(here.mailbox.messages) == 2


async def test_alerts_about_quarantine_deprecated_starts_and_the_clock(tmp_path: Path) -> None:
    alerts = rule("quarantine", "deprecated", "clock", workflows=("w",))
    async with office(tmp_path, alerts) as here:
        at = here.bench
        await at.ask(name="Ship")
        ((key,),) = await at.all("SELECT key FROM runs")
        jumped = {
            "from": "2026-01-01T00:00:00+00:00",
            "to": "2026-01-01T05:00:00+00:00",
            "message": "suspended",
        }
        ahead = {
            "since": "2026-01-01T00:00:00+00:00", "until": "2026-01-01T01:00:00+00:00",
            "furthest": "2026-03-01T00:00:00+00:00", "reopened": 3,
        }  # fmt: skip

        def happen(tx: Tx) -> None:
            tx.event(EventKind.RUN_PAUSED, run_key=key, workflow="w", data={"note": "paused by ana"})
            tx.event(
                EventKind.RUN_PAUSED, run_key=key, workflow="w", data={"note": "3 deaths", "quarantine": True}
            )
            tx.event(
                EventKind.VERSION_NOTICE, run_key=key, workflow="w", data={"message": "w 1.0.0 is deprecated"}
            )
            tx.event(EventKind.ENGINE_CLOCK_JUMPED, data=jumped)
            tx.event(EventKind.ENGINE_CLOCK_CORRECTED, data=ahead)

        await at.write(happen)
        await here.mailbox.until(messages=4)
        await here.settled()
        titles = [
            title.partition(" on ")[0] + title.partition(": ")[1] + title.partition(": ")[2]
            for title in here.mailbox.titles
        ]
        assert titles == [
            "Quarantined: w: w", "Started: w", "victor: the clock went forward", "victor: the clock was set back",
        ]  # fmt: skip
        bodies = [body for _, _, body in here.mailbox.messages]
        assert "3 deaths" in bodies[0]
        assert "w 1.0.0 is deprecated" in bodies[1]
        assert "suspended" in bodies[2]
        assert "at most to 2026-03-01 00:00 UTC. Fires that became open again: 3" in bodies[3]


async def test_a_heartbeat_is_sent_and_not_stored(tmp_path: Path) -> None:
    async with office(tmp_path, rule("heartbeat"), rule("new", name="other", urls=("json://other",))) as here:
        await here.notifier.beat()
        here.mailbox.broken[PAGER] = NotifyError("no route")
        await here.notifier.beat()
        assert [(url, title.partition(" on ")[0]) for url, title, _ in here.mailbox.messages] == [
            (PAGER, "victor")
        ]
        assert here.mailbox.tries == [PAGER, PAGER]
        assert await here.bench.all("SELECT * FROM announcements") == []
