"""Commands on many objects: progress, stop and report; and the lines of a table and of messages that cover nothing."""

from __future__ import annotations

import asyncio

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.widgets import Button, Input, OptionList, Static

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_console import go
from tests.tui.world import World
from victor_engine.errors import ConflictError, PermissionDeniedError
from victor_tui.dialogs.bulk import BulkDialog, BulkResult, progress_words, report_lines
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.dialogs.listing import ListingDialog
from victor_tui.versions.migrate_dialog import MigrateDialog
from victor_tui.widgets.columns import Column, draw_header, place_columns
from victor_tui.widgets.table_painter import row_sign


def test_faults_come_first_by_their_count() -> None:
    failed = {"it is held": [("a", 1)], "it was removed": [(f"b{number}", 2) for number in range(300)]}
    result = BulkResult(5_000, done=["x"] * 4_000, failed=failed)
    lines = [line.plain for line in report_lines(result)]
    assert lines[0] == "✗ 300 × it was removed"
    assert lines[101:104] == ["    and 200 more", "✗ it is held", "    a"]
    assert lines[-1] == "✓ and 3,900 more"
    assert "301 failed, 699 to go" in progress_words(result, "running").plain
    assert "stopped, 301 failed, 699 not tried" in progress_words(result, "stopped").plain


async def test_a_command_on_5000_objects_shows_its_progress_and_can_be_stopped(bare: RealPort) -> None:
    halfway, gate = asyncio.Event(), asyncio.Event()

    async def act(number: int) -> None:
        if number >= 2_500:
            halfway.set()
            await gate.wait()
        if number % 100 == 7:
            raise ConflictError("it was changed just now by bo")

    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = BulkDialog("Pause 5000 schedules", range(5_000), act)
        app.push_screen(dialog)
        await halfway.wait()
        await until(pilot, lambda: "50%" in str(dialog.query_one("#count", Static).visual))
        assert "2,475 of 5,000 done" in str(dialog.query_one("#head", Static).visual)
        await pilot.press("escape")
        assert "stopping, 25 failed" in str(dialog.query_one("#count", Static).visual)
        gate.set()
        await until(pilot, lambda: "not tried" in str(dialog.query_one("#count", Static).visual))
        await until(pilot, lambda: str(dialog.query_one(Button).label) == "Close")
        assert len(dialog.result.failed_items) == 26
        assert 2_400 < dialog.result.left < 2_500
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not dialog)

        async def refused(_: int) -> None:
            raise PermissionDeniedError("this needs the role operator")

        dialog = BulkDialog("Pause", range(5_000), refused)
        app.push_screen(dialog)
        await until(
            pilot, lambda: dialog.is_mounted and "not tried" in str(dialog.query_one("#count", Static).visual)
        )
        assert dialog.result.failures < 20
        assert "No further action starts" in str(dialog.query_one("#error", Static).visual)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not dialog)


@pytest.mark.parametrize(
    ("gone", "marked", "on_cursor", "sign"),
    [(True, True, True, "×"), (False, True, True, "»"), (False, True, False, "•"), (False, False, True, "›")],
)
def test_cursor_and_mark_are_seen_without_colours(
    gone: bool, marked: bool, on_cursor: bool, sign: str
) -> None:
    assert row_sign(gone=gone, marked=marked, on_cursor=on_cursor) == sign


def test_the_note_about_new_rows_covers_no_title() -> None:
    columns = [
        Column[int]("a", "Workflow", 20, lambda *_: ("", "plain")),
        Column[int]("b", "Version", 9, lambda *_: ("", "plain")),
        Column[int]("c", "Identifier", 10, lambda *_: ("", "plain")),
    ]
    note = Segment(" 12 new · . ")
    strip = draw_header(place_columns(columns, 45), None, False, 46, Style.null(), note)
    text = "".join(segment.text for segment in strip)
    assert len(text) == 46
    assert all(words in text for words in ("Workflow", "Version", "Identifier", "12 new · ."))


async def test_messages_cover_nothing_and_are_listed(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "1", "down")
        for number in range(3):
            app.notify(f"Message {number}", severity="error", title="Error", markup=False)
        rack = app.screen.query_one("ToastRack")
        await until(pilot, lambda: rack.region.height >= 2)
        for name in ("HeaderBar", "KeyBar", "LineTable", "Preview"):
            assert not rack.region.overlaps(app.screen.query_one(name).region), name
        await app.push_screen(ConfirmDialog("Cancel the run?", "Its nodes are stopped. " * 200))
        await until(pilot, lambda: app.screen.is_modal and app.screen.query_one("ToastRack").region.height)
        rack = app.screen.query_one("ToastRack")
        await until(pilot, lambda: not rack.region.overlaps(app.screen.query_one("#actions").region))
        assert not rack.region.overlaps(app.screen.query_one("#box").region)
        assert app.screen.query_one("#head").region.y < rack.region.y
        await go(pilot, "escape", "exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, ListingDialog))
        lines = app.screen.query_one("#lines", OptionList)
        listed = "\n".join(str(option.prompt) for option in lines.options)
        assert all(f"Message {number}" in listed for number in range(3))


async def test_ctrl_s_migrates_what_the_dry_run_showed_and_nothing_else(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = MigrateDialog("data_pipeline", "1.1.0", "2.0.0")
        app.push_screen(dialog)

        def shown(part: str) -> str:
            return str(dialog.query_one(part, Static).visual)

        async def planned(label: str) -> None:
            button = dialog.query_one("#move", Button)
            await until(pilot, lambda: str(button.label).startswith(label) and not button.disabled)

        await until(pilot, lambda: dialog.is_mounted)
        await planned("Migrate 3 runs")
        await pilot.press("x")  # the id of no run
        await until(pilot, lambda: "run 'x' does not exist" in shown("#runs"))
        await pilot.press("ctrl+s")
        assert shown("#error") == "Nothing to migrate yet: the lines above say why."
        await pilot.press("backspace")
        await planned("Migrate 3 runs")
        assert "migrate_runs" not in world.names()
        assert isinstance(app.focused, Input)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "3 runs migrated" in shown("#runs"))
    moved = [await world.run(world.run_ids[f"moving-{number}"]) for number in range(3)]
    assert [each.run.version for each in moved] == ["2.0.0"] * 3
