"""An engine as a process whose clock is set ahead and back by libfaketime."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.command_line import victor_words

PLACES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime",
          "/usr/local/lib/faketime")  # fmt: skip
FAKETIME = next(
    (
        str(found)
        for place in (os.environ.get("FAKETIME_DIR", ""), *PLACES)
        if place and (found := Path(place) / "libfaketimeMT.so.1").exists()
    ),
    None,
)

pytestmark = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed (or set FAKETIME_DIR)")


def test_an_engine_whose_clock_was_ahead_fires_again_when_it_is_set_right(tmp_path: Path) -> None:
    root, state, offset = tmp_path / "ws", tmp_path / "state", tmp_path / "offset"
    root.mkdir()
    (root / "w.yaml").write_text(
        "workflows:\n  m:\n    nodes: [{id: a, type: transform, transform: 'x = 1'}]\n"
        "    schedule: {every: 2s, overlap: allow, misfire_grace: 1s}\n"
    )
    words = victor_words(root, state=state)

    def victor(*arguments: str) -> str:
        return subprocess.run(
            [*words, *arguments], capture_output=True, text=True, timeout=60, check=False
        ).stdout

    def fires() -> list[tuple[datetime, str]]:
        with suppress(ValueError, KeyError):
            found = json.loads(victor("scheduler", "history", "--limit", "300", "--json"))
            return [(datetime.fromisoformat(fire["nominal"]), fire["outcome"]) for fire in found]
        return []

    def wait_for(wanted: Callable[[], bool]) -> None:
        limit = time.monotonic() + 40
        while not wanted():
            assert process.poll() is None, "the engine has stopped"
            assert time.monotonic() < limit, fires()[:20]
            time.sleep(0.1)

    def set_clock(seconds: int) -> None:
        (tmp_path / "new").write_text(f"{seconds:+d}\n")
        (tmp_path / "new").rename(offset)

    victor("trust")
    set_clock(0)
    env = os.environ | {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [*words, "scheduler", "start", "--interval", "1"], env=env, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: any(outcome == "started" for _, outcome in fires()))
        set_clock(600)
        ahead = datetime.now(UTC) + timedelta(seconds=300)
        wait_for(lambda: any(outcome == "missed" and at > ahead for at, outcome in fires()))
        set_clock(0)
        right = datetime.now(UTC)
        wait_for(lambda: sum(outcome == "started" and right < at < ahead for at, outcome in fires()) >= 2)
        assert not any(outcome == "missed" and at > ahead for at, outcome in fires())
        status = subprocess.run([*words, "scheduler", "status"], capture_output=True, text=True, check=True)
        assert "the clock was ahead by up to " in status.stderr
        assert "became open again" in status.stderr
    finally:
        process.kill()
        process.wait()
