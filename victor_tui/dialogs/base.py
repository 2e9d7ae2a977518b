"""The base of all dialogs: a box with a scrolling body and actions that are always visible."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, TypeVar

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Select, Static, TextArea

from victor_engine.text import json_safe
from victor_tui.app_context import InConsole
from victor_tui.feed import FeedReader
from victor_tui.keys import bindings
from victor_tui.screen_lifecycle import DebounceTimer, in_document_order, is_alive
from victor_tui.text import plain
from victor_tui.textual_compat import ToastRack
from victor_tui.widgets.choices import One

ResultT = TypeVar("ResultT")

HOLD = 0.3
"""Time in seconds for which a confirmation ignores keys after it is drawn."""


class DialogBody(VerticalScroll, can_focus=True):
    """The scrolling part of a dialog. It is focusable, so that keys can scroll it."""


class Dialog(ModalScreen[ResultT], InConsole, FeedReader):
    """A modal box: `#head`, `#body`, `#error` and `#actions`. Escape closes it, ctrl+s submits it."""

    # Absolute: a relative path would be looked for beside the module of each subclass.
    CSS_PATH = Path(__file__).with_name("dialogs.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("dialog")

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.debounce = DebounceTimer(self)

    @property
    def focus_chain(self) -> list[Widget]:
        """The widgets that can get the focus, in the order of the document."""
        return in_document_order(self, super().focus_chain)

    def on_screen_suspend(self) -> None:
        if not is_alive(self):
            self.debounce.stop()

    def on_mount(self) -> None:
        self._fit_body()
        # A new error line has its height only after the layout.
        self.watch(self.query_one("#error"), "virtual_size", self._fit_body, init=False)
        for messages in self.query(ToastRack):
            self.watch(messages, "virtual_size", self._fit_body, init=False)

    def on_resize(self) -> None:
        self._fit_body()

    def _fit_body(self) -> None:
        """Limit the height of the body to the space beside head, error and actions, after the layout."""
        self.call_after_refresh(self._limit_body)

    def _limit_body(self) -> None:
        if not is_alive(self):  # it was closed before it was laid out
            return
        around = sum(self.query_one(name).outer_size.height for name in ("#head", "#error", "#actions"))
        messages = sum(each.outer_size.height for each in self.query(ToastRack))
        free = self.app.size.height - around - messages - 2
        self.query_one("#body", DialogBody).styles.max_height = max(3, free)

    def applies(self, action: str) -> bool:
        """Return whether an action can ever apply to this dialog. The help leaves out the keys of the others."""
        return True

    def typing(self) -> bool:
        """Return whether the focused field takes letter keys."""
        return isinstance(self.focused, Input | TextArea | Select | One)

    def show_error(self, text: str, style: str = "$error") -> None:
        """Show an error under the body; an empty text hides the line."""
        line = self.query_one("#error", Static)
        line.update(Content.styled(plain(text), style))
        line.display = bool(text)
        self._fit_body()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        """Submit the dialog: press its main button, unless a subclass sends it in its own way."""
        for button in self.query("#actions Button.-primary").results(Button):
            button.press()

    def action_scroll_body(self, by: int) -> None:
        body = self.query_one("#body", DialogBody)
        body.scroll_relative(y=by * max(1, body.size.height - 1), animate=False)


class Held(Dialog[ResultT]):
    """A confirmation that ignores keys for the first `HOLD` seconds, because the user typed them before reading it."""

    _drawn_at: float | None = None

    def on_mount(self) -> None:
        self.call_after_refresh(self._note_drawn)

    def _note_drawn(self) -> None:
        self._drawn_at = self.console.clock.monotonic()

    def typed_ahead(self, key: str) -> bool:
        if HOLD <= 0:
            return False
        return self._drawn_at is None or self.console.clock.monotonic() - self._drawn_at < HOLD


class SendingDialog(Dialog[ResultT]):
    """A dialog in which one button and Enter submit like ctrl+s, and every other button cancels."""

    SENDS: ClassVar[str] = ""
    """The id of the button that submits."""
    ENTER_SENDS: ClassVar[bool] = True
    """Whether Enter in a field submits. In a form with many fields it moves to the next field."""
    METHOD: ClassVar[str] = ""
    """The method of the port that this dialog leads to; empty if it depends on the input."""
    _refused = False

    def show_access(self) -> None:
        refused = self.console.access.refusal("submit", self)
        sends = self.query(f"#{self.SENDS}").results(Button) if self.SENDS else ()
        for button in sends:
            if refused is not None:
                self.show_error(f"{refused} Your text stays here; esc closes.", "$warning")
            elif self._refused:
                self.show_error("")
            if refused is not None or self._refused:
                button.disabled = refused is not None
            self._refused = refused is not None

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == self.SENDS:
            self.action_submit()
        else:
            self.action_leave()

    def on_input_submitted(self) -> None:
        self.entered()

    def entered(self) -> None:
        """Handle Enter in a single-line field."""
        if self.ENTER_SENDS:
            self.action_submit()
        else:
            self.focus_next()


def json_text(value: object) -> str:
    """Return a value as JSON for editing, with escapes for invisible characters."""
    import json

    return json_safe(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def json_object(text: str) -> tuple[dict[str, object] | None, str]:
    """Return the JSON object in `text`, or None and an error with line and column."""
    import json

    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        return None, f"Line {error.lineno}, column {error.colno}: {error.msg}."
    except (ValueError, RecursionError):
        return None, "The JSON is nested too deeply, or has a number with too many digits."
    if not isinstance(value, dict):
        return None, f"Write a JSON object ({{…}}), not {type(value).__name__}."
    return value, ""
