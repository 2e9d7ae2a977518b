"""The night shift, on a real engine at 80x24 with the keyboard alone: the run that hangs is found,
cancelled, corrected and run again from the node where it hung."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static, TextArea

from tests.engine.support import ME, workspace
from victor_engine.api import Port, RunQuery
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.dialogs.redrive import RedriveDialog
from victor_tui.screens.run import RunScreen
from victor_tui.widgets.graph import RunGraph

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
        """,
}


async def test_the_run_that_hangs(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        run_id = (await engine.start_run("nightly", state={"host": "db-l"})).id

        async def connect() -> Port:
            return engine

        app = VictorApp(connect, zone=UTC, theme="victor-dark", interval=0)
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
            await pilot.press("2", "slash", *"status:running", "enter", "enter")
            await until(lambda: _is(isinstance(app.screen, RunScreen)))
            await until(lambda: _is(app.screen.query_one(RunGraph).selected == "copy"))
            await pilot.press("c")
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
            assert len(await engine.runs(RunQuery())) == 1
        await engine.close()


async def _is(truth: bool) -> bool:
    return truth


async def _is_status(status: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await status() == wanted
