"""The filter line above a table: understood while it is typed, with its fault said at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from victor_tui.filters import Filter, FilterError, parse_filter


class FilterBar(Horizontal):
    """An input for the filter language. Enter goes back to the table, escape also clears."""

    DEFAULT_CSS = """
    FilterBar { height: 1; background: $surface; padding: 0 1; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    FilterBar Input:focus { border: none; }
    FilterBar .prompt { width: 2; color: $primary; }
    FilterBar .note { width: auto; max-width: 60%; color: $text-muted; padding: 0 0 0 1; }
    FilterBar .note.-bad { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear filter", id="filter.clear", tooltip="Clear the filter"),
    ]

    class Changed(Message):
        """What stands there means this: a `Filter`, or what the bar's own `parse` gives."""

        def __init__(self, filter: Any) -> None:
            super().__init__()
            self.filter = filter

    class Done(Message):
        """The operator is done typing."""

    def __init__(
        self,
        placeholder: str,
        zone: tzinfo | None = None,
        parse: Callable[[str, datetime, tzinfo | None], Any] = parse_filter,
    ) -> None:
        super().__init__()
        self._parse = parse
        self._input = Input(placeholder=placeholder, compact=True, select_on_focus=False)
        self._note = Static("", classes="note", markup=False)
        self.zone = zone
        self.filter: Any = Filter()

    def compose(self) -> ComposeResult:
        yield Static("/", classes="prompt", markup=False)
        yield self._input
        yield self._note

    @property
    def value(self) -> str:
        return self._input.value

    @value.setter
    def value(self, text: str) -> None:
        self._input.value = text

    def edit(self) -> None:
        self._input.focus()

    def note(self, text: str, bad: bool = False) -> None:
        """Say how many were found, or what is wrong."""
        self._note.update(text)
        self._note.set_class(bad, "-bad")

    def _now(self) -> datetime:
        clock = getattr(self.app, "clock", None)
        return clock.now() if clock is not None else datetime.now().astimezone()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            found = self._parse(event.value, self._now(), self.zone)
        except FilterError as error:
            self.note(str(error), bad=True)
            return
        self.note("")
        self.filter = found
        self.post_message(self.Changed(found))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())

    def action_clear(self) -> None:
        self._input.value = ""
        self.post_message(self.Done())
