"""The dialog that asks for trust in a workspace, with everything that it would execute."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_engine.api import TrustInfo
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line


class TrustDialog(Dialog[bool | None]):
    """A dialog that dismisses with True if the user trusts the workspace."""

    def __init__(self, info: TrustInfo) -> None:
        super().__init__()
        self._info = info

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            head = Content.assemble(
                ("Trust ", "bold"), (one_line(self._info.workspace), "bold $primary"), ("?", "bold")
            )
            yield Static(head, id="head")
            with DialogBody(id="body"):
                yield Static(
                    "Its schedules and runs would execute the following, as your user:",
                    markup=False,
                    classes="text",
                )
                yield Static(self._listing(), classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Trust", id="yes", variant="warning", compact=True)
                yield Button("View only", id="no", compact=True)
                yield Label("ctrl+s trust · esc view only", classes="hint")

    def _listing(self) -> Content:
        parts: list[Content] = []
        groups = (
            ("Commands", self._info.commands),
            ("Functions", self._info.functions),
            ("Addresses", self._info.urls),
        )
        changes = tuple(f"{change.how:<8} {change.path}" for change in self._info.changes)
        for title, items in (*groups, (f"Changed since {self._info.by} trusted it", changes)):
            if items and (self._info.by or items is not changes):
                parts.append(Content.styled(f"\n{title}", "$text-muted"))
                parts.extend(Content(f"  {one_line(item)}") for item in items)
        return Content("\n").join(parts or [Content.styled("  nothing", "$text-muted")])

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes" or None)

    def action_submit(self) -> None:
        self.dismiss(True)
