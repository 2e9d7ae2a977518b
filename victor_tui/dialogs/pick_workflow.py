"""The dialog that selects a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from victor_engine.api import WorkflowInfo
from victor_tui.dialogs.picker import Picker
from victor_tui.keys import bindings
from victor_tui.widgets.columns import Column


class PickWorkflow(Picker[str, WorkflowInfo]):
    """A list of workflows that dismisses with a name, or None."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("pick")
    PICKER_TITLE = "Start which workflow?"
    EMPTY = "No workflow is registered: put a file into workflows/ and press F5."

    def __init__(self, workflows: Sequence[WorkflowInfo]) -> None:
        super().__init__()
        self._workflows = sorted(workflows, key=lambda w: w.name)

    def columns(self) -> Sequence[Column[WorkflowInfo]]:
        return [
            Column("name", "Workflow", 20, lambda w, _: (w.name, "head"), lambda w: w.name),
            Column("version", "Version", 8, lambda w, _: (_version(w), "dim")),
            Column("about", "About", 20, lambda w, _: (w.description, "plain"), None, 1, 1),
        ]

    def name_of(self, row: WorkflowInfo) -> str:
        return row.name

    def text_of(self, row: WorkflowInfo) -> str:
        return f"{row.name} {_version(row)} {row.description}"

    def result_of(self, row: WorkflowInfo) -> str:
        return row.name

    def on_mount(self) -> None:
        self.show_rows(self._workflows)


def _version(workflow: WorkflowInfo) -> str:
    return workflow.versions[0].version if workflow.versions else ""
