"""The help dialog: all keys of a screen and of the console."""

from __future__ import annotations

from typing import Any

from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Label, Static

from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import fit, one_line
from victor_tui.textual_compat import binding_chain

_KEYS_WIDTH = 16
_NAME_WIDTH = 16

HelpRow = tuple[str, str, str]
"""Keys, description, tooltip."""


def help_groups(screen: Screen[Any], app: App[Any]) -> dict[str, list[HelpRow]]:
    """Return the bindings that reach `screen` by group.

    Keys of the same action share a row. Unavailable keys are included. Common keys without a tooltip come
    last.
    """
    found: dict[str, dict[tuple[str, str], tuple[list[str], str]]] = {}
    for node, bindings in binding_chain(screen):
        if node is app and screen.is_modal:
            continue
        title = (
            "Everywhere"
            if node is app
            else "This dialog"
            if node is screen and screen.is_modal
            else "This screen"
            if node is screen
            else "The list or field"
        )
        group = found.setdefault(title, {})
        for binding in (each for same in bindings.key_to_bindings.values() for each in same):
            if not binding.description or binding.system:
                continue
            keys, _ = group.setdefault((binding.action, binding.description), ([], binding.tooltip))
            display = app.get_key_display(binding)
            if display not in keys:
                keys.append(display)
    groups: dict[str, list[HelpRow]] = {}
    for title in ("This screen", "This dialog", "The list or field", "Everywhere"):
        rows = [(" ".join(keys), name, tip) for (_, name), (keys, tip) in found.get(title, {}).items()]
        if rows:
            groups[title] = sorted(rows, key=lambda row: not row[2])
    return groups


class HelpDialog(Dialog[None]):
    """A list of the keys of `screen` and of the console."""

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._of = screen

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled("Keys", "bold"), id="head")
            with DialogBody(id="body"):
                yield Static(self._listing(), classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", compact=True)
                yield Label("↑ ↓ pgup pgdn scroll · esc close", classes="hint")

    def _listing(self) -> Content:
        lines: list[Content] = []
        for title, rows in help_groups(self._of, self.app).items():
            if lines:
                lines.append(Content(""))
            lines.append(Content.styled(title, "$text-muted"))
            for keys, name, tip in rows:
                # A long list of keys shifts its row, so that no key is cut off.
                lines.append(
                    Content.assemble(
                        (f"  {keys:<{_KEYS_WIDTH}} ", "bold $accent"),
                        fit(one_line(name), _NAME_WIDTH),
                        (f" {one_line(tip)}" if tip and tip != name else "", "$text-muted"),
                    )
                )
        return Content("\n").join(lines)

    def on_mount(self) -> None:
        self.query_one("#body").focus()

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        self.dismiss(None)
