"""Rows that keep their places while the user chooses, and come to their new places afterwards."""

from __future__ import annotations

import argparse
import asyncio
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_inbox import drawn
from victor_engine.api import Answer
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.screen import InboxScreen
from victor_tui.key_queue import KeyQueueApp
from victor_tui.widgets import steady
from victor_tui.widgets.columns import Column
from victor_tui.widgets.paged_table import PagedTable
from victor_tui.widgets.steady import in_old_places
from victor_tui.widgets.table import LineTable

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a key hold the rows until the test says otherwise."""
    monkeypatch.setattr(steady, "HAND_SECONDS", 1e9)


@dataclass(frozen=True)
class Row:
    key: int
    rank: float


def test_rows_in_their_old_places() -> None:
    old = [Row(1, 0), Row(2, 0), Row(3, 0)]
    found = in_old_places(old, [Row(4, 1), Row(3, 1), Row(1, 1)], lambda row: row.key)
    assert found.rows == [Row(1, 1), Row(2, 0), Row(3, 1)]
    assert (found.gone, found.moved) == ({2}, True)
    part = in_old_places(old, [Row(3, 1)], lambda row: row.key, range(1, 3))
    assert part.gone == {2}, "row 1 can be on the page before"


class Lists(KeyQueueApp[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("p", "act")]

    def __init__(self, paged: bool) -> None:
        super().__init__()
        columns = [Column[Row]("rank", "Rank", 8, lambda r, _: (f"{r.key}", "head"), lambda r: r.rank)]
        kind: type[LineTable[Row]] = PagedTable if paged else LineTable
        self.table = kind(columns, key=lambda r: r.key, now=lambda: NOW, sort="rank", steady=True)
        self.acted: list[Row | None] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def action_act(self) -> None:
        self.acted.append(self.table.row)


async def press_while_rows_move(paged: bool, presses: int, seed: int) -> None:
    """Press random keys while rows come, go and change places; each key acts on the row that was under the cursor."""
    chance, app = random.Random(seed), Lists(paged)
    rows = {key: Row(key, chance.random()) for key in range(30)}
    async with app.run_test(size=(40, 20)) as pilot:
        table = app.table
        table.focus()
        table.set_rows(sorted(rows.values(), key=lambda row: row.rank))
        await pilot.press("down")
        for number in range(presses):
            for key in chance.sample(sorted(rows), 5):
                rows[key] = replace(rows[key], rank=chance.random())
            if chance.random() < 0.5:
                rows[1000 + number] = Row(1000 + number, chance.random())
            if chance.random() < 0.5 and len(rows) > 20:
                del rows[chance.choice(sorted(rows))]
            seen, marks = [row.key for row in table.rows], set(table.marked)
            cursor, here = table.cursor, seen[table.cursor]
            table.set_rows(sorted(rows.values(), key=lambda row: row.rank))
            assert [row.key for row in table.rows] == seen, "no row moves under the hand"
            gone = here not in rows
            key = chance.choice(["space", "down", "up", "p", "full_stop"])
            await pilot.press(key)
            match key:
                case "space":
                    toggled = (set(table.marked) ^ marks) & set(rows)
                    assert toggled == (set() if gone else {here})
                case "down":
                    assert table.cursor == min(cursor + 1, len(seen) - 1)
                case "up":
                    assert table.cursor == max(cursor - 1, 0)
                case "p":
                    acted = app.acted[-1]
                    assert (acted and acted.key) == (None if gone else here)
                case _:
                    table.show_held()
                    assert {row.key for row in table.rows} == set(rows)
                    assert gone or table.row == rows[here]
                    await pilot.press("home")


@pytest.mark.parametrize("paged", [False, True])
async def test_a_key_acts_on_the_row_that_was_under_the_cursor(paged: bool) -> None:
    await press_while_rows_move(paged, 150, 7)


async def test_new_requests_of_the_inbox_wait_for_the_hand(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [
        await bare.ask("approval", prompt=f"Ship {number}?", deadline=timedelta(hours=1))
        for number in range(2)
    ]
    async with console(bare).run_test(size=(120, 30)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        await until(pilot, lambda: app.feed.port is not None)
        app.show_mode("inbox")
        await until(
            pilot, lambda: isinstance(app.screen, InboxScreen) and len(app.screen.requests_table.rows) == 2
        )
        assert isinstance(app.screen, InboxScreen)
        table = app.screen.requests_table
        await pilot.press("down")
        urgent = await bare.ask("approval", prompt="Now?", deadline=timedelta(minutes=1))
        await until(pilot, lambda: "1 new · ." in drawn(app))
        assert [row.id for row in table.rows] == [each.id for each in first]
        await pilot.press("full_stop")
        assert [row.id for row in table.rows] == [urgent.id, *(each.id for each in first)]
        assert table.row is not None
        assert table.row.id == first[1].id, "the cursor stays on its row"
        await bare.by(bare.actor, "answer", first[1].id, first[1].revision, Answer("approved"))
        await until(pilot, lambda: table.row is None)
        assert "×" in drawn(app), "the row that is gone is marked, also without colours"
        await pilot.press("enter")
        assert not isinstance(app.screen, AnswerDialog)
        monkeypatch.setattr(steady, "HAND_SECONDS", 0.0)
        app._tick()
        await until(pilot, lambda: len(table.rows) == 2 and table.row is not None)
        await pilot.press("full_stop")
        await until(
            pilot, lambda: any("No rows are held back" in each.message for each in app._notifications)
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Press random keys while rows move.")
    parser.add_argument("--presses", type=int, default=10_000)
    presses = parser.parse_args().presses
    steady.HAND_SECONDS = 1e9
    for paged in (False, True):
        asyncio.run(press_while_rows_move(paged, presses, random.randrange(1_000_000)))
        print(f"{presses} keys in a {'paged ' if paged else ''}list: each acted on its row")
