"""What a screen lists is exported: all rows that match the filter, in pages from the store."""

from __future__ import annotations

import csv
import json
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.test_keys import said
from tests.tui.world import World
from victor_engine.api import EventQuery, RequestQuery, RunQuery
from victor_tui import exports
from victor_tui.exports import ExportError, cell, event_pages, export, listed, request_pages, run_pages
from victor_tui.widgets.filter_bar import FilterBar

pytestmark = pytest.mark.usefixtures("quick_keys")


async def test_all_rows_are_read_page_by_page(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE", 3)
    engine = world.engine_
    runs = await engine.runs(RunQuery(limit=500))
    path = tmp_path / "runs.jsonl"
    assert await export(run_pages(engine, RunQuery(), lambda run: True), path) == len(runs)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [run.id for run in runs]
    assert {"status", "error", "note"} <= lines[0].keys()
    requests = RequestQuery(statuses=("open", "answered"))
    count = await engine.request_count(requests)
    assert await export(request_pages(engine, requests), tmp_path / "requests.csv") == count
    events = await engine.events(EventQuery(limit=10_000))
    assert await export(event_pages(engine, EventQuery()), tmp_path / "events.csv") == len(events)
    with (tmp_path / "events.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(events)


async def test_a_file_is_never_replaced_and_never_left_incomplete(tmp_path: Path) -> None:
    async def broken() -> Any:
        yield [{"a": 1}]
        raise RuntimeError("lost")

    path = tmp_path / "x.csv"
    with pytest.raises(RuntimeError, match="lost"):
        await export(broken(), path)
    assert not path.exists()
    path.write_text("mine")
    for name, words in ((path, "exists already"), (tmp_path / "x.txt", "must end with")):
        with pytest.raises(ExportError, match=words):
            await export(listed([]), name)
    assert path.read_text() == "mine"
    assert [cell(each) for each in ("=1+1", None, {"a": [1]}, 2.5, "x")] == [
        "'=1+1",
        "",
        '{"a": [1]}',
        "2.5",
        "x",
    ]


async def test_no_incomplete_file_is_left_where_there_is_no_room(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for rows in (10, 10_000):  # written when the file is closed, and before
        path = tmp_path / f"{rows}.jsonl"
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            with pytest.raises(ExportError, match=f"{path}: cannot write it: File too large"):
                await export(listed([{"a": 1, "b": "long enough"}] * rows), path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not path.exists()


async def test_the_filtered_list_of_a_screen_is_exported(world: World, tmp_path: Path) -> None:
    app: Any = console(world)
    path = tmp_path / "failed.csv"
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "2", "slash", *"status:failed", "enter", "E")
        await until(pilot, lambda: type(app.screen).__name__ == "ExportDialog")
        app.screen.query_one(Input).value = str(tmp_path / "failed.doc")
        await go(pilot, "ctrl+s")
        assert "must end with .jsonl or .csv" in str(app.screen.query_one("#error").content)
        for place in (tmp_path / "absent", tmp_path / "failed.csv" / "below", tmp_path / ("long" * 100)):
            app.screen.query_one(Input).value = str(place / "x.csv")
            await go(pilot, "ctrl+s")
            assert type(app.screen).__name__ == "ExportDialog", "the dialog stays, so it takes the next keys"
            assert "is not a directory; choose another" in str(app.screen.query_one("#error").content)
            assert app.screen.query_one(Input).value == str(place / "x.csv")
        app.screen.query_one(Input).value = str(tmp_path / f"{'x' * 300}.csv")
        await go(pilot, "ctrl+s")
        assert "File name too long; choose another name" in str(app.screen.query_one("#error").content)
        app.screen.query_one(Input).value = str(path)
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: f"rows to {path}" in said(app)[0])
        assert app.screen.query_one(FilterBar).value == "status:failed"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"failed"}
    assert len(rows) == len(await world.engine_.runs(RunQuery(statuses=("failed",))))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
