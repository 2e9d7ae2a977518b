"""The dialog that redrives a run from a node, with a version and a state. It shows the changed state as a
diff."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Select, Static, TextArea

from victor_engine.api import RunDetail
from victor_engine.errors import ConflictError, VictorError
from victor_tui.dialogs.base import DialogBody, json_object, json_text
from victor_tui.keys import bindings
from victor_tui.runs.version_field import EDITABLE, SHOWN, VersionedDialog, changed_lines, version_options
from victor_tui.text import one_line
from victor_tui.theme import node_mark
from victor_tui.widgets.choices import Tick
from victor_tui.widgets.json_view import diff_style


def start_node(detail: RunDetail) -> str:
    """Return the node where the run stopped: the failed node, else the last attempted, else the first."""
    error = detail.run.error
    nodes = [node.id for node in detail.graph.nodes]
    if error is not None and error.node_id in nodes:
        return str(error.node_id)
    tried = [a.parent or a.node_id for a in detail.attempts if (a.parent or a.node_id) in nodes]
    return tried[-1] if tried else detail.graph.start


class RedriveDialog(VersionedDialog):
    """A dialog that sends the redrive and keeps edits after a conflict.

    It dismisses with the run, or None.
    """

    SENDS = "redrive"
    METHOD = "redrive_run"

    BINDINGS: ClassVar[list[BindingType]] = bindings("redrive")

    def __init__(self, detail: RunDetail, from_node: str | None = None) -> None:
        super().__init__(detail)
        known = {node.id for node in detail.graph.nodes}
        self._first = from_node if from_node in known else start_node(detail)
        self._text = json_text(detail.state)
        self._problem = ""

    # --- layout --------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        run = self.detail.run
        with Vertical(id="box"):
            yield Static(
                Content.assemble(
                    ("Redrive ", "bold"), (one_line(f"{run.workflow} {run.id}", 80), "bold $primary")
                ),
                id="head",
            )
            with DialogBody(id="body", can_focus=False):
                with Horizontal(classes="pair"):
                    yield Label("From node", classes="name")
                    yield Select(
                        self._choices(), value=self._first, allow_blank=False, id="node", compact=True
                    )
                with Horizontal(classes="pair"):
                    yield Label("Version", classes="name")
                    yield Select(
                        version_options(run, ()),
                        value=run.version,
                        allow_blank=False,
                        id="version",
                        compact=True,
                    )
                yield Tick("Use the state from before this node", id="rewind", compact=True)
                yield from self._state_part()
                yield Label("Note (goes into the audit trail)", classes="label")
                yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Redrive", id="redrive", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s redrive · esc cancel", classes="hint")

    def _state_part(self) -> ComposeResult:
        if len(self._text) > EDITABLE:
            words = (
                f"The state is kept. It has {len(self._text):,} characters, too many to edit here. "
                f"Use victor runs redrive {self.detail.run.id} --set KEY=VALUE or --state-file."
            )
            yield Static(words, markup=False, classes="text label")
            return
        yield Label("State (a JSON object)", classes="label")
        yield TextArea(self._text, id="state", classes="tall", compact=True)
        yield Static(id="changes", classes="text")

    def _choices(self) -> list[tuple[Content, str]]:
        states = {state.node_id: state.status for state in self.detail.nodes}
        found = []
        for node in self.detail.graph.nodes:
            mark = node_mark(states.get(node.id, "pending"))
            found.append((Content(f"{mark.glyph} {one_line(node.id, 60)}  {mark.word}"), node.id))
        return found

    def on_mount(self) -> None:
        self.query_one("#node").focus()
        self._draw_changes()

    # --- state ---------------------------------------------------------------------------------

    def on_text_area_changed(self) -> None:
        self.debounce.call(self._draw_changes)

    def on_select_changed(self) -> None:
        self._draw_changes()

    def on_checkbox_changed(self) -> None:
        for area in self.query("#state").results(TextArea):
            area.disabled = self._rewinds
        self._draw_changes()

    @property
    def _rewinds(self) -> bool:
        return self.query_one("#rewind", Tick).value

    def _state(self) -> tuple[dict[str, Any] | None, str]:
        """Return the edited state (None if unchanged), and its error."""
        if self._rewinds:
            return None, ""
        for area in self.query("#state").results(TextArea):
            state, problem = json_object(area.text)
            if problem or state == self.detail.state:
                return None, problem
            return state, ""
        return None, ""

    def _draw_changes(self) -> None:
        state, problem = self._state()
        if problem != self._problem:
            # Clear only an error of the state, not the message of a conflict.
            self._problem = problem
            self.show_error(problem)
        for line in self.query("#changes").results(Static):
            line.update(self._changes(state) if not problem else "")

    def _changes(self, state: dict[str, Any] | None) -> Content:
        other = self.query_one("#version", Select).value != self.detail.run.version
        if self._rewinds:
            node = one_line(str(self.query_one("#node", Select).value), 60)
            return Content.styled(f"The state from before the last attempt of {node}.", "$warning")
        if state is None:
            words = (
                "Unchanged."
                if not other
                else "Unchanged. A migration to this version is applied if one exists."
            )
            return Content.styled(words, "$text-muted")
        rows = changed_lines(self.detail.state, state)
        shown = [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:SHOWN]]
        if len(rows) > SHOWN:
            shown.append(Content.styled(f"… {len(rows) - SHOWN} more lines", "$text-muted"))
        if other:
            shown.insert(
                0, Content.styled("This state is used as written. It is not migrated.", "$text-muted")
            )
        return Content("\n").join(shown)

    # --- sending -------------------------------------------------------------------------------

    def action_submit(self) -> None:
        self._send()

    @work(group="send", exclusive=True)
    async def _send(self) -> None:
        self.debounce.stop()
        self._draw_changes()
        state, problem = self._state()
        if problem:
            self.show_error(problem)
            self.query_one("#state").focus()
            return
        run = self.detail.run
        version = str(self.query_one("#version", Select).value)
        try:
            found = await self.port.redrive_run(
                run.id,
                str(self.query_one("#node", Select).value),
                state,
                None if version == run.version else version,
                run.revision,
                self.query_one("#note", Input).value,
                self._rewinds,
            )
        except ConflictError as error:
            self.show_error(f"{one_line(error.message)}\nctrl+t loads the current run; your edits stay.")
        except VictorError as error:
            self.show_error(one_line(error.message))
        else:
            self.dismiss(found)

    @work(group="send", exclusive=True)
    async def action_reload(self) -> None:
        """Load the current run after a conflict. Edits stay."""
        try:
            self.detail = await self.port.run(self.detail.run.id)
        except VictorError as error:
            self.show_error(one_line(error.message))
            return
        self._draw_changes()
