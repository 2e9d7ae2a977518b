"""The user's keymap: entries that are not possible are reported with their place, and the others work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.widgets._toast import Toast

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.test_keys import said
from tests.tui.world import World
from victor_tui import keys
from victor_tui.clipboard import way
from victor_tui.keymap import keymap_path, parse_keymap

pytestmark = pytest.mark.usefixtures("quick_keys")

PROGRAM = """
import json
from victor_tui.keymap import keymap_path, read_keymap
from victor_tui.keys import keymap_problems, use_keymap
use_keymap(read_keymap(keymap_path()))
from victor_tui.app import VictorApp
from victor_tui.runs.screen import RunsScreen
from victor_tui.schedules.screen import SchedulesScreen
found = {}
for owner in (VictorApp, RunsScreen, SchedulesScreen):
    for bindings in owner._merged_bindings.key_to_bindings.values():
        for each in bindings:
            found.setdefault(each.id, []).append(each.key)
found["problems"] = [each.partition(" (")[0] for each in keymap_problems()]
print(json.dumps({str(name): keys for name, keys in found.items()}))
"""
VISITOR = """
import sys
from textual.app import App
from victor_tui.serving import console
def run(app):
    found = app._bindings.key_to_bindings.values()
    print(*[each.key for bindings in found for each in bindings if each.id == "app.versions"])
App.run = run
sys.exit(console.main([]))
"""
"""The program of the console of a visitor, which prints a key of the application instead of drawing it."""
WRONG = [
    ("runs.cancel: X", None),
    ("app.copy: Y, ctrl+y\n", None),
    ("runs.pause: '['", "f:1:1: conflict: left_square_bracket is already the key of app.back"),
    ("app.quit: Q\nruns.cancel: c", "f:2:1: conflict: c is already the key of app.copy"),
    ("runs.cancel: b: c", "f:1:15: not YAML"),
    ("runs.cancle: X", "f:1:1: unknown id 'runs.cancle'; did you mean runs.cancel?"),
    ("runs.cancel: super+x", "f:1:1: 'super+x' is not a key"),
    ("runs.cancel: enter", "f:1:1: enter cannot be used"),
    ("runs.cancel: [a]", "f:1:1: not an id with keys"),
    ("runs.cancel: X\nruns.cancel: Y", "f:2:1: runs.cancel is given twice"),
    ("- a", "f:1:1: not a mapping"),
    ("app.quit: p", "f:1:1: conflict: p is already the key of schedules.pause"),
    ("answer.comment: ctrl+g", "f:1:1: conflict: ctrl+g is already the key of answer.back"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_a_problem_has_its_place_and_a_remedy(text: str, problem: str | None) -> None:
    found = parse_keymap(text, "f")
    if problem is None:
        assert found.problems == ()
        assert found.keys
    else:
        assert len(found.problems) == 1
        assert found.problems[0].startswith(problem)


def test_keys_can_be_exchanged() -> None:
    found = parse_keymap("runs.pause: z\nruns.active: p", "f")
    assert (dict(found.keys), found.problems) == ({"runs.pause": "z", "runs.active": "p"}, ())


def test_the_keys_of_the_file_are_those_of_the_classes() -> None:
    """In a process of its own: a class takes its keys when it is created."""
    path = keymap_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("app.versions: Q\nruns.pause: c\nschedules.pause: U\n")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    keys = json.loads(ended.stdout)
    assert keys["app.versions"] == ["Q"]
    assert keys["schedules.pause"] == ["U"]
    assert keys["schedules.resume"] == ["p"], "an action with the same key keeps it"
    assert keys["runs.pause"] == ["p"]
    assert keys["problems"] == [f"{path}:2:1: conflict: c is already the key of app.copy"]


async def test_many_problems_are_one_message_and_a_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"no.{number}: X\n" for number in range(6))
    monkeypatch.setattr(keys, "_used", parse_keymap(text, "f"))
    app = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.screen.query(Toast)) > 0)
        assert len(app.screen.query(Toast)) == 1
        told = said(app)
        assert told[0] == "6 entries of keymap.yaml are ignored; ! lists them"
        assert [each.partition(": ")[0] for each in told[1:]] == [f"f:{line}:1" for line in range(1, 7)]
        await go(pilot, "exclamation_mark")
        await until(pilot, lambda: type(app.screen).__name__ == "ListingDialog")


def test_a_console_in_a_browser_has_the_keys_of_the_file() -> None:
    path = keymap_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("app.versions: Q\n")
    ended = subprocess.run(
        [sys.executable, "-c", VISITOR], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout.split() == ["Q"]


def test_the_terminal_decides_how_a_text_is_copied() -> None:
    assert way(10, {"TERM": "xterm-256color"}) == "osc52"
    assert way(10, {"TERM": "screen-256color", "TMUX": "/tmp/x,1,0"}) == "tmux"
    assert way(10, {"TERM": "linux"}) == way(10, {"TERM": "vt100"}) == "file"
    assert way(100_000, {"TERM": "xterm"}) == "file"


async def test_a_text_that_is_too_long_for_the_terminal_gets_a_file(tmp_path: Path) -> None:
    from victor_tui.clipboard import clipboard_path, copy

    environ = {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path)}
    path, text = clipboard_path(environ), "x" * 100_000
    why = "because it is too long for this terminal's clipboard."
    assert await copy(App(), text, environ) == f" The text is in {path}, {why}"
    assert path.read_text() == text
    path.unlink()
    path.mkdir()
    assert await copy(App(), text, environ) == (
        f" The text is not in a clipboard, {why} {path} cannot be written: Is a directory."
    )


async def test_a_terminal_without_a_clipboard_gets_a_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from victor_tui.clipboard import clipboard_path

    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.delenv("TMUX", raising=False)
    app: Any = console(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "1")
        await until(pilot, lambda: app.screen.current is not None)
        await go(pilot, "c", "c", "c")
        await until(pilot, lambda: clipboard_path().exists())
        where = f"The text is in {clipboard_path()}, because this terminal has no clipboard."
        await until(pilot, lambda: where in said(app)[0])
        assert clipboard_path().read_text() == f"victor scheduler explain {app.screen.current.id}"
        await go(pilot, "ctrl+z")
        assert "q hands the engine to a daemon" in said(app)[0]
