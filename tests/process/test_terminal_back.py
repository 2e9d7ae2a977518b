"""A question to the requester, a push-back and an undo, in a real terminal."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import attached
from victor_engine.api import RunDetail

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(900)]

FLOW = """
workflows:
  article:
    nodes:
      - {id: write, type: transform, transform: "drafts = drafts + 1", next: [gate]}
      - id: gate
        type: hitl
        hitl_type: approval
        name: Publish
        prompt: "Publish it?"
        allow_questions: true
        next: [sign]
      - {id: sign, type: hitl, hitl_type: approval, name: Sign, prompt: "Sign it?", undo_window: 10m, next: [done]}
      - {id: done, type: transform, transform: "published = True"}
"""


def requests(root: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as connection:
        return connection.execute(
            "SELECT status, outcome, comment FROM requests ORDER BY created_at"
        ).fetchall()


async def detail(root: Path, run_id: str) -> RunDetail:
    async with attached(root) as port:
        return await port.run(run_id)


async def test_a_question_a_push_back_and_an_undo(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/article.yaml": FLOW})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            run = await port.start_run("article", state={"drafts": 0})
        terminal.keys("3")
        terminal.until("Publish it?", "no limit")

        terminal.keys("m")
        terminal.until("The deadline is paused")
        terminal.text("Which one?")
        terminal.keys("C-s")
        terminal.until("‖ question", "Which one?")
        terminal.keys("m")
        terminal.until("Reply to the question")
        terminal.text("The long one")
        terminal.keys("C-s")
        terminal.until("The long one", "no limit")

        terminal.keys("b")
        terminal.until("Send the run back")
        terminal.text("half as long")
        terminal.keys("C-s")
        terminal.eventually("it was sent back", lambda: len(requests(root)) == 2)
        assert requests(root)[0] == ("answered", "pushed_back", "half as long")
        again = await detail(root, run.id)
        assert again.state["drafts"] == 2
        assert "half as long" in str(again.state)

        terminal.until("no limit", gone=["Send the run back", "sent back"])
        for question in ("Publish it?", "Sign it?"):
            terminal.until(question, "no limit")
            terminal.keys("a")
            terminal.until("ctrl+s send")
            terminal.keys("Left")
            terminal.send(gone=["╭──"])
        terminal.until("u undoes it")
        assert (await detail(root, run.id)).run.status == "waiting"
        terminal.keys("u")
        terminal.until("undone by", gone=["u undoes it"])
        assert [status for status, *_ in requests(root)] == ["answered", "answered", "open"]
        assert "published" not in (await detail(root, run.id)).state
