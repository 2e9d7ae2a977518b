"""An inbox with more requests than the console holds, on the real engine: filters and counts see all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.engine.support import ME, workspace
from victor_engine.api import Port, RequestQuery
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.table import LineTable

MANY = 501
FILES = {
    "workflows/w.yaml": """
        workflows:
          bulk:
            nodes:
              - {id: gate, type: hitl, prompt: "bulk {n}?", priority: high, timeout: 1h, assignees: [somebody-else],
                 on_timeout: reject}
          mine:
            nodes: [{id: gate, type: hitl, prompt: "Is it yours?", priority: low, assignees: [me]}]
          odd:
            nodes: [{id: gate, type: hitl, prompt: "Odd one?", priority: low, assignees: [somebody-else]}]
        """,
    "victor.yaml": "hitl: {unknown_assignees: warn}\n",
}


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + 60
    while not condition():
        assert loop.time() < end, "it never came to that"
        await pilot.pause(0.01)


async def test_what_is_beyond_a_page_is_counted_found_and_asked(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        for number in range(MANY):
            await engine.start_run("bulk", state={"n": number})
        await engine.start_run("mine")
        await engine.start_run("odd")
        async with asyncio.timeout(60):
            while await engine.request_count(RequestQuery()) < MANY + 2:
                await asyncio.sleep(0.01)

        async def connect() -> Port:
            return engine

        app = VictorApp(connect, zone=UTC, theme="victor-dark", interval=0)
        async with app.run_test(size=(100, 30)) as pilot:

            def rows() -> list[Any]:
                found = app.screen.query("#requests")
                return found.first(LineTable).rows if found else []

            def badge() -> str:
                return app.screen.query_one(HeaderBar).render_line(1).text

            def cut() -> str:
                told = app.screen.query_one("#cut", Static)
                return str(told.content) if told.display else ""

            async def filter_by(text: str) -> None:
                app.screen.query_one(FilterBar).display = True
                app.screen.query_one(FilterBar).query_one(Input).value = text

            await pilot.press("3")
            await until(pilot, lambda: len(rows()) >= 500)
            # The page of the most urgent, and what asks who sits here.
            assert "mine" in {row.workflow for row in rows()}
            assert "odd" not in {row.workflow for row in rows()}
            await until(pilot, lambda: f"◆{MANY + 2}" in badge())
            await until(pilot, lambda: cut().startswith(f"501 of {MANY + 2} shown"))
            await filter_by("workflow:odd")
            await until(pilot, lambda: [row.workflow for row in rows()] == ["odd"])
            assert cut() == ""
            await filter_by("mine")
            await until(pilot, lambda: [row.workflow for row in rows()] == ["mine"])
            await filter_by("")
            await until(pilot, lambda: len(rows()) == 501)
            # Decided ones are filtered in the store as well.
            (odd,) = await engine.requests(RequestQuery(workflow="odd"))
            await engine.cancel_run(odd.run_id)
            for request in await engine.requests(RequestQuery(workflow="bulk", limit=MANY)):
                await engine.cancel_run(request.run_id)
            await until(pilot, lambda: [row.workflow for row in rows()] == ["mine"])
            assert cut() == ""
            app.screen.show_done = True  # type: ignore[attr-defined]
            await until(pilot, lambda: cut().startswith(f"500 of {MANY + 1} shown"))
            await filter_by("workflow:odd")
            await until(pilot, lambda: [row.workflow for row in rows()] == ["odd"])
        await engine.close()
