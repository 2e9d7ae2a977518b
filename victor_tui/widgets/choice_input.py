"""A text field that lists the values that exist. Other values, such as a range, can be typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from textual.binding import BindingType
from textual.suggester import SuggestFromList
from textual.widgets import Input

from victor_tui.keys import bindings
from victor_tui.text import one_line


class Choice(NamedTuple):
    """A value, and what it is."""

    value: str
    about: str = ""

    @property
    def text(self) -> str:
        return f"{self.value} ({self.about})" if self.about else self.value


class ChoiceInput(Input):
    """A text field whose up and down keys step through the values that exist. The border names them."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("choice")

    def __init__(self, value: str = "", **more: Any) -> None:
        super().__init__(value, **more)
        self._choices: list[Choice] = []
        self._focused = False
        """Whether the field has the focus; `has_focus` changes after the handlers below."""

    def offer(self, choices: Sequence[Choice]) -> None:
        """Offer these values."""
        self._choices = list(choices)
        self.suggester = SuggestFromList([choice.value for choice in choices], case_sensitive=False)
        self.show_choices()

    def show_choices(self) -> None:
        """Name the values in the lower border: the present one, and the ones beside it."""
        at = self._at()
        shown = self._choices[max(0, at) :] + self._choices[: max(0, at)]
        self.border_subtitle = one_line("↑↓ " + " · ".join(choice.text for choice in shown), 60)
        self.set_class(self._focused and bool(self._choices), "-offers")

    def _at(self) -> int:
        """Return the position of the present value, or -1."""
        values = [choice.value for choice in self._choices]
        return values.index(self.value) if self.value in values else -1

    def action_step(self, by: int) -> None:
        """Take the next or previous value."""
        if self._choices:
            at = self._at()
            self.value = self._choices[(at + by) % len(self._choices) if at >= 0 else 0].value
            self.cursor_position = len(self.value)

    def on_focus(self) -> None:
        self._focused = True
        self.show_choices()

    def on_blur(self) -> None:
        self._focused = False
        self.show_choices()

    def on_input_changed(self) -> None:
        self.show_choices()
