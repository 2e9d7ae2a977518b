"""The paths of the workspace, of its state directory and of its socket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from victor_engine.errors import ConfigError, PermissionDeniedError
from victor_engine.service.paths import (
    SERVICE_STATE_DIR,
    SOCKET_PATH_LIMIT,
    find_workspace,
    locate,
    make_socket_directory,
    socket_path,
    state_directory,
)


def test_the_nearest_workspace_upwards_is_used(tmp_path: Path) -> None:
    deep = tmp_path / "outer" / "inner" / "sub"
    deep.mkdir(parents=True)
    env = {"HOME": str(tmp_path)}
    assert find_workspace(cwd=deep, environ=env) == tmp_path / ".victor"
    (tmp_path / "outer" / "victor.yaml").touch()
    assert find_workspace(cwd=deep, environ=env) == tmp_path / "outer"
    (tmp_path / "outer" / "inner" / "victor.yaml").touch()
    assert find_workspace(cwd=deep, environ=env) == tmp_path / "outer" / "inner"
    assert find_workspace(tmp_path / "outer" / "victor.yaml", cwd=deep) == tmp_path / "outer"
    with pytest.raises(ConfigError, match="is not a directory"):
        find_workspace(tmp_path / "nowhere", cwd=deep)


def test_the_state_directory_depends_on_the_workspace_and_the_environment(tmp_path: Path) -> None:
    env = {"HOME": "/home/x"}
    one, other = tmp_path / "a" / "my flows", tmp_path / "b" / "my flows"
    found = state_directory(one, environ=env)
    assert found.parent == Path("/home/x/.local/state/victor")
    assert found.name.startswith("my-flows-")
    assert state_directory(other, environ=env) != found
    assert state_directory(one, environ={**env, "XDG_STATE_HOME": "/s"}).parent == Path("/s/victor")
    assert state_directory(one, environ={**env, "XDG_STATE_HOME": "relative"}) == found
    assert state_directory(one, environ={**env, "VICTOR_STATE": "/v"}, service=True) == Path("/v")
    assert state_directory(one, environ=env, service=True) == SERVICE_STATE_DIR


def test_locating_paths_creates_none(tmp_path: Path) -> None:
    paths = locate(tmp_path, environ={"HOME": str(tmp_path / "home")})
    assert (paths.db_path.name, paths.lock_path.name) == ("victor.db", "engine.lock")
    assert list(tmp_path.iterdir()) == []
    paths.make()
    assert paths.state_dir.stat().st_mode & 0o777 == 0o700


def test_a_long_socket_path_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    assert socket_path(Path("/s")) == Path("/s/engine.sock")
    long = Path("/" + "x" * SOCKET_PATH_LIMIT)
    short = socket_path(long, {"XDG_RUNTIME_DIR": "/run/user/7"})
    assert short.parent == Path("/run/user/7/victor")
    assert socket_path(long, {}).parent == Path(f"/tmp/victor-{os.getuid()}")
    assert socket_path(long, {"XDG_RUNTIME_DIR": str(long)}).parent == Path(f"/tmp/victor-{os.getuid()}")
    assert socket_path(Path("/" + "é" * 60), {}).parent == Path(f"/tmp/victor-{os.getuid()}")
    assert socket_path(long, {}) != socket_path(long / "y", {})


def test_a_socket_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    make_socket_directory(tmp_path / "mine" / "engine.sock")
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionDeniedError, match="chmod 700"):
        make_socket_directory(tmp_path / "open" / "engine.sock")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(PermissionDeniedError):
        make_socket_directory(tmp_path / "link" / "engine.sock")
