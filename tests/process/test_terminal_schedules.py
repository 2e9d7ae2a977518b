"""Work with schedules in a real terminal: explain a missed fire, pause several schedules, edit a time and a zone
across a clock change, and backfill the last week."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import ME, workspace
from tests.process.terminal import Terminal, needs_tmux
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.identity import acting_as

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(900)]

CRON = {"nightly": "0 2 * * *", "report": "30 6 * * *", "sync": "15 * * * *", "cleanup": "0 5 * * sun"}


def flow(name: str, cron: str) -> str:
    node = {"id": "a", "type": "transform", "transform": "x = 1"}
    return json.dumps({"workflows": {name: {"schedule": {"cron": cron}, "nodes": [node]}}})


def stored(root: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as connection:
        return connection.execute(sql, values).fetchall()


def only(terminal: Terminal, name: str) -> None:
    """Filter the table to one row."""
    terminal.keys("/")
    terminal.text(name)
    terminal.keys("Enter")
    terminal.until("1 of 4", f"›{name}")


async def test_a_night_of_work_with_schedules(tmp_path: Path) -> None:
    files = {f"workflows/{name}.yaml": flow(name, cron) for name, cron in CRON.items()}
    root = workspace(tmp_path, {"victor.yaml": "{}", **files})
    with acting_as(ME):  # an engine that ran until yesterday
        engine = await Engine.open(
            root, root / ".state", clock=FakeClock(datetime.now(UTC) - timedelta(days=1, hours=1))
        )
        await engine.close()
    with Terminal(root, environment={"TZ": "UTC"}) as terminal:
        terminal.until("nightly", "report", "sync", "cleanup")
        # The rows are in the order of the next fires, which do not change after the night is decided.
        terminal.eventually(
            "the fires of the night are decided",
            lambda: stored(root, "SELECT COUNT(DISTINCT schedule_id) >= 3 FROM fires") == [(1,)],
        )
        terminal.until("missed")

        terminal.keys("Space")
        for marked in ("1 schedule marked", "2 schedules marked"):
            terminal.until(marked)
            terminal.keys("Down", "Space")
        terminal.until("3 schedules marked")
        terminal.keys("p")
        terminal.until("Pause 3 schedules")
        terminal.text("moving house")
        terminal.keys("Tab")
        terminal.text("monday")
        terminal.until("until Monday")
        terminal.keys("C-s")
        terminal.until("3 of 3 done")
        terminal.keys("Escape")
        paused = stored(root, "SELECT paused ->> 'note', pause_until FROM schedules WHERE paused IS NOT NULL")
        assert [note for note, _ in paused] == ["moving house"] * 3
        assert {datetime.fromtimestamp(until / 1e6, UTC).weekday() for _, until in paused} == {0}

        terminal.until(gone=["3 of 3 done"])
        only(terminal, "nightly")
        terminal.keys("w")
        terminal.until("Why did nightly", "missed: the engine was down from")
        terminal.keys("Escape")
        terminal.until(gone=["Why did nightly"])

        terminal.keys("e")
        terminal.until("Schedule nightly")
        terminal.keys("C-u")
        terminal.text("30 7 * * *")
        terminal.keys("Tab", "C-u")
        terminal.text("Europe/Berlin")
        terminal.until("at 07:30 every day (Europe/Berlin)", "07:30 C")
        terminal.keys("PageDown")
        terminal.until("clocks go", "+01:00", "+02:00")
        assert stored(root, "SELECT spec ->> 'cron' FROM schedules WHERE workflow = 'nightly'") == [
            ("0 2 * * *",)
        ]
        terminal.keys("C-s")
        terminal.until("07:30:00 C", gone=["Schedule nightly"])
        spec = "SELECT spec ->> 'cron', spec ->> 'timezone' FROM schedules WHERE workflow = 'nightly'"
        assert stored(root, spec) == [("30 7 * * *", "Europe/Berlin")]

        terminal.keys("b")
        terminal.until("Backfill nightly")
        terminal.text("-7d")
        terminal.until("Start 7 runs")
        assert stored(root, "SELECT COUNT(*) FROM fires WHERE outcome = 'backfilled'") == [(0,)]
        terminal.keys("C-s")
        terminal.eventually(
            "seven days are made up for",
            lambda: (
                stored(
                    root,
                    "SELECT COUNT(*) FROM fires f JOIN runs r ON r.key = f.run_key"
                    " WHERE f.outcome = 'backfilled' AND r.status = 'succeeded'",
                )
                == [(7,)]
            ),
        )
