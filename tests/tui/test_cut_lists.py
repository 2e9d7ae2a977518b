"""Lists that are cut say how many rows match; lists that are whole say their number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from textual.widgets import Static

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.world import World
from victor_engine.api import Count, EventQuery, RunQuery
from victor_engine.store.queries import list_counts
from victor_tui.history import screen as history
from victor_tui.runs import screen as runs
from victor_tui.text import cut
from victor_tui.widgets.filter_bar import FilterBar


@pytest.mark.parametrize(
    ("shown", "total", "words"),
    [
        (12, None, "12 runs"),
        (500, Count(202_006), "500 of 202,006 runs"),
        (500, Count(250_000, more=True), "500 of 250,000+ runs"),
        (500, Count(7, more=True), "500 of 500+ runs"),
        (500, Count(500), "500 runs"),
    ],
)
def test_the_words_of_a_cut_list(shown: int, total: Count | None, words: str) -> None:
    assert cut(shown, total, "runs") == words


async def test_lists_that_are_cut_say_how_many_rows_match(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PAGE", 4)
    monkeypatch.setattr(history, "PAGE", 4)
    finished = RunQuery(statuses=("succeeded",), limit=1000)
    many, good = len(await world.runs(RunQuery(limit=1000))), len(await world.runs(finished))
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:

        def note() -> str:
            return str(app.screen.query_one(FilterBar).query_one(".note", Static).visual)

        await go(pilot, "2")
        await until(pilot, lambda: f" of {many}" in note())
        await go(pilot, "slash", *"status:succeeded", "enter")
        await until(pilot, lambda: f"4 of {good}" in note())
        await go(pilot, "4", "v")
        events = (await world.event_count(EventQuery())).number
        assert events > 50
        await until(pilot, lambda: f"4 of {events:,} events" in note())


async def test_counts_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index leads to the rows of a count; where none does, only the newest rows are examined."""
    monkeypatch.setattr(list_counts, "COUNTED", 3)
    monkeypatch.setattr(list_counts, "LOOKED_AT", 5)
    assert await world.run_count(RunQuery()) == Count(3, more=True)
    assert await world.run_count(RunQuery(workflow="no such workflow")) == Count(0)
    assert (await world.run_count(RunQuery(text="deploy"))).more
    assert (await world.event_count(EventQuery(text="deploy"))).more


PLANS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "status": lambda c: list_counts.run_count(c, RunQuery(statuses=("failed", "succeeded"))),
    "workflow": lambda c: list_counts.run_count(c, RunQuery(workflow="deploy")),
    "text": lambda c: list_counts.run_count(c, RunQuery(text="deploy")),
    "actor": lambda c: list_counts.event_count(c, EventQuery(actor="ana")),
}


@pytest.mark.parametrize("name", PLANS)
async def test_no_count_scans_the_whole_table(world: World, name: str) -> None:
    with sqlite3.connect(f"file:{world.engine_.state_dir / 'victor.db'}?mode=ro", uri=True) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        PLANS[name](connection)
        connection.set_trace_callback(None)
        for sql in statements:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
            assert not [
                step
                for step in plan
                if step.startswith("SCAN") and "INDEX" not in step and "(subquery" not in step
            ], plan
