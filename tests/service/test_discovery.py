"""Consoles and commands of other users find an engine by its record, and trust no forged one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.engine.support import ME
from tests.service import second_user
from tests.service.engines import daemon, record_of
from tests.service.second_user import SECOND, Shell
from victor_engine.cli.main import main
from victor_engine.errors import EngineUnavailableError, PermissionDeniedError
from victor_engine.identity import acting_as
from victor_engine.service import engine_record
from victor_engine.service.connect import attach, find, open_console, open_engine
from victor_engine.service.engine_record import EngineRecord
from victor_engine.service.finding import engine_paths
from victor_engine.service.paths import Paths, workspace_name

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_the_record_describes_the_engine_until_it_ends(folder: Path, root: Path) -> None:
    with acting_as(ME):
        engine = await open_engine(Paths(root, folder / "state"))
    path = record_of(folder, root)
    found = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
    assert (found.pid, found.uid, found.workspace) == (os.getpid(), os.getuid(), str(root))
    assert found.state_dir == str(folder / "state")
    assert found.started == engine.started_at
    assert stat.S_ISSOCK(os.stat(found.socket).st_mode)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(engine_record.find(root)) == [found]
    (folder / "link").symlink_to(root)
    assert list(engine_record.find(folder / "link")) == [found]
    await engine.close()
    assert list((folder / "run").iterdir()) == []


async def test_an_engine_with_another_state_directory_is_found(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting_as(ME):
        engine = await open_engine(Paths(root, folder / "service"), mode="daemon")
    try:
        (record,) = engine_record.find(root)
        port = await attach(find(root), "cli")
        assert port is not None
        assert (await port.engine()).state_dir == str(folder / "service")
        assert engine_paths(find(root)).db_path == folder / "service" / "victor.db"
        assert engine_paths(find(root, folder / "mine")).state_dir == folder / "mine"
        await port.close()
        assert await attach(find(root, folder / "mine"), "cli") is None
        with pytest.raises(
            EngineUnavailableError, match=f"has the state directory {folder / 'service'}: omit --state-dir"
        ):
            await open_console(workspace=root, state=folder / "mine", attach_only=True)
        os.rename(record.socket, folder / "hidden")  # as while the engine starts or ends
        with pytest.raises(EngineUnavailableError, match="does not accept connections while it starts"):
            await open_console(workspace=root, attach_only=True)
        os.rename(folder / "hidden", record.socket)
        monkeypatch.setenv("VICTOR_STATE", str(folder / "mine"))
        assert await attach(find(root), "cli") is None
    finally:
        await engine.close()


@pytest.mark.process
def test_another_user_gets_a_plain_error_until_the_engine_is_killed(
    folder: Path, root: Path, second: Shell
) -> None:
    second_user.need_root()
    words = ("--workspace", str(root), "inbox", "list")
    with daemon(folder, root, folder / "state") as engine:
        ended = second.run(*words)
        assert ended.returncode == 6, ended
        assert (
            f"the socket of the engine of root (process {engine.pid}) does not admit nobody, ask root"
            in ended.stderr
        )
        assert "for a role" in ended.stderr
        refused = second.run("--workspace", str(root), "--state-dir", str(folder / "state"), "runs", "list")
        assert refused.returncode == 6
        assert "Traceback" not in refused.stderr
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        assert record_of(folder, root).exists()
        ended = second.run(*words, HOME=str(folder / "nothing"))
        assert ended.returncode == 8, ended
        assert (
            f"the engine of root (process {engine.pid}) of {root} has ended; start it again as root"
            in ended.stderr
        )
        started = second.run("--workspace", str(root), "--state-dir", str(folder / "state"), "runs", "list")
        assert started.returncode == 6
        assert "belongs to another user, and no engine runs on it" in started.stderr
    with daemon(folder, root, folder / "state"):
        assert second.run(*words).returncode == 6


def test_the_service_gets_the_runtime_directory_of_its_workspace(folder: Path, root: Path) -> None:
    unit = folder / "unit"
    assert main(["--workspace", str(root), "scheduler", "install", "--output", str(unit)]) == 0
    assert f"RuntimeDirectory=victor/{workspace_name(root)}" in unit.read_text().splitlines()


OPEN_ENGINE = """
import asyncio, sys
from pathlib import Path
from victor_engine.errors import EngineLockedError
from victor_engine.service.connect import open_engine
from victor_engine.service.paths import Paths

try:
    asyncio.run(open_engine(Paths(Path(sys.argv[1]), Path(sys.argv[2]))))
except EngineLockedError as error:
    print(error.message)
