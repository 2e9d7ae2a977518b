"""The help dialog: all keys of a screen or dialog and of the console, on one page."""

from __future__ import annotations

from typing import Any

from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.keys import format_key
from textual.screen import Screen
from textual.widgets import Button, Label, Static

from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.key_table import NO_EFFECT_ID, SCOPES, SCREENS
from victor_tui.text import fit, one_line
from victor_tui.textual_compat import binding_chain

_KEYS_WIDTH = 7
_COLUMN = 24
"""Minimum width of a column in cells."""
_WIDEST = 96
"""Maximum width of the box in cells."""
_AROUND = 7
"""Cells beside the columns: border, padding and scrollbar of the box."""
_ROWS = {key.id: key for keys in SCOPES.values() for key in keys}
_SHOW = tuple(f"app.{mode}" for mode, _, _ in SCREENS)

_IN_FOOT = frozenset(
    {
        "Up",
        "Down",
        "Page up",
        "Page down",
        "Top",
        "Bottom",
        "Scroll up",
        "Scroll down",
        "Prior field",
        "Redraw",
        "Suspend",
    }
)
"""The names of the keys that the foot of the help names, so that the others fit on a page."""

HelpRow = tuple[str, str]
"""Keys and name."""


def help_groups(screen: Screen[Any], app: App[Any]) -> dict[str, list[HelpRow]]:
    """Return the rows of the table of keys that reach `screen`, by group.

    Keys of the same action share a row. Keys that are not available now are included, those that never apply are not.
    """
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    here = "This dialog" if screen.is_modal else "This screen"
    for node, bindings in binding_chain(screen):
        if node is app and screen.is_modal:
            continue
        title = "Everywhere" if node is app else here if node is screen else "The list or field"
        for binding in (each for same in bindings.key_to_bindings.values() for each in same):
            row = _ROWS.get(binding.id or "")
            if row is None or row.name in _IN_FOOT or NO_EFFECT_ID.search(row.id):
                continue
            if isinstance(node, Dialog) and not node.applies(row.action):
                continue
            action, name = (row.action, row.name) if row.id not in _SHOW else ("show", "Screens")
            signs = found.setdefault(title, {}).setdefault((action, name), [])
            display = "1-5" if action == "show" else _sign(binding.key)
            if display not in signs:
                signs.append(display)
    return {
        title: [(" ".join(signs[:3]), name) for (_, name), signs in found[title].items()]
        for title in (here, "The list or field", "Everywhere")
        if title in found
    }


def _sign(key: str) -> str:
    modifier, _, rest = key.rpartition("+")
    return f"{'^' if modifier == 'ctrl' else modifier + '+' if modifier else ''}{format_key(rest)}"


def in_columns(groups: dict[str, list[HelpRow]], width: int) -> Content:
    """Return the groups, each in as many columns as fit into `width` cells, read from top to bottom."""
    count = max(1, width // _COLUMN)
    column = width // count
    lines: list[Content] = []
    for title, rows in groups.items():
        lines.append(Content.styled(title, "$text-muted"))
        height = -(-len(rows) // count)
        for y in range(height):
            cells = [rows[i] for i in range(y, len(rows), height)]
            lines.append(
                Content.assemble(
                    *(
                        part
                        for keys, name in cells
                        for part in (
                            (f"{keys:<{_KEYS_WIDTH}} ", "bold $accent"),
                            fit(one_line(name), max(1, column - 1 - max(_KEYS_WIDTH, len(keys)))),
                        )
                    )
                )
            )
    return Content("\n").join(lines)


class HelpDialog(Dialog[None]):
    """A list of the keys of `screen` and of the console."""

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._of = screen

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled("Keys", "bold"), id="head")
            with DialogBody(id="body"):
                yield Static(self._listing(), id="keys", classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", compact=True)
                yield Label(
                    "arrows, pgup, pgdn, home, end move · ^z suspend · f12 redraw · esc close", classes="hint"
                )

    def _listing(self) -> Content:
        return in_columns(help_groups(self._of, self.app), min(self.app.size.width, _WIDEST) - _AROUND)

    def on_mount(self) -> None:
        self.query_one("#body").focus()

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        self.dismiss(None)
