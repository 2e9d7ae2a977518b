"""The console with an additional screen that shows one line of text, as the baseline of Textual itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from victor_tui import app
from victor_tui.__main__ import main

KEY, WORDS = "0", "nothing-to-see-here"


class Empty(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static(WORDS)


class WithEmpty(app.VictorApp):
    CSS_PATH = Path(app.__file__).with_name("app.tcss")
    MODES = app.VictorApp.MODES | {"empty": Empty}
    BINDINGS: ClassVar[list[BindingType]] = [Binding(KEY, "show('empty')", show=False)]


if __name__ == "__main__":
    app.VictorApp = WithEmpty  # type: ignore[misc]
    sys.exit(main())
