"""Whatever a widget draws, nothing of it commands the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.widgets import Static, TextArea

from tests.tui import absurd
from tests.tui.conftest import console
from tests.tui.realport import RealPort
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.output_guard import ControlCharacterFilter, filter_controls
from victor_tui.text import is_harmless

pytestmark = pytest.mark.usefixtures("painted")


@given(st.text())
def test_the_rest_of_the_line_stays_where_it_was(text: str) -> None:
    text = "".join(char for char in text if char not in "\n\t")
    shown = filter_controls(text)
    assert cell_len(shown) == cell_len(text)
    assert all(is_harmless(char) for char in shown)
    assert filter_controls(shown) == shown


def test_what_is_harmless_is_not_touched() -> None:
    segments = [Segment("│ 日本語 é ", Style(bold=True)), Segment("plain")]
    assert ControlCharacterFilter().apply(segments, Color(0, 0, 0)) is segments
    bad = [Segment("a\x1b]0;x\x07\u202eb", Style(bold=True))]
    assert ControlCharacterFilter().apply(bad, Color(0, 0, 0)) == [Segment("a]0;xb", Style(bold=True))]


@pytest.mark.parametrize("kind", ["review", "input"])
async def test_a_field_keeps_what_it_cannot_show(bare: RealPort, kind: str) -> None:
    # A field breaks lines at these, too.
    text = re.sub("[\r\x0b\x0c\x85]", "", absurd.SEQUENCES) + absurd.BIDI
    more = (
        {"document": text, "allow_edit": True} if kind == "review" else {"has_default": True, "default": text}
    )
    request = await bare.ask(kind, **more)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        assert dialog.query_one("#answer", TextArea).text == text
        drawn = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
        assert all(is_harmless(char) for line in drawn for char in line)
        told = " ".join(str(each.content) for each in dialog.query(Static))
        assert ("<U+202E> × 1" in told and "␛ × " in told) is (kind == "review")
