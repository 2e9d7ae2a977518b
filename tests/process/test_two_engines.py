"""Two engines on one workspace: the second is refused, also with another state directory or user."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import ME, until_end, workspace
from victor_engine.errors import EngineLockedError
from victor_engine.identity import acting_as
from victor_engine.service.connect import open_engine
from victor_engine.service.engine_lock import engine_owner
from victor_engine.service.paths import Paths

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": "handlers: {files: {command: [sh, bin/files.sh]}, long: {command: [sleep, '1000']}}\n",
    "bin/files.sh": """
        cat >/dev/null
        for file in /proc/self/fd/*; do readlink "$file"; done > files.txt
        echo '{}'
        """,
    "workflows/w.yaml": """
        workflows:
          files: {nodes: [{id: list, type: compute, handler: files}]}
          long: {nodes: [{id: work, type: compute, handler: long}]}
        """,
}
WITHIN = 60.0


def until(what: str, test: Callable[[], object]) -> None:
    limit = time.monotonic() + WITHIN
    while not test():
        assert time.monotonic() < limit, f"it never came to: {what}"
        time.sleep(0.02)


def words(root: Path, state: Path, *arguments: str) -> list[str]:
    return victor_words(root, *arguments, state=state)


@contextmanager
def process(root: Path, state: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the engine of a state directory in a process; kill it at the end."""
    started = subprocess.Popen(
        words(root, state, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ready() -> bool:
        assert started.poll() is None, "the engine did not start"
        owner = engine_owner(state)
        return owner is not None and owner.pid == started.pid and Path(owner.socket).exists()

    try:
        until("an engine", ready)
        yield started
    finally:
        started.kill()
        started.wait()


def refused(root: Path, state: Path, *arguments: str) -> str:
    ended = subprocess.run(
        words(root, state, *arguments), capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert ended.returncode == 7, ended
    return ended.stderr


@pytest.mark.parametrize("first", [("scheduler", "start"), ("run", "long")])
def test_the_second_engine_is_refused_with_the_process_of_the_first(
    tmp_path: Path, first: tuple[str, ...]
) -> None:
    root, one, two = workspace(tmp_path, FILES), tmp_path / "one", tmp_path / "two"
    with process(root, one, *first) as engine:
        for second in (("scheduler", "start"), ("run", "files")):
            message = refused(root, two, *second)
            assert f"pid {engine.pid}" in message
            assert f"state directory {one}" in message
            assert engine_owner(two) is None
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        with process(root, two, "scheduler", "start"):
            pass


async def test_an_engine_releases_the_workspace_when_it_closes(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        for name in ("one", "two"):
            engine = await open_engine(Paths(root, tmp_path / name))
            with pytest.raises(EngineLockedError, match="another engine runs on this workspace"):
                await open_engine(Paths(root, tmp_path / "three"))
            await engine.close()


async def test_commands_do_not_inherit_the_lock(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await open_engine(Paths(root, tmp_path / "one"))
        try:
            await until_end(engine, (await engine.start_run("files")).id)
        finally:
            await engine.close()
    assert str(root) not in (root / "files.txt").read_text().splitlines()


async def test_the_lock_follows_a_directory_that_was_replaced(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with acting_as(ME):
        engine = await open_engine(Paths(root, tmp_path / "one"))
        try:
            shutil.rmtree(root)
            workspace(tmp_path, FILES)
            async with asyncio.timeout(WITHIN):
                while not locked(root):
                    await asyncio.sleep(0.02)
            with pytest.raises(EngineLockedError, match=f"pid {os.getpid()}"):
                await open_engine(Paths(root, tmp_path / "two"))
            assert engine.fenced is None
        finally:
            await engine.close()


async def test_an_engine_stops_when_another_engine_has_the_replaced_directory(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    new = workspace(tmp_path / "new", FILES)
    with acting_as(ME):
        engine = await open_engine(Paths(root, tmp_path / "one"))
        other = await open_engine(Paths(new, tmp_path / "two"))
        try:
            root.rename(tmp_path / "old")
            new.rename(root)
            async with asyncio.timeout(WITHIN):
                await engine.stop_requested.wait()
            assert engine.fenced is not None
            assert "directory was replaced" in engine.fenced.message
        finally:
            await other.close()
            await engine.close()


def locked(root: Path) -> bool:
    """Return whether a process has the lock of a directory. The check takes a shared lock for a moment."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


OTHER_USER = """
import asyncio, json, os, sys, tempfile
from pathlib import Path
from victor_engine.errors import EngineLockedError
from victor_engine.service.connect import open_engine
from victor_engine.service.paths import Paths

async def warm_up(folder):
    await (await open_engine(Paths(folder, folder / "state"), mode="daemon")).close()

# Import everything before the process changes its user, who may have no read permission for this installation.
with tempfile.TemporaryDirectory() as folder:
    asyncio.run(warm_up(Path(folder)))

root, state, uid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
os.environ["HOME"] = str(state)

async def main():
    try:
        engine = await open_engine(Paths(root, state), mode="daemon", fire=False)
    except EngineLockedError as error:
        print(json.dumps({"refused": str(error), "pid": error.details.get("pid")}), flush=True)
        return
    print(json.dumps({"pid": os.getpid()}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await engine.close()

asyncio.run(main())
"""
NOBODY = 65534


@pytest.fixture
def shared() -> Iterator[Path]:
    """A workspace that all users can read and only its owner can write, and a state directory of another user."""
    if os.geteuid() != 0:
        pytest.skip("only root may start an engine as another user")
    folder = Path(tempfile.mkdtemp(prefix="victor-two-users-"))
    try:
        folder.chmod(0o755)
        root = workspace(folder, FILES)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (folder / "other").mkdir(mode=0o700)
        os.chown(folder / "other", NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder)


def needs_python_of_other_user() -> None:
    """Skip a test whose other user starts a process that reads the workspace, but cannot execute this Python."""
    try:
        subprocess.run([sys.executable, "-c", ""], user=NOBODY, group=NOBODY, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"another user cannot execute this Python: {error}")


@contextmanager
def as_other_user(folder: Path) -> Iterator[tuple[dict[str, object], int]]:
    command = [sys.executable, "-c", OTHER_USER, str(folder / "ws"), str(folder / "other"), str(NOBODY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, "the process of the other user ended without a word"
        yield json.loads(line), started.pid


async def test_another_users_engine_is_refused(shared: Path) -> None:
    with acting_as(ME):
        engine = await open_engine(Paths(shared / "ws", shared / "mine"))
        try:
            with as_other_user(shared) as (said, _):
                assert said["pid"] == os.getpid()
                refusal = str(said["refused"])
                assert f"pid {os.getpid()}, root, state directory {shared / 'mine'}" in refusal
                assert f"this one has the state directory {shared / 'other'}" in refusal
        finally:
            await engine.close()


async def test_an_engine_is_refused_if_another_users_engine_runs(shared: Path) -> None:
    needs_python_of_other_user()
    with as_other_user(shared) as (said, pid), acting_as(ME):
        assert said == {"pid": pid}
        with pytest.raises(EngineLockedError, match=f"pid {pid}") as caught:
            await open_engine(Paths(shared / "ws", shared / "mine"))
        assert caught.value.details["state_dir"] == str(shared / "other")
