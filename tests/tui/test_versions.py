"""The Versions screen: folding, notices, rollouts in one key, and moving what runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace
from textual.widgets import Button, Static, TextArea

from tests.tui.fake_port import FakePort
from tests.tui.test_console import MakeApp, go, preview, settle, table
from victor_tui import alive
from victor_tui.dialogs.alias import AliasDialog
from victor_tui.dialogs.migrate import MigrateDialog
from victor_tui.widgets.keybar import KeyBar


def names(port: FakePort) -> list[str]:
    return [name for name, _ in port.calls]


async def test_many_versions_are_folded_and_unfold_one_by_one(port: FakePort, make_app: MakeApp) -> None:
    info = port.workflow_map["deploy"]
    many = tuple(replace(info.versions[0], version=f"1.{n}.0", current=n == 119) for n in range(119, -1, -1))
    port.workflow_map["deploy"] = replace(info, versions=many)
    app: Any = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        assert len(table(app).rows) == 4
        assert [row.folded for row in table(app).rows if row.info.workflow == "deploy"] == [119]
        assert (None, "all") not in port.listed
        table(app).select(("deploy", "1.119.0"))
        await settle(pilot)
        await go(pilot, "right")
        assert port.listed[-1] == ("deploy", "all")
        assert len(table(app).rows) == 4 + 119
        await go(pilot, "down", "down", "left")
        assert len(table(app).rows) == 4
        assert table(app).row.id == ("deploy", "1.119.0")  # type: ignore[union-attr]
        await go(pilot, "enter")
        assert len(table(app).rows) == 4 + 119


async def test_the_rollout_is_promoted_or_rolled_back_with_one_key(port: FakePort, make_app: MakeApp) -> None:
    app: Any = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        text = preview(app)
        assert "98.0% (8 failed)" in text
        assert "92.8% (7 failed)" in text
        await go(pilot, "p", *"good", "ctrl+s")
        assert ("promote_alias", ("data_pipeline", "stable", None, "good")) in port.calls
        table(app).select(("deploy", "2.1.0"))
        await settle(pilot)
        await go(pilot, "b", "escape")
        assert "roll_back_alias" not in names(port)
        await go(pilot, "b", "ctrl+s")
        assert ("roll_back_alias", ("deploy", "stable", "")) in port.calls
        await settle(pilot)
        assert table(app).row.id == ("deploy", "2.1.0")  # type: ignore[union-attr]


async def test_notices_are_in_one_place(make_app: MakeApp) -> None:
    app: Any = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5", "N")
        text = preview(app)
        assert "data_pipeline 1.0.0" in text
        assert "1 schedule, 1 active run still on it" in text
        assert "reads the old feed; use 2.0.0" in text
        await go(pilot, "N")
        assert "still on it" not in preview(app)


async def test_removing_and_taking_back(port: FakePort, make_app: MakeApp) -> None:
    app: Any = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "1.0.0"))
        await settle(pilot)
        await go(pilot, "X", *"gone", "ctrl+s")
        assert ("remove_version", ("data_pipeline", "1.0.0", "gone")) in port.calls
        await settle(pilot)
        assert "nothing new starts on it: gone" in preview(app)
        await go(pilot, "U")
        assert ("restore_version", ("data_pipeline", "1.0.0")) in port.calls


async def test_an_alias_is_set_with_a_share(port: FakePort, make_app: MakeApp) -> None:
    app: Any = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("deploy", "2.0.0"))
        await settle(pilot)
        await go(pilot, "A", "tab", "backspace", "backspace", "backspace", "5", "0", "0", "ctrl+s")
        assert isinstance(app.screen, AliasDialog)
        assert "1 to 100" in str(app.screen.query_one("#fault", Static).content)
        await go(pilot, "backspace", "backspace", "5", "ctrl+s")
        assert ("set_alias", ("deploy", "stable", "2.1.0", "2.0.0", 55, "")) in port.calls


async def test_runs_are_tried_and_moved(port: FakePort, make_app: MakeApp) -> None:
    run = next(run for run in port.run_map.values() if run.workflow == "data_pipeline")
    for run_id in ("r1", "r2", "r3"):
        port.run_map[run_id] = replace(run, id=run_id, version="1.1.0", status="waiting")
    app: Any = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        await go(pilot, "m")
        assert isinstance(app.screen, MigrateDialog)
        await settle(pilot)
        said = str(app.screen.query_one("#runs", Static).content)
        assert "would move" in said
        assert "stays" not in said or "pause it" in said
        assert "stands on check → checks" in said
        state = app.screen.query_one("#state", TextArea).text
        assert json.loads(state) == (await port.run("r1")).state != {}
        assert "migrate_runs" not in names(port)
        button = app.screen.query_one("#move", Button)
        assert str(button.label).startswith("Move 2 runs")
        button.press()
        await settle(pilot)
        assert "migrate_runs" in names(port)
        assert "2 runs moved" in str(app.screen.query_one("#runs", Static).content)


async def test_one_run_is_moved_by_its_id_and_goes_back(port: FakePort, make_app: MakeApp) -> None:
    run = next(run for run in port.run_map.values() if run.workflow == "data_pipeline")
    port.run_map["r1"] = replace(run, id="r1", version="1.1.0", status="waiting")
    app: Any = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        await go(pilot, "m", "r", "1")
        button = app.screen.query_one("#move", Button)
        async with asyncio.timeout(20):
            while str(button.label) != "Move 1 run":
                await pilot.pause()
        await go(pilot, "tab", "tab", "enter")
        spec, _ = next(args for name, args in port.calls if name == "migrate_runs")
        assert (spec.run_ids, spec.from_version, spec.schedules) == (("r1",), None, False)
        assert str(button.label) == "Go back"
        await go(pilot, "enter")
        assert ("unmigrate_run", ("r1", "")) in port.calls
        assert "is back on" in str(app.screen.query_one("#runs", Static).content)


async def test_nothing_is_moved_before_the_preview_of_this_input(
    port: FakePort, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = next(run for run in port.run_map.values() if run.workflow == "data_pipeline")
    for run_id in ("r1", "r2"):
        port.run_map[run_id] = replace(run, id=run_id, version="1.1.0", status="waiting")
    app: Any = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        await go(pilot, "m")
        dialog = app.screen
        button = dialog.query_one("#move", Button)
        async with asyncio.timeout(20):
            while str(button.label) != "Move 2 runs":
                await pilot.pause()
        monkeypatch.setattr(alive, "QUIET", 3600.0)
        await pilot.press("r")
        await pilot.pause(0.05)
        assert button.disabled  # the preview is about another input
        dialog._move()  # as a click that was on its way
        await pilot.pause(0.05)
        assert "migrate_runs" not in names(port)
        monkeypatch.setattr(alive, "QUIET", 0.001)
        await pilot.press("backspace")
        async with asyncio.timeout(20):
            while button.disabled:
                await pilot.pause()
        button.press()
        await settle(pilot)
        assert "migrate_runs" in names(port)


@pytest.mark.parametrize("row", [("data_pipeline", "2.0.0"), ("deploy", "2.1.0")])
async def test_quit_is_in_the_footer_at_80_columns(make_app: MakeApp, row: tuple[str, str]) -> None:
    app: Any = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(row)
        await settle(pilot)
        keys = app.screen.query_one(KeyBar).drawn
        assert keys[-1].description == "Quit"
        assert sum(key.width for key in keys) <= 80
