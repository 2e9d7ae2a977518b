"""The dialog that points an alias at a version, or sends it a percentage of new runs."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.api import AliasInfo, VersionInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.text import one_line


class AliasDialog(SendingDialog[None]):
    """A dialog that sends the alias itself and stays open after an error."""

    SENDS = "yes"
    METHOD = "set_alias"

    def __init__(self, info: VersionInfo, aliases: list[AliasInfo]) -> None:
        super().__init__()
        self._info = info
        self._aliases = {alias.name: alias for alias in aliases}

    def compose(self) -> ComposeResult:
        info = self._info
        name = next(iter(info.aliases or tuple(self._aliases)), "stable")
        known = ", ".join(
            f"{alias.name} is {' / '.join(side.version for side in alias.sides)}"
            for alias in self._aliases.values()
        )
        with Vertical(id="box"):
            yield Static(
                Content.assemble(
                    ("Alias for ", "bold"), (one_line(f"{info.workflow} {info.version}"), "bold $primary")
                ),
                id="head",
            )
            with DialogBody(id="body", can_focus=False):
                yield Label("Alias", classes="label")
                yield Input(name, id="alias", compact=True)
                yield Label("Traffic % (the rest stays on the current version)", classes="label")
                yield Input("100", id="weight", type="integer", compact=True)
                yield Label("Note (goes into the audit trail)", classes="label")
                yield Input(id="note", compact=True)
                if known:
                    yield Static(one_line(known, 300), markup=False, classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Set", id="yes", variant="primary", compact=True)
                yield Button("Cancel", id="no", compact=True)
                yield Label("ctrl+s set · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#alias").focus()

    def action_submit(self) -> None:
        self._send()

    @work(group="send", exclusive=True)
    async def _send(self) -> None:
        """Set the alias."""
        name, weight, note = (
            self.query_one(f"#{field}", Input).value.strip() for field in ("alias", "weight", "note")
        )
        old = self._aliases.get(name)
        share = int(weight) if weight.isdigit() else 0
        if not 1 <= share <= 100:
            self.show_error("The traffic must be 1 to 100 percent.")
            return
        if share < 100 and (old is None or old.version == self._info.version):
            self.show_error(
                f"{name or 'The alias'} points to no other version that could take the rest: enter 100."
            )
            return
        workflow, version = self._info.workflow, self._info.version
        try:
            if share == 100 or old is None:
                await self.port.set_alias(workflow, name, version, note=note)
            else:
                await self.port.set_alias(workflow, name, old.version, version, share, note)
        except VictorError as error:
            self.show_error(error.message)
            return
        self.dismiss(None)
