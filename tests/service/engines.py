"""Real engines of this user on a workspace, as processes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command_line import victor_words
from victor_engine.service import engine_record
from victor_engine.service.paths import workspace_name


def record_of(folder: Path, root: Path) -> Path:
    return folder / "run" / workspace_name(root) / engine_record.FILE


@contextmanager
def daemon(folder: Path, root: Path, state: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        victor_words(root, "scheduler", "start", *options, state=state), stdout=subprocess.DEVNULL
    )
    try:
        limit = time.monotonic() + 60
        while not _recorded(folder, root, process.pid):
            assert process.poll() is None, "the engine did not start"
            assert time.monotonic() < limit, "the engine has no record"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def _recorded(folder: Path, root: Path, pid: int) -> bool:
    try:
        return bool(json.loads(record_of(folder, root).read_text())["pid"] == pid)
    except OSError:
        return False
