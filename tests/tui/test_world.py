"""The day that the tests of the console share is the same each time it is lived."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

from tests.tui.one_thread import run_in_one_thread
from tests.tui.world import WORKSPACE, live_through, steady_ids, template


def rows(folder: Path) -> list[str]:
    """Return each row of each table, without the number of the process and the directory."""
    with sqlite3.connect(folder / "state" / "victor.db") as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        found = [
            f"{name} {row}".replace(str(folder), "/srv")
            for (name,) in tables
            for row in store.execute(f"SELECT * FROM {name}")
        ]
    store.close()
    return [re.sub(r'"pid":\d+', '"pid":0', row) for row in found]


def test_a_day_that_is_lived_again_is_the_same(tmp_path: Path) -> None:
    folder, _ = template()
    shutil.copytree(WORKSPACE, tmp_path / "workflows")
    with steady_ids():
        run_in_one_thread(lambda: live_through(tmp_path / "workflows"))
    first, again = rows(folder), rows(tmp_path)
    assert len(first) > 2000
    assert sorted(set(again) ^ set(first)) == []
    assert again == first
