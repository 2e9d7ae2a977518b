"""The command line: screens with a filter, themes, and every action of the palette by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Label, Static

from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.command_palette import palette_bindings
from victor_tui.command_words import as_filter, complete_argument
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.keys import SCREENS, bindings
from victor_tui.text import clean, one_line
from victor_tui.widgets.filter_bar import FilterBar

_SHOWN = 8
"""Maximum number of completions that are shown."""
_FILTERED = tuple(mode for mode, _, _ in SCREENS)
"""The screens that a command shows, with a filter."""


class CommandLine(SendingDialog[None]):
    """A line for a command on `screen`. Tab completes, enter executes."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("command")

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._names: list[str] = []
        """The workflows whose names complete the last word."""
        self._actions = {
            binding.description.lower(): (binding, node) for binding, node in palette_bindings(screen)
        }

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled("Command", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Input(placeholder="runs deploy status:failed", id="command", compact=True)
                yield Static(id="completions", markup=False, classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Label("tab complete · enter execute · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._show("")

    def completions(self, text: str) -> list[str]:
        """Return the commands that begin with `text`."""
        text = text.lstrip(": ").lower()
        if text.startswith("theme "):
            return [name for name in self._themes() if name.startswith(text)]
        if (mode := self._mode_of(text)) is not None:
            return complete_argument(text, mode, self._names)
        names = ["q", *_FILTERED, "theme", *sorted(self._actions)]
        return [name for name in dict.fromkeys(names) if name.startswith(text)]

    @staticmethod
    def _mode_of(text: str) -> str | None:
        """Return the screen that a command with arguments names, or None."""
        word, space, _ = text.partition(" ")
        return word if space and word in _FILTERED else None

    @work(group="names", exclusive=True)
    async def _load_names(self, text: str) -> None:
        """Load the names of workflows that complete the last word, and show them."""
        try:
            found = await self.port.find(text.rpartition(" ")[2], ("workflow",), _SHOWN)
        except VictorError as error:
            self.show_error(error.message)
            return
        self._names = [each.id for each in found]
        self._show(self.query_one(Input).value)

    def _themes(self) -> list[str]:
        return [f"theme {name}" for name in self.console.themes.names]

    def _show(self, text: str) -> None:
        found = self.completions(text)
        more = f"  … {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        shown = "\n".join(one_line(name, 60) for name in found[:_SHOWN])
        self.query_one("#completions", Static).update(Content.styled(f"{shown}{more}", "$text-muted"))

    def on_input_changed(self, event: Input.Changed) -> None:
        self.show_error("")
        self._show(event.value)
        text = event.value.lstrip(": ").lower()
        if self._mode_of(text) is not None:
            self._load_names(text)

    def action_complete(self) -> None:
        """Complete the command, up to where the completions differ."""
        field = self.query_one(Input)
        found = self.completions(field.value)
        if found:
            common = found[0]
            while not all(name.startswith(common) for name in found):
                common = common[:-1]
            field.value = common
            field.cursor_position = len(common)

    def action_submit(self) -> None:
        text = self.query_one(Input).value.lstrip(": ").strip()
        word, _, rest = text.partition(" ")
        if not text:
            self.dismiss(None)
        elif word.lower() in _FILTERED:
            self._leave_for(lambda: self._show_screen(word.lower(), rest.strip()))
        elif word == "theme":
            self._set_theme(rest.strip())
        elif text in ("q", "quit"):
            self._leave_for(lambda: self.app.run_worker(self.app.run_action("leave"), group="command"))
        elif text.lower() in self._actions:
            binding, node = self._actions[text.lower()]
            self._leave_for(
                lambda: self.app.run_worker(self.app.run_action(binding.action, node), group="command")
            )
        else:
            near = self.completions(text)
            remedy = f"Did you mean {near[0]}?" if near else "tab shows the commands; ctrl+p searches them."
            self.show_error(f"{one_line(text, 40)} is not a command here. {remedy}")

    def _leave_for(self, then: Callable[[], object]) -> None:
        self.dismiss(None)
        self.app.call_later(then)

    def _set_theme(self, name: str) -> None:
        if problem := self.console.themes.choose(name):
            self.show_error(clean(problem))
        else:
            self.dismiss(None)

    def _show_screen(self, mode: str, words: str) -> None:
        console = self.console
        console.show_mode(mode)
        if words:
            console.call_after_refresh(set_filter, console.screen, as_filter(mode, words))


def set_filter(screen: Screen[Any], text: str) -> None:
    """Set the filter of a screen, or show that it has none."""
    if isinstance(screen, TableScreen) and screen.query(FilterBar):
        screen.show_filter(text)
    else:
        screen.notify("This screen has no filter.", severity="warning", markup=False)