"""


async def test_the_refusal_of_a_second_engine_names_both_state_directories(folder: Path, root: Path) -> None:
    second_user.need_root()
    (folder / "second").mkdir()
    os.chown(folder / "second", SECOND, SECOND)
    with acting_as(ME):
        engine = await open_engine(Paths(root, folder / "first"))
    try:
        ended = await asyncio.to_thread(second_user.run, OPEN_ENGINE, str(root), str(folder / "second"))
    finally:
        await engine.close()
    assert f"pid {os.getpid()}, root, state directory {folder / 'first'}" in ended.stdout, ended.stderr
    assert f"this one has the state directory {folder / 'second'}" in ended.stdout


def forged(folder: Path, root: Path, **changes: object) -> Path:
    """Write a record of the second user as root would accept it, with changes."""
    path = record_of(folder, root)
    path.parent.mkdir(exist_ok=True)
    fields = {
        "workspace": str(root),
        "pid": 1,
        "user": "nobody",
        "uid": SECOND,
        "socket": str(path.with_name("engine.sock")),
        "state_dir": str(folder / "state"),
        "started": NOW,
        "version": "1",
    }
    engine_record.write(path, EngineRecord(**{**fields, **changes}))  # type: ignore[arg-type]
    for each in (path, path.parent):
        os.chown(each, SECOND, SECOND)
    return path


def test_a_forged_record_is_not_trusted(folder: Path, root: Path) -> None:
    second_user.need_root()
    path = forged(folder, root)
    assert [record.uid for record in engine_record.find(root)] == [SECOND]

    def trusted() -> bool:
        return bool(list(engine_record.find(root)))

    os.chown(path, 1, 1)
    assert not trusted(), "the file belongs to another user than the directory"
    forged(folder, root, uid=0)
    assert not trusted(), "the record names root, but another user wrote it"
    forged(folder, root, uid=0)
    os.chown(path, 0, 0)
    assert not trusted(), "a file of root in the directory of another user"
    forged(folder, root, workspace=str(folder))
    assert not trusted(), "the record is for another workspace"
    forged(folder, root, socket="engine.sock")
    assert not trusted(), "the socket has a relative path"
    forged(folder, root).chmod(0o646)
    assert not trusted(), "all users can write to the file"
    forged(folder, root).chmod(0o644)
    assert trusted()
    path.parent.chmod(0o777)
    assert not trusted(), "all users can write to the directory"
    path.parent.chmod(0o755)
    os.chown(folder / "run", SECOND, SECOND)
    assert not trusted(), "another user can create directories beside it"
    os.chown(folder / "run", 0, 0)
    (folder / "elsewhere").mkdir()
    path.rename(folder / "elsewhere" / "engine.json")
    path.symlink_to(folder / "elsewhere" / "engine.json")
    assert not trusted(), "the record is a symbolic link"
    path.unlink()
    os.mkfifo(path)
    assert not trusted(), "the record is a pipe"
    path.unlink()
    path.write_bytes(b"[" * 100_000)
    os.chown(path, SECOND, SECOND)
    assert not trusted(), "the record is not JSON"
    shutil.rmtree(path.parent)
    (folder / "elsewhere" / "engine.json").chmod(0o644)
    path.parent.symlink_to(folder / "elsewhere")
    os.lchown(path.parent, SECOND, SECOND)
    assert not trusted(), "the directory is a symbolic link of another user"


SERVE = """
import asyncio, sys
from pathlib import Path
from victor_engine.service.server import PortServer

async def main():
    await PortServer(None, Path(sys.argv[1]), mode=0o666).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""An engine, as far as a client sees it before its first call."""


@asynccontextmanager
async def listening(path: Path, uid: int) -> AsyncIterator[None]:
    words = second_user.words(SERVE, str(path), uid=uid)
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def test_root_finds_the_engine_of_a_service_and_no_other_listener(folder: Path, root: Path) -> None:
    second_user.need_root()
    path = forged(folder, root)  # as the service with this directory writes it
    socket = path.with_name("engine.sock")
    async with listening(socket, SECOND):
        port = await attach(find(root), "cli")
        assert port is not None
        await port.close()
    assert await attach(find(root), "cli") is None, "the engine was killed and left its socket"
    socket.unlink()
    os.chown(path.parent, 1, 1)
    async with listening(socket, 1):
        os.chown(path.parent, SECOND, SECOND)
        with pytest.raises(
            PermissionDeniedError, match="of daemon listens there instead of an engine of root or nobody"
        ):
            await attach(find(root), "cli")


async def test_an_engine_keeps_no_record_in_a_directory_of_another_user(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_user.need_root()
    own = folder / "own"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    path = forged(folder, root)
    with acting_as(ME):
        engine = await open_engine(Paths(root, folder / "state"))
    try:
        assert path.stat().st_uid == SECOND
        assert (own / "victor" / workspace_name(root) / engine_record.FILE).exists()
    finally:
        await engine.close()
    assert list((own / "victor").iterdir()) == []
