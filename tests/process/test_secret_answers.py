"""A password through real processes: typed without echo, kept over kill -9, and found in no file."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.command_line import VICTOR
from tests.people.test_secret_answers import SECRET, USE, USE_PY, digest, flow, leaks

PIN = "9182736455"


class Place:
    """A workspace with an engine in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.daemon: subprocess.Popen[bytes] | None = None

    def victor(self, *words: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [*VICTOR, *words], cwd=self.root, input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert SECRET not in done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.victor(*words, "--json"))

    def start(self) -> None:
        log = (self.root / "engine.log").open("ab")
        self.daemon = subprocess.Popen(
            [*VICTOR, "scheduler", "start"], cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        eventually(lambda: b"attach with" in (self.root / "engine.log").read_bytes() or self._answers())

    def _answers(self) -> bool:
        done = subprocess.run(
            [*VICTOR, "scheduler", "status"], cwd=self.root, capture_output=True, timeout=60
        )
        return done.returncode == 0

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(10)

    def rows(self) -> int:
        connection = sqlite3.connect(self.root / "state" / "victor.db")
        (count,) = connection.execute("SELECT COUNT(*) FROM secret_answers").fetchone()
        connection.close()
        return int(count)


def eventually(test: Callable[[], Any], within: float = 60.0) -> Any:
    deadline = time.monotonic() + within
    while not (found := test()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    root = tmp_path / "ws"
    (root / "workflows").mkdir(parents=True)
    (root / "victor.yaml").write_text(dedent(USE).replace("PYTHON", sys.executable))
    (root / "workflows" / "login.yaml").write_text(flow(undo="3s"))
    (root / "use.py").write_text(USE_PY)
    monkeypatch.setenv("VICTOR_STATE", str(root / "state"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    found = Place(root)
    found.victor("trust")
    found.start()
    yield found
    if found.daemon is not None:
        found.daemon.kill()
        found.daemon.wait(10)


def typed(place: Place, words: list[str], answers: list[str]) -> str:
    """Run a command on a terminal, type an answer at each prompt, and return all that the terminal shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.root)
        os.execvp(VICTOR[0], [*VICTOR, *words])
    shown = b""
    try:
        for answer in answers:
            before = len(shown)
            while b":" not in shown[before:]:
                shown += os.read(terminal, 4096)
            os.write(terminal, answer.encode() + b"\n")
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # the command has ended
        pass
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    return shown.decode()


def test_a_password_survives_a_kill_and_stands_in_no_file(place: Place, tmp_path: Path) -> None:
    run = place.json("run", "login")["id"]
    (question,) = eventually(lambda: place.json("inbox", "list"))
    shown = typed(place, ["inbox", "answer", question["id"], "--value", '{"user": "ana"}'], [SECRET, PIN])
    assert "password:" in shown
    assert SECRET not in shown
    assert PIN not in shown
    # The answer is acknowledged; its node starts at the end of the undo window.
    place.kill()
    assert place.rows() == 2
    assert leaks(tmp_path, words=(SECRET, PIN)) == []
    key = tmp_path / "home" / ".config" / "victor" / "answers.key"
    assert key.stat().st_mode & 0o777 == 0o600
    place.start()
    eventually(lambda: place.json("runs", "show", run)["run"]["status"] == "succeeded")
    state = place.json("runs", "show", run)["state"]
    assert state["use"]["digest"] == digest(f"pw={SECRET}")
    assert state["ask"] == {"user": "ana", "password": "***", "pin": "***"}
    assert place.rows() == 0
    for words in (
        ("runs", "logs", run),
        ("audit", "export"),
        ("audit", "export", "--chain"),
        ("inbox", "history"),
    ):
        assert "***" in place.victor(*words) or words[0] == "inbox"
    assert place.victor("audit", "verify").startswith("intact: ")
    place.victor("scheduler", "stop")
    assert leaks(tmp_path, words=(SECRET, PIN)) == []
    connection = sqlite3.connect(place.root / "state" / "victor.db")
    connection.execute("UPDATE votes SET comment = 'changed' WHERE id = 1")
    connection.commit()
    connection.close()
    assert "a vote on request" in place.victor("audit", "verify", code=9)
