"""Things are found by name: in the palette, with commands, and with the filter of each list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.widgets import Input, OptionList

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.test_keys import said
from tests.tui.world import World
from victor_engine.api import Found
from victor_engine.api.roles import Role
from victor_tui import found_actions
from victor_tui.command_words import as_filter, complete_argument
from victor_tui.found_actions import actions_on, take
from victor_tui.found_commands import listed, parse
from victor_tui.recent_things import RecentThings
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.usefixtures("quick_keys")


def options(app: Any) -> list[str]:
    """Return the lines of the palette."""
    if not isinstance(app.screen, CommandPalette):
        return []
    found = app.screen.query_one(OptionList)
    return [str(found.get_option_at_index(index).prompt) for index in range(found.option_count)]


async def pick(pilot: Any, words: str, wanted: str) -> None:
    """Open the palette, search, and choose the first line with a text."""
    app = pilot.app
    await go(pilot, "ctrl+p")
    await until(pilot, lambda: isinstance(app.screen, CommandPalette))
    app.screen.query_one(Input).value = words
    await until(pilot, lambda: any(wanted in each for each in options(app)))
    found = app.screen.query_one(OptionList)
    found.highlighted = next(i for i, each in enumerate(options(app)) if wanted in each)
    await go(pilot, "enter")
    if isinstance(app.screen, CommandPalette):
        await go(pilot, "enter")


def test_the_first_word_of_a_search_can_be_an_action_or_a_kind() -> None:
    assert parse("pause nightly") == ("Pause", ("schedule", "run"), "nightly")
    assert parse("runs nightly") == (None, ("run",), "nightly")
    assert parse("q ship it") == (None, ("request",), "ship it")
    assert parse("pau")[2] == "pau"
    assert parse("deploy 2.1")[2] == "deploy 2.1"


def test_the_state_of_a_thing_decides_its_actions() -> None:
    running = Found("run", "k1", "deploy", "deploy", "running")
    done = Found("run", "k2", "deploy", "deploy", "succeeded")
    names = {
        found.id: [action.name for action in actions] for found, actions in listed([running, done], "Cancel")
    }
    assert names == {"k1": ["Cancel"], "k2": []}
    assert [len(actions) for _, actions in listed([running, done], None)] == [4, 1]


def test_what_was_opened_last_is_listed_first() -> None:
    things = [Found("workflow", name, name, name) for name in ("a", "b", "c")]
    recent = RecentThings()
    recent.add(things[2])
    recent.add(things[1])
    assert [each.id for each in recent.first(things)] == ["b", "c", "a"]


def test_words_of_a_command_are_completed_by_the_screen() -> None:
    assert complete_argument("runs deploy fai", "runs", ["fairway"]) == [
        "runs deploy fairway",
        "runs deploy failed",
    ]
    assert complete_argument("inbox over", "inbox", []) == ["inbox overdue"]
    assert as_filter("runs", "deploy failed") == "deploy status:failed"
    assert as_filter("inbox", "failed") == "failed"


async def test_the_palette_finds_things_and_acts_on_them(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await go(pilot)
        await pick(pilot, "nightly_backup", "Resume · schedule nightly_backup")
        await until(pilot, lambda: "resume_schedule" in world.names())
        assert app.screen.current.spec.workflow == "nightly_backup"
        assert app.screen.query_one(FilterBar).value == f"schedule:{app.screen.current.id}"
        run = world.run_ids["failed"]
        await pick(pilot, run[:14], f"run deploy {run}")
        await until(pilot, lambda: getattr(app.screen, "run_id", "") == run)
        await pick(pilot, "deploy 2.0.0", "version deploy 2.0.0")
        await until(pilot, lambda: app.current_mode == "versions" and app.screen.current is not None)
        await until(pilot, lambda: app.screen.current.id == ("deploy", "2.0.0"))
        await go(pilot, "ctrl+p")
        await until(pilot, lambda: any("version deploy 2.0.0" in each for each in options(app)[:1]))
        await go(pilot, "escape")
        await pick(pilot, "request deploy", "request ")
        await until(pilot, lambda: type(app.screen).__name__ == "AnswerDialog")


async def test_a_slow_search_blocks_no_key_and_a_dialog_keeps_its_input(world: World) -> None:
    app: Any = console(world)
    world.gates["find"] = asyncio.Event()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await go(pilot, *"trigger")
        assert app.screen.query_one(Input).value == "trigger"
        await until(pilot, lambda: any(each.startswith("Trigger") for each in options(app)))
        world.gates.pop("find").set()
        await until(pilot, lambda: world.reads and world.reads[-1][0] == "find")
        await go(pilot, "escape", "escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await go(pilot, "1", "p", *"typed", "ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        before = len(world.reads)
        app.screen.query_one(Input).value = "nightly"
        await pilot.pause(0.3)
        assert "find" not in [name for name, _ in world.reads[before:]]
        assert not any("schedule" in each for each in options(app))
        while isinstance(app.screen, CommandPalette):
            await go(pilot, "escape")
        assert type(app.screen).__name__ == "PauseDialog"


async def test_an_action_without_its_role_is_shown_with_the_role(world: World) -> None:
    world.roles = (Role.VIEWER,)
    app: Any = console(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await go(pilot)
        await pick(pilot, "trigger nightly", "Trigger · schedule nightly_backup")
        await until(pilot, lambda: any("needs the role operator" in each for each in said(app)))
        assert world.names() == []


async def test_an_action_on_a_thing_that_changed_meanwhile_names_the_thing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The palette can show a state that is old, or a thing that was removed since."""
    monkeypatch.setattr(found_actions, "WAIT_SECONDS", 0.2)
    run = world.run_ids["failed"]
    old = Found("run", run, "deploy", "deploy", "running")
    removed = Found("schedule", "none", "deploy", "deploy")
    app: Any = console(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await go(pilot)
        await take(app, removed, next(each for each in actions_on(removed) if each.name == "Pause"))
        assert said(app)[0] == "The schedule deploy none is not loaded yet. Try again in a moment."
        monkeypatch.setattr(found_actions, "WAIT_SECONDS", 20)
        await take(app, old, next(each for each in actions_on(old) if each.name == "Pause"))
        assert said(app)[0] == (
            f"The run deploy {run} cannot be changed now: pause does not apply to its state. w explains the state."
        )
        assert world.names() == []


async def test_the_arguments_of_a_command_are_completed(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "colon", *"versions data")
        shown = app.screen.query_one("#completions")
        await until(pilot, lambda: "versions data_pipeline" in str(shown.content))
        await go(pilot, "tab", "enter")
        await until(pilot, lambda: app.current_mode == "versions" and app.screen.query_one("#versions").rows)
        assert {row.info.workflow for row in app.screen.query_one("#versions").rows} == {"data_pipeline"}


async def test_every_list_has_a_filter(world: World) -> None:
    """Letters in the filter of the versions, of the dead letters and of a picker start no command."""
    app: Any = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "5", "slash", *"DXdeploy")
        assert app.screen.query_one("#versions").rows == []
        assert "Nothing" not in app.screen.query_one("#versions").empty
        await go(pilot, "escape", "slash", *"reindex", "enter")
        assert {row.info.workflow for row in app.screen.query_one("#versions").rows} == {"reindex"}
        await go(pilot, "2", "x", "slash", *"host_health", "enter")
        await until(pilot, lambda: app.screen.query_one("#dead", LineTable).rows)
        assert {row.workflow for row in app.screen.query_one("#dead", LineTable).rows} == {"host_health"}
        await go(pilot, "escape", "2", "n", "slash", *"purge", "enter", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "TriggerDialog")
        assert world.names() == []
