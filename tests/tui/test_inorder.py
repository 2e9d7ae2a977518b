"""Keys that come in a burst do what they do one by one."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, OptionList, Select, TextArea

from victor_tui.key_queue import KeyQueueApp


class Asks(ModalScreen[str]):
    def compose(self) -> ComposeResult:
        yield Input(id="asked")

    def on_mount(self) -> None:
        self.query_one("#asked").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class Fields(KeyQueueApp[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f2", "ask")]

    def compose(self) -> ComposeResult:
        yield Input(id="line")
        yield Checkbox("yes", id="yes")
        yield TextArea(id="area")
        yield OptionList("red", "green", "blue", id="list")
        yield Select([(word, word) for word in ("red", "green", "blue")], id="select")
        yield Button("go", id="go")
        yield Input(id="last")

    @work
    async def action_ask(self) -> None:
        self.query_one("#last", Input).value = await self.push_screen_wait(Asks())

    def on_button_pressed(self) -> None:
        self.query_one("#last").focus()


def key(name: str) -> events.Event:
    if name.startswith("paste "):
        return events.Paste(name.removeprefix("paste "))
    return events.Key(name, {"space": " "}.get(name, name if len(name) == 1 else None))


async def after(keys: list[str], together: bool) -> list[object]:
    """What the fields hold after keys that come at once, or one by one."""
    app = Fields()
    async with app.run_test() as pilot:
        app.query_one("#line").focus()
        await pilot.pause()
        for name in keys:
            app.post_message(key(name))
            if not together:
                await pilot.pause()
        await pilot.pause()
        return [
            app.query_one("#line", Input).value,
            app.query_one("#yes", Checkbox).value,
            app.query_one("#area", TextArea).text,
            app.query_one("#list", OptionList).highlighted,
            app.query_one("#select", Select).value,
            app.query_one("#last", Input).value,
            app.focused and app.focused.id,
        ]


BURSTS: dict[str, tuple[str, str, object]] = {
    "what takes back takes what stands before it": ("a b backspace c home d", "line", "dac"),
    "a space is not the next field's": ("tab space tab x", "yes", True),
    "each field gets its own": (
        "tab tab x enter y backspace z up w shift+tab space tab end v",
        "area",
        "xwv\nz",
    ),
    "a list": ("tab tab tab down space down up", "list", 1),
    "a list that opens": ("tab tab tab tab enter down down enter shift+tab down", "select", "green"),
    "a button that puts the cursor elsewhere": ("tab tab tab tab tab enter x y left z", "last", "xzy"),
    "a dialog that opens": ("tab f2 a b backspace c enter", "last", "ac"),
    "a dialog that goes": ("x f2 a enter y z", "line", "xyz"),
    "a paste": ("a left paste!b c", "line", "bca"),
}


@pytest.mark.parametrize("name", BURSTS)
async def test_keys_in_a_burst_do_what_they_do_one_by_one(name: str) -> None:
    keys, field, expected = BURSTS[name]
    names = [each.replace("!", " ") for each in keys.split(" ")]
    found = await after(names, together=True)
    assert found == await after(names, together=False)
    assert found[["line", "yes", "area", "list", "select", "last"].index(field)] == expected


async def test_a_key_that_does_not_come_back_holds_up_nothing_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("victor_tui.key_queue.KEY_TIMEOUT", 0.05)
    monkeypatch.setattr(KeyQueueApp, "on_key_queue_handled", lambda self, message: message.stop())
    app = Fields()
    async with app.run_test() as pilot:
        app.query_one("#line").focus()
        await pilot.pause()
        app.post_message(key("a"))
        app.post_message(key("b"))
        async with asyncio.timeout(20):
            while app.query_one("#line", Input).value != "ab":
                await asyncio.sleep(0.01)
