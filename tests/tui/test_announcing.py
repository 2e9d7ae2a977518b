"""Who is told what, how often, and what the terminal around the console is sent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_tui import attention, terminal_notifications
from victor_tui.app import VictorApp
from victor_tui.config import console_settings
from victor_tui.terminal_notifications import Desktop, desktop_of, find_desktop, terminal_title

WILD = "x\x1b]0;owned\x07\x9d9;y\x9c\x1bPtmux;\x1b\\ \u202egnp; 4;1;50\nnext"


@pytest.mark.parametrize(
    ("env", "protocol"),
    [
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "osc9"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "osc9"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "osc777"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "240200"}, "osc777"),
        ({"TERM": "xterm-ghostty"}, "osc777"),
        ({"TERM": "xterm-kitty"}, "osc9"),
        ({"TERM": "foot-extra"}, "osc777"),
        ({"TERM": "screen-256color", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-kitty", "STY": "1.pts"}, None),
        ({}, None),
    ],
)
async def test_only_terminals_that_are_known_are_sent_notifications(
    env: dict[str, str], protocol: str | None
) -> None:
    assert desktop_of(env) == Desktop(protocol)  # type: ignore[arg-type]
    assert await find_desktop("auto", env) == Desktop(protocol)  # type: ignore[arg-type]
    for setting in ("bell", "none"):
        assert await find_desktop(setting, env) == Desktop()
    assert await find_desktop("osc777", env) == Desktop("osc777")
    assert await find_desktop("osc9", {**env, "TEXTUAL_DRIVER": "web"}) == Desktop(), "a browser"


@pytest.mark.parametrize(
    ("passthrough", "outside", "setting", "expected"),
    [
        ("off", "iTerm2 3.5\txterm-256color", "auto", Desktop()),
        ("off", "iTerm2 3.5\txterm-256color", "osc9", Desktop()),
        ("", "", "osc9", Desktop()),
        ("on", "iTerm2 3.5\txterm-256color", "auto", Desktop("osc9", True)),
        ("all", "\txterm-kitty", "auto", Desktop("osc9", True)),
        ("on", "XTerm(379)\txterm-256color", "auto", Desktop(None, True)),
        ("on", "XTerm(379)\txterm-256color", "osc777", Desktop("osc777", True)),
    ],
)
async def test_inside_of_tmux_only_what_it_lets_through(
    monkeypatch: pytest.MonkeyPatch, passthrough: str, outside: str, setting: str, expected: Desktop
) -> None:
    async def answer(env: Any, command: str, *words: str) -> str:
        return passthrough if command == "show-options" else outside

    monkeypatch.setattr(terminal_notifications, "_ask_tmux", answer)
    assert await find_desktop(setting, {"TERM": "tmux-256color", "TMUX": "/x,1,0"}) == expected


async def test_a_tmux_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "TMUX": "/nowhere,1,0", "TERM": "tmux"}
    assert await find_desktop("auto", env) == Desktop()


def test_nothing_in_a_text_ends_the_sequence() -> None:
    nine = Desktop("osc9").notification(WILD, WILD)
    assert (nine[:12], nine[-1]) == ("\x1b]9;victor: ", "\x07")
    assert all(ord(char) >= 0x20 and not 0x7F <= ord(char) < 0xA0 for char in nine[2:-1])
    assert "\u202e" not in nine
    seven = Desktop("osc777").notification(WILD, WILD)
    assert seven.startswith("\x1b]777;notify;victor: ")
    assert seven[2:].count(";") == 3, "no field more than there are"
    through = Desktop("osc777", True).notification(WILD, WILD)
    assert through == "\x1bPtmux;\x1b" + seven + "\x1b\\"
    assert terminal_title(WILD)[4:-1].isprintable()
    assert Desktop().notification("a", "b") == ""


def test_the_setting_comes_from_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert console_settings(tmp_path).notify == "auto"
    (tmp_path / "victor.yaml").write_text("console: {notify: bell}\n")
    assert console_settings(tmp_path).notify == "bell"
    monkeypatch.setenv("VICTOR_CONSOLE_NOTIFY", "none")
    assert console_settings(tmp_path).notify == "none"


def toasts(app: VictorApp) -> list[str]:
    return [each.message for each in app._notifications if "new" in each.title.lower()]


async def test_a_batch_shares_one_toast_and_the_newer_replaces_the_older(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = console(bare)
    monkeypatch.setattr(attention, "_GATHER", 1.0)  # seconds of the machine
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "requests" in app.feed.snapshots)
        for number in range(5):
            await bare.ask("approval", title=f"Number {number}")
        await until(pilot, lambda: toasts(app))
        assert len(toasts(app)) == 1
        assert "and 2 more" in toasts(app)[0]
        await bare.ask("approval", title="The last", deadline=None)
        await until(pilot, lambda: "The last" in str(toasts(app)))
        assert len(toasts(app)) == 1


async def test_what_asks_others_does_not_ring(bare: RealPort, monkeypatch: pytest.MonkeyPatch) -> None:
    app = console(bare)
    rings: list[bool] = []
    monkeypatch.setattr(app, "bell", lambda: rings.append(True))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "requests" in app.feed.snapshots)
        await bare.ask("approval", title="Theirs", assignees=("bo",))
        mine = {"reminders": ["30s"], "escalate_to": "@leads"}
        await bare.ask("approval", title="Mine", assignees=("ana",), deadline=timedelta(seconds=60), **mine)
        await until(pilot, lambda: toasts(app))
        assert "Theirs" not in toasts(app)[0]
        assert rings == [True]
        await bare.clock.advance(31)
        await until(pilot, lambda: "reminder: deploy · Mine" in str(toasts(app)))
        app.announcer.setting = "none"
        await bare.clock.advance(30)
        await until(pilot, lambda: "escalated: deploy · Mine" in str(toasts(app)))
        assert rings == [True, True]


async def test_what_is_open_is_not_announced_over_its_dialog(bare: RealPort) -> None:
    app = console(bare)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "requests" in app.feed.snapshots)
        asked = await bare.ask("approval")
        await until(pilot, lambda: asked.id in app.announcer._asked)
        app.run_worker(app.dialogs.answer_request(asked))
        await until(pilot, lambda: len(app.screen_stack) > 1)
        assert asked.id not in app.announcer._asked


async def test_what_was_to_be_announced_when_the_console_ends_is_dropped(bare: RealPort) -> None:
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.feed.port)
        await pilot.pause()
        await bare.ask("approval")
        await until(pilot, lambda: app.announcer._asked)
    await app.announcer._announce_requests()  # as the timer does that was due meanwhile
    assert not app.announcer._asked
