"""The filter line above a table. It is parsed while the user types, and errors are marked at their
position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from victor_tui.filter_language import FIELDS, Filter, FilterError, complete, hint, parse_filter
from victor_tui.keys import bindings
from victor_tui.text import clean

_PROMPT = 3
"""Width of the prompt in cells."""
_NAMES = 1000
"""Maximum number of completions of a field."""


class FilterBar(Vertical):
    """An input for the filter language. Enter goes to the table below, escape also clears the filter.

    While it has the focus, a second line shows possible input or marks an error. `fields` are the supported
    fields. Tab completes the last word. With `collapses` the bar is visible only while it has text or the focus.
    """

    DEFAULT_CSS = """
    FilterBar { height: auto; background: $surface; }
    FilterBar .line { height: 1; padding: 0 1; }
    FilterBar Input { width: 1fr; }
    FilterBar .prompt { width: 2; color: $primary; }
    FilterBar .note { width: 1; max-width: 60%; color: $text-muted; padding: 0 0 0 1; }
    FilterBar .note.-bad { color: $text-error; }
    FilterBar .help { display: none; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    FilterBar .help.-shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("filter")

    class Changed(Message):
        """The filter has changed. `filter` is a `Filter`, or the result of the `parse` of the bar."""

        def __init__(self, filter: Any) -> None:
            super().__init__()
            self.filter = filter

    def __init__(
        self,
        placeholder: str,
        zone: tzinfo | None,
        now: Callable[[], datetime],
        parse: Callable[[str, datetime, tzinfo | None], Any] = parse_filter,
        fields: Sequence[str] = tuple(FIELDS),
        *,
        collapses: bool = False,
    ) -> None:
        super().__init__()
        self._collapses = collapses
        self.display = not collapses
        self._now = now
        self._parse = parse
        self.zone = zone
        self.fields = tuple(fields)
        self.known: dict[str, list[str]] = {}
        """The completions of values by field, in alphabetical order."""
        self.filter: Any = Filter()
        self._input = Input(
            placeholder=placeholder, compact=True, select_on_focus=False, suggester=_Words(self)
        )
        self._note = Static("", classes="note", markup=False)
        self._help = Static("", classes="help", markup=False)

    def compose(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Static("/", classes="prompt", markup=False)
            yield self._input
            yield self._note
        yield self._help

    def on_mount(self) -> None:
        self._show_help(None)

    def on_descendant_focus(self) -> None:
        self._help.add_class("-shown")

    def on_descendant_blur(self) -> None:
        self._help.remove_class("-shown")

    @property
    def value(self) -> str:
        return self._input.value

    @value.setter
    def value(self, text: str) -> None:
        self._input.value = text
        self._input.cursor_position = len(text)
        self._collapse()

    def edit(self) -> None:
        self.display = True
        self._input.focus()

    def _collapse(self) -> None:
        if self._collapses and not self._input.has_focus:
            self.display = bool(self.value)

    def note(self, text: str, bad: bool = False) -> None:
        """Show the number of matches, or an error."""
        self._note.update(text)
        # Not `auto`: Textual would keep the width of a text that is replaced before it is drawn.
        self._note.styles.width = cell_len(text) + 1
        self._note.set_class(bad, "-bad")

    def add_completions(self, names: Mapping[str, Iterable[str]]) -> None:
        """Add names to the completions. They stay also when the filter hides their rows."""
        for field, found in names.items():
            self.known[field] = sorted({*self.known.get(field, ()), *found})[:_NAMES]

    def completed(self, text: str) -> str | None:
        """Return the filter with its last word completed, or None."""
        return complete(text, self.known, self.fields)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            found = self._parse(event.value, self._now(), self.zone)
        except FilterError as error:
            self.note(clean(error), bad=True)
            self._show_help(error)
            return
        self.note("")
        self._show_help(None)
        self.filter = found
        self.post_message(self.Changed(found))

    def _show_help(self, error: FilterError | None) -> None:
        """Mark the error under its position, or show possible input."""
        indent = " " * _PROMPT
        if error is None:
            words = f"{indent}{hint(self.value, self.fields)}" + ("  tab completes" if self.fields else "")
            self._help.update(Content.styled(clean(words), "$foreground-muted"))
            return
        self._help.update(
            Content.assemble(
                indent,
                (" " * error.start, ""),
                ("▔" * max(1, error.end - error.start), "$text-error"),
                (f" {hint(self.value[: error.end], self.fields)}", "$foreground-muted"),
            )
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._finish()

    def _finish(self) -> None:
        self.screen.focus_next()
        if self._collapses:
            self.display = bool(self.value)

    def action_complete(self) -> None:
        found = self.completed(self.value)
        if found is None:
            self.screen.focus_next()
        else:
            self.value = found

    def action_clear(self) -> None:
        self._input.value = ""
        self._finish()


class _Words(Suggester):
    """The suggester that shows the completion behind the cursor."""

    def __init__(self, bar: FilterBar) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._bar = bar

    async def get_suggestion(self, value: str) -> str | None:
        found = self._bar.completed(value)
        return found if found is not None and found.startswith(value) else None
