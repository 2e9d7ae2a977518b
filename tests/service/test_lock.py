"""The lock that allows one engine per state directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from victor_engine.errors import ConfigError, EngineLockedError, PermissionDeniedError
from victor_engine.service import engine_lock as module
from victor_engine.service.engine_lock import EngineLock, check_local, engine_owner, file_system

HOLDER = """
import sys
from pathlib import Path
from victor_engine.service.engine_lock import EngineLock
EngineLock(Path(sys.argv[1])).try_acquire("daemon", "/run/x.sock")
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_engine_is_refused_with_the_owner_of_the_lock(tmp_path: Path) -> None:
    first = EngineLock(tmp_path)
    first.try_acquire("daemon", tmp_path / "engine.sock")
    first.try_acquire("daemon", tmp_path / "engine.sock")
    with pytest.raises(EngineLockedError, match=f"pid {os.getpid()}") as caught:
        EngineLock(tmp_path).try_acquire("embedded", "")
    assert caught.value.details["pid"] == os.getpid()
    assert caught.value.details["socket"] == str(tmp_path / "engine.sock")
    owner = engine_owner(tmp_path)
    assert owner is not None
    assert (owner.pid, owner.mode) == (os.getpid(), "daemon")
    first.release()
    assert engine_owner(tmp_path) is None
    with EngineLock(tmp_path) as second:
        second.try_acquire("embedded", "")
        assert second.held
    assert engine_owner(tmp_path) is None


@pytest.mark.process
def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(EngineLockedError) as caught:
            EngineLock(tmp_path).try_acquire("embedded", "")
        assert caught.value.details["pid"] == holder.pid
        holder.kill()
        holder.wait()
    # The file still has the content of the process that ended, and does not block another one.
    assert str(holder.pid) in (tmp_path / "engine.lock").read_text()
    assert engine_owner(tmp_path) is None
    with EngineLock(tmp_path) as mine:
        mine.try_acquire("embedded", "")


def test_a_check_for_an_engine_creates_no_lock_file(tmp_path: Path) -> None:
    assert engine_owner(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "engine.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match="symbolic links"):
        EngineLock(tmp_path).try_acquire("embedded", "")
    assert (tmp_path / "precious").read_text() == "keep"


def test_only_the_owner_of_the_directory_can_run_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionDeniedError, match=r"only .* may run an engine"):
        EngineLock(tmp_path).try_acquire("daemon", "")
    assert not (tmp_path / "engine.lock").exists()


def test_only_a_daemon_can_run_on_the_directory_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SERVICE_STATE_DIR", tmp_path)
    with pytest.raises(PermissionDeniedError, match="systemctl start"):
        EngineLock(tmp_path).try_acquire("embedded", "")
    with EngineLock(tmp_path) as daemon:
        daemon.try_acquire("daemon", "")


MOUNTS = r"""22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /net rw - nfs4 server:/export rw
41 22 0:36 / /net/my\040disk rw - ext4 /dev/sdb1 rw
42 22 0:37 / /over rw - ext4 /dev/sdc1 rw
43 22 0:38 / /over rw - cifs //server/share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/victor", "ext4"),
        ("/net/home/x", "nfs4"),
        ("/network", "ext4"),
        ("/net/my disk/x", "ext4"),
        ("/over/x", "cifs"),
    ],
)
def test_the_type_of_a_file_system_is_that_of_the_last_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network file system \(nfs4\).*VICTOR_STATE"):
        check_local(Path("/net/home/x"), MOUNTS)
    check_local(tmp_path)
