"""The dialog that selects a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from victor_engine.api import WorkflowInfo
from victor_tui.keys import bindings
from victor_tui.widgets.columns import Column
from victor_tui.widgets.key_bar import KeyBar
from victor_tui.widgets.table import LineTable


class PickWorkflow(ModalScreen[str | None]):
    """A list of workflows that dismisses with a name, or None."""

    DEFAULT_CSS = """
    PickWorkflow { align: center middle; }
    PickWorkflow > Vertical { width: 76; max-width: 96%; height: 16; max-height: 90%;
        background: $surface; border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("pick")

    def __init__(self, workflows: Sequence[WorkflowInfo]) -> None:
        super().__init__()
        self._workflows = sorted(workflows, key=lambda w: w.name)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Start which workflow?"
            yield LineTable[WorkflowInfo](
                [
                    Column("name", "Workflow", 20, lambda w, _: (w.name, "head"), lambda w: w.name),
                    Column(
                        "version",
                        "Version",
                        8,
                        lambda w, _: (w.versions[0].version if w.versions else "", "dim"),
                    ),
                    Column("about", "About", 20, lambda w, _: (w.description, "plain"), None, 1, 1),
                ],
                key=lambda workflow: workflow.name,
                now=lambda: datetime.now(UTC),
                empty="No workflow is registered: put a file into workflows/ and press F5.",
            )
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(LineTable).set_rows(self._workflows)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        self.dismiss(message.row.name)

    def action_pick(self) -> None:
        self.query_one(LineTable).action_choose()
