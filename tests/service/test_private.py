"""Files of an engine have permissions for its owner only."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import engine_on, workspace
from victor_engine.errors import ConfigError, PermissionDeniedError
from victor_engine.service.connect import open_engine
from victor_engine.service.paths import Paths

FILES = {
    "victor.yaml": "",
    "w.yaml": "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}",
}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def victor(root: Path, state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(root.parent)}
    return subprocess.run(
        victor_words(root, *words, state=state),
        capture_output=True,
        text=True,
        timeout=90,
        umask=0,
        env=environ,
        check=False,
    )


def stop(root: Path, state: Path) -> None:
    victor(root, state, "scheduler", "stop")
    deadline = time.monotonic() + 30
    while (state / "engine.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.process
def test_a_daemon_creates_private_files(tmp_path: Path, open_umask: None) -> None:
    root, state, pid = workspace(tmp_path, FILES), tmp_path / "deep" / "state", tmp_path / "run" / "pid"
    done = victor(root, state, "scheduler", "start", "--daemon", "--pid-file", str(pid))
    try:
        assert done.returncode == 0, done.stderr
        found = {path.name: rights(path) for path in (*state.iterdir(), pid)}
        assert {"engine.log", "engine.lock", "engine.sock", "victor.db", "pid"} <= set(found)
        assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
        assert [oct(rights(folder)) for folder in (state, state.parent, pid.parent)] == ["0o700"] * 3
    finally:
        stop(root, state)


@pytest.mark.process
@pytest.mark.parametrize("name", ["engine.log", "pid", "victor.db"])
def test_no_file_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    root, state = workspace(tmp_path, FILES), tmp_path / "state"
    state.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (state / name).symlink_to(precious)
    try:
        done = victor(root, state, "scheduler", "start", "--daemon", "--pid-file", str(state / "pid"))
    finally:
        stop(root, state)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "symbolic link" in done.stderr + done.stdout
    assert precious.read_text() == "keep"


async def test_the_permissions_of_others_on_a_state_directory_are_removed(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    state = root / ".state"
    state.mkdir()
    state.chmod(0o757)
    async with engine_on(root) as engine:
        messages = [problem.message for problem in engine.workspace.problems]
        assert rights(state) == 0o700
    assert messages == [
        f"other users could access the state directory {state} (0757); the engine has removed the permissions of "
        "group and others (0700)"
    ]
    async with engine_on(root) as engine:
        assert engine.workspace.problems == []


async def test_a_directory_that_does_not_belong_to_the_engine_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path, FILES)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(ConfigError, match="VICTOR_STATE"):
        await open_engine(Paths(root, shared))
    assert rights(shared) == 0o1777
    root.chmod(0o755)
    engine = await open_engine(Paths(root, root))
    assert ["contains the workspace" in problem.message for problem in engine.workspace.problems] == [True]
    await engine.close()
    assert rights(root) == 0o755
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: foreign.stat().st_uid + 1)
    with pytest.raises(PermissionDeniedError, match="VICTOR_STATE"):
        await open_engine(Paths(root, foreign))
    assert list(foreign.iterdir()) == []
