"""Several requests are answered as they were listed, on a real engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static

from tests.engine.support import engine_on, question, workspace
from tests.tui.conftest import until
from tests.tui.real import console_on
from victor_engine.identity import user_name
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.inbox.answer_several_dialog import TogetherDialog
from victor_tui.widgets.lines import LineView

ME = user_name(os.getuid())
FILES = {
    "victor.yaml": "hitl: {unknown_assignees: warn}\n",
    "workflows/w.yaml": f"""
        workflows:
          w:
            nodes: [{{id: gate, type: hitl, prompt: "Ship {{n}}?", assignees: [{ME}, me]}}]
        """,
}


def words(pilot: Pilot[Any]) -> str:
    return "\n".join(str(each.content) for each in pilot.app.screen.query(Static))


async def test_only_the_listed_requests_are_answered_each_as_it_was_listed(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        runs = [(await engine.start_run("w", state={"n": n})).id for n in range(3)]
        asked = [await question(engine, run_id) for run_id in runs]
        async with console_on(engine) as pilot:
            await pilot.press("3")
            await until(pilot, lambda: len(_table(pilot).rows) == 3)
            await pilot.press("space", "space", "space", "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, TogetherDialog))
            await pilot.press("left")
            await engine.reassign(asked[1].id, asked[1].revision, [ME], "mine")
            late = await question(engine, (await engine.start_run("w", state={"n": 9})).id)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, BulkDialog))
            assert "2 of 3 done" in words(pilot)
            fault = pilot.app.screen.query_one("#results", LineView).line_at(0).plain
            assert "has changed since it was shown to you (me: request reassigned at" in fault
        statuses = [(await engine.request(each.id)).status for each in (*asked, late)]
        assert statuses == ["answered", "open", "answered", "open"]


def _table(pilot: Pilot[Any]) -> Any:
    return pilot.app.screen.query_one("#requests")
