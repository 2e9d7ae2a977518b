"""The daemon under a service manager: it reports readiness, reloads and its stop, and lets active nodes end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.process.test_kill import attached
from victor_engine.cli.main import main
from victor_engine.service.log_rotation import LARGEST

pytestmark = pytest.mark.process

WITHIN = 60.0
WATCHDOG = 0.5
FILES = {
    "victor.yaml": """
        handlers:
          held: {command: [sh, -c, 'env > env.txt; echo > began; while [ ! -e go ]; do sleep 0.05; done']}
          stubborn: {grace: 0.2, command: [sh, -c, 'trap : TERM; echo > began; while :; do sleep 0.05; done']}
        """,
    "w.yaml": """
        workflows:
          flow:
            nodes:
              - {id: first, type: compute, handler: held, next: [second]}
              - {id: second, type: transform, transform: "n = 1"}
          quick:
            nodes: [{id: a, type: transform, transform: "n = 1"}]
          stubborn:
            nodes: [{id: first, type: compute, handler: stubborn}]
        """,
}


class Manager:
    """A service manager: it listens on a socket of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def receive(self, seconds: float = WITHIN) -> dict[str, str] | None:
        """Return the next message, or None if none arrives in time."""
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(65_536).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in message.splitlines())

    def until(self, key: str) -> dict[str, str]:
        """Return the first message with a key."""
        limit = time.monotonic() + WITHIN
        while time.monotonic() < limit:
            message = self.receive()
            if message is not None and key in message:
                return message
        raise AssertionError(f"{key} did not arrive")

    def close(self) -> None:
        self._socket.close()


@contextmanager
def managed(tmp_path: Path, root: Path, drain: str) -> Iterator[tuple[subprocess.Popen[bytes], Manager]]:
    manager = Manager(tmp_path / "notify")
    words = ["--workspace", str(root), "--state-dir", str(root / ".state"), "scheduler", "start", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "victor_engine.cli.main", *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "NOTIFY_SOCKET": str(manager.path),
            "WATCHDOG_USEC": str(int(WATCHDOG * 1_000_000)),
            "VICTOR_SCHEDULER_DRAIN_TIMEOUT": drain,
        },
    )
    try:
        yield process, manager
    finally:
        process.kill()
        process.wait()
        manager.close()


def eventually(path: Path) -> Path:
    limit = time.monotonic() + WITHIN
    while not path.exists():
        assert time.monotonic() < limit, f"{path} was not written"
        time.sleep(0.02)
    return path


