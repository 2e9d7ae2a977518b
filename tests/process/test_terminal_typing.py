"""In a real terminal of 80x24: typing answers no request, and an open dialog shows changes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import attached
from victor_engine.api import Answer, RequestQuery, RunQuery

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(300)]

FLOW = """
    workflows:
      mail:
        nodes:
          - {id: gate, type: hitl, hitl_type: review, name: Mail, allow_edit: true, context_keys: [draft],
             prompt: Check the mail, timeout: 30m, next: {approved: finish, rejected: finish}}
          - {id: finish, type: transform, transform: "v = 1"}
      failover:
        nodes:
          - {id: gate, type: hitl, hitl_type: approval, name: Fail over, prompt: "Fail over now?", timeout: 2h,
             next: {approved: finish, rejected: finish}}
          - {id: finish, type: transform, transform: "v = 1"}
    """
OPEN = "╭──"
TYPED = ("looks fine, not urgent", "sunday", "yes", "ay")


def type_in(terminal: Terminal, text: str, burst: bool) -> None:
    if burst:
        terminal.text(text)
        return
    for letter in text:
        terminal.text(letter)
        time.sleep(0.12)  # the test needs the speed of a typing user


async def test_text_that_is_typed_on_any_screen_answers_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/w.yaml": FLOW})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            await port.start_run("mail", state={"draft": "We are down on Monday.\n"})
            await port.start_run("failover")
            terminal.until("Inbox ◆2")
            for opening in ([], ["3"], ["a"], ["3", "Down", "Enter"], ["3", "y"]):
                # The long text is typed by hand only where no dialog holds the cursor at first.
                by_hand = TYPED[1:] if opening else TYPED
                for text, burst in [(text, True) for text in TYPED] + [(text, False) for text in by_hand]:
                    if opening:
                        terminal.keys(*opening)
                    type_in(terminal, text, burst)
                    for _ in range(4):  # close the dialogs that the letters opened
                        terminal.keys("Escape")
                        await asyncio.sleep(0.1)
                    assert len(await port.requests(RequestQuery())) == 2, (opening, text, burst)
                    assert not [run for run in await port.runs(RunQuery()) if run.status != "waiting"]


ASKED = """
    workflows:
      failover:
        nodes:
          - {id: gate, type: hitl, hitl_type: approval, name: Fail over, prompt: "Fail over now?", timeout: DEADLINE,
             on_timeout: approve, required_approvals: 2, next: {approved: finish, rejected: finish}}
          - {id: finish, type: transform, transform: "v = 1"}
    """
SOON = 5.0
"""Seconds within which news has come, on a busy machine too: a second is what is promised."""


async def test_a_dialog_left_open_shows_a_vote_and_an_answer(tmp_path: Path) -> None:
    flow = ASKED.replace("DEADLINE", "2h")
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/w.yaml": flow})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            await port.start_run("failover")
            terminal.until("Inbox ◆1")
            terminal.keys("a")
            terminal.until(OPEN, "0 of 2 votes")
            (request,) = await port.requests(RequestQuery())
            await port.answer(request.id, request.revision, Answer("approved"))
            terminal.until("1 of 2 approvals", within=SOON)
            (request,) = await port.requests(RequestQuery())
            await port.answer(request.id, request.revision, Answer("rejected"))
            terminal.until("Already answered by", within=SOON)


async def test_a_dialog_left_open_counts_down_and_shows_the_deadline(tmp_path: Path) -> None:
    flow = ASKED.replace("DEADLINE", "8s")
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/w.yaml": flow})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            run = await port.start_run("failover")
            terminal.until("Inbox ◆1")
            terminal.keys("a")
            terminal.until(OPEN)
            for left in ("3s", "2s"):
                terminal.until(f"⏱ {left}", within=SOON + 8)
            while (await port.run(run.id)).run.status == "waiting":
                await asyncio.sleep(0.05)
            terminal.until("The deadline has passed", gone=["⏱"], within=SOON)
