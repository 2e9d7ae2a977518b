"""A console of a user with few roles, on a real engine that checks each call over its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Static

from tests.service.test_permissions import Served, serving
from tests.tui.conftest import until
from victor_engine.api import EventQuery, Port, RunQuery
from victor_engine.api.port import declared
from victor_tui.access import METHODS
from victor_tui.app import ROLES_SECONDS, VictorApp
from victor_tui.command_palette import ActionCommands
from victor_tui.dialogs.start_run import TriggerDialog
from victor_tui.inbox.answer_several_dialog import TogetherDialog
from victor_tui.key_table import SCOPES
from victor_tui.versions.migrate_dialog import MigrateDialog
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.key_bar import KeyBar, ShownKey
from victor_tui.widgets.table import LineTable


@asynccontextmanager
async def console_of(user: str, served: Served) -> AsyncIterator[Pilot[Any]]:
    async def connect() -> Port:
        return await served.client(user)

    app = VictorApp(connect, clock=served.clock, zone=UTC, theme="victor-dark", interval=0)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.feed.snapshots.get("caller"))
        yield pilot


def active(pilot: Pilot[Any], action: str) -> Binding | None:
    """Return the binding of an available action."""
    found = pilot.app.screen.active_bindings.values()
    return next((each.binding for each in found if each.binding.action == action and each.enabled), None)


def shown(pilot: Pilot[Any], action: str) -> ShownKey | None:
    bar = pilot.app.screen.query_one(KeyBar)
    return next((key for key in bar.keys if key.action == action), None)


def told(pilot: Pilot[Any]) -> list[str]:
    return [note.message for note in pilot.app._notifications]


async def test_an_action_without_the_role_is_disabled_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "This needs the role operator; ana has viewer. Ask root or owner for a role."
    async with serving(tmp_path, monkeypatch) as served, console_of("ana", served) as pilot:
        app = pilot.app
        request = await served.ask("anyone")
        await pilot.press("2")
        await until(pilot, lambda: active(pilot, "run_command('cancel')"))
        binding = active(pilot, "run_command('cancel')")
        assert binding is not None
        await until(pilot, lambda: shown(pilot, "run_command('cancel')"))
        key = shown(pilot, "run_command('cancel')")
        assert key is not None
        assert (key.enabled, key.tooltip) == (False, refused)

        await pilot.press(binding.key)
        assert told(pilot)[-1:] == [refused]
        await pilot.press("f5")
        assert "This needs the role admin; ana has viewer." in told(pilot)[-1]
        hits = [hit async for hit in ActionCommands(app.screen).discover()]
        assert refused in [hit.help for hit in hits]

        await pilot.press("3")
        await until(pilot, lambda: app.screen.query(LineTable) and app.screen.query_one(LineTable).rows)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.is_modal)
        assert "This needs the role approver; ana has viewer." in str(
            app.screen.query_one("#error", Static).visual
        )
        assert active(pilot, "submit") is None
        assert all(button.disabled for button in app.screen.query(Button) if button.id != "leave")
        await pilot.press("ctrl+s", "escape")

        kinds = {event.kind for event in await served.engine.events(EventQuery())}
        assert not kinds & {"run.cancelling", "workspace.loaded", "request.answered"}

        home = Path.home() / ".victor" / "scheduler.yaml"
        home.write_text(home.read_text().replace("[ben]", "[ben, ana]"))
        await served.engine.reload()
        await pilot.press("2")
        await until(pilot, lambda: (key := shown(pilot, "run_command('cancel')")) and key.enabled)
        await pilot.press(binding.key)
        await until(pilot, lambda: app.screen.is_modal)
        await pilot.press("ctrl+s")
        [run] = await served.engine.runs(RunQuery())
        assert run.id == request.run_id
        await until(pilot, lambda: not app.screen.is_modal)

        await loses_the_role_in_open_dialogs(pilot, served, home)


async def loses_the_role_in_open_dialogs(pilot: Pilot[Any], served: Served, home: Path) -> None:
    """A dialog that is open when its user loses the role is disabled, until the user has the role again."""
    app = pilot.app
    have = home.read_text().replace("[cy, ", "[cy, ana, ")  # noqa: ASYNC240
    lost = have.replace(", ana", "")

    async def with_roles(text: str) -> None:
        home.write_text(text)  # noqa: ASYNC240
        await served.engine.reload()
        for _ in range(ROLES_SECONDS):
            app._tick()

    def said() -> str:
        return str(app.screen.query_one("#error", Static).visual)

    asked = [await served.ask("anyone") for _ in range(2)]
    dialogs: tuple[tuple[Screen[Any], str, str], ...] = (
        (TriggerDialog("shop", {}), "start", "operator"),
        (TogetherDialog(asked), "yes", "approver"),
        (MigrateDialog("anyone", "0.0.1", "0.0.1"), "move", "operator"),
    )
    for dialog, name, role in dialogs:
        await with_roles(have)
        await app.push_screen(dialog)
        button = app.screen.query_one(f"#{name}", Button)
        await until(pilot, lambda: "This needs the role" not in said())
        await with_roles(lost)
        refused = f"This needs the role {role}; ana has viewer."
        await until(pilot, lambda button=button, refused=refused: button.disabled and refused in said())
        await with_roles(have)
        await until(pilot, lambda: "This needs the role" not in said())
        assert name == "move" or not button.disabled, "nothing can migrate here"
        await pilot.press("escape")


async def test_an_assignee_without_a_role_answers_in_the_inbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch) as served:
        await served.ask("anyone")
        mine = await served.ask("named")
        async with console_of("eve", served) as pilot:
            app = pilot.app
            await until(pilot, lambda: app.screen.query(LineTable) and app.screen.query_one(LineTable).rows)
            assert app.current_mode == "inbox"
            assert [row.id for row in app.screen.query_one(LineTable).rows] == [mine.id]
            header = app.screen.query_one(HeaderBar)
            assert "your requests only" in header.render_line(0).text
            await pilot.resize_terminal(60, 20)
            await until(pilot, lambda: header.size.width == 60)
            assert header.render_line(0).text.startswith((" victor  ", " victor ●"))
            await pilot.resize_terminal(80, 24)
            await pilot.press("1")
            assert app.current_mode == "inbox"
            assert told(pilot)[-1:] == [
                "This needs the role viewer; eve has no role. Ask root or owner for a role."
            ]
            await pilot.press("enter")
            await until(pilot, lambda: app.screen.is_modal)
            await pilot.press("left", "ctrl+s")
            await until(pilot, lambda: not app.screen.is_modal)
        assert [vote.actor.user for vote in (await served.engine.request(mine.id)).votes] == ["eve"]


def test_each_action_of_the_table_has_a_key_and_calls_a_method_of_the_port() -> None:
    assert set(METHODS.values()) <= set(declared())
    with_keys = {key.action for scope in SCOPES.values() for key in scope}
    assert {action.removeprefix("app.") for action in METHODS} <= with_keys
