"""The line view: keyed updates, a cursor that stays, columns that give way, and big tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from textual.app import App, ComposeResult

from victor_tui.widgets.columns import Column, place_columns
from victor_tui.widgets.table import LineTable

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    key: int
    name: str
    due: datetime | None = None


COLUMNS: list[Column[Row]] = [
    Column("key", "Key", 6, lambda r, _: (str(r.key), "dim"), lambda r: r.key),
    Column("name", "Name", 10, lambda r, _: (r.name, "head"), lambda r: r.name, 0, 1),
    Column(
        "due",
        "Due",
        8,
        lambda r, now: (str(int((r.due - now).total_seconds())) if r.due else "", "plain"),
        lambda r: r.due,
        2,
        live=True,
    ),
]


class TableApp(App[None]):
    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self.first = rows
        self.time = NOW

    def compose(self) -> ComposeResult:
        yield LineTable[Row](COLUMNS, key=lambda r: r.key, now=lambda: self.time, empty="nothing", sort="key")

    def on_mount(self) -> None:
        self.table.set_rows(self.first)

    @property
    def table(self) -> LineTable[Row]:
        return self.query_one(LineTable)

    def line(self, y: int) -> str:
        return self.table.render_line(y).text


def rows(count: int) -> list[Row]:
    return [Row(n, f"row {n}", NOW + timedelta(seconds=n)) for n in range(count)]


def test_columns_give_way_by_priority() -> None:
    assert [p.column.key for p in place_columns(COLUMNS, 40)] == ["key", "name", "due"]
    assert [p.column.key for p in place_columns(COLUMNS, 20)] == ["key", "name"]
    assert [p.column.key for p in place_columns(COLUMNS, 3)] == ["key"]
    wide = place_columns(COLUMNS, 60)
    assert wide[1].width > 10
    assert wide[-1].x + wide[-1].width <= 61


async def test_every_line_is_exactly_as_wide_as_the_table() -> None:
    app = TableApp([Row(1, "漢字" * 20), Row(2, "x\x1b[31m"), Row(3, "[b]markup[/b]")])
    async with app.run_test(size=(33, 8)) as pilot:
        await pilot.pause()
        widths = {app.table.render_line(y).cell_length for y in range(7)}
        assert widths == {app.table.size.width}
        assert "[31m" not in app.line(2)
        assert "[b]marku" in app.line(3)


async def test_the_cursor_stays_on_its_key() -> None:
    app = TableApp(rows(30))
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.focus()
        await pilot.press("down", "down")
        assert app.table.row == rows(30)[2]
        app.table.set_rows([Row(-5, "new"), *rows(30)])
        assert app.table.row is not None
        assert app.table.row.key == 2
        app.table.set_rows([row for row in rows(30) if row.key != 2])
        assert app.table.row.key == 4 or app.table.row.key == 3
        app.table.set_rows([])
        assert app.table.row is None
        await pilot.pause()
        assert "nothing" in app.line(2)
        await pilot.press("down", "enter", "space", "end")


async def test_only_changed_rows_are_drawn_again() -> None:
    app = TableApp(rows(5))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        before = [app.table.render_line(y) for y in range(1, 6)]
        fresh = rows(5)
        fresh[3] = replace(fresh[3], name="changed")
        app.table.set_rows(fresh)
        after = [app.table.render_line(y) for y in range(1, 6)]
        same = [a is b for a, b in zip(before, after, strict=True)]
        assert same == [True, True, True, False, True]
        assert "changed" in after[3].text


async def test_live_cells_follow_the_clock() -> None:
    app = TableApp(rows(5))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        assert app.line(5).rstrip().endswith(" 4")
        app.time = NOW + timedelta(seconds=3)
        app.table.tick()
        assert app.line(5).rstrip().endswith(" 1")


async def test_sorting_is_on_values_with_missing_ones_last() -> None:
    app = TableApp([Row(10, "b"), Row(9, "c", NOW), Row(100, "a", NOW - timedelta(days=1))])
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.focus()
        assert [r.key for r in app.table.rows] == [9, 10, 100]
        await pilot.press("o")
        assert [r.name for r in app.table.rows] == ["a", "b", "c"]
        await pilot.press("o")
        assert [r.key for r in app.table.rows] == [100, 9, 10]
        await pilot.press("O")
        assert [r.key for r in app.table.rows] == [9, 100, 10]


async def test_marks_follow_keys() -> None:
    app = TableApp(rows(5))
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.focus()
        await pilot.press("space", "space")
        assert [r.key for r in app.table.marked_rows] == [0, 1]
        assert app.line(1).startswith("•")
        app.table.set_rows(rows(5)[1:])
        assert [r.key for r in app.table.marked_rows] == [1]


async def test_a_hundred_thousand_rows() -> None:
    app = TableApp(rows(100_000))
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.focus()
        await pilot.press("end")
        await pilot.pause()
        assert "row 99999" in app.line(9)
        assert app.line(0).startswith(" Key")
        await pilot.press("home", "pagedown")
        assert app.table.cursor == 8
