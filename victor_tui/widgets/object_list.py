"""A list of objects with a line for each, with keys that add, edit, move and remove entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from victor_tui.keys import bindings
from victor_tui.text import one_line, word
from victor_tui.widgets.form_secrets import masked

RowDialogFactory = Callable[[str, Mapping[str, Any], Any], ModalScreen[dict[str, Any] | None]]
"""Creates the dialog of one entry from a title, the schema of the entry, and the entry, or None for a new
one."""


class Rows(OptionList):
    """A list of `rows`, each a JSON object for `schema`.

    The last line adds an entry. `dialog` edits an entry.
    """

    DEFAULT_CSS = """
    Rows { text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("rows")

    class Changed(Message):
        """An entry was added, edited, moved or removed."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            return self.rows

    def __init__(
        self,
        schema: Mapping[str, Any],
        rows: list[Any],
        *,
        title: str,
        dialog: RowDialogFactory,
        id: str,
    ) -> None:
        self._schema, self._title, self._dialog = schema, title, dialog
        self._rows: list[Any] = deepcopy(rows)
        super().__init__(*self._entries(), id=id, compact=True, markup=False)

    @property
    def rows(self) -> list[Any]:
        return deepcopy(self._rows)

    @rows.setter
    def rows(self, rows: list[Any]) -> None:
        self._rows = deepcopy(rows)
        self._show(self.highlighted or 0)

    def _entries(self) -> list[Option]:
        lines = [
            Option(Content(f"{number}  {summary(masked(self._schema, row, {}))}"))
            for number, row in enumerate(self._rows, 1)
        ]
        keys = "n adds · enter edits · x removes · J K move" if self._rows else "n or enter adds one"
        return [*lines, Option(Content.assemble(("+  ", "bold"), (keys, "$text-muted")))]

    def _show(self, index: int) -> None:
        self.set_options(self._entries())
        self.highlighted = index
        self.post_message(self.Changed(self))

    def _current(self) -> int | None:
        """Return the index of the entry under the cursor, or None on the line that adds an entry."""
        index = self.highlighted
        return index if index is not None and index < len(self._rows) else None

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Edit the clicked entry. Enter has its own binding."""
        event.stop()
        await self._edit(self._current())

    async def action_edit(self) -> None:
        await self._edit(self._current())

    async def action_add(self) -> None:
        await self._edit(None)

    async def _edit(self, index: int | None) -> None:
        """Open the form of an entry before the next key is handled."""

        def keep(value: dict[str, Any] | None) -> None:
            if value is None:
                return
            at = len(self._rows) if index is None else index
            self._rows[at : at + 1] = [value]
            self._show(at)

        number = len(self._rows) if index is None else index
        name = f"{self._title} › {number + 1}" + (" (new)" if index is None else "")
        row = None if index is None else deepcopy(self._rows[index])
        await self.app.push_screen(self._dialog(name, self._schema, row), keep)

    def action_remove(self) -> None:
        index = self._current()
        if index is not None:
            del self._rows[index]
            self._show(index)

    def action_move(self, by: int) -> None:
        index = self._current()
        if index is not None and 0 <= index + by < len(self._rows):
            self._rows.insert(index + by, self._rows.pop(index))
            self._show(index + by)


def summary(row: Any) -> str:
    """Return the content of an entry on one line."""
    if not isinstance(row, Mapping):
        return one_line(word(row), 200)
    return one_line(" · ".join(f"{name}: {word(value)}" for name, value in row.items()) or "(empty)", 200)
