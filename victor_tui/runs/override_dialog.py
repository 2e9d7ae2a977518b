"""The dialog that sets the time limit and attempts of a node for one active run."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Select, Static

from victor_engine.api import RunDetail, RunInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.text import countdown, one_line
from victor_tui.theme import node_mark
from victor_tui.widgets.choices import Tick

SETTABLE = ("agent", "compute", "team", "workflow")
"""Types of nodes that have a time limit and attempts."""


def seconds(text: str) -> float | None:
    """Return the seconds of `90`, `90s`, `5m` or `2h`, or None for an empty text.

    Raises ValueError for any other text.
    """
    text = text.strip().lower()
    if not text:
        return None
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1])
    try:
        found = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        raise ValueError(f"{one_line(text, 40)} is not a time limit. Write 90, 90s, 5m or 2h.") from None
    if not 0 < found < 1e9:
        raise ValueError("The time limit must be greater than 0.")
    return found


class OverrideDialog(SendingDialog[RunInfo | None]):
    """A dialog that sends the limits to the engine. It dismisses with the run, or None."""

    SENDS = "set"
    METHOD = "override_node"

    def __init__(self, detail: RunDetail, node: str | None = None) -> None:
        super().__init__()
        self.detail = detail
        self._retrying = {a.node_id.split(".", 1)[0]: a for a in detail.attempts if a.status == "retrying"}
        names = [n.id for n in detail.graph.nodes if n.type in SETTABLE]
        self._names = sorted(names, key=lambda name: name not in self._retrying)
        busy = next((name for name in detail.run.current if name in names), None)
        first = node if node in names else busy
        self._first = next(iter(n for n in self._names if n in self._retrying), first)

    def compose(self) -> ComposeResult:
        run = self.detail.run
        with Vertical(id="box"):
            yield Static(
                Content.assemble(
                    ("Limits of a node in ", "bold"),
                    (one_line(f"{run.workflow} {run.id}", 80), "bold $primary"),
                ),
                id="head",
            )
            with DialogBody(id="body", can_focus=False):
                yield Static(
                    "For this run only, from the next attempt on. An empty field changes nothing.",
                    classes="text hint-line",
                )
                with Horizontal(classes="pair"):
                    yield Label("Node", classes="name")
                    yield Select(
                        [(Content(self._label(name)), name) for name in self._names],
                        value=self._first if self._first is not None else Select.NULL,
                        id="node",
                        compact=True,
                        prompt="Choose",
                    )
                with Horizontal(classes="pair"):
                    yield Label("Time limit", classes="name")
                    yield Input(placeholder="90s, 5m, 2h", id="timeout", compact=True)
                with Horizontal(classes="pair"):
                    yield Label("Attempts", classes="name")
                    yield Input(placeholder="total, including the first", id="attempts", compact=True)
                if self._retrying:
                    yield Tick("Retry now", True, id="now", compact=True)
                yield Label("Note (goes into the audit trail)", classes="label")
                yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Set", id="set", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s set · esc cancel", classes="hint")

    def _label(self, name: str) -> str:
        waits = self._retrying.get(name)
        if waits is None:
            states = {state.node_id: state.status for state in self.detail.nodes}
            mark = node_mark(states.get(name, "pending"))
            return f"{mark.glyph} {one_line(name, 60)}  {mark.word}"
        left = ""
        if waits.retry_at is not None:
            left = f", retry in {countdown(waits.retry_at, self.now())}"
        return f"↻ {one_line(name, 60)}  attempt {waits.number} failed{left}"

    def on_mount(self) -> None:
        self.query_one("#timeout").focus()

    def action_submit(self) -> None:
        self._send()

    @work(group="send", exclusive=True)
    async def _send(self) -> None:
        node = self.query_one("#node", Select).value
        if not isinstance(node, str):
            self.show_error("Choose a node first.")
            return
        tries = self.query_one("#attempts", Input).value.strip()
        try:
            timeout = seconds(self.query_one("#timeout", Input).value)
            if tries and (not tries.isdecimal() or int(tries) < 1):
                raise ValueError("Attempts must be a whole number of 1 or more.")
        except ValueError as error:
            self.show_error(str(error))
            return
        try:
            found = await self.port.override_node(
                self.detail.run.id,
                node,
                timeout,
                int(tries) if tries else None,
                any(box.value for box in self.query("#now").results(Tick)),
                self.query_one("#note", Input).value,
            )
        except VictorError as error:
            self.show_error(one_line(error.message))
        else:
            self.dismiss(found)
