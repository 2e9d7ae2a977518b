"""Only changed cells are written: a terminal that gets the changes shows the same as one that gets everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from victor_tui.changed_cells import ShownCells

WIDTH, HEIGHT = 24, 3
STYLES = (None, Style(bold=True), Style(color="red"))


class Grid:
    """A terminal: each cell has a sign and a style; a wide sign takes two cells, and a combining one none."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, Style | None]] = {}

    def paint(self, x: int, y: int, strip: Strip) -> None:
        for text, style, _ in strip:
            for sign in text:
                if not cell_len(sign):
                    before, old = self.cells.get((x - 1, y), (" ", None))
                    self.cells[x - 1, y] = (before + sign, old)
                    continue
                self.cells[x, y] = (sign, style)
                for behind in range(x + 1, x + cell_len(sign)):
                    self.cells[behind, y] = ("", style)
                x += cell_len(sign)


words = st.text(st.sampled_from("abc ─◆你e\u0301"), min_size=1, max_size=8).filter(
    lambda text: text[0] != "\u0301"
)
pieces = st.lists(st.tuples(words, st.sampled_from(STYLES)), min_size=1, max_size=3)


def strip_of(parts: list[tuple[str, Style | None]]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts])


def cut(strip: Strip, x: int) -> Strip:
    return strip.crop(0, WIDTH - x)


@given(st.lists(st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), pieces), max_size=12))
def test_the_changes_lead_to_the_same_screen(
    writes: list[tuple[int, int, list[tuple[str, Style | None]]]],
) -> None:
    whole, changed, shown = Grid(), Grid(), ShownCells()
    for x, y, parts in writes:
        for _ in range(2):
            strip = cut(strip_of(parts), x)
            whole.paint(x, y, strip)
            for start, part in shown.changes(x, y, strip):
                changed.paint(start, y, part)
        assert list(shown.changes(x, y, strip)) == []
    assert changed.cells == whole.cells


def test_a_clock_costs_the_digits_that_move() -> None:
    shown = ShownCells()
    line = " victor   ● 2 running  engine here  14:05:{}  "
    [(start, part)] = shown.changes(0, 0, Strip([Segment(line.format("09"))]))
    assert (start, part.text) == (0, line.format("09"))
    [(start, part)] = shown.changes(0, 0, Strip([Segment(line.format("10"))]))
    assert (start, part.text) == (line.index("{"), "10")


def test_distant_changes_of_a_line_are_written_apart() -> None:
    shown = ShownCells()
    list(shown.changes(0, 0, Strip([Segment("1" + " " * 20 + "1")])))
    assert [
        (start, part.text) for start, part in shown.changes(0, 0, Strip([Segment("2" + " " * 20 + "2")]))
    ] == [
        (0, "2"),
        (21, "2"),
    ]


def test_forgotten_cells_are_written_again() -> None:
    shown = ShownCells()
    strip = Strip([Segment("line")])
    list(shown.changes(0, 0, strip))
    shown.forget()
    assert [part.text for _, part in shown.changes(0, 0, strip)] == ["line"]
