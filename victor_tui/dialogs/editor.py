"""Editing of long texts in $EDITOR, with the console suspended."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SuspendNotSupported
from textual.binding import BindingType
from textual.widgets import TextArea

from victor_tui.dialogs.base import Held, ResultT
from victor_tui.keys import bindings
from victor_tui.widgets.form import Form


class EditorDialog(Held[ResultT]):
    """A dialog whose long texts can be edited in $EDITOR."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("editor")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "switch_form":
            return bool(self.query(Form))
        return action != "edit" or self._long_text() is not None

    async def action_switch_form(self) -> None:
        """Change between the fields of the form and its JSON."""
        await self.query_one(Form).switch()

    def _long_text(self) -> TextArea | None:
        """Return the focused text area, or the text area of the answer."""
        if isinstance(self.focused, TextArea):
            return self.focused
        return next(iter(self.query("#answer").results(TextArea)), None)

    def action_edit(self) -> None:
        """Edit the long text in $EDITOR, or show an error if the editor is not available."""
        area = self._long_text()
        if area is None:
            return
        try:
            text = edit_text(self.app, area.text, os.environ, area.name or ".md")
        except (OSError, UnicodeDecodeError, SuspendNotSupported) as error:
            self.show_error(f"Cannot use $EDITOR ({error}). Edit in the field.", "$warning")
            return
        area.text = text
        area.focus()


def edit_text(app: App[Any], text: str, environment: Mapping[str, str], suffix: str = ".md") -> str:
    """Edit `text` in the editor of `environment`, and return the result.

    Raises OSError if the editor cannot start or fails, and SuspendNotSupported in a web terminal.
    """
    command = environment.get("VISUAL") or environment.get("EDITOR")
    if not command:
        raise OSError("neither VISUAL nor EDITOR is set")
    with tempfile.TemporaryDirectory(prefix="victor-") as folder:
        path = Path(folder) / f"answer{suffix}"
        path.write_text(text, encoding="utf-8")
        with app.suspend():
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
        if done.returncode:
            raise OSError(f"{command} exited with status {done.returncode}")
        return path.read_text(encoding="utf-8")
