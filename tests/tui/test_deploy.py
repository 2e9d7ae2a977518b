"""F5 shows the plan of a deployment, and deploys it after a confirmation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_access import told
from tests.tui.test_console import go, settle
from victor_tui.versions.rows import status_cell
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.table import LineTable


def write(port: RealPort, version: str, x: int = 1) -> None:
    content = {"version": version, "nodes": [{"id": "a", "type": "transform", "transform": f"x = {x}"}]}
    port.write("workflows/w.yaml", json.dumps({"workflows": {"w": content}}))


async def current(port: RealPort) -> list[str]:
    return [v.version for info in await port.engine_.workflows("w") for v in info.versions if v.current]


async def test_the_plan_is_confirmed_and_an_error_prevents_it(bare: RealPort) -> None:
    write(bare, "1.0.0")
    await bare.engine_.reload()
    app: Any = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        write(bare, "2.0.0", 2)
        await go(pilot, "f5")
        await until(pilot, lambda: app.screen.is_modal)
        assert "w 1.0.0 -> 2.0.0" in str(app.screen.query_one(".text").visual)
        await go(pilot, "escape")
        assert await current(bare) == ["1.0.0"]
        await go(pilot, "f5")
        await until(pilot, lambda: app.screen.is_modal)
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: any("Deployment 2: 1 change in force." in text for text in told(pilot)))
        assert await current(bare) == ["2.0.0"]
        write(bare, "1.0.0")
        await go(pilot, "f5")
        await until(pilot, lambda: app.screen.is_modal)
        write(bare, "3.0.0", 3)  # the plan that is shown does not apply any more
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: any("no longer applies" in text for text in told(pilot)))
        assert await current(bare) == ["2.0.0"]
        write(bare, "2.0.0", 9)
        await go(pilot, "f5")
        await until(pilot, lambda: any("use version 2.0.1" in text for text in told(pilot)))
        assert not app.screen.is_modal
        write(bare, "2.0.0", 2)
        await go(pilot, "f5")
        await until(pilot, lambda: any("reloaded: no problems" in text for text in told(pilot)))
        await settle(pilot)


async def test_the_header_and_the_lists_say_that_files_differ(bare: RealPort) -> None:
    write(bare, "1.0.0")
    await bare.engine_.reload()
    app: Any = console(bare)

    async def after_a_look(pilot: Any, condition: Callable[[], object]) -> None:
        """Let the time pass after which the engine looks at the files, until the screen shows the result."""

        def seen() -> object:
            app.feed.mark_stale("engine")
            return condition()

        await bare.clock.advance(11)
        await until(pilot, seen)

    def header() -> str:
        return "".join(segment.text for segment in app.screen.query_one(HeaderBar).render_line(1))

    def row() -> str:
        return status_cell(app.screen.query_one("#versions", LineTable).rows[0], bare.clock.now())[0]

    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        await after_a_look(pilot, lambda: row() == "✓ current")
        assert "files differ" not in header()
        write(bare, "2.0.0", 2)
        await after_a_look(pilot, lambda: "≠ files differ" in header())
        await until(pilot, lambda: row() == "≠ changed")
        await bare.engine_.deploy()
        await after_a_look(pilot, lambda: "files differ" not in header())
        await until(pilot, lambda: row() == "✓ current")
        (bare.root / "workflows/w.yaml").unlink()
        await after_a_look(pilot, lambda: row() == "≠ missing")
        await bare.clock.advance(600)
        versions = app.screen.query_one("#versions", LineTable)
        await until(pilot, lambda: "10m ago" in "".join(each.text for each in versions.render_line(1)))
        await settle(pilot)


async def test_a_confirmed_plan_also_gives_trust_to_its_files(bare: RealPort) -> None:
    settings = Path.home() / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("trust: {content: pinned}\n")
    write(bare, "1.0.0")
    await bare.engine_.trust()
    await bare.engine_.deploy()
    app: Any = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        write(bare, "2.0.0", 2)
        await go(pilot, "f5")
        await until(pilot, lambda: app.screen.is_modal)
        shown = str(app.screen.query_one(".text").visual)
        assert "! workflows/w.yaml is not trusted: it changed since trust was given" in shown
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: any("1 change in force." in text for text in told(pilot)))
        assert await current(bare) == ["2.0.0"]
        assert not (await bare.engine_.plan_deployment()).untrusted
        await settle(pilot)