def attempts(root: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(root / ".state" / "victor.db")
    try:
        return connection.execute("SELECT node_id, status FROM attempts ORDER BY id").fetchall()
    finally:
        connection.close()


async def test_the_service_manager_follows_a_daemon_from_its_start_to_its_stop(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with managed(tmp_path, root, "120s") as (process, manager):
        assert manager.until("READY")["MAINPID"] == str(process.pid)
        async with attached(root) as port:  # it answers at once
            await port.start_run("flow")
        eventually(root / "began")
        assert "0 queued" in manager.until("STATUS")["STATUS"]
        manager.until("WATCHDOG")
        manager.until("WATCHDOG")

        process.send_signal(signal.SIGSTOP)
        while manager.receive(4 * WATCHDOG) is not None:
            pass  # the messages that were sent before
        process.send_signal(signal.SIGCONT)
        manager.until("WATCHDOG")

        process.send_signal(signal.SIGHUP)
        assert int(manager.until("RELOADING")["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        manager.until("READY")

        process.send_signal(signal.SIGTERM)
        assert int(manager.until("STOPPING")["EXTEND_TIMEOUT_USEC"]) > 120_000_000
        manager.until("WATCHDOG")  # the stop waits for the command, and the watchdog is fed
        assert process.poll() is None
        (root / "go").touch()
        assert process.wait(WITHIN) == 0
    assert attempts(root) == [("first", "succeeded")], (
        "the node has ended, and the next one waits for the next engine"
    )
    environment = (root / "env.txt").read_text()
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG_USEC" not in environment


async def test_a_command_that_does_not_end_in_time_is_killed_after_its_grace(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with managed(tmp_path, root, "300ms") as (process, manager):
        manager.until("READY")
        async with attached(root) as port:
            await port.start_run("stubborn")
        eventually(root / "began")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    assert attempts(root) == [("first", "interrupted")]


async def test_a_second_signal_ends_the_drain(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with managed(tmp_path, root, "10m") as (process, manager):
        manager.until("READY")
        async with attached(root) as port:
            await port.start_run("flow")
        eventually(root / "began")
        process.send_signal(signal.SIGTERM)
        manager.until("STOPPING")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    assert attempts(root) == [("first", "interrupted")]


def test_a_large_log_is_begun_anew_while_the_engine_runs(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    state = root / ".state"
    words = ["--workspace", str(root), "--state-dir", str(state)]
    state.mkdir(0o700)
    log = state / "engine.log"
    for number, size in ((0, LARGEST + 1), (1, 1), (2, 2), (3, 3)):
        (state / f"engine.log{f'.{number}' if number else ''}").write_bytes(b"x" * size)
    assert main([*words, "scheduler", "start", "--daemon"]) == 0
    try:
        assert main([*words, "runs", "list"]) == 0, "the command returns when the engine answers"
        limit = time.monotonic() + WITHIN
        while log.stat().st_size > LARGEST:
            assert time.monotonic() < limit
            time.sleep(0.05)
        with pytest.raises(SystemExit):
            main([*words, "run", "quick"])
        while "run.finished quick" not in log.read_text():
            assert time.monotonic() < limit
            time.sleep(0.05)
    finally:
        assert main([*words, "scheduler", "stop"]) == 0
    sizes = [(state / f"engine.log.{number}").stat().st_size for number in (1, 2, 3)]
    assert sizes[0] > LARGEST
    assert sizes[1:] == [1, 2], "the oldest log is deleted"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def lines_with(log: Path, text: str) -> list[str]:
    """Return the lines of a log when one of them has a text."""
    limit = time.monotonic() + WITHIN
    while not (found := [line for line in log.read_text().splitlines() if text in line]):
        assert time.monotonic() < limit, f"no {text!r} in:\n{log.read_text()}"
        time.sleep(0.02)
    return found


def logged_daemon(root: Path, log: Path) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        return subprocess.Popen(
            victor_words(root, "scheduler", "start"), cwd=root, stdout=output, stderr=output
        )


async def test_the_log_has_dates_and_fields_as_text_or_json(tmp_path: Path) -> None:
    root = workspace(tmp_path, {**FILES, "broken.yaml": "workflows: 1"})
    settings = root / "victor.yaml"
    handlers = settings.read_text()
    settings.write_text(f"{handlers}scheduler: {{log_format: json}}\n")
    log, start = tmp_path / "log", datetime.now(UTC).replace(microsecond=0)
    daemon = logged_daemon(root, log)
    try:
        async with attached(root) as port:
            run = await port.start_run("quick")
            lines_with(log, "run.finished")
            found = [json.loads(line) for line in log.read_text().splitlines()]
            assert all(datetime.fromisoformat(line["time"]) >= start for line in found)
            [started] = [line for line in found if line["message"].startswith(f"engine {daemon.pid} of")]
            assert (started["level"], started["logger"]) == ("info", "victor_engine.daemon")
            assert [line["level"] for line in found if "broken.yaml" in line["message"]] == ["error"]
            [end] = [line for line in found if line.get("event") == "run.finished"]
            assert (end["workflow"], end["run"], end["data"]["status"]) == ("quick", run.id, "succeeded")

            settings.write_text(handlers)
            (root / "broken.yaml").unlink()
            daemon.send_signal(signal.SIGHUP)
            lines_with(log, "Z info ")
            run = await port.start_run("quick")
        [line] = lines_with(log, f"info run.finished quick {run.id} status=succeeded")
        assert datetime.fromisoformat(line.split()[0]) >= start
    finally:
        daemon.kill()
        daemon.wait()


def test_the_heart_beats_while_the_engine_works(tmp_path: Path) -> None:
    beats: list[str] = []

    class Monitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            beats.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Monitor) as monitor:
        threading.Thread(target=monitor.serve_forever, daemon=True).start()
        file = tmp_path / "heartbeat"
        root = workspace(tmp_path, FILES)
        settings = root / "victor.yaml"
        handlers = settings.read_text()
        rule = f"notify: [{{on: [heartbeat], command: [sh, -c, 'cat >> {tmp_path}/messages']}}]\n"
        settings.write_text(f"{handlers}scheduler: {{heartbeat: {file}, heartbeat_interval: 100ms}}\n{rule}")
        with managed(tmp_path, root, "0") as (process, manager):
            manager.until("READY")
            eventually(file)
            first, limit = file.stat().st_mtime_ns, time.monotonic() + WITHIN
            while file.stat().st_mtime_ns == first:
                assert time.monotonic() < limit
                time.sleep(0.02)
            lines_with(eventually(tmp_path / "messages"), '"occasion":"heartbeat"')
            url = f"http://127.0.0.1:{monitor.server_address[1]}/ping"
            settings.write_text(f"{handlers}scheduler: {{heartbeat: '{url}', heartbeat_interval: 100ms}}\n")
            process.send_signal(signal.SIGHUP)
            while len(beats) < 2:
                assert time.monotonic() < limit
                time.sleep(0.02)
        monitor.shutdown()
    assert set(beats) == {"/ping"}
