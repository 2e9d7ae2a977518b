"""The socket of an engine with permissions: its path, its mode, and the other users who connect to it."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.engine.support import ME
from tests.service import second_user
from tests.service.engines import daemon, record_of
from tests.service.second_user import SECOND, Shell
from victor_engine.cli.main import main
from victor_engine.engine import Engine
from victor_engine.errors import ConfigError
from victor_engine.identity import acting_as
from victor_engine.service import engine_record
from victor_engine.service.client import Client
from victor_engine.service.connect import attach, find, open_engine
from victor_engine.service.engine_lock import engine_owner
from victor_engine.service.paths import Paths, workspace_name

VIEWER = "permissions: {viewer: [nobody]}\n"


def configure(folder: Path, text: str) -> None:
    """Write the file of the user of the engine."""
    file = folder / "home" / ".victor" / "scheduler.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def mode_of(path: Path | str) -> int:
    info = os.stat(path)
    assert stat.S_ISSOCK(info.st_mode)
    return stat.S_IMODE(info.st_mode)


async def open_here(folder: Path, root: Path, state: str = "state") -> Engine:
    with acting_as(ME):
        return await open_engine(Paths(root, folder / state))


async def messages(engine: Engine) -> list[str]:
    return [problem.message for problem in (await engine.engine()).problems]


@pytest.mark.process
def test_another_user_with_a_role_needs_no_file_of_the_state_directory(
    folder: Path, root: Path, second: Shell
) -> None:
    second_user.need_root()
    configure(folder, VIEWER)
    state = folder / "state"
    words = ("--workspace", str(root))
    with daemon(folder, root, state) as engine:
        sock = folder / "run" / workspace_name(root) / "engine.sock"
        assert mode_of(sock) == 0o666
        assert stat.S_IMODE(sock.parent.stat().st_mode) == 0o755
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in state.iterdir()} == {0}
        status = second.run(*words, "scheduler", "status")
        assert status.returncode == 0, status.stderr
        assert f"run by root, socket {sock}, state directory {state}" in status.stdout
        for command in (("inbox", "list"), ("runs", "list"), ("scheduler", "list"), ("versions", "list")):
            ended = second.run(*words, *command)
            assert ended.returncode == 0, (command, ended.stderr)
        ended = second.run(*words, "--state-dir", str(state), "inbox", "list")
        assert ended.returncode == 0, ended.stderr
        refused = second.run(*words, "scheduler", "stop")
        assert refused.returncode == 6
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        assert sock.exists()
        stale = second.run(*words, "runs", "list")
        assert f"the engine of root (process {engine.pid}) of {root} has ended" in stale.stderr
    with daemon(folder, root, state):
        assert second.run(*words, "inbox", "list").returncode == 0


@pytest.mark.process
def test_a_user_without_a_role_gets_one_plain_line(folder: Path, root: Path, second: Shell) -> None:
    second_user.need_root()
    configure(folder, "permissions: {viewer: [daemon]}\n")
    with daemon(folder, root, folder / "state"):
        ended = second.run("--workspace", str(root), "inbox", "list")
    assert ended.returncode == 6
    assert ended.stderr.startswith(
        "error: permission denied: nobody cannot use the engine of root, ask root for a role"
    )
    assert len(ended.stderr.splitlines()) == 1


async def test_a_configured_socket_is_found_without_a_runtime_directory(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("VICTOR_RUNTIME", str(folder / "file" / "run"))
    path = folder / "socket" / "victor.sock"
    configure(folder, f"{VIEWER}socket: {{path: {path}}}\n")
    engine = await open_here(folder, root)
    try:
        assert mode_of(path) == 0o666
        owner = engine_owner(folder / "state")
        assert owner is not None
        assert owner.socket == str(path)
        assert [record.socket for record in engine_record.find(root, configured=[path])] == [str(path)]
        port = await attach(find(root), "cli")
        assert port is not None
        assert (await port.engine()).socket == str(path)
        await port.close()
        (folder / "other").mkdir()
        with pytest.raises(ConfigError, match="another engine listens on"):
            await open_here(folder, folder / "other", "second")
    finally:
        await engine.close()
    assert list(path.parent.iterdir()) == []


async def test_without_a_usable_directory_the_socket_stays_private(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("VICTOR_RUNTIME", str(folder / "file"))
    configure(folder, VIEWER)
    engine = await open_here(folder, root)
    try:
        assert mode_of(folder / "state" / "engine.sock") == 0o600
        (message,) = [text for text in await messages(engine) if "other users cannot connect" in text]
        assert f"{folder / 'file'} is not a directory" in message
        assert "Set socket.path" in message
    finally:
        await engine.close()
    with pytest.raises(SystemExit):
        main(["--workspace", str(root), "validate", str(root)])
    output = capsys.readouterr().out
    assert "Set socket.path" in output
    assert f"{folder / 'home' / '.victor' / 'scheduler.yaml'}:1:" in output


@pytest.mark.parametrize(
    ("mode", "owner", "reason"),
    [
        (0o777, 0, "all users can write to"),
        (0o755, SECOND, "belongs to nobody"),
        (0o775, 0, "its group can write"),
    ],
)
async def test_a_path_that_another_user_could_replace_is_refused(
    folder: Path, root: Path, mode: int, owner: int, reason: str
) -> None:
    second_user.need_root()
    (folder / "open" / "deep").mkdir(parents=True)
    (folder / "open").chmod(mode)
    os.chown(folder / "open", owner, owner)
    configure(folder, f"{VIEWER}socket: {{path: {folder}/open/deep/victor.sock}}\n")
    with pytest.raises(ConfigError, match=f"socket.path: .* cannot be used: .*{reason}"):
        await open_here(folder, root)
    assert list((folder / "open" / "deep").iterdir()) == []
    assert list((folder / "run").iterdir()) == []


async def test_a_group_narrows_the_socket(folder: Path, root: Path, second: Shell) -> None:
    second_user.need_root()
    group = grp.getgrgid(1)
    configure(folder, f"{VIEWER}socket: {{group: {group.gr_name}}}\n")
    engine = await open_here(folder, root)
    try:
        path = (await engine.engine()).socket
        assert (mode_of(path), os.stat(path).st_gid) == (0o660, 1)
        ended = await asyncio.to_thread(second.run, "--workspace", str(root), "inbox", "list")
        assert ended.returncode == 6
        assert f"ask root to add you to the group {group.gr_name} (socket.group)" in ended.stderr
    finally:
        await engine.close()
    configure(folder, f"{VIEWER}socket: {{group: no-such-group}}\n")
    with pytest.raises(ConfigError, match="the group no-such-group does not exist"):
        await open_here(folder, root)
    configure(folder, f"socket: {{group: {group.gr_name}}}\n")
    engine = await open_here(folder, root)
    try:
        assert mode_of(folder / "state" / "engine.sock") == 0o600
        assert any(
            "socket.group has no effect without permissions" in text for text in await messages(engine)
        )
    finally:
        await engine.close()


async def test_a_reload_moves_the_socket_and_keeps_the_connections(folder: Path, root: Path) -> None:
    configure(folder, "")
    private, shared = folder / "state" / "engine.sock", folder / "run" / workspace_name(root) / "engine.sock"
    engine = await open_here(folder, root)
    try:
        client = await Client.connect(private)
        configure(folder, VIEWER)
        await client.reload()
        assert mode_of(shared) == 0o666
        assert not private.exists()
        owner = engine_owner(folder / "state")
        assert owner is not None
        assert owner.socket == str(shared)
        assert json.loads(record_of(folder, root).read_text())["socket"] == str(shared)
        other = await Client.connect(shared)
        assert (await other.engine()).socket == str(shared)
        await other.close()
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        configure(folder, f"{VIEWER}socket: {{path: {folder}/open/victor.sock}}\n")
        problems = await client.reload()
        assert any(f"the engine keeps its socket {shared}" in problem.message for problem in problems)
        assert mode_of(shared) == 0o666
        configure(folder, "")
        assert not any("keeps its socket" in problem.message for problem in await client.reload())
        assert mode_of(private) == 0o600
        assert not shared.exists()
        await client.close()
    finally:
        await engine.close()
    assert list((folder / "run").iterdir()) == []


async def test_a_directory_that_others_cannot_enter_is_reported(folder: Path, root: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    configure(folder, f"{VIEWER}socket: {{path: {folder}/closed/victor.sock}}\n")
    engine = await open_here(folder, root)
    try:
        assert any(f"they cannot enter {folder / 'closed'}" in text for text in await messages(engine))
    finally:
        await engine.close()


SETTINGS = """
import sys
from pathlib import Path
from victor_tui.config import console_settings
print(console_settings(Path(sys.argv[1])).notify)
"""


@pytest.mark.parametrize(("mode", "notify"), [(0o644, "none"), (0o600, "bell")])
def test_the_console_of_another_user_need_not_read_the_workspace(
    folder: Path, root: Path, mode: int, notify: str
) -> None:
    second_user.need_root()
    (root / "victor.yaml").write_text("console: {notify: none}\n")
    (root / "victor.yaml").chmod(mode)
    own = folder / "other" / ".victor" / "scheduler.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("console: {notify: bell}\n")
    ended = second_user.run(SETTINGS, str(root), environ={"HOME": str(folder / "other")})
    assert ended.stdout.strip() == notify, ended.stderr
