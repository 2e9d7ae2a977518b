"""The table of keys: every binding stands in it, and each global key has one meaning."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.widgets import Input, OptionList

import victor_tui
from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_console import go
from tests.tui.world import World
from tests.write_keys import PAGE, page
from victor_engine.api import RunQuery
from victor_tui.dialogs.help import HelpDialog
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.key_table import GLOBAL, SCOPES, SHARED, Key
from victor_tui.textual_compat import binding_chain
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.usefixtures("quick_keys")

ROWS = {key.id: key for keys in SCOPES.values() for key in keys}
SIGNS = {
    "slash", "question_mark", "equals_sign", "less_than_sign", "greater_than_sign", "asterisk", "full_stop",
    "exclamation_mark", "at", "colon", "left_square_bracket", "right_square_bracket", "delete", "shift+tab",
}  # fmt: skip
"""The keys beside letters, digits, F-keys, arrows and control keys that work over SSH."""
SAFE = re.compile(
    r"[a-zA-Z0-9]|f\d+|up|down|left|right|home|end|pageup|pagedown|enter|space|tab|escape|ctrl\+[ac-z]"
)
DECISIONS = re.compile(r"approve|reject|choose_|decide|answer_with|confirm", re.I)


def classes() -> Iterator[type[DOMNode]]:
    """Yield every screen, dialog and widget of the console."""
    for found in pkgutil.walk_packages(victor_tui.__path__, "victor_tui."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for _, each in inspect.getmembers(module, inspect.isclass):
            if issubclass(each, DOMNode) and each.__module__ == found.name:
                yield each


def own(owner: type[DOMNode]) -> list[Binding]:
    found = [each for each in owner.__dict__.get("BINDINGS", ()) if each is not None]
    assert all(isinstance(each, Binding) for each in found), owner
    return found


def test_every_binding_of_every_class_stands_in_the_table() -> None:
    seen: set[str | None] = set()
    for owner in classes():
        for binding in own(owner):
            row = ROWS.get(binding.id or "")
            assert row is not None, f"{owner.__name__}: add {binding.key} to victor_tui/key_table.py"
            said = (binding.key, binding.action, binding.description, binding.tooltip)
            assert said == (row.keys, row.action, row.name, row.about), owner
            seen.add(binding.id)
    assert set(ROWS) - seen == set(), "the table has keys that no class binds"


def test_no_class_handles_keys_beside_the_table() -> None:
    """Letters in a choice go to the option that starts with them; no other class has a handler."""
    handlers = {
        owner.__name__
        for owner in classes()
        for name in owner.__dict__
        if name in ("on_key", "_on_key") or name.startswith("key_")
    }
    assert handlers == {"One"}


def test_rows_have_an_id_texts_and_keys_that_work_over_ssh() -> None:
    assert len(ROWS) == sum(len(keys) for keys in SCOPES.values())
    for key in ROWS.values():
        assert key.name
        assert len(key.name) <= 14, f"{key.id}: the help has no space for a longer name"
        assert key.about
        for each in key.each:
            assert SAFE.fullmatch(each) or each in SIGNS, each


def test_a_global_key_has_one_meaning() -> None:
    meanings = {each: key.name for key in GLOBAL for each in key.each}
    assert len(meanings) == sum(len(key.each) for key in GLOBAL)
    assert not meanings.keys() & SHARED.keys()
    meanings |= SHARED
    for key in ROWS.values():
        for each in key.each:
            assert meanings.get(each, key.name) == key.name, f"{key.id}: {each} means {meanings[each]}"


def test_a_key_of_one_scope_has_one_action_at_a_time() -> None:
    """Two actions can share a key if they exclude each other: cancel and kill, pause and resume."""
    pairs = {("cancel", "kill"), ("resume", "retry"), ("pause", "resume"), ("claim", "release")}
    for scope, keys in SCOPES.items():
        found: dict[str, list[Key]] = {}
        for key in keys:
            for each in key.each:
                found.setdefault(each, []).append(key)
        for each, rows in found.items():
            commands = tuple(row.action.split("'")[1] for row in rows if "'" in row.action)
            assert len(rows) == 1 or commands in pairs, f"{scope}: {each}"


def test_no_decision_has_a_letter() -> None:
    for key in ROWS.values():
        if DECISIONS.search(f"{key.action} {key.name}"):
            assert not any(len(each) == 1 for each in key.each), key


async def _check_chain(app: Any) -> None:
    for node, bindings in binding_chain(app.screen):
        foreign = {
            each
            for owner in type(node).__mro__
            if owner.__module__.startswith("textual.") and getattr(owner, "_merged_bindings", None)
            for each in owner._merged_bindings.key_to_bindings
        }
        for key, found in bindings.key_to_bindings.items():
            for binding in found:
                row = ROWS.get(binding.id or "")
                if row is None:
                    assert key in foreign, (node, binding)
                else:
                    assert key in row.each
                    assert binding.description == row.name


async def test_the_bindings_of_the_open_screens_and_dialogs_stand_in_the_table(live: World) -> None:
    app: Any = console(live)
    places = [
        ("1",), ("1", "v"), ("1", "m"), ("1", "t"), ("1", "p"), ("1", "e"), ("1", "b"), ("1", "w"),
        ("2",), ("2", "n"), ("2", "K"), ("2", "enter"), ("2", "e"), ("2", "equals_sign"), ("2", "x"),
        ("3",), ("3", "enter"), ("3", "r"), ("3", "d"), ("4",), ("4", "v"), ("5",), ("5", "m"), ("5", "L"),
        ("1", "question_mark"), ("1", "q"),
    ]  # fmt: skip
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in places:
            await go(pilot, *keys)
            await _check_chain(app)
            for _ in range(3):
                await pilot.press("escape")


async def test_letters_decide_nothing_in_the_inbox(world: World) -> None:
    """No letter answers a request, also with enter and ctrl+s behind it."""
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "3")
        for letter in "yxcwYXn":
            await pilot.press("space", letter, "ctrl+s")
    assert not [name for name in world.names() if name == "answer"]


async def test_the_key_that_cancels_asks_first(live: World) -> None:
    app: Any = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "2", "K")
        await until(pilot, lambda: "Cancel run" in str(app.screen.query_one("#head").content))
        await pilot.press("escape")
    assert not [run for run in await live.runs(RunQuery()) if run.status == "cancelled" and run.error]


def test_the_page_of_keys_is_generated_from_the_table() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.write_keys"


def said(app: Any) -> list[str]:
    """Return the messages of the console, newest first."""
    return [each.text for each in app.session.told]


def lines(app: Any) -> str:
    """Return the lines of an open list."""
    found = app.screen.query_one("#lines", OptionList)
    return "\n".join(str(found.get_option_at_index(index).prompt) for index in range(found.option_count))


async def test_global_keys_act_on_every_screen_or_say_why_not(world: World) -> None:
    app: Any = console(world)
    keys = ("c", "full_stop", "asterisk", "ctrl+s", "equals_sign", "space", "u", "w", "left_square_bracket")
    screens = (("1",), ("1", "v"), ("1", "m"), ("2",), ("2", "enter"), ("2", "x"), ("3",), ("4",), ("5",))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for opening in screens:
            await go(pilot, *opening)
            for key in keys:
                before, screen = len(said(app)), app.screen
                marks = {each: set(each.marked) for each in screen.query(LineTable)}
                await go(pilot, key)
                acted = (
                    len(said(app)) > before
                    or app.screen is not screen
                    or any(each.marked != marks.get(each) for each in app.screen.query(LineTable))
                )
                assert acted, (opening, key)
                while app.screen is not screen and key != "left_square_bracket":
                    await go(pilot, "escape")
            while app.screen.is_modal:
                await go(pilot, "escape")
    assert world.names() == [], "looking changes nothing"


async def test_copying_going_back_and_listing(live: World) -> None:
    app: Any = console(live)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "2")
        await until(pilot, lambda: app.screen.current is not None)
        run = app.screen.current
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == run.id)
        assert any(f"Copied the run id: {run.id}." in text for text in said(app))
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == run.workflow)
        await go(pilot, "enter", "4", "left_square_bracket")
        assert app.screen.run_id == run.id
        await go(pilot, "left_square_bracket", "left_square_bracket")
        assert app.current_mode == "schedules"
        await go(pilot, "right_square_bracket", "right_square_bracket")
        assert app.screen.run_id == run.id
        await go(pilot, "exclamation_mark")
        assert "Copied the workflow" in lines(app)


async def test_actions_are_listed_as_commands_and_undone(live: World) -> None:
    app: Any = console(live)
    run_id = live.run_ids["busy"]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "2")
        app.screen.query_one("#runs", LineTable).select(run_id)
        await go(pilot, "p")
        await until(pilot, lambda: "pause_run" in live.names())
        await go(pilot, "at")
        assert f"victor runs pause {run_id}" in lines(app)
        await go(pilot, "c")
        await until(pilot, lambda: app.clipboard == f"victor runs pause {run_id}")
        await go(pilot, "escape", "u")
        assert f"pause run {run_id}" in str(app.screen.query_one("#body Static").content)
        assert "resume_run" not in live.names()
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: "resume_run" in live.names())
        await go(pilot, "u")
        await until(pilot, lambda: "Nothing to undo here" in said(app)[0])
        assert live.names() == ["pause_run", "resume_run"]
        await go(pilot, "a")
        await until(pilot, lambda: isinstance(app.screen, AnswerDialog))
        request = app.screen.request
        await go(pilot, "ctrl+t", *"not now", "tab", "right", "ctrl+s")
        await until(pilot, lambda: "answer" in live.names())
        await go(pilot, "at")
        listed = lines(app)
        assert f"victor inbox answer {request.id} reject --comment 'not now'" in listed


async def test_marking_a_range(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "2", "asterisk")
        assert "Mark the first row with space" in said(app)[0]
        await go(pilot, "space", "down", "down", "asterisk")
        assert app.screen.query_one("#runs", LineTable).marked_rows == app.screen.query_one("#runs").rows[:4]


async def test_the_command_line_completes_and_executes(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "1", "colon", *"run", "tab")
        assert app.screen.query_one(Input).value == "runs"
        await go(pilot, *" deploy failed", "enter")
        await until(pilot, lambda: app.current_mode == "runs")
        await until(pilot, lambda: app.screen.query_one(FilterBar).value == "deploy status:failed")
        await until(pilot, lambda: app.screen.query_one("#runs").rows)
        assert {(run.workflow, run.status) for run in app.screen.query_one("#runs").rows} == {
            ("deploy", "failed")
        }
        await go(pilot, "colon", *"dead letters", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "DeadScreen")
        await go(pilot, "colon", *"nonsense", "enter")
        assert "is not a command here" in str(app.screen.query_one("#error").content)
        await go(pilot, "escape", "colon", *"theme textual-light", "enter")
        await until(pilot, lambda: app.theme == "textual-light")


async def test_the_help_fits_a_page_and_works_in_dialogs(live: World) -> None:
    app: Any = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        for opening in (("1",), ("2",), ("2", "enter"), ("3",), ("4",), ("5",), ("1", "b")):
            await go(pilot, *opening, "f1")
            await until(pilot, lambda: isinstance(app.screen, HelpDialog))
            body = app.screen.query_one("#body")
            assert body.virtual_size.height <= body.size.height, opening
            await go(pilot, "escape", "escape", "escape")


async def test_the_help_of_a_form_lists_no_keys_that_never_apply_to_it(bare: RealPort) -> None:
    app: Any = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        for kind, fields, verdict in (
            ("input", {"input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}, False),
            ("approval", {}, True),
        ):
            app.push_screen(AnswerDialog(await bare.ask(kind, **fields)))
            await go(pilot, "f1")
            await until(pilot, lambda: isinstance(app.screen, HelpDialog))
            keys = str(app.screen.query_one("#keys").content)
            assert ("Approve" in keys, "Reject" in keys) == (verdict, verdict)
            assert "Send" in keys
            await go(pilot, "escape", "escape")
