"""A console that is opened over SSH and finds no engine: it offers a daemon, and remembers the answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.terminal import WITHIN, Terminal, needs_tmux
from victor_engine.cli.main import main
from victor_engine.service.engine_lock import engine_owner
from victor_tui.__main__ import parse_arguments
from victor_tui.__main__ import start_daemon as hand_over
from victor_tui.engine_choice import Choices, ask, over_ssh

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": "",
    "w.yaml": 'workflows: {w: {nodes: [{id: a, type: transform, transform: "n = 1"}]}}',
}
SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}


@needs_tmux
def test_ctrl_c_leaves_without_an_engine_and_without_a_choice(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    for _ in range(2):
        with Terminal(root, environment=SSH) as terminal:
            terminal.until("d or c [d]:")
            terminal.keys("C-c")
            limit = time.monotonic() + WITHIN
            while (code := terminal.ended) is None:
                assert time.monotonic() < limit
                time.sleep(0.05)
        assert code == 130
    assert engine_owner(root / ".state") is None


@needs_tmux
def test_a_daemon_outlives_the_connection_and_the_choice_is_remembered(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    stop = ["--workspace", str(root), "--state-dir", str(root / ".state"), "scheduler", "stop"]
    try:
        with Terminal(root, environment=SSH) as terminal:
            terminal.until("d  start a daemon", "d or c [d]:")
            terminal.text("x")
            terminal.keys("Enter")
            terminal.until("write d or c")
            terminal.keys("Enter")
            terminal.until("chedules", gone=["d or c"])
        owner = engine_owner(root / ".state")
        assert owner is not None, "the terminal has hung up, and the engine continues"
        assert owner.mode == "daemon"
        assert main(stop) == 0
        with Terminal(root, environment=SSH) as terminal:
            screen = terminal.until("chedules")
            assert "d or c" not in screen
        again = engine_owner(root / ".state")
        assert again is not None
        assert (again.mode, again.pid != owner.pid) == ("daemon", True)
    finally:
        assert main(stop) == 0


def test_the_answer_is_one_of_the_choices_and_belongs_to_a_workspace(tmp_path: Path) -> None:
    typed = iter(["what", "C"])
    assert ask(tmp_path, lambda prompt: next(typed)) == "console"
    assert ask(tmp_path, lambda prompt: "") == "daemon"
    choices = Choices(tmp_path / "state" / "choices.json")
    assert choices.of(tmp_path) is None
    choices.remember(tmp_path, "console")
    choices.remember(tmp_path / "other", "daemon")
    assert (choices.of(tmp_path), choices.of(tmp_path / "other")) == ("console", "daemon")
    choices.remember(tmp_path, None)
    assert choices.of(tmp_path) is None
    (tmp_path / "state" / "choices.json").write_text("[broken")
    assert choices.of(tmp_path / "other") is None


def test_ssh_is_known_by_its_environment() -> None:
    assert over_ssh(SSH)
    assert over_ssh({"SSH_TTY": "/dev/pts/1"})
    assert not over_ssh({"TERM": "xterm", "SSH_CONNECTION": ""})


def test_the_daemon_of_a_console_has_its_configuration_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execvpe", lambda _file, words, _env: started.append(list(words)))
    hand_over(parse_arguments(["--config", "own.yaml"]))
    hand_over(parse_arguments([]))
    assert started[0][-2:] == ["--config", str(tmp_path / "own.yaml")]
    assert "--config" not in started[1]
