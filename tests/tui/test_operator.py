"""The night shift, on a real engine at 80x24 with the keyboard alone: the run that hangs is found among
healthy ones, cancelled, corrected, run again from the node where it hung, and compared with an earlier one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static, TextArea

from tests.engine.support import ME, until_end, workspace
from victor_engine.api import Port, RunQuery
from victor_engine.clock import SystemClock
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.runs.compare_screen import CompareScreen
from victor_tui.runs.redrive_dialog import RedriveDialog
from victor_tui.runs.run_screen import RunScreen
from victor_tui.runs.screen import RunsScreen
from victor_tui.widgets.graph import RunGraph
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": f"""
        handlers:
          copy: {{command: [{sys.executable}, copy.py], grace: 0.2}}
        """,
    # Hangs for as long as the host is the wrong one, and does not want to go.
    "copy.py": """
        import json, signal, sys, time
        state = json.load(sys.stdin)["state"]
        if state["host"] == "db-l":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("connecting", file=sys.stderr, flush=True)
            time.sleep(600)
        json.dump({"copied": 3}, sys.stdout)
        """,
    "workflows/nightly.yaml": """
        workflows:
          nightly:
            nodes:
              - {id: plan, type: transform, transform: "tables = 3", next: [copy]}
              - {id: copy, type: compute, handler: copy, next: [report]}
              - {id: report, type: transform, transform: "done = copied"}
          steady:
            nodes:
              - {id: hold, type: wait, for: 1h, next: [out]}
              - {id: out, type: transform, transform: "done = true"}
        """,
}
HEALTHY = 30


class Later(SystemClock):
    """The operator looks ten minutes later, when what hangs has hung for that long."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=10)


async def test_the_run_that_hangs(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        for _ in range(2):
            await until_end(engine, (await engine.start_run("nightly", state={"host": "db-1"})).id)
        run_id = (await engine.start_run("nightly", state={"host": "db-l"})).id
        await asyncio.gather(*(engine.start_run("steady") for _ in range(HEALTHY)))

        async def connect() -> Port:
            return engine

        app = VictorApp(connect, clock=Later(), zone=UTC, theme="victor-dark", interval=0)
        async with app.run_test(size=(80, 24)) as pilot:

            async def until(condition: Callable[[], Awaitable[Any]]) -> None:
                for _ in range(1500):
                    if await condition():
                        return
                    await pilot.pause(0.01)
                raise AssertionError("it never came to that")

            async def status() -> str:
                return (await engine.run(run_id)).run.status

            async def hangs() -> bool:
                return any(line.text == "connecting" for line in await engine.run_log(run_id))

            await until(hangs)
            await pilot.press("2")
            await until(lambda: _is(bool(app.screen.query("#runs")) and _rows(app) == HEALTHY + 3))
            table = app.screen.query_one("#runs", LineTable)
            assert table.rows[0].id == run_id  # what hangs stands first, and the cursor on it
            top = table.render_line(1).text
            assert "▲ stuck" in top
            assert "copy 10m" in top
            await pilot.press("enter")
            await until(lambda: _is(isinstance(app.screen, RunScreen)))
            await until(lambda: _is(app.screen.query_one(RunGraph).selected == "copy"))
            assert "at copy 10m" in str(app.screen.query_one("#run-head", Static).content)
            await pilot.press("K")
            await pilot.pause()
            await pilot.press(*"hangs", "ctrl+s")
            await until(lambda: _is_status(status, "cancelled"))
            await until(lambda: _is("cancelled" in str(app.screen.query_one("#run-head", Static).content)))
            await pilot.press("d")
            await until(lambda: _is(isinstance(app.screen, RedriveDialog)))
            # tab: from the node over the version and the box into the state; then to the wrong letter.
            await pilot.press("tab", "tab", "tab", "down", "end", "left", "left", "backspace", "1", "tab")
            area = app.screen.query_one("#state", TextArea)
            assert '"host": "db-1"' in area.text
            await pilot.press(*"typo", "ctrl+s")
            await until(lambda: _is_status(status, "succeeded"))
            found = await engine.run(run_id)
            assert (found.state["done"], found.state["host"]) == (3, "db-1")
            assert [(a.node_id, a.status) for a in found.attempts] == [
                ("plan", "succeeded"),
                ("copy", "cancelled"),
                ("@edit", "succeeded"),
                ("copy", "succeeded"),
                ("report", "succeeded"),
            ]
            assert found.attempts[2].changes == {"set": {"host": "db-1"}}
            assert len(await engine.runs(RunQuery(workflow="nightly"))) == 3
            await pilot.press("equals_sign")
            await until(lambda: _is(isinstance(app.screen, CompareScreen) and app.screen.found is not None))
            view = app.screen.query_one("#compared", LineView)
            shown = [view.line_at(index).plain for index in range(view.line_count)]
            assert any(line.startswith("≠copy") and "×2" in line for line in shown)
            assert any(line.strip() == "+ db-l" for line in shown)  # of the input, which stays what it was
            await pilot.press("escape", "escape")
            await until(lambda: _is(isinstance(app.screen, RunsScreen)))
        await engine.close()


def _rows(app: VictorApp) -> int:
    return len(app.screen.query_one("#runs", LineTable).rows)


async def _is(truth: bool) -> bool:
    return truth


async def _is_status(status: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await status() == wanted
