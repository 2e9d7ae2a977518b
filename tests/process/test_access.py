"""The start and the status of an engine list who can use it, and the settings that have no effect."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace

pytestmark = pytest.mark.process


def victor(root: Path, state: Path, *arguments: str) -> str:
    words = victor_words(root, *arguments, state=state)
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_start_and_status_list_the_roles_and_the_socket(tmp_path: Path) -> None:
    home = Path(os.environ["HOME"])
    (home / ".victor").mkdir(parents=True)
    (home / ".victor" / "scheduler.yaml").write_text(
        "permissions: {viewer: ['@no-such-group'], operator: [root]}\n"
    )
    files = {"victor.yaml": "permissions:\n  admin: [daemon]\n", "w.yaml": "workflows: {}"}
    root, state = workspace(tmp_path, files), tmp_path / "state"
    started = victor(root, state, "scheduler", "start", "-d")
    try:
        status = victor(root, state, "scheduler", "status")
    finally:
        victor(root, state, "scheduler", "stop")
    for text in (started, status):
        assert "role viewer: @no-such-group (does not exist)\nrole operator: root\n" in text
        assert "root and the user of the engine are always admin" in text
        assert "socket /" in text
        assert "role admin" not in text
    assert f"{root}/victor.yaml:1:1: error: permissions has no effect in this layer" in status
    assert f"Write it to {home}/.victor/scheduler.yaml or /etc/victor/scheduler.yaml" in status
