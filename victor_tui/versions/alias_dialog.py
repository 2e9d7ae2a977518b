"""Point an alias at a version, or give the version a share of what starts by it."""

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
    """Sends what is filled in by itself, and stays open with the reason if that is refused."""

    SENDS = "yes"

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
                yield Label(
                    "Percent of what starts (100 is all; less leaves the rest where it is)", classes="label"
                )
                yield Input("100", id="weight", type="integer", compact=True)
                yield Label("Note (goes into the history)", classes="label")
                yield Input(id="note", compact=True)
                if known:
                    yield Static(one_line(known, 300), markup=False, classes="text")
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button("Set", id="yes", variant="primary", compact=True)
                yield Button("Leave", id="no", compact=True)
                yield Label("ctrl+s set · esc leave", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#alias").focus()

    def action_submit(self) -> None:
        self._send()

    @work(group="send", exclusive=True)
    async def _send(self) -> None:
        """Set the alias as it is filled in."""
        name, weight, note = (
            self.query_one(f"#{field}", Input).value.strip() for field in ("alias", "weight", "note")
        )
        old = self._aliases.get(name)
        share = int(weight) if weight.isdigit() else 0
        if not 1 <= share <= 100:
            self.fault("The share must be 1 to 100 percent.")
            return
        if share < 100 and (old is None or old.version == self._info.version):
            self.fault(f"{name or 'It'} points nowhere else, so there is nothing to share with: make it 100.")
            return
        workflow, version = self._info.workflow, self._info.version
        try:
            if share == 100 or old is None:
                await self.port.set_alias(workflow, name, version, note=note)
            else:
                await self.port.set_alias(workflow, name, old.version, version, share, note)
        except VictorError as error:
            self.fault(error.message)
            return
        self.dismiss(None)
