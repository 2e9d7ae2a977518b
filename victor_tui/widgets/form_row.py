"""One field of a form: its title, its note, its widget, and its errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Label, Static, TextArea
from textual.widgets.selection_list import Selection

from victor_tui.text import one_line, plain, word
from victor_tui.widgets.choices import One, Several, Tick
from victor_tui.widgets.form_fields import Field
from victor_tui.widgets.form_schema import ABSENT, index_of
from victor_tui.widgets.object_list import RowDialogFactory, Rows

_HINTS = {
    "date": "2026-03-31",
    "time": "14:30",
    "date-time": "2026-03-31T14:30:00Z",
    "email": "name@example.org",
    "uri": "https://example.org",
    "duration": "PT1H30M",
    "file-path": "a path on this machine; → completes",
}
MAX_ENTRIES = 2000
"""Maximum number of entries of a directory that are read to complete a path."""
COMPLETE_SECONDS = 1.0
"""Maximum time to read a directory. A network file system can hang."""


class FieldRow(Vertical):
    """The widgets of `field`. `name_` is the end of their ids."""

    DEFAULT_CSS = """
    FieldRow { height: auto; }
    """

    def __init__(self, field: Field, state: Any, name_: str, dialog: RowDialogFactory) -> None:
        super().__init__()
        self.field = field
        self.name_ = name_
        self._state = state
        self._dialog = dialog
        self.display = field.kind != "fixed" or bool(field.reason)

    def compose(self) -> ComposeResult:
        yield Label(self._title(), classes="label")
        note = Static(Content.styled(plain(self.field.note), "$text-muted"), classes="text note")
        note.display = bool(self.field.note)
        yield note
        yield self._make()
        yield Static(classes="field-error", id=f"error-{self.name_}")

    @property
    def widget(self) -> Widget:
        return self.query_one(f"#field-{self.name_}")

    @property
    def empty(self) -> bool:
        """Whether the field has no input. A check box always has a value."""
        return not isinstance(self.widget, Tick) and self.read() in (None, "", [])

    def show(self, field: Field) -> None:
        """Show another state of the same field: it can have become required."""
        self.field = field
        self.query_one(".label", Label).update(self._title())
        note = self.query_one(".note", Static)
        note.update(Content.styled(plain(field.note), "$text-muted"))
        note.display = bool(field.note)

    def show_errors(self, errors: Sequence[str]) -> None:
        line = self.query_one(f"#error-{self.name_}", Static)
        line.display = bool(errors)
        line.update(Content(plain("; ".join(errors))))

    def _title(self) -> Content:
        if self.field.kind == "fixed":
            mark = (" not editable", "$text-muted")
        elif self.field.required:
            mark = ("*", "$warning")
        else:
            mark = (" optional", "$text-muted")
        return Content.assemble((self.field.title, "bold"), mark)

    def _make(self) -> Widget:
        field, state, name = self.field, self._state, f"field-{self.name_}"
        match field.kind:
            case "boolean":
                return Tick("yes", value=bool(state), id=name, compact=True)
            case "enum":
                picked = None if state is None else index_of(field.options, state[0])
                return One(field.labels, picked, optional=not field.required, id=name)
            case "variant":
                return One(field.labels, state, optional=not field.required, id=name)
            case "multi":
                rows = [
                    Selection(Content(label), number, index_of(state, field.options[number]) is not None)
                    for number, label in enumerate(field.labels)
                ]
                return Several(*rows, id=name, compact=True)
            case "rows":
                items = field.schema["items"]
                return Rows(items, state, title=field.title, dialog=self._dialog, id=name)
            case "fixed":
                text = "—" if field.default is ABSENT else one_line(word(field.default), 400)
                return Static(Content(text if not field.secret else "••••••"), id=name, classes="text fixed")
            case "text" | "list" | "json" if not field.secret:
                hint = {"list": "one entry per line", "json": "JSON", "text": ""}[field.kind]
                # The name is the suffix of the file in $EDITOR.
                kind = ".json" if field.kind == "json" else ".txt"
                return TextArea(state, name=kind, id=name, placeholder=hint, compact=True)
        return Input(
            state,
            id=name,
            placeholder=self._hint(),
            compact=True,
            password=field.secret,
            suggester=self._suggester(),
        )

    def _hint(self) -> str:
        if self.field.secret:
            return "not shown while you type" + ("; JSON" if self.field.kind == "json" else "")
        if self.field.options:
            return f"one of {len(self.field.options)} texts; → completes"
        hint = _HINTS.get(str(self.field.schema.get("format")), "")
        if self.field.nullable and self.field.required:
            return f"{hint}; empty for null" if hint else "empty for null"
        return hint

    def _suggester(self) -> Suggester | None:
        if self.field.secret:
            return None
        if self.field.options:
            return _FromList([str(option) for option in self.field.options])
        return PathSuggester() if self.field.schema.get("format") == "file-path" else None

    def read(self) -> Any:
        """Return the state of the widget; see `form_fields.start_of`."""
        found = self.query(f"#field-{self.name_}")
        if not found:  # the row is not composed yet
            return self._state
        widget = found.first()
        if isinstance(widget, Tick):
            untouched = self._state is None and not widget.value
            if not untouched:
                self._state = widget.value
            return self._state
        if isinstance(widget, One):
            if self.field.kind == "variant" or widget.picked is None:
                return widget.picked
            return (self.field.options[widget.picked],)
        if isinstance(widget, Several):
            return [self.field.options[number] for number in sorted(widget.selected)]
        if isinstance(widget, Rows):
            return widget.rows
        if isinstance(widget, Input):
            return widget.value
        return widget.text if isinstance(widget, TextArea) else None


class _FromList(Suggester):
    """The first of many texts that begins with the typed one."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._texts = texts

    async def get_suggestion(self, value: str) -> str | None:
        return next((text for text in self._texts if value and text.startswith(value)), None)


class PathSuggester(Suggester):
    """The common continuation of the paths of this machine that begin with the typed text.

    One directory is read at a time: a file system that hangs blocks one thread, and the field stays usable.
    """

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._reading: asyncio.Future[str | None] | None = None

    async def get_suggestion(self, value: str) -> str | None:
        if self._reading is not None and not await self._done(self._reading):
            return None
        self._reading = asyncio.ensure_future(asyncio.to_thread(completed_path, value))
        return self._reading.result() if await self._done(self._reading) else None

    async def _done(self, reading: asyncio.Future[str | None]) -> bool:
        done, _ = await asyncio.wait({reading}, timeout=COMPLETE_SECONDS)
        return bool(done)


def completed_path(text: str) -> str | None:
    """Return the text completed as far as the first `MAX_ENTRIES` entries of its directory agree, or None."""
    if not text or "\0" in text:
        return None
    folder, _, start = text.rpartition("/")
    found: list[tuple[str, bool]] = []
    try:
        where = Path(folder + "/").expanduser() if "/" in text else Path()
        with os.scandir(where) as entries:
            for number, entry in enumerate(entries):
                if number >= MAX_ENTRIES:
                    break
                if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
                    found.append((entry.name, entry.is_dir()))
    except (OSError, RuntimeError):
        return None
    if not found:
        return None
    name = _common_start([name for name, _ in found])
    if len(found) == 1 and found[0][1]:
        name += "/"
    done = text[: len(text) - len(start)] + name
    return done if done != text else None


def _common_start(names: list[str]) -> str:
    first, last = min(names), max(names)
    length = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[:length]
