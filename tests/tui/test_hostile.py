"""What a workflow says stays in the panes that show it: around them not a cell differs, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len, chop_cells
from rich.style import Style
from textual.content import Content
from textual.geometry import Region
from textual.pilot import Pilot

from tests.tui import absurd
from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_answer import request_for
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.text import is_harmless, plain
from victor_tui.widgets.json_view import TextLines
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.usefixtures("painted")

Cell = tuple[str, Style | None]
SHORT = absurd.QUESTION | {"context": {"key": absurd.LINE, "text": f"{absurd.FAKE}\n{absurd.LINE}"}}
"""Without the long parts, which are about time and not about frames."""
CONTENTS: dict[str, Callable[[str], str]] = {
    "hostile": lambda text: text,
    "harmless": lambda text: "".join(char if char in " \n" else "x" * cell_len(char) for char in plain(text)),
}


def filled(value: Any, content: Callable[[str], str]) -> Any:
    """The same value with every text put through `content`."""
    if isinstance(value, str):
        return content(value)
    if isinstance(value, dict):
        return {content(key): filled(member, content) for key, member in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(filled(member, content) for member in value)
    return value


def said(fields: dict[str, Any], content: Callable[[str], str]) -> dict[str, Any]:
    """The fields of a question, with every text of them put through `content`."""
    return {name: value if name == "choices" else filled(value, content) for name, value in fields.items()}


def cells(pilot: Pilot[Any], panes: list[Region]) -> dict[tuple[int, int], Cell]:
    """Every cell outside of these panes, and that nothing anywhere acts on a terminal."""
    found: dict[tuple[int, int], Cell] = {}
    width, height = pilot.app.size
    strips = pilot.app.screen._compositor.render_strips()
    assert len(strips) == height
    for y, strip in enumerate(strips):
        assert cell_len(strip.text) == width
        x = 0
        for segment in strip:
            assert all(is_harmless(char) for char in segment.text)
            for char in segment.text:
                if not any(pane.contains(x, y) for pane in panes):
                    found[x, y] = char, segment.style
                x += cell_len(char)
    return found


def panes_of(pilot: Pilot[Any], *names: str) -> list[Region]:
    return [pilot.app.screen.query_one(name).region for name in names]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("kind", [name for name in absurd.KINDS if name != "override-form"])
async def test_a_dialog(size: tuple[int, int], kind: str) -> None:
    around = {}
    for name, content in CONTENTS.items():
        port = RealPort()
        form, more = absurd.KINDS[kind]
        more = {
            key: value for key, value in more.items() if key not in ("choices", "default", "input_schema")
        }
        more |= {"document": absurd.DIFF[:3000]} if form == "review" else {}
        if form == "choice":
            more["choices"] = tuple(
                replace(choice, label=content(choice.label), description=content(choice.description))
                for choice in absurd.CHOICES[:30]
            )
        request = request_for(port, form, **said({**SHORT, **more}, content))
        async with console(port).run_test(size=size, notifications=False) as pilot:
            await pilot.pause()
            pilot.app.push_screen(AnswerDialog(request))
            await pilot.pause()
            await pilot.press("pagedown")
            await pilot.pause()
            around[name] = cells(pilot, panes_of(pilot, "#head", "#body"))
            body = pilot.app.screen.query_one("#body").region
            assert pilot.app.screen.query_one("#actions").region.bottom < size[1]
            assert body.height > size[1] // 3
    assert around["hostile"] == around["harmless"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_the_inbox_and_its_toast(tmp_path: Path, size: tuple[int, int]) -> None:
    around = {}
    for name, content in CONTENTS.items():
        port = RealPort(tmp_path / "workflows", state=tmp_path / name)  # the header shows where it is
        asked = {"title": absurd.LINE * 3, "prompt": absurd.PROMPT, "context": {"text": absurd.LINE}}
        more = said(asked, content)
        app = console(port)
        async with app.run_test(size=size, notifications=False) as pilot:
            await until(pilot, lambda app=app: app.feed.port)
            await pilot.press("3")
            await until(pilot, lambda app=app: app.screen.query("#requests"))
            for number in range(3):
                await port.ask("approval", **more, deadline=timedelta(minutes=12 + number))
            await until(pilot, lambda app=app: len(app.screen.query_one("#requests", LineTable).rows) == 3)
            await pilot.pause()
            await pilot.press("down")
            await until(pilot, lambda app=app: app.screen.current is app.screen.query_one(LineTable).row)
            await pilot.pause()
            panes = [each.region for each in pilot.app.screen.query("LineTable, RequestPreview")]
            around[name] = cells(pilot, panes)
    assert around["hostile"] == around["harmless"]


async def test_of_40_000_lines_only_those_that_are_seen_are_made(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = TextLines._content

    def counted(self: TextLines, line: str) -> Content:
        made.append(line)
        return make(self, line)

    monkeypatch.setattr(TextLines, "_content", counted)
    request = await bare.ask("review", document=absurd.DIFF, context={"diff": absurd.DIFF})
    async with console(bare).run_test(size=(80, 24)) as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        dialog.query_one("#document").focus()
        await pilot.press("end")
        await pilot.pause()
        assert any("39999 " in strip.text for strip in pilot.app.screen._compositor.render_strips())
    assert 0 < len(made) < 1000


def test_the_two_contents_are_as_wide() -> None:
    hostile, harmless = plain(absurd.LINE), CONTENTS["harmless"](absurd.LINE)
    assert cell_len(harmless) == sum(map(cell_len, hostile))
    assert chop_cells(harmless, 10)
