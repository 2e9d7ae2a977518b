"""Start-up: what is imported when, which arguments there are, which colours a terminal gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from victor_tui.__main__ import main, parse_arguments
from victor_tui.config import theme_name


def loaded_after(statement: str) -> set[str]:
    """Top-level names and full names of what is loaded once `statement` has run in a new process."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_arguments_are_read_without_textual() -> None:
    modules = loaded_after("import victor_tui.__main__ as m; m.parse_arguments([])")
    assert not modules & {"textual", "rich", "msgspec", "asyncio"}


def test_the_first_frame_needs_no_engine() -> None:
    modules = loaded_after("import victor_tui.app")
    heavy = {"httpx", "jsonschema", "yaml", "croniter", "sqlite3", "pygments", "markdown_it"}
    heavy |= {"victor_engine.engine", "victor_engine.store.db", "victor_tui.inbox.screen"}
    assert not modules & heavy


def test_arguments() -> None:
    arguments = parse_arguments(["--workspace", "w", "--attach"])
    assert (arguments.workspace, arguments.attach, arguments.read_only) == ("w", True, False)


def test_version_needs_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("victor-tui ")


def test_without_a_terminal_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main([]) == 2
    assert "victor scheduler start" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("env", "theme"),
    [
        ({"TERM": "xterm-256color"}, "victor-dark"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "victor-dark"),
        ({"TERM": "xterm"}, "victor-ansi"),
        ({"TERM": "linux"}, "victor-ansi"),
        ({}, "victor-ansi"),
    ],
)
def test_the_theme_fits_the_terminal(env: dict[str, str], theme: str) -> None:
    assert theme_name(env) == theme


def test_what_is_done_in_the_console_carries_the_persons_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from victor_engine.identity import acting
    from victor_tui.app import VictorApp

    seen = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(VictorApp, "run", lambda self, **_: seen.append(acting()))
    assert main([]) == 0
    assert [(actor.uid, actor.via) for actor in seen] == [(os.getuid(), "console")]
