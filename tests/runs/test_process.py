import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from victor_engine.work.process import end_process_group, group_members, read_stat, start_ticks

pytestmark = pytest.mark.process


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    children: list[subprocess.Popen[str]] = []
    yield children
    for child in children:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        if child.stdout:
            child.stdout.close()


def start(started: list[subprocess.Popen[str]], code: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    started.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


async def test_a_running_leader_is_ended_with_its_group(started: list[subprocess.Popen[str]]) -> None:
    child = start(started, "sleep 300 & sleep 300 & echo up; wait")
    ticks = start_ticks(child.pid)
    assert len(group_members(child.pid, ticks)) == 3
    done = await end_process_group(child.pid, child.pid, ticks, grace=1)
    assert done.found == "leader"
    assert len(done.pids) == 3
    assert group_members(child.pid, ticks) == []


async def test_members_whose_leader_died_are_found(started: list[subprocess.Popen[str]]) -> None:
    child = start(started, "trap '' TERM; sleep 300 & echo up")
    ticks = start_ticks(child.pid)
    await asyncio.to_thread(child.wait)
    assert read_stat(child.pid) is None
    done = await end_process_group(child.pid, child.pid, ticks, grace=0)
    assert done.found == "members"
    assert group_members(child.pid, ticks) == []


async def test_a_recycled_id_is_left_alone(started: list[subprocess.Popen[str]]) -> None:
    child = start(started, "echo up; exec sleep 300")
    done = await end_process_group(child.pid, child.pid, start_ticks(child.pid) - 1, grace=0)
    assert done.found == "recycled"
    assert child.poll() is None


async def test_a_missing_group_is_reported_as_gone(started: list[subprocess.Popen[str]]) -> None:
    child = start(started, "echo up")
    ticks = start_ticks(child.pid)
    await asyncio.to_thread(child.wait)
    assert (await end_process_group(child.pid, child.pid, ticks)).found == "gone"
    with pytest.raises(ProcessLookupError):
        start_ticks(child.pid)


def test_a_name_with_parentheses_is_read(tmp_path: object) -> None:
    rename = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) Z (b', 0, 0, 0)"
    code = f"{rename}; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    stat = read_stat(child.pid)
    assert stat is not None
    assert stat.alive
    assert stat.pgid == os.getpgid(child.pid)
    child.communicate()


def test_an_engine_that_dies_before_the_record_leaves_a_command_that_never_begins(tmp_path: object) -> None:
    mark = os.path.join(str(tmp_path), "mark")
    code = f"""
import asyncio, os, pathlib
from victor_engine.work.process import Child
async def main():
    child = Child(["touch", {mark!r}], env=os.environ, cwd=pathlib.Path("/"),
                  on_stdout=lambda data: None, on_stderr=lambda data: None)
    print(child.pid, child.start_ticks, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    pid, ticks = map(int, done.stdout.split())
    deadline = 20_000
    while group_members(pid, ticks) and deadline:
        deadline -= 1
        os.sched_yield()
    assert group_members(pid, ticks) == []
    assert not os.path.exists(mark)
