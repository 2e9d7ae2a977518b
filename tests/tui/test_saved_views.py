"""Saved views of the inbox: saved and chosen by keys, and a broken file is reported and kept."""

from __future__ import annotations

import stat
from datetime import timedelta

import pytest
from textual.widgets import Input, Static

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_tui.app import VictorApp
from victor_tui.dialogs.views import SaveViewDialog, ViewsDialog
from victor_tui.saved_views import MAX_VIEWS, SavedView, ViewsError, read_views, save_view, views_path
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.paged_table import PagedTable


def workflows(app: VictorApp) -> list[str]:
    found = app.screen.query(PagedTable)
    return [row.workflow for row in found.first().rows] if found else []


async def test_a_view_is_saved_and_chosen_in_another_console(bare: RealPort) -> None:
    await bare.ask("approval", workflow="zebra", deadline=timedelta(hours=1))
    await bare.ask("approval", workflow="ant", deadline=timedelta(hours=2))
    await bare.ask("approval", workflow="other", deadline=timedelta(hours=3))
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: workflows(app) == ["zebra", "ant", "other"])
        await pilot.press("slash", *"workflow:a", "enter", "B")
        await until(pilot, lambda: workflows(app) == ["ant", "zebra"])
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SaveViewDialog))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "needs a name" in str(app.screen.query_one("#error", Static).content))
        await pilot.press(*"night", "ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, SaveViewDialog))
    path = views_path("inbox")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_views(path) == [SavedView("night", "workflow:a", "workflow")]
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: workflows(app) == ["zebra", "ant", "other"])
        await pilot.press("F")
        await until(pilot, lambda: isinstance(app.screen, ViewsDialog))
        await pilot.press("enter")
        await until(pilot, lambda: workflows(app) == ["ant", "zebra"])
        assert app.screen.query_one(FilterBar).value == "workflow:a"
        # The same as a command, after the filter was removed.
        app.screen.query_one(FilterBar).query_one(Input).value = ""
        await until(pilot, lambda: len(workflows(app)) == 3)
        await pilot.press("ctrl+p", *"view: night")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: workflows(app) == ["ant", "zebra"])
        # A broken file is reported with its place, and stays as it is.
        path.write_text('{"views": [{"name": ')
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SaveViewDialog))
        await pilot.press(*"x", "ctrl+s")
        await until(pilot, lambda: str(path) in str(app.screen.query_one("#error", Static).content))
        assert path.read_text() == '{"views": [{"name": '


def test_the_file_has_a_limit_and_keeps_all_other_views() -> None:
    path = views_path("inbox")
    for number in range(MAX_VIEWS):
        save_view(path, SavedView(f"v{number}"))
    with pytest.raises(ViewsError, match="100 views"):
        save_view(path, SavedView("one more"))
    save_view(path, SavedView("v3", "mine"))
    assert len(read_views(path)) == MAX_VIEWS
    path.write_text('{"views": [\n  {]')
    with pytest.raises(ViewsError, match=r"inbox-views.json:2:4: "):
        read_views(path)
    path.write_text('{"views": [], "future": 1}')
    with pytest.raises(ViewsError, match="future"):
        read_views(path)
